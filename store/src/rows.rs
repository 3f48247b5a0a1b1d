//! Rows of any size, a file a channel, appended for good: what a channel's revoked states were.
//!
//! ```text
//! row: length u32 · crc32c u32 of channel, number and bytes · bytes        (little-endian)
//! ```
//!
//! How many rows of a file count, and in how many bytes, is said elsewhere, as with [`crate::archive`];
//! what lies behind them is written over. A reader stops at a row that is damaged and says so.
//!
//! Not here: what a row says (`channel::revoked`), when rows are appended (`daemon::keeper`).

use std::io;

use crate::disk::{Disk, DiskFile, RealDisk};

const PREFIX: &str = "states-";
const HEAD_BYTES: usize = 8;
/// So much is read at once.
const CHUNK: usize = 64 << 10;
/// No row is longer: a channel shows at most 966 HTLCs.
const ROW_MAX: usize = 1 << 20;

/// The rows of a node's channels: a directory that others may share, with files of their own names.
#[derive(Clone, Debug)]
pub struct Rows<D: Disk = RealDisk> {
    disk: D,
}

impl<D: Disk> Rows<D> {
    /// In this directory.
    pub const fn new(disk: D) -> Self {
        Self { disk }
    }

    /// Writes rows of a channel behind its first `rows` rows, which take `bytes` bytes; durable when it
    /// returns. What was there from that place on is replaced. Returns how many bytes there are now.
    pub fn append<'a>(
        &self,
        channel: u64,
        (rows, bytes): (u64, u64),
        new: impl Iterator<Item = &'a Vec<u8>>,
    ) -> io::Result<u64> {
        let name = name(channel);
        let is_new = !self.disk.exists(&name)?;
        let mut file = if is_new { self.disk.create(&name)? } else { self.disk.open(&name)? };
        let (mut at, mut buffer) = (bytes, Vec::with_capacity(CHUNK));
        for (number, row) in (rows..).zip(new) {
            let length = u32::try_from(row.len()).unwrap_or(u32::MAX);
            buffer.extend_from_slice(&length.to_le_bytes());
            buffer.extend_from_slice(&checksum(channel, number, row).to_le_bytes());
            buffer.extend_from_slice(row);
            if buffer.len() >= CHUNK {
                file.write_at(at, &buffer)?;
                at = at.saturating_add(u64::try_from(buffer.len()).unwrap_or(0));
                buffer.clear();
            }
        }
        file.write_at(at, &buffer)?;
        at = at.saturating_add(u64::try_from(buffer.len()).unwrap_or(0));
        file.sync_data()?;
        if is_new || rows == 0 {
            self.disk.sync_dir()?;
        }
        Ok(at)
    }

    /// A reader of the first `rows` rows of a channel, which take `bytes` bytes.
    pub fn read(&self, channel: u64, (rows, bytes): (u64, u64)) -> io::Result<RowsReader<D>> {
        let name = name(channel);
        let file =
            if rows > 0 && self.disk.exists(&name)? { Some(self.disk.open(&name)?) } else { None };
        Ok(RowsReader { file, channel, next: 0, rows, at: 0, bytes, chunk: Vec::new(), taken: 0 })
    }

    /// The channels that have rows.
    pub fn channels(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list()?;
        Ok(names.iter().filter_map(|name| crate::journal::numbered(name, PREFIX)).collect())
    }

    /// Takes the rows of a channel away, for good. Fails with `NotFound` if there are none.
    pub fn remove(&self, channel: u64) -> io::Result<()> {
        self.disk.remove(&name(channel))?;
        self.disk.sync_dir()
    }
}

/// The rows of one channel, as they come from the disk.
#[derive(Debug)]
pub struct RowsReader<D: Disk = RealDisk> {
    file: Option<D::File>,
    channel: u64,
    /// The number of the next row.
    next: u64,
    rows: u64,
    /// Where the bytes behind the chunk lie.
    at: u64,
    bytes: u64,
    chunk: Vec<u8>,
    taken: usize,
}

impl<D: Disk> RowsReader<D> {
    /// The number of the next row.
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// The next row; `None` behind the last one, or where the file is damaged: then
    /// [`Self::next_number`] is less than there are.
    pub fn next_row(&mut self) -> Option<Vec<u8>> {
        if self.next >= self.rows {
            return None;
        }
        let head: [u8; HEAD_BYTES] = self.take(HEAD_BYTES)?.try_into().ok()?;
        let [a, b, c, d, crc @ ..] = head;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        if length > ROW_MAX {
            return None;
        }
        let row = self.take(length)?;
        if u32::from_le_bytes(crc) != checksum(self.channel, self.next, &row) {
            return None;
        }
        self.next = self.next.saturating_add(1);
        Some(row)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            if self.taken >= self.chunk.len() {
                self.fetch()?;
            }
            let left = self.chunk.get(self.taken..)?;
            let part = left.get(..left.len().min(length.saturating_sub(out.len())))?;
            out.extend_from_slice(part);
            self.taken = self.taken.saturating_add(part.len());
        }
        Some(out)
    }

    /// Fetches more; `None` if there is none.
    fn fetch(&mut self) -> Option<()> {
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        self.chunk.clear();
        self.chunk.resize(left.min(CHUNK), 0);
        self.taken = 0;
        let read = self.file.as_ref()?.read_at(self.at, &mut self.chunk).ok()?;
        self.chunk.truncate(read);
        self.at = self.at.saturating_add(u64::try_from(read).ok()?);
        (read > 0).then_some(())
    }
}

fn name(channel: u64) -> String {
    format!("{PREFIX}{channel:020}")
}

fn checksum(channel: u64, number: u64, row: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&channel.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
    crc32c::crc32c_append(crc, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> Vec<u8> {
        vec![7; usize::try_from(number * 37 % 3_000).unwrap()]
    }

    #[test]
    fn rows_are_read_back_and_what_a_crash_left_behind_them_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::new(RealDisk::open(dir.path()).unwrap());
        let first: Vec<_> = (0..500).map(row).collect();
        let bytes = rows.append(3, (0, 0), first.iter()).unwrap();
        let lost: Vec<_> = (0..9).map(|_| vec![1; 100]).collect();
        rows.append(3, (500, bytes), lost.iter()).unwrap();
        let more: Vec<_> = (500..900).map(row).collect();
        let end = rows.append(3, (500, bytes), more.iter()).unwrap();
        let mut reader = rows.read(3, (900, end)).unwrap();
        for number in 0..900 {
            assert_eq!((reader.next_number(), reader.next_row()), (number, Some(row(number))));
        }
        assert_eq!(reader.next_row(), None);
        assert_eq!(rows.channels().unwrap(), [3]);
        rows.remove(3).unwrap();
        assert_eq!(rows.read(3, (900, end)).unwrap().next_row(), None, "gone");
    }

    #[test]
    fn a_damaged_row_ends_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::new(RealDisk::open(dir.path()).unwrap());
        let all: Vec<_> = (0..20).map(row).collect();
        let end = rows.append(3, (0, 0), all.iter()).unwrap();
        let path = dir.path().join(name(3));
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut reader = rows.read(3, (20, end)).unwrap();
        while reader.next_row().is_some() {}
        assert_eq!(reader.next_number(), 19);
    }
}
