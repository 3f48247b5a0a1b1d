//! A child and its parents handed in together: what pays too little alone may come in with a child that
//! pays for both (`AcceptPackage`).

use super::accept::check_feerate_max;
use super::{Admission, Admitted, Candidate, ChainView, Mempool, Rate};
use crate::builtin::reject::Reject;
use bitcoin::{Transaction, Txid, Wtxid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What became of one of a package.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It came in.
    Admitted {
        admitted: Admitted,
        /// What it came in for: its own feerate or that of those it came in with.
        rate: Rate,
        /// Those whose feerate that is.
        together: Vec<Wtxid>,
    },
    /// It was there before.
    Waiting { fee_sat: u64, vsize: u64 },
    /// It was there before with another witness.
    OtherWitness(Wtxid),
    /// It stays outside.
    Refused(Reject),
    /// Nobody looked at it, because of another.
    Unfinished,
}

/// The word for a package, and the one who is to blame with its own word.
type Failure = (Reject, Option<(usize, Reject)>);

/// What became of a package.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The word for the package; `None` when all of it waits now.
    pub(crate) word: Option<Reject>,
    /// One for each transaction, in order.
    pub(crate) fates: Vec<Fate>,
}

impl Verdict {
    /// The one word that tells most.
    pub(crate) fn word(&self) -> Result<(), Reject> {
        let Some(word) = self.word else { return Ok(()) };
        if !matches!(word, Reject::TransactionFailed | Reject::UnspentDust) {
            return Err(word);
        }
        // A parent that is in a block serves its child as well.
        let words: Vec<Reject> = (self.fates.iter())
            .filter_map(Fate::refused)
            .filter(|word| *word != Reject::AlreadyKnown)
            .collect();
        let for_good = words.iter().find(|word| !word.may_change_in_package());
        let for_fees = words.iter().rev().find(|word| word.is_about_fees());
        match for_good.or(for_fees).or_else(|| words.first()) {
            Some(word) => Err(*word),
            None => self.fates.last().and_then(Fate::refused).map_or(Ok(()), Err),
        }
    }
}

impl Fate {
    const fn refused(&self) -> Option<Reject> {
        match self {
            Self::Refused(word) => Some(*word),
            Self::Admitted { .. }
            | Self::Waiting { .. }
            | Self::OtherWitness(_)
            | Self::Unfinished => None,
        }
    }
}

impl Mempool {
    /// Takes in a checked package; answers one word for it.
    pub(crate) fn accept_package(
        &mut self,
        txs: &[Transaction],
        view: &ChainView<'_>,
    ) -> Result<(), Reject> {
        if let [tx] = txs {
            return self.accept(&Arc::new(tx.clone()), view, Admission::Alone).map(drop);
        }
        self.submit_package(txs, view).word()
    }

    /// Takes in a checked package: each by itself if it can, the rest together. One that can come in
    /// nowhere keeps none out that can come in alone.
    pub(crate) fn submit_package(&mut self, txs: &[Transaction], view: &ChainView<'_>) -> Verdict {
        let txs: Vec<Arc<Transaction>> = txs.iter().cloned().map(Arc::new).collect();
        let mut fates: Vec<Fate> = txs.iter().map(|tx| self.try_alone(tx, view)).collect();
        let again =
            |fate: &Fate| matches!(fate, Fate::Refused(word) if word.may_change_in_package());
        let lost =
            |fate: &Fate| matches!(fate, Fate::Refused(word) if !word.may_change_in_package());
        let mut word = fates.iter().any(lost).then_some(Reject::TransactionFailed);
        let places: Vec<usize> =
            (0..fates.len()).filter(|place| fates.get(*place).is_some_and(again)).collect();
        if word.is_none() && places.len() > 1 {
            let rest: Vec<Arc<Transaction>> =
                places.iter().filter_map(|place| txs.get(*place).cloned()).collect();
            let (failed, together) = self.accept_together(&rest, view);
            word = failed;
            for (place, fate) in places.into_iter().zip(together) {
                match (fates.get_mut(place), fate) {
                    // What it was told alone is all there is to tell.
                    (_, Fate::Unfinished) | (None, _) => {}
                    (Some(kept), fate) => *kept = fate,
                }
            }
        } else if word.is_none() && fates.iter().any(again) {
            word = Some(Reject::TransactionFailed);
        }
        self.limit(view.now);
        for (tx, fate) in txs.iter().zip(&mut fates) {
            let refused = matches!(fate, Fate::Refused(_) | Fate::Unfinished);
            if !refused && self.get(&tx.compute_txid()).is_none() {
                *fate = Fate::Refused(Reject::MempoolFull);
                word = Some(Reject::TransactionFailed);
            }
        }
        Verdict { word, fates }
    }

