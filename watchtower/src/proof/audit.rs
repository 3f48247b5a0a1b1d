//! Does the tower still have what it signed for? A few records, drawn at random, under a fresh nonce.
//!
//! The answer is one hash over the nonce and the records themselves, so it cannot be made from anything
//! kept instead of them, and it is signed: a wrong answer beside a receipt for the same records is
//! evidence. The client makes the records again from what it knows of its old states, or keeps the
//! leaves and has the records sent.
//!
//! A tower that lost a share of the records is found by a number of draws that does not depend on how
//! many there are: 1 % lost is found by 300 draws with 95 in 100 ([`detection_ppm`]).
//!
//! Not here: how often ([`crate::client`]), how it travels ([`crate::message`]).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use secp256k1::{Keypair, PublicKey};
use thiserror::Error;

use super::receipt::{is_signed, sign};
use super::tagged::tagged;

/// Records that one challenge may name: an answer reads each of them.
pub const CHALLENGE_MAX: usize = 1_024;

/// One in a million, the unit of probabilities here.
const PPM: u128 = 1_000_000;

/// One as a fixed-point number.
const ONE: u128 = 1_000_000_000_000_000_000;

/// What a client asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// Never used before, so that no answer can be prepared.
    pub nonce: [u8; 32],
    /// Which records, rising, at most [`CHALLENGE_MAX`].
    pub seqs: Vec<u32>,
}

impl Challenge {
    /// Draws `count` different numbers out of `range`, all of them if it has no more.
    ///
    /// `entropy` decides both nonce and numbers, so it must be random and used once.
    pub fn draw(entropy: &[u8; 32], range: Range<u32>, count: usize) -> Self {
        let nonce = tagged("wt2/audit-nonce", &[entropy]);
        let size = range.end.saturating_sub(range.start);
        let count = count.min(CHALLENGE_MAX).min(usize::try_from(size).unwrap_or(usize::MAX));
        let dice = (0_u64..).map(|roll| {
            let hash = tagged("wt2/audit-draw", &[entropy, &roll.to_be_bytes()]);
            let [a, b, c, d, e, f, g, h, ..] = hash;
            // A 64-bit number scaled to the range: off by less than one in 2^32.
            let scaled = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
                .saturating_mul(u128::from(size))
                >> 64;
            range.start.saturating_add(u32::try_from(scaled).unwrap_or(0))
        });
        let mut seqs = BTreeSet::new();
        for seq in dice {
            if seqs.len() >= count {
                break;
            }
            seqs.insert(seq);
        }
        Self { nonce, seqs: seqs.into_iter().collect() }
    }

    /// Whether a tower has to answer it: not empty, rising, not too long, all below `durable_seq`.
    pub fn is_fair(&self, durable_seq: u32) -> bool {
        let rising = self.seqs.iter().zip(self.seqs.iter().skip(1)).all(|(low, high)| low < high);
        let known = self.seqs.last().is_some_and(|last| *last < durable_seq);
        rising && known && self.seqs.len() <= CHALLENGE_MAX
    }
}

/// A record as a tower has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Its number in the session.
    pub seq: u32,
    /// The hint it is found by.
    pub hint: &'a [u8; 16],
    /// The ciphertext.
    pub ciphertext: &'a [u8],
}

/// The hash over nonce and records, which must be those of the challenge in the same order.
pub fn digest<'a>(nonce: &[u8; 32], records: impl IntoIterator<Item = Record<'a>>) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(nonce);
    for record in records {
        let length = u32::try_from(record.ciphertext.len()).unwrap_or(u32::MAX);
        engine.input(&record.seq.to_be_bytes());
        engine.input(&length.to_be_bytes());
        engine.input(record.hint);
        engine.input(record.ciphertext);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// What a tower says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// [`digest`] of what it was asked for.
    pub digest: [u8; 32],
    /// BIP 340 by the tower's key, over session, nonce, numbers and digest.
    pub signature: [u8; 64],
}

impl Answer {
    fn signed_digest(session: &PublicKey, challenge: &Challenge, digest: &[u8; 32]) -> [u8; 32] {
        let seqs: Vec<u8> = challenge.seqs.iter().flat_map(|seq| seq.to_be_bytes()).collect();
        tagged("wt2/audit", &[&session.serialize(), &challenge.nonce, digest, &seqs])
    }

    /// Signs a digest.
    pub fn new(
        session: &PublicKey,
        challenge: &Challenge,
        digest: [u8; 32],
        tower: &Keypair,
    ) -> Self {
        let signature = sign(&Self::signed_digest(session, challenge, &digest), tower);
        Self { digest, signature }
    }

    /// Whether it is the tower's, and over the records that the client knows.
    ///
    /// # Errors
    /// [`AuditFault`]: with [`AuditFault::Lost`] the tower has signed for what it does not have.
    pub fn check<'a>(
        &self,
        tower: &PublicKey,
        session: &PublicKey,
        challenge: &Challenge,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<(), AuditFault> {
        let signed = Self::signed_digest(session, challenge, &self.digest);
        if !is_signed(&signed, &self.signature, tower) {
            return Err(AuditFault::WrongSignature);
        }
        if digest(&challenge.nonce, records) == self.digest {
            Ok(())
        } else {
            Err(AuditFault::Lost)
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AuditFault {
    /// The tower's key did not sign it.
    #[error("the signature is not the tower's")]
    WrongSignature,
    /// It is not over the records that the tower had signed for.
    #[error("the tower does not have the records that it signed for")]
    Lost,
}

/// How likely, in millionths, `draws` different records out of `total` hit at least one of `missing`.
pub fn detection_ppm(total: u32, missing: u32, draws: u32) -> u32 {
    let mut unseen = ONE;
    for drawn in 0..draws.min(total) {
        let left = u128::from(total.saturating_sub(drawn));
        let whole = left.saturating_sub(u128::from(missing));
        // Below 2^32 times 10^18: fits.
        unseen = unseen.saturating_mul(whole).checked_div(left).unwrap_or(0);
    }
    let seen = ONE.saturating_sub(unseen).saturating_mul(PPM).checked_div(ONE).unwrap_or(0);
    u32::try_from(seen).unwrap_or(u32::MAX)
}

/// The fewest draws that find a loss of `missing` out of `total` with at least `wanted_ppm` millionths;
/// `total` if no fewer do.
pub fn draws_for(total: u32, missing: u32, wanted_ppm: u32) -> u32 {
    let (mut low, mut high) = (0_u32, total);
    while low < high {
        let middle = low.midpoint(high);
        if detection_ppm(total, missing, middle) >= wanted_ppm {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}
