//! What channels say of HTLCs that this node offered for its own payments.

use std::collections::BTreeSet;
use std::sync::Arc;

use channel::{Command, CommandId, Outcome, Refusal as ChannelRefusal, Resolved};
use wire::id::{NodeId, PaymentHash, Preimage};
use wire::onion::SharedSecret;
use wire::onion::attribution::{HoldTime, read_fulfilled};
use wire::onion::failure::read;

use crate::clock::now_ms;
use crate::fact::{
    AttemptFailed, ChannelIndex, Fact, HopTaken, NoWayLeft, PartHeld, PaymentEnded, PaymentTried,
    RouteTaken,
};
use crate::payments::Payments;
use crate::payments::lesson::{Lesson, Taught, Trip, of_failure};
use crate::payments::onion;
use crate::payments::plan;
use crate::payments::router::Missed;
use crate::payments::scores::Arrived;
use crate::payments::searches::For;
use crate::payments::send::{Attempt, Next};
use crate::payments::sent::{Sent, failed_by, failure_code, failure_from};
use crate::rpc::model::payment::PaymentFailure;

impl Payments {
    /// Tries what is left; with nothing left and nothing in flight the payment ends with `because`.
    pub(super) fn go_on(&mut self, hash: PaymentHash, because: PaymentFailure) {
        let next = self.next(hash);
        self.go_on_with(hash, because, next);
    }

    /// The same, with what there is to do.
    pub(super) fn go_on_with(&mut self, hash: PaymentHash, because: PaymentFailure, next: Next) {
        match next {
            Next::Send(attempts) => self.send(hash, attempts),
            Next::Search(errand) => self.search(For::GoOn(hash, because), errand),
            Next::Later => self.search_later(For::GoOn(hash, because)),
            Next::Wait => {}
            Next::Over(failure, missed) => self.over(hash, failure, because, missed.as_ref()),
        }
        if let Some(then) = self.publish_payment(hash) {
            self.after_all(then);
        }
    }

    /// Nothing more is tried.
    fn over(
        &mut self,
        hash: PaymentHash,
        failure: PaymentFailure,
        because: PaymentFailure,
        missed: Option<&Missed>,
    ) {
        // That no other way is left says less than what happened on the last one.
        let failure = if failure == PaymentFailure::NoRoute { because } else { failure };
        if let Some(missed) = missed {
            let left = NoWayLeft {
                payment_hash: hash,
                amount: self.attempts.missing(hash),
                words: missed.to_string().as_str().into(),
                at_ms: now_ms(),
            };
            self.commit(&[Fact::NoWayLeft(left)], Vec::new());
        }
        self.attempts.give_up(hash, failure);
        // What the journal says counts: while a part may still arrive, nothing has failed.
        let flying = self.sent.get(hash).is_some_and(|sent| sent.in_flight().next().is_some());
        if !flying {
            self.end(hash, Err(failure));
        }
    }

    /// Offers parts. What is tried lies in the journal before any channel hears of it.
    pub(super) fn send(&mut self, hash: PaymentHash, attempts: Vec<Attempt>) {
        let at_ms = now_ms();
        let mut facts = Vec::with_capacity(attempts.len().saturating_mul(2));
        for attempt in &attempts {
            facts.push(Fact::PaymentTried(PaymentTried {
                payment_hash: hash,
                part: attempt.part,
                channel: attempt.channel.0,
                amount: attempt.offer.amount_msat,
                at_ms,
            }));
            if attempt.hops.len() > 1 || attempt.blinded {
                facts.push(Fact::RouteTaken(RouteTaken {
                    payment_hash: hash,
                    part: attempt.part,
                    delivered: attempt.delivered,
                    hops: attempt.hops.clone(),
                }));
            }
        }
        self.commit(&facts, Vec::new());
        for attempt in attempts {
            self.command(attempt.channel, Command::OfferHtlc(Box::new(attempt.offer)));
        }
    }

    /// A channel would not offer.
    pub(super) fn take_refusal(&mut self, command: CommandId, refusal: &ChannelRefusal) {
        let Some((hash, part, channel)) = self.attempts.offered(command) else { return };
        // An HTLC of a probe, or of one that is over.
        if self.probe_refused(hash, part, channel, refusal) || self.sent.get(hash).is_none() {
            return;
        }
        tracing::info!(%hash, %refusal, "channel refused the payment");
        let failure = match refusal {
            ChannelRefusal::InsufficientBalance { .. }
            | ChannelRefusal::TooManyHtlcs { .. }
            | ChannelRefusal::TooMuchInFlight { .. }
            | ChannelRefusal::DustExposure { .. }
            | ChannelRefusal::PeerCannotPayFee
            | ChannelRefusal::BelowMinimum { .. } => PaymentFailure::ShortOfCapacity,
            ChannelRefusal::NotReady
            | ChannelRefusal::NotConnected
            | ChannelRefusal::Closing
            | ChannelRefusal::Frozen
            | ChannelRefusal::Quarantined
            | ChannelRefusal::NothingToClose
            | ChannelRefusal::BadExpiry { .. }
            | ChannelRefusal::UnknownHtlc { .. }
            | ChannelRefusal::AlreadyRemoved { .. }
            | ChannelRefusal::WrongPreimage { .. }
            | ChannelRefusal::BadFailure
            | ChannelRefusal::NotFunder
            | ChannelRefusal::BadFeerate { .. }
            | ChannelRefusal::CannotAffordFee { .. }
            | ChannelRefusal::BadScript
            | ChannelRefusal::BadTerms(_)
            | ChannelRefusal::NotOpened(_)
            | ChannelRefusal::BadFunding
            | ChannelRefusal::Stale => PaymentFailure::NeverSent,
        };
        self.note_failure(hash, part, failure, &format!("our channel refused: {refusal}"));
        self.attempts.landed(hash, part);
        self.attempts.shun(hash, channel);
        self.go_on(hash, failure);
    }

