//! Opening a journal: snapshot, records behind it, and only then the right to write.

use std::sync::Arc;

use super::segment::{self, Header};
use super::snapshot::{self, Snapshot};
use super::walk::{Torn, Walk};
use super::{CLAIM, Journal, JournalError, LOCK, Options, Record, Stats, ahead, numbered};
use crate::disk::{ASIDE, Disk, DiskFile};

/// What opening a journal found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovered {
    /// The record up to which a snapshot was used.
    pub snapshot: Option<u64>,
    /// How many records were behind it.
    pub records: u64,
    /// The last record, 0 in a journal that never had one.
    pub last: u64,
    /// The epoch that begins now.
    pub epoch: u64,
    /// The newest epoch before it of which the directory knows, 0 if there is none.
    pub before: u64,
    /// A tail that was left out because it never became durable.
    pub torn: Option<Torn>,
    /// Newer snapshots that were damaged, by the record they reached. Older files replaced them.
    pub damaged_snapshots: Vec<u64>,
}

/// A journal that is being read, locked but not yet open for writing.
#[derive(Debug)]
pub struct Recovery<D: Disk> {
    disk: D,
    lock: D::Lock,
    options: Options,
    epoch: u64,
    claim: String,
    snapshot: Option<Snapshot>,
    /// `None` in a journal without any record.
    walk: Option<Walk<D>>,
    /// The last segment, whose place the first one of this opening follows.
    last: Option<Header>,
    report: Recovered,
}

impl<D: Disk> Recovery<D> {
    /// Takes the lock and the next epoch, which ends that of every other process, and looks for the
    /// newest snapshot and the records behind it.
    pub fn start(disk: D, options: Options) -> Result<Self, JournalError> {
        Self::start_above(disk, options, 0)
    }

    /// As [`Self::start`], with an epoch above `floor` at least: for whoever knows of a later opening than
    /// the directory does.
    pub fn start_above(disk: D, options: Options, floor: u64) -> Result<Self, JournalError> {
        let lock = disk.lock(LOCK).map_err(JournalError::lock)?;
        let (before, epoch, claim) = claim_epoch(&disk, floor)?;
        remove_unfinished(&disk)?;
        let segments = segment::heads(&disk)?;
        if segments.iter().any(|header| header.epoch >= epoch) {
            return Err(JournalError::Fenced { epoch });
        }
        let last = segments.last().copied();
        let mut report = Recovered { epoch, before, ..Recovered::default() };
        let snapshot = newest_snapshot(&disk, &mut report.damaged_snapshots)?;
        report.snapshot = snapshot.as_ref().map(|snapshot| snapshot.seq);
        let after = report.snapshot.unwrap_or(0);
        // Only a journal in which nothing was ever written is empty.
        let used = snapshot.is_some() || !report.damaged_snapshots.is_empty() || last.is_some();
        let walk = if used { Some(Walk::new(disk.clone(), segments, after, false)?) } else { None };
        Ok(Self { disk, lock, options, epoch, claim, snapshot, walk, last, report })
    }

