//! One ordered log of records: what was synced is there at every later opening, in order and without
//! gaps, or the opening fails and says what is wrong.
//!
//! A journal is a directory: segments with the records, snapshots that stand for all records up to a
//! point, the claim of the epoch that may write, and a lock file. Opening it goes in three steps:
//!
//! ```
//! # use store::{disk::{Entries, MemoryDisk}, journal::{Options, Recovery}};
//! # let disk = MemoryDisk::new(Entries::Ext4);
//! let mut recovery = Recovery::start(disk, Options::new(7))?;
//! if let Some(snapshot) = recovery.take_snapshot() { /* begin with its payload */ }
//! while let Some(record) = recovery.next_record()? { /* fold its payload */ }
//! let (mut journal, report) = recovery.finish()?;
//!
//! let first = journal.append(b"channel opened")?;
//! let second = journal.append(b"payment settled")?;
//! assert_eq!(journal.sync()?, second); // one write and one sync for both
//! # assert_eq!((first, second), (1, 2));
//! # Ok::<(), store::journal::JournalError>(())
//! ```
//!
//! Not here: what a payload means, and the thread that owns the journal (`daemon::journal`).

mod beside;
mod error;
mod history;
mod record;
mod recovery;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, RealDisk};

pub use beside::{Beside, oldest_snapshot};
pub use error::{Damage, JournalError};
pub use history::{History, Retired, SealedReader};
pub use record::{MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, Record};
pub use recovery::{Recovered, Recovery};
pub use snapshot::Snapshot;
pub use walk::Torn;

use record::Stamp;
use segment::Header;

/// The lock file of a journal directory.
const LOCK: &str = "lock";
/// The names of epoch claims: this and the epoch, in 20 digits.
const CLAIM: &str = "epoch-";
/// The disk is filled with zeros ahead of the records by this much at a time: a sync then changes data
/// only. More at a time is no faster and makes some group wait longer.
const AHEAD_BYTES: u64 = 256 << 10;

/// How a journal lays out its files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// A segment is closed before it gets longer than this, in bytes, unless one group alone is
    /// longer. 64 MiB by default.
    pub segment_bytes: u64,
    /// A random number, new at each opening. It goes into every checksum, so that nobody who can put
    /// bytes into a payload can make them look like a record.
    pub salt: u64,
}

impl Options {
    /// Segments of 64 MiB and this random number.
    pub const fn new(salt: u64) -> Self {
        Self { segment_bytes: 64 << 20, salt }
    }
}

/// What a journal did since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Records made durable.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Bytes written for them, with their headers.
    pub written_bytes: u64,
    /// Zeros written ahead of them.
    pub ahead_bytes: u64,
    /// Groups made durable, one fdatasync each.
    pub syncs: u64,
    /// Segments begun, the first one included.
    pub segments: u64,
}

/// A journal open for writing. One thread owns it.
#[derive(Debug)]
pub struct Journal<D: Disk = RealDisk> {
    disk: D,
    lock: Arc<D::Lock>,
    options: Options,
    claim: String,
    header: Header,
    file: D::File,
    /// Where the next group goes.
    offset: u64,
    /// The end of the zeros written ahead.
    ready: u64,
    /// Records that wait for the next sync.
    queue: Vec<u8>,
    queued_payload: u64,
    /// The sequence number of the next record.
    next: u64,
    /// The last sequence number that is durable.
    durable: u64,
    poisoned: bool,
    stats: Stats,
}

