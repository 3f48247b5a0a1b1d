//! Proofs that a block has a transaction.

use super::blocks::hash;
use super::refusal::Refusal;
use super::{Node, Reply, json, text};
use crate::backend::{BlockRef, ChainBackend as _};
use axum::extract::{Path, State};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{Block, MerkleBlock, Txid};
use serde_json::json as object;
use std::sync::Arc;

/// The block of a transaction, and its place in it.
async fn mined(node: &Node, txid: Txid) -> Result<(BlockRef, u32, Arc<Block>), Refusal> {
    let found = node.chain.tx(txid).await?.and_then(|found| found.confirmed);
    let words = "Transaction not found or is unconfirmed";
    let (block, index) = found.ok_or_else(|| Refusal::not_found(words))?;
    Ok((block, index, node.chain.block(block.hash).await?))
}

/// The hashes beside the way from the transaction up to the merkle root, as Electrum has them.
pub(super) async fn branch(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    let (at, index, block) = mined(&node, hash(&txid)?).await?;
    let txids = block.txdata.iter().map(|tx| tx.compute_txid()).collect();
    let place = usize::try_from(index).unwrap_or(usize::MAX);
    let merkle = beside(txids, place);
    json(&object!({ "block_height": at.height, "merkle": merkle, "pos": index }))
}

/// Bitcoin Core's `merkleblock`.
pub(super) async fn merkle_block(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    let txid: Txid = hash(&txid)?;
    let (_, _, block) = mined(&node, txid).await?;
    Ok(text(serialize_hex(&MerkleBlock::from_block_with_predicate(&block, |of| *of == txid))))
}

fn beside(mut level: Vec<Txid>, mut place: usize) -> Vec<Txid> {
    let mut beside = Vec::new();
    while level.len() > 1 {
        let above = level.chunks(2).map(|pair| {
            // The last of an odd number stands beside itself.
            let (left, right) = (pair.first(), pair.last());
            let both = [left, right].into_iter().flatten().flat_map(|one| one.to_byte_array());
            Txid::from_raw_hash(sha256d::Hash::hash(&both.collect::<Vec<_>>()))
        });
        let above = above.collect();
        beside.extend(level.get(place ^ 1).or_else(|| level.get(place)).copied());
        place >>= 1;
        level = above;
    }
    beside
}
