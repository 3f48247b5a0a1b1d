//! The payments we owe, as a fold over their facts.
//!
//! A payment is started, tried over channels, and ends once. What an HTLC of it does in between is
//! known to its channel alone.
//!
//! Not here: deciding what to try (`payments::send`).

use std::collections::BTreeMap;

use channel::seal::Lsn;
use wire::id::{NodeId, PaymentHash};
use wire::onion::attribution::HoldTime;
use wire::units::{BlockHeight, Msat};

use crate::fact::{
    AttemptFailed, Fact, HopTaken, NoWayLeft, PartHeld, PaymentEnded, PaymentMeans, PaymentStarted,
    PaymentTried, RouteTaken,
};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::payment::{
    Attempt, AttemptState, Hop, Payment, PaymentFailure, PaymentStatus,
};

/// One payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// Its place in the list: the journal position it was started at.
    pub index: u64,
    /// How it began.
    pub started: PaymentStarted,
    /// What was tried, by part.
    pub tried: Vec<PaymentTried>,
    /// The ways of parts that do not go straight to the payee, by part.
    pub routes: BTreeMap<u32, RouteTaken>,
    /// How long nodes held parts, by part.
    pub held: BTreeMap<u32, PartHeld>,
    /// What became of parts that failed.
    pub failed: Vec<AttemptFailed>,
    /// What it may do, if that is not the usual.
    pub means: Option<PaymentMeans>,
    /// What stood in the way when none was left.
    pub no_way: Option<NoWayLeft>,
    /// How it ended.
    pub ended: Option<PaymentEnded>,
    /// Parts below this belong to an earlier, failed payment of the same invoice.
    pub first_part: u32,
}

/// All payments that are under way, and those that ended lately.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SentBook(BTreeMap<PaymentHash, Sent>);

impl SentBook {
    /// Takes a fact in; others than payments' change nothing.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::PaymentStarted(started) => {
                let before = self.0.get(&started.payment_hash).map_or(0, Sent::next_part);
                let fresh = Sent { first_part: before, ..Sent::begin(at.0, started.clone()) };
                self.0.insert(started.payment_hash, fresh);
            }
            Fact::PaymentTried(tried) => {
                if let Some(sent) = self.0.get_mut(&tried.payment_hash) {
                    sent.tried.push(tried.clone());
                }
            }
            Fact::RouteTaken(route) => {
                if let Some(sent) = self.0.get_mut(&route.payment_hash) {
                    sent.routes.insert(route.part, route.clone());
                }
            }
            Fact::PartHeld(held) => {
                if let Some(sent) = self.0.get_mut(&held.payment_hash) {
                    sent.held.insert(held.part, held.clone());
                }
            }
            Fact::PaymentMeans(means) => {
                if let Some(sent) = self.0.get_mut(&means.payment_hash) {
                    sent.means = Some(means.clone());
                }
            }
            Fact::NoWayLeft(left) => {
                if let Some(sent) = self.0.get_mut(&left.payment_hash) {
                    sent.no_way = Some(left.clone());
                }
            }
            Fact::AttemptFailed(failed) => {
                if let Some(sent) = self.0.get_mut(&failed.payment_hash) {
                    sent.failed.push(failed.clone());
                }
            }
            Fact::PaymentEnded(ended) => {
                if let Some(sent) = self.0.get_mut(&ended.payment_hash) {
                    sent.ended = Some(ended.clone());
                }
            }
            _ => {}
        }
    }

    /// One payment.
    pub fn get(&self, hash: PaymentHash) -> Option<&Sent> {
        self.0.get(&hash)
    }

    /// All, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.0.values()
    }

    /// Drops payments that ended and that `gone` says are kept elsewhere.
    pub fn forget(&mut self, mut gone: impl FnMut(&Sent) -> bool) {
        self.0.retain(|_, sent| sent.ended.is_none() || !gone(sent));
    }

    /// Takes a payment out.
    pub(crate) fn remove(&mut self, hash: PaymentHash) {
        self.0.remove(&hash);
    }

    /// Puts a payment in as a snapshot had it.
    pub(crate) fn put(&mut self, sent: Sent) {
        self.0.insert(sent.started.payment_hash, sent);
    }
}

impl Sent {
    /// A payment of which nothing was tried yet.
    pub const fn begin(index: u64, started: PaymentStarted) -> Self {
        Self {
            index,
            started,
            tried: Vec::new(),
            routes: BTreeMap::new(),
            held: BTreeMap::new(),
            failed: Vec::new(),
            means: None,
            no_way: None,
            ended: None,
            first_part: 0,
        }
    }

