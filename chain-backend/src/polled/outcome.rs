//! What a refusal means, and what can be said of a transaction without handing it in.

use super::{Polled, Waiting};
use crate::backend::{BackendError, BlockRef, FeeTable, Lock, Package, SubmitOutcome};
use bitcoin::absolute::LockTime;
use bitcoin::{Amount, FeeRate, OutPoint, Transaction, Txid};
use serde_json::Value;
use std::collections::BTreeSet;

/// Blocks until a coinbase may be spent.
const MATURITY: u32 = 100;
/// Weight units of a vbyte.
const VBYTE_WU: u64 = 4;

/// Bitcoin Core's word for a broken rule, as something to decide by.
pub(crate) async fn meaning<P: Polled>(
    chain: &P,
    word: &str,
    package: &Package,
    max: Option<FeeRate>,
) -> SubmitOutcome {
    let has = |part: &str| word.contains(part);
    if has("txn-already-in-mempool") || has("txn-same-nonwitness-data-in-mempool") {
        SubmitOutcome::InMempool
    } else if has("txn-already-known") || has("already in utxo set") {
        SubmitOutcome::Confirmed(mined(chain, package).await)
    } else if is_price(word) || has("mempool full") {
        let floor = chain.fees().await.map_or(FeeRate::BROADCAST_MIN, |fees| fees.floor());
        let told = wanted(word, package).unwrap_or(floor);
        SubmitOutcome::FeeTooLow { min: floor.max(told) }
    } else if has("insufficient fee") || has("replacement-failed") {
        match price(chain, package).await {
            Ok(Some(needed)) => SubmitOutcome::Replaceable { needed },
            Ok(None) | Err(_) => SubmitOutcome::Conflict { with: None },
        }
    } else if has("missing-inputs") || has("missingorspent") {
        missing(chain, package).await
    } else if has("txn-mempool-conflict")
        || has("spends-conflicting-tx")
        || has("too many potential replacements")
    {
        let with = rivals(chain, package).await.ok().and_then(|rivals| rivals.first().copied());
        SubmitOutcome::Conflict { with }
    } else if has("non-final") || has("non-BIP68-final") || has("premature-spend-of-coinbase") {
        match lock(chain, package).await {
            Ok(Some(at)) => SubmitOutcome::Premature { at },
            Ok(None) | Err(_) => SubmitOutcome::Premature { at: Lock::Unknown },
        }
    } else if let (true, Some(max)) =
        (has("max-fee-exceeded") || has("maxfeerate") || has("max feerate exceeded"), max)
    {
        SubmitOutcome::FeeTooHigh { max }
    } else {
        SubmitOutcome::Invalid { reason: word.to_owned() }
    }
}

/// Whether a word says that too little is paid.
pub(crate) fn is_price(word: &str) -> bool {
    ["min relay fee not met", "mempool min fee not met"].iter().any(|part| word.contains(part))
}

/// What [`crate::ChainBackend::submit`] would answer, as far as that can be told by questions alone: coins, locks,
/// rivals and what is paid, but no scripts and no rules of relay.
pub(crate) async fn foresee<P: Polled>(chain: &P, package: &Package) -> SubmitOutcome {
    foreseen(chain, package).await.unwrap_or(SubmitOutcome::Unavailable)
}

async fn foreseen<P: Polled>(chain: &P, package: &Package) -> Result<SubmitOutcome, BackendError> {
    let Some(last) = package.txs().last() else { return Ok(SubmitOutcome::MissingInputs) };
    match chain.tx(last.compute_txid()).await?.map(|found| found.confirmed) {
        Some(Some((block, _))) => return Ok(SubmitOutcome::Confirmed(Some(block))),
        Some(None) => return Ok(SubmitOutcome::InMempool),
        None => {}
    }
    let Some((fee, weight_wu)) = paid(chain, package).await? else {
        return Ok(missing(chain, package).await);
    };
    if let Some(at) = lock(chain, package).await? {
        return Ok(SubmitOutcome::Premature { at });
    }
    let fees = chain.fees().await?;
    if fee < fee_of(fees.floor(), weight_wu) {
        return Ok(SubmitOutcome::FeeTooLow { min: fees.floor() });
    }
    match price(chain, package).await? {
        Some(needed) if fee < needed => Ok(SubmitOutcome::Replaceable { needed }),
        Some(_) | None => Ok(SubmitOutcome::Accepted),
    }
}

