//! Coins for a drill: they leave the wallet in the same record that says which drill has them.
//!
//! Not here: what a drill does with them (`crate::tower`).

use chain_backend::backend::{Package, SubmitOutcome};

use crate::clock::now_ms;
use crate::fact::{DrillFunded, Fact};
use crate::layer1::Layer1;
use crate::payments::Reply;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;
use crate::rpc::refusal::Refusal;
use crate::wallet::{DRILL, Label, PromiseId, Spend};

impl Layer1 {
    /// Pays a drill's funding output. Answered when it is durable and handed in.
    pub(super) async fn fund_drill(
        &mut self,
        spend: &Spend,
        promise: PromiseId,
        drill: u64,
        reply: Reply<DrillFunded>,
    ) {
        let now = UnixMillis(now_ms());
        let (funded, promised) = match self.wallet.promise(promise, SetAside::Send, spend, now) {
            Ok(made) => made,
            Err(refusal) => {
                let _gone = reply.send(Err(refusal.into()));
                return;
            }
        };
        self.keep(promised, Vec::new());
        let txid = funded.tx.compute_txid();
        let tested = self.backend.test(&Package::single(funded.tx.clone())).await;
        if let SubmitOutcome::Invalid { reason } = tested {
            let released = self.wallet.release(promise, now);
            self.keep(released, Vec::new());
            let _gone = reply.send(Err(Refusal::BroadcastRefused { txid, why: reason }));
            return;
        }
        let label = Label { text: DRILL.to_owned(), channel: None };
        let fact = self.wallet.broadcast(promise, label, now);
        let outpoint = bitcoin::OutPoint { txid, vout: funded.output_index };
        let made = DrillFunded { drill, outpoint, fee_sat: funded.fee.to_sat(), at_ms: now.0 };
        let backend = std::sync::Arc::clone(&self.backend);
        let tasks = self.tasks.clone();
        let answer = made.clone();
        let then = Box::new(move || {
            tasks.detach("hand in", async move {
                let outcome = backend.submit(Package::single(funded.tx), None).await;
                tracing::info!(%txid, ?outcome, "a drill is funded");
                drop(reply.send(Ok(answer)));
            });
        });
        self.keep_then(fact, vec![Fact::DrillFunded(made)], vec![then]);
    }
}
