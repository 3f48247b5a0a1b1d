//! Everything that can be wrong with a journal.

use std::io;

use crate::disk::LockError;

/// Why a journal cannot be opened, read or written. Every one of them stops the node; none is a
/// reason to begin with an empty journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the journal open.
    #[error("the journal is in use by process {}; stop that one first", pid.map_or_else(|| "unknown".into(), |pid| pid.to_string()))]
    Locked {
        /// Its process id, if the lock file says so.
        pid: Option<u32>,
    },
    /// The disk failed. During `sync` this means: nothing queued may be taken for durable.
    #[error("cannot {doing} {file}: {source}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The file, by its name in the journal directory.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// An earlier error left it unknown what the disk holds.
    #[error("an earlier disk error left the journal unusable; the process must be restarted")]
    Poisoned,
    /// Somebody opened the journal after us; what we wrote since then does not count.
    #[error("epoch {epoch} of this process is over: another one has opened the journal since")]
    Fenced {
        /// Our epoch.
        epoch: u64,
    },
    /// A record or snapshot is longer than what may be read back.
    #[error("{bytes} bytes are more than the {limit} that fit")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A file is not what was written.
    #[error("{file} is damaged at byte {offset} (record {seq}): {damage}")]
    Corrupt {
        /// The file, by its name in the journal directory.
        file: String,
        /// Where.
        offset: u64,
        /// The record that should be there, or the last one of a snapshot.
        seq: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// Records are gone: the oldest segment or snapshot that is left begins behind them.
    #[error("records from {from} on are missing; the next that is left is {found:?}")]
    Missing {
        /// The first record that is missing.
        from: u64,
        /// The first record behind the hole, if there is any.
        found: Option<u64>,
    },
    /// Written by a newer version of this program.
    #[error("{file} has format version {version}; this program reads up to {known}")]
    Newer {
        /// The file.
        file: String,
        /// Its version.
        version: u16,
        /// The newest version that can be read.
        known: u16,
    },
    /// A snapshot was asked for that reaches beyond the closed segments.
    #[error("a snapshot up to {asked} was asked for, but only {sealed} is in closed segments")]
    Unsealed {
        /// The sequence number it would have reached.
        asked: u64,
        /// The last one in closed segments.
        sealed: u64,
    },
}

/// What is wrong with a damaged file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// The head of the file does not carry its checksum.
    #[error("its head does not match its checksum")]
    Head,
    /// The head belongs to a file of another name.
    #[error("its head belongs to another file")]
    Name,
    /// Not a record, although newer ones were made durable after it.
    #[error("the record does not match its checksum, and newer durable ones lie behind it")]
    Record,
    /// A snapshot whose content does not carry its checksum.
    #[error("the content does not match its checksum")]
    Content,
}

impl JournalError {
    pub(super) fn disk(doing: &'static str, file: &str, source: io::Error) -> Self {
        Self::Disk { doing, file: file.to_owned(), source }
    }

    pub(super) fn corrupt(file: &str, offset: u64, seq: u64, damage: Damage) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, seq, damage }
    }

    pub(super) fn lock(error: LockError) -> Self {
        match error {
            LockError::Held { pid } => Self::Locked { pid },
            LockError::Io(source) => Self::disk("lock", super::LOCK, source),
        }
    }
}