fn fee_of(rate: FeeRate, weight_wu: u64) -> Amount {
    Amount::from_sat(rate.to_sat_per_kwu().saturating_mul(weight_wu).div_ceil(1_000))
}

/// The feerate that a refusal names: what was paid and what would have to be, for this size.
pub(crate) fn wanted(word: &str, package: &Package) -> Option<FeeRate> {
    let [tx] = package.txs() else { return None };
    let (_, figures) = word.split_once("fee not met, ")?;
    let (_, wanted) = figures.split_once(" < ")?;
    let digits = wanted.split(|letter: char| !letter.is_ascii_digit()).next()?;
    let sat: u64 = digits.parse().ok()?;
    let rate = sat.checked_mul(1_000)?.checked_div(tx.weight().to_wu())?;
    Some(FeeRate::from_sat_per_kwu(rate.saturating_add(1)))
}

/// What a transaction counts for where fees are weighed: whole vbytes, as weight.
fn weighed(tx: &Transaction) -> u64 {
    tx.weight().to_wu().div_ceil(VBYTE_WU).saturating_mul(VBYTE_WU)
}

/// Those of a package that neither wait nor are mined.
///
/// # Errors
/// [`BackendError`] when the backend does not answer.
async fn new_ones<'a, P: Polled>(
    chain: &P,
    package: &'a Package,
) -> Result<Vec<&'a Transaction>, BackendError> {
    let mut new = Vec::new();
    for tx in package.txs() {
        if chain.tx(tx.compute_txid()).await?.is_none() {
            new.push(tx);
        }
    }
    Ok(new)
}

/// A package without the parents that are there already, which would be refused as known; or what that says of the
/// whole.
pub(crate) async fn what_is_new<P: Polled>(
    chain: &P,
    package: &Package,
) -> Result<Package, SubmitOutcome> {
    let unavailable = |_| SubmitOutcome::Unavailable;
    let Some(last) = package.txs().last() else { return Err(SubmitOutcome::MissingInputs) };
    match chain.tx(last.compute_txid()).await.map_err(unavailable)?.map(|found| found.confirmed) {
        Some(Some((block, _))) => return Err(SubmitOutcome::Confirmed(Some(block))),
        Some(None) => return Err(SubmitOutcome::InMempool),
        None => {}
    }
    let new = new_ones(chain, package).await.map_err(unavailable)?;
    let new = new.into_iter().cloned().collect();
    Package::new(new).map_err(|error| SubmitOutcome::Invalid { reason: error.to_string() })
}

/// What those of a package pay that are new, and their weight; `None` when a coin is not there.
pub(super) async fn paid<P: Polled>(
    chain: &P,
    package: &Package,
) -> Result<Option<(Amount, u64)>, BackendError> {
    let new = new_ones(chain, package).await?;
    let (mut fee, mut weight_wu) = (0_u64, 0_u64);
    for tx in &new {
        weight_wu = weight_wu.saturating_add(weighed(tx));
        for input in &tx.input {
            let OutPoint { txid, vout } = input.previous_output;
            let place = usize::try_from(vout).unwrap_or(usize::MAX);
            let own = package.txs().iter().find(|parent| parent.compute_txid() == txid);
            let value = match own.and_then(|parent| parent.output.get(place)) {
                Some(output) => output.value,
                None => match chain.txout(input.previous_output).await? {
                    Some(coin) => coin.output.value,
                    None => return Ok(None),
                },
            };
            fee = fee.saturating_add(value.to_sat());
        }
    }
    let out = new
        .iter()
        .flat_map(|tx| &tx.output)
        .fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
    Ok(Some((Amount::from_sat(fee.saturating_sub(out)), weight_wu)))
}

