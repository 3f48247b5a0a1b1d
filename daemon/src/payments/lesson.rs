//! What the failure of a part teaches: of its channels, for everybody; whom to keep away from, for this payment; and
//! whether it is worth another try. BOLT 4 § Failure Messages, § Returning Errors.
//!
//! Pure: a way and what came back in, lessons out.

use routing::gossip::Proof;
use routing::graph::{Direction, Policy};
use wire::codec::Decode as _;
use wire::id::{NodeId, ShortChannelId};
use wire::message::ChannelUpdate;
use wire::onion::failure::{ChannelUpdateBytes, Failure, Source, code};
use wire::units::{BlockHeight, CltvDelta, Msat};

use crate::fact::HopTaken;
use crate::payments::send::pairs;
use crate::rpc::model::payment::PaymentFailure;

/// A channel, in one direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Where {
    /// Which.
    pub channel: ShortChannelId,
    /// Which way.
    pub direction: Direction,
}

/// One thing learnt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lesson {
    /// So much was there.
    Passed {
        /// Where.
        at: Where,
        /// How much.
        amount: Msat,
    },
    /// So much was not there.
    Stuck {
        /// Where.
        at: Where,
        /// How much.
        amount: Msat,
    },
    /// This payment keeps off it.
    Avoid(Where),
    /// This payment keeps off it.
    AvoidNode(NodeId),
    /// What it asks for, for this payment alone.
    Policy(Where, Policy),
}

/// What a failure means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taught {
    /// For people.
    pub failure: PaymentFailure,
    /// The same in more words.
    pub words: String,
    /// Whether nothing else is worth trying.
    pub last: bool,
    /// What to learn.
    pub lessons: Vec<Lesson>,
}

/// The part's way and what it carried.
#[derive(Clone, Copy, Debug)]
pub struct Trip<'a> {
    /// Its HTLCs, ours first.
    pub hops: &'a [HopTaken],
    /// The genesis hash, which updates must name.
    pub chain: &'a [u8; 32],
}

impl Trip<'_> {
    /// The channel between the node at `place` and the next.
    fn behind(&self, place: usize) -> Option<(Where, Msat)> {
        let (from, to) = (self.hops.get(place)?, self.hops.get(place.checked_add(1)?)?);
        let direction = Direction::between(&from.node, &to.node);
        Some((Where { channel: to.channel, direction }, to.amount))
    }

    fn node(&self, place: usize) -> NodeId {
        self.hops.get(place).map_or(NodeId([0; 33]), |hop| hop.node)
    }

    /// Everything up to the node at `place` passed.
    fn passed(&self, place: usize) -> Vec<Lesson> {
        (0..place)
            .filter_map(|place| self.behind(place))
            .map(|(at, amount)| Lesson::Passed { at, amount })
            .collect()
    }

    fn last(&self) -> usize {
        self.hops.len().saturating_sub(1)
    }

    /// What a settled part proves.
    pub fn arrived(&self) -> Vec<Lesson> {
        self.passed(self.last())
    }
}

/// What a failure that came back teaches.
pub fn of_failure(trip: &Trip<'_>, source: &Source) -> Taught {
    match source {
        Source::Unreadable { blamed } => unreadable(trip, *blamed),
        Source::Hop { index, failure: None } => {
            // It proved to be the source and said nothing that can be read.
            let mut taught = unreadable(trip, Some(*index));
            taught.words = format!("node {} failed it in no known words", trip.node(*index));
            taught
        }
        Source::Hop { index, failure: Some(failure) } if *index >= trip.last() => {
            of_payee(trip, failure)
        }
        Source::Hop { index, failure: Some(failure) } => of_hop(trip, *index, failure),
    }
}

/// Nobody can be blamed: every channel on the way is, a little, and this payment takes another way. With attribution
/// it is the pair of nodes that the proof breaks between.
fn unreadable(trip: &Trip<'_>, blamed: Option<usize>) -> Taught {
    let mut lessons = Vec::new();
    match blamed {
        Some(place) => {
            for place in [place.checked_sub(1), Some(place)].into_iter().flatten() {
                if place < trip.last() {
                    lessons.push(Lesson::AvoidNode(trip.node(place)));
                }
                if let Some((at, amount)) = trip.behind(place) {
                    lessons.push(Lesson::Stuck { at, amount });
                }
            }
        }
        None => {
            for (from, to) in pairs(trip.hops) {
                let direction = Direction::between(&from.node, &to.node);
                let at = Where { channel: to.channel, direction };
                lessons.push(Lesson::Stuck { at, amount: to.amount });
                lessons.push(Lesson::Avoid(at));
            }
        }
    }
    // The payee alone was asked: the same again can only end the same way.
    let last = trip.hops.len() <= 1;
    let words = match blamed {
        Some(place) => format!("garbled by node {} or the one before it", trip.node(place)),
        None => "garbled by some node on the way".to_owned(),
    };
    Taught { failure: PaymentFailure::Unreadable, words, last, lessons }
}

