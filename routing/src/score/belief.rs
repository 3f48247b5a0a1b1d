//! What is known of one channel, both directions, and how it fades.

use wire::units::Msat;

use super::curve::fade;
use crate::graph::Direction;

/// A bound and when it was learnt.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Learnt {
    /// Millisatoshi.
    pub(super) amount: u64,
    /// Seconds since 1970; 0 if it was never learnt.
    pub(super) at_secs: u64,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Side {
    /// So much could be forwarded.
    pub(super) least: Learnt,
    /// So much could not.
    pub(super) below: Learnt,
}

/// Both directions of a channel, that from the lesser node first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Belief {
    pub(super) sides: [Side; 2],
}

impl Side {
    /// `below` grows without bound as it fades: after each half-life it is twice as far away from `least`, so
    /// that it needs no capacity to fade towards.
    fn bounds(&self, now_secs: u64, half_life_secs: u64) -> (u64, Option<u64>) {
        let fade = |learnt: &Learnt| fade(now_secs.saturating_sub(learnt.at_secs), half_life_secs);
        let least = fade(&self.least).shrink(self.least.amount);
        let below = (self.below.at_secs > 0)
            .then(|| fade(&self.below).grow(self.below.amount))
            .flatten()
            .map(|below| below.max(1));
        // The newer word holds where both cannot be true.
        match below {
            Some(below) if least >= below && self.least.at_secs > self.below.at_secs => {
                (least, None)
            }
            Some(below) => (least.min(below.saturating_sub(1)), Some(below)),
            None => (least, None),
        }
    }
}

impl Belief {
    fn side(&self, direction: Direction) -> &Side {
        let [lesser, greater] = &self.sides;
        if direction.bit() { greater } else { lesser }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [lesser, greater] = &mut self.sides;
        if direction.bit() { greater } else { lesser }
    }

    /// At least the first can be sent; less than the second.
    pub(crate) fn bounds(
        &self,
        direction: Direction,
        now_secs: u64,
        half_life_secs: u64,
    ) -> (u64, Option<u64>) {
        self.side(direction).bounds(now_secs, half_life_secs)
    }

    pub(super) fn passed(&mut self, way: Direction, amount: Msat, now_secs: u64, half_life: u64) {
        let (least, below) = self.bounds(way, now_secs, half_life);
        let side = self.side_mut(way);
        let amount = amount.to_u64();
        if amount >= least {
            side.least = Learnt { amount, at_secs: now_secs.max(1) };
        }
        if below.is_some_and(|below| below <= amount) {
            side.below = Learnt::default();
        }
    }

    pub(super) fn stuck(&mut self, way: Direction, amount: Msat, now_secs: u64, half_life: u64) {
        let (least, below) = self.bounds(way, now_secs, half_life);
        let side = self.side_mut(way);
        let amount = amount.to_u64();
        if below.is_none_or(|below| amount <= below) {
            side.below = Learnt { amount, at_secs: now_secs.max(1) };
        }
        if least >= amount {
            side.least = Learnt { amount: amount.saturating_sub(1), at_secs: now_secs.max(1) };
        }
    }

    pub(super) fn settled(&mut self, way: Direction, amount: Msat, now_secs: u64, half_life: u64) {
        self.passed(way, amount, now_secs, half_life);
        let amount = amount.to_u64();
        let side = self.side_mut(way);
        side.least.amount = side.least.amount.saturating_sub(amount);
        if side.below.at_secs > 0 {
            side.below.amount = side.below.amount.saturating_sub(amount).max(1);
        }
        let (least, _) = self.bounds(way.reverse(), now_secs, half_life);
        let back = self.side_mut(way.reverse());
        back.least = Learnt { amount: least.saturating_add(amount), at_secs: now_secs.max(1) };
        if back.below.at_secs > 0 {
            back.below.amount = back.below.amount.saturating_add(amount);
        }
    }

    /// The newer of each bound.
    pub(super) fn merge(&mut self, other: &Self) {
        for (side, theirs) in self.sides.iter_mut().zip(&other.sides) {
            if theirs.least.at_secs > side.least.at_secs {
                side.least = theirs.least;
            }
            if theirs.below.at_secs > side.below.at_secs {
                side.below = theirs.below;
            }
        }
    }

    /// Forgets what could not be forwarded before a moment; whether there was any.
    pub(super) fn hope(&mut self, since_secs: u64) -> bool {
        let mut hoped = false;
        for side in &mut self.sides {
            if side.below.at_secs > 0 && side.below.at_secs < since_secs {
                side.below = Learnt::default();
                hoped = true;
            }
        }
        hoped
    }

    /// When anything was learnt last.
    pub(super) fn newest(&self) -> u64 {
        self.sides.iter().map(|side| side.least.at_secs.max(side.below.at_secs)).max().unwrap_or(0)
    }
}