/// Transactions of the mempool that spend the same coins.
async fn rivals<P: Polled>(chain: &P, package: &Package) -> Result<BTreeSet<Txid>, BackendError> {
    let own: BTreeSet<Txid> = package.txs().iter().map(Transaction::compute_txid).collect();
    let mut rivals = BTreeSet::new();
    for input in package.txs().iter().flat_map(|tx| &tx.input) {
        if !own.contains(&input.previous_output.txid) {
            rivals.extend(chain.waiting_spender(input.previous_output).await?);
        }
    }
    rivals.retain(|rival| !own.contains(rival));
    Ok(rivals)
}

/// What those of a package that are new would have to pay to replace others: all they throw out, their own relay, and a
/// higher price than that of whom they conflict with; `None` without a rival.
async fn price<P: Polled>(chain: &P, package: &Package) -> Result<Option<Amount>, BackendError> {
    let rivals = rivals(chain, package).await?;
    if rivals.is_empty() {
        return Ok(None);
    }
    let owed = chain.paid_by(&rivals).await?;
    let incremental = chain.fees().await.map_or(FeeRate::BROADCAST_MIN, |fees| fees.incremental);
    let new = new_ones(chain, package).await?;
    let weight_wu = new.into_iter().fold(0_u64, |sum, tx| sum.saturating_add(weighed(tx)));
    let above = |(tx, fee): &Waiting| {
        let same = u128::from(fee.to_sat()).saturating_mul(u128::from(weight_wu));
        let same = same.checked_div(u128::from(weighed(tx))).unwrap_or_default();
        u64::try_from(same).unwrap_or(u64::MAX).saturating_add(1)
    };
    let rivals: Vec<Txid> = rivals.into_iter().collect();
    let by_rate = chain.fetch(&rivals).await?.values().map(above).max().unwrap_or_default();
    let by_sum = owed.checked_add(fee_of(incremental, weight_wu));
    Ok(by_sum.map(|sum| sum.max(Amount::from_sat(by_rate))))
}

/// The first lock of a package that is not open: a lock time, a coin's age in blocks, a coinbase.
async fn lock<P: Polled>(chain: &P, package: &Package) -> Result<Option<Lock>, BackendError> {
    let tip = chain.tip().await?;
    for tx in package.txs() {
        let is_final = tx.input.iter().all(|input| input.sequence.is_final());
        match tx.lock_time {
            LockTime::Blocks(height) if !is_final && height.to_consensus_u32() > tip.height => {
                return Ok(Some(Lock::TipHeight(height.to_consensus_u32())));
            }
            LockTime::Seconds(time) if !is_final && time.to_consensus_u32() >= tip.mtp => {
                let after = time.to_consensus_u32().saturating_add(1);
                return Ok(Some(Lock::TipMedianTime(after)));
            }
            LockTime::Blocks(_) | LockTime::Seconds(_) => {}
        }
        for input in &tx.input {
            let own = |parent: &Transaction| parent.compute_txid() == input.previous_output.txid;
            if package.txs().iter().any(own) {
                continue;
            }
            let Some(coin) = chain.txout(input.previous_output).await? else { continue };
            let made = coin.height.unwrap_or_else(|| tip.height.saturating_add(1));
            let age = match input.sequence.to_relative_lock_time() {
                Some(bitcoin::relative::LockTime::Blocks(blocks)) if tx.version.0 >= 2 => {
                    u32::from(blocks.value())
                }
                Some(_) | None => 0,
            };
            let age = if coin.coinbase { age.max(MATURITY) } else { age };
            let open = made.saturating_add(age).saturating_sub(1);
            if age > 0 && open > tip.height {
                return Ok(Some(Lock::TipHeight(open)));
            }
        }
    }
    Ok(None)
}

