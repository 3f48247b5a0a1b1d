//! What waits, handing in, and what it costs.

use crate::backend::{ChainBackend, Package};
use crate::builtin::{BuiltinChain, Fate, Favoured, FeeMode, Reject, Waiting};
use crate::rpc::error::{IN_UTXO_SET, REJECTED, RpcError, VERIFY};
use crate::rpc::money::{self, Btc};
use crate::rpc::request::{Args, decoded, hash, wrong_type};
use crate::rpc::{Answer, Node, answer};
use crate::sandbox::Sandbox;
use bitcoin::{FeeRate, OutPoint, Transaction, Txid, Wtxid};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DECODE_FAILED: &str = "TX decode failed. Make sure the tx has at least one input.";

/// What Bitcoin Core lets nobody pay more than unless told otherwise: 0.10 bitcoin per 1000 virtual bytes.
const FEERATE_MAX_SAT_KVB: u64 = 10_000_000;

pub(super) async fn raw(node: &Node, args: &Args) -> Answer {
    let verbose = args.flag_or(0, "verbose", false)?;
    let with_sequence = args.flag_or(1, "mempool_sequence", false)?;
    let txs = node.chain.mempool().await?;
    let txids: Vec<Txid> = txs.iter().map(|tx| tx.compute_txid()).collect();
    if !verbose {
        if !with_sequence {
            return answer(&txids);
        }
        let sequence = node.chain.ask(|chain| chain.mempool().arrivals()).await?;
        return answer(&json!({ "txids": txids, "mempool_sequence": sequence }));
    }
    if with_sequence {
        let words = "Verbose results cannot contain mempool sequence values.";
        return Err(RpcError::parameter(words));
    }
    entries(node, txids).await
}

/// What waits, by name.
async fn entries(node: &Node, txids: Vec<Txid>) -> Answer {
    let found = node.chain.ask(move |chain| {
        let found = txids.into_iter().filter_map(|txid| Some((txid, chain.waiting(&txid)?)));
        found.collect::<Vec<_>>()
    });
    let shown: BTreeMap<Txid, Entry> =
        found.await?.into_iter().map(|(txid, waiting)| (txid, Entry::of(&waiting))).collect();
    answer(&shown)
}

#[derive(Serialize)]
struct Entry {
    vsize: u64,
    weight: u64,
    time: u32,
    height: u32,
    descendantcount: u64,
    descendantsize: u64,
    ancestorcount: u64,
    ancestorsize: u64,
    wtxid: Wtxid,
    fees: EntryFees,
    depends: Vec<Txid>,
    spentby: Vec<Txid>,
    #[serde(rename = "bip125-replaceable")]
    replaceable: bool,
    unbroadcast: bool,
}

#[derive(Serialize)]
struct EntryFees {
    base: Btc,
    modified: Btc,
    ancestor: Btc,
    descendant: Btc,
}

impl Entry {
    fn of(waiting: &Waiting) -> Self {
        let (ancestors, descendants) = (waiting.ancestors, waiting.descendants);
        let base = Btc::sat(waiting.fee.to_sat());
        Self {
            vsize: waiting.vsize,
            weight: waiting.weight_wu,
            time: waiting.time,
            height: waiting.height,
            descendantcount: descendants.count,
            descendantsize: descendants.vsize,
            ancestorcount: ancestors.count,
            ancestorsize: ancestors.vsize,
            wtxid: waiting.wtxid,
            fees: EntryFees {
                base,
                modified: Btc(signed(waiting.fee).saturating_add(waiting.favour_sat)),
                ancestor: Btc::sat(ancestors.fees.to_sat()),
                descendant: Btc::sat(descendants.fees.to_sat()),
            },
            depends: waiting.parents.clone(),
            spentby: waiting.children.clone(),
            replaceable: waiting.tx.input.iter().any(|input| input.sequence.is_rbf()),
            unbroadcast: false,
        }
    }
}

fn signed(amount: bitcoin::Amount) -> i64 {
    i64::try_from(amount.to_sat()).unwrap_or(i64::MAX)
}

