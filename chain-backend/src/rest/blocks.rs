//! Blocks and headers.

use super::refusal::Refusal;
use super::show::{BlockShown, TxShown};
use super::{Node, Reply, bytes, json, text};
use crate::backend::{BlockRef, ChainBackend as _};
use axum::extract::{Path, State};
use bitcoin::consensus::encode::{serialize, serialize_hex};
use bitcoin::{BlockHash, Txid};
use serde_json::json as object;

/// Blocks of one list.
const BLOCKS: usize = 10;
/// Transactions of one page.
pub(super) const PAGE: usize = 25;

pub(super) async fn tip_height(State(node): State<Node>) -> Reply {
    Ok(text(node.chain.tip().await?.height))
}

pub(super) async fn tip_hash(State(node): State<Node>) -> Reply {
    Ok(text(node.chain.tip().await?.hash))
}

pub(super) async fn newest(State(node): State<Node>) -> Reply {
    let tip = node.chain.tip().await?;
    list(&node, tip).await
}

pub(super) async fn from(State(node): State<Node>, Path(start): Path<String>) -> Reply {
    let height = number(&start)?;
    let at = node.chain.header_at(height).await?;
    list(&node, at).await
}

/// A block and those below it.
async fn list(node: &Node, from: BlockRef) -> Reply {
    let mut shown = Vec::new();
    let mut next = Some(from);
    while let Some(at) = next.filter(|_| shown.len() < BLOCKS) {
        let block = node.chain.block(at.hash).await?;
        shown.push(BlockShown::of(&at, &block));
        let previous = at.header.prev_blockhash;
        next = node.chain.ask(move |chain| chain.block_ref(previous)).await?;
    }
    json(&shown)
}

pub(super) async fn at_height(State(node): State<Node>, Path(height): Path<String>) -> Reply {
    Ok(text(node.chain.header_at(number(&height)?).await?.hash))
}

/// A whole number in a path.
pub(super) fn number(text: &str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| Refusal::bad("Invalid number"))
}

/// A hash in a path.
pub(super) fn hash<T: std::str::FromStr>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::bad("Invalid hash string"))
}

/// Where a block stands, on the best chain or off it.
async fn place(node: &Node, text: &str) -> Result<BlockRef, Refusal> {
    let hash: BlockHash = hash(text)?;
    node.chain.ask(move |chain| chain.block_ref(hash)).await?.ok_or_else(Refusal::no_block)
}

pub(super) async fn one(State(node): State<Node>, Path(hash): Path<String>) -> Reply {
    let at = place(&node, &hash).await?;
    let block = node.chain.block(at.hash).await?;
    json(&BlockShown::of(&at, &block))
}

pub(super) async fn header(State(node): State<Node>, Path(hash): Path<String>) -> Reply {
    Ok(text(serialize_hex(&place(&node, &hash).await?.header)))
}

/// Of a block that is not on the best chain Esplora tells nothing else.
pub(super) async fn status(State(node): State<Node>, Path(text): Path<String>) -> Reply {
    let hash: BlockHash = hash(&text)?;
    let standing = node.chain.ask(move |chain| chain.standing(hash)).await?;
    let Some(standing) = standing.filter(|standing| standing.confirmations > 0) else {
        return json(&object!({ "in_best_chain": false, "height": null, "next_best": null }));
    };
    let (height, next) = (standing.at.height, standing.next);
    json(&object!({ "in_best_chain": true, "height": height, "next_best": next }))
}

pub(super) async fn raw(State(node): State<Node>, Path(text): Path<String>) -> Reply {
    let block = node.chain.block(hash(&text)?).await?;
    Ok(bytes(serialize(block.as_ref())))
}

pub(super) async fn txids(State(node): State<Node>, Path(text): Path<String>) -> Reply {
    let block = node.chain.block(hash(&text)?).await?;
    let txids: Vec<Txid> = block.txdata.iter().map(|tx| tx.compute_txid()).collect();
    json(&txids)
}

pub(super) async fn txid(
    State(node): State<Node>,
    Path((block, index)): Path<(String, String)>,
) -> Reply {
    let block = node.chain.block(hash(&block)?).await?;
    let index = usize::try_from(number(&index)?).unwrap_or(usize::MAX);
    let tx = block.txdata.get(index);
    Ok(text(tx.ok_or_else(|| Refusal::not_found("tx index out of range"))?.compute_txid()))
}

pub(super) async fn txs(State(node): State<Node>, Path(hash): Path<String>) -> Reply {
    page(&node, &hash, 0).await
}

pub(super) async fn txs_from(
    State(node): State<Node>,
    Path((hash, start)): Path<(String, String)>,
) -> Reply {
    page(&node, &hash, number(&start)?).await
}

async fn page(node: &Node, text: &str, start: u32) -> Reply {
    let hash: BlockHash = hash(text)?;
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let count = node.chain.block(hash).await?.txdata.len();
    if start >= count {
        return Err(Refusal::not_found("start index out of range"));
    }
    if start.checked_rem(PAGE) != Some(0) {
        return Err(Refusal::bad(format!("start index must be a multipication of {PAGE}")));
    }
    let found = node.chain.ask(move |chain| chain.wholes_of(hash, start, PAGE)).await??;
    json(&found.iter().map(|whole| TxShown::of(whole, node.network)).collect::<Vec<_>>())
}
