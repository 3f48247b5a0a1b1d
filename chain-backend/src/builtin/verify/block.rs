//! Blocks: what can be said without the coins.

use crate::builtin::params::{BLOCK_SIGOPS_MAX, BLOCK_WEIGHT_MAX, FUTURE_MAX_S, Params};
use crate::builtin::reject::Reject;
use crate::builtin::verify::locks::is_final;
use crate::builtin::verify::signet::check_solution;
use crate::builtin::verify::tx::{check_transaction, over_block_size};
use bitcoin::block::Header;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::script::Builder;
use bitcoin::{Block, CompactTarget, Transaction};

/// Marks the output in which a coinbase commits to the witnesses (BIP 141).
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// What a block's place on a chain says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its height.
    pub(crate) height: u32,
    /// Median time of the eleven blocks before it.
    pub(crate) previous_mtp: u32,
}

/// Rules that need no context: proof of work, merkle root, coinbase, sizes.
pub(crate) fn check_block(block: &Block, params: &Params) -> Result<(), Reject> {
    let target = block.header.target();
    if target > params.target() || !target.is_met_by(block.block_hash()) {
        return Err(Reject::HighHash);
    }
    // All signets have one genesis block, and nobody signed it.
    if let Some(signet) = params.signet.as_ref().filter(|_| block.header != params.genesis.header) {
        check_solution(block, &signet.challenge)?;
    }
    let (root, mutated) = merkle_root(block);
    if root != Some(block.header.merkle_root.to_byte_array()) {
        return Err(Reject::BadMerkleRoot);
    }
    if mutated {
        return Err(Reject::MerkleDuplicate);
    }
    let size: usize = block.txdata.iter().fold(81, |sum, tx| sum.saturating_add(tx.base_size()));
    if block.txdata.is_empty() || over_block_size(size) || over_block_size(block.txdata.len()) {
        return Err(Reject::BlockLength);
    }
    let mut txs = block.txdata.iter();
    if !txs.next().is_some_and(Transaction::is_coinbase) {
        return Err(Reject::CoinbaseMissing);
    }
    if txs.any(Transaction::is_coinbase) {
        return Err(Reject::CoinbaseMultiple);
    }
    block.txdata.iter().try_for_each(check_transaction)?;
    let sigops = block.txdata.iter().fold(0_usize, |sum, tx| sum.saturating_add(legacy_sigops(tx)));
    if sigops.saturating_mul(4) > BLOCK_SIGOPS_MAX {
        return Err(Reject::BlockSigops);
    }
    Ok(())
}

/// Rules of the header against its predecessor, the difficulty that follows from it, and the clock.
pub(crate) fn check_header(
    header: &Header,
    place: Place,
    now: u32,
    bits: CompactTarget,
) -> Result<(), Reject> {
    if header.bits != bits {
        return Err(Reject::BadDiffBits);
    }
    if header.time <= place.previous_mtp {
        return Err(Reject::TimeTooOld);
    }
    if header.time > now.saturating_add(FUTURE_MAX_S) {
        return Err(Reject::TimeTooNew);
    }
    // BIP 34, 66 and 65 retired versions 1, 2 and 3.
    if header.version.to_consensus() < 4 {
        return Err(Reject::BadVersion(header.version.to_consensus()));
    }
    Ok(())
}

/// Rules of the contents against the height and time: locks, height in the coinbase, witnesses, weight.
pub(crate) fn check_contents(block: &Block, place: Place) -> Result<(), Reject> {
    if !block.txdata.iter().all(|tx| is_final(tx, place.height, place.previous_mtp)) {
        return Err(Reject::BlockNonFinal);
    }
    let height = Builder::new().push_int(i64::from(place.height)).into_script();
    let coinbase = block.coinbase().and_then(|tx| tx.input.first());
    if !coinbase.is_some_and(|input| input.script_sig.as_bytes().starts_with(height.as_bytes())) {
        return Err(Reject::CoinbaseHeight);
    }
    check_witness_commitment(block)?;
    if block.weight().to_wu() > BLOCK_WEIGHT_MAX {
        return Err(Reject::BlockWeight);
    }
    Ok(())
}

fn check_witness_commitment(block: &Block) -> Result<(), Reject> {
    let Some(coinbase) = block.coinbase() else { return Err(Reject::CoinbaseMissing) };
    let commitment = coinbase.output.iter().rev().find_map(|output| {
        let script = output.script_pubkey.as_bytes();
        script.strip_prefix(&COMMITMENT_PREFIX)?.first_chunk::<32>()
    });
    let Some(commitment) = commitment else {
        let any = block.txdata.iter().any(|tx| tx.input.iter().any(|i| !i.witness.is_empty()));
        return if any { Err(Reject::UnexpectedWitness) } else { Ok(()) };
    };
    let reserved = coinbase.input.first().filter(|input| input.witness.len() == 1);
    let reserved = reserved.and_then(|input| input.witness.iter().next());
    let Some(reserved) = reserved.filter(|value| value.len() == 32) else {
        return Err(Reject::WitnessNonceSize);
    };
    let wtxid = |(index, tx): (usize, &Transaction)| {
        if index == 0 { [0; 32] } else { tx.compute_wtxid().to_byte_array() }
    };
    let leaves = block.txdata.iter().enumerate().map(wtxid).collect();
    let root = merkle_tree(leaves).0.unwrap_or_default();
    let mut engine = sha256d::Hash::engine();
    engine.input(&root);
    engine.input(reserved);
    if sha256d::Hash::from_engine(engine).to_byte_array() != *commitment {
        return Err(Reject::WitnessMerkleMatch);
    }
    Ok(())
}

fn legacy_sigops(tx: &Transaction) -> usize {
    let inputs = tx.input.iter().map(|input| input.script_sig.count_sigops_legacy());
    let outputs = tx.output.iter().map(|output| output.script_pubkey.count_sigops_legacy());
    inputs.chain(outputs).fold(0, usize::saturating_add)
}

fn merkle_root(block: &Block) -> (Option<[u8; 32]>, bool) {
    merkle_tree(block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect())
}

/// The root, and whether two neighbours are equal somewhere: then another list has the same root
/// (CVE-2012-2459).
fn merkle_tree(mut level: Vec<[u8; 32]>) -> (Option<[u8; 32]>, bool) {
    let mut mutated = false;
    while level.len() > 1 {
        mutated |= level.chunks_exact(2).any(|pair| pair.first() == pair.last());
        let parent = |pair: &[[u8; 32]]| {
            let (left, right) = (pair.first()?, pair.last()?);
            let mut engine = sha256d::Hash::engine();
            engine.input(left);
            engine.input(right);
            Some(sha256d::Hash::from_engine(engine).to_byte_array())
        };
        level = level.chunks(2).filter_map(parent).collect();
    }
    (level.first().copied(), mutated)
}
