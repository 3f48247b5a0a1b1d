//! What a channel had in flight once: small records of fixed size, appended for good, read after a breach.
//!
//! ```text
//! head:   magic 8 · version u16 · record bytes u16 · zeros u32 · channel u64 · zeros u32 · crc32c u32
//! record: 24 bytes · crc32c u32 of channel, number and the 24 bytes        (little-endian)
//! ```
//!
//! One file a channel. How many records of it count is said elsewhere, in a snapshot that becomes valid
//! only after [`Archive::append`] has returned; what lies behind them was left by a crash, is never read,
//! and is written over. A record that is damaged or missing is counted and left out: the others are still
//! worth having, and each stands for itself.
//!
//! Not here: what the 24 bytes mean (`channel::past`), when records are appended (`daemon::keeper`).

use std::io;

use crate::disk::{Disk, DiskFile, RealDisk};

/// The bytes that a record carries.
pub const PAYLOAD_BYTES: usize = 24;
/// The bytes of a record in the file.
pub const RECORD_BYTES: usize = PAYLOAD_BYTES + 4;

const PREFIX: &str = "htlcs-";
const MAGIC: [u8; 8] = *b"VDCTHTLC";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 32;
/// So many records are read or written at once: 56 KiB.
const CHUNK: u64 = 2_048;

/// A record.
pub type Payload = [u8; PAYLOAD_BYTES];

/// What a reader had to leave out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gaps {
    /// Records whose checksum is wrong, or that the disk did not give.
    pub damaged: u64,
    /// Records behind the end of the file.
    pub missing: u64,
}

impl Gaps {
    /// Whether every record was there.
    pub const fn is_none(self) -> bool {
        self.damaged == 0 && self.missing == 0
    }
}

/// The archives of a node's channels: a directory with nothing else in it.
#[derive(Clone, Debug)]
pub struct Archive<D: Disk = RealDisk> {
    disk: D,
}

impl<D: Disk> Archive<D> {
    /// In this directory.
    pub const fn new(disk: D) -> Self {
        Self { disk }
    }

    /// Writes records of a channel from number `from` (0: the first) on, durable when it returns. What was
    /// there from that number on is replaced.
    ///
    /// Returns how many of the records before `from` the file lacks: 0 unless it was damaged.
    pub fn append(&self, channel: u64, from: u64, records: &[Payload]) -> io::Result<u64> {
        let name = name(channel);
        let is_new = !self.disk.exists(&name)?;
        let mut file = if is_new { self.disk.create(&name)? } else { self.disk.open(&name)? };
        let before = file.size()?;
        let mut head = [0; HEAD_BYTES];
        let read = file.read_at(0, &mut head)?;
        if read < HEAD_BYTES || parse(&head)? != Some(channel) {
            file.write_at(0, &encode_head(channel))?;
        }
        let mut number = from;
        for chunk in records.chunks(usize::try_from(CHUNK).unwrap_or(1)) {
            let at = number;
            let mut bytes = Vec::with_capacity(RECORD_BYTES.saturating_mul(chunk.len()));
            for payload in chunk {
                bytes.extend_from_slice(payload);
                bytes.extend_from_slice(&checksum(channel, number, payload).to_le_bytes());
                number = number.saturating_add(1);
            }
            file.write_at(offset(at), &bytes)?;
        }
        file.sync_data()?;
        // Also when the file was there already: a crash may have come before this line.
        if is_new || from == 0 {
            self.disk.sync_dir()?;
        }
        Ok(from.saturating_sub(held(before)))
    }

    /// The first `upto` records of a channel, in order.
    pub fn read(&self, channel: u64, upto: u64) -> io::Result<Reader<D>> {
        let name = name(channel);
        let file =
            if upto > 0 && self.disk.exists(&name)? { Some(self.disk.open(&name)?) } else { None };
        let mut head = [0; HEAD_BYTES];
        if let Some(file) = &file
            && file.read_at(0, &mut head)? == HEAD_BYTES
        {
            parse(&head)?;
        }
        let size = file.as_ref().map_or(Ok(0), DiskFile::size)?;
        let there = held(size).min(upto);
        let gaps = Gaps { damaged: 0, missing: upto.saturating_sub(there) };
        Ok(Reader { file, channel, next: 0, there, chunk: Vec::new(), taken: 0, gaps })
    }

    /// The channels that have an archive.
    pub fn channels(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list()?;
        Ok(names.iter().filter_map(|name| crate::journal::numbered(name, PREFIX)).collect())
    }

