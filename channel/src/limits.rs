//! May this update be made? Reserve, fees, dust, counts and values in flight. BOLT 2 § Adding an HTLC,
//! § Updating Fees, § Bounding exposure to trimmed in-flight HTLCs.
//!
//! What may be sent is a list of bounds on an amount. Both the check of an offer and the quote of what is
//! available read that list, so whatever is quoted is accepted.
//!
//! Not here: what is in flight (`ledger`).

#[cfg(test)]
mod tests;
mod totals;

use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::clock::Side;
use crate::env::Policy;
use crate::fault::PeerFault;
use crate::refusal::Refusal;
use crate::terms::Terms;
use crate::tx::fee;

pub use totals::{Offers, Shown, Totals};

/// From here on `cltv_expiry` would be a time. BOLT 2 § Adding an HTLC.
const CLTV_TIME: u32 = 500_000_000;

/// How much more than the present feerate a funder keeps ready for.
const FEE_SPIKE: u32 = 2;

/// Amounts that can be offered now: every one from `min` to `max`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sendable {
    /// The least.
    pub min: Msat,
    /// The most; below `min` if nothing can be sent.
    pub max: Msat,
}

impl Sendable {
    /// Nothing can be sent.
    pub const NOTHING: Self = Self { min: Msat::MAX, max: Msat::ZERO };
}

/// What an offer of ours is measured against.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// What is in flight.
    pub totals: Totals,
    /// What was agreed on.
    pub terms: &'a Terms,
    /// What this node tolerates.
    pub policy: &'a Policy,
}

/// The most that can be offered, and what to say above.
struct Bound {
    most: Msat,
    refusal: Refusal,
}

/// How HTLCs of one size range are made: trimmed on our commitment, on the peer's.
type Class = [bool; 2];

