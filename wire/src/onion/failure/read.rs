//! What the origin learns from a failure. BOLT 4 § Returning Errors, Origin node.

use super::Failure;
use crate::message::AttributionData;
use crate::noise::symmetric::hmac;
use crate::onion::attribution::{Block, HOPS_MAX, HoldTime};
use crate::onion::keys::{KeyKind, SharedSecret};

/// Most hops an onion has room for; every failure costs as many rounds, so that time says nothing.
const ROUNDS: usize = 27;

/// What a failure says, and what it proves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Who failed the HTLC, and why.
    pub source: Source,
    /// How long each hop says it held the HTLC, first hop first, as far as it is proven. Up to the source, if known.
    pub hold_times: Vec<HoldTime>,
}

/// Where a failure comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A hop that proves it: its index in the route, first hop 0.
    Hop {
        /// Index in the route.
        index: usize,
        /// Its words; `None` if they cannot be read.
        failure: Option<Failure>,
    },
    /// Some hop garbled the failure.
    Unreadable {
        /// The first hop whose attribution fails: it or the hop before it lies. `None` if there is no attribution.
        blamed: Option<usize>,
    },
}

/// Reads the failure of a payment that we sent. `secrets` are those of its route, first hop first; of a route that ends
/// blinded, those up to and with the introduction node, which answers for all behind it.
///
/// Does the same work whatever the length of the route and whoever failed.
pub fn read(
    secrets: &[SharedSecret],
    reason: &[u8],
    attribution_data: Option<&AttributionData>,
) -> Reading {
    let dummy = SharedSecret::new([0; 32]);
    let mut reason = reason.to_vec();
    let mut found: Option<(usize, Vec<u8>)> = None;
    let mut trail = Trail::new(secrets.len(), attribution_data);
    for round in 0..ROUNDS.max(secrets.len()) {
        let real = secrets.get(round);
        let secret = real.unwrap_or(&dummy);
        secret.stream(KeyKind::Ammag).xor(&mut reason);
        trail.follow(secret, &reason, real.is_some() && found.is_none());
        if is_authentic(secret, &reason) && real.is_some() && found.is_none() {
            found = Some((round, reason.clone()));
        }
    }
    let source = found.map_or(Source::Unreadable { blamed: trail.blamed }, |(index, clear)| {
        Source::Hop { index, failure: message(&clear).and_then(Failure::decode) }
    });
    Reading { source, hold_times: trail.hold_times }
}

/// The attribution data while its layers come off.
struct Trail {
    block: Block,
    left: usize,
    blamed: Option<usize>,
    broken: bool,
    hold_times: Vec<HoldTime>,
}

impl Trail {
    fn new(hops: usize, data: Option<&AttributionData>) -> Self {
        let broken = data.is_none() || hops > HOPS_MAX;
        let block = data.map_or_else(Block::zero, Block::from_wire);
        Self { block, left: hops, blamed: None, broken, hold_times: Vec::new() }
    }

    /// One layer off; what it says is believed if `counts` and no hop before was caught.
    fn follow(&mut self, secret: &SharedSecret, reason: &[u8], counts: bool) {
        self.left = self.left.saturating_sub(1);
        self.block.crypt(secret);
        let proven = self.block.verify(secret, reason, self.left);
        self.block.unshift();
        if self.broken || !counts {
            return;
        }
        if let Some(hold_time) = proven {
            self.hold_times.push(hold_time);
        } else {
            self.broken = true;
            self.blamed = Some(self.hold_times.len());
        }
    }
}

fn is_authentic(secret: &SharedSecret, reason: &[u8]) -> bool {
    let Some((claimed, rest)) = reason.split_first_chunk::<32>() else { return false };
    let expected = hmac(secret.key(KeyKind::Um).expose(), &[rest]);
    bitcoin::hashes::cmp::fixed_time_eq(claimed, &expected)
}

/// The failure message inside HMAC, length and padding.
fn message(clear: &[u8]) -> Option<&[u8]> {
    let (length, rest) = clear.get(32..)?.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
