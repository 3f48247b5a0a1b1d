//! A backup, sealed: what lies in the file, and what peers keep, byte for byte.
//!
//! ```text
//! the store's envelope: crc32c u32 · kind 0x4b42 · version 1 · length u32    (little-endian)
//! nonce 24 · box                                                XChaCha20-Poly1305
//! inside the box: length u32 (big-endian) · a backup · zeros
//! ```
//!
//! The checksum tells a damaged file from one that another seed sealed. The zeros hide how many channels
//! there are.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use store::envelope::{self, EnvelopeError, HEADER_BYTES};
use wire::codec::{Decode as _, Encode as _};

use super::content::Backup;
use crate::seed::Secret32;

const KIND: u16 = 0x4b42;
const VERSION: u16 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const LENGTH_LEN: usize = 4;

/// Bytes around what a backup says.
const AROUND: usize = HEADER_BYTES + NONCE_LEN + TAG_LEN + LENGTH_LEN;

/// Bound to every box, so that it is taken for nothing else.
const PURPOSE: &[u8] = b"viaduct channel backup 1";

/// What peers keep at most. BOLT 1: "MUST limit its `blob` to 65531 bytes."
pub const BLOB_LEN_MAX: usize = 65_531;

/// The two lengths a blob has. BOLT 1: "SHOULD pad the `blob` to ensure its length is always exactly 65531
/// bytes." But LDK keeps no more than 1,024 bytes, and a blob that is not kept helps nobody.
const LENGTHS: [usize; 2] = [1_024, BLOB_LEN_MAX];

/// The longest file that is read, in bytes: a hundred thousand channels.
pub const FILE_LEN_MAX: usize = 32 << 20;

/// Why bytes are no backup of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BackupFault {
    /// No backup at all, or damaged.
    #[error("it is no backup, or it is damaged: {0}")]
    Damaged(#[from] EnvelopeError),
    /// Made by a newer version.
    #[error("it has version {0}, newer than this program")]
    Newer(u16),
    /// Whole, but sealed under another key.
    #[error("it was made with another seed, or for another network")]
    WrongSeed,
    /// Opened, and yet not to be read.
    #[error("its content cannot be read")]
    Content,
    /// Of another node.
    #[error("it is of another node")]
    OtherNode,
    /// There is none.
    #[error("no connected peer has given one back")]
    Missing,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoEntropy,
}

/// Seals a backup, with all its channels.
///
/// # Errors
/// [`BackupFault::NoEntropy`]; [`BackupFault::Content`] for one of 4 GiB.
pub fn seal(key: &Secret32, backup: &Backup) -> Result<Vec<u8>, BackupFault> {
    let body = backup.encoded();
    let whole = body.len().saturating_add(AROUND);
    let padded = LENGTHS.into_iter().find(|length| whole <= *length);
    // A longer one is for the file alone: nobody else sees its length.
    let inside = padded.unwrap_or(whole).saturating_sub(AROUND);
    let mut plain = u32::try_from(body.len()).map_err(|_| BackupFault::Content)?.encoded();
    plain.extend_from_slice(&body);
    plain.resize(inside.saturating_add(LENGTH_LEN), 0);
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|_| BackupFault::NoEntropy)?;
    let sealed = cipher(key)
        .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: PURPOSE })
        .map_err(|_| BackupFault::Content)?;
    let payload = [nonce.as_slice(), &sealed].concat();
    envelope::seal(KIND, VERSION, &payload).ok_or(BackupFault::Content)
}

/// Seals what fits a blob: all channels, or those that hold most.
///
/// # Errors
/// [`BackupFault::NoEntropy`].
pub fn seal_blob(key: &Secret32, backup: &Backup) -> Result<Vec<u8>, BackupFault> {
    seal(key, &backup.fitting(BLOB_LEN_MAX.saturating_sub(AROUND)))
}

/// Opens a backup, wherever it comes from.
///
/// # Errors
/// [`BackupFault`].
pub fn open(key: &Secret32, bytes: &[u8]) -> Result<Backup, BackupFault> {
    let (version, payload) = envelope::open(bytes, KIND)?;
    if version > VERSION {
        return Err(BackupFault::Newer(version));
    }
    let (nonce, sealed) = payload.split_first_chunk::<NONCE_LEN>().ok_or(EnvelopeError::Length)?;
    let plain = cipher(key)
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: PURPOSE })
        .map_err(|_| BackupFault::WrongSeed)?;
    let content = || {
        let (length, rest) = plain.split_first_chunk::<LENGTH_LEN>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        Backup::decode_exact(rest.get(..length)?).ok()
    };
    content().ok_or(BackupFault::Content)
}

fn cipher(key: &Secret32) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.expose()))
}
