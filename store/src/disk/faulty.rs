//! What fails, and when: the misfortunes that a [`super::MemoryDisk`] is told to have.

use std::io;

/// What a disk is asked to do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// `Disk::create`.
    Create,
    /// `Disk::open`.
    Open,
    /// `Disk::list` and `Disk::exists`.
    List,
    /// `Disk::rename`.
    Rename,
    /// `Disk::remove`.
    Remove,
    /// `Disk::sync_dir`.
    SyncDir,
    /// `DiskFile::read_at` and `DiskFile::size`.
    Read,
    /// `DiskFile::write_at`.
    Write,
    /// `DiskFile::preallocate`.
    Preallocate,
    /// `DiskFile::truncate`.
    Truncate,
    /// `DiskFile::sync_data`.
    SyncData,
}

/// How it fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// `EIO`; nothing was done. A failed `sync_data` forgets the unsynced writes but goes on showing
    /// them to readers, as Linux does.
    Io,
    /// `ENOSPC`; nothing was done.
    Full,
    /// `ENOSPC`, after half of the bytes were written.
    Half,
}

impl Failure {
    /// The error the operating system would give.
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("input/output error, as planned"),
            Self::Full | Self::Half => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// What will go wrong on a [`super::MemoryDisk`]. Nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    failures: Vec<(Operation, u64, Failure)>,
    killed_at: Option<u64>,
    killed_in: Option<(Operation, u64)>,
    capacity: Option<u64>,
}

impl Plan {
    /// The `nth` (from 1) operation of that kind from now on fails, once.
    #[must_use]
    pub fn fail(mut self, operation: Operation, nth: u64, failure: Failure) -> Self {
        self.failures.push((operation, nth, failure));
        self
    }

    /// The process dies in the `nth` (from 1) operation of any kind from now on: that one is done in
    /// part, and it and all later ones give an error.
    #[must_use]
    pub const fn kill_at(mut self, nth: u64) -> Self {
        self.killed_at = Some(nth);
        self
    }

    /// As [`Self::kill_at`], counting operations of one kind only.
    #[must_use]
    pub const fn kill_in(mut self, operation: Operation, nth: u64) -> Self {
        self.killed_in = Some((operation, nth));
        self
    }

    /// The disk holds this many bytes and no more.
    #[must_use]
    pub const fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// The number of bytes the disk holds.
    pub(super) const fn limit(&self) -> Option<u64> {
        self.capacity
    }

    /// Counts one operation and says how it fails, if it does.
    pub(super) fn meet(&mut self, operation: Operation) -> Option<Failure> {
        let mut met = None;
        self.failures.retain_mut(|(kind, left, failure)| {
            if *kind != operation {
                return true;
            }
            *left = left.saturating_sub(1);
            if *left == 0 && met.is_none() {
                met = Some(*failure);
                return false;
            }
            true
        });
        met
    }

    /// Counts one operation and says whether the process dies in it.
    pub(super) fn dies(&mut self, operation: Operation) -> bool {
        let any = self.killed_at.as_mut();
        let kind = self.killed_in.as_mut().filter(|(kind, _)| *kind == operation);
        let mut dies = false;
        for left in any.into_iter().chain(kind.map(|(_, left)| left)) {
            *left = left.saturating_sub(1);
            dies |= *left == 0;
        }
        dies
    }
}
