//! Transactions, who spends them, the mempool and what it costs to be mined.

use super::blocks::{hash, number};
use super::refusal::Refusal;
use super::show::{Status, TxShown};
use super::{Node, Reply, bytes, json, text};
use crate::backend::{ChainBackend as _, TxWhere};
use axum::extract::{Path, State};
use bitcoin::consensus::encode::{serialize, serialize_hex};
use bitcoin::{FeeRate, OutPoint, Txid};
use serde::Serialize;
use serde_json::json as object;
use std::collections::BTreeMap;

/// The targets that estimates are given for: 1 to 25 blocks, a day, half a week, a week.
const LONG_TARGETS: [u16; 3] = [144, 504, 1_008];
/// The last transactions that came.
const RECENT: usize = 10;
/// A step of the fee histogram, virtual bytes.
const HISTOGRAM_STEP: u64 = 50_000;

async fn found(node: &Node, txid: &str) -> Result<TxWhere, Refusal> {
    node.chain.tx(hash(txid)?).await?.ok_or_else(Refusal::no_transaction)
}

pub(super) async fn one(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    let txid: Txid = hash(&txid)?;
    let whole = node.chain.ask(move |chain| chain.whole(txid)).await??;
    json(&TxShown::of(&whole.ok_or_else(Refusal::no_transaction)?, node.network))
}

pub(super) async fn hex(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    Ok(text(serialize_hex(found(&node, &txid).await?.tx.as_ref())))
}

pub(super) async fn raw(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    Ok(bytes(serialize(found(&node, &txid).await?.tx.as_ref())))
}

/// Of a transaction that nobody knows, too: it is not confirmed.
pub(super) async fn status(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    let found = node.chain.tx(hash(&txid)?).await?;
    let block = found.and_then(|found| found.confirmed).map(|(block, _)| block);
    json(&Status::of(block.as_ref()))
}

/// Who spends an output.
#[derive(Debug, Default, Serialize)]
struct Spent {
    spent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<Txid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vin: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

async fn spent(node: &Node, outpoint: OutPoint) -> Result<Spent, Refusal> {
    let Some(spend) = node.chain.spender(outpoint, 0).await? else { return Ok(Spent::default()) };
    Ok(Spent {
        spent: true,
        txid: Some(spend.tx.compute_txid()),
        vin: Some(spend.input_index),
        status: Some(Status::of(spend.block.as_ref())),
    })
}

pub(super) async fn outspend(
    State(node): State<Node>,
    Path((txid, vout)): Path<(String, String)>,
) -> Reply {
    let outpoint = OutPoint { txid: hash(&txid)?, vout: number(&vout)? };
    json(&spent(&node, outpoint).await?)
}

pub(super) async fn outspends(State(node): State<Node>, Path(txid): Path<String>) -> Reply {
    let tx = found(&node, &txid).await?.tx;
    let txid = tx.compute_txid();
    let mut shown = Vec::with_capacity(tx.output.len());
    for (vout, _) in (0_u32..).zip(&tx.output) {
        shown.push(spent(&node, OutPoint { txid, vout }).await?);
    }
    json(&shown)
}

/// What one transaction of the mempool pays, and how large it is.
struct Paid {
    arrival: u64,
    txid: Txid,
    fee_sat: u64,
    vsize: u64,
    value_sat: u64,
}

async fn waiting(node: &Node) -> Result<Vec<Paid>, Refusal> {
    let paid = node.chain.ask(|chain| {
        let entries = chain.mempool().iter().map(|(txid, entry)| {
            let values = entry.tx.output.iter().map(|output| output.value.to_sat());
            Paid {
                arrival: entry.arrival,
                txid: *txid,
                fee_sat: entry.fee_sat,
                vsize: entry.vsize,
                value_sat: values.fold(0, u64::saturating_add),
            }
        });
        entries.collect()
    });
    Ok(paid.await?)
}

pub(super) async fn mempool(State(node): State<Node>) -> Reply {
    let paid = waiting(&node).await?;
    let sum = |of: fn(&Paid) -> u64| paid.iter().map(of).fold(0, u64::saturating_add);
    json(&object!({
        "count": paid.len(),
        "vsize": sum(|paid| paid.vsize),
        "total_fee": sum(|paid| paid.fee_sat),
        "fee_histogram": histogram(&paid),
    }))
}

/// Feerates (sat/vB) falling, each with the size of what pays that much but less than the one before.
fn histogram(paid: &[Paid]) -> Vec<(f64, u64)> {
    let mut rates: Vec<(f64, u64)> =
        paid.iter().map(|paid| (rate(paid.fee_sat, paid.vsize), paid.vsize)).collect();
    rates.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut steps = Vec::new();
    let (mut size, mut last) = (0_u64, 0.0);
    for (rate, vsize) in rates {
        if size > HISTOGRAM_STEP && rate < last {
            steps.push((last, size));
            size = 0;
        }
        last = rate;
        size = size.saturating_add(vsize);
    }
    if size > 0 {
        steps.push((last, size));
    }
    steps
}

/// Satoshi for a virtual byte, to the third decimal.
#[expect(clippy::float_arithmetic, reason = "it is shown, and no money hangs on it")]
fn rate(fee_sat: u64, vsize: u64) -> f64 {
    let thousandths = fee_sat.saturating_mul(1_000).checked_div(vsize).unwrap_or(0);
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0
}

pub(super) async fn mempool_txids(State(node): State<Node>) -> Reply {
    let txids =
        node.chain.ask(|chain| chain.mempool().iter().map(|(txid, _)| *txid).collect::<Vec<_>>());
    json(&txids.await?)
}

pub(super) async fn recent(State(node): State<Node>) -> Reply {
    let mut paid = waiting(&node).await?;
    paid.sort_by_key(|paid| std::cmp::Reverse(paid.arrival));
    let shown = paid.iter().take(RECENT).map(|paid| {
        object!({
            "txid": paid.txid, "fee": paid.fee_sat, "vsize": paid.vsize, "value": paid.value_sat,
        })
    });
    json(&shown.collect::<Vec<_>>())
}

/// Estimates by target in sat/vB. Those that nobody knows are not there.
pub(super) async fn fee_estimates(State(node): State<Node>) -> Reply {
    let table = node.chain.fees().await?;
    let targets = (1..=25).chain(LONG_TARGETS);
    let known = targets.filter_map(|target| Some((target, per_vb(table.estimate(target)?))));
    json(&known.collect::<BTreeMap<u16, f64>>())
}

fn per_vb(feerate: FeeRate) -> f64 {
    rate(feerate.to_sat_per_kwu(), 250)
}
