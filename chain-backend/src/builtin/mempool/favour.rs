//! What a miner favours: transactions that count as if they paid more, or less. Nobody else hears of it.

use super::{Entry, Mempool};
use crate::builtin::policy::standard::dust_outputs;
use bitcoin::Txid;
use std::collections::BTreeMap;

/// The most that can be favoured at one time.
const FAVOURS_MAX: usize = 10_000;

/// What came of asking for a favour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Favoured {
    Yes,
    /// A transaction with dust must pay nothing, also in the eyes of a miner.
    HasDust,
    TooMany,
}

impl Mempool {
    /// Counts a transaction as if it paid so much more, on top of what was said before; zero in all ends it.
    pub(crate) fn favour(&mut self, txid: Txid, delta_sat: i64) -> Favoured {
        if self.get(&txid).is_some_and(|entry| dust_outputs(&entry.tx).next().is_some()) {
            return Favoured::HasDust;
        }
        if self.favours.len() >= FAVOURS_MAX && !self.favours.contains_key(&txid) {
            return Favoured::TooMany;
        }
        let sum_sat = self.favour_of(&txid).saturating_add(delta_sat);
        if sum_sat == 0 {
            self.favours.remove(&txid);
        } else {
            self.favours.insert(txid, sum_sat);
        }
        Favoured::Yes
    }

    /// As if a transaction paid so much more, satoshi.
    pub(crate) fn favour_of(&self, txid: &Txid) -> i64 {
        self.favours.get(txid).copied().unwrap_or(0)
    }

    /// All favours, satoshi.
    pub(crate) const fn favours(&self) -> &BTreeMap<Txid, i64> {
        &self.favours
    }

    /// A fee as a miner counts it, satoshi; never below zero.
    pub(crate) fn modified_sat(&self, txid: &Txid, fee_sat: u64) -> u64 {
        fee_sat.saturating_add_signed(self.favour_of(txid))
    }

    /// What an entry counts for, satoshi.
    pub(crate) fn counted_sat(&self, txid: &Txid, entry: &Entry) -> u64 {
        self.modified_sat(txid, entry.fee_sat)
    }
}
