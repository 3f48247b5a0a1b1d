//! The seed: 24 words from which every key of the node follows (BIP 39, BIP 32).
//!
//! On disk it is encrypted ([`file`]). In memory it lives in types that have no `Debug`, are never
//! cloned and are wiped when dropped; [`Seed::secrets`] hands each part of the node its own secret, so
//! that no part can derive another's.
//!
//! Not here: what is signed with the keys (`crate::identity`, `channel::signer`, `crate::wallet`).

pub mod birth;
pub mod file;
pub mod password;

#[cfg(test)]
mod tests;

use core::fmt;

use bip39::Mnemonic;
use bitcoin::Network;
use bitcoin::bip32::{ChildNumber, Xpriv};
use secp256k1::{All, Secp256k1, SecretKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::wallet::WalletKeys;

/// Our branch of the BIP 32 tree, beside the standard purposes 84 and 86 of the wallet.
const PURPOSE: u32 = 7_473;

/// The longest optional passphrase, in bytes.
const PASSPHRASE_LEN_MAX: usize = 256;

/// Why there is no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    NoEntropy,
    /// The words are not 24 of the English list with the right checksum.
    #[error("these are not 24 words of a BIP 39 seed: {0}")]
    Words(WordFault),
    /// The passphrase is too long.
    #[error("the passphrase is longer than {PASSPHRASE_LEN_MAX} bytes")]
    PassphraseTooLong,
    /// A seed that derives no valid key: one in 2^127.
    #[error("this seed derives no valid key; use another one")]
    NoKey,
}

/// What is wrong with the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordFault {
    /// Not 24.
    #[error("there are {0} of them")]
    Count(usize),
    /// One is not in the list.
    #[error("word {0} is not in the English list")]
    Unknown(usize),
    /// All are known, but together they do not fit.
    #[error("the checksum does not fit: a word is wrong or in the wrong place")]
    Checksum,
}

/// 32 secret bytes. No `Debug` that shows them, no `Clone`; wiped on drop.
pub struct Secret32(Zeroizing<[u8; 32]>);

impl Secret32 {
    /// Takes bytes over; the caller's copy is the caller's to wipe.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that uses them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32")
    }
}

/// The node's private key. No `Debug` that shows it, no `Clone`; wiped on drop.
pub struct NodeSecret(SecretKey);

impl NodeSecret {
    /// The key, for the one place that uses it.
    #[must_use]
    pub const fn expose(&self) -> &SecretKey {
        &self.0
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret")
    }
}

impl Drop for NodeSecret {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

/// What each part of the node gets. Hardened derivation: none follows from another.
pub struct Secrets {
    /// Who the node is: Noise, onions, invoices, gossip (path `m/7473'/network'/0'`).
    pub node: NodeSecret,
    /// From it follow the session keys of the onions we make (`1'`).
    pub onion: Secret32,
    /// From it follow all keys of all channels (`2'`).
    pub channels: Secret32,
    /// Signs API tokens (`3'`).
    pub tokens: Secret32,
    /// From it follow preimages and payment secrets of invoices (`4'`).
    pub invoices: Secret32,
    /// Encrypts backups (`5'`).
    pub backup: Secret32,
    /// From it follow the session keys at towers (`6'`).
    pub towers: Secret32,
    /// The coins on Layer 1 (BIP 84 and BIP 86).
    pub wallet: WalletKeys,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// The seed itself.
pub struct Seed {
    entropy: Zeroizing<[u8; 32]>,
    passphrase: Zeroizing<String>,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    /// A fresh one.
    ///
    /// # Errors
    /// [`SeedError::NoEntropy`].
    pub fn generate() -> Result<Self, SeedError> {
        let mut entropy = Zeroizing::new([0; 32]);
        getrandom::fill(entropy.as_mut()).map_err(|_| SeedError::NoEntropy)?;
        Ok(Self { entropy, passphrase: Zeroizing::default() })
    }

    /// One that everybody knows, for a node whose money is worth nothing: of the sandbox, and only there.
    #[must_use]
    pub fn of_everybody(entropy: [u8; 32]) -> Self {
        Self { entropy: Zeroizing::new(entropy), passphrase: Zeroizing::default() }
    }

