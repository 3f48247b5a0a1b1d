//! From what is decided to what is handed in: planned, written down, cleared, submitted, learnt from.

use std::collections::BTreeMap;

use bitcoin::Txid;
use chain_backend::{Package, SubmitOutcome};

use super::{EventKind, WatchError, Watcher};
use crate::respond::fact::ClaimFact;
use crate::respond::plan::{Job, Now, plan};
use crate::store::{Cleared, Fact};

/// What a mempool refuses is planned again so often at most.
const ROUNDS: usize = 10;

impl Watcher {
    /// Writes what was seen, then hands in all that should be in a mempool now.
    pub(super) async fn answer(&mut self, mut facts: Vec<Fact>) -> Result<(), WatchError> {
        for _ in 0..ROUNDS {
            let jobs = self.jobs().await?;
            self.tell_splits(&jobs);
            for job in &jobs {
                self.sending(job, &mut facts);
            }
            let late_done = self.in_hand.is_empty();
            let cleared = self.keeper.settle(std::mem::take(&mut facts), late_done).await?;
            let tip = self.cursor.as_ref().map(chain_backend::Locator::tip);
            let book = std::sync::Arc::new(self.book.clone());
            self.publish.send_modify(|watching| {
                watching.tip = tip;
                if cleared.is_durable() {
                    watching.kept = tip.map(|tip| tip.height);
                }
                watching.book = book;
            });
            self.publish_reserve();
            if !self.hand_in(jobs, &cleared).await {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn jobs(&mut self) -> Result<Vec<Job>, WatchError> {
        if self.book.is_idle() {
            return Ok(Vec::new());
        }
        let fees = match self.chain.fees().await {
            Ok(fees) => fees,
            Err(error) => {
                // The place on the chain moves all the same: the claims are written down with it.
                tracing::warn!(%error, "no fee estimates: handing in after the next block");
                return Ok(Vec::new());
            }
        };
        let coins = self.free_coins();
        let (tip_height, lessons) = (self.height(), &self.lessons);
        let now = Now { tip_height, fees: &fees, lessons, coins: coins.len() };
        let planned = plan(&self.book, &now);
        let mut ready = Vec::new();
        for job in self.topped_up(planned, coins) {
            ready.extend(self.signed(job).await?);
        }
        Ok(ready)
    }

    /// Tells once of what went together and goes alone from now on.
    fn tell_splits(&self, jobs: &[Job]) {
        let mut together: BTreeMap<Txid, (usize, u32)> = BTreeMap::new();
        for (outpoint, tracked) in self.book.claims() {
            let source = self.book.source(&outpoint.txid);
            if let (Some(sent), None, Some(source)) = (tracked.sent, tracked.taken, source) {
                let (count, _) = together.entry(sent.txid).or_insert((0, source.session));
                *count = count.saturating_add(1);
            }
        }
        for job in jobs {
            let sent = job.outpoints.first().and_then(|o| self.book.claim(o)).and_then(|c| c.sent);
            let Some(sent) = sent.filter(|sent| sent.txid != job.tx.compute_txid()) else {
                continue;
            };
            let Some((count, session)) = together.get(&sent.txid).copied() else { continue };
            if count > job.outpoints.len() {
                together.remove(&sent.txid);
                let text = format!("{count} outputs that went together go apart");
                self.tell(EventKind::Split, Some(session), Some(sent.txid), text);
            }
        }
    }

    /// Notes a transaction that was not sent before.
    fn sending(&mut self, job: &Job, facts: &mut Vec<Fact>) {
        let txid = job.tx.compute_txid();
        let sent = |outpoint| self.book.claim(outpoint).and_then(|claim| claim.sent);
        let before: Vec<_> = job.outpoints.iter().filter_map(sent).collect();
        let tracked = job.outpoints.iter().filter(|o| self.book.claim(o).is_some()).count();
        if before.len() >= tracked && before.iter().all(|sent| sent.txid == txid) {
            return;
        }
        let session =
            job.outpoints.first().and_then(|o| self.book.source(&o.txid)).map(|s| s.session);
        let kind = if before.is_empty() { EventKind::Broadcast } else { EventKind::Bumped };
        let own = match &job.added {
            Some(added) => format!(", {} of it the tower's own", added.own()),
            None => String::new(),
        };
        let text = format!("{} for {} outputs{own}", job.fee, job.outpoints.len());
        self.tell(kind, session, Some(txid), text);
        let fact = ClaimFact::Sent {
            txid,
            outpoints: job.outpoints.clone(),
            fee: job.fee,
            weight: job.weight,
            height: self.height(),
            added: job.added.clone(),
        };
        self.follow_fact(fact, facts);
    }

    /// Hands in what the disk knows of. Whether another plan may come out better.
    async fn hand_in(&mut self, jobs: Vec<Job>, cleared: &Cleared) -> bool {
        if !cleared.is_durable() && !jobs.is_empty() {
            tracing::error!("justice is handed in that the disk could not note");
        }
        let mut again = false;
        for job in jobs {
            let outcome = self.chain.submit(Package::single(job.tx.clone()), None).await;
            if !outcome.is_success() {
                let txid = job.tx.compute_txid();
                tracing::warn!(%txid, ?outcome, "justice is not in the mempool yet");
            }
            let dearer = matches!(outcome, SubmitOutcome::Replaceable { .. });
            if self.lessons.learn(&job, &outcome) {
                again = true;
                if dearer && job.signer.is_some() {
                    // Its successor makes room for the others: they need not pay for it too.
                    break;
                }
            }
        }
        again
    }
}
