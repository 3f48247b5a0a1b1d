//! Version 3: families are one parent and one small child, so that replacement stays possible (BIP 431).

use super::{Candidate, Mempool};
use crate::builtin::reject::Reject;
use bitcoin::Txid;

/// The largest version 3 transaction, virtual bytes.
const VSIZE_MAX: u64 = 10_000;
/// The largest version 3 child of an unconfirmed parent, virtual bytes.
const CHILD_VSIZE_MAX: u64 = 1_000;

fn is_truc(candidate: &Candidate) -> bool {
    candidate.tx.version.0 == 3
}

impl Mempool {
    /// Whether a transaction fits its family in the mempool. Answers the parent's other child where that must
    /// go for it.
    pub(super) fn check_truc(&self, candidate: &Candidate) -> Result<Option<Txid>, Reject> {
        let truc = is_truc(candidate);
        if self.entries_of(&candidate.parents).any(|entry| (entry.tx.version.0 == 3) != truc) {
            return Err(Reject::Truc);
        }
        if !truc {
            return Ok(None);
        }
        if candidate.vsize > VSIZE_MAX || candidate.parents.len() > 1 {
            return Err(Reject::Truc);
        }
        let Some(parent) = candidate.parents.first() else { return Ok(None) };
        if self.ancestors(&[*parent]).len() > 1 || candidate.vsize > CHILD_VSIZE_MAX {
            return Err(Reject::Truc);
        }
        let mut family = self.descendants(&[*parent]);
        family.remove(parent);
        if family.is_empty() || !family.is_disjoint(&candidate.conflicts) {
            return Ok(None);
        }
        // Only after a reorganisation there is more than one other child, or one with a family of its own.
        let sibling = family.first().filter(|_| family.len() == 1);
        let lone = sibling.filter(|sibling| self.ancestors(&[**sibling]).len() == 2);
        lone.copied().map(Some).ok_or(Reject::Truc)
    }

    /// Whether each of a package fits the families in the package and in the mempool. Nobody's other child
    /// goes for a package.
    pub(super) fn check_package_truc(&self, candidates: &[Candidate]) -> Result<(), Reject> {
        for (place, candidate) in candidates.iter().enumerate() {
            let spends = |child: &Candidate, parent: &Txid| {
                child.tx.input.iter().any(|input| input.previous_output.txid == *parent)
            };
            let before = candidates.iter().take(place);
            let beside: Vec<&Candidate> =
                before.filter(|parent| spends(candidate, &parent.txid)).collect();
            let truc = is_truc(candidate);
            let waiting = self.entries_of(&candidate.parents).map(|entry| entry.tx.version.0 == 3);
            let versions = waiting.chain(beside.iter().map(|parent| is_truc(parent)));
            if versions.into_iter().any(|parent| parent != truc) {
                return Err(Reject::Truc);
            }
            if !truc {
                continue;
            }
            let parents = candidate.parents.len().saturating_add(beside.len());
            let above: Vec<Txid> = candidate.parents.iter().copied().collect();
            let grandparents = self.ancestors(&above).len() > candidate.parents.len();
            if candidate.vsize > VSIZE_MAX || parents > 1 || grandparents {
                return Err(Reject::Truc);
            }
            let first = above.first().copied().or_else(|| beside.first().map(|one| one.txid));
            let Some(parent) = first else { continue };
            let mut others = candidates.iter().filter(|other| other.txid != candidate.txid);
            let crowded = others
                .any(|other| spends(other, &parent) || spends(other, &candidate.txid))
                || self.get(&parent).is_some_and(|entry| !entry.children.is_empty());
            if crowded || candidate.vsize > CHILD_VSIZE_MAX {
                return Err(Reject::Truc);
            }
        }
        Ok(())
    }
}