impl Room<'_> {
    /// Whether we may offer this.
    pub fn check(&self, amount: Msat) -> Result<(), Refusal> {
        let minimum = self.minimum();
        // BOLT 2: "MUST NOT offer `amount_msat` below the receiving node's `htlc_minimum_msat`"
        if amount < minimum {
            return Err(Refusal::BelowMinimum { amount, minimum });
        }
        let class = self.class_of(amount);
        match self.bounds(class).into_iter().find(|bound| amount > bound.most) {
            None => Ok(()),
            Some(Bound { refusal: Refusal::InsufficientBalance { available, .. }, .. }) => {
                Err(Refusal::InsufficientBalance { amount, available })
            }
            Some(bound) => Err(bound.refusal),
        }
    }

    /// What may be offered, as one range without holes.
    pub fn sendable(&self) -> Sendable {
        let mut range: Option<Sendable> = None;
        for (class, from, to) in self.classes().into_iter().rev() {
            let from = from.max(self.minimum());
            let most = self.ceiling(class).min(to);
            match &mut range {
                None if most >= from && from <= to => {
                    range = Some(Sendable { min: from, max: most });
                }
                None => {}
                // A lower range joins only if it is accepted up to its end.
                Some(above) if from <= to && most == to => above.min = from,
                Some(_) => break,
            }
        }
        range.unwrap_or(Sendable::NOTHING)
    }

    /// BOLT 2: "MUST offer `amount_msat` greater than 0."
    fn minimum(&self) -> Msat {
        self.terms.them.htlc_minimum.max(Msat::new(1).unwrap_or(Msat::ZERO))
    }

    fn class_of(&self, amount: Msat) -> Class {
        [self.totals.on_ours.trims(amount), self.totals.on_theirs.trims(amount)]
    }

    /// The ranges of amounts that make the same outputs, from small to large, ends included.
    fn classes(&self) -> Vec<(Class, Msat, Msat)> {
        let starts = |limit: Sat| Msat::from_sat(limit).unwrap_or(Msat::MAX);
        let (us, them) = (starts(self.terms.us.dust_limit), starts(self.terms.them.dust_limit));
        let (lower, higher) = (us.min(them), us.max(them));
        let before = |start: Msat| start.checked_sub(Msat::new(1).unwrap_or(Msat::ZERO));
        let ends = [before(lower), before(higher), Some(Msat::MAX)];
        ([Msat::ZERO, lower, higher].into_iter().zip(ends))
            .filter_map(|(start, end)| Some((self.class_of(start), start, end?)))
            .filter(|(_, start, end)| start <= end)
            .collect()
    }

    fn ceiling(&self, class: Class) -> Msat {
        self.bounds(class).into_iter().map(|bound| bound.most).fold(Msat::MAX, Msat::min)
    }

    /// Every rule for an HTLC of this class, as the most it lets through.
    fn bounds(&self, class: Class) -> [Bound; 6] {
        let [on_ours, on_theirs] = class;
        [
            self.balance(class),
            self.peer_pays_fee(class),
            self.count(),
            self.value_in_flight(),
            self.dust(on_ours, &self.totals.on_ours),
            self.dust(on_theirs, &self.totals.on_theirs),
        ]
    }

    fn balance(&self, class: Class) -> Bound {
        // BOLT 2: "it cannot pay the fee for either the local or remote commitment transaction at the
        // current `feerate_per_kw` while maintaining its channel reserve"
        let mut kept = self.terms.them.channel_reserve;
        if self.totals.funder == Side::Us {
            // BOLT 2: "It is recommended that this "fee spike buffer" can handle twice the current
            // `feerate_per_kw`"
            let spiked = FeeratePerKw(self.totals.feerate_max.0.saturating_mul(FEE_SPIKE));
            let cost = fee::funder_cost(spiked, self.outputs_with(class).saturating_add(1));
            kept = Sat::from_sat(kept.to_sat().saturating_add(cost.to_sat()));
        }
        let kept = Msat::from_sat(kept).unwrap_or(Msat::MAX);
        let available = self.totals.ours.balance.checked_sub(kept).unwrap_or(Msat::ZERO);
        let refusal = Refusal::InsufficientBalance { amount: available, available };
        Bound { most: available, refusal }
    }

    fn peer_pays_fee(&self, class: Class) -> Bound {
        let mut most = Msat::MAX;
        if self.totals.funder == Side::Them && class.iter().any(|trimmed| !trimmed) {
            // BOLT 2: "SHOULD NOT offer `amount_msat` if, once the remote node adds that HTLC to its
            // commitment transaction, it cannot pay the fee"
            let cost = fee::funder_cost(self.totals.feerate_max, self.outputs_with(class));
            let kept = cost.to_sat().saturating_add(self.terms.us.channel_reserve.to_sat());
            if self.totals.ours.other_balance.floor_sat().to_sat() < kept {
                most = Msat::ZERO;
            }
        }
        Bound { most, refusal: Refusal::PeerCannotPayFee }
    }

    fn count(&self) -> Bound {
        // BOLT 2: "if result would be offering more than the remote's `max_accepted_htlcs` HTLCs"
        let limit = self.terms.them.accepted_htlcs_max;
        let free = self.totals.ours.count < usize::from(limit);
        let most = if free { Msat::MAX } else { Msat::ZERO };
        Bound { most, refusal: Refusal::TooManyHtlcs { limit } }
    }

    fn value_in_flight(&self) -> Bound {
        // BOLT 2: "if the total value of offered HTLCs would exceed the remote's
        // `max_htlc_value_in_flight_msat`"
        let limit_msat = self.terms.them.in_flight_max_msat;
        let most = limit_msat.saturating_sub(self.totals.ours.value_msat);
        Bound {
            most: Msat::new(most).unwrap_or(Msat::MAX),
            refusal: Refusal::TooMuchInFlight { limit_msat },
        }
    }

    fn dust(&self, trims: bool, shown: &Shown) -> Bound {
        // BOLT 2: "if the `amount_msat` plus the dust balance of the remote transaction is greater than
        // `max_dust_htlc_exposure_msat`: - SHOULD NOT send this HTLC"
        let limit_msat = self.policy.dust_exposure_max.to_u64();
        let left = Msat::new(limit_msat.saturating_sub(shown.dust_msat)).unwrap_or(Msat::MAX);
        let most = if trims { left } else { Msat::MAX };
        Bound { most, refusal: Refusal::DustExposure { limit_msat } }
    }

    /// The most HTLC outputs on either commitment if one of this class is added.
    fn outputs_with(&self, [on_ours, on_theirs]: Class) -> usize {
        let ours = self.totals.on_ours.untrimmed.saturating_add(usize::from(!on_ours));
        let theirs = self.totals.on_theirs.untrimmed.saturating_add(usize::from(!on_theirs));
        ours.max(theirs)
    }
}

/// Whether we may offer an HTLC that expires then.
pub fn check_expiry(
    cltv_expiry: BlockHeight,
    height: BlockHeight,
    policy: &Policy,
) -> Result<(), Refusal> {
    let ahead = cltv_expiry.blocks_since(height);
    // BOLT 2: "MUST set `cltv_expiry` less than 500000000."
    let usable = cltv_expiry.0 < CLTV_TIME
        && ahead.is_some_and(|ahead| ahead > 0 && ahead <= policy.cltv_ahead_max);
    if usable { Ok(()) } else { Err(Refusal::BadExpiry { cltv_expiry }) }
}

