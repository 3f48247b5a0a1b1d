//! Who stands on whom, and how much of that is allowed.

use super::{Candidate, Mempool};
use crate::builtin::reject::Reject;
use bitcoin::Txid;
use std::collections::BTreeSet;

impl Mempool {
    /// Some transactions and all of the mempool they stand on.
    pub(crate) fn ancestors(&self, of: &[Txid]) -> BTreeSet<Txid> {
        self.closure(of, |entry| &entry.parents, None)
    }

    /// Some transactions and all of the mempool that stand on them.
    pub(crate) fn descendants(&self, of: &[Txid]) -> BTreeSet<Txid> {
        self.closure(of, |entry| &entry.children, None)
    }

    fn closure(
        &self,
        of: &[Txid],
        next: impl Fn(&super::Entry) -> &BTreeSet<Txid>,
        without: Option<&BTreeSet<Txid>>,
    ) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Txid> = of.to_vec();
        while let Some(txid) = open.pop() {
            let Some(entry) = self.entries.get(&txid) else { continue };
            let left_out = without.is_some_and(|without| without.contains(&txid));
            if !left_out && found.insert(txid) {
                open.extend(next(entry));
            }
        }
        found
    }

    /// Limits on chains of unconfirmed transactions. What `candidate` replaces does not count.
    pub(super) fn check_limits(&self, candidate: &Candidate) -> Result<(), Reject> {
        let gone = &candidate.all_conflicts;
        let parents: Vec<Txid> = candidate.parents.iter().copied().collect();
        let ancestors = self.closure(&parents, |entry| &entry.parents, Some(gone));
        self.check_chain(&ancestors, candidate, self.policy.ancestors_max)?;
        for ancestor in &ancestors {
            let descendants = self.closure(&[*ancestor], |entry| &entry.children, Some(gone));
            self.check_chain(&descendants, candidate, self.policy.descendants_max)?;
        }
        let mut cluster = ancestors;
        loop {
            let all: Vec<Txid> = cluster.iter().copied().collect();
            let mut wider = self.closure(&all, |entry| &entry.children, Some(gone));
            let all: Vec<Txid> = wider.iter().copied().collect();
            wider.extend(self.closure(&all, |entry| &entry.parents, Some(gone)));
            if wider.len() == cluster.len() {
                break;
            }
            cluster = wider;
            if cluster.len() >= self.policy.cluster_max {
                break;
            }
        }
        self.check_chain(&cluster, candidate, self.policy.cluster_max)
            .map_err(|_| Reject::TooLargeCluster)
    }

    fn check_chain(
        &self,
        others: &BTreeSet<Txid>,
        candidate: &Candidate,
        count_max: usize,
    ) -> Result<(), Reject> {
        let sizes = others.iter().filter_map(|txid| self.entries.get(txid)).map(|e| e.vsize);
        let vsize = sizes.fold(candidate.vsize, u64::saturating_add);
        if others.len() >= count_max || vsize > self.policy.chain_vsize_max {
            return Err(Reject::TooLongChain);
        }
        Ok(())
    }
}
