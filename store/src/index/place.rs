//! Where the index lies: a lock, a note on how it was left, and the database of the newest generation.
//!
//! The engine's promises hold while the system runs, not across a power cut. So the note tells the two
//! apart: it names the boot of the system during which the index is open, and is taken away when the
//! index was closed with everything synced. A note of an earlier boot means that power failed while
//! the index was open, and then nothing in it is believed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Disk, LockError, RealDisk, RealLock, read_all};
use crate::engine::{Breakage, Engine, EngineError, SledEngine};

const LOCK: &str = "lock";
const NOTE: &str = "open-since-boot";
const GENERATION: &str = "generation-";
/// Where Linux says which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A directory with an index in it, locked.
#[derive(Debug)]
pub(super) struct Place {
    disk: RealDisk,
    _lock: RealLock,
    /// The newest database.
    generation: u64,
    /// Whether it may be believed.
    trusted: bool,
    boot: Vec<u8>,
}

impl Place {
    /// Takes the lock, finds the newest generation and removes those before the last two.
    pub(super) fn take(directory: &Path) -> Result<Self, EngineError> {
        let disk = RealDisk::open(directory)?;
        let lock = disk.lock(LOCK).map_err(|error| match error {
            LockError::Held { .. } => io::Error::new(io::ErrorKind::ResourceBusy, error),
            LockError::Io(source) => source,
        })?;
        let boot = fs::read(BOOT).unwrap_or_default();
        let trusted = !disk.exists(NOTE)? || (!boot.is_empty() && read_all(&disk, NOTE)? == boot);
        let generations = generations(directory)?;
        let generation = generations.last().copied().unwrap_or(1);
        let place = Self { disk, _lock: lock, generation, trusted, boot };
        for old in generations.iter().rev().skip(2) {
            fs::remove_dir_all(place.path(*old))?;
        }
        Ok(place)
    }

    /// Opens the newest generation, unless it cannot be believed.
    pub(super) fn open(&self) -> Result<Arc<dyn Engine>, EngineError> {
        if !self.trusted {
            return Err(EngineError::Broken(Breakage::PowerCut));
        }
        self.say_open()?;
        Ok(Arc::new(SledEngine::open(&self.path(self.generation))?))
    }

    /// Begins an empty generation. The one before stays where it is until the next opening.
    pub(super) fn begin_anew(&mut self) -> Result<Arc<dyn Engine>, EngineError> {
        let next = self.generation.saturating_add(1);
        self.generation = next;
        self.trusted = true;
        // The empty one first: a note about it must never vouch for the one before.
        let engine = SledEngine::open(&self.path(next))?;
        self.say_open()?;
        Ok(Arc::new(engine))
    }

    /// Takes the note away: everything is synced.
    pub(super) fn say_closed(&mut self) -> Result<(), EngineError> {
        self.disk.remove(NOTE)?;
        Ok(self.disk.sync_dir()?)
    }

    fn say_open(&self) -> Result<(), EngineError> {
        Ok(disk::put(&self.disk, NOTE, &[&self.boot])?)
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.disk.path().join(format!("{GENERATION}{generation:020}"))
    }
}

/// The generations in a directory, in order.
fn generations(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(GENERATION));
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}
