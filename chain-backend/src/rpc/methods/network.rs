//! What this server says of itself. It has no peers.

use super::METHODS;
use crate::backend::ChainBackend;
use crate::rpc::error::RpcError;
use crate::rpc::money::Btc;
use crate::rpc::request::Args;
use crate::rpc::{Answer, Node, answer};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is answered without looking through the blocks, by Bitcoin Core's names.
const INDEXES: [&str; 3] = ["txindex", "txospenderindex", "basic block filter index"];

#[derive(Serialize)]
struct Info {
    version: u32,
    subversion: String,
    protocolversion: u32,
    localservices: &'static str,
    localservicesnames: [&'static str; 2],
    /// Core Lightning stops when it is false.
    localrelay: bool,
    timeoffset: i32,
    networkactive: bool,
    connections: u32,
    connections_in: u32,
    connections_out: u32,
    networks: [Value; 0],
    relayfee: Btc,
    incrementalfee: Btc,
    localaddresses: [Value; 0],
    warnings: [&'static str; 0],
}

pub(super) async fn info(node: &Node) -> Answer {
    let fees = node.chain.fees().await?;
    // The Bitcoin Core whose mempool this one takes after. Callers compare the number (Core Lightning wants 220000 at
    // least) and the text (LND compares it as text with `/Satoshi:25.0.0/`).
    let core = node.chain.ask(|chain| chain.mempool().policy().profile.core()).await?;
    answer(&Info {
        version: core.saturating_mul(10_000),
        subversion: format!("/Satoshi:{core}.0.0/"),
        protocolversion: 70_016,
        localservices: "0000000000000009",
        localservicesnames: ["NETWORK", "WITNESS"],
        localrelay: true,
        timeoffset: 0,
        networkactive: false,
        connections: 0,
        connections_in: 0,
        connections_out: 0,
        networks: [],
        relayfee: Btc::per_kvb(fees.relay_min),
        incrementalfee: Btc::per_kvb(fees.incremental),
        localaddresses: [],
        warnings: [],
    })
}

pub(super) fn nothing() -> Answer {
    answer::<[Value; 0]>(&[])
}

pub(super) fn block_from_peer() -> Answer {
    Err(RpcError::misc("Peer does not exist"))
}

/// There are no peers to know addresses of.
pub(super) fn addresses(args: &Args) -> Answer {
    if args.number_or(0, "count", 1)? < 0 {
        return Err(RpcError::parameter("Address count out of range"));
    }
    nothing()
}

/// Indexes are written with each block, so they are never behind.
pub(super) async fn indexes(node: &Node, args: &Args) -> Answer {
    let wanted = args.get(0).map(|_| args.text(0, "index_name")).transpose()?;
    let height = node.chain.tip().await?.height;
    let shown: Map<String, Value> = INDEXES
        .iter()
        .filter(|name| wanted.is_none_or(|wanted| wanted == **name))
        .map(|name| {
            let state = json!({ "synced": true, "best_block_height": height });
            ((*name).to_owned(), state)
        })
        .collect();
    answer(&shown)
}

pub(super) fn rpc_info() -> Answer {
    answer(&json!({ "active_commands": [], "logpath": "" }))
}

/// What Bitcoin Core can write of.
const LOG_CATEGORIES: [&str; 28] = [
    "addrman",
    "bench",
    "blockstorage",
    "cmpctblock",
    "coindb",
    "estimatefee",
    "http",
    "i2p",
    "ipc",
    "leveldb",
    "libevent",
    "mempool",
    "mempoolrej",
    "net",
    "prune",
    "proxy",
    "qt",
    "rand",
    "reindex",
    "rpc",
    "scan",
    "selectcoins",
    "tor",
    "txpackages",
    "txreconciliation",
    "validation",
    "walletdb",
    "zmq",
];

pub(super) fn logging() -> Answer {
    // All of them are off: logs are this program's own.
    let off: BTreeMap<&str, bool> = LOG_CATEGORIES.iter().map(|name| (*name, false)).collect();
    answer(&off)
}

pub(super) fn echo(args: &Args) -> Answer {
    let values: Vec<&Value> = (0..10).map_while(|place| args.get(place)).collect();
    answer(&values)
}

pub(super) fn uptime(node: &Node) -> Answer {
    answer(&(node.now)().saturating_sub(node.started))
}

pub(super) fn stop(node: &Node) -> Answer {
    node.stop.notify_one();
    answer("viaduct-chain stopping")
}

/// All methods, or the parameters of one.
pub(super) fn help(args: &Args) -> Answer {
    let line = |(name, params): &(&str, &[&str])| {
        let params: Vec<String> = params.iter().map(|param| format!(" ( {param} )")).collect();
        format!("{name}{}", params.concat())
    };
    let Some(wanted) = args.get(0).and_then(Value::as_str) else {
        return answer(&METHODS.iter().map(line).collect::<Vec<_>>().join("\n"));
    };
    match METHODS.iter().find(|(name, _)| *name == wanted) {
        Some(method) => answer(&line(method)),
        None => answer(&format!("help: unknown command: {wanted}\n")),
    }
}
