//! Handing in.

use super::refusal::Refusal;
use super::show::fee_sat;
use super::{Node, Reply, json, text};
use crate::backend::Package;
use crate::builtin::Reject;
use crate::rpc::{RpcError, refusal, submit_package, tested};
use axum::extract::{RawQuery, State};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{FeeRate, Transaction};

/// What Bitcoin Core lets nobody pay more than unless told otherwise: 0.10 bitcoin per 1000 virtual bytes.
const FEERATE_MAX_SAT_KWU: u64 = 2_500_000;
/// The most transactions of one package.
const PACKAGE_MAX: usize = 25;

/// Bounds that a caller may set.
#[derive(Debug, Default)]
struct Bounds {
    /// A feerate.
    maxfeerate: Option<f64>,
    /// What outputs that nobody can ever spend may hold, bitcoin.
    maxburnamount: Option<f64>,
}

impl Bounds {
    /// Out of what stands behind the `?`.
    fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let mut bounds = Self::default();
        for (name, value) in
            query.unwrap_or_default().split('&').filter_map(|one| one.split_once('='))
        {
            let number = || {
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| Refusal::bad(format!("{name}: Invalid number"))).map(Some)
            };
            match name {
                "maxfeerate" => bounds.maxfeerate = number()?,
                "maxburnamount" => bounds.maxburnamount = number()?,
                _ => {}
            }
        }
        Ok(bounds)
    }

    /// Servers take it in bitcoin for 1000 virtual bytes and refuse a whole bitcoin or more; `esplora-client` says it
    /// in whole satoshi for a virtual byte. So the two cannot be taken for each other.
    #[expect(clippy::float_arithmetic, reason = "as the caller writes it")]
    fn feerate(&self) -> Option<FeeRate> {
        let usual = FeeRate::from_sat_per_kwu(FEERATE_MAX_SAT_KWU);
        let Some(given) = self.maxfeerate else { return Some(usual) };
        let sat_kwu = if given < 1.0 { given * 25_000_000.0 } else { given * 250.0 };
        // Zero is without end; what is no amount is the usual.
        let none = given <= 0.0;
        (!none).then(|| whole(sat_kwu).map_or(usual, FeeRate::from_sat_per_kwu))
    }

    #[expect(clippy::float_arithmetic, reason = "bitcoin as the caller writes them")]
    fn check_burn(&self, txs: &[Transaction]) -> Result<(), Refusal> {
        let most = whole(self.maxburnamount.unwrap_or_default() * 100_000_000.0).unwrap_or(0);
        let outputs = txs.iter().flat_map(|tx| &tx.output);
        let mut burnt = outputs.filter(|output| output.script_pubkey.is_op_return());
        if burnt.any(|output| output.value.to_sat() > most) {
            let words = "Unspendable output exceeds maximum configured by user (maxburnamount)";
            return Err(Refusal::bad(words));
        }
        Ok(())
    }
}

/// Rounded; nothing that is negative or too large.
fn whole(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}

fn decoded(hex: &str) -> Result<Transaction, Refusal> {
    let words = "TX decode failed. Make sure the tx has at least one input.";
    let undecodable = RpcError { code: -22, message: words.to_owned() };
    deserialize_hex(hex.trim()).map_err(|_| Refusal::of_call("sendrawtransaction", &undecodable))
}

pub(super) async fn one(State(node): State<Node>, body: String) -> Reply {
    let tx = decoded(&body)?;
    let txid = tx.compute_txid();
    let bounds = Bounds::default();
    bounds.check_burn(std::slice::from_ref(&tx))?;
    let (package, max) = (Package::single(tx.clone()), bounds.feerate());
    match node.chain.ask(move |chain| chain.submit(&package, max)).await? {
        Ok(()) | Err(Reject::AlreadyInMempool) => Ok(text(txid)),
        Err(reject) => {
            let mut error = refusal(reject);
            let is_price = matches!(reject, Reject::MinRelayFee | Reject::MempoolMinFee);
            if let Some((paid, wanted)) = prices(&node, tx).await?.filter(|_| is_price) {
                error.message = format!("{}, {paid} < {wanted}", error.message);
            }
            Err(Refusal::of_call("sendrawtransaction", &error))
        }
    }
}

/// What a transaction pays and what it would have to pay now, as Bitcoin Core tells of one that pays too little.
async fn prices(node: &Node, tx: Transaction) -> Result<Option<(u64, u64)>, Refusal> {
    let vsize = u64::try_from(tx.vsize()).unwrap_or(u64::MAX);
    let priced = node.chain.ask(move |chain| {
        let floor = chain.mempool().min_sat_kvb();
        let spent = chain.spent_by(&tx)?;
        let wanted = floor.saturating_mul(vsize).div_ceil(1_000);
        Ok::<_, crate::BackendError>(spent.map(|spent| (fee_sat(&tx, &spent), wanted)))
    });
    Ok(priced.await??)
}

/// The transactions of a JSON list of hex.
fn several(body: &str) -> Result<Vec<Transaction>, Refusal> {
    let list: Vec<String> = serde_json::from_str(body)
        .map_err(|error| Refusal::bad(format!("Invalid transaction list: {error}")))?;
    if list.is_empty() || list.len() > PACKAGE_MAX {
        return Err(Refusal::bad(format!("Exceeded maximum of {PACKAGE_MAX} transactions")));
    }
    list.iter().map(|hex| decoded(hex)).collect()
}

pub(super) async fn package(
    State(node): State<Node>,
    RawQuery(query): RawQuery,
    body: String,
) -> Reply {
    let (txs, bounds) = (several(&body)?, Bounds::of(query.as_deref())?);
    bounds.check_burn(&txs)?;
    let done = submit_package(&node.chain, txs, bounds.feerate()).await;
    json(&done.map_err(|error| Refusal::of_call("submitpackage", &error))?)
}

pub(super) async fn test(
    State(node): State<Node>,
    RawQuery(query): RawQuery,
    body: String,
) -> Reply {
    let (txs, bounds) = (several(&body)?, Bounds::of(query.as_deref())?);
    let done = tested(&node.chain, txs, bounds.feerate()).await;
    json(&done.map_err(|error| Refusal::of_call("testmempoolaccept", &error))?)
}