    /// The number of the next part. None is ever used twice: session keys are derived from it.
    pub fn next_part(&self) -> u32 {
        let last = self.tried.iter().map(|tried| tried.part).max();
        last.map_or(self.first_part, |last| last.saturating_add(1))
    }

    /// What was tried as this part.
    pub fn part(&self, part: u32) -> Option<&PaymentTried> {
        self.tried.iter().rev().find(|tried| tried.part == part)
    }

    /// How a part failed, if it did.
    pub fn failure_of(&self, part: u32) -> Option<&AttemptFailed> {
        self.failed.iter().rev().find(|failed| failed.part == part)
    }

    /// Parts without an outcome; none once the payment has ended.
    pub fn in_flight(&self) -> impl Iterator<Item = &PaymentTried> {
        let open = self.ended.is_none();
        self.tried.iter().filter(move |tried| open && self.failure_of(tried.part).is_none())
    }

    /// What a part brings to the payee.
    pub fn delivered(&self, tried: &PaymentTried) -> Msat {
        self.routes.get(&tried.part).map_or(tried.amount, |route| route.delivered)
    }

    /// What nodes on the way take of a part.
    pub fn fee(&self, tried: &PaymentTried) -> Msat {
        tried.amount.checked_sub(self.delivered(tried)).unwrap_or(Msat::ZERO)
    }

    /// How long the node at `place` on a part's way held it, in milliseconds, if it proved that.
    pub fn held_ms(&self, part: u32, place: usize) -> Option<u64> {
        let times = &self.held.get(&part)?.times;
        times.get(place).map(|time| HoldTime(*time).as_millis())
    }

    /// The HTLCs of a part, ours first; empty if it goes straight to the payee.
    pub fn hops(&self, part: u32) -> &[HopTaken] {
        self.routes.get(&part).map_or(&[], |route| &route.hops)
    }

    /// Where it stands.
    pub fn status(&self) -> PaymentStatus {
        match &self.ended {
            None => PaymentStatus::InFlight,
            Some(PaymentEnded { preimage: Some(preimage), .. }) => {
                PaymentStatus::Succeeded { preimage: *preimage }
            }
            Some(ended) => PaymentStatus::Failed(failure_of(ended)),
        }
    }

    /// As users see it. `place` tells the id and scid of a channel, if it is still known.
    pub fn show(
        &self,
        place: impl Fn(u64) -> (Option<wire::id::ChannelId>, Option<wire::id::ShortChannelId>),
    ) -> Payment {
        let status = self.status();
        let ended = self.ended.as_ref().map(|ended| UnixMillis(ended.at_ms));
        let mut fee = Msat::ZERO;
        let attempts = self
            .tried
            .iter()
            .map(|tried| {
                let state = self.attempt_state(tried);
                if !matches!(state, AttemptState::Failed(_)) {
                    fee = fee.checked_add(self.fee(tried)).unwrap_or(Msat::MAX);
                }
                let failed = self.failure_of(tried.part);
                let failed = failed.map(|failed| UnixMillis(failed.at_ms));
                Attempt {
                    part: tried.part,
                    state,
                    amount: self.delivered(tried),
                    fee: self.fee(tried),
                    hops: self.show_hops(tried, place(tried.channel)),
                    sent: UnixMillis(tried.at_ms),
                    ended: failed.or(ended),
                }
            })
            .collect();
        let reason = self.reason();
        Payment {
            index: self.index,
            hash: self.started.payment_hash,
            status,
            payee: self.started.payee,
            amount: self.started.amount,
            fee,
            fee_limit: self.started.fee_limit,
            invoice: self.started.invoice.0.clone(),
            description: self.started.description.as_ref().map(|text| text.0.clone()),
            attempts,
            created: UnixMillis(self.started.created_ms),
            ended,
            reason,
        }
    }

    /// What stood in its way, in words, if it failed.
    pub fn reason(&self) -> Option<String> {
        self.ended.as_ref().filter(|ended| ended.preimage.is_none())?;
        if let Some(left) = &self.no_way {
            return Some(left.words.0.clone());
        }
        let last = self.failed.last().filter(|failed| !failed.words.0.is_empty());
        last.map(|failed| failed.words.0.clone())
    }

