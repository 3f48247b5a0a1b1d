//! What a claim pays to the miners: more the nearer somebody else is to it, and the longer it waits.
//!
//! Not here: how much a claim may cost at most (`attempts`), where estimates come from (`layer1`).

use wire::units::FeeratePerKw;

use crate::layer1::Feerates;

/// Blocks after which a contested claim that is in no block pays twice as much.
const PATIENCE: u32 = 6;

/// The same for what nobody else can take.
const CALM_PATIENCE: u32 = 36;

/// How often waiting alone doubles a feerate.
const DOUBLINGS_OF_WAITING: u32 = 3;

/// The highest feerate ever offered: 1 000 sat/vB.
const MAX: FeeratePerKw = FeeratePerKw(250_000);

/// How urgent something is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Hurry {
    /// Whether somebody else may take it.
    pub(super) contested: bool,
    /// Blocks until somebody else can take it for sure.
    pub(super) remaining: Option<u32>,
    /// Blocks since it was first tried.
    pub(super) waited: u32,
}

/// The feerate: never falls while `remaining` does or `waited` grows.
pub(super) fn rate(feerates: &Feerates, hurry: &Hurry) -> FeeratePerKw {
    let calm = !hurry.contested && hurry.remaining.is_none();
    let (base, patience) =
        if calm { (feerates.relaxed, CALM_PATIENCE) } else { (feerates.normal, PATIENCE) };
    let near = match hurry.remaining {
        Some(0..=1) => 5,
        Some(2..=3) => 4,
        Some(4..=6) => 3,
        Some(7..=12) => 2,
        Some(13..=18) => 1,
        Some(19..) | None => 0,
    };
    let waited = hurry.waited.checked_div(patience).unwrap_or(0).min(DOUBLINGS_OF_WAITING);
    let doubled = base.0.saturating_mul(2_u32.saturating_pow(waited.max(near)));
    FeeratePerKw(doubled).clamp(FeeratePerKw::FLOOR, MAX)
}

/// Whether a new feerate is worth a replacement, and enough for one. BIP 125 rule 4 asks for the relay
/// feerate on top.
pub(super) fn is_better(new: FeeratePerKw, old: FeeratePerKw) -> bool {
    let step = old.0.div_euclid(4).max(FeeratePerKw::FLOOR.0);
    new.0 >= old.0.saturating_add(step)
}
