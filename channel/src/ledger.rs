//! HTLCs and fees in flight, and what each side owns: both commitments are functions of this.
//! BOLT 2 § Normal Operation.
//!
//! Balances hold what is settled for good; whatever is in flight still lies with its offerer and carries
//! a clock. A commitment is never stored: [`Ledger::spec`] computes what any of them divides, now or
//! after the next turn.
//!
//! Not here: whether an update may be made (`limits`), what a commitment looks like (`tx`).

mod audit;
mod tick;

pub use audit::{Unbalanced, audit};
pub use tick::{Settled, Ticked};

use std::collections::BTreeMap;

use wire::id::Preimage;
use wire::message::AttributionData;
use wire::units::{FeeratePerKw, Msat};

use crate::clock::{Clock, Moment, Side, Turn};
use crate::effect::Outcome;
use crate::event::Origin;
use crate::fact::{Add, AddIn, AddOut, Removal, TheirRemoval};
use crate::tx::{CommitmentSpec, Direction, SpecHtlc};

/// Names an HTLC: who offered it, and the number it got.
pub type Key = (Side, u64);

/// All that is in flight, and all that is owned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ledger {
    pub(crate) us: Msat,
    pub(crate) them: Msat,
    pub(crate) funder: Side,
    pub(crate) feerate: FeeratePerKw,
    pub(crate) fees: Vec<FeeChange>,
    pub(crate) htlcs: BTreeMap<Key, Htlc>,
    pub(crate) next_us: u64,
    pub(crate) next_them: u64,
    pub(crate) tombstones: BTreeMap<u64, Tombstone>,
}

/// A feerate on its way into both commitments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeeChange {
    /// How far it has come.
    pub clock: Clock,
    /// The feerate.
    pub feerate: FeeratePerKw,
}

/// An HTLC in flight.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Htlc {
    /// What was offered.
    pub add: Add,
    /// How far the offer has come.
    pub clock: Clock,
    /// On whose behalf, if it is ours.
    pub origin: Option<Origin>,
    /// It lifts the trimmed value above the policy; only if it is theirs.
    pub overexposed: bool,
    /// Its removal, if one was decided.
    pub removal: Option<Going>,
    /// The preimage the peer showed, if it is ours.
    pub preimage: Option<(Preimage, Option<AttributionData>)>,
    /// How Layer 1 ended it, if it is ours. It stays, because commitments on Layer 1 still show it.
    pub ended: Option<Outcome>,
    /// Its outcome is recorded elsewhere: it leaves no tombstone.
    pub forgotten: bool,
}

/// The removal of an HTLC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Going {
    /// How far it has come.
    pub clock: Clock,
    /// How it ends.
    pub how: How,
}

/// How an HTLC is removed, by the side that did not offer it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum How {
    /// By us.
    Ours(Removal),
    /// By the peer.
    Theirs(TheirRemoval),
}

impl How {
    /// Whether the offerer pays.
    pub const fn fulfils(&self) -> bool {
        matches!(self, Self::Ours(Removal::Fulfill { .. }) | Self::Theirs(TheirRemoval::Fulfilled))
    }
}

/// What is left of an outgoing HTLC until its outcome is recorded elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tombstone {
    /// On whose behalf it was offered.
    pub origin: Origin,
    /// How it ended.
    pub outcome: Outcome,
}

impl Htlc {
    /// An HTLC of ours that was only said.
    pub fn ours(add: AddOut) -> Self {
        Self {
            add: add.add,
            clock: Clock::new(Side::Us),
            origin: Some(add.origin),
            overexposed: false,
            removal: None,
            preimage: None,
            ended: None,
            forgotten: false,
        }
    }

    /// One of theirs that was only said.
    pub fn theirs(add: AddIn) -> Self {
        Self {
            add: add.add,
            clock: Clock::new(Side::Them),
            origin: None,
            overexposed: add.overexposed,
            removal: None,
            preimage: None,
            ended: None,
            forgotten: false,
        }
    }

    /// As the peer's signature records it.
    pub fn to_add_in(&self) -> AddIn {
        AddIn { add: self.add.clone(), overexposed: self.overexposed }
    }

    /// As our signature records it; `None` if it is not ours.
    pub fn to_add_out(&self) -> Option<AddOut> {
        Some(AddOut { add: self.add.clone(), origin: self.origin? })
    }

    /// How it ended, if that is known: a preimage decides, unless it came after the end was told.
    pub fn outcome(&self) -> Option<Outcome> {
        match (&self.ended, &self.preimage) {
            (Some(ended), _) => Some(ended.clone()),
            (None, Some((preimage, attribution))) => {
                Some(Outcome::Fulfilled { preimage: *preimage, attribution: attribution.clone() })
            }
            (None, None) => None,
        }
    }

    /// Whether `owner`'s commitment, as `turn` would leave it, pays it through an output of its own or
    /// burns it: it is added there and not removed.
    pub fn is_live(&self, owner: Side, turn: Option<Turn>) -> bool {
        shown(self.clock, owner, turn)
            && !self.removal.as_ref().is_some_and(|going| shown(going.clock, owner, turn))
    }
}

