//! What origin and hop share, and the keys that come out of it. BOLT 4 § Key Generation, § Shared Secret.

use crate::noise::symmetric::{Key, ecdh, hmac};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use secp256k1::{PublicKey, Scalar, SecretKey};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The 32 bytes that origin and one hop derive by ECDH. Keep it with the HTLC: failures need it.
///
/// Erased when dropped, never printed, not comparable.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// From a record of ours.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, for a record of ours.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of the compressed product.
    pub(crate) fn ecdh(secret: &SecretKey, point: &PublicKey) -> Self {
        Self(*ecdh(secret, point).expose())
    }

    /// The key of one purpose.
    pub(crate) fn key(&self, kind: KeyKind) -> Key {
        Key::new(hmac(kind.label(), &[&self.0]))
    }

    /// The stream of one purpose, from its first byte.
    pub(crate) fn stream(&self, kind: KeyKind) -> Stream {
        Stream::new(&self.key(kind))
    }

    /// SHA256(point || secret): what both sides multiply their ephemeral key with for the next hop.
    pub(crate) fn blinding_factor(&self, point: &PublicKey) -> Option<Scalar> {
        let mut engine = sha256::Hash::engine();
        engine.input(&point.serialize());
        engine.input(&self.0);
        Scalar::from_be_bytes(sha256::Hash::from_engine(engine).to_byte_array()).ok()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyKind {
    /// Obfuscates payloads; encrypts recipient data.
    Rho,
    /// Authenticates the packet.
    Mu,
    /// Authenticates failures.
    Um,
    /// Obfuscates failures.
    Ammag,
    /// Obfuscates attribution data.
    AmmagExt,
    /// Fills the unused end of a new packet; derived from the session key.
    Pad,
    /// Tweaks a node id.
    BlindedNodeId,
}

impl KeyKind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Rho => b"rho",
            Self::Mu => b"mu",
            Self::Um => b"um",
            Self::Ammag => b"ammag",
            Self::AmmagExt => b"ammagext",
            Self::Pad => b"pad",
            Self::BlindedNodeId => b"blinded_node_id",
        }
    }
}

/// A ChaCha20 stream with zero nonce; safe because no key is used twice for one purpose.
pub(crate) struct Stream(ChaCha20);

impl Stream {
    fn new(key: &Key) -> Self {
        Self(ChaCha20::new(key.expose().into(), &[0; 12].into()))
    }

    /// XORs the next bytes of the stream into `bytes`. The stream has 256 GiB; a packet has 64 KiB.
    pub(crate) fn xor(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }

    /// Goes on from byte `position` of the stream.
    pub(crate) fn seek(&mut self, position: usize) {
        self.0.seek(position);
    }
}
