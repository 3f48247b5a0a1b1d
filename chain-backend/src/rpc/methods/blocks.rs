//! Blocks, headers, coins, and waiting for them.

use crate::backend::{BlockRef, ChainBackend};
use crate::builtin::Standing;
use crate::rpc::error::RpcError;
use crate::rpc::money::Btc;
use crate::rpc::request::Args;
use crate::rpc::show::block::{BlockShown, HeaderShown, TxOfBlock, hex32};
use crate::rpc::show::script::ScriptShown;
use crate::rpc::show::tx::TxShown;
use crate::rpc::{Answer, Node, answer};
use bitcoin::bip158::BlockFilter;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::{
    Block, BlockHash, FilterHeader, OutPoint, ScriptBuf, Target, Transaction, TxOut, Txid,
};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How often a caller that waits for a block is served.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn count(node: &Node) -> Answer {
    answer(&node.chain.tip().await?.height)
}

pub(super) async fn best_hash(node: &Node) -> Answer {
    answer(&node.chain.tip().await?.hash)
}

pub(super) async fn difficulty(node: &Node) -> Answer {
    answer(&node.chain.tip().await?.header.difficulty_float())
}

pub(super) async fn hash(node: &Node, args: &Args) -> Answer {
    let out_of_range = || RpcError::parameter("Block height out of range");
    let height = u32::try_from(args.number(0, "height")?).map_err(|_| out_of_range())?;
    let block = node.chain.header_at(height).await.map_err(|_| out_of_range())?;
    answer(&block.hash)
}

#[derive(Serialize)]
struct ChainInfo {
    chain: &'static str,
    blocks: u32,
    headers: u32,
    bestblockhash: BlockHash,
    bits: String,
    target: String,
    difficulty: f64,
    time: u32,
    mediantime: u32,
    verificationprogress: u8,
    /// Core Lightning waits while it is true, which a chain that makes its own blocks never is.
    initialblockdownload: bool,
    chainwork: String,
    size_on_disk: u64,
    /// LND connects to peers of the chain when it is true.
    pruned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signet_challenge: Option<String>,
    warnings: [&'static str; 0],
}

/// Bitcoin Core's name for the network.
pub(super) fn chain_name(node: &Node) -> &'static str {
    node.chain.network().to_core_arg()
}

pub(super) async fn chain_info(node: &Node) -> Answer {
    let tip = node.chain.tip().await?;
    let Standing { work, .. } = standing(node, tip.hash).await?;
    let challenge = node.chain.ask(|chain| chain.challenge()).await?;
    answer(&ChainInfo {
        chain: chain_name(node),
        blocks: tip.height,
        headers: tip.height,
        bestblockhash: tip.hash,
        bits: format!("{:08x}", tip.header.bits.to_consensus()),
        target: format!("{:064x}", Target::from_compact(tip.header.bits)),
        difficulty: tip.header.difficulty_float(),
        time: tip.header.time,
        mediantime: tip.mtp,
        verificationprogress: 1,
        initialblockdownload: false,
        chainwork: hex32(&work),
        size_on_disk: 0,
        pruned: false,
        signet_challenge: challenge.map(|script| script.to_hex_string()),
        warnings: [],
    })
}

