//! What closing a channel alone would cost and save, before anything is done: a dry run.
//!
//! Our commitment is taken through the resolver as if the next block had it.
//!
//! Not here: whether to close (`phase::onchain`).

use wire::units::{BlockHeight, FeeratePerKw, Sat};

use super::outputs::{OutputState, OutputView, What};
use super::{Chain, Known, Mined, resolve, sweep};
use crate::clock::Side;
use crate::tx::{Commitment, Party, fee};

/// What closing alone in the next block would cost, save and bring home.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forecast {
    /// What we pay to the miners in all: our part of the commitment's fee, what raises it, and every
    /// claim that is worth making.
    pub cost: Sat,
    /// HTLCs that only Layer 1 can give us if the peer does not move, each worth more than its claim.
    pub saved: Sat,
    /// What comes home in all, after fees.
    pub home: Sat,
    /// The first height at which one of those HTLCs can be lost.
    pub deadline: Option<BlockHeight>,
    /// The height at which the first of them sends us to Layer 1.
    pub close_by: Option<BlockHeight>,
    /// The height at which the last claim opens.
    pub all_home_at: Option<BlockHeight>,
    /// Every output of the commitment.
    pub outputs: Vec<OutputView>,
}

/// How long before or after its expiry an HTLC sends us to Layer 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Blocks before the expiry of an incoming one whose preimage we have.
    pub claim_buffer: u32,
    /// Blocks after the expiry of one of ours.
    pub timeout_grace: u32,
}

/// The dry run, at this height and feerate.
pub fn forecast(
    known: &Known<'_>,
    tip: BlockHeight,
    feerate: FeeratePerKw,
    limits: Limits,
) -> Forecast {
    let height = tip.saturating_add(1);
    let close = Mined { tx: known.ours.tx(), height };
    let outputs = resolve(known, &Chain { tip, feerate, close, spends: &[] }).outputs;
    let worth = |view: &&OutputView| view.state.is_open() && view.value > view.cost;
    let claimed = || outputs.iter().filter(worth).filter(|view| !is_anchor(view));
    let htlcs = || {
        claimed().filter_map(|view| match view.what {
            What::Htlc { name, cltv_expiry, .. } => Some((view, name, cltv_expiry)),
            What::Balance(_)
            | What::Anchor(_)
            | What::Settled { .. }
            | What::SecondStage { .. }
            | What::Unknown => None,
        })
    };
    let close_by = htlcs().map(|(_, name, expiry)| match name.0 {
        Side::Us => expiry.saturating_add(limits.timeout_grace),
        Side::Them => expiry.saturating_sub(limits.claim_buffer),
    });
    let all_home_at = claimed().map(|view| match view.state {
        OutputState::Waits { until } => until,
        OutputState::Theirs
        | OutputState::Unresolved
        | OutputState::Claimable
        | OutputState::Claimed { .. }
        | OutputState::Taken { .. }
        | OutputState::Irrevocable { .. } => height,
    });
    let (paid, raised) = commitment_cost(known.ours, feerate);
    let claims = claimed().map(|view| view.cost);
    Forecast {
        cost: total(claims.chain([paid, raised])),
        saved: total(htlcs().map(|(view, ..)| view.value)),
        home: sub(total(claimed().map(|view| view.expected)), raised),
        deadline: htlcs().filter_map(|(view, ..)| view.deadline).min(),
        close_by: close_by.min(),
        all_home_at: all_home_at.max(),
        outputs,
    }
}

const fn is_anchor(view: &OutputView) -> bool {
    matches!(view.what, What::Anchor(_))
}

/// What the commitment takes from our balance, and what raising it to `feerate` costs on top.
fn commitment_cost(commitment: &Commitment, feerate: FeeratePerKw) -> (Sat, Sat) {
    let htlcs = u64::try_from(commitment.htlcs().len()).unwrap_or(u64::MAX);
    let weight =
        fee::COMMITMENT_WEIGHT.saturating_add(fee::HTLC_OUTPUT_WEIGHT.saturating_mul(htlcs));
    let has = commitment.fee();
    let paid = match commitment.terms().funder {
        Party::Owner => has,
        Party::Other => Sat::ZERO,
    };
    if feerate.fee_ceil(weight) <= has {
        return (paid, Sat::ZERO);
    }
    let both = feerate.fee_ceil(weight.saturating_add(sweep::ANCHOR_CHILD_WEIGHT));
    (paid, sub(both, has))
}

fn sub(more: Sat, less: Sat) -> Sat {
    Sat::from_sat(more.to_sat().saturating_sub(less.to_sat()))
}

fn total(values: impl Iterator<Item = Sat>) -> Sat {
    Sat::from_sat(values.fold(0, |sum: u64, value| sum.saturating_add(value.to_sat())))
}
