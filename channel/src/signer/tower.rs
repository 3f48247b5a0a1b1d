//! The one key that a tower of one's own needs: what takes everything from a peer that cheats, and no more.
//!
//! It signs penalties and nothing else. Alone it is worth nothing: it opens an output only together with a
//! secret that the peer gave up.

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
            let place = (tx.input.iter())
                .position(|input| input.previous_output == spend.outpoint)
                .ok_or(SignRefusal::NotSpent)?;
            let signature = sign_input(&key, tx, place, spend, EcdsaSighashType::All)?;
            let input = tx.input.get_mut(place).ok_or(SignRefusal::NotSpent)?;
            input.witness = spend.witness(&signature)?;
        }
        Ok(())
    }
}

impl InMemorySigner {
    /// The private half of our `revocation_basepoint`, for a tower of one's own.
    ///
    /// Whoever has it and works together with the peer can take in-flight HTLCs of the newest state, so
    /// nobody else may ever get it.
    pub fn revocation_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secrets.revocation().as_secret().secret_bytes())
    }
}
