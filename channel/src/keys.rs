//! The public keys of a commitment, from two sets of basepoints and one point. BOLT 3 § Key Derivation.
//!
//! A commitment needs six multiplications on the curve, three quarters of what one update costs when
//! they are made again for every look at it. So they are made once, into [`CommitmentKeys`], and kept; and
//! the two for HTLCs only if there is an HTLC to show.
//!
//! Not here: anything secret (`signer`).

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use thiserror::Error;

/// Keys that add up to no key at all.
///
/// Nobody can bring this about without inverting SHA256; it exists so that nothing has to panic.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the derived key is the point at infinity")]
pub struct KeyError;

/// The public half of what one side brings to a channel, as in `open_channel` and `accept_channel`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelBasepoints {
    /// Signs the funding output, together with the peer's.
    pub funding: PublicKey,
    /// With the peer's commitment points: takes the peer's money if it cheats.
    pub revocation: PublicKey,
    /// Owns `to_remote` on the peer's commitments, as it is.
    pub payment: PublicKey,
    /// With our commitment points: owns our money on our commitments, after the delay.
    pub delayed_payment: PublicKey,
    /// With either side's commitment points: signs HTLC outputs.
    pub htlc: PublicKey,
}

/// All keys that the scripts of one commitment name. BOLT 3 § Keys.
///
/// A commitment has an owner, who can broadcast it, and the other side, whom it protects.
#[derive(Clone, Debug)]
pub struct CommitmentKeys {
    /// The owner's `per_commitment_point`, from which the others follow.
    pub per_commitment_point: PublicKey,
    /// `revocationpubkey`: nobody's key until the owner reveals the commitment's secret.
    pub revocation: PublicKey,
    /// `local_delayedpubkey` in the owner's eyes.
    pub owner_delayed: PublicKey,
    /// `remotepubkey` in the owner's eyes: the other side's payment basepoint itself.
    pub other_payment: PublicKey,
    /// Both sides' HTLC basepoints.
    htlc_basepoints: HtlcKeys,
    /// Made when the first HTLC asks.
    htlc: OnceLock<HtlcKeys>,
}

/// The keys of one commitment's HTLCs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HtlcKeys {
    /// `local_htlcpubkey` in the owner's eyes.
    pub owner: PublicKey,
    /// `remote_htlcpubkey` in the owner's eyes.
    pub other: PublicKey,
}

impl PartialEq for CommitmentKeys {
    /// Whether they are the keys of the same commitment; what was asked of them so far does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.per_commitment_point == other.per_commitment_point
            && self.revocation == other.revocation
            && self.owner_delayed == other.owner_delayed
            && self.other_payment == other.other_payment
            && self.htlc_basepoints == other.htlc_basepoints
    }
}

impl Eq for CommitmentKeys {}

impl CommitmentKeys {
    /// Derives the keys of the owner's commitment whose point is `per_commitment_point`.
    ///
    /// About 65 µs. Errors only for keys that nobody can construct.
    pub fn derive(
        owner: &ChannelBasepoints,
        other: &ChannelBasepoints,
        per_commitment_point: &PublicKey,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            per_commitment_point: *per_commitment_point,
            revocation: revocation_pubkey(&other.revocation, per_commitment_point)?,
            owner_delayed: pubkey(&owner.delayed_payment, per_commitment_point)?,
            other_payment: other.payment,
            htlc_basepoints: HtlcKeys { owner: owner.htlc, other: other.htlc },
            htlc: OnceLock::new(),
        })
    }

    /// The keys of its HTLCs. About 35 µs the first time.
    pub fn htlc(&self) -> &HtlcKeys {
        self.htlc.get_or_init(|| {
            // No point exists for which this fails. If one did, a key that the peer does not expect makes
            // its signatures not match, and nothing goes further.
            let derived =
                |base: &PublicKey| pubkey(base, &self.per_commitment_point).unwrap_or(*base);
            let HtlcKeys { owner, other } = &self.htlc_basepoints;
            HtlcKeys { owner: derived(owner), other: derived(other) }
        })
    }
}

/// `basepoint + SHA256(per_commitment_point || basepoint) * G`.
pub fn pubkey(
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> Result<PublicKey, KeyError> {
    let tweak = tweak(per_commitment_point, basepoint)?;
    basepoint.add_exp_tweak(SECP256K1, &tweak).map_err(|_| KeyError)
}

/// The key that only both halves together can sign for: the other side's `revocation_basepoint` and
/// the secret behind the owner's `per_commitment_point`.
pub fn revocation_pubkey(
    revocation_basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> Result<PublicKey, KeyError> {
    let base_tweak = tweak(revocation_basepoint, per_commitment_point)?;
    let point_tweak = tweak(per_commitment_point, revocation_basepoint)?;
    let base = revocation_basepoint.mul_tweak(SECP256K1, &base_tweak).map_err(|_| KeyError)?;
    let point = per_commitment_point.mul_tweak(SECP256K1, &point_tweak).map_err(|_| KeyError)?;
    base.combine(&point).map_err(|_| KeyError)
}

/// The point of a secret that was revealed; none if it is no key.
pub(crate) fn point_of(secret: &[u8; 32]) -> Option<PublicKey> {
    let key = SecretKey::from_slice(secret).ok()?;
    Some(PublicKey::from_secret_key(SECP256K1, &key))
}

/// `SHA256(first || second)` as a number modulo the order of the curve.
pub(crate) fn tweak(first: &PublicKey, second: &PublicKey) -> Result<Scalar, KeyError> {
    let mut engine = sha256::Hash::engine();
    engine.input(&first.serialize());
    engine.input(&second.serialize());
    Scalar::from_be_bytes(sha256::Hash::from_engine(engine).to_byte_array()).map_err(|_| KeyError)
}
