//! The symmetric half of Noise: keys that erase themselves, HKDF, and the AEAD. BOLT 8 § Handshake State.
//!
//! Not here: who mixes what and when (`noise`), and what follows the handshake (`frame`).

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use secp256k1::{PublicKey, SecretKey, ecdh};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that Poly1305 adds to every ciphertext.
pub(crate) const TAG_LEN: usize = 16;

/// 32 secret bytes, erased when dropped and never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Takes the bytes over; the caller's copy is its own to erase.
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, for the primitives only.
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A private key that is overwritten when dropped (`SecretKey` is `Copy` and does not do it).
pub(crate) struct Scalar(pub(crate) SecretKey);

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

/// The tag does not fit key, nonce, associated data and ciphertext.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadMac;

/// SHA-256 of the compressed product of `secret` and `point`.
pub(crate) fn ecdh(secret: &SecretKey, point: &PublicKey) -> Key {
    let mut shared = ecdh::SharedSecret::new(point, secret);
    let key = Key(shared.secret_bytes());
    shared.non_secure_erase();
    key
}

/// RFC 5869 with empty `info`: 64 bytes, as two keys.
pub(crate) fn hkdf(salt: &Key, input: &[u8]) -> (Key, Key) {
    let extracted = Key(hmac(salt.expose(), &[input]));
    let first = Key(hmac(extracted.expose(), &[&[1]]));
    let second = Key(hmac(extracted.expose(), &[first.expose(), &[2]]));
    (first, second)
}

/// HMAC-SHA256 over the parts, one after the other.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Hmac::from_engine(engine).to_byte_array()
}

/// Encrypts `text` where it lies and returns the tag that goes after it.
#[expect(clippy::expect_used, reason = "the cipher refuses only 256 GiB and more")]
pub(crate) fn seal(key: &Key, nonce: u64, associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
    ChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&widen(nonce), associated, text.into())
        .expect("below 256 GiB")
        .into()
}

/// Checks the tag in constant time, then decrypts `text` where it lies.
pub(crate) fn open(
    key: &Key,
    nonce: u64,
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), BadMac> {
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(&widen(nonce), associated, text.into(), &Tag::from(*tag))
        .map_err(|_| BadMac)
}

// BOLT 8: "with nonce `n` encoded as 32 zero bits, followed by a *little-endian* 64-bit value"
fn widen(nonce: u64) -> Nonce {
    let mut wide = [0; 12];
    if let Some(low) = wide.last_chunk_mut() {
        *low = nonce.to_le_bytes();
    }
    Nonce::from(wide)
}