fn shown(clock: Clock, owner: Side, turn: Option<Turn>) -> bool {
    turn.map_or(clock, |turn| clock.after(turn)).shown_to(owner)
}

impl Ledger {
    /// The books of a new channel.
    pub const fn new(us: Msat, them: Msat, funder: Side, feerate: FeeratePerKw) -> Self {
        Self {
            us,
            them,
            funder,
            feerate,
            fees: Vec::new(),
            htlcs: BTreeMap::new(),
            next_us: 0,
            next_them: 0,
            tombstones: BTreeMap::new(),
        }
    }

    /// The `id` of the next HTLC that `side` offers.
    pub const fn next_id(&self, side: Side) -> u64 {
        match side {
            Side::Us => self.next_us,
            Side::Them => self.next_them,
        }
    }

    /// The `id` of the next HTLC that `side` offers, if all it did not sign is forgotten.
    pub fn next_signed(&self, side: Side) -> u64 {
        let said = self.htlcs.range((side, 0)..=(side, u64::MAX)).rev();
        (said.take_while(|(_, htlc)| htlc.clock.is_proposed()).last())
            .map_or_else(|| self.next_id(side), |((_, id), _)| *id)
    }

    /// What is settled for good as `side`'s, with what it offers still in it.
    pub const fn settled(&self, side: Side) -> Msat {
        match side {
            Side::Us => self.us,
            Side::Them => self.them,
        }
    }

    /// The HTLC that `by` offered under this number.
    pub fn htlc(&self, by: Side, id: u64) -> Option<&Htlc> {
        self.htlcs.get(&(by, id))
    }

    /// All HTLCs in flight: ours by rising number, then theirs.
    pub fn htlcs(&self) -> impl Iterator<Item = (Side, &Htlc)> {
        self.htlcs.iter().map(|((by, _), htlc)| (*by, htlc))
    }

    /// The feerate of `owner`'s commitment, as `turn` would leave it.
    pub fn feerate(&self, owner: Side, turn: Option<Turn>) -> FeeratePerKw {
        self.feerate_by(|clock| shown(clock, owner, turn))
    }

    fn feerate_by(&self, shown: impl Fn(Clock) -> bool) -> FeeratePerKw {
        (self.fees.iter().rev())
            .find(|change| shown(change.clock))
            .map_or(self.feerate, |change| change.feerate)
    }

    /// The feerate that was said last.
    pub fn feerate_newest(&self) -> FeeratePerKw {
        self.fees.last().map_or(self.feerate, |change| change.feerate)
    }

    /// The highest feerate that any commitment has or is about to have.
    pub fn feerate_max(&self) -> FeeratePerKw {
        self.fees.iter().map(|change| change.feerate).fold(self.feerate, FeeratePerKw::max)
    }

    /// What `owner`'s commitment divides, as `turn` would leave it; `None` if somebody would own less
    /// than nothing.
    pub fn spec(&self, owner: Side, turn: Option<Turn>) -> Option<CommitmentSpec> {
        self.spec_by(owner, |clock| shown(clock, owner, turn))
    }

    /// What the peer's commitment divides that it has not revoked although we signed a newer one.
    pub fn spec_of_their_last(&self) -> Option<CommitmentSpec> {
        self.spec_by(Side::Them, |clock| {
            let from = match clock.proposer() {
                Side::Us => Moment::AckedByPeer,
                Side::Them => Moment::Irrevocable,
            };
            clock.moment() >= from
        })
    }

    fn spec_by(&self, owner: Side, shown: impl Fn(Clock) -> bool) -> Option<CommitmentSpec> {
        // Gains before losses: what an HTLC spends may be what another one brought.
        let (mut us, mut them) = (self.us, self.them);
        let (mut from_us, mut from_them) = (Msat::ZERO, Msat::ZERO);
        let mut live = Vec::with_capacity(self.htlcs.len());
        for ((by, id), htlc) in &self.htlcs {
            if !shown(htlc.clock) {
                continue;
            }
            let amount = htlc.add.amount_msat;
            let (loss, gain) = match by {
                Side::Us => (&mut from_us, &mut them),
                Side::Them => (&mut from_them, &mut us),
            };
            match &htlc.removal {
                Some(going) if shown(going.clock) => {
                    if going.how.fulfils() {
                        *loss = loss.checked_add(amount)?;
                        *gain = gain.checked_add(amount)?;
                    }
                }
                Some(_) | None => {
                    *loss = loss.checked_add(amount)?;
                    live.push(SpecHtlc {
                        direction: if *by == owner {
                            Direction::Offered
                        } else {
                            Direction::Received
                        },
                        id: *id,
                        amount,
                        payment_hash: htlc.add.payment_hash,
                        cltv_expiry: htlc.add.cltv_expiry,
                    });
                }
            }
        }
        let (us, them) = (us.checked_sub(from_us)?, them.checked_sub(from_them)?);
        let (to_owner, to_other) = match owner {
            Side::Us => (us, them),
            Side::Them => (them, us),
        };
        let feerate = self.feerate_by(shown);
        Some(CommitmentSpec { feerate, to_owner, to_other, htlcs: live })
    }

