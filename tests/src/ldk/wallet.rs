//! The on-chain wallet of an LDK node: one P2WPKH key and the coins that the chain says it owns.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use lightning::events::bump_transaction::Utxo;
use lightning::events::bump_transaction::sync::WalletSourceSync;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Blocks before a coinbase can be spent.
const MATURITY: u32 = 100;
/// What a funding transaction pays, satoshi per virtual byte.
const FEERATE: u64 = 2;
/// Virtual bytes of a transaction with one input and two outputs, rounded up, and of each input more.
const BASE_VSIZE: u64 = 160;
const INPUT_VSIZE: u64 = 70;

/// A key and its coins.
#[derive(Debug)]
pub(super) struct Wallet {
    secp: Secp256k1<All>,
    key: SecretKey,
    script: ScriptBuf,
    coins: Mutex<Coins>,
}

#[derive(Debug, Default)]
struct Coins {
    height: u32,
    owned: BTreeMap<OutPoint, Coin>,
    /// Spent by a transaction of ours that is not in a block yet.
    promised: BTreeSet<OutPoint>,
    /// Coins that blocks spent, with the height, to undo on a reorganisation.
    spent: Vec<(u32, OutPoint, Coin)>,
}

#[derive(Clone, Debug)]
struct Coin {
    output: TxOut,
    height: u32,
    coinbase: bool,
}

impl Wallet {
    /// The wallet of a seed. It knows of no coins until it is told of blocks.
    ///
    /// # Panics
    /// Never for a seed that is not chosen to hash to an invalid key.
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let secp = Secp256k1::new();
        let digest = sha256::Hash::hash(&[seed.as_slice(), b"wallet"].concat());
        let key = SecretKey::from_slice(digest.as_byte_array()).expect("a valid key");
        let public = bitcoin::CompressedPublicKey(PublicKey::from_secret_key(&secp, &key));
        let script = ScriptBuf::new_p2wpkh(&public.wpubkey_hash());
        Self { secp, key, script, coins: Mutex::default() }
    }

    /// Where it wants to be paid.
    pub(super) const fn script(&self) -> &ScriptBuf {
        &self.script
    }

    /// All its coins in blocks, mature or not.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub(super) fn balance(&self) -> Amount {
        self.coins.lock().unwrap().owned.values().map(|coin| coin.output.value).sum()
    }

    /// Takes note of a block.
    pub(super) fn connect<'a>(&self, height: u32, txs: impl Iterator<Item = &'a Transaction>) {
        let mut coins = self.coins.lock().unwrap();
        coins.height = height;
        for tx in txs {
            for input in &tx.input {
                coins.promised.remove(&input.previous_output);
                if let Some(coin) = coins.owned.remove(&input.previous_output) {
                    coins.spent.push((height, input.previous_output, coin));
                }
            }
            let txid = tx.compute_txid();
            for (vout, output) in (0_u32..).zip(&tx.output) {
                if output.script_pubkey == self.script {
                    let coin = Coin { output: output.clone(), height, coinbase: tx.is_coinbase() };
                    coins.owned.insert(OutPoint { txid, vout }, coin);
                }
            }
        }
    }

    /// Takes back all blocks above `height`.
    pub(super) fn disconnect(&self, height: u32) {
        let mut coins = self.coins.lock().unwrap();
        coins.height = height;
        let (gone, kept) =
            std::mem::take(&mut coins.spent).into_iter().partition(|(at, _, _)| *at > height);
        coins.spent = kept;
        let gone: Vec<(u32, OutPoint, Coin)> = gone;
        coins.owned.extend(gone.into_iter().map(|(_, outpoint, coin)| (outpoint, coin)));
        coins.owned.retain(|_, coin| coin.height <= height);
    }

    /// A signed transaction with `output` first and the change to itself.
    ///
    /// # Panics
    /// When the coins do not suffice.
    pub(super) fn fund(&self, output: TxOut) -> Transaction {
        let mut coins = self.coins.lock().unwrap();
        let mut chosen: Vec<(OutPoint, Coin)> = Vec::new();
        let (mut sum, mut fee) = (Amount::ZERO, Amount::from_sat(BASE_VSIZE * FEERATE));
        for (outpoint, coin) in coins.spendable() {
            if sum >= output.value + fee {
                break;
            }
            sum += coin.output.value;
            fee += Amount::from_sat(INPUT_VSIZE * FEERATE);
            chosen.push((outpoint, coin));
        }
        assert!(sum >= output.value + fee, "the test wallet has {sum}, not {}", output.value + fee);
        let change = TxOut { value: sum - output.value - fee, script_pubkey: self.script.clone() };
        let mut tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: chosen.iter().map(|(outpoint, _)| spend(*outpoint)).collect(),
            output: vec![output, change],
        };
        let spent: Vec<_> = chosen.iter().map(|(_, coin)| coin.output.clone()).collect();
        self.sign(&mut tx, &spent);
        coins.promised.extend(chosen.iter().map(|(outpoint, _)| *outpoint));
        tx
    }

    /// Coins promised to a transaction that will not be are free again.
    pub(super) fn release(&self, tx: &Transaction) {
        let mut coins = self.coins.lock().unwrap();
        for input in &tx.input {
            coins.promised.remove(&input.previous_output);
        }
    }

    /// Fills in the witnesses of those inputs that spend coins of this wallet.
    fn sign(&self, tx: &mut Transaction, spent: &[TxOut]) {
        let public = PublicKey::from_secret_key(&self.secp, &self.key);
        for (index, coin) in spent.iter().enumerate() {
            if coin.script_pubkey != self.script {
                continue;
            }
            let digest = SighashCache::new(&*tx)
                .p2wpkh_signature_hash(index, &self.script, coin.value, EcdsaSighashType::All)
                .expect("an input with this index");
            let signature =
                self.secp.sign_ecdsa(&Message::from_digest(digest.to_byte_array()), &self.key);
            let signature = bitcoin::ecdsa::Signature::sighash_all(signature);
            tx.input[index].witness = Witness::p2wpkh(&signature, &public);
        }
    }
}

