//! A snapshot on disk, version 1: 64 bytes of head, then the payload.
//!
//! ```text
//! "VIADSNAP" · version u16 · 0 × 6 · seq u64 · epoch u64 · length u64 · crc32c of the payload u32 · 0 × 16 · crc32c u32
//! ```
//!
//! It stands for every record up to `seq`. The file is named after it, and written aside first.

use super::{Damage, JournalError, numbered};
use crate::disk::{self, Disk, read_all};
use crate::fields::Fields;

/// The newest version this program reads.
const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"VIADSNAP";
const PREFIX: &str = "snapshot-";
const CHECKED_BYTES: usize = 60;

/// What stands for all records up to a point.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The last record it stands for.
    pub seq: u64,
    /// The epoch of the opening that wrote it.
    pub epoch: u64,
    /// The bytes that were given to [`super::History::write_snapshot`].
    pub payload: Vec<u8>,
}

/// The file name of a snapshot.
pub(super) fn name(seq: u64) -> String {
    format!("{PREFIX}{seq:020}")
}

/// The sequence numbers of all snapshots, in order.
pub(super) fn all<D: Disk>(disk: &D) -> Result<Vec<u64>, JournalError> {
    let names = disk.list().map_err(|e| JournalError::disk("list", "the journal directory", e))?;
    Ok(names.iter().filter_map(|name| numbered(name, PREFIX)).collect())
}

/// Writes a snapshot, durable when this returns.
pub(super) fn write<D: Disk>(
    disk: &D,
    seq: u64,
    epoch: u64,
    payload: &[u8],
) -> Result<(), JournalError> {
    let name = name(seq);
    let head = encode_head(seq, epoch, payload);
    disk::put(disk, &name, &[&head, payload]).map_err(|e| JournalError::disk("write", &name, e))
}

/// Reads the snapshot that reaches `seq`, whole or not at all.
pub(super) fn read<D: Disk>(disk: &D, seq: u64) -> Result<Snapshot, JournalError> {
    let file = name(seq);
    let mut bytes = read_all(disk, &file).map_err(|e| JournalError::disk("read", &file, e))?;
    let damaged = |damage| JournalError::corrupt(&file, 0, seq, damage);
    let (version, head) = parse(&bytes).ok_or_else(|| damaged(Damage::Head))?;
    if version > VERSION {
        return Err(JournalError::Newer { file, version, known: VERSION });
    }
    if head.seq != seq || version == 0 {
        return Err(damaged(Damage::Name));
    }
    let payload = bytes.split_off(64.min(bytes.len()));
    if u64::try_from(payload.len()) != Ok(head.length) || crc32c::crc32c(&payload) != head.crc {
        return Err(damaged(Damage::Content));
    }
    Ok(Snapshot { seq, epoch: head.epoch, payload })
}

struct Head {
    seq: u64,
    epoch: u64,
    length: u64,
    crc: u32,
}

fn encode_head(seq: u64, epoch: u64, payload: &[u8]) -> Vec<u8> {
    let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    let mut head = Vec::with_capacity(64);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&[0; 6]);
    for field in [seq, epoch, length] {
        head.extend_from_slice(&field.to_le_bytes());
    }
    head.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    head.resize(CHECKED_BYTES, 0);
    let crc = crc32c::crc32c(&head);
    head.extend_from_slice(&crc.to_le_bytes());
    head
}

/// The version and the fields, if the checksum is right.
fn parse(bytes: &[u8]) -> Option<(u16, Head)> {
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
    let (seq, epoch, length) = (fields.u64()?, fields.u64()?, fields.u64()?);
    Some((version, Head { seq, epoch, length, crc: fields.u32()? }))
}
