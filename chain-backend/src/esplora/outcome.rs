//! Handing in, and what the server says to it.

use super::EsploraChain;
use super::client::{AskError, parsed};
use crate::backend::{ChainBackend as _, Package, SubmitOutcome};
use crate::polled::{first_error, foresee, is_price, is_within, meaning, what_is_new};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{FeeRate, Transaction};
use serde_json::{Value, json};

impl EsploraChain {
    pub(super) async fn hand_in(&self, package: &Package, max: Option<FeeRate>) -> SubmitOutcome {
        let Some(last) = package.txs().last() else { return SubmitOutcome::MissingInputs };
        // What is there already is not refused everywhere, and would look as if it had just come.
        match self.tx(last.compute_txid()).await {
            Ok(Some(found)) => {
                return match found.confirmed {
                    Some((block, _)) => SubmitOutcome::Confirmed(Some(block)),
                    None => SubmitOutcome::InMempool,
                };
            }
            Ok(None) => {}
            Err(_) => return SubmitOutcome::Unavailable,
        }
        // No bound can be handed over with a single transaction, so it is held here.
        if let Some(max) = max {
            match is_within(self, package, max).await {
                Some(true) => {}
                Some(false) => return SubmitOutcome::FeeTooHigh { max },
                None => return foresee(self, package).await,
            }
        }
        match package.txs() {
            [tx] => self.one(tx, package, max).await,
            txs => self.several(txs, package, max).await,
        }
    }

    async fn one(
        &self,
        tx: &Transaction,
        package: &Package,
        max: Option<FeeRate>,
    ) -> SubmitOutcome {
        match self.client.post("/tx", "text/plain", serialize_hex(tx)).await {
            Ok(_) => SubmitOutcome::Accepted,
            Err(AskError::Refused(words)) => {
                let word = reason(&words);
                self.learn(&word, package);
                meaning(self, &word, package, max).await
            }
            Err(_) => SubmitOutcome::Unavailable,
        }
    }

    async fn several(
        &self,
        txs: &[Transaction],
        package: &Package,
        max: Option<FeeRate>,
    ) -> SubmitOutcome {
        let hex: Vec<String> = txs.iter().map(serialize_hex).collect();
        let posted = self.client.post("/txs/package", "application/json", json!(hex).to_string());
        match posted.await.and_then(|body| parsed(&body)) {
            Ok(answer) => match first_error(&answer) {
                None => SubmitOutcome::Accepted,
                Some(word) => meaning(self, word, package, max).await,
            },
            Err(AskError::Refused(words)) => meaning(self, &reason(&words), package, max).await,
            Err(AskError::NotServed) => self.one_by_one(txs, package, max).await,
            Err(_) => SubmitOutcome::Unavailable,
        }
    }

    /// For servers that take no packages: the last one decides, for it cannot come in without the others.
    async fn one_by_one(
        &self,
        txs: &[Transaction],
        package: &Package,
        max: Option<FeeRate>,
    ) -> SubmitOutcome {
        let mut first = None;
        for tx in txs {
            match self.client.post("/tx", "text/plain", serialize_hex(tx)).await {
                Ok(_) => {}
                Err(AskError::Refused(words)) => drop(first.get_or_insert_with(|| reason(&words))),
                Err(_) => return SubmitOutcome::Unavailable,
            }
        }
        let Some(last) = txs.last() else { return SubmitOutcome::MissingInputs };
        match (self.tx(last.compute_txid()).await, first) {
            (Ok(Some(_)), _) | (Ok(None), None) => SubmitOutcome::Accepted,
            // A parent's word is the cause of what its child lacks.
            (Ok(None), Some(word)) => meaning(self, &word, package, max).await,
            (Err(_), _) => SubmitOutcome::Unavailable,
        }
    }

    pub(super) async fn try_in(&self, package: &Package) -> SubmitOutcome {
        let package = &match what_is_new(self, package).await {
            Ok(new) => new,
            Err(known) => return known,
        };
        let hex: Vec<String> = package.txs().iter().map(serialize_hex).collect();
        let posted = self.client.post("/txs/test", "application/json", json!(hex).to_string());
        match posted.await.and_then(|body| parsed(&body)) {
            Ok(answer) => {
                let verdicts = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                let no = verdicts.iter().find(|one| one.get("allowed") != Some(&Value::Bool(true)));
                let word = no.and_then(|one| one.get("reject-reason")).and_then(Value::as_str);
                match (no, word) {
                    (None, _) if verdicts.len() == hex.len() => SubmitOutcome::Accepted,
                    // Each is tried by itself there; together the child may pay for its parent.
                    (Some(_), Some(word)) if is_price(word) && hex.len() > 1 => {
                        foresee(self, package).await
                    }
                    (Some(_), Some(word)) => meaning(self, word, package, None).await,
                    (Some(_) | None, _) => foresee(self, package).await,
                }
            }
            Err(AskError::Refused(words)) => meaning(self, &reason(&words), package, None).await,
            // Not every server has it.
            Err(AskError::NotServed) => foresee(self, package).await,
            Err(_) => SubmitOutcome::Unavailable,
        }
    }
}

/// Bitcoin Core's words out of those of the server: `sendrawtransaction RPC error: {"code":-26,"message":"…"}`.
fn reason(words: &str) -> String {
    let json = words.find('{').and_then(|from| words.get(from..));
    let json = json.and_then(|json| serde_json::from_str::<Value>(json).ok());
    let message = json.as_ref().and_then(|json| json.get("message")).and_then(Value::as_str);
    message.unwrap_or(words).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_bitcoin_cores_whatever_stands_around_it() {
        for words in [
            "sendrawtransaction RPC error: {\"code\":-26,\"message\":\"min relay fee not met, 1 < 2\"}",
            "{\"code\":-26,\"message\":\"min relay fee not met, 1 < 2\"}",
            "min relay fee not met, 1 < 2\n",
        ] {
            assert_eq!(reason(words), "min relay fee not met, 1 < 2");
        }
        assert_eq!(reason("{ no json"), "{ no json");
    }
}
