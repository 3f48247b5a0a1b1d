//! Play money: a key that everybody knows, and the block rewards that are mined to it.

mod pin;

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, CompressedPublicKey, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use chain_backend::backend::Package;
use chain_backend::sandbox::Sandbox;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use tokio::sync::oneshot;
use wire::units::BlockHeight;

use crate::edge::{Forward, Inbox, forward};
use crate::node::chaos::said;
use crate::payments::Reply;
use crate::rpc::model::sandbox::Poured;
use crate::rpc::refusal::Refusal;
use crate::tasks::{Fatal, Tasks};

pub(super) use pin::{Pin, Target, own_output};

/// Requests that may wait.
const ASKS: usize = 64;

/// Blocks on top of a block reward before it can be spent.
const MATURITY: u32 = 100;

/// What the faucet's transactions pay, in satoshi: two outputs and up to some inputs.
const FEE_SAT_PER_INPUT: u64 = 300;

/// The most inputs of one transaction.
const INPUTS_MAX: usize = 50;

/// Asks for play money.
#[derive(Debug)]
pub(super) struct Pour {
    /// Whom to pay.
    pub(super) to: ScriptBuf,
    /// How much.
    pub(super) amount: Amount,
    /// Answered when it is in a block.
    pub(super) reply: Reply<Poured>,
}

/// What the faucet is asked for.
#[derive(Debug)]
pub(super) enum Want {
    /// Play money.
    Pour(Pour),
    /// A large child that pays little.
    Pin(Pin),
}

struct Faucet {
    chain: Arc<dyn Sandbox>,
    key: SecretKey,
    script: ScriptBuf,
    /// Coins that are not spent, as far as was looked.
    coins: BTreeSet<(Amount, OutPoint)>,
    /// Blocks whose reward was looked at.
    seen: u32,
}

/// The script that blocks are mined to when nobody else is named.
pub(super) fn script() -> ScriptBuf {
    key().map_or_else(ScriptBuf::new, |key| script_of(&key))
}

fn key() -> Option<SecretKey> {
    let words = sha256::Hash::hash(b"viaduct sandbox faucet: everybody may spend this");
    SecretKey::from_slice(words.as_byte_array()).ok()
}

fn script_of(key: &SecretKey) -> ScriptBuf {
    let public = CompressedPublicKey(PublicKey::from_secret_key(SECP256K1, key));
    ScriptBuf::new_p2wpkh(&public.wpubkey_hash())
}

/// Starts the faucet's task.
pub(super) fn start(chain: Arc<dyn Sandbox>, tasks: &Tasks) -> Forward<Want> {
    let (asks, inbox) = forward(ASKS);
    let stop = tasks.clone();
    tasks.spawn("faucet", async move {
        let Some(key) = key() else { return Ok(()) };
        let script = script_of(&key);
        let faucet = Faucet { chain, key, script, coins: BTreeSet::new(), seen: 0 };
        faucet.run(inbox, stop).await
    });
    asks
}