/// The deployments of regtest, all of them in force from the first block on.
pub(super) async fn deployments(node: &Node, args: &Args) -> Answer {
    let at = match args.get(0) {
        Some(_) => standing(node, args.hash(0, "blockhash")?).await?.at,
        None => node.chain.tip().await?,
    };
    let buried = |height: u32| json!({ "type": "buried", "active": true, "height": height });
    answer(&json!({
        "hash": at.hash,
        "height": at.height,
        "script_flags": ["CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "DERSIG", "NULLDUMMY", "P2SH", "TAPROOT", "WITNESS"],
        "deployments": {
            "bip34": buried(1),
            "bip66": buried(1),
            "bip65": buried(1),
            "csv": buried(1),
            "segwit": buried(0),
            "taproot": buried(0),
        },
    }))
}

pub(super) async fn header(node: &Node, args: &Args) -> Answer {
    let hash = args.hash(0, "blockhash")?;
    let standing = standing(node, hash).await?;
    if !args.flag_or(1, "verbose", true)? {
        return answer(&serialize_hex(&standing.at.header));
    }
    let count = node.chain.block(hash).await?.txdata.len();
    answer(&HeaderShown::of(&standing, count))
}

pub(super) async fn block(node: &Node, args: &Args) -> Answer {
    let hash = args.hash(0, "blockhash")?;
    let verbosity = args.verbosity(1, 1)?;
    let block = node.chain.block(hash).await?;
    if verbosity <= 0 {
        return answer(&serialize_hex(block.as_ref()));
    }
    let standing = standing(node, hash).await?;
    let tx = if verbosity == 1 {
        block.txdata.iter().map(|tx| TxOfBlock::Id(tx.compute_txid())).collect()
    } else {
        whole(node, &block, verbosity > 2).await?
    };
    let weight = block.weight().to_wu();
    let size = block.total_size();
    answer(&BlockShown {
        header: HeaderShown::of(&standing, block.txdata.len()),
        // BIP 141: the weight is three times this and once the size.
        strippedsize: usize::try_from(weight)
            .unwrap_or(usize::MAX)
            .saturating_sub(size)
            .div_euclid(3),
        size,
        weight,
        tx,
    })
}

/// The transactions of a block with their fees, and with what they spend.
async fn whole(
    node: &Node,
    block: &Arc<Block>,
    prevouts: bool,
) -> Result<Vec<TxOfBlock>, RpcError> {
    let spent = spent(node, block).await?;
    let network = node.chain.network();
    let shown = block.txdata.iter().zip(spent).map(|(tx, spent)| {
        let spent = spent.unwrap_or_default();
        let outputs = if prevouts { spent.as_slice() } else { &[] };
        let mut shown = TxShown::of(tx, network, outputs).with_hex(tx);
        shown.fee = fee(tx, &spent);
        TxOfBlock::Whole(Box::new(shown))
    });
    Ok(shown.collect())
}

/// What each transaction of a block spends; `None` for the coinbase.
type Spent = Vec<Option<Vec<TxOut>>>;

pub(super) async fn spent(node: &Node, block: &Arc<Block>) -> Result<Spent, RpcError> {
    let block = Arc::clone(block);
    let spent = node.chain.ask(move |chain| {
        block.txdata.iter().map(|tx| chain.spent_by(tx)).collect::<Result<Spent, _>>()
    });
    Ok(spent.await??)
}

/// What a transaction pays, if it spends anything.
pub(super) fn fee(tx: &Transaction, spent: &[TxOut]) -> Option<Btc> {
    let sum = |outputs: &[TxOut]| {
        outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
    };
    (!spent.is_empty()).then(|| Btc::sat(sum(spent).saturating_sub(sum(&tx.output))))
}

pub(super) async fn standing(node: &Node, hash: BlockHash) -> Result<Standing, RpcError> {
    let standing = node.chain.ask(move |chain| chain.standing(hash)).await?;
    standing.ok_or_else(|| RpcError::not_found("Block not found"))
}

pub(super) async fn tips(node: &Node) -> Answer {
    let tip = node.chain.tip().await?;
    let branches = node.chain.ask(|chain| chain.branches()).await?;
    let shown: Vec<_> = (branches.into_iter())
        .map(|branch| {
            let status = match (branch.tip.hash == tip.hash, branch.invalid) {
                (true, _) => "active",
                (false, true) => "invalid",
                (false, false) => "valid-fork",
            };
            json!({
                "height": branch.tip.height,
                "hash": branch.tip.hash,
                "branchlen": branch.length,
                "status": status,
            })
        })
        .collect();
    answer(&shown)
}

#[derive(Serialize)]
struct Coin {
    bestblock: BlockHash,
    confirmations: u32,
    value: Btc,
    #[serde(rename = "scriptPubKey")]
    script: ScriptShown,
    coinbase: bool,
}

pub(super) async fn txout(node: &Node, args: &Args) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    let vout = u32::try_from(args.number(1, "n")?);
    let vout = vout.map_err(|_| RpcError::parameter("Invalid parameter, n out of range"))?;
    let with_mempool = args.flag_or(2, "include_mempool", true)?;
    let tip = node.chain.tip().await?;
    let found = node.chain.txout(OutPoint { txid, vout }).await?;
    let found = found.filter(|found| {
        if with_mempool { found.mempool_spender.is_none() } else { found.height.is_some() }
    });
    let Some(found) = found else { return answer(&()) };
    let above = |height: u32| tip.height.saturating_sub(height).saturating_add(1);
    answer(&Coin {
        bestblock: tip.hash,
        confirmations: found.height.map_or(0, above),
        value: Btc::sat(found.output.value.to_sat()),
        script: ScriptShown::of(&found.output.script_pubkey, node.chain.network()),
        coinbase: found.coinbase,
    })
}