/// The payee itself said no.
fn of_payee(trip: &Trip<'_>, failure: &Failure) -> Taught {
    let place = trip.last();
    let payee = trip.node(place);
    let mut lessons = trip.passed(place);
    let on_the_way = PaymentFailure::FailedOnTheWay { code: failure.code(), by: payee };
    let name = name_of(failure.code());
    let words = format!("the payee said {name}");
    let before = place.checked_sub(1).map(|before| Lesson::AvoidNode(trip.node(before)));
    let (failure, last) = match failure {
        Failure::IncorrectOrUnknownPaymentDetails { height, .. } => {
            (PaymentFailure::UnknownByPayee { height: Some(BlockHeight(*height)) }, true)
        }
        Failure::MppTimeout => (PaymentFailure::PayeeTimedOut, true),
        // It speaks for a blinded route that begins with it; another may begin elsewhere.
        Failure::InvalidOnionBlinding { .. } => {
            lessons.push(Lesson::AvoidNode(payee));
            // Who paid it openly does not ask the same way again.
            let at = place.checked_sub(1).and_then(|before| trip.behind(before));
            lessons.extend(at.map(|(at, _)| Lesson::Avoid(at)));
            (on_the_way, false)
        }
        // The node before it did not do what the onion says.
        Failure::FinalIncorrectCltvExpiry { .. } | Failure::FinalIncorrectHtlcAmount { .. } => {
            lessons.extend(before);
            (on_the_way, before.is_none())
        }
        Failure::TemporaryNodeFailure
        | Failure::PermanentNodeFailure
        | Failure::RequiredNodeFeatureMissing
        | Failure::InvalidOnionVersion { .. }
        | Failure::InvalidOnionHmac { .. }
        | Failure::InvalidOnionKey { .. }
        | Failure::TemporaryChannelFailure { .. }
        | Failure::PermanentChannelFailure
        | Failure::RequiredChannelFeatureMissing
        | Failure::UnknownNextPeer
        | Failure::AmountBelowMinimum { .. }
        | Failure::FeeInsufficient { .. }
        | Failure::IncorrectCltvExpiry { .. }
        | Failure::ExpiryTooSoon { .. }
        | Failure::ChannelDisabled { .. }
        | Failure::ExpiryTooFar
        | Failure::InvalidOnionPayload { .. }
        | Failure::Unknown { .. } => {
            // Its words about a channel can only be about the one that it was reached by.
            let at = place.checked_sub(1).and_then(|before| trip.behind(before));
            lessons.extend(at.map(|(at, _)| Lesson::Avoid(at)));
            (on_the_way, failure.is_permanent())
        }
    };
    Taught { failure, words, last, lessons }
}

/// A node on the way said no.
fn of_hop(trip: &Trip<'_>, place: usize, failure: &Failure) -> Taught {
    let by = trip.node(place);
    let mut lessons = trip.passed(place);
    let next = place.saturating_add(1);
    let behind = trip.behind(place);
    let channel = behind.map_or_else(String::new, |(at, _)| format!(" for channel {}", at.channel));
    let mut words = format!(
        "node {by} (hop {next} of {}) said {}{channel}",
        trip.hops.len(),
        name_of(failure.code())
    );
    let avoid = behind.map(|(at, _)| Lesson::Avoid(at));
    let stuck = behind.map(|(at, amount)| Lesson::Stuck { at, amount });
    match failure {
        Failure::TemporaryChannelFailure { channel_update } => {
            lessons.extend(stuck);
            // It may have changed besides; what it can carry is the news.
            let news = policy(trip, place, channel_update).filter(|(_, policy)| !policy.enabled);
            lessons.extend(news.and(avoid));
        }
        Failure::AmountBelowMinimum { channel_update, .. }
        | Failure::FeeInsufficient { channel_update, .. }
        | Failure::IncorrectCltvExpiry { channel_update, .. }
        | Failure::ExpiryTooSoon { channel_update }
        | Failure::ChannelDisabled { channel_update, .. } => {
            match policy(trip, place, channel_update).filter(|(_, policy)| policy.enabled) {
                Some((at, policy)) => {
                    words.push_str(", and told what it asks for");
                    lessons.push(Lesson::Policy(at, policy));
                }
                None => lessons.extend(avoid),
            }
        }
        Failure::PermanentChannelFailure
        | Failure::RequiredChannelFeatureMissing
        | Failure::UnknownNextPeer => {
            lessons.extend(avoid);
            // Others need not find out for themselves; it fades.
            lessons.extend(stuck);
        }
        // Whoever is behind it could not read the onion: this node garbled it, or the next one lies.
        Failure::InvalidOnionVersion { .. }
        | Failure::InvalidOnionHmac { .. }
        | Failure::InvalidOnionKey { .. } => {
            lessons.extend(avoid);
            if next < trip.last() {
                lessons.push(Lesson::AvoidNode(trip.node(next)));
            }
        }
        Failure::TemporaryNodeFailure
        | Failure::PermanentNodeFailure
        | Failure::RequiredNodeFeatureMissing => {
            lessons.push(Lesson::AvoidNode(by));
            lessons.extend(stuck);
        }
        // Not for it to say: only the payee knows, or its own payload was what we made.
        Failure::IncorrectOrUnknownPaymentDetails { .. }
        | Failure::FinalIncorrectCltvExpiry { .. }
        | Failure::FinalIncorrectHtlcAmount { .. }
        | Failure::MppTimeout
        | Failure::ExpiryTooFar
        | Failure::InvalidOnionPayload { .. }
        | Failure::InvalidOnionBlinding { .. } => lessons.push(Lesson::AvoidNode(by)),
        Failure::Unknown { .. } if failure.is_node() => lessons.push(Lesson::AvoidNode(by)),
        Failure::Unknown { .. } => lessons.extend(avoid),
    }
    let failure = PaymentFailure::FailedOnTheWay { code: failure.code(), by };
    Taught { failure, words, last: false, lessons }
}

