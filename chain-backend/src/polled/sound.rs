//! What can be checked of blocks and transactions that a stranger shows: names against bytes, contents against
//! headers, headers against their work and the one below.
//!
//! Which chain is best is the server's word; but every block of it cost what the network's rules demand.

use crate::backend::{BackendError, BlockRef};
use bitcoin::block::Header;
use bitcoin::consensus::Params;
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{Block, BlockHash, Network, Target, Transaction, Txid};
use std::collections::BTreeSet;

/// Blocks between two adjustments of the difficulty.
const ADJUSTED: u32 = 2_016;
/// The longest way from a transaction to its merkle root.
const DEPTH_MAX: usize = 32;
/// What an inner node of a merkle tree has, bytes: a transaction of that size could be one.
const NODE_SIZE: usize = 64;

/// Something that cannot be true.
pub(crate) const fn nonsense(what: &'static str) -> BackendError {
    BackendError::Lied(what)
}

/// A header under its name and with its work.
pub(crate) fn header(header: &Header, hash: BlockHash) -> Result<(), BackendError> {
    if header.block_hash() != hash {
        return Err(nonsense("a header with another hash"));
    }
    if !header.target().is_met_by(hash) {
        return Err(nonsense("a header without its work"));
    }
    Ok(())
}

/// A block under its name, with the transactions and witnesses that it commits to.
pub(crate) fn block(block: &Block, hash: BlockHash) -> Result<(), BackendError> {
    header(&block.header, hash)?;
    let txids: BTreeSet<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    // Repeated transactions may keep the root (CVE-2012-2459).
    if !block.check_merkle_root() || txids.len() != block.txdata.len() {
        return Err(nonsense("a block with other transactions than its header says"));
    }
    if !block.check_witness_commitment() {
        return Err(nonsense("a block with other witnesses than it commits to"));
    }
    Ok(())
}

/// Whether `child` may stand on `parent`: its place, its time, and no less work than the network's rules demand.
pub(crate) fn on(
    child: &BlockRef,
    parent: &BlockRef,
    network: Network,
) -> Result<(), BackendError> {
    if child.header.prev_blockhash != parent.hash
        || Some(child.height) != parent.height.checked_add(1)
    {
        return Err(nonsense("a block out of order"));
    }
    // BIP 113: the median never falls, and no block is older than it.
    if child.mtp < parent.mtp || child.mtp > child.header.time {
        return Err(nonsense("a median of times that it cannot be"));
    }
    let params = Params::new(network);
    let (now, before) = (child.header.target(), parent.header.target());
    let is_same = child.header.bits == parent.header.bits;
    let is_right = if params.no_pow_retargeting {
        is_same
    } else if params.allow_min_difficulty_blocks {
        now <= params.max_attainable_target
    } else if child.height.checked_rem(ADJUSTED) == Some(0) {
        let least = Target::from_compact(before.min_transition_threshold().to_compact_lossy());
        now >= least && now <= before.max_transition_threshold(&params)
    } else {
        is_same
    };
    if is_right { Ok(()) } else { Err(nonsense("a block of another difficulty")) }
}