impl Faucet {
    async fn run(mut self, mut inbox: Inbox<Want>, tasks: Tasks) -> Result<(), Fatal> {
        loop {
            let want = tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                want = inbox.recv() => want,
            };
            match want {
                None => return Ok(()),
                Some(Want::Pour(Pour { to, amount, reply })) => {
                    let poured = self.pour(to, amount).await;
                    let _gone = reply.send(poured);
                }
                Some(Want::Pin(Pin { target, parent_vsize, reply })) => {
                    let made = self.pin(&target, parent_vsize).await;
                    let _gone = reply.send(made);
                }
            }
        }
    }

    async fn pour(&mut self, to: ScriptBuf, amount: Amount) -> Result<Poured, Refusal> {
        self.look().await?;
        let coins = self.coins_for(amount).await?;
        let tx = self.pay(&coins, to, amount);
        let txid = tx.compute_txid();
        let outcome = self.chain.submit(Package::single(tx.clone()), None).await;
        for coin in &coins {
            self.coins.remove(coin);
        }
        if !outcome.is_success() {
            return Err(Refusal::BroadcastRefused { txid, why: format!("{outcome:?}") });
        }
        if let Some(change) = tx.output.get(1) {
            self.coins.insert((change.value, OutPoint { txid, vout: 1 }));
        }
        let height = self.mine(1).await?;
        Ok(Poured { txid, height: BlockHeight(height) })
    }

    /// Coins that are enough; makes some if there are none.
    async fn coins_for(&mut self, amount: Amount) -> Result<Vec<(Amount, OutPoint)>, Refusal> {
        if self.reach(amount).is_none() {
            // Rewards halve every 150 blocks on regtest, so a few may be needed.
            self.mine(MATURITY.saturating_add(10)).await?;
            self.look().await?;
        }
        self.reach(amount).ok_or_else(|| Refusal::BroadcastRefused {
            txid: Txid::all_zeros(),
            why: "the faucet is dry: block rewards have become too small".to_owned(),
        })
    }

    async fn mine(&self, blocks: u32) -> Result<u32, Refusal> {
        self.chain.mine(blocks, self.script.clone()).await.map_err(said)?;
        let tip = self.chain.tip().await.map_err(|error| refused(&error.to_string()))?;
        Ok(tip.height)
    }

    /// Looks at block rewards that are spendable by now.
    async fn look(&mut self) -> Result<(), Refusal> {
        let tip = self.chain.tip().await.map_err(|error| refused(&error.to_string()))?;
        let ripe = tip.height.saturating_add(1).saturating_sub(MATURITY);
        while self.seen < ripe {
            self.seen = self.seen.saturating_add(1);
            let unavailable =
                |error: chain_backend::backend::BackendError| refused(&error.to_string());
            let header = self.chain.header_at(self.seen).await.map_err(unavailable)?;
            let block = self.chain.block(header.hash).await.map_err(unavailable)?;
            let Some(reward) = block.txdata.first() else { continue };
            let txid = reward.compute_txid();
            for (vout, output) in (0_u32..).zip(&reward.output) {
                let coin = OutPoint { txid, vout };
                if output.script_pubkey == self.script {
                    let there = self.chain.txout(coin).await.map_err(unavailable)?;
                    if there.is_some_and(|there| there.mempool_spender.is_none()) {
                        self.coins.insert((output.value, coin));
                    }
                }
            }
        }
        Ok(())
    }

    /// The largest coins that are enough together.
    fn reach(&self, amount: Amount) -> Option<Vec<(Amount, OutPoint)>> {
        let mut sum = Amount::ZERO;
        let mut taken = Vec::new();
        for coin in self.coins.iter().rev().take(INPUTS_MAX) {
            sum = sum.checked_add(coin.0)?;
            taken.push(*coin);
            if sum >= amount.checked_add(fee(taken.len()))? {
                return Some(taken);
            }
        }
        None
    }

    fn pay(&self, coins: &[(Amount, OutPoint)], to: ScriptBuf, amount: Amount) -> Transaction {
        let sum = coins
            .iter()
            .fold(Amount::ZERO, |sum, coin| sum.checked_add(coin.0).unwrap_or(Amount::MAX_MONEY));
        let change = sum
            .checked_sub(amount)
            .and_then(|rest| rest.checked_sub(fee(coins.len())))
            .unwrap_or(Amount::ZERO);
        let mut output = vec![TxOut { value: amount, script_pubkey: to }];
        if change >= self.script.minimal_non_dust() {
            output.push(TxOut { value: change, script_pubkey: self.script.clone() });
        }
        let input = coins
            .iter()
            .map(|(_, outpoint)| TxIn {
                previous_output: *outpoint,
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                ..TxIn::default()
            })
            .collect();
        let mut tx =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output };
        self.sign(&mut tx, 0, coins);
        tx
    }

    /// Signs the inputs from `first` on, which spend `coins`.
    fn sign(&self, tx: &mut Transaction, first: usize, coins: &[(Amount, OutPoint)]) {
        let public = PublicKey::from_secret_key(SECP256K1, &self.key);
        let mut witnesses = Vec::new();
        let mut cache = SighashCache::new(&*tx);
        for (place, (value, _)) in (first..).zip(coins) {
            let hash =
                cache.p2wpkh_signature_hash(place, &self.script, *value, EcdsaSighashType::All);
            let Ok(hash) = hash else { continue };
            let signature = bitcoin::ecdsa::Signature::sighash_all(
                SECP256K1.sign_ecdsa(&Message::from_digest(hash.to_byte_array()), &self.key),
            );
            witnesses.push(Witness::p2wpkh(&signature, &public));
        }
        for (input, witness) in tx.input.iter_mut().skip(first).zip(witnesses) {
            input.witness = witness;
        }
    }
}

fn fee(inputs: usize) -> Amount {
    let inputs = u64::try_from(inputs).unwrap_or(u64::MAX).saturating_add(1);
    Amount::from_sat(FEE_SAT_PER_INPUT.saturating_mul(inputs))
}

fn refused(why: &str) -> Refusal {
    tracing::warn!(why, "sandbox");
    Refusal::ChainUnavailable { height: BlockHeight(0) }
}

/// Mines to the faucet and says the new height.
pub(super) async fn mine(
    chain: &dyn Sandbox,
    blocks: u32,
    to: Option<ScriptBuf>,
) -> Result<(u32, Vec<bitcoin::BlockHash>), Refusal> {
    let hashes = chain.mine(blocks, to.unwrap_or_else(script)).await.map_err(said)?;
    let tip = chain.tip().await.map_err(|error| refused(&error.to_string()))?;
    Ok((tip.height, hashes))
}

/// A pour that nobody waits for is none.
pub(super) async fn ask(
    faucet: &Forward<Want>,
    to: ScriptBuf,
    amount: Amount,
) -> Result<Poured, Refusal> {
    let (reply, poured) = oneshot::channel();
    faucet.send(Want::Pour(Pour { to, amount, reply })).await.map_err(|_| Refusal::NoAnswer)?;
    poured.await.map_err(|_| Refusal::NoAnswer)?
}