    /// The snapshot to begin with, once.
    pub const fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.snapshot.take()
    }

    /// The next record behind the snapshot, or `None` behind the last.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        let record = walk.next_record()?;
        if record.is_some() {
            self.report.records = self.report.records.saturating_add(1);
        }
        Ok(record)
    }

    /// Opens the journal for writing, after reading what is left. From then on every record that was
    /// handed out is durable, also one whose sync had not returned before the crash.
    pub fn finish(mut self) -> Result<(Journal<D>, Recovered), JournalError> {
        while self.next_record()?.is_some() {}
        self.report.torn = self.walk.as_mut().and_then(Walk::torn);
        self.report.last = self.walk.as_ref().map_or(0, Walk::reached);
        let reached = self.report.snapshot.unwrap_or(0);
        if self.report.last < reached {
            let from = self.report.last.saturating_add(1);
            return Err(JournalError::Missing { from, found: None });
        }
        self.settle_last_group()?;
        let journal = self.open()?;
        Ok(journal)
    }

    /// Writes the last group again and syncs it. It was read from the cache of the operating system;
    /// if its own sync failed, the cache takes it for clean and a mere sync would do nothing.
    fn settle_last_group(&self) -> Result<(), JournalError> {
        let Some(group) = self.walk.as_ref().and_then(Walk::last_group) else { return Ok(()) };
        let name = segment::name(group.ordinal);
        let settle = || {
            let mut file = self.disk.open(&name)?;
            file.write_at(group.offset, group.bytes)?;
            file.sync_data()
        };
        settle().map_err(|e| JournalError::disk("sync", &name, e))
    }

    /// Begins the first segment of this epoch, and takes away the last one if it stayed empty.
    fn open(self) -> Result<(Journal<D>, Recovered), JournalError> {
        let last = self.report.last;
        let header = Header {
            ordinal: self.last.map_or(0, |header| header.ordinal).saturating_add(1),
            first: last.saturating_add(1),
            epoch: self.epoch,
            salt: self.options.salt,
        };
        let begun = segment::begin(&self.disk, header, ahead(0, &self.options))?;
        if let Some(old) = self.last.filter(|old| old.first == header.first) {
            let name = segment::name(old.ordinal);
            self.disk.remove(&name).map_err(|e| JournalError::disk("remove", &name, e))?;
        }
        let journal = Journal {
            disk: self.disk,
            lock: Arc::new(self.lock),
            options: self.options,
            claim: self.claim,
            header,
            file: begun.file,
            offset: segment::HEADER_BYTES,
            ready: begun.ready,
            queue: Vec::new(),
            queued_payload: 0,
            next: header.first,
            durable: last,
            poisoned: false,
            stats: Stats { segments: 1, ahead_bytes: begun.ready, ..Stats::default() },
        };
        Ok((journal, self.report))
    }
}

/// Puts our claim in place of all others before anything is read: a process that still writes either
/// did so before, and we read it, or finds its claim gone and acknowledges nothing. An epoch whose
/// claim a power cut takes back has written nothing, so it may be given again.
fn claim_epoch<D: Disk>(disk: &D, floor: u64) -> Result<(u64, u64, String), JournalError> {
    let names = disk.list().map_err(|e| JournalError::disk("list", "the journal directory", e))?;
    let claims = names.iter().filter_map(|name| numbered(name, CLAIM)).max().unwrap_or(0);
    let written = segment::heads(disk)?.iter().map(|header| header.epoch).max().unwrap_or(0);
    let before = claims.max(written);
    let epoch = before.max(floor).saturating_add(1);
    let claim = format!("{CLAIM}{epoch:020}");
    let stake = || {
        disk.create(&claim)?;
        for name in names.iter().filter(|name| numbered(name, CLAIM).is_some()) {
            disk.remove(name)?;
        }
        disk.sync_dir()
    };
    stake().map_err(|e| JournalError::disk("claim", &claim, e))?;
    Ok((before, epoch, claim))
}

/// Files that a crash left unfinished were never part of the journal.
fn remove_unfinished<D: Disk>(disk: &D) -> Result<(), JournalError> {
    let names = disk.list().map_err(|e| JournalError::disk("list", "the journal directory", e))?;
    for name in names.iter().filter(|name| name.ends_with(ASIDE)) {
        disk.remove(name).map_err(|e| JournalError::disk("remove", name, e))?;
    }
    Ok(())
}

/// The newest snapshot that is whole. A damaged one is no reason to stop as long as an older one and
/// the records behind it are there, which the walk finds out.
fn newest_snapshot<D: Disk>(
    disk: &D,
    damaged: &mut Vec<u64>,
) -> Result<Option<Snapshot>, JournalError> {
    for seq in snapshot::all(disk)?.into_iter().rev() {
        match snapshot::read(disk, seq) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(JournalError::Corrupt { .. }) => damaged.push(seq),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
