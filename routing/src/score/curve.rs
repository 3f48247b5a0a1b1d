//! How likely an amount passes, between two bounds and under a prior; and how knowledge fades.
//!
//! Estimates are floating point here and nowhere near an amount that anybody pays.

#![allow(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "probabilities are estimates, and `as` saturates"
)]

/// What -ln of a chance is at most: one in nine million.
const DOUBT_MAX: f64 = 16.0;

/// How balances are spread where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// Every balance is as likely as any other.
    Uniform,
    /// Most channels are near one end: this share (0 to 1) of them lies along `(2x - 1)^2`, the others anywhere.
    Bimodal(f64),
}

impl Default for Prior {
    fn default() -> Self {
        Self::Bimodal(0.5)
    }
}

impl Prior {
    /// The share of channels with a balance below `x` of the capacity.
    fn below(self, x: f64) -> f64 {
        match self {
            Self::Uniform => x,
            Self::Bimodal(share) => {
                let y = 2.0 * x - 1.0;
                (1.0 - share) * x + share * 0.5 * (y * y * y + 1.0)
            }
        }
    }

    /// How dense channels lie at balance 0.
    const fn at_zero(self) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::Bimodal(share) => 1.0 + 2.0 * share,
        }
    }
}

/// What is known of a direction for one search, in millisatoshi.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// So much passes for certain.
    pub(crate) least: f64,
    /// So much does not.
    pub(crate) below: f64,
    /// What the channel holds.
    pub(crate) capacity: f64,
}

impl Bounds {
    /// -ln of the chance that `amount` passes; `None` if it cannot.
    pub(crate) fn doubt(&self, prior: Prior, amount: f64) -> Option<f64> {
        if amount >= self.below {
            return None;
        }
        if amount <= self.least {
            return Some(0.0);
        }
        let share = |amount: f64| prior.below((amount / self.capacity).min(1.0));
        let (least, below) = (share(self.least), share(self.below));
        let width = below - least;
        if width <= 0.0 {
            return Some(DOUBT_MAX);
        }
        let chance = (below - share(amount)) / width;
        Some((-chance.ln()).clamp(0.0, DOUBT_MAX))
    }
}

/// -ln of the chance that `amount` passes a channel of which nothing is known; `None` above its capacity.
#[inline]
pub(crate) fn doubt_fresh(prior: Prior, amount: f64, capacity: f64) -> Option<f64> {
    if amount > capacity {
        return None;
    }
    let x = amount / capacity;
    if x < 1.0 / 512.0 {
        // The logarithm's first term; it is off by less than a hundredth of itself.
        return Some(x * prior.at_zero());
    }
    Some((-(1.0 - prior.below(x)).ln()).clamp(0.0, DOUBT_MAX))
}

/// A count as a real number.
pub(crate) const fn real(count: u64) -> f64 {
    count as f64
}

/// A real number as a count: 0 below zero, the most above it.
pub(crate) const fn floor(real: f64) -> u64 {
    real as u64
}

/// How much of something is left after a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fade(f64);

/// 1 now, a half after a half-life.
pub(super) fn fade(age_secs: u64, half_life_secs: u64) -> Fade {
    Fade((-(real(age_secs) / real(half_life_secs.max(1)))).exp2())
}

impl Fade {
    /// A lower bound goes to nothing.
    pub(super) fn shrink(self, amount: u64) -> u64 {
        if self.0 >= 1.0 { amount } else { floor(real(amount) * self.0) }
    }

    /// An upper bound goes to everything: gone after six half-lives.
    pub(super) fn grow(self, amount: u64) -> Option<u64> {
        if self.0 >= 1.0 {
            return Some(amount);
        }
        (self.0 > 1.0 / 64.0).then(|| floor(real(amount) / self.0))
    }
}
