//! How to spend each output that a close can leave us: what to show, when, and what it weighs.
//! BOLT 3 § Commitment Transaction Outputs, BOLT 5 § Penalty Transactions Weight Calculation.
//!
//! A [`Spend`] is a value; the signer makes a witness from it, and the transaction around it (other
//! inputs, outputs, fee) is up to whoever sweeps.
//!
//! Not here: which outputs are ours (`onchain`), private keys (`signer`).

use bitcoin::absolute::LockTime;
use bitcoin::{OutPoint, ScriptBuf, Sequence, TxOut, Witness};
use secp256k1::{PublicKey, ecdsa};
use wire::id::{Preimage, Signature};
use wire::units::{BlockHeight, Sat};

use super::verify::SignatureFault;
use super::{FundingOutput, htlc};

/// `SIGHASH_ALL`, the type of every signature of ours.
const SIGHASH_ALL: u8 = 1;

/// Weight of an input before its witness: outpoint, empty script, sequence.
const INPUT_WEIGHT: u64 = 4 * 41;

/// A signature at its longest with its length byte: 72 bytes DER, one for the type, one for the length.
const SIGNATURE_WEIGHT: u64 = 74;

/// An output we can spend, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spend {
    /// The output.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// Its witness script.
    pub witness_script: ScriptBuf,
    /// What to show beside the script.
    pub recipe: Recipe,
}

/// A secret the peer gave up with `revoke_and_ack`. Its `Debug` does not show it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RevokedSecret(pub [u8; 32]);

impl std::fmt::Debug for RevokedSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("RevokedSecret")
    }
}

/// What a penalty shows beside its signature and the script. Whoever was given signatures and no key can
/// make witnesses with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    /// `<sig> 1`: for `to_local` and second-level outputs.
    Delayed,
    /// `<sig> <revocationpubkey>`: for HTLC outputs.
    Htlc(PublicKey),
}

impl Show {
    /// Weight of the signed input at most, with this witness script.
    pub fn input_weight(&self, witness_script: &ScriptBuf) -> u64 {
        let elements = match self {
            Self::Delayed => SIGNATURE_WEIGHT.saturating_add(2),
            Self::Htlc(_) => SIGNATURE_WEIGHT.saturating_add(34),
        };
        weigh(elements, witness_script)
    }

    /// The whole witness; `sighash` is the type of hash that was signed.
    ///
    /// Errors if the signature is none.
    pub fn witness(
        &self,
        signature: &Signature,
        sighash: u8,
        witness_script: &ScriptBuf,
    ) -> Result<Witness, SignatureFault> {
        let mut witness = Witness::new();
        witness.push(der(signature, sighash)?);
        match self {
            // MINIMALIF: the branch is chosen by exactly nothing or exactly 01.
            Self::Delayed => witness.push([1]),
            Self::Htlc(revocation) => witness.push(revocation.serialize()),
        }
        witness.push(witness_script.as_bytes());
        Ok(witness)
    }
}

/// Weight of an input at most: `elements` are those of the witness before the script.
fn weigh(elements: u64, witness_script: &ScriptBuf) -> u64 {
    // The number of elements and the length of the script take a byte each.
    INPUT_WEIGHT
        .saturating_add(elements)
        .saturating_add(length(witness_script.as_bytes()))
        .saturating_add(2)
}

/// What a witness is made of. `point` is the `per_commitment_point` of the commitment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recipe {
    /// `to_remote` on the peer's commitment: `<sig>`, one block later.
    ToRemote,
    /// `to_local` on our commitment, or the output of our own HTLC transaction: `<sig> <>`, after the
    /// delay.
    Delayed {
        /// The commitment point.
        point: PublicKey,
        /// Blocks to wait.
        to_self_delay: u16,
    },
    /// Our anchor: `<sig>`, at once.
    Anchor,
    /// An HTLC on our commitment, through its second-level transaction:
    /// `0 <their sig> <our sig> <preimage or nothing>`.
    ///
    /// The output at the same place as this input must be `output`, which the peer signed.
    HtlcTransaction {
        /// The commitment point.
        point: PublicKey,
        /// The peer's `htlc_signature`.
        their_signature: Signature,
        /// The preimage (HTLC-success), or the expiry (HTLC-timeout).
        key: HtlcKey,
        /// The output the peer signed.
        output: TxOut,
    },
    /// An HTLC on the peer's commitment, directly: `<sig> <preimage or nothing>`, one block later.
    HtlcDirect {
        /// The commitment point.
        point: PublicKey,
        /// The preimage, or the expiry.
        key: HtlcKey,
    },
    /// The cheater's `to_local`, or the output of its HTLC transaction: `<sig> 1`, at once.
    PenaltyDelayed {
        /// The secret of the revoked commitment.
        secret: RevokedSecret,
    },
    /// An HTLC on a revoked commitment: `<sig> <revocationpubkey>`, at once.
    PenaltyHtlc {
        /// The secret of the revoked commitment.
        secret: RevokedSecret,
        /// The key that the script names by its hash.
        revocation: PublicKey,
    },
}

/// What opens an HTLC besides a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HtlcKey {
    /// The preimage: for whom the HTLC pays.
    Preimage(Preimage),
    /// The height: for whom it comes back to.
    Expiry(BlockHeight),
}

impl HtlcKey {
    fn lock_time(self) -> LockTime {
        match self {
            Self::Preimage(_) => LockTime::ZERO,
            Self::Expiry(height) => LockTime::from_consensus(height.0),
        }
    }

    /// What stands in the witness: 32 bytes, or nothing.
    fn element(&self) -> &[u8] {
        match self {
            Self::Preimage(preimage) => &preimage.0,
            Self::Expiry(_) => &[],
        }
    }
}