    /// Writes down what became of a part, for whoever asks why.
    fn note_failure(&mut self, hash: PaymentHash, part: u32, failure: PaymentFailure, words: &str) {
        let failed = AttemptFailed {
            payment_hash: hash,
            part,
            failure: failure_code(failure),
            failed_by: failed_by(failure),
            words: words.into(),
            at_ms: now_ms(),
        };
        self.commit(&[Fact::AttemptFailed(failed)], Vec::new());
    }

    /// An HTLC has its outcome; said again after a restart until it is forgotten.
    pub(super) fn take_outcome(&mut self, channel: ChannelIndex, resolved: Resolved) {
        let channel::Origin::Payment { payment_id, part } = resolved.origin else { return };
        let hash = PaymentHash(payment_id);
        if self.probe_ended(hash, part, &resolved.outcome) {
            self.command(channel, Command::ForgetResolved { htlc: resolved.htlc });
            return;
        }
        if let Some(sent) = self.sent.get(hash)
            && sent.failure_of(part).is_none()
            && sent.part(part).is_some()
        {
            let (under_way, hops) = (sent.ended.is_none(), way(sent, part));
            match resolved.outcome {
                Outcome::Fulfilled { preimage, attribution } => {
                    let times = attribution
                        .map(|data| read_fulfilled(&data, &self.secrets(hash, part, &hops)));
                    self.note_held(hash, part, times.unwrap_or_default());
                    self.arrived(hash, part, &hops);
                    if under_way {
                        self.end(hash, Ok(preimage));
                    }
                }
                failed if under_way => {
                    let (taught, times) = self.taught(hash, part, &hops, failed);
                    self.note_held(hash, part, times);
                    self.part_failed(hash, part, channel, &taught);
                }
                // The payee took the payment and let go of a part of it: so much the cheaper.
                Outcome::Failed { .. }
                | Outcome::Malformed { .. }
                | Outcome::TimedOut
                | Outcome::Unsent => {}
            }
        }
        self.command(channel, Command::ForgetResolved { htlc: resolved.htlc });
    }

    fn part_failed(
        &mut self,
        hash: PaymentHash,
        part: u32,
        channel: ChannelIndex,
        taught: &Taught,
    ) {
        self.note_failure(hash, part, taught.failure, &taught.words);
        self.attempts.landed(hash, part);
        self.teach(&taught.lessons);
        self.attempts.learn(hash, &taught.lessons);
        // Straight to the payee there is nobody else to blame.
        let straight = self.sent.get(hash).is_some_and(|sent| sent.hops(part).is_empty());
        if straight || taught.failure == PaymentFailure::NeverSent {
            self.attempts.shun(hash, channel);
        }
        if taught.last {
            self.attempts.give_up(hash, taught.failure);
        }
        self.go_on(hash, taught.failure);
    }

    /// What all payments learn.
    pub(super) fn teach(&mut self, lessons: &[Lesson]) {
        let now = now_ms() / 1_000;
        self.shelf.note();
        self.learn_arrived();
        // Searches that run keep what they read.
        let scorer = Arc::make_mut(&mut self.scorer);
        for lesson in lessons {
            match *lesson {
                Lesson::Passed { at, amount } => {
                    let held = self.attempts.held(at.channel, at.direction);
                    let sum = amount.checked_add(held).unwrap_or(amount);
                    scorer.passed(at.channel, at.direction, sum, now);
                }
                Lesson::Stuck { at, amount } => {
                    let held = self.attempts.held(at.channel, at.direction);
                    let sum = amount.checked_add(held).unwrap_or(amount);
                    scorer.stuck(at.channel, at.direction, sum, now);
                }
                Lesson::Avoid(_) | Lesson::AvoidNode(_) | Lesson::Policy(..) => {}
            }
        }
    }

    /// A part settled: what it carried moved over.
    fn arrived(&mut self, hash: PaymentHash, part: u32, hops: &[HopTaken]) {
        self.attempts.landed(hash, part);
        let trip = Trip { hops, chain: &self.chain };
        let now = now_ms() / 1_000;
        for lesson in trip.arrived() {
            if let Lesson::Passed { at, amount } = lesson {
                self.arrived.push(Arrived { at, amount, at_secs: now });
            }
        }
    }

