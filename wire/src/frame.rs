//! Messages as encrypted frames, with key rotation. BOLT 8 § Lightning Message Specification.
//!
//! A frame is an encrypted 2-byte length with its tag, then the encrypted message with its tag. Everything happens in
//! the caller's buffers: no allocation a frame.
//!
//! Not here: sockets (daemon); refusing messages shorter than their 2-byte type (`message`).

#[cfg(test)]
mod tests;

use crate::noise::symmetric::{Key, TAG_LEN, hkdf, open, seal};
use std::fmt;

/// Bytes of the encrypted length that starts every frame.
pub const HEADER_LEN: usize = 18;
/// Bytes that a frame adds to its message.
pub const OVERHEAD: usize = 34;
/// Most bytes of a message, type included.
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// Uses of one key. BOLT 8 § Lightning Message Key Rotation.
const ROTATE_AT: u64 = 1_000;

/// Why a frame cannot be made or read; the connection is of no more use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameFault {
    /// The message has more than [`MESSAGE_LEN_MAX`] bytes. Nothing was written.
    #[error("message longer than 65535 bytes")]
    TooLong,
    /// The tag does not fit: the bytes were changed, lost or reordered.
    #[error("frame authentication failed")]
    Mac,
    /// The body does not have the length that its header announced, or came without one.
    #[error("frame body does not follow its header")]
    Order,
}

/// Our direction of a connection.
pub struct Encryptor {
    key: Rotating,
}

impl Encryptor {
    pub(crate) const fn new(key: Key, chaining: Key) -> Self {
        Self { key: Rotating { key, chaining, nonce: 0 } }
    }

    /// Appends the frame of `message` to `out`, which grows by `message.len() + OVERHEAD`.
    ///
    /// # Errors
    /// [`FrameFault::TooLong`]; `out` and the keys are then unchanged.
    pub fn encrypt_into(&mut self, out: &mut Vec<u8>, message: &[u8]) -> Result<(), FrameFault> {
        if message.len() > MESSAGE_LEN_MAX {
            return Err(FrameFault::TooLong);
        }
        out.reserve(message.len().saturating_add(OVERHEAD));
        self.encrypt_with(out, |out| out.extend_from_slice(message))
    }

    /// Appends the frame of whatever `write` appends, encrypted where it was written.
    ///
    /// # Errors
    /// [`FrameFault::TooLong`]; `out` is then as before and the keys are unchanged.
    pub fn encrypt_with(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), FrameFault> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        write(out);
        let frame = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut());
        let Some((header, message)) = frame else { return Err(FrameFault::Order) };
        let Ok(length) = u16::try_from(message.len()) else {
            out.truncate(start);
            return Err(FrameFault::TooLong);
        };
        *header = self.header(length);
        let tag = self.key.turn(|key, nonce| seal(key, nonce, &[], message));
        out.extend_from_slice(&tag);
        Ok(())
    }

    fn header(&mut self, length: u16) -> [u8; HEADER_LEN] {
        let mut length = length.to_be_bytes();
        let tag = self.key.turn(|key, nonce| seal(key, nonce, &[], &mut length));
        let mut header = [0; HEADER_LEN];
        for (to, from) in header.iter_mut().zip(length.iter().chain(&tag)) {
            *to = *from;
        }
        header
    }
}

/// The peer's direction of a connection.
pub struct Decryptor {
    key: Rotating,
    expect: Expect,
}

/// What may come next; a broken direction stays broken.
#[derive(Clone, Copy)]
enum Expect {
    Header,
    Body(u16),
    Nothing,
}

impl Decryptor {
    pub(crate) const fn new(key: Key, chaining: Key) -> Self {
        Self { key: Rotating { key, chaining, nonce: 0 }, expect: Expect::Header }
    }

    /// Reads a header: how many bytes the message has. Read that many plus 16 for [`Self::decrypt_body`].
    /// Lengths 0 and 1 are valid frames; no message fits them, so the message layer refuses them.
    ///
    /// # Errors
    /// [`FrameFault::Mac`] or [`FrameFault::Order`]: close the connection, every later call fails too.
    pub fn decrypt_length(&mut self, header: &[u8; HEADER_LEN]) -> Result<u16, FrameFault> {
        let Expect::Header = std::mem::replace(&mut self.expect, Expect::Nothing) else {
            return Err(FrameFault::Order);
        };
        let Some((length, tag)) = header.split_first_chunk::<2>() else {
            return Err(FrameFault::Order);
        };
        let Some(tag) = tag.first_chunk() else { return Err(FrameFault::Order) };
        let mut length = *length;
        self.key
            .turn(|key, nonce| open(key, nonce, &[], &mut length, tag))
            .map_err(|_| FrameFault::Mac)?;
        let length = u16::from_be_bytes(length);
        self.expect = Expect::Body(length);
        Ok(length)
    }

    /// Decrypts message and tag in place and returns the message (type and body).
    ///
    /// # Errors
    /// [`FrameFault::Mac`] or [`FrameFault::Order`]: close the connection, every later call fails too.
    pub fn decrypt_body<'a>(&mut self, body: &'a mut [u8]) -> Result<&'a [u8], FrameFault> {
        let Expect::Body(length) = std::mem::replace(&mut self.expect, Expect::Nothing) else {
            return Err(FrameFault::Order);
        };
        let Some((message, tag)) = body.split_last_chunk_mut::<TAG_LEN>() else {
            return Err(FrameFault::Order);
        };
        if message.len() != usize::from(length) {
            return Err(FrameFault::Order);
        }
        self.key
            .turn(|key, nonce| open(key, nonce, &[], message, tag))
            .map_err(|_| FrameFault::Mac)?;
        self.expect = Expect::Header;
        Ok(message)
    }
}

/// A key that replaces itself.
struct Rotating {
    key: Key,
    chaining: Key,
    nonce: u64,
}

impl Rotating {
    /// One use of the key.
    fn turn<T>(&mut self, once: impl FnOnce(&Key, u64) -> T) -> T {
        let done = once(&self.key, self.nonce);
        self.nonce = self.nonce.wrapping_add(1);
        // BOLT 8: "A key is to be rotated after a party encrypts or decrypts 1000 times with it"
        if self.nonce == ROTATE_AT {
            (self.chaining, self.key) = hkdf(&self.chaining, self.key.expose());
            self.nonce = 0;
        }
        done
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor").field("nonce", &self.key.nonce).finish_non_exhaustive()
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor").field("nonce", &self.key.nonce).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Rotating {
    fn expose(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key.expose().to_vec(), self.chaining.expose().to_vec())
    }
}

#[cfg(test)]
impl Encryptor {
    /// Key and chaining key, for the handshake's vectors.
    pub(crate) fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        self.key.expose()
    }
}

#[cfg(test)]
impl Decryptor {
    /// Key and chaining key, for the handshake's vectors.
    pub(crate) fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        self.key.expose()
    }
}