impl<D: Disk> Journal<D> {
    /// Queues a record and returns its sequence number (the first record ever has 1). It is not
    /// durable before [`Self::sync`] returned.
    ///
    /// Fails with `TooLarge` above [`MAX_PAYLOAD_BYTES`], which changes nothing, and with `Poisoned`.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        let seq = self.next;
        let stamp = Stamp { seq, epoch: self.header.epoch, synced: self.durable };
        record::encode(&mut self.queue, self.header.seed(), stamp, payload)?;
        self.queued_payload =
            self.queued_payload.saturating_add(u64::try_from(payload.len()).unwrap_or(u64::MAX));
        self.next = seq.saturating_add(1);
        Ok(seq)
    }

    /// Makes every queued record durable with one write and one fdatasync, and returns the last
    /// sequence number that is. Without queued records it does nothing.
    ///
    /// After any error the journal is poisoned: what the disk holds of the group is unknown until the
    /// journal is opened again, so nothing that waits for it may happen.
    pub fn sync(&mut self) -> Result<u64, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        if !self.queue.is_empty() {
            self.poisoned = true;
            self.write_group()?;
            self.poisoned = false;
        }
        Ok(self.durable)
    }

    /// Makes every queued record durable and begins a new segment, so that everything up to now can
    /// go into a snapshot. Returns the last sequence number of the closed segments.
    ///
    /// Also for a clean stop: in a closed segment no damage can pass for a tail that was torn by a
    /// power cut, in the one that is open damage to the very last group can.
    pub fn rotate(&mut self) -> Result<u64, JournalError> {
        self.sync()?;
        if self.header.first < self.next {
            self.poisoned = true;
            self.begin_segment(self.next)?;
            self.poisoned = false;
        }
        Ok(self.durable)
    }

    /// The last sequence number given out, 0 if there never was one.
    pub const fn appended(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The last sequence number that is durable, 0 if there never was one.
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// The bytes that wait for the next sync.
    pub const fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// The epoch of this opening: larger than that of every earlier one.
    pub const fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// What was done since opening.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// The closed segments and the snapshots, for a thread that folds the one into the other.
    pub fn history(&self) -> History<D> {
        History::new(
            self.disk.clone(),
            Arc::clone(&self.lock),
            self.header.epoch,
            self.claim.clone(),
        )
    }

    /// One group: the only writes of the hot path.
    fn write_group(&mut self) -> Result<(), JournalError> {
        let bytes = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        if self.offset.saturating_add(bytes) > self.options.segment_bytes
            && self.offset > segment::HEADER_BYTES
        {
            // Everything durable stays in this segment, the group opens the next one.
            self.begin_segment(self.durable.saturating_add(1))?;
        }
        let end = self.offset.saturating_add(bytes);
        if end > self.ready && bytes >= AHEAD_BYTES {
            // Growing the file costs such a group less than writing as many zeros first.
            self.ready = end;
        } else if end > self.ready {
            let more = ahead(end.saturating_sub(self.ready), &self.options);
            self.file.preallocate(self.ready, more).map_err(|e| self.failed("grow", e))?;
            self.ready = self.ready.saturating_add(more);
            self.stats.ahead_bytes = self.stats.ahead_bytes.saturating_add(more);
        }
        self.file.write_at(self.offset, &self.queue).map_err(|e| self.failed("write", e))?;
        self.file.sync_data().map_err(|e| self.failed("sync", e))?;
        self.still_ours()?;
        self.offset = end;
        let records = self.appended().saturating_sub(self.durable);
        self.durable = self.appended();
        self.stats.records = self.stats.records.saturating_add(records);
        self.stats.payload_bytes = self.stats.payload_bytes.saturating_add(self.queued_payload);
        self.stats.written_bytes = self.stats.written_bytes.saturating_add(bytes);
        self.stats.syncs = self.stats.syncs.saturating_add(1);
        self.queue.clear();
        self.queued_payload = 0;
        Ok(())
    }

    /// Begins the segment whose first record is `first`.
    fn begin_segment(&mut self, first: u64) -> Result<(), JournalError> {
        self.still_ours()?;
        let header =
            Header { ordinal: self.header.ordinal.saturating_add(1), first, ..self.header };
        let begun = segment::begin(&self.disk, header, ahead(0, &self.options))?;
        self.header = header;
        self.file = begun.file;
        self.offset = segment::HEADER_BYTES;
        self.ready = begun.ready;
        self.stats.segments = self.stats.segments.saturating_add(1);
        self.stats.ahead_bytes = self.stats.ahead_bytes.saturating_add(begun.ready);
        Ok(())
    }

    /// Whoever opens the journal removes our claim before reading it. So if it is still there after
    /// our sync, the reader comes later and sees what we wrote.
    fn still_ours(&self) -> Result<(), JournalError> {
        match self.disk.exists(&self.claim) {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError::Fenced { epoch: self.header.epoch }),
            Err(source) => Err(JournalError::disk("look at", &self.claim, source)),
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::disk(doing, &segment::name(self.header.ordinal), source)
    }
}

/// How many zeros to write when at least `needed` are.
fn ahead(needed: u64, options: &Options) -> u64 {
    let step = AHEAD_BYTES.min(options.segment_bytes).max(segment::HEADER_BYTES);
    needed.max(1).div_ceil(step).saturating_mul(step)
}

/// The number behind `prefix` in a file name of ours.
pub(crate) fn numbered(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    if digits.len() != 20 { None } else { digits.parse().ok() }
}
