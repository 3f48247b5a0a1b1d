//! How much waits, how long, and the price that keeps it so.

use super::{Mempool, Rate};
use crate::backend::RemovedBecause;
use crate::builtin::policy::{Policy, fee_at};
use bitcoin::Txid;

/// In a full mempool the minimum halves every twelve hours after a block, seconds.
const HALF_LIFE_S: u32 = 12 * 3_600;
/// The minimum is not looked at more often, seconds.
const DECAY_STEP_S: u32 = 10;

/// The minimum that rises when transactions are thrown out and falls with time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RollingMinimum {
    rate_sat_kvb: u64,
    updated: u32,
    block_since_rise: bool,
}

impl RollingMinimum {
    pub(super) fn block_came(&mut self, now: u32) {
        self.updated = now;
        self.block_since_rise = true;
    }

    fn rise(&mut self, to_sat_kvb: u64) {
        if to_sat_kvb > self.rate_sat_kvb {
            self.rate_sat_kvb = to_sat_kvb;
            self.block_since_rise = false;
        }
    }

    /// Falls faster the emptier the mempool is.
    pub(super) fn decay(&mut self, now: u32, size: u64, policy: &Policy) {
        let passed = now.saturating_sub(self.updated);
        if !self.block_since_rise || self.rate_sat_kvb == 0 || passed <= DECAY_STEP_S {
            return;
        }
        let full = policy.mempool_size_max;
        let half_life = if size < full >> 2 {
            HALF_LIFE_S >> 2
        } else if size < full >> 1 {
            HALF_LIFE_S >> 1
        } else {
            HALF_LIFE_S
        };
        let halvings = passed.checked_div(half_life).unwrap_or(0);
        let rest = passed.checked_rem(half_life).unwrap_or(0);
        let rate = self.rate_sat_kvb.checked_shr(halvings).unwrap_or(0);
        // Between two halvings a straight line is close enough to the curve.
        let part = rate.saturating_mul(u64::from(rest)).checked_div(u64::from(half_life) << 1);
        let rate = rate.saturating_sub(part.unwrap_or(0));
        self.rate_sat_kvb = if rate < policy.incremental_sat_kvb >> 1 {
            0
        } else {
            rate.max(policy.incremental_sat_kvb)
        };
        self.updated = now;
    }
}

impl Mempool {
    /// What the mempool takes now, satoshi per 1000 virtual bytes.
    pub(crate) fn min_sat_kvb(&self) -> u64 {
        self.dynamic_min_sat_kvb().max(self.policy.min_relay_sat_kvb)
    }

    /// What it takes now because of what else waits, or because somebody set it.
    pub(super) fn dynamic_min_sat_kvb(&self) -> u64 {
        self.rolling.rate_sat_kvb.max(self.floor_sat_kvb)
    }

    /// Whether a minimum was set by hand.
    pub(crate) const fn has_floor(&self) -> bool {
        self.floor_sat_kvb > 0
    }

    /// Sets the least it takes, 0 for none; what pays less goes.
    pub(crate) fn set_floor(&mut self, sat_kvb: u64, now: u32) {
        self.floor_sat_kvb = sat_kvb;
        self.limit(now);
    }

    /// Throws out what is too old, then what pays least while there is too much.
    pub(crate) fn limit(&mut self, now: u32) {
        let oldest = now.saturating_sub(self.policy.expiry_s);
        let expired: Vec<Txid> =
            self.iter().filter(|(_, e)| e.time < oldest).map(|(txid, _)| *txid).collect();
        for txid in expired {
            self.remove_with_descendants(&txid, RemovedBecause::Expired);
        }
        while self.floor_sat_kvb > 0
            && let Some((rate, txid)) = self.worst()
            && rate.fee_sat < fee_at(self.floor_sat_kvb, rate.vsize)
        {
            self.remove_with_descendants(&txid, RemovedBecause::Evicted);
        }
        while self.size > self.policy.mempool_size_max {
            let Some((rate, txid)) = self.worst() else { break };
            let rise = rate.sat_kvb().saturating_add(self.policy.incremental_sat_kvb);
            self.rolling.rise(rise);
            self.remove_with_descendants(&txid, RemovedBecause::Evicted);
        }
    }

    /// The entry that brings least, counting what stands on it when that brings more.
    fn worst(&self) -> Option<(Rate, Txid)> {
        let score = |txid: &Txid, own: Rate| {
            let family = self.descendants(&[*txid]);
            let sum = |rate: Rate, entry: &super::Entry| Rate {
                fee_sat: rate.fee_sat.saturating_add(entry.fee_sat),
                vsize: rate.vsize.saturating_add(entry.vsize),
            };
            let all = self.entries_of(&family).fold(Rate { fee_sat: 0, vsize: 0 }, sum);
            own.max(all)
        };
        self.iter().map(|(txid, entry)| (score(txid, entry.rate()), *txid)).min()
    }
}
