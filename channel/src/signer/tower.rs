//! The keys that a tower of one's own gets: what takes everything from a peer that cheats, and what claims HTLCs
//! on a commitment of the peer's that is valid.
//!
//! The first signs penalties and nothing else, and opens an output only together with a secret that the peer
//! gave up. The second signs for HTLCs on the peer's commitments, and opens one only with its preimage or
//! after its expiry.

use bitcoin::Transaction;
use bitcoin::sighash::EcdsaSighashType;
use secp256k1::PublicKey;
use zeroize::Zeroizing;

use super::{InMemorySigner, SignRefusal, derive, sign_input};
use crate::tx::spend::{Recipe, Spend};

/// Signs penalties of one channel, in another process than the channel's.
pub struct RevocationSigner {
    key: derive::Key,
    basepoint: PublicKey,
}

impl std::fmt::Debug for RevocationSigner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RevocationSigner").field("basepoint", &self.basepoint).finish()
    }
}

impl RevocationSigner {
    /// From what [`InMemorySigner::revocation_key`] gave out.
    pub fn new(key: &[u8; 32]) -> Result<Self, SignRefusal> {
        let key = derive::Key::new(key).ok_or(SignRefusal::NoKey)?;
        Ok(Self { basepoint: key.public(), key })
    }

    /// The public half, our `revocation_basepoint`.
    pub const fn basepoint(&self) -> &PublicKey {
        &self.basepoint
    }

    /// Puts a witness over the whole transaction on each input of `tx` that spends one of `spends`; other
    /// inputs stay as they are. Inputs and outputs must be final.
    pub fn sign_spends(&self, tx: &mut Transaction, spends: &[&Spend]) -> Result<(), SignRefusal> {
        for spend in spends {
            let (Recipe::PenaltyDelayed { secret } | Recipe::PenaltyHtlc { secret, .. }) =
                &spend.recipe
            else {
                return Err(SignRefusal::Foreign);
            };
            let key =
                self.key.with_revoked(&self.basepoint, &secret.0).ok_or(SignRefusal::NoKey)?;
            put(&key, tx, spend)?;
        }
        Ok(())
    }
}

/// Signs claims on HTLCs of the peer's valid commitments, in another process than the channel's.
pub struct HtlcSigner {
    key: derive::Key,
    basepoint: PublicKey,
}

impl std::fmt::Debug for HtlcSigner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HtlcSigner").field("basepoint", &self.basepoint).finish()
    }
}

impl HtlcSigner {
    /// From what [`InMemorySigner::htlc_key`] gave out.
    pub fn new(key: &[u8; 32]) -> Result<Self, SignRefusal> {
        let key = derive::Key::new(key).ok_or(SignRefusal::NoKey)?;
        Ok(Self { basepoint: key.public(), key })
    }

    /// The public half, our `htlc_basepoint`.
    pub const fn basepoint(&self) -> &PublicKey {
        &self.basepoint
    }

    /// Puts a witness over the whole transaction on the input of `tx` that spends `spend`. Inputs and outputs
    /// must be final.
    pub fn sign_spend(&self, tx: &mut Transaction, spend: &Spend) -> Result<(), SignRefusal> {
        let Recipe::HtlcDirect { point, .. } = &spend.recipe else {
            return Err(SignRefusal::Foreign);
        };
        let key = self.key.tweaked(&self.basepoint, point).ok_or(SignRefusal::NoKey)?;
        put(&key, tx, spend)
    }
}

fn put(key: &derive::Key, tx: &mut Transaction, spend: &Spend) -> Result<(), SignRefusal> {
    let place = (tx.input.iter())
        .position(|input| input.previous_output == spend.outpoint)
        .ok_or(SignRefusal::NotSpent)?;
    let signature = sign_input(key, tx, place, spend, EcdsaSighashType::All)?;
    let input = tx.input.get_mut(place).ok_or(SignRefusal::NotSpent)?;
    input.witness = spend.witness(&signature)?;
    Ok(())
}

impl InMemorySigner {
    /// The private half of our `htlc_basepoint`, for a tower of one's own.
    pub fn htlc_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secrets.htlc().as_secret().secret_bytes())
    }

    /// The private half of our `revocation_basepoint`, for a tower of one's own.
    ///
    /// Whoever has it and works together with the peer can take in-flight HTLCs of the newest state, so
    /// nobody else may ever get it.
    pub fn revocation_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secrets.revocation().as_secret().secret_bytes())
    }
}