    /// One that somebody wrote down, with the passphrase that was chosen with it (empty: none).
    ///
    /// # Errors
    /// [`SeedError::Words`], [`SeedError::PassphraseTooLong`].
    pub fn from_words(words: &str, passphrase: &str) -> Result<Self, SeedError> {
        let mut parsed = Mnemonic::parse_in(bip39::Language::English, words)
            .map_err(|error| SeedError::Words(word_fault(&error)))?;
        let count = parsed.word_count();
        let (mut bytes, length) = parsed.to_entropy_array();
        parsed.zeroize();
        let entropy = bytes.get(..length).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.zeroize();
        let entropy =
            entropy.map(Zeroizing::new).ok_or(SeedError::Words(WordFault::Count(count)))?;
        Self::from_parts(entropy, passphrase)
    }

    pub(crate) fn from_parts(
        entropy: Zeroizing<[u8; 32]>,
        passphrase: &str,
    ) -> Result<Self, SeedError> {
        if passphrase.len() > PASSPHRASE_LEN_MAX {
            return Err(SeedError::PassphraseTooLong);
        }
        Ok(Self { entropy, passphrase: Zeroizing::new(passphrase.to_owned()) })
    }

    /// The 24 words to write down, with blanks between. Whoever reads them owns the node's money.
    ///
    /// # Errors
    /// [`SeedError::NoKey`], which 32 bytes never give.
    pub fn words(&self) -> Result<Zeroizing<String>, SeedError> {
        let mut mnemonic = self.mnemonic()?;
        let words = Zeroizing::new(mnemonic.to_string());
        mnemonic.zeroize();
        Ok(words)
    }

    fn mnemonic(&self) -> Result<Mnemonic, SeedError> {
        Mnemonic::from_entropy(self.entropy.as_ref()).map_err(|_| SeedError::NoKey)
    }

    pub(crate) fn entropy(&self) -> &[u8; 32] {
        &self.entropy
    }

    pub(crate) fn passphrase(&self) -> &str {
        &self.passphrase
    }

    /// Derives what each part of the node needs. Takes some milliseconds (BIP 39 stretches the words).
    ///
    /// # Errors
    /// [`SeedError::NoKey`].
    pub fn secrets(&self, network: Network) -> Result<Secrets, SeedError> {
        let secp = Secp256k1::new();
        let mut mnemonic = self.mnemonic()?;
        let stretched = Zeroizing::new(mnemonic.to_seed(self.passphrase.as_str()));
        mnemonic.zeroize();
        let mut master =
            Xpriv::new_master(network, stretched.as_ref()).map_err(|_| SeedError::NoKey)?;
        let secret = |index| branch(&master, network, index, &secp);
        let bytes = |index| {
            let mut key = secret(index)?;
            let bytes = Secret32::new(Zeroizing::new(key.secret_bytes()));
            key.non_secure_erase();
            Ok(bytes)
        };
        let secrets = Secrets {
            node: NodeSecret(secret(0)?),
            onion: bytes(1)?,
            channels: bytes(2)?,
            tokens: bytes(3)?,
            invoices: bytes(4)?,
            backup: bytes(5)?,
            towers: bytes(6)?,
            wallet: WalletKeys::new(master, network, &secp).map_err(|_| SeedError::NoKey)?,
        };
        master.private_key.non_secure_erase();
        Ok(secrets)
    }
}

/// One hardened branch a network and purpose: a node on signet shares no key with one on mainnet.
fn branch(
    master: &Xpriv,
    network: Network,
    index: u32,
    secp: &Secp256k1<All>,
) -> Result<SecretKey, SeedError> {
    let network = match network {
        Network::Bitcoin => 0,
        Network::Testnet => 1,
        Network::Signet => 2,
        Network::Regtest => 3,
        Network::Testnet4 => 4,
    };
    let path = [PURPOSE, network, index].map(|index| ChildNumber::Hardened { index });
    let key = master.derive_priv(secp, &path).map_err(|_| SeedError::NoKey)?;
    Ok(key.private_key)
}

const fn word_fault(error: &bip39::Error) -> WordFault {
    match error {
        bip39::Error::BadWordCount(count) => WordFault::Count(*count),
        bip39::Error::UnknownWord(at) => WordFault::Unknown(at.saturating_add(1)),
        bip39::Error::BadEntropyBitCount(_)
        | bip39::Error::InvalidChecksum
        | bip39::Error::AmbiguousLanguages(_) => WordFault::Checksum,
    }
}
