//! A chain in memory that makes the blocks, and the key that all of its coins belong to.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::{Message, SECP256K1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, EcdsaSighashType, OutPoint, PublicKey, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Txid, Witness,
};
use chain_backend::{BuiltinChain, ChainBackend, Package, Sandbox};
use std::sync::Arc;

/// What a payment costs, satoshi: more than any relay asks for.
const FEE_SAT: u64 = 1_000;
/// What each coin is worth in the beginning, satoshi.
const COIN_SAT: u64 = 1_000_000;
/// Blocks until a coinbase can be spent.
const MATURITY: u32 = 100;

/// Unix seconds: the clock stands still, so that blocks are the same in every run.
pub(super) const fn now() -> u32 {
    1_700_000_000
}

fn key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).expect("a key")
}

/// Pays the key.
pub(super) fn script() -> ScriptBuf {
    let key = PublicKey::new(key().public_key(SECP256K1));
    ScriptBuf::new_p2wpkh(&key.wpubkey_hash().expect("a compressed key"))
}

/// Makes blocks.
pub(super) struct Source {
    chain: BuiltinChain,
    coins: Vec<OutPoint>,
    value_sat: u64,
}

impl Source {
    pub(super) fn new() -> Self {
        let chain = BuiltinChain::in_memory(now).expect("a chain");
        Self { chain, coins: Vec::new(), value_sat: COIN_SAT }
    }

    pub(super) async fn mine(&self, count: u32) {
        self.chain.mine(count, script()).await.expect("blocks");
    }

    pub(super) async fn height(&self) -> u32 {
        self.chain.tip().await.expect("a tip").height
    }

    /// Blocks with so many coins of equal worth.
    pub(super) async fn fan(&mut self, coins: u32) {
        self.mine(MATURITY + 1).await;
        let first = self.chain.header_at(1).await.expect("a block");
        let block = self.chain.block(first.hash).await.expect("a block");
        let (mut from, mut left) =
            (OutPoint::new(block.txdata[0].compute_txid(), 0), block.txdata[0].output[0].value);
        while self.coins.len() < usize::try_from(coins).expect("a count") {
            let outputs = usize::try_from(coins).expect("a count") - self.coins.len();
            let outputs = outputs.min(1_000);
            let spent = left;
            left -= Amount::from_sat(COIN_SAT) * u64::try_from(outputs).expect("a count");
            left -= Amount::from_sat(100 * FEE_SAT);
            let output = |value| TxOut { value, script_pubkey: script() };
            let mut paid = vec![output(Amount::from_sat(COIN_SAT)); outputs];
            paid.push(output(left));
            let tx = signed(from, spent, paid);
            let txid = tx.compute_txid();
            self.chain.accept(Package::single(tx)).await.expect("a payment");
            self.mine(1).await;
            let vouts = 0..u32::try_from(outputs).expect("a count");
            self.coins.extend(vouts.map(|vout| OutPoint::new(txid, vout)));
            from = OutPoint::new(txid, u32::try_from(outputs).expect("a count"));
        }
    }

    /// A block in which every coin is paid on.
    pub(super) async fn pay_all(&mut self) {
        let spent = Amount::from_sat(self.value_sat);
        self.value_sat -= FEE_SAT;
        for coin in &mut self.coins {
            let output = TxOut { value: Amount::from_sat(self.value_sat), script_pubkey: script() };
            let tx = signed(*coin, spent, vec![output]);
            let txid: Txid = tx.compute_txid();
            self.chain.accept(Package::single(tx)).await.expect("a payment");
            *coin = OutPoint::new(txid, 0);
        }
        self.mine(1).await;
        assert!(self.chain.mempool().await.expect("a mempool").is_empty(), "one block took all");
    }

    /// Coins that nobody has spent.
    pub(super) fn coins(&self) -> &[OutPoint] {
        &self.coins
    }

    /// The blocks from a height on.
    pub(super) async fn blocks(&self, from: u32) -> Vec<Arc<Block>> {
        self.range(from, self.height().await + 1).await
    }

    /// The blocks below a height, but the genesis block.
    pub(super) async fn blocks_until(&self, end: u32) -> Vec<Arc<Block>> {
        self.range(1, end).await
    }

    async fn range(&self, from: u32, end: u32) -> Vec<Arc<Block>> {
        let mut blocks = Vec::new();
        for height in from..end {
            let hash = self.chain.header_at(height).await.expect("a block").hash;
            blocks.push(self.chain.block(hash).await.expect("a block"));
        }
        blocks
    }
}

/// Spends one coin of the key.
fn signed(from: OutPoint, value: Amount, output: Vec<TxOut>) -> Transaction {
    let mut tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output,
    };
    let hash = SighashCache::new(&tx)
        .p2wpkh_signature_hash(0, &script(), value, EcdsaSighashType::All)
        .expect("an input");
    let message = Message::from_digest(hash.to_byte_array());
    let signature = bitcoin::ecdsa::Signature::sighash_all(SECP256K1.sign_ecdsa(&message, &key()));
    tx.input[0].witness = Witness::p2wpkh(&signature, &key().public_key(SECP256K1));
    tx
}
