//! How much waits, how long, and the price that keeps it so.

use super::{Mempool, Rate};
use crate::backend::RemovedBecause;
use crate::builtin::policy::{Policy, fee_at};
use bitcoin::Txid;

/// In a full mempool the minimum halves every twelve hours after a block, seconds.
const HALF_LIFE_S: u32 = 12 * 3_600;
/// The minimum is not looked at more often, seconds.
const DECAY_STEP_S: u32 = 10;

/// Parts of a satoshi that the minimum is counted in, as a power of two.
const FRACTION_BITS: u32 = 32;
/// What is left after a half, a quarter, an eighth... of a half-life, in parts of 2^32.
const LEFT_AFTER: [u64; 16] = [
    3_037_000_500,
    3_611_622_603,
    3_938_502_376,
    4_112_874_773,
    4_202_935_003,
    4_248_701_965,
    4_271_771_996,
    4_283_353_945,
    4_289_156_690,
    4_292_061_010,
    4_293_513_907,
    4_294_240_540,
    4_294_603_903,
    4_294_785_595,
    4_294_876_445,
    4_294_921_870,
];

/// The minimum that rises when transactions are thrown out and falls with time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RollingMinimum {
    /// Satoshi per 1000 virtual bytes, in parts of 2^32.
    rate: u64,
    updated: u32,
    block_since_rise: bool,
}

impl RollingMinimum {
    pub(super) fn block_came(&mut self, now: u32) {
        self.updated = now;
        self.block_since_rise = true;
    }

    fn rise(&mut self, to_sat_kvb: u64) {
        let to = to_sat_kvb.min(u64::from(u32::MAX)) << FRACTION_BITS;
        if to > self.rate {
            self.rate = to;
            self.block_since_rise = false;
        }
    }

    /// What it is now, satoshi per 1000 virtual bytes: once it falls, not below what a replacement pays.
    fn sat_kvb(self, policy: &Policy) -> u64 {
        let half = 1_u64 << FRACTION_BITS.saturating_sub(1);
        let rate = self.rate.saturating_add(half) >> FRACTION_BITS;
        if self.block_since_rise && self.rate > 0 {
            rate.max(policy.incremental_sat_kvb)
        } else {
            rate
        }
    }

    /// Falls faster the emptier the mempool is.
    pub(super) fn decay(&mut self, now: u32, size: u64, policy: &Policy) {
        let passed = now.saturating_sub(self.updated);
        if !self.block_since_rise || self.rate == 0 || passed <= DECAY_STEP_S {
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
        self.rate = halved(self.rate, passed, half_life);
        if self.rate >> FRACTION_BITS < policy.incremental_sat_kvb >> 1 {
            self.rate = 0;
        }
        self.updated = now;
    }
}

/// What is left of a value after some time, if half of it is left after `half_life`.
fn halved(value: u64, passed: u32, half_life: u32) -> u64 {
    let whole = passed.checked_div(half_life).unwrap_or(0);
    let mut left = value.checked_shr(whole).unwrap_or(0);
    let mut rest = u64::from(passed.checked_rem(half_life).unwrap_or(0));
    for factor in LEFT_AFTER {
        rest <<= 1;
        if rest >= u64::from(half_life) {
            rest = rest.saturating_sub(u64::from(half_life));
            let product = u128::from(left).saturating_mul(u128::from(factor)) >> 32;
            left = u64::try_from(product).unwrap_or(u64::MAX);
        }
    }
    left
}

impl Mempool {
    /// What the mempool takes now, satoshi per 1000 virtual bytes.
    pub(crate) fn min_sat_kvb(&self) -> u64 {
        self.dynamic_min_sat_kvb().max(self.policy.min_relay_sat_kvb)
    }

    /// What it takes now because of what else waits, or because somebody set it.
    pub(super) fn dynamic_min_sat_kvb(&self) -> u64 {
        self.rolling.sat_kvb(&self.policy).max(self.floor_sat_kvb)
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
            own.max(self.rates_of(&family).fold(Rate { fee_sat: 0, vsize: 0 }, Rate::and))
        };
        let scores =
            self.iter().map(|(txid, entry)| (score(txid, self.counted_rate(txid, entry)), *txid));
        scores.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_halves_in_a_half_life_and_falls_evenly_between() {
        let rate = 10_000_u64 << FRACTION_BITS;
        assert_eq!(halved(rate, 0, 43_200), rate);
        assert_eq!(halved(rate, 43_200, 43_200), rate >> 1);
        for passed in [1_u32, 600, 3_600, 20_000, 43_199, 60_000] {
            let want = 10_000.0 * 0.5_f64.powf(f64::from(passed) / 43_200.0);
            let got = halved(rate, passed, 43_200) as f64 / f64::from(1 << 16) / f64::from(1 << 16);
            assert!((got - want).abs() < 1.0, "{passed}: {got} {want}");
        }
    }

    #[test]
    fn after_a_block_the_minimum_falls_and_vanishes_below_half_of_the_increment() {
        let policy = Policy::default();
        let mut minimum = RollingMinimum::default();
        minimum.rise(4_000);
        minimum.decay(100_000, 0, &policy);
        assert_eq!(minimum.sat_kvb(&policy), 4_000, "no block yet");
        minimum.block_came(100_000);
        minimum.decay(100_010, 0, &policy);
        assert_eq!(minimum.sat_kvb(&policy), 4_000, "ten seconds are too few");
        minimum.decay(100_000 + 3 * 3_600, 0, &policy);
        assert_eq!(minimum.sat_kvb(&policy), 2_000, "a quarter full: three hours");
        minimum.decay(100_000 + 7 * 3_600, 0, &policy);
        assert_eq!(minimum.sat_kvb(&policy), 1_000, "never less than the increment");
        minimum.decay(100_000 + 10 * 3_600, 0, &policy);
        assert_eq!(minimum.sat_kvb(&policy), 0);
    }
}
