//! Replacement: whoever pays more for the same coins, and for what it throws out, wins. No signalling is
//! asked (as Bitcoin Core from 29 on).
//! Also here: version 3, which limits families so that replacement stays possible (BIP 431).

use super::{Candidate, Mempool, Rate};
use crate::builtin::policy::fee_at;
use crate::builtin::reject::Reject;
use bitcoin::Txid;
use std::collections::BTreeSet;

/// The largest version 3 transaction, virtual bytes.
const TRUC_VSIZE_MAX: u64 = 10_000;
/// The largest version 3 child of an unconfirmed parent, virtual bytes.
const TRUC_CHILD_VSIZE_MAX: u64 = 1_000;

impl Mempool {
    /// Whether a transaction that conflicts may replace.
    pub(super) fn check_replacement(&self, candidate: &Candidate) -> Result<(), Reject> {
        if candidate.conflicts.is_empty() {
            return Ok(());
        }
        let rate = Rate { fee_sat: candidate.fee_sat, vsize: candidate.vsize };
        if self.entries_of(&candidate.conflicts).any(|entry| rate <= entry.rate()) {
            return Err(Reject::InsufficientFee);
        }
        if candidate.all_conflicts.len() > self.policy.replaced_max {
            return Err(Reject::TooManyReplacements);
        }
        let allowed: BTreeSet<Txid> =
            self.entries_of(&candidate.conflicts).flat_map(|e| e.parents.clone()).collect();
        if !candidate.parents.is_subset(&allowed) {
            return Err(Reject::ReplacementAddsUnconfirmed);
        }
        let own_sat = fee_at(self.policy.incremental_sat_kvb, candidate.vsize);
        let gone = self.entries_of(&candidate.all_conflicts).map(|entry| entry.fee_sat);
        if candidate.fee_sat < gone.fold(own_sat, u64::saturating_add) {
            return Err(Reject::InsufficientFee);
        }
        Ok(())
    }

    /// What some transactions together would have to pay at least to replace all they conflict with,
    /// satoshi.
    pub(crate) fn needed_sat(&self, txs: &[bitcoin::Transaction]) -> u64 {
        let inputs = txs.iter().flat_map(|tx| &tx.input);
        let rivals: Vec<Txid> =
            inputs.filter_map(|input| self.spender(&input.previous_output).copied()).collect();
        let weight = txs.iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.weight().to_wu()));
        let vsize = weight.div_ceil(4);
        let own = fee_at(self.policy.incremental_sat_kvb, vsize);
        let gone = self.descendants(&rivals);
        let total =
            self.entries_of(&gone).map(|entry| entry.fee_sat).fold(own, u64::saturating_add);
        let beats = |rate: Rate| fee_at(rate.sat_kvb().saturating_add(1), vsize);
        let by_rate = rivals.iter().filter_map(|txid| self.get(txid)).map(|e| beats(e.rate()));
        by_rate.fold(total, u64::max)
    }

    pub(super) fn entries_of(&self, txids: &BTreeSet<Txid>) -> impl Iterator<Item = &super::Entry> {
        txids.iter().filter_map(|txid| self.get(txid))
    }

    /// BIP 431: a version 3 transaction has at most one unconfirmed relative, and sizes are small.
    pub(super) fn check_truc(&self, candidate: &Candidate) -> Result<(), Reject> {
        let is_truc = candidate.tx.version.0 == 3;
        if self.entries_of(&candidate.parents).any(|e| (e.tx.version.0 == 3) != is_truc) {
            return Err(Reject::Truc);
        }
        if !is_truc {
            return Ok(());
        }
        if candidate.vsize > TRUC_VSIZE_MAX {
            return Err(Reject::Truc);
        }
        let Some(parent) = candidate.parents.first().and_then(|txid| self.get(txid)) else {
            return Ok(());
        };
        let siblings = parent.children.difference(&candidate.all_conflicts).count();
        let lone = candidate.parents.len() == 1 && parent.parents.is_empty() && siblings == 0;
        if lone && candidate.vsize <= TRUC_CHILD_VSIZE_MAX { Ok(()) } else { Err(Reject::Truc) }
    }
}

impl super::Entry {
    /// What it pays by itself.
    pub(crate) const fn rate(&self) -> Rate {
        Rate { fee_sat: self.fee_sat, vsize: self.vsize }
    }
}