/// The basic filter (BIP 158) and its header (BIP 157).
pub(super) async fn filter(node: &Node, args: &Args) -> Answer {
    let hash: BlockHash = args.hash(0, "blockhash")?;
    if args.get(1).is_some() && args.text(1, "filtertype")? != "basic" {
        return Err(RpcError::not_found("Unknown filtertype"));
    }
    let mut way = vec![standing(node, hash).await?.at];
    while let Some(last) = way.last().filter(|last| last.height > 0) {
        way.push(standing(node, last.header.prev_blockhash).await?.at);
    }
    let mut header = FilterHeader::all_zeros();
    let mut filter = BlockFilter::new(&[]);
    for at in way.into_iter().rev() {
        filter = filter_of(node, at).await?;
        header = filter.filter_header(&header);
    }
    answer(&json!({ "filter": filter.content.to_lower_hex_string(), "header": header }))
}

async fn filter_of(node: &Node, at: BlockRef) -> Result<BlockFilter, RpcError> {
    let block = node.chain.block(at.hash).await?;
    let spent = spent(node, &block).await?;
    let scripts: std::collections::BTreeMap<OutPoint, ScriptBuf> = block
        .txdata
        .iter()
        .zip(spent)
        .flat_map(|(tx, spent)| {
            let outpoints = tx.input.iter().map(|input| input.previous_output);
            let scripts = spent.unwrap_or_default().into_iter().map(|output| output.script_pubkey);
            outpoints.zip(scripts).collect::<Vec<_>>()
        })
        .collect();
    let missing = bitcoin::bip158::Error::UtxoMissing;
    let filter = BlockFilter::new_script_filter(&block, |outpoint| {
        scripts.get(outpoint).cloned().ok_or_else(|| missing(*outpoint))
    });
    filter.map_err(|error| RpcError::misc(error.to_string()))
}

pub(super) async fn wait_for_height(node: &Node, args: &Args) -> Answer {
    let height = args.number(0, "height")?;
    wait(node, args, 1, |tip| i64::from(tip.height) >= height).await
}

pub(super) async fn wait_for_hash(node: &Node, args: &Args) -> Answer {
    let hash: BlockHash = args.hash(0, "blockhash")?;
    wait(node, args, 1, |tip| tip.hash == hash).await
}

pub(super) async fn wait_for_new(node: &Node, args: &Args) -> Answer {
    let old = match args.get(1) {
        Some(_) => args.hash(1, "current_tip")?,
        None => node.chain.tip().await?.hash,
    };
    wait(node, args, 0, |tip| tip.hash != old).await
}

/// Waits until the tip is as wanted or the time (milliseconds; 0 is for ever) is up; answers the tip.
async fn wait(
    node: &Node,
    args: &Args,
    place: usize,
    wanted: impl Fn(&BlockRef) -> bool,
) -> Answer {
    let time = u64::try_from(args.number_or(place, "timeout", 0)?);
    let time = time.map_err(|_| RpcError::misc("Negative timeout"))?;
    let found = async {
        loop {
            let tip = node.chain.tip().await?;
            if wanted(&tip) {
                return Ok::<_, RpcError>(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if time == 0 {
        found.await?;
    } else if let Ok(found) = tokio::time::timeout(Duration::from_millis(time), found).await {
        found?;
    }
    let tip = node.chain.tip().await?;
    answer(&json!({ "hash": tip.hash, "height": tip.height }))
}
