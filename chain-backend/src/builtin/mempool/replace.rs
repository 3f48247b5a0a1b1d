//! Replacement: whoever pays more for the same coins, and for what it throws out, wins. No signalling is
//! asked (as Bitcoin Core from 29 on).

use super::{Candidate, Mempool, Rate};
use crate::builtin::policy::fee_at;
use crate::builtin::reject::{PackageRbf, Reject};
use bitcoin::Txid;
use std::collections::BTreeSet;

impl Mempool {
    /// Whether a transaction that conflicts may replace.
    pub(super) fn check_replacement(&self, candidate: &Candidate) -> Result<(), Reject> {
        if candidate.conflicts.is_empty() {
            return Ok(());
        }
        self.check_worth(candidate).map_err(|word| word.of_sibling(candidate.evicts_sibling))
    }

    fn check_worth(&self, candidate: &Candidate) -> Result<(), Reject> {
        let rate = candidate.rate();
        let each = self.policy.replace_each;
        if each && self.rates_of(&candidate.conflicts).any(|other| rate <= other) {
            return Err(Reject::InsufficientFee);
        }
        if self.too_many(&candidate.conflicts, &candidate.all_conflicts) {
            return Err(Reject::TooManyReplacements);
        }
        let allowed: BTreeSet<Txid> =
            self.entries_of(&candidate.conflicts).flat_map(|e| e.parents.clone()).collect();
        if each && !candidate.parents.is_subset(&allowed) {
            return Err(Reject::ReplacementAddsUnconfirmed);
        }
        let own_sat = fee_at(self.policy.incremental_sat_kvb, candidate.vsize);
        let gone = self.rates_of(&candidate.all_conflicts).map(|other| other.fee_sat);
        if candidate.counted_sat < gone.fold(own_sat, u64::saturating_add) {
            return Err(Reject::InsufficientFee);
        }
        Ok(())
    }

    /// Whether too many would go: transactions up to Core 30, clusters from 31 on.
    fn too_many(&self, direct: &BTreeSet<Txid>, all: &BTreeSet<Txid>) -> bool {
        let mut left = direct.clone();
        let mut clusters: usize = 0;
        while let Some(one) = left.pop_first() {
            clusters = clusters.saturating_add(1);
            if clusters > self.policy.replaced_clusters_max {
                return true;
            }
            for relative in self.cluster(&[one], None) {
                left.remove(&relative);
            }
        }
        all.len() > self.policy.replaced_max
    }

    /// Whether a package that conflicts may replace: one parent and one child that stand on nothing
    /// unconfirmed, and pay more together.
    pub(super) fn check_package_replacement(
        &self,
        package: &[Candidate],
    ) -> Result<(), PackageRbf> {
        let direct: BTreeSet<Txid> =
            package.iter().flat_map(|one| one.conflicts.iter().copied()).collect();
        if direct.is_empty() {
            return Ok(());
        }
        let [parent, child] = package else { return Err(PackageRbf::Shape) };
        if !parent.parents.is_empty() || !child.parents.is_empty() {
            return Err(PackageRbf::Ancestors);
        }
        let all: BTreeSet<Txid> =
            parent.all_conflicts.union(&child.all_conflicts).copied().collect();
        if self.too_many(&direct, &all) {
            return Err(PackageRbf::TooMany);
        }
        let total = parent.rate().and(child.rate());
        let own_sat = fee_at(self.policy.incremental_sat_kvb, total.vsize);
        let gone = self.rates_of(&all).map(|other| other.fee_sat);
        if total.fee_sat < gone.fold(own_sat, u64::saturating_add) {
            return Err(PackageRbf::Fees);
        }
        if total <= parent.rate() {
            return Err(PackageRbf::ChildPaysLess);
        }
        // Up to Core 30 diagrams are drawn of pairs only.
        if self.policy.replace_each
            && direct.iter().any(|rival| self.cluster(&[*rival], None).len() > 2)
        {
            return Err(PackageRbf::Crowd);
        }
        self.check_diagram(&[parent, child]).map_err(|()| PackageRbf::Diagram)
    }

    /// What some transactions, less those that wait already, would have to pay together at least to replace all they
    /// conflict with, satoshi.
    pub(crate) fn needed_sat(&self, txs: &[bitcoin::Transaction]) -> u64 {
        let new = txs.iter().filter(|tx| self.get(&tx.compute_txid()).is_none());
        let txs: Vec<&bitcoin::Transaction> = new.collect();
        let inputs = txs.iter().flat_map(|tx| &tx.input);
        let mut rivals: Vec<Txid> =
            inputs.filter_map(|input| self.spender(&input.previous_output).copied()).collect();
        if let ([tx], []) = (txs.as_slice(), rivals.as_slice()) {
            // Nobody spends the same: it was the other child of its parent.
            let parents = tx.input.iter().map(|input| input.previous_output.txid);
            rivals =
                parents.filter_map(|txid| self.get(&txid)?.children.first().copied()).collect();
        }
        let sizes = txs.iter().map(|tx| tx.weight().to_wu().div_ceil(4));
        let vsize = sizes.fold(0, u64::saturating_add);
        let own = fee_at(self.policy.incremental_sat_kvb, vsize);
        let gone = self.descendants(&rivals);
        let total = self.rates_of(&gone).map(|other| other.fee_sat).fold(own, u64::saturating_add);
        let beats = |rate: Rate| fee_at(rate.sat_kvb().saturating_add(1), vsize);
        let rivals: BTreeSet<Txid> = rivals.into_iter().collect();
        let by_rate = self.rates_of(&rivals).map(beats);
        by_rate.fold(total, u64::max)
    }

    /// What some of the mempool count for.
    pub(super) fn rates_of(&self, txids: &BTreeSet<Txid>) -> impl Iterator<Item = Rate> {
        txids.iter().filter_map(|txid| Some(self.counted_rate(txid, self.get(txid)?)))
    }

    /// What an entry counts for by itself.
    pub(super) fn counted_rate(&self, txid: &Txid, entry: &super::Entry) -> Rate {
        Rate { fee_sat: self.counted_sat(txid, entry), vsize: entry.vsize }
    }

    pub(super) fn entries_of(&self, txids: &BTreeSet<Txid>) -> impl Iterator<Item = &super::Entry> {
        txids.iter().filter_map(|txid| self.get(txid))
    }
}