    /// Whether a signature of `by` would carry anything on.
    pub fn has_something_to_sign(&self, by: Side) -> bool {
        let turn = Turn::Signed(by);
        self.fees.iter().any(|change| change.clock.awaits(turn))
            || self.htlcs.values().any(|htlc| {
                htlc.clock.awaits(turn)
                    || htlc.removal.as_ref().is_some_and(|going| going.clock.awaits(turn))
            })
    }

    /// Whether `side` has said something that it has not signed.
    pub fn has_proposals(&self, side: Side) -> bool {
        let said = |clock: Clock| clock.proposer() == side && clock.is_proposed();
        self.fees.iter().any(|change| said(change.clock))
            || self.htlcs.values().any(|htlc| {
                said(htlc.clock) || htlc.removal.as_ref().is_some_and(|going| said(going.clock))
            })
    }

    /// Whether no update is under way and no HTLC is left, dust included.
    pub fn is_clean(&self) -> bool {
        self.htlcs.is_empty() && self.fees.is_empty()
    }

    /// Outgoing HTLCs whose outcome is known and not yet recorded elsewhere.
    pub fn resolved(&self) -> impl Iterator<Item = (u64, Origin, Outcome)> {
        let seen = self.htlcs.iter().filter_map(|((_, id), htlc)| {
            let outcome = htlc.outcome()?;
            (!htlc.forgotten).then_some((*id, htlc.origin?, outcome))
        });
        let buried = self.tombstones.iter().map(|(id, stone)| {
            let outcome = stone.outcome.clone();
            (*id, stone.origin, outcome)
        });
        seen.chain(buried)
    }

    /// Says an HTLC; the number must be the next.
    pub(crate) fn propose(&mut self, htlc: Htlc) {
        let (by, id) = (htlc.clock.proposer(), htlc.add.id);
        let next = match by {
            Side::Us => &mut self.next_us,
            Side::Them => &mut self.next_them,
        };
        *next = id.saturating_add(1).max(*next);
        self.htlcs.entry((by, id)).or_insert(htlc);
    }

    /// Says how the HTLC that `!by` offered is to be removed; the first word stands.
    pub(crate) fn propose_removal(&mut self, by: Side, id: u64, how: How) {
        if let Some(htlc) = self.htlcs.get_mut(&(!by, id))
            && htlc.removal.is_none()
        {
            htlc.removal = Some(Going { clock: Clock::new(by), how });
        }
    }

    /// Says a feerate. One that was only said before is replaced: the last one counts.
    pub(crate) fn propose_fee(&mut self, feerate: FeeratePerKw) {
        let clock = Clock::new(self.funder);
        match self.fees.iter_mut().find(|change| change.clock.is_proposed()) {
            Some(change) => change.feerate = feerate,
            None => self.fees.push(FeeChange { clock, feerate }),
        }
    }

    /// Notes the preimage of an HTLC of ours.
    pub(crate) fn see_preimage(
        &mut self,
        id: u64,
        preimage: Preimage,
        attribution: Option<AttributionData>,
    ) {
        if let Some(htlc) = self.htlcs.get_mut(&(Side::Us, id)) {
            htlc.preimage.get_or_insert((preimage, attribution));
        }
    }

    /// Ends an HTLC of ours that Layer 1 decided.
    pub(crate) fn end_on_chain(&mut self, id: u64, outcome: Outcome) {
        if let Some(htlc) = self.htlcs.get_mut(&(Side::Us, id)) {
            htlc.ended.get_or_insert(outcome);
        }
    }

    /// Drops what is recorded elsewhere of an HTLC of ours.
    pub(crate) fn forget(&mut self, id: u64) {
        self.tombstones.remove(&id);
        if let Some(htlc) = self.htlcs.get_mut(&(Side::Us, id)) {
            htlc.forgotten = true;
        }
    }

    /// The connection is gone: what was only said was never said. The HTLCs of ours that this undoes.
    ///
    /// Removals of ours stay decided; they are said again.
    pub(crate) fn forget_proposals(&mut self) -> Vec<Htlc> {
        let mut unsent = Vec::new();
        for side in [Side::Us, Side::Them] {
            while let Some(entry) = self.htlcs.range((side, 0)..=(side, u64::MAX)).next_back()
                && entry.1.clock.is_proposed()
            {
                let key = *entry.0;
                match side {
                    Side::Us => self.next_us = key.1,
                    Side::Them => self.next_them = key.1,
                }
                unsent.extend(self.htlcs.remove(&key).filter(|_| side == Side::Us));
            }
        }
        for htlc in self.htlcs.values_mut() {
            let said_by_them = |going: &mut Going| {
                going.clock.is_proposed() && going.clock.proposer() == Side::Them
            };
            htlc.removal.take_if(said_by_them);
        }
        self.fees.retain(|change| !change.clock.is_proposed());
        unsent.reverse();
        unsent
    }
}

#[cfg(test)]
mod tests;
