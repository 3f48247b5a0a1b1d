//! A checkpoint, sealed: what a tower keeps, byte for byte.
//!
//! ```text
//! layout u8 (1) · nonce 24 · box                                XChaCha20-Poly1305
//! inside the box: length u32 (big-endian) · a checkpoint · zeros
//! ```
//!
//! Tower and version are bound to the box, so no tower can show it for another one's, or for newer than
//! it is. The zeros hide how many channels there are.

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use wire::codec::{Decode as _, Encode as _};
use wire::id::NodeId;

use super::Checkpoint;
use crate::seed::Secret32;

/// The only layout there is.
const LAYOUT: u8 = 1;
const NONCE_LEN: usize = 24;

/// Bytes around what a checkpoint says: layout, nonce, length, tag.
const AROUND: usize = 1 + NONCE_LEN + 4 + 16;

/// Boxes have lengths that are multiples of this.
const STEP: usize = 2_048;

/// What a tower keeps at most (`watchtower::ingest`): 60,000 bytes, down to a whole step.
pub(in crate::tower) const BYTES_MAX: usize = STEP * 29;

/// The most that a checkpoint itself may take.
pub(in crate::tower) const CONTENT_MAX: usize = BYTES_MAX - AROUND;

/// Bound to every box, so that it is taken for nothing else.
const PURPOSE: &[u8] = b"viaduct tower checkpoint";

/// Why bytes are no checkpoint of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::tower) enum CheckpointFault {
    /// Too long or too short for any.
    #[error("it has {0} bytes")]
    Length(usize),
    /// Made by a newer version.
    #[error("it has layout {0}, newer than this program")]
    Newer(u8),
    /// Sealed under another key, for another tower or version, or damaged.
    #[error("it is not what was given to this tower")]
    NotOurs,
    /// Opened, and yet not to be read.
    #[error("its content cannot be read")]
    Content,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoEntropy,
}

/// Seals a checkpoint for one tower.
///
/// # Errors
/// [`CheckpointFault::NoEntropy`]; [`CheckpointFault::Content`] if it does not fit.
pub(in crate::tower) fn seal(
    keys: &Secret32,
    tower: &NodeId,
    version: u64,
    checkpoint: &Checkpoint,
) -> Result<Vec<u8>, CheckpointFault> {
    let body = checkpoint.encoded();
    let whole = body.len().saturating_add(AROUND).div_ceil(STEP).saturating_mul(STEP);
    if whole > BYTES_MAX {
        return Err(CheckpointFault::Content);
    }
    let mut plain = u32::try_from(body.len()).map_err(|_| CheckpointFault::Content)?.encoded();
    plain.extend_from_slice(&body);
    plain.resize(whole.saturating_sub(AROUND).saturating_add(4), 0);
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|_| CheckpointFault::NoEntropy)?;
    let aad = bound(tower, version);
    let sealed = cipher(keys)
        .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &aad })
        .map_err(|_| CheckpointFault::Content)?;
    Ok([&[LAYOUT], nonce.as_slice(), &sealed].concat())
}

/// Opens what a tower gives back.
///
/// # Errors
/// [`CheckpointFault`].
pub(in crate::tower) fn open(
    keys: &Secret32,
    tower: &NodeId,
    version: u64,
    bytes: &[u8],
) -> Result<Checkpoint, CheckpointFault> {
    let length = CheckpointFault::Length(bytes.len());
    if bytes.len() > BYTES_MAX {
        return Err(length);
    }
    let (layout, rest) = bytes.split_first().ok_or(length)?;
    if *layout != LAYOUT {
        return Err(CheckpointFault::Newer(*layout));
    }
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(length)?;
    let aad = bound(tower, version);
    let plain = cipher(keys)
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
        .map_err(|_| CheckpointFault::NotOurs)?;
    let content = || {
        let (length, rest) = plain.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        Checkpoint::decode_exact(rest.get(..length)?).ok()
    };
    content().ok_or(CheckpointFault::Content)
}

fn bound(tower: &NodeId, version: u64) -> Vec<u8> {
    [PURPOSE, &tower.0, &version.to_be_bytes()].concat()
}

fn cipher(keys: &Secret32) -> XChaCha20Poly1305 {
    let mut engine = HmacEngine::<sha256::Hash>::new(keys.expose());
    engine.input(b"viaduct tower checkpoint box");
    let key = Hmac::from_engine(engine).to_byte_array();
    XChaCha20Poly1305::new(&Key::from(key))
}
