//! Handing in, and what Bitcoin Core's words about it mean.

use super::BitcoindChain;
use super::client::CallError;
use crate::backend::{Package, SubmitOutcome};
use crate::polled::{first_error, foresee, is_price, meaning, what_is_new};
use bitcoin::FeeRate;
use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};

/// Already in a block (Core's `RPC_VERIFY_ALREADY_IN_UTXO_SET`).
const IN_UTXO_SET: i64 = -27;

impl BitcoindChain {
    pub(super) async fn hand_in(&self, package: &Package, max: Option<FeeRate>) -> SubmitOutcome {
        // Zero is "as much as it says".
        let max_btc = max.map_or_else(|| "0".to_owned(), btc_per_kvb);
        if let Some(done) = self.done(package).await {
            return done;
        }
        if let [tx] = package.txs() {
            let answer =
                self.client.call("sendrawtransaction", json!([serialize_hex(tx), max_btc])).await;
            return match answer {
                Ok(_) => SubmitOutcome::Accepted,
                Err(CallError::Refused { code: IN_UTXO_SET, .. }) => SubmitOutcome::Confirmed(None),
                Err(CallError::Refused { message, .. }) => {
                    meaning(self, &message, package, max).await
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
                Some(word) => meaning(self, word, package, max).await,
            },
            Err(CallError::Refused { message, .. }) => meaning(self, &message, package, max).await,
            Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => SubmitOutcome::Unavailable,
        }
    }

    pub(super) async fn try_in(&self, package: &Package) -> SubmitOutcome {
        let package = &match what_is_new(self, package).await {
            Ok(new) => new,
            Err(known) => return known,
        };
        let hex: Vec<String> = package.txs().iter().map(serialize_hex).collect();
        match self.client.call("testmempoolaccept", json!([hex, "0"])).await {
            Ok(answer) => {
                let verdicts = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                let no = verdicts.iter().find(|one| one.get("allowed") != Some(&Value::Bool(true)));
                let word = no.and_then(|one| one.get("reject-reason")).and_then(Value::as_str);
                match (no, word) {
                    (None, _) => SubmitOutcome::Accepted,
                    // Each is tried by itself there; together the child may pay for its parent.
                    (Some(_), Some(word)) if is_price(word) && package.txs().len() > 1 => {
                        foresee(self, package).await
                    }
                    (Some(_), Some(word)) => meaning(self, word, package, None).await,
                    (Some(_), None) => SubmitOutcome::Invalid { reason: "not tested".to_owned() },
                }
            }
            Err(CallError::Refused { message, .. }) => meaning(self, &message, package, None).await,
            Err(CallError::Unreachable(_) | CallError::Nonsense(_)) => SubmitOutcome::Unavailable,
        }
    }

    /// Where the last transaction of a package is already, as far as Core knows.
    async fn done(&self, package: &Package) -> Option<SubmitOutcome> {
        let (_, block) = self.raw(package.txs().last()?.compute_txid()).await.ok()??;
        let Some(hash) = block else { return Some(SubmitOutcome::InMempool) };
        let (at, is_active) = self.place(hash).await.ok()?;
        is_active.then_some(SubmitOutcome::Confirmed(Some(at)))
    }
}

fn btc_per_kvb(rate: FeeRate) -> String {
    let sat = rate.to_sat_per_kwu().saturating_mul(4);
    format!("{}.{:08}", sat.div_euclid(100_000_000), sat.rem_euclid(100_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feerate_is_written_in_bitcoin_with_eight_decimals() {
        assert_eq!(btc_per_kvb(FeeRate::from_sat_per_kwu(250)), "0.00001000");
        assert_eq!(btc_per_kvb(FeeRate::from_sat_per_kwu(25_000_000)), "1.00000000");
    }
}