    fn show_hops(
        &self,
        tried: &PaymentTried,
        (channel, short_id): (Option<wire::id::ChannelId>, Option<wire::id::ShortChannelId>),
    ) -> Vec<Hop> {
        let hops = self.hops(tried.part);
        let straight = Hop {
            node: self.started.payee,
            channel,
            short_id,
            amount: tried.amount,
            fee: Msat::ZERO,
            held_ms: self.held_ms(tried.part, 0),
        };
        if hops.is_empty() {
            return vec![straight];
        }
        let mut before = None;
        let show = |(place, hop): (usize, &HopTaken)| {
            let fee = before.map_or(Msat::ZERO, |before: Msat| {
                before.checked_sub(hop.amount).unwrap_or(Msat::ZERO)
            });
            before = Some(hop.amount);
            Hop {
                node: hop.node,
                channel: channel.filter(|_| place == 0),
                short_id: if place == 0 {
                    short_id.or(Some(hop.channel))
                } else {
                    Some(hop.channel)
                },
                amount: hop.amount,
                fee,
                held_ms: self.held_ms(tried.part, place),
            }
        };
        hops.iter().enumerate().map(show).collect()
    }

    /// A part that did not fail arrives when the payment does: whoever took one takes all.
    fn attempt_state(&self, tried: &PaymentTried) -> AttemptState {
        if let Some(failed) = self.failure_of(tried.part) {
            return AttemptState::Failed(failure_from(Some(failed.failure), failed.failed_by));
        }
        match self.status() {
            PaymentStatus::InFlight => AttemptState::InFlight,
            PaymentStatus::Succeeded { .. } => AttemptState::Settled,
            PaymentStatus::Failed(failure) => AttemptState::Failed(failure),
        }
    }
}

/// A failure as it is stored: a number that never changes its meaning, and a datum.
pub fn failure_code(failure: PaymentFailure) -> (u16, u64) {
    match failure {
        PaymentFailure::UnknownByPayee { height } => {
            (1, height.map_or(u64::MAX, |height| u64::from(height.0)))
        }
        PaymentFailure::PayeeTimedOut => (2, 0),
        PaymentFailure::FailedOnTheWay { code, .. } => (3, u64::from(code)),
        PaymentFailure::Unreadable => (4, 0),
        PaymentFailure::NoRoute => (5, 0),
        PaymentFailure::ShortOfCapacity => (6, 0),
        PaymentFailure::TimedOut => (7, 0),
        PaymentFailure::ExpiredOnChain => (8, 0),
        PaymentFailure::ChannelClosed => (9, 0),
        PaymentFailure::NeverSent => (10, 0),
    }
}

/// Who failed it, where a failure names one.
pub const fn failed_by(failure: PaymentFailure) -> Option<NodeId> {
    match failure {
        PaymentFailure::FailedOnTheWay { by, .. } => Some(by),
        PaymentFailure::UnknownByPayee { .. }
        | PaymentFailure::PayeeTimedOut
        | PaymentFailure::Unreadable
        | PaymentFailure::NoRoute
        | PaymentFailure::ShortOfCapacity
        | PaymentFailure::TimedOut
        | PaymentFailure::ExpiredOnChain
        | PaymentFailure::ChannelClosed
        | PaymentFailure::NeverSent => None,
    }
}

fn failure_of(ended: &PaymentEnded) -> PaymentFailure {
    failure_from(ended.failure, ended.failed_by)
}

/// Reads [`failure_code`] and [`failed_by`].
pub fn failure_from(stored: Option<(u16, u64)>, by: Option<NodeId>) -> PaymentFailure {
    let by = by.unwrap_or(NodeId([0; 33]));
    match stored {
        Some((1, height)) => {
            PaymentFailure::UnknownByPayee { height: u32::try_from(height).ok().map(BlockHeight) }
        }
        Some((2, _)) => PaymentFailure::PayeeTimedOut,
        Some((3, code)) => {
            PaymentFailure::FailedOnTheWay { code: u16::try_from(code).unwrap_or(0), by }
        }
        Some((5, _)) => PaymentFailure::NoRoute,
        Some((6, _)) => PaymentFailure::ShortOfCapacity,
        Some((7, _)) => PaymentFailure::TimedOut,
        Some((8, _)) => PaymentFailure::ExpiredOnChain,
        Some((9, _)) => PaymentFailure::ChannelClosed,
        Some((10, _)) => PaymentFailure::NeverSent,
        Some(_) | None => PaymentFailure::Unreadable,
    }
}
