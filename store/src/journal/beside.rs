//! Reading a journal while somebody writes it, in the same process: everything that is durable, out of
//! the open segment as well.
//!
//! Not here: who may open it (`recovery`), closed segments for snapshots (`history`).

use super::snapshot::{self, Snapshot};
use super::walk::Walk;
use super::{JournalError, Record, segment};
use crate::disk::Disk;

/// The records of a running journal up to one that its writer called durable.
#[derive(Debug)]
pub struct Beside<D> {
    walk: Walk<D>,
    after: u64,
    upto: u64,
}

impl<D: Disk> Beside<D> {
    /// Starts before the first record behind `after`. `upto` must be durable already.
    ///
    /// Fails with `Missing` if records behind `after` are not kept any more.
    pub fn start(disk: D, after: u64, upto: u64) -> Result<Self, JournalError> {
        let segments = segment::heads(&disk)?;
        Ok(Self { walk: Walk::new(disk, segments, after, false)?, after, upto })
    }

    /// The next record; `None` behind the last that was durable.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        if self.walk.reached().max(self.after) >= self.upto {
            return Ok(None);
        }
        self.walk.next_record()
    }
}

/// The oldest snapshot that is kept: the records behind it are kept as well.
pub fn oldest_snapshot<D: Disk>(disk: &D) -> Result<Option<Snapshot>, JournalError> {
    let oldest = snapshot::all(disk)?.first().copied();
    oldest.map(|seq| snapshot::read(disk, seq)).transpose()
}