impl Coins {
    fn spendable(&self) -> Vec<(OutPoint, Coin)> {
        let mature = |coin: &Coin| !coin.coinbase || self.height + 1 >= coin.height + MATURITY;
        let free = self
            .owned
            .iter()
            .filter(|(outpoint, coin)| mature(coin) && !self.promised.contains(*outpoint));
        free.map(|(outpoint, coin)| (*outpoint, coin.clone())).collect()
    }
}

fn spend(previous_output: OutPoint) -> TxIn {
    TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    }
}

impl WalletSourceSync for Wallet {
    fn list_confirmed_utxos(&self) -> Result<Vec<Utxo>, ()> {
        let coins = self.coins.lock().unwrap();
        let hash = bitcoin::CompressedPublicKey(PublicKey::from_secret_key(&self.secp, &self.key));
        let hash = hash.wpubkey_hash();
        let list = coins.spendable().into_iter();
        Ok(list
            .map(|(outpoint, coin)| Utxo::new_v0_p2wpkh(outpoint, coin.output.value, &hash))
            .collect())
    }

    fn get_change_script(&self) -> Result<ScriptBuf, ()> {
        Ok(self.script.clone())
    }

    fn sign_psbt(&self, psbt: Psbt) -> Result<Transaction, ()> {
        let spent: Vec<_> = psbt
            .inputs
            .iter()
            .map(|input| {
                let nothing = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new() };
                input.witness_utxo.clone().unwrap_or(nothing)
            })
            .collect();
        let mut tx = psbt.extract_tx_unchecked_fee_rate();
        self.sign(&mut tx, &spent);
        Ok(tx)
    }
}

/// The name of an output's transaction, for messages.
pub(super) fn short(txid: Txid) -> String {
    txid.to_string().chars().take(8).collect()
}
