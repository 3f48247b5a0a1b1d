//! What channels say of HTLCs that this node offered for its own payments.

use std::collections::BTreeSet;

use channel::{Command, CommandId, Outcome, Refusal as ChannelRefusal, Resolved};
use secp256k1::PublicKey;
use wire::id::{NodeId, PaymentHash, Preimage};
use wire::onion::failure::{Failure, Reading, Source, code, read};
use wire::units::BlockHeight;

use crate::clock::now_ms;
use crate::fact::{AttemptFailed, ChannelIndex, Fact, PaymentEnded, PaymentTried};
use crate::payments::Payments;
use crate::payments::sent::{Sent, failed_by, failure_code};
use crate::rpc::model::payment::PaymentFailure;

impl Payments {
    /// Tries the next channel; with none left the payment ends with `because`.
    pub(super) fn try_next(&mut self, hash: PaymentHash, because: PaymentFailure) {
        let height = self.height();
        let Some((channel, offer, part)) = self.attempts.next(hash, &self.us, height) else {
            return self.end(hash, Err(because));
        };
        let tried = PaymentTried {
            payment_hash: hash,
            part,
            channel: channel.0,
            amount: offer.amount_msat,
            at_ms: now_ms(),
        };
        self.commit(&[Fact::PaymentTried(tried)], Vec::new());
        self.command(channel, Command::OfferHtlc(Box::new(offer)));
    }

    /// A channel would not offer.
    pub(super) fn take_refusal(&mut self, command: CommandId, refusal: &ChannelRefusal) {
        let Some((hash, part)) = self.attempts.offered(command) else { return };
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
        self.try_next(hash, failure);
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
        let under_way = self.sent.get(hash).is_some_and(|sent| sent.ended.is_none());
        let is_newest = self
            .sent
            .get(hash)
            .and_then(|sent| sent.tried.last())
            .is_some_and(|tried| tried.part == part);
        if under_way {
            match self.outcome(hash, part, resolved.outcome) {
                Ok(preimage) => self.end(hash, Ok(preimage)),
                // A failure of an older attempt says nothing about the one under way.
                Err(_) if !is_newest => {}
                Err((failure, last)) => {
                    self.note_failure(hash, part, failure, "");
                    if last {
                        self.end(hash, Err(failure));
                    } else {
                        self.try_next(hash, failure);
                    }
                }
            }
        }
        self.command(channel, Command::ForgetResolved { htlc: resolved.htlc });
    }

    /// The preimage, or what failed and whether that is final.
    fn outcome(
        &self,
        hash: PaymentHash,
        part: u32,
        outcome: Outcome,
    ) -> Result<Preimage, (PaymentFailure, bool)> {
        match outcome {
            Outcome::Fulfilled { preimage, .. } => Ok(preimage),
            Outcome::Failed { reason, attribution } => {
                let payee = self.sent.get(hash).map(|sent| sent.started.payee);
                let key = payee.and_then(|payee| PublicKey::from_slice(&payee.0).ok());
                let direct = key.map(|key| vec![key]).unwrap_or_default();
                let route = self.attempts.route(hash, part).map_or(direct, <[_]>::to_vec);
                let secrets = self.us.shared_secrets(hash, part, &route);
                let reading = read(&secrets.unwrap_or_default(), &reason, attribution.as_ref());
                tracing::debug!(%hash, held = ?reading.hold_times, "a failure came back");
                Err(failure_of(&reading, &route))
            }
            Outcome::Malformed { failure_code, .. } => {
                let by = self.sent.get(hash).map_or(NodeId([0; 33]), |sent| sent.started.payee);
                Err((PaymentFailure::FailedOnTheWay { code: failure_code, by }, true))
            }
            Outcome::TimedOut => Err((PaymentFailure::ExpiredOnChain, true)),
            Outcome::Unsent => Err((PaymentFailure::NeverSent, false)),
        }
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

    pub(super) fn end_what_was_never_sent(&mut self, alive: &BTreeSet<(PaymentHash, u32)>) {
        // Of a payment that was tried more than once only the newest part can still be under way.
        let is_alive = |sent: &Sent| {
            let newest = sent.tried.last();
            newest.is_some_and(|tried| alive.contains(&(sent.started.payment_hash, tried.part)))
        };
        let lost: Vec<_> = self
            .sent
            .iter()
            .filter(|sent| sent.ended.is_none() && !is_alive(sent))
            .map(|sent| sent.started.payment_hash)
            .collect();
        for hash in lost {
            self.end(hash, Err(PaymentFailure::NeverSent));
        }
    }
}

fn failure_of(reading: &Reading, route: &[PublicKey]) -> (PaymentFailure, bool) {
    let Source::Hop { failure: Some(failure), index } = &reading.source else {
        return (PaymentFailure::Unreadable, true);
    };
    if let Failure::IncorrectOrUnknownPaymentDetails { height, .. } = failure {
        return (PaymentFailure::UnknownByPayee { height: Some(BlockHeight(*height)) }, true);
    }
    if failure.code() == code::MPP_TIMEOUT {
        return (PaymentFailure::PayeeTimedOut, true);
    }
    let by = route.get(*index).map_or(NodeId([0; 33]), |node| NodeId(node.serialize()));
    let failed = PaymentFailure::FailedOnTheWay { code: failure.code(), by };
    (failed, failure.is_permanent())
}
