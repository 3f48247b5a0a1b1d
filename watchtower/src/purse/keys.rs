//! The keys of the tower's own coins: one account of its seed, and a signature for one input.

use std::str::FromStr as _;

use bdk_wallet::KeychainKind;
use bdk_wallet::miniscript::{Descriptor, DescriptorPublicKey};
use bitcoin::bip32::{ChildNumber, Xpriv, Xpub};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Network, Transaction, Witness, ecdsa};
use secp256k1::{Message, SECP256K1};

use crate::respond::topup::Coin;

/// The keys; never printed, erased when dropped.
pub struct Keys {
    account: Xpriv,
    network: Network,
    external: Descriptor<DescriptorPublicKey>,
    internal: Descriptor<DescriptorPublicKey>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.account.private_key.non_secure_erase();
    }
}

impl Keys {
    /// The first account of BIP 84 under this seed; `None` for one seed in 2^127.
    pub fn new(seed: &[u8; 32], network: Network) -> Option<Self> {
        let mut master = Xpriv::new_master(network, seed).ok()?;
        let coin = u32::from(network != Network::Bitcoin);
        let path = [84, coin, 0].map(|index| ChildNumber::Hardened { index });
        let account = master.derive_priv(SECP256K1, &path).ok()?;
        let origin = master.fingerprint(SECP256K1);
        master.private_key.non_secure_erase();
        let xpub = Xpub::from_priv(SECP256K1, &account);
        let chain = |number: u8| {
            let text = format!("wpkh([{origin}/84'/{coin}'/0']{xpub}/{number}/*)");
            Descriptor::from_str(&text).ok()
        };
        Some(Self { account, network, external: chain(0)?, internal: chain(1)? })
    }

    pub(super) const fn network(&self) -> Network {
        self.network
    }

    pub(super) const fn external(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.external
    }

    pub(super) const fn internal(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.internal
    }

    /// Puts the witness of the input at `place` in. The same one every time (RFC 6979).
    pub(super) fn sign(
        &self,
        tx: &mut Transaction,
        place: usize,
        coin: &Coin,
        (keychain, index): (KeychainKind, u32),
    ) -> Option<()> {
        let chain = match keychain {
            KeychainKind::External => 0,
            KeychainKind::Internal => 1,
        };
        let path = [ChildNumber::Normal { index: chain }, ChildNumber::Normal { index }];
        let mut key = self.account.derive_priv(SECP256K1, &path).ok()?.private_key;
        let sighash_type = EcdsaSighashType::All;
        let digest = SighashCache::new(&*tx)
            .p2wpkh_signature_hash(place, &coin.script_pubkey, coin.value, sighash_type)
            .ok()?;
        let signature = SECP256K1.sign_ecdsa_low_r(&Message::from(digest), &key);
        let public = key.public_key(SECP256K1);
        key.non_secure_erase();
        let signature = ecdsa::Signature { signature, sighash_type };
        tx.input.get_mut(place)?.witness = Witness::p2wpkh(&signature, &public);
        Some(())
    }
}
