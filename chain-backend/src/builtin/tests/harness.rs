//! A chain in memory, a miner's key, and short ways to make transactions.

use crate::Package;
use crate::builtin::chainstate::{ChainError, Chainstate, Options};
use crate::builtin::reject::Reject;
use crate::sandbox::Reorg;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, EcdsaSighashType, OutPoint, PublicKey, ScriptBuf, Sequence, Transaction,
    TxIn, TxOut, Txid, Witness,
};
use secp256k1::{Message, SECP256K1, SecretKey};
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) const START: u32 = 1_700_000_000;
pub(crate) const COIN: u64 = 100_000_000;

pub(crate) fn options(dir: Option<&Path>) -> Options {
    let dir = dir.map(Path::to_path_buf);
    Options { dir, ..Options::memory(|| START) }
}

impl Chainstate {
    /// A reorganisation after which what was left out waits again.
    pub(crate) fn reorg(
        &mut self,
        depth: u32,
        left_out: &BTreeSet<Txid>,
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, ChainError> {
        let (left_out, script) = (left_out.clone(), script.clone());
        self.reorganise(&Reorg { depth, left_out, forget: false, script })
    }
}

/// A chain and the key all its coinbases pay.
pub(crate) struct Bench {
    pub(crate) chain: Chainstate,
    /// The next coinbase to spend.
    next: u32,
}

pub(crate) fn key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn pubkey() -> PublicKey {
    PublicKey::new(key().public_key(SECP256K1))
}

/// Pays the miner's key.
pub(crate) fn miner() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&pubkey().wpubkey_hash().unwrap())
}

pub(crate) fn anyone() -> ScriptBuf {
    Builder::new().push_opcode(bitcoin::opcodes::OP_TRUE).into_script()
}

impl Bench {
    /// 110 blocks: ten coinbases can be spent.
    pub(crate) fn new() -> Self {
        Self::open(None)
    }

    pub(crate) fn open(dir: Option<&Path>) -> Self {
        Self::of(Chainstate::open(&options(dir)).unwrap())
    }

    /// A mempool that is full with a handful of transactions.
    pub(crate) fn small() -> Self {
        let mut options = options(None);
        options.policy.mempool_size_max = 3_500;
        Self::of(Chainstate::open(&options).unwrap())
    }

    pub(crate) fn of(mut chain: Chainstate) -> Self {
        if chain.tip().height == 0 {
            chain.mine(110, &miner()).unwrap();
        }
        Self { chain, next: 1 }
    }

    /// The first of its coins are spent already.
    pub(crate) fn skip(&mut self, coins: u32) {
        self.next += coins;
    }

    /// A mature coinbase of 50 bitcoin.
    pub(crate) fn coin(&mut self) -> (OutPoint, TxOut) {
        let at = self.chain.header_at(self.next).unwrap();
        self.next += 1;
        let block = self.chain.block(at.hash).unwrap();
        let coinbase = &block.txdata[0];
        (OutPoint::new(coinbase.compute_txid(), 0), coinbase.output[0].clone())
    }

    /// Pays these outputs from a new coin; what is left above `fee_sat` goes back.
    pub(crate) fn pay(&mut self, mut outputs: Vec<TxOut>, fee_sat: u64) -> Transaction {
        let coin = self.coin();
        let paid: u64 = outputs.iter().map(|output| output.value.to_sat()).sum();
        let change = coin.1.value.to_sat() - paid - fee_sat;
        outputs.push(out(change, miner()));
        sign(spend(&[coin.0], outputs), &[coin.1])
    }

    pub(crate) fn mine(&mut self, count: u32) {
        self.chain.mine(count, &miner()).unwrap();
    }

    pub(crate) fn submit(&mut self, tx: &Transaction) -> Result<(), Reject> {
        self.chain.submit(&Package::single(tx.clone()), None)
    }

    #[expect(clippy::unwrap_in_result, reason = "a case hands in whole packages")]
    pub(crate) fn submit_all(&mut self, txs: &[&Transaction]) -> Result<(), Reject> {
        let package = Package::new(txs.iter().map(|tx| (*tx).clone()).collect()).unwrap();
        self.chain.submit(&package, None)
    }

    pub(crate) fn waits(&self, tx: &Transaction) -> bool {
        self.chain.mempool().get(&tx.compute_txid()).is_some()
    }

    pub(crate) fn confirmed(&mut self, tx: &Transaction) -> bool {
        let found = self.chain.find_tx(tx.compute_txid()).unwrap();
        found.is_some_and(|found| found.confirmed.is_some())
    }
}

pub(crate) fn out(value: u64, script_pubkey: ScriptBuf) -> TxOut {
    TxOut { value: Amount::from_sat(value), script_pubkey }
}

pub(crate) fn spend(coins: &[OutPoint], output: Vec<TxOut>) -> Transaction {
    let input = |previous_output: &OutPoint| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(input).collect(),
        output,
    }
}

/// Spends outputs of `parent` into one output, less a fee.
pub(crate) fn child(parent: &Transaction, vouts: &[u32], fee_sat: u64) -> Transaction {
    let coins: Vec<OutPoint> =
        vouts.iter().map(|vout| OutPoint::new(parent.compute_txid(), *vout)).collect();
    let spent: Vec<TxOut> =
        vouts.iter().map(|vout| parent.output[*vout as usize].clone()).collect();
    let total: u64 = spent.iter().map(|output| output.value.to_sat()).sum();
    sign(spend(&coins, vec![out(total - fee_sat, miner())]), &spent)
}

/// Signs every input that pays the miner's key.
pub(crate) fn sign(mut tx: Transaction, spent: &[TxOut]) -> Transaction {
    for (index, output) in spent.iter().enumerate() {
        if output.script_pubkey == miner() {
            let hash = SighashCache::new(&tx)
                .p2wpkh_signature_hash(index, &miner(), output.value, EcdsaSighashType::All)
                .unwrap();
            let message = Message::from_digest(hash.to_byte_array());
            let signature =
                bitcoin::ecdsa::Signature::sighash_all(SECP256K1.sign_ecdsa(&message, &key()));
            tx.input[index].witness = Witness::p2wpkh(&signature, &pubkey().inner);
        }
    }
    tx
}

/// A signature for a P2WSH input.
pub(crate) fn sign_wsh(tx: &Transaction, index: usize, script: &ScriptBuf, value: u64) -> Vec<u8> {
    let hash = SighashCache::new(tx)
        .p2wsh_signature_hash(index, script, Amount::from_sat(value), EcdsaSighashType::All)
        .unwrap();
    let message = Message::from_digest(hash.to_byte_array());
    let mut bytes = SECP256K1.sign_ecdsa(&message, &key()).serialize_der().to_vec();
    bytes.push(1);
    bytes
}

/// The word of a refused block.
pub(crate) fn word<T: std::fmt::Debug>(result: Result<T, ChainError>) -> Reject {
    match result {
        Err(ChainError::Rejected(word)) => word,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Numbers from a seed.
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        const STEP: u64 = 1_442_695_040_888_963_407;
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(STEP);
        (self.0 >> 33) as usize % end
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// How many random cases are tried.
pub(crate) fn seeds() -> u64 {
    std::env::var("VIADUCT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}