impl Spend {
    /// The sequence its input must have.
    pub fn sequence(&self) -> Sequence {
        match &self.recipe {
            Recipe::ToRemote | Recipe::HtlcDirect { .. } | Recipe::HtlcTransaction { .. } => {
                htlc::SEQUENCE
            }
            Recipe::Delayed { to_self_delay, .. } => Sequence::from_height(*to_self_delay),
            Recipe::Anchor | Recipe::PenaltyDelayed { .. } | Recipe::PenaltyHtlc { .. } => {
                Sequence::ENABLE_RBF_NO_LOCKTIME
            }
        }
    }

    /// The least lock time its transaction must have.
    pub fn lock_time(&self) -> LockTime {
        match &self.recipe {
            Recipe::HtlcTransaction { key, .. } | Recipe::HtlcDirect { key, .. } => key.lock_time(),
            Recipe::ToRemote
            | Recipe::Delayed { .. }
            | Recipe::Anchor
            | Recipe::PenaltyDelayed { .. }
            | Recipe::PenaltyHtlc { .. } => LockTime::ZERO,
        }
    }

    /// Blocks that must lie on top of the output's block, itself included, before this is valid.
    pub const fn csv(&self) -> u16 {
        match &self.recipe {
            Recipe::ToRemote | Recipe::HtlcDirect { .. } | Recipe::HtlcTransaction { .. } => 1,
            Recipe::Delayed { to_self_delay, .. } => *to_self_delay,
            Recipe::Anchor | Recipe::PenaltyDelayed { .. } | Recipe::PenaltyHtlc { .. } => 0,
        }
    }

    /// The output that must stand at the same place as the input, if the peer demanded one.
    pub const fn paired_output(&self) -> Option<&TxOut> {
        match &self.recipe {
            Recipe::HtlcTransaction { output, .. } => Some(output),
            Recipe::ToRemote
            | Recipe::Delayed { .. }
            | Recipe::Anchor
            | Recipe::HtlcDirect { .. }
            | Recipe::PenaltyDelayed { .. }
            | Recipe::PenaltyHtlc { .. } => None,
        }
    }

    /// Weight of the signed input at most.
    pub fn input_weight(&self) -> u64 {
        let elements = match &self.recipe {
            Recipe::ToRemote | Recipe::Anchor => SIGNATURE_WEIGHT,
            Recipe::Delayed { .. } => SIGNATURE_WEIGHT.saturating_add(1),
            Recipe::PenaltyDelayed { .. } => {
                return Show::Delayed.input_weight(&self.witness_script);
            }
            Recipe::PenaltyHtlc { revocation, .. } => {
                return Show::Htlc(*revocation).input_weight(&self.witness_script);
            }
            Recipe::HtlcDirect { key, .. } => {
                SIGNATURE_WEIGHT.saturating_add(1).saturating_add(length(key.element()))
            }
            Recipe::HtlcTransaction { key, .. } => {
                const FIXED: u64 = 2 * SIGNATURE_WEIGHT + 2;
                FIXED.saturating_add(length(key.element()))
            }
        };
        weigh(elements, &self.witness_script)
    }

    /// The whole witness, given our signature over the whole transaction.
    ///
    /// Errors if a signature is not one: a stored one of the peer's, for nothing else can be wrong.
    pub fn witness(&self, signature: &Signature) -> Result<Witness, SignatureFault> {
        let ours = der(signature, SIGHASH_ALL)?;
        let mut witness = Witness::new();
        match &self.recipe {
            Recipe::ToRemote | Recipe::Anchor => witness.push(ours),
            // MINIMALIF: the branch is chosen by exactly nothing or exactly 01.
            Recipe::Delayed { .. } => {
                witness.push(ours);
                witness.push([]);
            }
            Recipe::PenaltyDelayed { .. } => {
                return Show::Delayed.witness(signature, SIGHASH_ALL, &self.witness_script);
            }
            Recipe::PenaltyHtlc { revocation, .. } => {
                return Show::Htlc(*revocation).witness(
                    signature,
                    SIGHASH_ALL,
                    &self.witness_script,
                );
            }
            Recipe::HtlcDirect { key, .. } => {
                witness.push(ours);
                witness.push(key.element());
            }
            Recipe::HtlcTransaction { their_signature, key, .. } => {
                witness.push([]);
                witness.push(der(their_signature, htlc::PEER_SIGHASH)?);
                witness.push(ours);
                witness.push(key.element());
            }
        }
        witness.push(self.witness_script.as_bytes());
        Ok(witness)
    }
}

impl FundingOutput {
    /// The witness that spends the funding output: signatures in the order of their keys.
    pub fn witness(
        &self,
        one: (&PublicKey, &Signature),
        two: (&PublicKey, &Signature),
    ) -> Result<Witness, SignatureFault> {
        let in_order = one.0.serialize() <= two.0.serialize();
        let (lesser, greater) = if in_order { (one.1, two.1) } else { (two.1, one.1) };
        let mut witness = Witness::new();
        witness.push([]);
        witness.push(der(lesser, SIGHASH_ALL)?);
        witness.push(der(greater, SIGHASH_ALL)?);
        witness.push(self.witness_script.as_bytes());
        Ok(witness)
    }
}

/// A signature as scripts want it: DER, then the type of the hash.
fn der(signature: &Signature, sighash: u8) -> Result<Vec<u8>, SignatureFault> {
    let signature =
        ecdsa::Signature::from_compact(&signature.0).map_err(|_| SignatureFault::Wrong)?;
    let mut bytes = signature.serialize_der().to_vec();
    bytes.push(sighash);
    Ok(bytes)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
