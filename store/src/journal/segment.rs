//! A segment on disk, version 1: 64 bytes of head, then records, then zeros.
//!
//! ```text
//! "VIADSEGM" · version u16 · 0 u16 · 0 u32 · ordinal u64 · first u64 · epoch u64 · salt u64 · 0 × 12 · crc32c u32
//! ```
//!
//! A segment belongs to one epoch: every opening begins a new one, and so never writes behind a tail
//! it did not write itself. Where a segment ends is said by the head of the next one.

use super::record;
use super::{Damage, JournalError, numbered};
use crate::disk::{ASIDE, Disk, DiskFile};
use crate::fields::Fields;

/// The bytes before the first record.
pub(super) const HEADER_BYTES: u64 = 64;
/// The newest version this program reads.
pub(super) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"VIADSEGM";
const PREFIX: &str = "segment-";
const CHECKED_BYTES: usize = 60;

/// What the head of a segment says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// Its place among all segments.
    pub(super) ordinal: u64,
    /// The sequence number of its first record.
    pub(super) first: u64,
    /// The epoch of all its records.
    pub(super) epoch: u64,
    /// What its checksums are salted with.
    pub(super) salt: u64,
}

impl Header {
    /// Where the checksums of its records start from.
    pub(super) fn seed(&self) -> u32 {
        record::seed(self.salt)
    }

    /// The head as it is on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(64);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 6]);
        for field in [self.ordinal, self.first, self.epoch, self.salt] {
            head.extend_from_slice(&field.to_le_bytes());
        }
        head.resize(CHECKED_BYTES, 0);
        let crc = crc32c::crc32c(&head);
        head.extend_from_slice(&crc.to_le_bytes());
        head
    }

    /// Reads the head of the segment with that ordinal.
    pub(super) fn decode(bytes: &[u8], ordinal: u64) -> Result<Self, JournalError> {
        let file = name(ordinal);
        let damaged = |damage| JournalError::corrupt(&file, 0, 0, damage);
        let (version, header) = parse(bytes).ok_or_else(|| damaged(Damage::Head))?;
        if version > VERSION {
            return Err(JournalError::Newer { file, version, known: VERSION });
        }
        if header.ordinal != ordinal || version == 0 || header.first == 0 {
            return Err(damaged(Damage::Name));
        }
        Ok(header)
    }
}

/// The version and the fields, if the checksum is right.
fn parse(bytes: &[u8]) -> Option<(u16, Header)> {
    let mut fields = Fields::new(bytes);
    let checked = fields.slice(CHECKED_BYTES)?;
    if crc32c::crc32c(checked) != fields.u32()? {
        return None;
    }
    let mut fields = Fields::new(checked);
    if fields.array()? != MAGIC {
        return None;
    }
    let version = fields.u16()?;
    fields.slice(6)?;
    let header = Header {
        ordinal: fields.u64()?,
        first: fields.u64()?,
        epoch: fields.u64()?,
        salt: fields.u64()?,
    };
    Some((version, header))
}

/// The file name of a segment.
pub(super) fn name(ordinal: u64) -> String {
    format!("{PREFIX}{ordinal:020}")
}

/// The ordinal in the file name of a segment.
pub(super) fn ordinal(name: &str) -> Option<u64> {
    numbered(name, PREFIX)
}

/// The heads of all segments, in order.
pub(super) fn heads<D: Disk>(disk: &D) -> Result<Vec<Header>, JournalError> {
    let names = disk.list().map_err(|e| JournalError::disk("list", "the journal directory", e))?;
    names.iter().filter_map(|name| ordinal(name)).map(|ordinal| head(disk, ordinal)).collect()
}

fn head<D: Disk>(disk: &D, ordinal: u64) -> Result<Header, JournalError> {
    let name = name(ordinal);
    let read = || {
        let mut head = [0; 64];
        let count = disk.open(&name)?.read_at(0, &mut head)?;
        Ok(head.get(..count).map(<[u8]>::to_vec).unwrap_or_default())
    };
    let bytes = read().map_err(|e| JournalError::disk("read", &name, e))?;
    Header::decode(&bytes, ordinal)
}

/// A segment that was just begun.
#[derive(Debug)]
pub(super) struct Begun<F> {
    pub(super) file: F,
    /// The end of the zeros in it.
    pub(super) ready: u64,
}

/// Makes a segment, durable under its name when this returns: whatever carries the name of a segment
/// has a whole head, so one that does not is damaged and never merely unfinished.
pub(super) fn begin<D: Disk>(
    disk: &D,
    header: Header,
    zeros: u64,
) -> Result<Begun<D::File>, JournalError> {
    let name = name(header.ordinal);
    let aside = format!("{name}{ASIDE}");
    let make = || {
        if disk.exists(&aside)? {
            disk.remove(&aside)?;
        }
        let mut file = disk.create(&aside)?;
        file.preallocate(0, zeros)?;
        file.write_at(0, &header.encode())?;
        file.sync_data()?;
        disk.rename(&aside, &name)?;
        disk.sync_dir()?;
        Ok(Begun { file, ready: zeros })
    };
    make().map_err(|e| JournalError::disk("begin", &name, e))
}
