//! Are the peer's signatures on our commitment good? BOLT 2 § Committing Updates So Far.
//!
//! One signature a commitment and one an HTLC, each about 25 µs; they do not depend on one another, so
//! a pool can take them.
//!
//! Not here: making signatures (`signer`).

use secp256k1::ecdsa;
use secp256k1::{Message, PublicKey, SECP256K1};
use thiserror::Error;
use wire::id::Signature;

use super::commitment::Commitment;

/// Does many small jobs of the same kind, perhaps at once.
///
/// `job` is told which one it is, `0..count`, and depends on nothing else.
pub trait Workers: Sync {
    /// The signatures of all jobs, in order.
    fn sign(&self, count: usize, job: &(dyn Fn(usize) -> Signature + Sync)) -> Vec<Signature>;

    /// The first job that says `false`, if any does.
    fn find_bad(&self, count: usize, job: &(dyn Fn(usize) -> bool + Sync)) -> Option<usize>;
}

/// Does the jobs one after the other, on the spot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Workers for Inline {
    fn sign(&self, count: usize, job: &(dyn Fn(usize) -> Signature + Sync)) -> Vec<Signature> {
        (0..count).map(job).collect()
    }

    fn find_bad(&self, count: usize, job: &(dyn Fn(usize) -> bool + Sync)) -> Option<usize> {
        (0..count).find(|place| !job(*place))
    }
}

/// Why a signature is not taken.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SignatureFault {
    /// It does not sign this with this key, or is no signature at all.
    #[error("the signature does not sign this transaction")]
    Wrong,
    /// It would be good, but no node relays a signature with so high an `s`.
    #[error("the signature has a high S value")]
    HighS,
    /// The signature of the HTLC at this place in output order is wrong or has a high `s`.
    #[error("the signature of HTLC {0} (in output order) does not sign its transaction")]
    Htlc(usize),
    /// Not one signature for each HTLC output.
    #[error("{got} HTLC signatures came, the commitment has {expected} HTLC outputs")]
    Count {
        /// HTLC outputs of the commitment.
        expected: usize,
        /// Signatures that came.
        got: usize,
    },
}

impl Commitment {
    /// Checks the other side's signatures on this commitment and its HTLC transactions.
    ///
    /// `htlcs` are in output order, as in `commitment_signed`.
    pub fn verify(
        &self,
        signature: &Signature,
        htlcs: &[Signature],
        workers: &dyn Workers,
    ) -> Result<(), SignatureFault> {
        // BOLT 2: "if `num_htlcs` is not equal to the number of HTLC outputs in the local"
        if htlcs.len() != self.htlcs().len() {
            let (expected, got) = (self.htlcs().len(), htlcs.len());
            return Err(SignatureFault::Count { expected, got });
        }
        verify(&self.terms.other_funding, &self.digest(), signature)?;
        let digests = self.htlc_digests();
        let good = |place: usize| match (htlcs.get(place), digests.digest(place)) {
            (Some(signature), Some(digest)) => {
                verify(&self.keys.htlc().other, &digest, signature).is_ok()
            }
            (None, _) | (_, None) => false,
        };
        match workers.find_bad(htlcs.len(), &good) {
            Some(place) => Err(SignatureFault::Htlc(place)),
            None => Ok(()),
        }
    }
}

/// Checks one signature over a digest, with the low-S rule that every relaying node applies.
pub fn verify(
    key: &PublicKey,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<(), SignatureFault> {
    // BOLT 2: "non-compliant with LOW-S-standard rule"
    if !signature.is_low_s() {
        return Err(SignatureFault::HighS);
    }
    let signature =
        ecdsa::Signature::from_compact(&signature.0).map_err(|_| SignatureFault::Wrong)?;
    SECP256K1
        .verify_ecdsa(&Message::from_digest(*digest), &signature, key)
        .map_err(|_| SignatureFault::Wrong)
}