/// Whether a header commits to a transaction at a place, by the hashes beside the way up.
pub(crate) fn proven(
    tx: &Transaction,
    place: u32,
    beside: &[Txid],
    header: &Header,
) -> Result<(), BackendError> {
    let is_node = tx.base_size() == NODE_SIZE;
    let levels = u32::try_from(beside.len()).unwrap_or(u32::MAX);
    if is_node || beside.len() > DEPTH_MAX || u64::from(place) >> levels != 0 {
        return Err(nonsense("a proof that is none"));
    }
    let (mut node, mut place) = (tx.compute_txid().to_byte_array(), place);
    for other in beside {
        let other = other.to_byte_array();
        let both = if place & 1 == 0 { [node, other] } else { [other, node] };
        node = sha256d::Hash::hash(both.as_flattened()).to_byte_array();
        place >>= 1;
    }
    if node == header.merkle_root.to_byte_array() {
        Ok(())
    } else {
        Err(nonsense("a proof of another block"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::{CompactTarget, constants::genesis_block};

    fn at(height: u32, header: Header) -> BlockRef {
        BlockRef { height, hash: header.block_hash(), header, mtp: header.time }
    }

    fn pair(network: Network, height: u32, bits: u32) -> (BlockRef, BlockRef) {
        let parent = genesis_block(network).header;
        let child = Header {
            prev_blockhash: parent.block_hash(),
            bits: CompactTarget::from_consensus(bits),
            ..parent
        };
        (at(height, child), at(height - 1, parent))
    }

    #[test]
    fn a_block_costs_what_the_rules_demand() {
        let is_right = |network, height, bits| {
            let (child, parent) = pair(network, height, bits);
            on(&child, &parent, network).is_ok()
        };
        let main = 0x1d00_ffff;
        assert!(is_right(Network::Bitcoin, 5, main));
        // Ever so little easier, or harder, out of turn.
        assert!(!is_right(Network::Bitcoin, 5, 0x1d01_0000));
        assert!(!is_right(Network::Bitcoin, 5, 0x1d00_fffe));
        // In turn: down to a quarter, never above the network's limit.
        assert!(is_right(Network::Bitcoin, 2_016, 0x1c3f_ffc0));
        assert!(!is_right(Network::Bitcoin, 2_016, 0x1c3f_ff00));
        assert!(!is_right(Network::Bitcoin, 2_016, 0x1d01_0000));
        assert!(is_right(Network::Signet, 5, 0x1e03_77ae) && !is_right(Network::Signet, 5, main));
        assert!(is_right(Network::Regtest, 2_016, 0x207f_ffff));
        assert!(!is_right(Network::Regtest, 2_016, main));
        assert!(
            is_right(Network::Testnet4, 5, main) && is_right(Network::Testnet4, 5, 0x1c3f_ffc0)
        );
        assert!(!is_right(Network::Testnet4, 5, 0x1e03_77ae));
    }

    #[test]
    fn a_block_stands_on_the_one_before_it_in_place_and_time() {
        let (child, parent) = pair(Network::Regtest, 7, 0x207f_ffff);
        assert!(on(&child, &parent, Network::Regtest).is_ok());
        for wrong in [
            BlockRef { height: 8, ..child },
            BlockRef { mtp: child.mtp + 1, ..child },
            BlockRef { mtp: parent.mtp - 1, ..child },
            parent,
        ] {
            assert!(on(&wrong, &parent, Network::Regtest).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn contents_must_be_those_of_the_header() {
        let right = genesis_block(Network::Regtest);
        let hash = right.block_hash();
        assert!(block(&right, hash).is_ok());
        assert!(block(&right, BlockHash::all_zeros()).is_err());
        let mut twice = right.clone();
        twice.txdata.push(right.txdata[0].clone());
        assert!(block(&twice, hash).is_err());
        let mut lazy = right;
        while lazy.header.target().is_met_by(lazy.block_hash()) {
            lazy.header.nonce += 1;
        }
        assert!(block(&lazy, lazy.block_hash()).is_err());
    }

    #[test]
    fn a_proof_is_of_this_transaction_at_this_place() {
        let block = genesis_block(Network::Regtest);
        let tx = &block.txdata[0];
        assert!(proven(tx, 0, &[], &block.header).is_ok());
        assert!(proven(tx, 1, &[], &block.header).is_err(), "there is no second place");
        assert!(proven(tx, 0, &[tx.compute_txid()], &block.header).is_err());
        assert!(proven(tx, 0, &[Txid::all_zeros(); 33], &block.header).is_err());
        let both = [tx.compute_txid().to_byte_array(), [7; 32]];
        let root = sha256d::Hash::hash(both.as_flattened());
        let header =
            Header { merkle_root: bitcoin::TxMerkleNode::from_raw_hash(root), ..block.header };
        let beside = [Txid::from_byte_array([7; 32])];
        assert!(
            proven(tx, 0, &beside, &header).is_ok() && proven(tx, 1, &beside, &header).is_err()
        );
    }
}
