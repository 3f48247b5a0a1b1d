//! What happened to a script, by its hash or by its address.

use super::blocks::{PAGE, hash};
use super::refusal::Refusal;
use super::show::{Status, SumsShown, TxShown};
use super::{Node, Reply, json};
use crate::backend::BackendError;
use crate::builtin::{ScriptHash, Whole, script_hash};
use axum::extract::{Path, State};
use axum::response::Response;
use bitcoin::address::NetworkUnchecked;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;
use bitcoin::{Address, Txid};
use serde_json::{Value, json as object};

/// Transactions of the mempool in one answer.
const WAITING: usize = 50;
/// Unspent outputs in one answer; a script that has more is refused.
const UNSPENT: usize = 500;
/// Blocks that are read for the index in one go; then others have their turn.
const STEP: usize = 256;

/// A script as the caller names it, `scripthash` or `address`.
struct Named {
    field: &'static str,
    name: String,
    script: ScriptHash,
}

fn by_hash(name: String) -> Result<Named, Refusal> {
    let bytes = <[u8; 32]>::from_hex(&name).map_err(|_| Refusal::bad("Invalid hex string"))?;
    Ok(Named { field: "scripthash", name, script: ScriptHash::from_byte_array(bytes) })
}

fn by_address(node: &Node, name: String) -> Result<Named, Refusal> {
    let address: Address<NetworkUnchecked> =
        name.parse().map_err(|_| Refusal::bad("Invalid Bitcoin address"))?;
    let address = address.require_network(node.network);
    let address = address.map_err(|_| Refusal::bad("Address on invalid network"))?;
    Ok(Named { field: "address", name, script: script_hash(&address.script_pubkey()) })
}

/// Lets the index come near the tip, in steps, so that others are not kept waiting by it.
async fn follow(node: &Node) -> Result<(), BackendError> {
    while !node.chain.ask(|chain| chain.follow_scripts(STEP)).await?? {}
    Ok(())
}

fn shown(node: &Node, found: &[Whole]) -> Result<Response, Refusal> {
    json(&found.iter().map(|whole| TxShown::of(whole, node.network)).collect::<Vec<_>>())
}

async fn stats(node: &Node, named: Named) -> Reply {
    follow(node).await?;
    let script = named.script;
    let (chain, mempool) = node.chain.ask(move |chain| chain.script_sums(script)).await??;
    let mut stats = serde_json::Map::new();
    stats.insert(named.field.to_owned(), Value::String(named.name));
    stats.insert("chain_stats".to_owned(), object!(SumsShown::from(chain)));
    stats.insert("mempool_stats".to_owned(), object!(SumsShown::from(mempool)));
    json(&stats)
}

async fn txs(node: &Node, named: Named) -> Reply {
    follow(node).await?;
    let script = named.script;
    let found = node.chain.ask(move |chain| {
        let mut all = chain.script_waiting(script, WAITING)?;
        all.append(&mut chain.script_history(script, None, PAGE)?);
        Ok::<_, BackendError>(all)
    });
    shown(node, &found.await??)
}

async fn chain(node: &Node, named: Named, last: Option<&str>) -> Reply {
    let last: Option<Txid> = last.map(hash).transpose()?;
    follow(node).await?;
    let script = named.script;
    let found = node.chain.ask(move |chain| chain.script_history(script, last, PAGE));
    shown(node, &found.await??)
}

async fn mempool(node: &Node, named: Named) -> Reply {
    let script = named.script;
    shown(node, &node.chain.ask(move |chain| chain.script_waiting(script, WAITING)).await??)
}

async fn utxo(node: &Node, named: Named) -> Reply {
    follow(node).await?;
    let script = named.script;
    let unspent = node.chain.ask(move |chain| chain.script_unspent(script, UNSPENT)).await??;
    let Some(unspent) = unspent else {
        let words = format!("Too many unspent transaction outputs (>{UNSPENT})");
        return Err(Refusal::bad(words));
    };
    let shown = unspent.iter().map(|one| {
        object!({
            "txid": one.outpoint.txid,
            "vout": one.outpoint.vout,
            "status": Status::of(one.block.as_ref()),
            "value": one.sat,
        })
    });
    json(&shown.collect::<Vec<_>>())
}

pub(super) async fn hash_stats(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    stats(&node, by_hash(name)?).await
}

pub(super) async fn address_stats(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    stats(&node, by_address(&node, name)?).await
}

pub(super) async fn hash_txs(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    txs(&node, by_hash(name)?).await
}

pub(super) async fn address_txs(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    txs(&node, by_address(&node, name)?).await
}

pub(super) async fn hash_chain(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    chain(&node, by_hash(name)?, None).await
}

pub(super) async fn address_chain(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    chain(&node, by_address(&node, name)?, None).await
}

pub(super) async fn hash_chain_after(
    State(node): State<Node>,
    Path((name, last)): Path<(String, String)>,
) -> Reply {
    chain(&node, by_hash(name)?, Some(&last)).await
}

pub(super) async fn address_chain_after(
    State(node): State<Node>,
    Path((name, last)): Path<(String, String)>,
) -> Reply {
    chain(&node, by_address(&node, name)?, Some(&last)).await
}

pub(super) async fn hash_mempool(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    mempool(&node, by_hash(name)?).await
}

pub(super) async fn address_mempool(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    mempool(&node, by_address(&node, name)?).await
}

pub(super) async fn hash_utxo(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    utxo(&node, by_hash(name)?).await
}

pub(super) async fn address_utxo(State(node): State<Node>, Path(name): Path<String>) -> Reply {
    utxo(&node, by_address(&node, name)?).await
}
