//! What a claim pays to the miners, as a function of the blocks that are left.
//!
//! ```text
//!  blocks left      feerate
//!  144 and more     the estimate for a day
//!  143 to 36        the estimate for six blocks
//!  35 to 2          from there up, by the same factor every block, to
//!  1 and less       what half of the claim's worth buys
//! ```
//!
//! A claim that is first tried when fewer than 36 blocks are left climbs the same way in what is left.
//! What somebody else may take at any time but has no deadline of ours counts as if it had one
//! [`CONTESTED`] blocks after it was first tried; what nobody else can take pays the estimate for a day,
//! and for six blocks when it has waited a day. Never below the mempool's minimum, never above the
//! ceiling of the settings.
//!
//! Not here: how much a claim may cost at most (`job`), where estimates come from (`layer1`).

use wire::units::{BlockHeight, FeeratePerKw};

use crate::layer1::Feerates;

/// Blocks before its deadline from which on a claim offers more with every block.
const CLIMB: u32 = 36;

/// Blocks in a day.
const DAY: u32 = 144;

/// Blocks after which a contested claim without a deadline is offered all it may cost.
const CONTESTED: u32 = 36;

/// How urgent something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hurry {
    /// Whether somebody else may take it.
    pub(super) contested: bool,
    /// The height by which it must be in a block.
    pub(super) deadline: Option<BlockHeight>,
    /// When it was first tried.
    pub(super) since: BlockHeight,
}

impl Hurry {
    /// The blocks that are left now, and those of them that the climb takes.
    fn remaining(&self, tip: BlockHeight) -> Option<(u32, u32)> {
        let end = self
            .deadline
            .or_else(|| self.contested.then(|| self.since.saturating_add(CONTESTED)))?;
        let at_first = end.0.saturating_sub(self.since.0.min(tip.0));
        Some((end.0.saturating_sub(tip.0), at_first.min(CLIMB)))
    }
}

/// The feerate, when `half` is what half of the worth buys. Never falls while blocks come, if the
/// estimates do not.
pub(super) fn rate(
    feerates: &Feerates,
    hurry: &Hurry,
    tip: BlockHeight,
    half: FeeratePerKw,
) -> FeeratePerKw {
    let day = feerates.relaxed.max(feerates.commitment);
    let hours = feerates.normal.max(day);
    let offered = match hurry.remaining(tip) {
        None if tip.0.saturating_sub(hurry.since.0) < DAY => day,
        None => hours,
        Some((DAY.., _)) => day,
        Some((left @ ..CLIMB, way)) => climb(hours, half, left, way),
        Some(_) => hours,
    };
    offered.min(feerates.max.max(feerates.commitment))
}

/// What nobody else can take and nothing hurries pays when it waits since `since`.
pub fn patient(feerates: &Feerates, since: BlockHeight, tip: BlockHeight) -> FeeratePerKw {
    let hurry = Hurry { contested: false, deadline: None, since };
    rate(feerates, &hurry, tip, FeeratePerKw(0))
}

/// From `start` to `end` in equal factors, with `left` of `blocks` to go.
fn climb(start: FeeratePerKw, end: FeeratePerKw, left: u32, blocks: u32) -> FeeratePerKw {
    let (low, high) = (u64::from(start.0.max(1)), u64::from(end.0));
    if high <= low {
        return start;
    }
    // The way in doublings, in 1/4096ths; between two doublings the curve is a straight line.
    let ratio = high.saturating_mul(4_096).checked_div(low).unwrap_or(0);
    let whole = ratio.ilog2().saturating_sub(12);
    let within = (ratio >> whole).saturating_sub(4_096);
    let way = (u64::from(whole) << 12_u32).saturating_add(within);
    let steps = u64::from(blocks.saturating_sub(1));
    let gone = u64::from(blocks.saturating_sub(left.max(1)));
    if gone >= steps {
        return end;
    }
    let exponent = way.saturating_mul(gone).checked_div(steps).unwrap_or(0);
    let factor = exponent.rem_euclid(4_096).saturating_add(4_096);
    let rate = low.saturating_mul(factor) << (exponent >> 12_u32) >> 12_u32;
    FeeratePerKw(u32::try_from(rate.min(high)).unwrap_or(u32::MAX))
}

/// Whether a new feerate is worth a replacement before the old one is in trouble: a quarter more.
pub fn is_better(new: FeeratePerKw, old: FeeratePerKw) -> bool {
    let step = old.0.div_euclid(4).max(1);
    new.0 >= old.0.saturating_add(step)
}

/// The feerate that `fee` satoshi buy for `weight`.
pub(super) fn bought(fee: u64, weight: u64) -> FeeratePerKw {
    let rate = fee.saturating_mul(1_000).checked_div(weight).unwrap_or(0);
    FeeratePerKw(u32::try_from(rate).unwrap_or(u32::MAX))
}
