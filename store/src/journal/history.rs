//! Closed segments and snapshots, for a thread beside the one that writes.

use std::sync::Arc;

use super::segment::{self, Header};
use super::snapshot::{self, Snapshot};
use super::walk::Walk;
use super::{JournalError, Record};
use crate::disk::Disk;

/// So many snapshots are kept, with the records behind the oldest of them: if the newest turns out to
/// be damaged, the one before it still leads to the same state.
const SNAPSHOTS_KEPT: usize = 2;

/// The part of a journal that does not change any more.
///
/// Folding old records into a snapshot happens here, off the hot path: read the records of closed
/// segments, fold them into the state of the last snapshot, write the next one, retire.
#[derive(Clone, Debug)]
pub struct History<D: Disk> {
    disk: D,
    /// As long as this lives, no other process may open the journal.
    _lock: Arc<D::Lock>,
    epoch: u64,
    claim: String,
}

/// What [`History::retire`] took away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retired {
    /// Segments.
    pub segments: u64,
    /// Snapshots.
    pub snapshots: u64,
}

impl<D: Disk> History<D> {
    pub(super) const fn new(disk: D, lock: Arc<D::Lock>, epoch: u64, claim: String) -> Self {
        Self { disk, _lock: lock, epoch, claim }
    }

    /// The last record in closed segments, 0 if there is none.
    pub fn sealed(&self) -> Result<u64, JournalError> {
        let segments = segment::heads(&self.disk)?;
        Ok(segments.last().map_or(0, |header| header.first.saturating_sub(1)))
    }

    /// The newest snapshot, if there is one.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, JournalError> {
        let newest = snapshot::all(&self.disk)?.last().copied();
        newest.map(|seq| snapshot::read(&self.disk, seq)).transpose()
    }

    /// The records of closed segments behind `after`, as far as there are any now.
    pub fn read(&self, after: u64) -> Result<SealedReader<D>, JournalError> {
        let segments = segment::heads(&self.disk)?;
        Ok(SealedReader { walk: Walk::new(self.disk.clone(), segments, after, true)? })
    }

    /// Writes a snapshot that stands for every record up to `seq`, durable when this returns, and
    /// reads it back. Fails with `Unsealed` if `seq` is beyond the closed segments.
    pub fn write_snapshot(&self, seq: u64, payload: &[u8]) -> Result<(), JournalError> {
        let sealed = self.sealed()?;
        if seq > sealed {
            return Err(JournalError::Unsealed { asked: seq, sealed });
        }
        self.still_ours()?;
        snapshot::write(&self.disk, seq, self.epoch, payload)?;
        snapshot::read(&self.disk, seq).map(drop)
    }

    /// Takes away what the two newest snapshots make needless. With fewer than two, nothing.
    pub fn retire(&self) -> Result<Retired, JournalError> {
        self.still_ours()?;
        let snapshots = snapshot::all(&self.disk)?;
        let Some(first_kept) = snapshots.len().checked_sub(SNAPSHOTS_KEPT) else {
            return Ok(Retired::default());
        };
        let (old, kept) = snapshots.split_at_checked(first_kept).unwrap_or_default();
        let needed = kept.first().map_or(0, |seq| seq.saturating_add(1));
        let segments = segment::heads(&self.disk)?;
        // The oldest first, so that whatever a crash leaves is still without gaps.
        let mut retired = Retired::default();
        for header in before(&segments, needed) {
            self.remove(&segment::name(header.ordinal))?;
            retired.segments = retired.segments.saturating_add(1);
        }
        for seq in old {
            self.remove(&snapshot::name(*seq))?;
            retired.snapshots = retired.snapshots.saturating_add(1);
        }
        self.disk.sync_dir().map_err(|e| JournalError::disk("sync", "the journal directory", e))?;
        Ok(retired)
    }

    fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.disk.remove(name).map_err(|e| JournalError::disk("remove", name, e))
    }

    fn still_ours(&self) -> Result<(), JournalError> {
        match self.disk.exists(&self.claim) {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError::Fenced { epoch: self.epoch }),
            Err(source) => Err(JournalError::disk("look at", &self.claim, source)),
        }
    }
}

/// The segments that end before the record `needed`.
fn before(segments: &[Header], needed: u64) -> &[Header] {
    let first = segments.iter().rposition(|header| header.first <= needed).unwrap_or(0);
    segments.get(..first).unwrap_or_default()
}

/// The records of closed segments, in order.
#[derive(Debug)]
pub struct SealedReader<D> {
    walk: Walk<D>,
}

impl<D: Disk> SealedReader<D> {
    /// The next record, or `None` behind the last one of the segments that were closed when the
    /// reader was made.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        self.walk.next_record()
    }

    /// The last record read so far, or the one behind which reading began.
    pub const fn reached(&self) -> u64 {
        self.walk.reached()
    }
}
