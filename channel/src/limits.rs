//! May this update be made? Reserve, fees, dust, counts and values in flight. BOLT 2 § Adding an HTLC,
//! § Updating Fees, § Bounding exposure to trimmed in-flight HTLCs.
//!
//! What may be sent is a list of bounds on an amount. Both the check of an offer and the quote of what is
//! available read that list, so whatever is quoted is accepted.
//!
//! Not here: what the bounds are measured on (`ledger`).

use wire::units::{BlockHeight, FeeratePerKw, Msat, Sat};

use crate::clock::{Side, Turn};
use crate::env::Policy;
use crate::fault::PeerFault;
use crate::ledger::Ledger;
use crate::refusal::Refusal;
use crate::terms::Terms;
use crate::tx::{CommitmentSpec, Direction, fee, trimmed};

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
#[derive(Clone, Debug)]
pub struct Room<'a> {
    ledger: &'a Ledger,
    terms: &'a Terms,
    policy: &'a Policy,
    /// The peer's next commitment.
    theirs: CommitmentSpec,
    /// HTLCs with an output, on our commitment and on the peer's.
    untrimmed: [usize; 2],
    /// What a close would burn, likewise.
    dust_msat: [u64; 2],
}

/// The most that can be offered, and what to say above.
struct Bound {
    most: Msat,
    refusal: Refusal,
}

const OWNERS: [Side; 2] = [Side::Us, Side::Them];

/// How HTLCs of one size range are made: trimmed on our commitment, on the peer's.
type Class = [bool; 2];