/// What the node at `place` asks for now, if it signed that and it is about the channel that was to be used.
fn policy(trip: &Trip<'_>, place: usize, update: &ChannelUpdateBytes) -> Option<(Where, Policy)> {
    let (at, _) = trip.behind(place)?;
    let update = ChannelUpdate::decode_exact(&update.0).ok()?;
    let about = update.chain_hash == *trip.chain
        && update.short_channel_id == at.channel
        && Direction::from_bit(update.is_of_second_node()) == at.direction;
    let proof =
        Proof { digest: update.digest(), signature: update.signature, key: trip.node(place) };
    if !about || !proof.holds() {
        return None;
    }
    let policy = Policy {
        timestamp: update.timestamp,
        enabled: !update.is_disabled(),
        cltv_expiry_delta: CltvDelta(update.cltv_expiry_delta),
        htlc_minimum: Msat::new(update.htlc_minimum_msat)?,
        htlc_maximum: Msat::new(update.htlc_maximum_msat).unwrap_or(Msat::MAX),
        fee_base_msat: update.fee_base_msat,
        fee_proportional_millionths: update.fee_proportional_millionths,
    };
    Some((at, policy))
}

/// What BOLT 4 calls a code.
pub fn name_of(failure_code: u16) -> String {
    let name = match failure_code {
        code::TEMPORARY_NODE_FAILURE => "temporary_node_failure",
        code::PERMANENT_NODE_FAILURE => "permanent_node_failure",
        code::REQUIRED_NODE_FEATURE_MISSING => "required_node_feature_missing",
        code::INVALID_ONION_VERSION => "invalid_onion_version",
        code::INVALID_ONION_HMAC => "invalid_onion_hmac",
        code::INVALID_ONION_KEY => "invalid_onion_key",
        code::TEMPORARY_CHANNEL_FAILURE => "temporary_channel_failure",
        code::PERMANENT_CHANNEL_FAILURE => "permanent_channel_failure",
        code::REQUIRED_CHANNEL_FEATURE_MISSING => "required_channel_feature_missing",
        code::UNKNOWN_NEXT_PEER => "unknown_next_peer",
        code::AMOUNT_BELOW_MINIMUM => "amount_below_minimum",
        code::FEE_INSUFFICIENT => "fee_insufficient",
        code::INCORRECT_CLTV_EXPIRY => "incorrect_cltv_expiry",
        code::EXPIRY_TOO_SOON => "expiry_too_soon",
        code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS => "incorrect_or_unknown_payment_details",
        code::FINAL_INCORRECT_CLTV_EXPIRY => "final_incorrect_cltv_expiry",
        code::FINAL_INCORRECT_HTLC_AMOUNT => "final_incorrect_htlc_amount",
        code::CHANNEL_DISABLED => "channel_disabled",
        code::EXPIRY_TOO_FAR => "expiry_too_far",
        code::INVALID_ONION_PAYLOAD => "invalid_onion_payload",
        code::MPP_TIMEOUT => "mpp_timeout",
        code::INVALID_ONION_BLINDING => "invalid_onion_blinding",
        other => return format!("code {other:#06x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;
