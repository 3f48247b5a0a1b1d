//! The envelope around every stored value: what it is, in which version, how long, and its checksum.
//!
//! ```text
//! crc32c u32 · kind u16 · version u16 · length u32 · payload      (little-endian)
//! ```
//!
//! The checksum covers everything behind itself, so that a value under the wrong key or of the wrong
//! kind is as visible as a flipped bit.

use crate::fields::Fields;

/// The bytes in front of the payload.
pub const HEADER_BYTES: usize = 12;

/// Why a value cannot be taken out of its envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// Shorter or longer than its head says.
    #[error("a stored value is not as long as it says")]
    Length,
    /// The checksum is wrong.
    #[error("a stored value does not match its checksum")]
    Checksum,
    /// A value of another kind.
    #[error("a stored value has kind {found} where kind {wanted} belongs")]
    Kind {
        /// The kind that was asked for.
        wanted: u16,
        /// The kind that is stored.
        found: u16,
    },
}

/// Puts a payload into an envelope. A payload of 4 GiB or more does not fit and gives `None`.
pub fn seal(kind: u16, version: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES.checked_add(payload.len())?);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    let (crc, covered) = bytes.split_first_chunk_mut::<4>()?;
    *crc = crc32c::crc32c(covered).to_le_bytes();
    Some(bytes)
}

/// Takes the payload of that kind out of its envelope, with the version it was written in.
pub fn open(bytes: &[u8], kind: u16) -> Result<(u16, &[u8]), EnvelopeError> {
    let (head, payload) = split(bytes).ok_or(EnvelopeError::Length)?;
    if u32::try_from(payload.len()) != Ok(head.length) {
        return Err(EnvelopeError::Length);
    }
    let covered = bytes.get(4..).unwrap_or_default();
    if crc32c::crc32c(covered) != head.crc {
        return Err(EnvelopeError::Checksum);
    }
    if head.kind != kind {
        return Err(EnvelopeError::Kind { wanted: kind, found: head.kind });
    }
    Ok((head.version, payload))
}

struct Head {
    crc: u32,
    kind: u16,
    version: u16,
    length: u32,
}

fn split(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let mut fields = Fields::new(bytes);
    let (crc, kind, version) = (fields.u32()?, fields.u16()?, fields.u16()?);
    let length = fields.u32()?;
    Some((Head { crc, kind, version, length }, fields.rest()))
}