    /// What an outcome that is no preimage means.
    pub(super) fn taught(
        &self,
        hash: PaymentHash,
        part: u32,
        hops: &[HopTaken],
        outcome: Outcome,
    ) -> (Taught, Vec<HoldTime>) {
        let plain = |failure, words: &str, last| Taught {
            failure,
            words: words.to_owned(),
            last,
            lessons: Vec::new(),
        };
        let taught = match outcome {
            // Not a failure; the caller has taken it.
            Outcome::Fulfilled { .. } => plain(PaymentFailure::Unreadable, "", false),
            Outcome::Failed { reason, attribution } => {
                let secrets = self.secrets(hash, part, hops);
                let reading = read(&secrets, &reason, attribution.as_ref());
                tracing::debug!(%hash, held = ?reading.hold_times, "a failure came back");
                let trip = Trip { hops, chain: &self.chain };
                return (of_failure(&trip, &reading.source), reading.hold_times);
            }
            Outcome::Malformed { failure_code, .. } => {
                let by = hops.first().map_or(NodeId([0; 33]), |hop| hop.node);
                let failure = PaymentFailure::FailedOnTheWay { code: failure_code, by };
                let mut taught =
                    plain(failure, "our peer could not read the onion", hops.len() <= 1);
                taught.lessons.push(Lesson::AvoidNode(by));
                taught
            }
            Outcome::TimedOut => {
                plain(PaymentFailure::ExpiredOnChain, "it came back on the chain", true)
            }
            Outcome::Unsent => plain(PaymentFailure::NeverSent, "the channel never sent it", false),
        };
        (taught, Vec::new())
    }

    /// What we share with each node on the way of a part.
    fn secrets(&self, hash: PaymentHash, part: u32, hops: &[HopTaken]) -> Vec<SharedSecret> {
        let keys = onion::keys(hops).unwrap_or_default();
        self.us.shared_secrets(hash, part, &keys).unwrap_or_default()
    }

    /// Writes down who held a part how long, if anybody says so.
    fn note_held(&mut self, hash: PaymentHash, part: u32, times: Vec<HoldTime>) {
        if times.is_empty() {
            return;
        }
        let times = times.into_iter().map(|time| time.0).collect();
        let held = PartHeld { payment_hash: hash, part, times };
        self.commit(&[Fact::PartHeld(held)], Vec::new());
    }

    /// The end of a payment, once.
    pub(super) fn end(&mut self, hash: PaymentHash, how: Result<Preimage, PaymentFailure>) {
        let ended = PaymentEnded {
            payment_hash: hash,
            preimage: how.ok(),
            failure: how.err().map(failure_code),
            failed_by: how.err().and_then(failed_by),
            at_ms: now_ms(),
        };
        self.attempts.close(hash);
        self.commit(&[Fact::PaymentEnded(ended)], Vec::new());
        if let Some(then) = self.publish_payment(hash) {
            self.after_all(then);
        }
        match how {
            Ok(_) => tracing::info!(%hash, "paid"),
            Err(failure) => tracing::info!(%hash, ?failure, "payment failed"),
        }
    }

    /// After a restart: parts of which no channel knows an HTLC were never sent. A payment without any other
    /// ends; for one with some the loop goes on.
    pub(super) fn take_up(&mut self, alive: &BTreeSet<(PaymentHash, u32)>) {
        let open = self.sent.iter().filter(|sent| sent.ended.is_none());
        let open: Vec<_> = open.map(|sent| sent.started.payment_hash).collect();
        for hash in open {
            let Some(sent) = self.sent.get(hash) else { continue };
            let (flying, lost): (Vec<_>, Vec<_>) = sent
                .in_flight()
                .map(|tried| tried.part)
                .partition(|part| alive.contains(&(hash, *part)));
            let last = sent.failed.last().map(|failed| (failed.failure, failed.failed_by));
            for part in lost {
                self.note_failure(hash, part, PaymentFailure::NeverSent, "");
            }
            if flying.is_empty() {
                let failure = last.map(|(stored, by)| failure_from(Some(stored), by));
                self.end(hash, Err(failure.unwrap_or(PaymentFailure::NeverSent)));
                continue;
            }
            self.resume(hash);
        }
    }

    fn resume(&mut self, hash: PaymentHash) {
        let Some(sent) = self.sent.get(hash) else { return };
        if let Some(plan) = plan::again(sent) {
            self.attempts.open(plan, sent.next_part());
            for tried in sent.in_flight() {
                let sums = (sent.delivered(tried), sent.fee(tried));
                self.attempts.resume(hash, tried.part, sums, tried.at_ms, way(sent, tried.part));
            }
        }
    }
}

/// The HTLCs of a part, ours first.
fn way(sent: &Sent, part: u32) -> Vec<HopTaken> {
    let hops = sent.hops(part);
    if !hops.is_empty() {
        return hops.to_vec();
    }
    let straight = sent.part(part).map(|tried| HopTaken {
        node: sent.started.payee,
        channel: wire::id::ShortChannelId::from_u64(tried.channel),
        amount: tried.amount,
        cltv_expiry: wire::units::BlockHeight(0),
    });
    straight.into_iter().collect()
}