/// Counts a transaction as if it paid more or less, in the mempool or not yet in it.
pub(super) async fn favour(node: &Node, args: &Args) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    if args.get(1).is_some_and(|dummy| dummy.as_f64() != Some(0.0)) {
        let words =
            "Priority is no longer supported, dummy argument to prioritisetransaction must be 0.";
        return Err(RpcError::parameter(words));
    }
    let delta_sat = args.number(2, "fee_delta")?;
    match node.chain.ask(move |chain| chain.favour(txid, delta_sat)).await? {
        Favoured::Yes => answer(&true),
        Favoured::HasDust => {
            let words = "Priority is not supported for transactions with dust outputs.";
            Err(RpcError::parameter(words))
        }
        Favoured::TooMany => Err(RpcError::misc("too many transactions are prioritised")),
    }
}

/// All that count as if they paid otherwise.
pub(super) async fn favoured(node: &Node) -> Answer {
    let favoured = node.chain.ask(|chain| chain.favoured()).await?;
    let shown: BTreeMap<Txid, Value> = (favoured.into_iter())
        .map(|(txid, (delta_sat, base))| {
            let mut one = json!({ "fee_delta": delta_sat, "in_mempool": base.is_some() });
            if let (Some(base), Some(fields)) = (base, one.as_object_mut()) {
                fields.insert(
                    "modified_fee".to_owned(),
                    json!(signed(base).saturating_add(delta_sat)),
                );
            }
            (txid, one)
        })
        .collect();
    answer(&shown)
}

fn not_waiting() -> RpcError {
    RpcError::not_found("Transaction not in mempool")
}

pub(super) async fn entry(node: &Node, args: &Args) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    let waiting = node.chain.ask(move |chain| chain.waiting(&txid)).await?;
    answer(&Entry::of(&waiting.ok_or_else(not_waiting)?))
}

pub(super) async fn relatives(node: &Node, args: &Args, ancestors: bool) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    let found = node.chain.ask(move |chain| chain.relatives(&txid, ancestors)).await?;
    let found = found.ok_or_else(not_waiting)?;
    if args.flag_or(1, "verbose", false)? { entries(node, found).await } else { answer(&found) }
}

#[derive(Serialize)]
struct Info {
    loaded: bool,
    size: usize,
    bytes: u64,
    usage: u64,
    total_fee: Btc,
    maxmempool: u64,
    mempoolminfee: Btc,
    minrelaytxfee: Btc,
    incrementalrelayfee: Btc,
    unbroadcastcount: u32,
    fullrbf: bool,
    permitbaremultisig: bool,
    maxdatacarriersize: u32,
}

pub(super) async fn info(node: &Node) -> Answer {
    let sums = node.chain.ask(|chain| chain.mempool_sums()).await?;
    let fees = node.chain.fees().await?;
    answer(&Info {
        loaded: true,
        size: sums.count,
        bytes: sums.vsize,
        usage: sums.usage,
        total_fee: Btc::sat(sums.fees.to_sat()),
        maxmempool: sums.size_max,
        mempoolminfee: Btc::per_kvb(fees.floor()),
        minrelaytxfee: Btc::per_kvb(fees.relay_min),
        incrementalrelayfee: Btc::per_kvb(fees.incremental),
        unbroadcastcount: 0,
        fullrbf: true,
        permitbaremultisig: true,
        maxdatacarriersize: 100_000,
    })
}

pub(super) async fn spending(node: &Node, args: &Args) -> Answer {
    let mut shown = Vec::new();
    for wanted in args.array(0, "outputs")? {
        let txid: Txid = hash(field(wanted, "txid")?.as_str().unwrap_or_default(), "txid")?;
        let vout = field(wanted, "vout")?.as_u64().and_then(|vout| u32::try_from(vout).ok());
        let vout =
            vout.ok_or_else(|| RpcError::parameter("Invalid parameter, vout cannot be negative"))?;
        let outpoint = OutPoint { txid, vout };
        let spender = node.chain.ask(move |chain| chain.waiting_spender(&outpoint)).await?;
        let mut one = Map::new();
        one.insert("txid".to_owned(), json!(txid));
        one.insert("vout".to_owned(), json!(vout));
        if let Some(spender) = spender {
            one.insert("spendingtxid".to_owned(), json!(spender));
        }
        shown.push(Value::Object(one));
    }
    if shown.is_empty() {
        return Err(RpcError::parameter("Invalid parameter, outputs are missing"));
    }
    answer(&shown)
}

fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, RpcError> {
    value.get(name).ok_or_else(|| RpcError::parameter(format!("Missing {name}")))
}

#[derive(Serialize)]
struct Estimate {
    #[serde(skip_serializing_if = "Option::is_none")]
    feerate: Option<Btc>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<&'static str>,
    blocks: u16,
}

pub(super) async fn estimate(node: &Node, args: &Args) -> Answer {
    let out_of_range = || RpcError::parameter("Invalid conf_target, must be between 1 and 1008");
    let target = args.number(0, "conf_target")?;
    let target = u16::try_from(target).ok().filter(|target| (1..=1_008).contains(target));
    let target = target.ok_or_else(out_of_range)?;
    let mode = args.get(1).map_or(Ok("unset"), |_| args.text(1, "estimate_mode"))?;
    if !["unset", "economical", "conservative"].contains(&mode.to_lowercase().as_str()) {
        return Err(RpcError::parameter(
            "Invalid estimate_mode parameter, must be one of: \"unset\", \"economical\", \"conservative\"",
        ));
    }
    let mode = match mode.to_lowercase().as_str() {
        "conservative" => FeeMode::Conservative,
        // As Bitcoin Core since its version 28, where nothing is said.
        _ => FeeMode::Economical,
    };
    let table = node.chain.ask(move |chain| chain.fee_table_by(mode)).await?;
    let feerate = table.estimate(target).map(Btc::per_kvb);
    let errors =
        if feerate.is_some() { Vec::new() } else { vec!["Insufficient data or no feerate found"] };
    answer(&Estimate { feerate, errors, blocks: target.max(2) })
}

/// Answers these estimates from now on: an object of targets in blocks, each with bitcoin per 1000 virtual bytes, or
/// null for "nobody knows". An empty one ends that. Not a method of Bitcoin Core's.
pub(super) async fn fix_estimates(node: &Node, args: &Args) -> Answer {
    let given = args.need(0, "estimates")?;
    let given = given.as_object().ok_or_else(|| wrong_type("estimates", "object"))?;
    let mut targets = BTreeMap::new();
    for (target, value) in given {
        let number = target.parse().ok().filter(|target| (1..=1_008).contains(target));
        let number: u16 = number.ok_or_else(|| {
            RpcError::parameter("Invalid conf_target, must be between 1 and 1008")
        })?;
        let known = if value.is_null() {
            None
        } else {
            Some(FeeRate::from_sat_per_kwu(money::read(value)?.div_ceil(4)))
        };
        targets.insert(number, known);
    }
    node.chain.fix_fees(targets).await?;
    answer(&())
}

/// The most a caller wants to pay; zero is without end.
fn feerate_max(args: &Args, place: usize) -> Result<Option<FeeRate>, RpcError> {
    let sat_kvb = args.get(place).map_or(Ok(FEERATE_MAX_SAT_KVB), money::read)?;
    if sat_kvb > 100_000_000 {
        return Err(RpcError::parameter(
            "Fee rates larger than or equal to 1BTC/kvB are not accepted",
        ));
    }
    Ok((sat_kvb > 0).then(|| FeeRate::from_sat_per_kwu(sat_kvb.div_ceil(4))))
}

/// Outputs that can never be spent burn their money.
fn check_burn(args: &Args, place: usize, txs: &[Transaction]) -> Result<(), RpcError> {
    let max = args.get(place).map_or(Ok(0), money::read)?;
    let mut burnt =
        txs.iter().flat_map(|tx| &tx.output).filter(|output| output.script_pubkey.is_op_return());
    if burnt.any(|output| output.value.to_sat() > max) {
        return Err(RpcError::new(
            VERIFY,
            "Unspendable output exceeds maximum configured by user (maxburnamount)",
        ));
    }
    Ok(())
}

