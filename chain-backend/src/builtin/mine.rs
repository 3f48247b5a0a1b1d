//! Making blocks. Nothing here is random: the same chain, transactions, script and time give the same
//! block.

use crate::backend::BlockRef;
use crate::builtin::params::Params;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, Script, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Witness, WitnessMerkleNode, Wtxid,
};
use std::sync::Arc;

/// A block to be made.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// The block it stands on.
    pub(crate) previous: BlockRef,
    /// What goes in, parents first.
    pub(crate) txs: &'a [Arc<Transaction>],
    /// What they pay together, satoshi.
    pub(crate) fees_sat: u64,
    /// Who gets subsidy and fees.
    pub(crate) script: &'a Script,
    /// Unix seconds.
    pub(crate) now: u32,
    /// Makes two blocks on the same predecessor differ.
    pub(crate) extra: u64,
    /// The difficulty it must have.
    pub(crate) bits: CompactTarget,
}

/// Builds the block and finds its proof of work. `None` only if no nonce will do (on regtest every second
/// one does), or on a signet whose key we do not have.
pub(crate) fn make_block(order: &Order<'_>, params: &Params) -> Option<Block> {
    grind(assemble(order, params)?)
}

/// Builds the block, signed where the chain is a signet; what it lacks is a nonce.
pub(crate) fn assemble(order: &Order<'_>, params: &Params) -> Option<Block> {
    let height = order.previous.height.checked_add(1)?;
    let reward = params.subsidy_sat(height).saturating_add(order.fees_sat);
    let mut txdata = vec![coinbase(height, reward, order)];
    txdata.extend(order.txs.iter().map(|tx| Transaction::clone(tx)));
    let header = Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: order.previous.hash,
        merkle_root: TxMerkleNode::all_zeros(),
        time: order.now.max(order.previous.mtp.saturating_add(1)),
        bits: order.bits,
        nonce: 0,
    };
    let mut block = Block { header, txdata };
    commit_to_witnesses(&mut block);
    block.header.merkle_root = block.compute_merkle_root()?;
    match &params.signet {
        Some(signet) => signet.sign(block),
        None => Some(block),
    }
}

/// Finds the nonce that gives a block the work its header claims.
pub(crate) fn grind(mut block: Block) -> Option<Block> {
    let target = block.header.target();
    let bytes = serialize(&block.header);
    // The nonce is in the last 16 of its 80 bytes: the hash of what is before them is always the same.
    let (same, rest) = bytes.split_at_checked(64)?;
    let (time_and_bits, _) = rest.split_at_checked(12)?;
    let mut begun = sha256d::Hash::engine();
    begun.input(same);
    begun.input(time_and_bits);
    let nonce = (0..=u32::MAX).find(|nonce| {
        let mut engine = begun.clone();
        engine.input(&nonce.to_le_bytes());
        target.is_met_by(BlockHash::from_raw_hash(sha256d::Hash::from_engine(engine)))
    });
    block.header.nonce = nonce?;
    Some(block)
}

fn coinbase(height: u32, reward_sat: u64, order: &Order<'_>) -> Transaction {
    let script_sig = Builder::new()
        .push_int(i64::from(height))
        .push_slice(order.extra.to_be_bytes())
        .into_script();
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0_u8; 32]]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(reward_sat),
            script_pubkey: order.script.to_owned(),
        }],
    }
}

/// Adds the output in which the coinbase commits to all witnesses (BIP 141).
fn commit_to_witnesses(block: &mut Block) {
    let root = block.witness_root().unwrap_or_else(WitnessMerkleNode::all_zeros);
    if let Some(coinbase) = block.txdata.first_mut() {
        coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey: commitment(root) });
    }
}

/// What a coinbase says of the witnesses of the transactions behind it.
pub(crate) fn witness_commitment(txs: &[Arc<Transaction>]) -> ScriptBuf {
    let wtxids = txs.iter().map(|tx| tx.compute_wtxid().to_raw_hash());
    let leaves = std::iter::once(Wtxid::all_zeros().to_raw_hash()).chain(wtxids);
    let root = bitcoin::merkle_tree::calculate_root(leaves);
    commitment(root.map_or_else(WitnessMerkleNode::all_zeros, WitnessMerkleNode::from_raw_hash))
}

fn commitment(root: WitnessMerkleNode) -> ScriptBuf {
    let mut engine = sha256d::Hash::engine();
    engine.input(&root.to_byte_array());
    engine.input(&[0; 32]);
    let commitment = sha256d::Hash::from_engine(engine).to_byte_array();
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend(commitment);
    ScriptBuf::from_bytes(script)
}
