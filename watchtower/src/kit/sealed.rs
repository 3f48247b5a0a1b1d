//! The kit for a tower nobody has to trust: a sealed record per revoked state.
//!
//! A record holds signatures that pay one script and no key at all. For `to_local` it has a ladder of
//! whole transactions, each a dearer replacement of the one before, so that the tower can raise the fee
//! without money of its own. For each HTLC output it has one signature over that input and one output
//! (`SIGHASH_SINGLE|ANYONECANPAY`): a tower combines them, leaves out what the cheater took first, and may
//! add an input for fees. What the cheater makes of an HTLC in a second transaction has an id that nobody
//! knows before, so that is covered by [`super::replica`] only.
//!
//! What a record needs besides is said once ([`Template`]). It is encrypted with a key from the cheater's
//! transaction id and the record's place, so the same state gives the same bytes again: a client need not
//! keep what it sent.
//!
//! Not here: which states are revoked (`daemon::tower`), whom to send what (`client`).

mod build;
mod evaluate;
mod open;

pub use build::{Built, build};
pub use evaluate::{EvaluateError, evaluate};
pub use open::{OpenError, open, record_key, seal};

use secp256k1::PublicKey;
use wire::codec::{BigSize, Decode, DecodeError, Encode, Reader};
use wire::id::Signature;
use wire::units::BlockHeight;

use super::template::RUNGS_MAX;
#[cfg(doc)]
use super::template::Template;

/// The most HTLCs that a commitment can show, 483 each way (BOLT 2).
pub const HTLCS_MAX: usize = 966;

/// The bytes of the Poly1305 tag behind the plaintext.
pub const TAG: usize = 16;

/// What a tower needs to punish one revoked state, beside the template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The `per_commitment_point` of the revoked commitment.
    pub point: PublicKey,
    /// For `to_local`: one signature for each rung that the output has ([`Template::rungs`]); none if there
    /// is no such output, or if it is too small.
    pub to_local: Vec<Signature>,
    /// The HTLC outputs that are covered, in output order.
    pub htlcs: Vec<HtlcRecord>,
}

/// One covered HTLC output: what its script needs, and a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HtlcRecord {
    /// `RIPEMD160` of the payment hash.
    pub hash: [u8; 20],
    /// The expiry, which is in the script of what the cheater received only; `None` if the cheater offered
    /// it.
    pub received: Option<BlockHeight>,
    /// Over the input and one output to the sweep script.
    pub signature: Signature,
}

impl Record {
    /// The record in parts of at most `htlcs` HTLCs each, for towers that take no longer ones: the first
    /// has `to_local`, and all belong to the same transaction.
    pub fn split(mut self, htlcs: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let htlcs = htlcs.max(1);
        while self.htlcs.len() > htlcs {
            let rest = self.htlcs.split_off(htlcs);
            let next = Self { point: self.point, to_local: Vec::new(), htlcs: rest };
            parts.push(std::mem::replace(&mut self, next));
        }
        parts.push(self);
        parts
    }

    /// Whether there is nothing in it to claim with.
    pub fn is_empty(&self) -> bool {
        self.to_local.is_empty() && self.htlcs.is_empty()
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut Vec<u8>) {
        self.point.encode(out);
        u8::try_from(self.to_local.len()).unwrap_or(u8::MAX).encode(out);
        Signature::encode_each(&self.to_local, out);
        // Most states show no HTLC, and then nothing is said of them.
        if !self.htlcs.is_empty() {
            BigSize::of_len(self.htlcs.len()).encode(out);
            for htlc in &self.htlcs {
                htlc.received.encode(out);
                htlc.hash.encode(out);
                htlc.signature.encode(out);
            }
        }
    }
}

impl Decode for Record {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let point = PublicKey::decode(r)?;
        let rungs = usize::from(u8::decode(r)?);
        if rungs > RUNGS_MAX {
            return Err(DecodeError::Range);
        }
        let to_local = Signature::decode_each(r, rungs)?;
        let mut htlcs = Vec::new();
        if !r.is_empty() {
            let count = usize::try_from(BigSize::decode(r)?.0).map_err(|_| DecodeError::Range)?;
            if count == 0 || count > HTLCS_MAX {
                return Err(DecodeError::Range);
            }
            for _ in 0..count {
                let received = Option::decode(r)?;
                let hash = r.array()?;
                htlcs.push(HtlcRecord { hash, received, signature: Signature::decode(r)? });
            }
        }
        Ok(Self { point, to_local, htlcs })
    }
}