/// Whether the peer may offer this, and whether it would lift the trimmed value above the policy.
///
/// Only what BOLT 2 demands of a sender is held against it: the peer cannot know what of ours is on
/// its way, so what it could not know does not count.
pub fn check_their_offer(
    totals: &Totals,
    terms: &Terms,
    policy: &Policy,
    amount: Msat,
    cltv_expiry: BlockHeight,
) -> Result<bool, PeerFault> {
    // BOLT 2: "receiving an `amount_msat` equal to 0, OR less than its own `htlc_minimum_msat`"
    if amount.is_zero() || amount < terms.us.htlc_minimum {
        return Err(PeerFault::HtlcTooSmall);
    }
    // BOLT 2: "if sending node sets `cltv_expiry` to greater or equal to 500000000"
    if cltv_expiry.0 >= CLTV_TIME {
        return Err(PeerFault::CltvIsATime);
    }
    let offers = &totals.theirs;
    // BOLT 2: "if a sending node adds more than receiver `max_accepted_htlcs` HTLCs"
    if offers.count >= usize::from(terms.us.accepted_htlcs_max) {
        return Err(PeerFault::TooManyHtlcs);
    }
    // BOLT 2: "adds more than receiver `max_htlc_value_in_flight_msat` worth of offered HTLCs"
    if offers.value_msat.saturating_add(amount.to_u64()) > terms.us.in_flight_max_msat {
        return Err(PeerFault::TooMuchInFlight);
    }
    // BOLT 2: "receiving an `amount_msat` that the sending node cannot afford at the current
    // `feerate_per_kw` (while maintaining its channel reserve"
    let mut kept = terms.us.channel_reserve.to_sat();
    if totals.funder == Side::Them {
        let outputs = totals.outputs.saturating_add(usize::from(!totals.on_ours.trims(amount)));
        kept = kept.saturating_add(fee::funder_cost(totals.feerate, outputs).to_sat());
    }
    let kept = Msat::from_sat(Sat::from_sat(kept)).unwrap_or(Msat::MAX);
    if offers.balance.checked_sub(amount).is_none_or(|left| left < kept) {
        return Err(PeerFault::CannotAffordHtlc);
    }
    // BOLT 2: "if the `amount_msat` plus the dust balance of the local transaction is greater than
    // `max_dust_htlc_exposure_msat`: - SHOULD fail this HTLC once it's committed"
    let limit_msat = policy.dust_exposure_max.to_u64();
    Ok([&totals.on_ours, &totals.on_theirs].into_iter().any(|shown| {
        shown.trims(amount) && shown.dust_msat.saturating_add(amount.to_u64()) > limit_msat
    }))
}

/// Whether we, who fund, may set this feerate.
pub fn check_fee(room: &Room<'_>, feerate: FeeratePerKw) -> Result<(), Refusal> {
    if room.totals.funder != Side::Us {
        return Err(Refusal::NotFunder);
    }
    if feerate < room.policy.feerate_min || feerate > room.policy.feerate_max {
        return Err(Refusal::BadFeerate { feerate });
    }
    let outputs = room.outputs_with([false, false]);
    let cost = fee::funder_cost(feerate, outputs).to_sat();
    let kept = cost.saturating_add(room.terms.them.channel_reserve.to_sat());
    if room.totals.ours.balance.floor_sat().to_sat() < kept {
        return Err(Refusal::CannotAffordFee { feerate });
    }
    Ok(())
}

/// Whether the peer may set this feerate.
pub fn check_their_fee(
    totals: &Totals,
    policy: &Policy,
    feerate: FeeratePerKw,
) -> Result<(), PeerFault> {
    // BOLT 2: "The node _not responsible_ for paying the Bitcoin fee: - MUST NOT send `update_fee`."
    if totals.funder != Side::Them {
        return Err(PeerFault::FeeFromNonFunder);
    }
    // BOLT 2: "if the `update_fee` is too low for timely processing, OR is unreasonably large"
    if feerate < policy.feerate_min || feerate > policy.feerate_max {
        return Err(PeerFault::FeeOutOfBounds);
    }
    // BOLT 2: "if the sender cannot afford the new fee rate on the receiving node's current commitment
    // transaction"
    if totals.theirs.balance.floor_sat() < fee::funder_cost(feerate, totals.outputs) {
        return Err(PeerFault::CannotAffordFee);
    }
    Ok(())
}