/// The block of a package's last transaction.
async fn mined<P: Polled>(chain: &P, package: &Package) -> Option<BlockRef> {
    let last = package.txs().last()?.compute_txid();
    let found = chain.tx(last).await.ok()??;
    found.confirmed.map(|(block, _)| block)
}

/// Inputs that are not there: it is in a block itself, or they are spent, or never were there.
async fn missing<P: Polled>(chain: &P, package: &Package) -> SubmitOutcome {
    if let Some(block) = mined(chain, package).await {
        return SubmitOutcome::Confirmed(Some(block));
    }
    let own: BTreeSet<Txid> = package.txs().iter().map(Transaction::compute_txid).collect();
    for input in package.txs().iter().flat_map(|tx| &tx.input) {
        if own.contains(&input.previous_output.txid) {
            continue;
        }
        match chain.mined_spender(input.previous_output).await {
            Ok(Some(with)) if with.is_none_or(|with| !own.contains(&with)) => {
                return SubmitOutcome::Conflict { with };
            }
            Ok(_) => {}
            Err(_) => return SubmitOutcome::Unavailable,
        }
    }
    SubmitOutcome::MissingInputs
}

/// Whether a package pays no more than its sender wants to; `None` when that cannot be known.
pub(crate) async fn is_within<P: Polled>(
    chain: &P,
    package: &Package,
    max: FeeRate,
) -> Option<bool> {
    let (fee, weight_wu) = paid(chain, package).await.ok()??;
    Some(fee <= fee_of(max, weight_wu))
}

/// A table in which nothing is below what is taken at all.
pub(crate) fn raised(mut table: FeeTable) -> FeeTable {
    let floor = table.floor();
    for rate in table.targets.values_mut().flatten() {
        *rate = floor.max(*rate);
    }
    table
}

/// The first transaction of a package that did not come in, and why.
pub(crate) fn first_error(answer: &Value) -> Option<&str> {
    let message = answer.get("package_msg").and_then(Value::as_str);
    if message == Some("success") {
        return None;
    }
    let results = answer.get("tx-results").and_then(Value::as_object);
    let errors = results.into_iter().flat_map(|results| results.values());
    let words: Vec<&str> =
        errors.filter_map(|one| one.get("error").and_then(Value::as_str)).collect();
    // A parent that pays too little and a child that lacks it: the parent's word is the cause, unless the
    // child has a word of its own.
    let alone = |word: &str| word.contains("fee not met") || word.contains("insufficient fee");
    let present = || words.iter().filter(|word| !word.contains("missing"));
    let cause = present().find(|word| !alone(word)).or_else(|| present().next());
    cause.or_else(|| words.first()).copied().or(message).or(Some("not told"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_cause_of_a_package_that_failed_is_the_parents_word() {
        let answer = json!({
            "package_msg": "transaction failed",
            "tx-results": {
                "aa": { "txid": "00", "error": "bad-txns-inputs-missingorspent" },
                "bb": { "txid": "11", "error": "min relay fee not met" },
            },
        });
        assert_eq!(first_error(&answer), Some("min relay fee not met"));
        assert_eq!(first_error(&json!({ "package_msg": "success", "tx-results": {} })), None);
        assert_eq!(
            first_error(&json!({ "package_msg": "package-not-sorted" })),
            Some("package-not-sorted")
        );
    }

    #[test]
    fn a_refusal_that_names_its_price_is_read() {
        let block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let package = Package::single(block.txdata[0].clone());
        let weight = package.txs()[0].weight().to_wu();
        let read = |word: &str| wanted(word, &package).map(FeeRate::to_sat_per_kwu);
        let expected = 500 * 1_000 / weight + 1;
        assert_eq!(read("mempool min fee not met, 12 < 500"), Some(expected));
        assert_eq!(read("{\"message\":\"min relay fee not met, 0 < 500\"}"), Some(expected));
        for none in ["min relay fee not met", "fee not met, 1 < x", "fee not met, 1 < ", "1 < 2"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