    /// Takes the archive of a channel away, for good. Fails with `NotFound` if there is none.
    pub fn remove(&self, channel: u64) -> io::Result<()> {
        self.disk.remove(&name(channel))?;
        self.disk.sync_dir()
    }
}

/// The records of one channel, as they come from the disk.
#[derive(Debug)]
pub struct Reader<D: Disk = RealDisk> {
    file: Option<D::File>,
    channel: u64,
    /// The number of the next record to be fetched.
    next: u64,
    /// How many there are to be fetched.
    there: u64,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were handed out.
    taken: usize,
    gaps: Gaps,
}

impl<D: Disk> Reader<D> {
    /// The next record that is whole.
    pub fn next_record(&mut self) -> Option<Payload> {
        loop {
            let record = self.chunk.get(self.taken..).and_then(<[u8]>::first_chunk::<RECORD_BYTES>);
            let Some(record) = record else {
                if !self.fetch() {
                    return None;
                }
                continue;
            };
            let number = self.fetched_until();
            self.taken = self.taken.saturating_add(RECORD_BYTES);
            let (payload, crc) = record.split_first_chunk::<PAYLOAD_BYTES>()?;
            if *crc == checksum(self.channel, number, payload).to_le_bytes() {
                return Some(*payload);
            }
            self.gaps.damaged = self.gaps.damaged.saturating_add(1);
        }
    }

    /// What was left out so far, and what is missing at the end.
    pub const fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// The number of the record at `taken`.
    fn fetched_until(&self) -> u64 {
        let left = self.chunk.len().saturating_sub(self.taken).div_euclid(RECORD_BYTES);
        self.next.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// Fetches more; whether there is any.
    fn fetch(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let count = CHUNK.min(self.there.saturating_sub(self.next));
        if count == 0 {
            return false;
        }
        let bytes = usize::try_from(count).unwrap_or(0).saturating_mul(RECORD_BYTES);
        self.chunk.clear();
        self.chunk.resize(bytes, 0);
        self.taken = 0;
        let read = file.read_at(offset(self.next), &mut self.chunk).unwrap_or(0);
        // What the disk does not give stays zeros, and zeros have a wrong checksum.
        if let Some(rest) = self.chunk.get_mut(read..) {
            rest.fill(0);
        }
        self.next = self.next.saturating_add(count);
        true
    }
}

fn name(channel: u64) -> String {
    format!("{PREFIX}{channel:020}")
}

/// Where a record lies.
fn offset(number: u64) -> u64 {
    let bytes = number.saturating_mul(u64::try_from(RECORD_BYTES).unwrap_or(u64::MAX));
    bytes.saturating_add(u64::try_from(HEAD_BYTES).unwrap_or(0))
}

/// How many records a file of this size holds.
fn held(size: u64) -> u64 {
    let records = size.saturating_sub(u64::try_from(HEAD_BYTES).unwrap_or(0));
    records.div_euclid(u64::try_from(RECORD_BYTES).unwrap_or(u64::MAX))
}

/// Never the checksum of zeros, so that a hole in the file is no record.
fn checksum(channel: u64, number: u64, payload: &Payload) -> u32 {
    let mut crc = crc32c::crc32c(&MAGIC);
    crc = crc32c::crc32c_append(crc, &channel.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    crc32c::crc32c_append(crc, payload).max(1)
}

fn encode_head(channel: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&u16::try_from(RECORD_BYTES).unwrap_or(u16::MAX).to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&channel.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    let crc = crc32c::crc32c(&head);
    head.extend_from_slice(&crc.to_le_bytes());
    head
}

/// The channel in a head that is whole; an error only if a newer version wrote it.
fn parse(head: &[u8; HEAD_BYTES]) -> io::Result<Option<u64>> {
    let mut fields = crate::fields::Fields::new(head);
    let Some(checked) = fields.slice(HEAD_BYTES - 4) else { return Ok(None) };
    if fields.u32() != Some(crc32c::crc32c(checked)) {
        return Ok(None);
    }
    let mut fields = crate::fields::Fields::new(checked);
    if fields.array() != Some(MAGIC) {
        return Ok(None);
    }
    match fields.u16() {
        Some(VERSION) => {}
        newer => {
            let what = format!("the archive has version {newer:?}, newer than this program");
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
    }
    fields.slice(6);
    Ok(fields.u64())
}

#[cfg(test)]
mod tests;
