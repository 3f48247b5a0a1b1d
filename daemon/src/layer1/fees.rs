//! What things cost: the backend's estimates, within bounds that are ours.
//!
//! An estimate is never below what is relayed now and never above what is believed; one that is missing is
//! the last one that was had, or else the settings' own, never zero.

use bitcoin::FeeRate;
use chain_backend::backend::FeeTable;
use wire::units::FeeratePerKw;

use crate::layer1::Layer1;

/// Feerates for what a node does, never below what is relayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Feerates {
    /// For a funding transaction or a payment: six blocks.
    pub normal: FeeratePerKw,
    /// For a commitment with anchors: it must only be relayed, its child brings the rest.
    pub commitment: FeeratePerKw,
    /// For money that is not in a hurry: a day.
    pub relaxed: FeeratePerKw,
    /// What a replacement pays on top of what it replaces, for its own weight.
    pub incremental: FeeratePerKw,
    /// The most that is ever offered of ourselves.
    pub max: FeeratePerKw,
}

impl Default for Feerates {
    fn default() -> Self {
        let floor = FeeratePerKw::FLOOR;
        let max = FeeLimits::default().max;
        Self { normal: floor, commitment: floor, relaxed: floor, incremental: floor, max }
    }
}

/// What estimates are held within.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeeLimits {
    /// The most that is ever offered of ourselves.
    pub max: FeeratePerKw,
    /// What counts as the estimate before the backend ever had one.
    pub fallback: FeeratePerKw,
}

impl Default for FeeLimits {
    /// 1 000 sat/vB, and the floor.
    fn default() -> Self {
        Self { max: FeeratePerKw(250_000), fallback: FeeratePerKw::FLOOR }
    }
}

/// How far the estimates can be trusted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Source {
    /// Nothing was asked yet.
    #[default]
    Nothing,
    /// The backend's own.
    Estimates,
    /// Those it had before.
    Last,
    /// The settings'.
    Fallback,
}

impl Feerates {
    /// From the backend's table, with what was known before. `source` says where that came from.
    pub(super) fn from_table(
        table: &FeeTable,
        last: &Self,
        source: Source,
        limits: &FeeLimits,
    ) -> (Self, Source) {
        let floor = per_kw(table.floor()).max(FeeratePerKw::FLOOR);
        // What the mempool takes is no estimate: less than that goes nowhere.
        let max = limits.max.max(floor);
        let clamp = |rate: FeeratePerKw| rate.clamp(floor, max);
        let estimates = table.estimate(6).zip(table.estimate(144));
        let had = matches!(source, Source::Estimates | Source::Last);
        let (normal, relaxed, source) = match estimates {
            Some((normal, relaxed)) => (per_kw(normal), per_kw(relaxed), Source::Estimates),
            None if had => (last.normal, last.relaxed, Source::Last),
            None => (limits.fallback, limits.fallback, Source::Fallback),
        };
        let rates = Self {
            normal: clamp(normal),
            commitment: floor,
            relaxed: clamp(relaxed),
            incremental: per_kw(table.incremental).max(FeeratePerKw::FLOOR),
            max,
        };
        (rates, source)
    }
}

pub(super) fn per_kw(rate: FeeRate) -> FeeratePerKw {
    FeeratePerKw(u32::try_from(rate.to_sat_per_kwu()).unwrap_or(u32::MAX))
}

impl Layer1 {
    pub(super) async fn look_up_fees(&mut self) {
        match self.backend.fees().await {
            Ok(table) => {
                let last = *self.feerates.borrow();
                let (rates, source) =
                    Feerates::from_table(&table, &last, self.fee_source, &self.fee_limits);
                if source != self.fee_source && source != Source::Estimates {
                    tracing::warn!(
                        ?source,
                        normal = rates.normal.0,
                        "the chain backend has no fee estimates"
                    );
                }
                self.fee_source = source;
                let changed = self.feerates.send_if_modified(|now| {
                    let changed = *now != rates;
                    *now = rates;
                    changed
                });
                // What is on its way may pay too little now, and no block may come for long.
                if changed && self.intents.synced_once() {
                    self.sweep_soon();
                }
            }
            Err(error) => tracing::debug!(%error, "no fee estimates; the last ones stand"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(estimate: Option<u64>, floor: u64) -> FeeTable {
        let rate = FeeRate::from_sat_per_kwu;
        FeeTable {
            targets: [(6, estimate.map(rate)), (144, estimate.map(rate))].into(),
            mempool_min: rate(floor),
            relay_min: rate(250),
            incremental: rate(250),
        }
    }

    #[test]
    fn a_missing_estimate_is_the_last_one_or_the_fallback_and_never_zero() {
        let limits = FeeLimits { fallback: FeeratePerKw(2_500), ..FeeLimits::default() };
        let first = Feerates::default();
        let (none, source) =
            Feerates::from_table(&table(None, 0), &first, Source::Nothing, &limits);
        assert_eq!((none.normal, source), (FeeratePerKw(2_500), Source::Fallback));
        let (some, source) = Feerates::from_table(&table(Some(9_000), 0), &none, source, &limits);
        assert_eq!((some.normal, source), (FeeratePerKw(9_000), Source::Estimates));
        let (gone, source) = Feerates::from_table(&table(None, 0), &some, source, &limits);
        assert_eq!((gone.normal, source), (FeeratePerKw(9_000), Source::Last));
    }

    #[test]
    fn estimates_lie_between_what_is_relayed_and_the_ceiling() {
        let limits = FeeLimits { max: FeeratePerKw(50_000), ..FeeLimits::default() };
        let read = |estimate, floor| {
            let table = table(Some(estimate), floor);
            Feerates::from_table(&table, &Feerates::default(), Source::Nothing, &limits).0
        };
        assert_eq!(read(1, 250).normal, FeeratePerKw::FLOOR);
        assert_eq!(read(1, 4_000).relaxed, FeeratePerKw(4_000));
        assert_eq!(read(1_000_000, 250).normal, FeeratePerKw(50_000));
        let full = read(1_000, 80_000);
        assert_eq!((full.normal, full.max), (FeeratePerKw(80_000), FeeratePerKw(80_000)));
    }
}
