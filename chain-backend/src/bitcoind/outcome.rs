//! Handing in, and what Bitcoin Core's words about it mean.

use super::BitcoindChain;
use super::client::CallError;
use crate::backend::{ChainBackend, FeeTable, Lock, Package, SubmitOutcome};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, FeeRate, Transaction};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Already in a block (Core's `RPC_VERIFY_ALREADY_IN_UTXO_SET`).
const IN_UTXO_SET: i64 = -27;

impl BitcoindChain {
    pub(super) async fn hand_in(&self, package: &Package, max: Option<FeeRate>) -> SubmitOutcome {
        // Zero is "as much as it says".
        let max_btc = max.map_or_else(|| "0".to_owned(), btc_per_kvb);
        if let [tx] = package.txs() {
            if matches!(self.waits(tx).await, Some(true)) {
                return SubmitOutcome::InMempool;
            }
            let answer =
                self.client.call("sendrawtransaction", json!([serialize_hex(tx), max_btc])).await;
            return match answer {
                Ok(_) => SubmitOutcome::Accepted,
                Err(CallError::Refused { code: IN_UTXO_SET, .. }) => SubmitOutcome::Confirmed(None),
                Err(CallError::Refused { message, .. }) => {
                    self.meaning(&message, package, max).await
                }
                Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => {
                    SubmitOutcome::Unavailable
                }
            };
        }
        let hex: Vec<String> = package.txs().iter().map(serialize_hex).collect();
        match self.client.call("submitpackage", json!([hex, max_btc])).await {
            Ok(answer) => match first_error(&answer) {
                None => SubmitOutcome::Accepted,
                Some(word) => self.meaning(word, package, max).await,
            },
            Err(CallError::Refused { message, .. }) => self.meaning(&message, package, max).await,
            Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => SubmitOutcome::Unavailable,
        }
    }

    pub(super) async fn try_in(&self, package: &Package) -> SubmitOutcome {
        let hex: Vec<String> = package.txs().iter().map(serialize_hex).collect();
        match self.client.call("testmempoolaccept", json!([hex, "0"])).await {
            Ok(answer) => {
                let verdicts = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                let no = verdicts.iter().find(|one| one.get("allowed") != Some(&Value::Bool(true)));
                let word = no.and_then(|one| one.get("reject-reason")).and_then(Value::as_str);
                match (no, word) {
                    (None, _) => SubmitOutcome::Accepted,
                    (Some(_), Some(word)) => self.meaning(word, package, None).await,
                    (Some(_), None) => SubmitOutcome::Invalid { reason: "not tested".to_owned() },
                }
            }
            Err(CallError::Refused { message, .. }) => self.meaning(&message, package, None).await,
            Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => SubmitOutcome::Unavailable,
        }
    }

    /// Whether this very transaction is in the mempool; `None` when nobody says.
    async fn waits(&self, tx: &Transaction) -> Option<bool> {
        match self.raw(tx.compute_txid()).await {
            Ok(found) => Some(matches!(found, Some((_, None)))),
            Err(_) => None,
        }
    }

    /// Core's word for a broken rule, as something to decide by.
    async fn meaning(&self, word: &str, package: &Package, max: Option<FeeRate>) -> SubmitOutcome {
        let fees = self.fees().await;
        let floor = fees.as_ref().map_or(FeeRate::BROADCAST_MIN, FeeTable::floor);
        let has = |part: &str| word.contains(part);
        if has("txn-already-in-mempool") || has("txn-same-nonwitness-data-in-mempool") {
            SubmitOutcome::InMempool
        } else if has("txn-already-known") || has("already in utxo set") {
            SubmitOutcome::Confirmed(None)
        } else if has("min relay fee not met")
            || has("mempool min fee not met")
            || has("mempool full")
        {
            SubmitOutcome::FeeTooLow { min: floor }
        } else if has("insufficient fee") || has("replacement-failed") {
            match self
                .price(package, fees.map_or(FeeRate::BROADCAST_MIN, |fees| fees.incremental))
                .await
            {
                Some(needed) => SubmitOutcome::Replaceable { needed },
                None => SubmitOutcome::Conflict { with: None },
            }
        } else if has("missing-inputs") || has("missingorspent") {
            self.missing(package).await
        } else if has("txn-mempool-conflict")
            || has("spends-conflicting-tx")
            || has("too many potential replacements")
        {
            SubmitOutcome::Conflict { with: self.rival(package).await }
        } else if has("non-final") || has("non-BIP68-final") || has("premature-spend-of-coinbase") {
            SubmitOutcome::Premature { at: Lock::Unknown }
        } else if let (true, Some(max)) = (has("max-fee-exceeded") || has("maxfeerate"), max) {
            SubmitOutcome::FeeTooHigh { max }
        } else {
            SubmitOutcome::Invalid { reason: word.to_owned() }
        }
    }

    /// What a replacement would have to pay: all it throws out, and for its own relay.
    async fn price(&self, package: &Package, incremental: FeeRate) -> Option<Amount> {
        let mut rivals = BTreeSet::new();
        for input in package.txs().iter().flat_map(|tx| &tx.input) {
            rivals.extend(self.mempool_spender(input.previous_output).await.ok()?);
        }
        let mut owed: u64 = 0;
        for rival in &rivals {
            let entry = self.client.call("getmempoolentry", json!([rival])).await.ok()?;
            let fees = entry.get("fees")?.get("descendant").and_then(crate::rpc::read_amount)?;
            owed = owed.saturating_add(fees);
        }
        let weight =
            package.txs().iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.weight().to_wu()));
        let own = incremental.to_sat_per_kwu().saturating_mul(weight).div_ceil(1_000);
        (!rivals.is_empty()).then(|| Amount::from_sat(owed.saturating_add(own)))
    }

    async fn rival(&self, package: &Package) -> Option<bitcoin::Txid> {
        for input in package.txs().iter().flat_map(|tx| &tx.input) {
            if let Ok(Some(rival)) = self.mempool_spender(input.previous_output).await {
                return Some(rival);
            }
        }
        None
    }

    /// Inputs that are not there: it is in a block itself, or never were there, or are spent.
    async fn missing(&self, package: &Package) -> SubmitOutcome {
        let names: BTreeSet<_> = package.txs().iter().map(Transaction::compute_txid).collect();
        if let Some(last) = package.txs().last()
            && let Ok(Some(found)) = self.tx(last.compute_txid()).await
            && let Some((block, _)) = found.confirmed
        {
            return SubmitOutcome::Confirmed(Some(block));
        }
        for input in package.txs().iter().flat_map(|tx| &tx.input) {
            let outpoint = input.previous_output;
            if names.contains(&outpoint.txid) {
                continue;
            }
            // The parent is in a block and this output of it is not to be had: a block spends it.
            let is_gone = matches!(self.coin(outpoint, false).await, Ok(None));
            let parent = self.tx(outpoint.txid).await;
            if is_gone && matches!(&parent, Ok(Some(found)) if found.confirmed.is_some()) {
                return SubmitOutcome::Conflict { with: None };
            }
        }
        SubmitOutcome::MissingInputs
    }
}

/// The first transaction of a package that did not come in, and why.
fn first_error(answer: &Value) -> Option<&str> {
    let message = answer.get("package_msg").and_then(Value::as_str);
    if message == Some("success") {
        return None;
    }
    let results = answer.get("tx-results").and_then(Value::as_object);
    let errors = results.into_iter().flat_map(|results| results.values());
    let mut errors = errors.filter_map(|one| one.get("error").and_then(Value::as_str));
    // A parent that pays too little and a child that lacks it: the parent's word is the cause.
    let words: Vec<&str> = errors.by_ref().collect();
    let cause = words.iter().find(|word| !word.contains("missing"));
    cause.or_else(|| words.first()).copied().or(message)
}

fn btc_per_kvb(rate: FeeRate) -> String {
    let sat = rate.to_sat_per_kwu().saturating_mul(4);
    format!("{}.{:08}", sat.div_euclid(100_000_000), sat.rem_euclid(100_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_feerate_is_written_in_bitcoin_with_eight_decimals() {
        assert_eq!(btc_per_kvb(FeeRate::from_sat_per_kwu(250)), "0.00001000");
        assert_eq!(btc_per_kvb(FeeRate::from_sat_per_kwu(25_000_000)), "1.00000000");
    }
}
