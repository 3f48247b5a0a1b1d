//! Feerates compared exactly, by cross multiplication.

use std::cmp::Ordering;

/// A fee for a size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) fee_sat: u64,
    pub(crate) vsize: u64,
}

impl Rate {
    /// Satoshi per 1000 virtual bytes, rounded down.
    pub(crate) fn sat_kvb(self) -> u64 {
        self.fee_sat.saturating_mul(1_000).checked_div(self.vsize).unwrap_or(0)
    }
}

impl Rate {
    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            fee_sat: self.fee_sat.saturating_add(other.fee_sat),
            vsize: self.vsize.saturating_add(other.vsize),
        }
    }
}

impl Ord for Rate {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u128::from(self.fee_sat).saturating_mul(u128::from(other.vsize));
        let right = u128::from(other.fee_sat).saturating_mul(u128::from(self.vsize));
        left.cmp(&right)
    }
}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rate {}
