//! Who stands on whom, and how much of that is allowed.

use super::{Candidate, Entry, Mempool};
use crate::builtin::reject::Reject;
use bitcoin::Txid;
use std::collections::BTreeSet;

/// The largest child that may come in although its parent has all the descendants it may, virtual bytes.
const CARVE_OUT_VSIZE_MAX: u64 = 10_000;

/// How many transactions, and how large together, virtual bytes.
#[derive(Clone, Copy)]
struct Sum {
    count: usize,
    vsize: u64,
}

impl Mempool {
    /// Some transactions and all of the mempool they stand on.
    pub(crate) fn ancestors(&self, of: &[Txid]) -> BTreeSet<Txid> {
        self.closure(of, &|entry, open| open.extend(&entry.parents), None)
    }

    /// Some transactions and all of the mempool that stand on them.
    pub(crate) fn descendants(&self, of: &[Txid]) -> BTreeSet<Txid> {
        self.closure(of, &|entry, open| open.extend(&entry.children), None)
    }

    /// Some transactions and all that hang together with them.
    pub(super) fn cluster(&self, of: &[Txid], without: Option<&BTreeSet<Txid>>) -> BTreeSet<Txid> {
        let both = |entry: &Entry, open: &mut Vec<Txid>| {
            open.extend(&entry.parents);
            open.extend(&entry.children);
        };
        self.closure(of, &both, without)
    }

    fn closure(
        &self,
        of: &[Txid],
        next: &dyn Fn(&Entry, &mut Vec<Txid>),
        without: Option<&BTreeSet<Txid>>,
    ) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Txid> = of.to_vec();
        while let Some(txid) = open.pop() {
            let Some(entry) = self.entries.get(&txid) else { continue };
            let left_out = without.is_some_and(|without| without.contains(&txid));
            if !left_out && found.insert(txid) {
                next(entry, &mut open);
            }
        }
        found
    }

    fn sum_of(&self, txids: &BTreeSet<Txid>, more: Sum) -> Sum {
        let sizes = self.entries_of(txids).map(|entry| entry.vsize);
        Sum {
            count: txids.len().saturating_add(more.count),
            vsize: sizes.fold(more.vsize, u64::saturating_add),
        }
    }

    /// Limits on what stands on each other. Those of a package count as if each stood on all. What they
    /// replace does not count.
    pub(super) fn check_chain_limits(&self, candidates: &[&Candidate]) -> Result<(), ()> {
        let (ancestors, gone, own) = self.family(candidates);
        let policy = &self.policy;
        let (ancestors_max, vsize_max) = (policy.ancestors_max, policy.chain_vsize_max);
        let fits = |sum: Sum, count_max: usize, vsize_max: u64| {
            sum.count <= count_max && sum.vsize <= vsize_max
        };
        let limited = policy.descendants_max < usize::MAX;
        if limited && !fits(self.sum_of(&ancestors, own), ancestors_max, vsize_max) {
            return Err(());
        }
        let within = |more: usize, more_vsize: u64| {
            ancestors.iter().all(|ancestor| {
                let next = |entry: &Entry, open: &mut Vec<Txid>| open.extend(&entry.children);
                let family = self.closure(&[*ancestor], &next, Some(&gone));
                let count_max = policy.descendants_max.saturating_add(more);
                fits(self.sum_of(&family, own), count_max, vsize_max.saturating_add(more_vsize))
            })
        };
        let carved = |candidate: &Candidate| {
            policy.carve_out
                && candidate.tx.version.0 != 3
                && candidate.conflicts.is_empty()
                && candidate.vsize <= CARVE_OUT_VSIZE_MAX
                && ancestors.len() <= 1
                && within(1, CARVE_OUT_VSIZE_MAX)
        };
        let lone = candidates.first().filter(|_| candidates.len() == 1);
        if !limited || within(0, 0) || lone.is_some_and(|one| carved(one)) {
            Ok(())
        } else {
            Err(())
        }
    }

    /// The limit on what hangs together.
    pub(super) fn check_cluster(&self, candidates: &[&Candidate]) -> Result<(), Reject> {
        if self.policy.cluster_max == usize::MAX {
            return Ok(());
        }
        let (ancestors, gone, own) = self.family(candidates);
        let ancestors: Vec<Txid> = ancestors.into_iter().collect();
        let sum = self.sum_of(&self.cluster(&ancestors, Some(&gone)), own);
        if sum.count > self.policy.cluster_max || sum.vsize > self.policy.chain_vsize_max {
            return Err(Reject::TooLargeCluster);
        }
        Ok(())
    }

    /// What some transactions would stand on, what goes for them, and they themselves.
    fn family(&self, candidates: &[&Candidate]) -> (BTreeSet<Txid>, BTreeSet<Txid>, Sum) {
        let gone: BTreeSet<Txid> =
            candidates.iter().flat_map(|one| one.all_conflicts.iter().copied()).collect();
        let parents: Vec<Txid> =
            candidates.iter().flat_map(|one| one.parents.iter().copied()).collect();
        let next = |entry: &Entry, open: &mut Vec<Txid>| open.extend(&entry.parents);
        let ancestors = self.closure(&parents, &next, Some(&gone));
        let vsize = candidates.iter().fold(0_u64, |sum, one| sum.saturating_add(one.vsize));
        (ancestors, gone, Sum { count: candidates.len(), vsize })
    }

    /// Those that stand on more, or hang together with more, than is allowed: after a reorganisation a
    /// parent may have come in behind its children.
    pub(super) fn too_long(&self) -> Vec<Txid> {
        let policy = &self.policy;
        let none = Sum { count: 0, vsize: 0 };
        let fits = |txids: &BTreeSet<Txid>, count_max: usize| {
            let sum = self.sum_of(txids, none);
            sum.count <= count_max
                && (count_max == usize::MAX || sum.vsize <= policy.chain_vsize_max)
        };
        let too_long = |txid: &Txid| {
            !fits(&self.ancestors(&[*txid]), policy.ancestors_max)
                || !fits(&self.cluster(&[*txid], None), policy.cluster_max)
        };
        self.iter().map(|(txid, _)| *txid).filter(too_long).collect()
    }
}
