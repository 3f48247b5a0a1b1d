//! The engine in production. The only file that names sled.
//!
//! sled 0.34 does not keep all it promises: `flush` is not durable, a kill during its opening can leave
//! a half-written `snap.*.generating` that every later opening takes for a snapshot, and nodes of
//! more than a quarter of a segment go into files that are never synced. As the index is never the
//! truth, it is enough to prevent what can be prevented and to notice the rest: remove what is half
//! written, keep values small, sync what sled leaves unsynced, and take every error and every panic
//! for broken.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::empty;
use super::{Batch, Breakage, Engine, EngineError, Order, Pair};
use crate::disk::RealDisk;

/// A node of the tree that is longer than a quarter of this goes into a file of its own. A leaf has at
/// most some twenty values, so with [`super::MAX_VALUE_BYTES`] none is.
const SEGMENT_BYTES: usize = 2 << 20;
/// What the engine may keep in memory, in bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// It writes to disk by itself this often.
const FLUSH_EVERY_MS: u64 = 1_000;

/// A sled database.
#[derive(Debug)]
pub struct SledEngine {
    /// `None` once it broke: then it is never touched again, not even to be closed.
    database: Option<::sled::Db>,
    directory: PathBuf,
    broken: AtomicBool,
}

impl SledEngine {
    /// Opens or makes a database in a directory of its own.
    pub fn open(directory: &Path) -> Result<Self, EngineError> {
        RealDisk::open(directory)?;
        remove_half_written(directory)?;
        let config = ::sled::Config::new()
            .path(directory)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let database = guarded(|| config.open())?;
        let directory = directory.to_path_buf();
        let engine = Self { database: Some(database), directory, broken: AtomicBool::new(false) };
        engine.sync_files()?;
        Ok(engine)
    }

    /// Runs something on the database; after the first failure there is none any more.
    fn with<T>(
        &self,
        ask: impl FnOnce(&::sled::Db) -> Result<T, ::sled::Error>,
    ) -> Result<T, EngineError> {
        let database = match &self.database {
            Some(database) if !self.broken.load(Ordering::Acquire) => database,
            Some(_) | None => return Err(EngineError::Broken(Breakage::Unknown)),
        };
        let answer = guarded(|| ask(database));
        if answer.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        answer
    }

    /// Makes durable what sled itself leaves to chance: its settings, its log and the directories.
    fn sync_files(&self) -> io::Result<()> {
        for name in ["conf", "db", "blobs", ""] {
            match File::open(self.directory.join(name)) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.with(|database| Ok(database.get(key)?.map(|value| value.to_vec())))
    }

    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Pair>, EngineError> {
        if empty(bounds) {
            return Ok(Vec::new());
        }
        let copy = |pair: Result<(::sled::IVec, ::sled::IVec), ::sled::Error>| {
            pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        self.with(|database| {
            let found = database.range::<&[u8], _>(bounds);
            match order {
                Order::Ascending => found.take(limit).map(copy).collect(),
                Order::Descending => found.rev().take(limit).map(copy).collect(),
            }
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut changes = ::sled::Batch::default();
        for (key, value) in batch.changes() {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.with(|database| database.apply_batch(changes))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.with(|database| database.flush().map(drop))?;
        Ok(self.sync_files()?)
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        if self.broken.load(Ordering::Acquire) {
            // Closing would write to a database whose memory is not to be trusted.
            std::mem::forget(database);
        } else if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::warn!("the index failed an assertion while closing");
        }
    }
}

/// What a kill during an earlier opening may have left, and sled would take for whole.
fn remove_half_written(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    let log = match fs::metadata(directory.join("db")) {
        Ok(log) => log.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let settings = directory.join("conf");
    if log == 0 && settings.try_exists()? {
        fs::remove_file(settings)?;
    }
    Ok(())
}

/// Runs sled's code. It panics where others give errors, and neither may stop a node whose truth lies
/// in the journal.
fn guarded<T>(run: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(answer) => answer.map_err(failure),
        Err(_) => Err(EngineError::Broken(Breakage::Panicked)),
    }
}

fn failure(error: ::sled::Error) -> EngineError {
    match error {
        ::sled::Error::Io(source) => EngineError::Io(source),
        ::sled::Error::Corruption { .. } => EngineError::Broken(Breakage::Corrupt),
        ::sled::Error::CollectionNotFound(_)
        | ::sled::Error::Unsupported(_)
        | ::sled::Error::ReportableBug(_) => EngineError::Broken(Breakage::Unknown),
    }
}
