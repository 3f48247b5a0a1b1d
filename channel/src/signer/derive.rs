//! Private keys: from the seed, and from one another. BOLT 3 § Key Derivation.

use bitcoin::bip32::{ChildNumber, Xpriv};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use zeroize::Zeroizing;

use crate::keys::{ChannelBasepoints, tweak};

/// The first step from the seed, for channels alone.
const PURPOSE: u32 = 9_735;

/// A private key that is overwritten when it goes.
pub(super) struct Key(SecretKey);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl Key {
    /// `None` for zero and for what is not below the order of the curve.
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(bytes).ok().map(Self)
    }

    pub(super) fn public(&self) -> PublicKey {
        self.0.public_key(SECP256K1)
    }

    pub(super) const fn as_secret(&self) -> &SecretKey {
        &self.0
    }

    /// `basepoint_secret + SHA256(per_commitment_point || basepoint)`.
    pub(super) fn tweaked(&self, basepoint: &PublicKey, point: &PublicKey) -> Option<Self> {
        let tweak = tweak(point, basepoint).ok()?;
        self.0.add_tweak(&tweak).ok().map(Self)
    }

    /// `revocationprivkey`: this secret and the peer's, each times the hash of both public halves.
    pub(super) fn with_revoked(
        &self,
        revocation_basepoint: &PublicKey,
        per_commitment_secret: &[u8; 32],
    ) -> Option<Self> {
        let revoked = Self::new(per_commitment_secret)?;
        let point = revoked.public();
        let base_tweak = tweak(revocation_basepoint, &point).ok()?;
        let point_tweak = tweak(&point, revocation_basepoint).ok()?;
        let base = Self(self.0.mul_tweak(&base_tweak).ok()?);
        let point = Self(revoked.0.mul_tweak(&point_tweak).ok()?);
        base.0.add_tweak(&Scalar::from(point.0)).ok().map(Self)
    }
}

/// Everything secret of one channel.
pub(super) struct ChannelSecrets {
    funding: SecretKey,
    revocation: SecretKey,
    payment: SecretKey,
    delayed_payment: SecretKey,
    htlc: SecretKey,
    shachain_seed: Zeroizing<[u8; 32]>,
}

impl Drop for ChannelSecrets {
    fn drop(&mut self) {
        for key in [
            &mut self.funding,
            &mut self.revocation,
            &mut self.payment,
            &mut self.delayed_payment,
            &mut self.htlc,
        ] {
            key.non_secure_erase();
        }
    }
}

impl ChannelSecrets {
    /// `m/9735'/channel_index'/0'` to `5'`. All hardened: no public key here says anything of another.
    pub(super) fn derive(seed: &[u8], channel_index: u32) -> Option<Self> {
        // The network only changes how such a key is written, and it never is.
        let mut master = Xpriv::new_master(bitcoin::Network::Bitcoin, seed).ok()?;
        let at = |index: u32| ChildNumber::from_hardened_idx(index).ok();
        let mut channel = master.derive_priv(SECP256K1, &[at(PURPOSE)?, at(channel_index)?]).ok();
        master.private_key.non_secure_erase();
        let channel = channel.as_mut()?;
        let key = |index: u32| {
            channel.derive_priv(SECP256K1, &[at(index)?]).ok().map(|child| child.private_key)
        };
        let secrets = Self {
            funding: key(0)?,
            revocation: key(1)?,
            payment: key(2)?,
            delayed_payment: key(3)?,
            htlc: key(4)?,
            shachain_seed: Zeroizing::new(key(5)?.secret_bytes()),
        };
        channel.private_key.non_secure_erase();
        Some(secrets)
    }

    /// Secrets that are not from a seed, for vectors.
    #[cfg(test)]
    pub(super) fn of(keys: [[u8; 32]; 5], shachain_seed: [u8; 32]) -> Self {
        let [funding, revocation, payment, delayed_payment, htlc] =
            keys.map(|key| SecretKey::from_slice(&key).unwrap());
        let shachain_seed = Zeroizing::new(shachain_seed);
        Self { funding, revocation, payment, delayed_payment, htlc, shachain_seed }
    }

    pub(super) fn basepoints(&self) -> ChannelBasepoints {
        ChannelBasepoints {
            funding: self.funding.public_key(SECP256K1),
            revocation: self.revocation.public_key(SECP256K1),
            payment: self.payment.public_key(SECP256K1),
            delayed_payment: self.delayed_payment.public_key(SECP256K1),
            htlc: self.htlc.public_key(SECP256K1),
        }
    }

    pub(super) fn shachain_seed(&self) -> &[u8; 32] {
        &self.shachain_seed
    }

    pub(super) const fn funding(&self) -> Key {
        Key(self.funding)
    }

    pub(super) const fn revocation(&self) -> Key {
        Key(self.revocation)
    }

    pub(super) const fn payment(&self) -> Key {
        Key(self.payment)
    }

    pub(super) const fn delayed_payment(&self) -> Key {
        Key(self.delayed_payment)
    }

    pub(super) const fn htlc(&self) -> Key {
        Key(self.htlc)
    }
}
