//! A child and its parents handed in together: what pays too little alone may come in with a child that
//! pays for both.

use super::{Admission, Candidate, ChainView, Mempool, Rate};
use crate::builtin::policy::fee_at;
use crate::builtin::reject::Reject;
use bitcoin::Transaction;
use std::sync::Arc;

impl Mempool {
    /// Takes in a checked package: each by itself if it can, the rest together. Answers the word for the
    /// first that cannot come in at all.
    pub(crate) fn accept_package(
        &mut self,
        txs: &[Transaction],
        view: &ChainView<'_>,
    ) -> Result<(), Reject> {
        if let [tx] = txs {
            return self.accept(&Arc::new(tx.clone()), view, Admission::Alone).map(drop);
        }
        let mut waiting = Vec::new();
        let mut first_word = None;
        for tx in txs {
            let txid = tx.compute_txid();
            // The same transaction with another witness serves the child as well.
            if self.get(&txid).is_some() || (view.confirmed)(&txid) {
                continue;
            }
            let tx = Arc::new(tx.clone());
            match self.accept(&tx, view, Admission::Alone) {
                Ok(_) => {}
                Err(
                    word @ (Reject::MinRelayFee
                    | Reject::MempoolMinFee
                    | Reject::InsufficientFee
                    | Reject::MempoolFull
                    | Reject::InputsMissingOrSpent),
                ) => {
                    first_word.get_or_insert(word);
                    waiting.push(tx);
                }
                Err(word) => return Err(word),
            }
        }
        match (waiting.as_slice(), first_word) {
            ([], _) | (_, None) => Ok(()),
            // A lone rest has nobody to pay for it.
            ([_], Some(word)) => Err(word),
            (rest, Some(_)) => {
                let mut trial = self.clone();
                trial.accept_together(rest, view)?;
                *self = trial;
                Ok(())
            }
        }
    }

    fn accept_together(
        &mut self,
        txs: &[Arc<Transaction>],
        view: &ChainView<'_>,
    ) -> Result<(), Reject> {
        let mut total = Rate { fee_sat: 0, vsize: 0 };
        let mut owed_sat: u64 = 0;
        let mut beaten: Option<Rate> = None;
        let mut txids = Vec::new();
        for tx in txs {
            let candidate = self.check(tx, view, Admission::InPackage)?;
            total.fee_sat = total.fee_sat.saturating_add(candidate.fee_sat);
            total.vsize = total.vsize.saturating_add(candidate.vsize);
            if !candidate.conflicts.is_empty() {
                self.check_package_replacement(&candidate, txs.len())?;
                let gone = self.entries_of(&candidate.all_conflicts).map(|entry| entry.fee_sat);
                owed_sat = gone.fold(owed_sat, u64::saturating_add);
                beaten = self.entries_of(&candidate.conflicts).map(|e| e.rate()).max().max(beaten);
            }
            txids.push(candidate.txid);
            self.take(candidate, view);
        }
        if total.fee_sat < fee_at(self.dynamic_min_sat_kvb(), total.vsize) {
            return Err(Reject::MempoolMinFee);
        }
        if total.fee_sat < fee_at(self.policy.min_relay_sat_kvb, total.vsize) {
            return Err(Reject::MinRelayFee);
        }
        if let Some(beaten) = beaten {
            let own_sat = fee_at(self.policy.incremental_sat_kvb, total.vsize);
            if total <= beaten || total.fee_sat < owed_sat.saturating_add(own_sat) {
                return Err(Reject::InsufficientFee);
            }
        }
        self.limit(view.now);
        if txids.iter().all(|txid| self.get(txid).is_some()) {
            Ok(())
        } else {
            Err(Reject::MempoolFull)
        }
    }

    /// A package replaces only as one parent and one child that stand on nothing unconfirmed.
    fn check_package_replacement(&self, candidate: &Candidate, count: usize) -> Result<(), Reject> {
        if candidate.all_conflicts.len() > self.policy.replaced_max {
            return Err(Reject::TooManyReplacements);
        }
        let grandparents =
            self.entries_of(&candidate.parents).any(|parent| !parent.parents.is_empty());
        if count != 2 || grandparents || candidate.parents.len() > 1 {
            return Err(Reject::InsufficientFee);
        }
        Ok(())
    }
}
