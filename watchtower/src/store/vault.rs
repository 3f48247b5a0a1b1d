//! The keys that a replica's client trusted us with, encrypted before they reach the disk.
//!
//! Against a disk that is lost or sold: whoever has the running tower has its key as well.

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use secp256k1::SecretKey;
use zeroize::{Zeroize, ZeroizeOnDrop};

const NONCE_BYTES: usize = 12;

/// The tower's disk key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DiskKey([u8; 32]);

impl std::fmt::Debug for DiskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskKey")
    }
}

impl DiskKey {
    /// From the tower's own key.
    pub fn of(tower: &SecretKey) -> Self {
        Self(mac(&tower.secret_bytes(), &[b"viaduct tower disk"]))
    }

    /// The same bytes for the same content, so that the same template is known again. The nonce follows from
    /// the content, so no two contents share one.
    pub fn seal(&self, session: &[u8; 33], plain: &[u8]) -> Vec<u8> {
        let [nonce @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            mac(&self.0, &[b"nonce", session, plain]);
        let nonce: [u8; NONCE_BYTES] = nonce;
        // The cipher refuses 256 GiB and more.
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), plain).unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// What [`Self::seal`] closed; `None` under another key.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher().decrypt(&Nonce::from(*nonce), sealed).ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(mac(&self.0, &[b"cipher"])))
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Hmac::from_engine(engine).to_byte_array()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let key = |byte| DiskKey::of(&SecretKey::from_slice(&[byte; 32]).unwrap());
        let sealed = key(1).seal(&[2; 33], b"a revocation key");
        assert!(!sealed.windows(5).any(|part| part == b"revoc"));
        assert_eq!(key(1).open(&sealed).unwrap(), b"a revocation key");
        assert_eq!(sealed, key(1).seal(&[2; 33], b"a revocation key"));
        assert_eq!(key(3).open(&sealed), None);
        assert_eq!(key(1).open(&sealed[1..]), None);
    }
}
