//! The wallet's keys: two accounts of one seed, and the signature over a transaction of ours.
//!
//! Addresses for people are taproot (BIP 86); change and destinations of channels are P2WPKH
//! (BIP 84). Both accounts are found by any wallet that is given the 24 words.

use core::fmt;
use core::str::FromStr;

use bdk_wallet::miniscript::psbt::PsbtExt as _;
use bdk_wallet::miniscript::{Descriptor, DescriptorPublicKey};
use bitcoin::bip32::{ChildNumber, Xpriv, Xpub};
use bitcoin::{Network, Psbt, Transaction, Witness};
use secp256k1::{All, Secp256k1};

/// Why a seed does not make a wallet. Astronomically unlikely (BIP 32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this seed derives no valid wallet key")]
pub struct NoWalletKey;

/// The keys. No `Debug` that shows them, no `Clone`, erased on drop.
pub struct WalletKeys {
    master: Xpriv,
    network: Network,
    owner: [u8; 4],
    taproot: Descriptor<DescriptorPublicKey>,
    witness: Descriptor<DescriptorPublicKey>,
}

impl fmt::Debug for WalletKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WalletKeys(secret)")
    }
}

impl Drop for WalletKeys {
    fn drop(&mut self) {
        self.master.private_key.non_secure_erase();
    }
}

impl WalletKeys {
    /// Derives both accounts from the seed's master key (BIP 32).
    ///
    /// # Errors
    /// [`NoWalletKey`] for one seed in 2^127.
    pub fn new(
        master: Xpriv,
        network: Network,
        secp: &Secp256k1<All>,
    ) -> Result<Self, NoWalletKey> {
        let coin = u32::from(network != Network::Bitcoin);
        let owner = master.fingerprint(secp).to_bytes();
        let account = |purpose: u32, wrap: &str| {
            let path = [purpose, coin, 0].map(|index| ChildNumber::Hardened { index });
            let mut xprv = master.derive_priv(secp, &path).map_err(|_| NoWalletKey)?;
            let xpub = Xpub::from_priv(secp, &xprv);
            xprv.private_key.non_secure_erase();
            let origin = master.fingerprint(secp);
            let text = format!("{wrap}([{origin}/{purpose}'/{coin}'/0']{xpub}/0/*)");
            Descriptor::from_str(&text).map_err(|_| NoWalletKey)
        };
        let taproot = account(86, "tr")?;
        let witness = account(84, "wpkh")?;
        Ok(Self { master, network, owner, taproot, witness })
    }

    /// The network.
    pub(super) const fn network(&self) -> Network {
        self.network
    }

    /// Tells seeds apart: the master key's fingerprint.
    pub(super) const fn owner(&self) -> [u8; 4] {
        self.owner
    }

    /// The account for people.
    pub(super) const fn taproot(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.taproot
    }

    /// The account for change and channels.
    pub(super) const fn witness(&self) -> &Descriptor<DescriptorPublicKey> {
        &self.witness
    }

    /// Signs every input and puts the witnesses in; `None` if an input is not ours.
    pub(super) fn sign(&self, mut psbt: Psbt, secp: &Secp256k1<All>) -> Option<Transaction> {
        psbt.sign(&self.master, secp).ok()?;
        psbt.finalize_mut(secp).ok()?;
        // Our own feerate limit was checked before; this one would panic the caller's way out.
        Some(psbt.extract_tx_unchecked_fee_rate())
    }

    /// The witnesses of the inputs at these places, in their order; `None` if one is not ours.
    pub(super) fn sign_inputs(
        &self,
        mut psbt: Psbt,
        places: &[usize],
        secp: &Secp256k1<All>,
    ) -> Option<Vec<Witness>> {
        // Inputs of other signers may fail; ours are looked at one by one.
        let _of_others = psbt.sign(&self.master, secp);
        let mut witness = |place: &usize| {
            psbt.finalize_inp_mut(secp, *place).ok()?;
            psbt.inputs.get_mut(*place)?.final_script_witness.take()
        };
        places.iter().map(&mut witness).collect()
    }
}