pub(super) async fn send(node: &Node, args: &Args) -> Answer {
    let tx: Transaction = args.decoded(0, "hexstring", DECODE_FAILED)?;
    let max = feerate_max(args, 1)?;
    check_burn(args, 2, std::slice::from_ref(&tx))?;
    let txid = tx.compute_txid();
    hand_in(node, tx, max).await?;
    answer(&txid)
}

/// Hands a transaction in; that it waits already is no error.
pub(super) async fn hand_in(
    node: &Node,
    tx: Transaction,
    max: Option<FeeRate>,
) -> Result<(), RpcError> {
    let package = Package::single(tx);
    match node.chain.ask(move |chain| chain.submit(&package, max)).await? {
        Ok(()) | Err(Reject::AlreadyInMempool) => Ok(()),
        Err(reject) => Err(refusal(reject)),
    }
}

/// How `sendrawtransaction` says it.
pub(crate) fn refusal(reject: Reject) -> RpcError {
    if reject == Reject::AlreadyKnown {
        return RpcError::new(IN_UTXO_SET, "Transaction outputs already in utxo set");
    }
    if reject == Reject::MaxFeeExceeded {
        let words = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
        return RpcError::new(VERIFY, words);
    }
    let code = if reject == Reject::InputsMissingOrSpent { VERIFY } else { REJECTED };
    RpcError::new(code, reject.to_string())
}

#[derive(Serialize)]
struct Tested {
    txid: Txid,
    wtxid: Wtxid,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<TestedFees>,
    #[serde(rename = "reject-reason", skip_serializing_if = "Option::is_none")]
    reject_reason: Option<String>,
    #[serde(rename = "reject-details", skip_serializing_if = "Option::is_none")]
    reject_details: Option<String>,
}

#[derive(Serialize)]
struct TestedFees {
    base: Btc,
    #[serde(rename = "effective-feerate")]
    effective_feerate: Btc,
    #[serde(rename = "effective-includes")]
    effective_includes: [Wtxid; 1],
}

pub(super) async fn test(node: &Node, args: &Args) -> Answer {
    let txs = several(args.array(0, "rawtxs")?, "rawtxs")?;
    let max = feerate_max(args, 1)?;
    answer(&tested(&node.chain, txs, max).await?)
}

/// What the mempool would say of each, one after the other.
pub(crate) async fn tested(
    chain: &BuiltinChain,
    txs: Vec<Transaction>,
    max: Option<FeeRate>,
) -> Result<impl Serialize, RpcError> {
    if txs.is_empty() || txs.len() > 25 {
        return Err(RpcError::parameter("Array must contain between 1 and 25 transactions."));
    }
    let names: Vec<_> = txs.iter().map(|tx| (tx.compute_txid(), tx.compute_wtxid())).collect();
    let verdicts = chain.ask(move |chain| chain.examine(&txs, max)).await?;
    let shown = names.into_iter().zip(verdicts).map(|((txid, wtxid), verdict)| match verdict {
        Ok(examined) => {
            let (fee_sat, vsize) = (examined.fee.to_sat(), examined.vsize);
            let rate = fee_sat.saturating_mul(1_000).checked_div(vsize).unwrap_or(0);
            let fees = TestedFees {
                base: Btc::sat(fee_sat),
                effective_feerate: Btc::sat(rate),
                effective_includes: [wtxid],
            };
            Tested {
                txid,
                wtxid,
                allowed: Some(true),
                vsize: Some(vsize),
                fees: Some(fees),
                reject_reason: None,
                reject_details: None,
            }
        }
        Err(reject) => {
            // Here alone Bitcoin Core has another word for it.
            let is_missing = reject == Reject::InputsMissingOrSpent;
            let reason = if is_missing { "missing-inputs".to_owned() } else { reject.to_string() };
            let details = Some(reason.clone());
            Tested {
                txid,
                wtxid,
                allowed: Some(false),
                vsize: None,
                fees: None,
                reject_reason: Some(reason),
                reject_details: details,
            }
        }
    });
    Ok(shown.collect::<Vec<_>>())
}

