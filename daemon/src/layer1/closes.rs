//! A close that both signed and that no block takes: what it pays was right when it was agreed upon, and fees
//! rose since. Its keeper cannot make it anew alone, so a child of what it pays our wallet pays for both.
//!
//! Nothing is lost while it waits, so it costs what money without a deadline costs, and never much of what it
//! brings. Both sides can do this, so whoever gets less waits longer: one child is enough.
//!
//! Not here: the child itself (`wallet::child`), commitments (`sweeps`: they have anchors).

use std::collections::BTreeMap;

use bitcoin::{Amount, Transaction, Txid};
use chain_backend::backend::{Package, SubmitOutcome};
use wire::units::{BlockHeight, FeeratePerKw};

use crate::clock::now_ms;
use crate::layer1::fees::per_kw;
use crate::layer1::{Layer1, Then};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::{Bumped, Bumping};
use crate::rpc::refusal::BumpNo;
use crate::sweeper::{is_better, patient};

/// Blocks that a close may wait before its child pays for it, where most of it is ours.
const PATIENCE: u32 = 6;

/// Blocks in a day: what has waited so long may cost more.
const DAY: u32 = 144;

/// How often a child is made anew because the mempool wants more for it.
const TRIES: usize = 4;

/// Since when each close waits. Forgotten with the process: it waits a little longer then.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Txid, BlockHeight>);

impl Layer1 {
    /// At a block: closes that have waited long enough pay more, if that is time and worth it.
    pub(super) async fn raise_closes(&mut self) {
        let tip = *self.height.borrow();
        let closes: Vec<Transaction> = (self.intents.unsettled().into_iter())
            .filter(|tx| tx.output.iter().any(|output| self.wallet.is_ours(&output.script_pubkey)))
            .filter(|tx| self.intents.is_close(tx.compute_txid()))
            .collect();
        let waits = |txid: &Txid| closes.iter().any(|tx| tx.compute_txid() == *txid);
        self.closes.0.retain(|txid, _| waits(txid));
        for tx in closes {
            let txid = tx.compute_txid();
            let since = *self.closes.0.entry(txid).or_insert(tip);
            let waited = tip.0.saturating_sub(since.0);
            let largest = tx.output.iter().max_by_key(|output| output.value);
            let mostly = largest.is_some_and(|output| self.wallet.is_ours(&output.script_pubkey));
            let patience = if mostly { PATIENCE } else { PATIENCE.saturating_mul(2) };
            if waited < patience {
                continue;
            }
            let wanted = patient(&self.feerates.borrow(), since, tip);
            let paid = self.paid_by(&tx).await;
            if !is_better(wanted, self.wallet.feerate_with_child(&tx, paid)) {
                continue;
            }
            let worth = tx.output.iter().filter(|of| self.wallet.is_ours(&of.script_pubkey));
            let worth = worth.map(|output| output.value.to_sat()).fold(0, u64::saturating_add);
            let share = if waited < DAY { 10 } else { 2 };
            let most = Amount::from_sat(worth.div_euclid(share));
            if let Err(why) = self.raise_close(&tx, wanted, most).await {
                tracing::info!(%txid, ?why, "this close waits, and is not paid for now");
            }
        }
    }

    /// What a close of ours pays; as little as is relayed if that cannot be found out.
    pub(super) async fn paid_by(&self, tx: &Transaction) -> Amount {
        let least = FeeratePerKw::FLOOR.fee_floor(tx.weight().to_wu());
        self.fee_of(tx).await.unwrap_or(least)
    }

    /// A child pays for a close, up to `most`, in the place of the child that it has.
    pub(super) async fn raise_close(
        &mut self,
        close: &Transaction,
        feerate: FeeratePerKw,
        most: Amount,
    ) -> Result<Bumped, BumpNo> {
        let paid = self.paid_by(close).await;
        let incremental = self.feerates.borrow().incremental;
        let mut feerate = feerate;
        let mut last = None;
        let mut found = None;
        for _ in 0..TRIES {
            let raised = self.wallet.plan_child(close, paid, feerate, incremental)?;
            if raised.fee > most {
                return Err(BumpNo::TooDear { cost: raised.fee });
            }
            let both = vec![close.clone(), raised.tx.clone()];
            let package =
                Package::new(both).map_err(|error| BumpNo::Refused { why: error.to_string() })?;
            let tested = self.backend.test(&package).await;
            if tested.is_success() {
                found = Some((raised, package));
                break;
            }
            last = Some(if let SubmitOutcome::Replaceable { needed } = tested {
                BumpNo::PaysTooLittle { needed: needed.max(raised.fee) }
            } else {
                BumpNo::Refused { why: format!("{tested:?}") }
            });
            let SubmitOutcome::FeeTooLow { min } = tested else { break };
            // A tenth on top: sizes are rounded up one by one, and the minimum rises while the mempool is full.
            let more = feerate.0.saturating_add(feerate.0.div_euclid(10)).saturating_add(1);
            feerate = per_kw(min).max(FeeratePerKw(more));
        }
        let Some((raised, package)) = found else {
            return Err(last.unwrap_or(BumpNo::NoOutput));
        };
        let fact = self.wallet.bring_child(&raised, UnixMillis(now_ms()));
        let txid = raised.tx.compute_txid();
        tracing::info!(close = %close.compute_txid(), %txid, fee = %raised.fee,
            feerate = ?raised.feerate, "a child pays for a close");
        let backend = std::sync::Arc::clone(&self.backend);
        let tasks = self.tasks.clone();
        let then: Then = Box::new(move || {
            tasks.detach("hand in", async move {
                let outcome = backend.submit(package, None).await;
                tracing::info!(%txid, ?outcome, "handed in");
            });
        });
        self.keep_then(fact, Vec::new(), vec![then]);
        Ok(Bumped { txid, fee: raised.fee, feerate: raised.feerate, what: Bumping::Child })
    }
}