    fn try_alone(&mut self, tx: &Arc<Transaction>, view: &ChainView<'_>) -> Fate {
        let wtxid = tx.compute_wtxid();
        match self.get(&tx.compute_txid()) {
            Some(entry) if entry.wtxid == wtxid => {
                Fate::Waiting { fee_sat: entry.fee_sat, vsize: entry.vsize }
            }
            Some(entry) => Fate::OtherWitness(entry.wtxid),
            None => match self.accept(tx, view, Admission::First) {
                Ok(admitted) => {
                    let rate = Rate { fee_sat: admitted.fee_sat, vsize: admitted.vsize };
                    Fate::Admitted { admitted, rate, together: vec![wtxid] }
                }
                Err(word) => Fate::Refused(word),
            },
        }
    }

    /// Takes all in at once or none. Answers the word for the package and the fate of each.
    fn accept_together(
        &mut self,
        txs: &[Arc<Transaction>],
        view: &ChainView<'_>,
    ) -> (Option<Reject>, Vec<Fate>) {
        match self.check_together(txs, view) {
            Ok(candidates) => {
                let together: Vec<Wtxid> = candidates.iter().map(|one| one.wtxid).collect();
                let rate = total(&candidates);
                let mut replaced: BTreeSet<Txid> =
                    candidates.iter().flat_map(|one| one.all_conflicts.iter().copied()).collect();
                let mut fates = Vec::new();
                for candidate in candidates {
                    let (fee_sat, vsize) = (candidate.fee_sat, candidate.vsize);
                    // Told once, with the first.
                    let replaced = std::mem::take(&mut replaced);
                    let admitted = Admitted { fee_sat, vsize, replaced };
                    self.take(candidate, view);
                    fates.push(Fate::Admitted { admitted, rate, together: together.clone() });
                }
                (None, fates)
            }
            Err((word, blamed)) => {
                let fate = |place: usize| match blamed {
                    Some((at, word)) if at == place => Fate::Refused(word),
                    Some(_) | None => Fate::Unfinished,
                };
                (Some(word), (0..txs.len()).map(fate).collect())
            }
        }
    }

    /// All questions about several at once.
    fn check_together(
        &self,
        txs: &[Arc<Transaction>],
        view: &ChainView<'_>,
    ) -> Result<Vec<Candidate>, Failure> {
        let failed = |at: usize, word: Reject| (Reject::TransactionFailed, Some((at, word)));
        let mut candidates: Vec<Candidate> = Vec::with_capacity(txs.len());
        for (at, tx) in txs.iter().enumerate() {
            let before = txs.get(..at).unwrap_or_default();
            let candidate = self.pre_check(tx, view, Admission::InPackage, before);
            let candidate = candidate.and_then(|candidate| {
                self.check_versions(&candidate)?;
                check_feerate_max(&candidate, view)?;
                Ok(candidate)
            });
            candidates.push(candidate.map_err(|word| failed(at, word))?);
        }
        let alone = |word: Reject| (word, None);
        self.check_package_truc(&candidates).map_err(alone)?;
        let last = candidates.len().saturating_sub(1);
        self.check_rate(total(&candidates)).map_err(|word| failed(last, word))?;
        let rbf = self.check_package_replacement(&candidates);
        rbf.map_err(|why| alone(Reject::PackageRbf(why)))?;
        let all: Vec<&Candidate> = candidates.iter().collect();
        self.check_chain_limits(&all).map_err(|()| alone(Reject::PackageLimits))?;
        self.check_cluster(&all).map_err(alone)?;
        for (at, candidate) in all.iter().enumerate() {
            let before = all.get(..at).unwrap_or_default();
            self.check_ephemeral(candidate, before)
                .map_err(|word| (Reject::UnspentDust, Some((at, word))))?;
        }
        for (at, candidate) in all.iter().enumerate() {
            candidate.check_scripts().map_err(|word| failed(at, word))?;
        }
        Ok(candidates)
    }

    /// The rules of version 3 towards the mempool; nobody's other child goes for a package.
    fn check_versions(&self, candidate: &Candidate) -> Result<(), Reject> {
        match self.check_truc(candidate)? {
            None => Ok(()),
            Some(_) => Err(Reject::Truc),
        }
    }
}

/// What some pay together.
fn total(candidates: &[Candidate]) -> Rate {
    let none = Rate { fee_sat: 0, vsize: 0 };
    candidates.iter().fold(none, |sum, candidate| sum.and(candidate.rate()))
}