fn several(values: &[Value], name: &str) -> Result<Vec<Transaction>, RpcError> {
    let one = |value: &Value| {
        let hex = value.as_str().ok_or_else(|| wrong_type(name, "string"))?;
        let failed = format!("TX decode failed: {hex} Make sure the tx has at least one input.");
        decoded(hex, &failed)
    };
    values.iter().map(one).collect()
}

#[derive(Serialize)]
struct Submitted {
    package_msg: String,
    #[serde(rename = "tx-results")]
    results: BTreeMap<Wtxid, OneSubmitted>,
    #[serde(rename = "replaced-transactions")]
    replaced: Vec<Txid>,
}

#[derive(Serialize)]
struct OneSubmitted {
    txid: Txid,
    #[serde(rename = "other-wtxid", skip_serializing_if = "Option::is_none")]
    other_wtxid: Option<Wtxid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<PaidFee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl OneSubmitted {
    const fn of(txid: Txid) -> Self {
        Self { txid, other_wtxid: None, vsize: None, fees: None, error: None }
    }
}

#[derive(Serialize)]
struct PaidFee {
    base: Btc,
    #[serde(rename = "effective-feerate", skip_serializing_if = "Option::is_none")]
    effective_feerate: Option<Btc>,
    #[serde(rename = "effective-includes", skip_serializing_if = "Vec::is_empty")]
    effective_includes: Vec<Wtxid>,
}

pub(super) async fn package(node: &Node, args: &Args) -> Answer {
    let txs = several(args.array(0, "package")?, "package")?;
    let max = feerate_max(args, 1)?;
    check_burn(args, 2, &txs)?;
    answer(&submit_package(&node.chain, txs, max).await?)
}

/// Hands in a parent with its children and tells what became of each.
pub(crate) async fn submit_package(
    chain: &BuiltinChain,
    txs: Vec<Transaction>,
    max: Option<FeeRate>,
) -> Result<impl Serialize, RpcError> {
    if txs.is_empty() || txs.len() > 25 {
        return Err(RpcError::parameter("Array must contain between 1 and 25 transactions."));
    }
    let package = Package::new(txs.clone());
    let package = package.map_err(|error| RpcError::new(VERIFY, error.to_string()))?;
    let verdict = chain.ask(move |chain| chain.submit_package(&package, max)).await?;
    let mut results = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    for (tx, fate) in txs.iter().zip(verdict.fates) {
        let mut one = OneSubmitted::of(tx.compute_txid());
        match fate {
            Fate::Admitted { admitted, rate, together } => {
                one.vsize = Some(admitted.vsize);
                one.fees = Some(PaidFee {
                    base: Btc::sat(admitted.fee_sat),
                    effective_feerate: Some(Btc::sat(rate.sat_kvb())),
                    effective_includes: together,
                });
                replaced.extend(admitted.replaced);
            }
            Fate::Waiting { fee_sat, vsize } => {
                one.vsize = Some(vsize);
                let base = Btc::sat(fee_sat);
                let (effective_feerate, effective_includes) = (None, Vec::new());
                one.fees = Some(PaidFee { base, effective_feerate, effective_includes });
            }
            Fate::OtherWitness(wtxid) => one.other_wtxid = Some(wtxid),
            // Here it has another name.
            Fate::Refused(Reject::MaxFeeExceeded) => {
                one.error = Some("max feerate exceeded".to_owned());
            }
            Fate::Refused(word) => one.error = Some(word.to_string()),
            Fate::Unfinished => one.error = Some("package-not-validated".to_owned()),
        }
        results.insert(tx.compute_wtxid(), one);
    }
    let package_msg = verdict.word.map_or_else(|| "success".to_owned(), |word| word.to_string());
    Ok(Submitted { package_msg, results, replaced: replaced.into_iter().collect() })
}