impl<'a> Room<'a> {
    /// Measures the channel as it will be when everything said so far is signed.
    ///
    /// `None` if somebody would own less than nothing, which the checks here never let happen.
    pub fn measure(ledger: &'a Ledger, terms: &'a Terms, policy: &'a Policy) -> Option<Self> {
        let theirs = ledger.spec(Side::Them, Some(Turn::Signed(Side::Us)))?;
        let (mut untrimmed, mut dust_msat) = ([0_usize; 2], [0_u64; 2]);
        for (owner, (count, dust)) in
            OWNERS.into_iter().zip(untrimmed.iter_mut().zip(&mut dust_msat))
        {
            let limit = terms.params(owner).dust_limit;
            for amount in in_flight(ledger, owner) {
                if trimmed(amount, limit) {
                    *dust = dust.saturating_add(amount.to_u64());
                } else {
                    *count = count.saturating_add(1);
                }
            }
        }
        Some(Self { ledger, terms, policy, theirs, untrimmed, dust_msat })
    }

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
        OWNERS.map(|owner| trimmed(amount, self.terms.params(owner).dust_limit))
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
        [
            self.balance(class),
            self.peer_pays_fee(class),
            self.count(),
            self.value_in_flight(),
            self.dust(class, 0),
            self.dust(class, 1),
        ]
    }

    fn balance(&self, class: Class) -> Bound {
        // BOLT 2: "it cannot pay the fee for either the local or remote commitment transaction at the
        // current `feerate_per_kw` while maintaining its channel reserve"
        let reserve = self.terms.them.channel_reserve;
        let mut kept = reserve;
        if self.ledger.funder == Side::Us {
            // BOLT 2: "It is recommended that this "fee spike buffer" can handle twice the current
            // `feerate_per_kw`"
            let spiked = self.ledger.feerate_max().0.saturating_mul(FEE_SPIKE);
            let one_more = self.outputs_with(class).saturating_add(1);
            let cost = fee::funder_cost(FeeratePerKw(spiked), one_more);
            kept = Sat::from_sat(kept.to_sat().saturating_add(cost.to_sat()));
        }
        let kept = Msat::from_sat(kept).unwrap_or(Msat::MAX);
        let available = self.theirs.to_other.checked_sub(kept).unwrap_or(Msat::ZERO);
        let refusal = Refusal::InsufficientBalance { amount: available, available };
        Bound { most: available, refusal }
    }

    fn peer_pays_fee(&self, class: Class) -> Bound {
        let mut most = Msat::MAX;
        if self.ledger.funder == Side::Them && class.iter().any(|trimmed| !trimmed) {
            // BOLT 2: "SHOULD NOT offer `amount_msat` if, once the remote node adds that HTLC to its
            // commitment transaction, it cannot pay the fee"
            let cost = fee::funder_cost(self.ledger.feerate_max(), self.outputs_with(class));
            let kept = cost.to_sat().saturating_add(self.terms.us.channel_reserve.to_sat());
            if self.theirs.to_owner.floor_sat().to_sat() < kept {
                most = Msat::ZERO;
            }
        }
        Bound { most, refusal: Refusal::PeerCannotPayFee }
    }

    fn count(&self) -> Bound {
        // BOLT 2: "if result would be offering more than the remote's `max_accepted_htlcs` HTLCs"
        let limit = self.terms.them.accepted_htlcs_max;
        let offered =
            (self.theirs.htlcs.iter()).filter(|htlc| htlc.direction == Direction::Received).count();
        let most = if offered < usize::from(limit) { Msat::MAX } else { Msat::ZERO };
        Bound { most, refusal: Refusal::TooManyHtlcs { limit } }
    }

    fn value_in_flight(&self) -> Bound {
        // BOLT 2: "if the total value of offered HTLCs would exceed the remote's
        // `max_htlc_value_in_flight_msat`"
        let limit_msat = self.terms.them.in_flight_max_msat;
        let offered = (self.theirs.htlcs.iter())
            .filter(|htlc| htlc.direction == Direction::Received)
            .fold(0_u64, |sum, htlc| sum.saturating_add(htlc.amount.to_u64()));
        let most = limit_msat.saturating_sub(offered);
        Bound {
            most: Msat::new(most).unwrap_or(Msat::MAX),
            refusal: Refusal::TooMuchInFlight { limit_msat },
        }
    }

    fn dust(&self, class: Class, place: usize) -> Bound {
        // BOLT 2: "if the `amount_msat` plus the dust balance of the remote transaction is greater than
        // `max_dust_htlc_exposure_msat`: - SHOULD NOT send this HTLC"
        let limit_msat = self.policy.dust_exposure_max.to_u64();
        let mut most = Msat::MAX;
        if let (Some(true), Some(dust)) = (class.get(place), self.dust_msat.get(place)) {
            most = Msat::new(limit_msat.saturating_sub(*dust)).unwrap_or(Msat::MAX);
        }
        Bound { most, refusal: Refusal::DustExposure { limit_msat } }
    }

    /// The most HTLC outputs on either commitment if one of this class is added.
    fn outputs_with(&self, class: Class) -> usize {
        (self.untrimmed.iter().zip(class))
            .map(|(count, trimmed)| count.saturating_add(usize::from(!trimmed)))
            .max()
            .unwrap_or(0)
    }
}

/// Everything that `owner`'s commitments may show from now on: all HTLCs but those removed there.
fn in_flight(ledger: &Ledger, owner: Side) -> impl Iterator<Item = Msat> {
    let turn = Turn::Signed(!owner);
    ledger.htlcs().filter_map(move |(_, htlc)| {
        let removed =
            htlc.removal.as_ref().is_some_and(|going| going.clock.after(turn).shown_to(owner));
        (!removed).then_some(htlc.add.amount_msat)
    })
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
    ledger: &Ledger,
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
    let spec =
        ledger.spec(Side::Us, Some(Turn::Signed(Side::Them))).ok_or(PeerFault::CannotAffordHtlc)?;
    let offered = || spec.htlcs.iter().filter(|htlc| htlc.direction == Direction::Received);
    // BOLT 2: "if a sending node adds more than receiver `max_accepted_htlcs` HTLCs"
    if offered().count() >= usize::from(terms.us.accepted_htlcs_max) {
        return Err(PeerFault::TooManyHtlcs);
    }
    // BOLT 2: "adds more than receiver `max_htlc_value_in_flight_msat` worth of offered HTLCs"
    let value =
        offered().fold(amount.to_u64(), |sum, htlc| sum.saturating_add(htlc.amount.to_u64()));
    if value > terms.us.in_flight_max_msat {
        return Err(PeerFault::TooMuchInFlight);
    }
    check_they_afford(&spec, ledger, terms, amount)?;
    Ok(overexposes(ledger, terms, policy, amount))
}

