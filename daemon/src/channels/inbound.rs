//! What to do with an HTLC that came in: its onion says whether it ends here or goes on. BOLT 4 § Onion
//! Decryption.

use bitcoin::hashes::{Hash as _, sha256};
use channel::{Command, HtlcIn};
use rayon::prelude::*;
use wire::message::OnionPacket;
use wire::onion::SharedSecret;
use wire::onion::attribution::HoldTime;
use wire::onion::failure::{Failure, ReturnPacket};
use wire::onion::payload::{Final, Forward as ForwardData, Payload, PayloadFault, Place};
use wire::onion::sphinx::{PeelFault, Peeled};

use crate::channels::blinded::{Told, follow};
use crate::channels::task::Asker;
use crate::clock::now_ms;
use crate::fact::ChannelIndex;
use crate::identity::Identity;
use crate::payments::receive::Part;
use crate::switch::Forward;
use crate::switch::blinded::{Inside, Onward};

/// HTLCs by what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// They end here.
    pub(super) parts: Vec<Part>,
    /// They go on.
    pub(super) forwards: Vec<Forward>,
    /// Their onion cannot be read: what to say.
    pub(super) unreadable: Vec<Command>,
    /// The same, to be said after a random delay.
    pub(super) late: Vec<Command>,
}

enum One {
    Part(Box<Part>),
    Forward(Box<Forward>),
    Unreadable(Command),
    Late(Command),
}

/// Below this many onions, handing them out costs more than it saves.
const WORTH: usize = 4;

/// Peels all onions, on all cores if there are many.
pub(super) fn sort(us: &Identity, channel: ChannelIndex, incoming: Vec<HtlcIn>) -> Sorted {
    let each = |htlc: HtlcIn| one(us, channel, htlc);
    let all: Vec<One> = if incoming.len() < WORTH {
        incoming.into_iter().map(each).collect()
    } else {
        incoming.into_par_iter().map(each).collect()
    };
    let mut sorted = Sorted::default();
    for one in all {
        match one {
            One::Part(part) => sorted.parts.push(*part),
            One::Forward(forward) => sorted.forwards.push(*forward),
            One::Unreadable(command) => sorted.unreadable.push(command),
            One::Late(command) => sorted.late.push(command),
        }
    }
    sorted
}

fn one(us: &Identity, channel: ChannelIndex, htlc: HtlcIn) -> One {
    match us.peel(&htlc.onion, htlc.payment_hash, htlc.path_key.as_ref()) {
        Ok(peeled) => read(us, channel, &htlc, peeled),
        Err(PeelFault::Malformed(bad)) => One::Unreadable(Command::FailMalformedHtlc {
            command: Asker::Nobody.command(0),
            htlc: htlc.id,
            sha256_of_onion: bad.sha256_of_onion,
            failure_code: bad.failure_code(),
        }),
        Err(PeelFault::Payload(secret)) => {
            fail(&htlc, &secret, &Failure::InvalidOnionPayload { kind: 0, offset: 0 })
        }
    }
}

fn read(us: &Identity, channel: ChannelIndex, htlc: &HtlcIn, peeled: Peeled<OnionPacket>) -> One {
    let Peeled { shared_secret, payload, next } = peeled;
    let inside = Inside::new(&htlc.onion, htlc.path_key.is_some());
    let peeled = Opened { channel, htlc, secret: shared_secret.clone() };
    let place = if next.is_some() { Place::Forward } else { Place::Final };
    match (Payload::decode(&payload, place, htlc.path_key.is_some()), next) {
        (Ok(Payload::Final(payload)), _) => peeled.ends(payload, None),
        (Ok(Payload::Forward(payload)), Some(next)) => peeled.goes_on(payload, next, None),
        (Ok(payload @ (Payload::BlindedForward(_) | Payload::BlindedFinal(_))), next) => {
            match follow(us, htlc, payload, next) {
                Some(Told::Onward { payload, next, path_key, onion }) => {
                    let onward = Onward { inside, next, path_key };
                    peeled.goes_on(payload, onion, Some(onward))
                }
                Some(Told::Here(payload)) => peeled.ends(payload, Some(inside)),
                None => fail_blinded(htlc, &shared_secret, inside),
            }
        }
        (Err(PayloadFault { blinded: true, .. }), _) => fail_blinded(htlc, &shared_secret, inside),
        (Err(PayloadFault { kind, offset, .. }), _) => {
            fail(htlc, &shared_secret, &Failure::InvalidOnionPayload { kind, offset })
        }
        (Ok(Payload::Forward(_)), None) => {
            fail(htlc, &shared_secret, &Failure::InvalidOnionPayload { kind: 6, offset: 0 })
        }
    }
}

/// An HTLC whose onion was read.
struct Opened<'a> {
    channel: ChannelIndex,
    htlc: &'a HtlcIn,
    secret: SharedSecret,
}

impl Opened<'_> {
    fn ends(self, payload: Final, blinded: Option<Inside>) -> One {
        let htlc = self.htlc;
        One::Part(Box::new(Part {
            channel: self.channel,
            htlc: htlc.id,
            amount: htlc.amount_msat,
            hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
            overexposed: htlc.overexposed,
            secret: self.secret,
            since_ms: now_ms(),
            blinded,
            payload,
        }))
    }

    fn goes_on(self, payload: ForwardData, onion: OnionPacket, blinded: Option<Onward>) -> One {
        let htlc = self.htlc;
        One::Forward(Box::new(Forward {
            channel: self.channel,
            htlc: htlc.id,
            amount: htlc.amount_msat,
            hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
            overexposed: htlc.overexposed,
            accountable: htlc.accountable,
            tag: tag(&htlc.onion),
            since_ms: now_ms(),
            secret: self.secret,
            payload,
            onion,
            blinded,
        }))
    }
}

/// What tells one onion from every other: its ephemeral key, from which with our own key all else in it follows.
fn tag(onion: &OnionPacket) -> [u8; 16] {
    let key = onion.as_bytes().get(1..34).unwrap_or_default();
    let hash = sha256::Hash::hash(key).to_byte_array();
    let mut tag = [0; 16];
    tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    tag
}

fn fail_blinded(htlc: &HtlcIn, secret: &SharedSecret, inside: Inside) -> One {
    let command = inside.refuse(Asker::Nobody.command(0), htlc.id, secret, HoldTime::default());
    if inside.introduction { One::Late(command) } else { One::Unreadable(command) }
}

fn fail(htlc: &HtlcIn, secret: &SharedSecret, failure: &Failure) -> One {
    let packet = ReturnPacket::create(secret, failure, Some(HoldTime::default()));
    One::Unreadable(Command::FailHtlc {
        command: Asker::Nobody.command(0),
        htlc: htlc.id,
        reason: packet.reason,
        attribution: packet.attribution_data,
    })
}
