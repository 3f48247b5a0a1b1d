//! A record on disk, version 1: 32 bytes of head, then the payload.
//!
//! ```text
//! crc32c u32 · length u32 · seq u64 · epoch u64 · synced u64 · payload      (little-endian)
//! ```
//!
//! The checksum covers the salt of the segment and everything behind itself. `synced` is the last
//! sequence number that was durable when this record was queued. It tells a torn tail from damage: if
//! a record cannot be read and one behind it says that it was durable, then the disk lost something
//! it had promised to keep.

use super::JournalError;
use crate::fields::Fields;

/// The bytes a record has in front of its payload.
pub const RECORD_HEADER_BYTES: usize = 32;
/// The longest payload of one record, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// A record as it was appended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Its position; the first record ever has 1.
    pub seq: u64,
    /// The epoch of the opening that appended it.
    pub epoch: u64,
    /// The bytes that were appended.
    pub payload: &'a [u8],
}

/// Where and when a record was queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) synced: u64,
}

/// Where a checksum starts from in a segment with that salt.
pub(super) fn seed(salt: u64) -> u32 {
    crc32c::crc32c(&salt.to_le_bytes())
}

/// Puts a record behind what is in `queue`, or changes nothing.
pub(super) fn encode(
    queue: &mut Vec<u8>,
    seed: u32,
    stamp: Stamp,
    payload: &[u8],
) -> Result<(), JournalError> {
    let length = match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= MAX_PAYLOAD_BYTES => length,
        Ok(_) | Err(_) => {
            return Err(JournalError::TooLarge { bytes: payload.len(), limit: MAX_PAYLOAD_BYTES });
        }
    };
    let start = queue.len();
    queue.reserve(RECORD_HEADER_BYTES.saturating_add(payload.len()));
    queue.extend_from_slice(&[0; 4]);
    queue.extend_from_slice(&length.to_le_bytes());
    queue.extend_from_slice(&stamp.seq.to_le_bytes());
    queue.extend_from_slice(&stamp.epoch.to_le_bytes());
    queue.extend_from_slice(&stamp.synced.to_le_bytes());
    queue.extend_from_slice(payload);
    let record = queue.get_mut(start..).unwrap_or_default();
    if let Some((crc, covered)) = record.split_first_chunk_mut::<4>() {
        *crc = crc32c::crc32c_append(seed, covered).to_le_bytes();
    }
    Ok(())
}

/// What stands in the head at the front of `bytes`, whether or not its checksum is right.
pub(super) fn stamp(bytes: &[u8]) -> Option<Stamp> {
    let mut fields = Fields::new(bytes.get(8..)?);
    Some(Stamp { seq: fields.u64()?, epoch: fields.u64()?, synced: fields.u64()? })
}

/// The record at the front of `bytes`, if there is one with its checksum.
pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<(Stamp, &[u8])> {
    let mut fields = Fields::new(bytes);
    let crc = fields.u32()?;
    let covered = fields.rest();
    let length = usize::try_from(fields.u32()?).ok()?;
    let stamp = Stamp { seq: fields.u64()?, epoch: fields.u64()?, synced: fields.u64()? };
    if length > MAX_PAYLOAD_BYTES {
        return None;
    }
    let payload = fields.slice(length)?;
    let covered = covered.get(..RECORD_HEADER_BYTES.checked_sub(4)?.checked_add(length)?)?;
    (crc32c::crc32c_append(seed, covered) == crc).then_some((stamp, payload))
}