fn check_they_afford(
    spec: &CommitmentSpec,
    ledger: &Ledger,
    terms: &Terms,
    amount: Msat,
) -> Result<(), PeerFault> {
    // BOLT 2: "receiving an `amount_msat` that the sending node cannot afford at the current
    // `feerate_per_kw` (while maintaining its channel reserve"
    let mut kept = terms.us.channel_reserve.to_sat();
    if ledger.funder == Side::Them {
        let limit = terms.us.dust_limit;
        let untrimmed = (spec.htlcs.iter().map(|htlc| htlc.amount))
            .chain([amount])
            .filter(|amount| !trimmed(*amount, limit))
            .count();
        kept = kept.saturating_add(fee::funder_cost(spec.feerate, untrimmed).to_sat());
    }
    let kept = Msat::from_sat(Sat::from_sat(kept)).unwrap_or(Msat::MAX);
    let left = spec.to_other.checked_sub(amount).ok_or(PeerFault::CannotAffordHtlc)?;
    if left < kept { Err(PeerFault::CannotAffordHtlc) } else { Ok(()) }
}

/// Whether one more HTLC of theirs would let a close burn more than the policy allows.
fn overexposes(ledger: &Ledger, terms: &Terms, policy: &Policy, amount: Msat) -> bool {
    OWNERS.into_iter().any(|owner| {
        let limit = terms.params(owner).dust_limit;
        // BOLT 2: "if the `amount_msat` plus the dust balance of the local transaction is greater than
        // `max_dust_htlc_exposure_msat`: - SHOULD fail this HTLC once it's committed"
        trimmed(amount, limit)
            && (in_flight(ledger, owner).filter(|amount| trimmed(*amount, limit)))
                .fold(amount.to_u64(), |sum, dust| sum.saturating_add(dust.to_u64()))
                > policy.dust_exposure_max.to_u64()
    })
}

/// Whether we, who fund, may set this feerate.
pub fn check_fee(room: &Room<'_>, feerate: FeeratePerKw) -> Result<(), Refusal> {
    if room.ledger.funder != Side::Us {
        return Err(Refusal::NotFunder);
    }
    if feerate < room.policy.feerate_min || feerate > room.policy.feerate_max {
        return Err(Refusal::BadFeerate { feerate });
    }
    let outputs = room.outputs_with([false, false]);
    let kept = fee::funder_cost(feerate, outputs)
        .to_sat()
        .saturating_add(room.terms.them.channel_reserve.to_sat());
    if room.theirs.to_other.floor_sat().to_sat() < kept {
        return Err(Refusal::CannotAffordFee { feerate });
    }
    Ok(())
}

/// Whether the peer may set this feerate.
pub fn check_their_fee(
    ledger: &Ledger,
    terms: &Terms,
    policy: &Policy,
    feerate: FeeratePerKw,
) -> Result<(), PeerFault> {
    // BOLT 2: "The node _not responsible_ for paying the Bitcoin fee: - MUST NOT send `update_fee`."
    if ledger.funder != Side::Them {
        return Err(PeerFault::FeeFromNonFunder);
    }
    // BOLT 2: "if the `update_fee` is too low for timely processing, OR is unreasonably large"
    if feerate < policy.feerate_min || feerate > policy.feerate_max {
        return Err(PeerFault::FeeOutOfBounds);
    }
    let spec =
        ledger.spec(Side::Us, Some(Turn::Signed(Side::Them))).ok_or(PeerFault::CannotAffordFee)?;
    let limit = terms.us.dust_limit;
    let untrimmed = spec.htlcs.iter().filter(|htlc| !trimmed(htlc.amount, limit)).count();
    // BOLT 2: "if the sender cannot afford the new fee rate on the receiving node's current commitment
    // transaction"
    if spec.to_other.floor_sat() < fee::funder_cost(feerate, untrimmed) {
        return Err(PeerFault::CannotAffordFee);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
