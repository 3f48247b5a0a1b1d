//! Where an LDK node keeps its state, with every write and sync counted.
//! Not here: the format of the single-file store (`super::log_store`).

use super::log_store::LogStore;
use lightning::io;
use lightning::util::persist::KVStoreSync;
use lightning_persister::fs_store::FilesystemStore;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which store a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// LDK's own `FilesystemStore`: a file a key, written beside, synced, renamed, directory synced.
    Files,
    /// One file that only grows, one `fdatasync` a write.
    Log,
}

/// A store and what it cost.
#[derive(Debug)]
pub(super) struct Store {
    inner: Inner,
    writes: AtomicU64,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

enum Inner {
    Files(FilesystemStore),
    Log(LogStore),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "Files",
            Self::Log(_) => "Log",
        })
    }
}

/// What a store did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCost {
    /// Values written.
    pub writes: u64,
    /// `fsync` and `fdatasync` calls.
    pub syncs: u64,
    /// Bytes of values written.
    pub bytes: u64,
}

impl Store {
    /// Opens the store in `dir`, empty when nothing is there.
    ///
    /// # Panics
    /// When the directory cannot be used.
    pub(super) fn open(kind: StoreKind, dir: &Path) -> Self {
        let inner = match kind {
            StoreKind::Files => Inner::Files(FilesystemStore::new(dir.join("files"))),
            StoreKind::Log => {
                Inner::Log(LogStore::open(&dir.join("log")).expect("a usable directory"))
            }
        };
        Self {
            inner,
            writes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// What it did since it was opened.
    pub(super) fn cost(&self) -> StoreCost {
        StoreCost {
            writes: self.writes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts a durable write; `FilesystemStore` syncs the file and its directory.
    fn count(&self, bytes: usize) {
        let syncs = match self.inner {
            Inner::Files(_) => 2,
            Inner::Log(_) => 1,
        };
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(syncs, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl KVStoreSync for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> Result<Vec<u8>, io::Error> {
        match &self.inner {
            Inner::Files(files) => KVStoreSync::read(files, primary, secondary, key),
            Inner::Log(log) => log.read(primary, secondary, key),
        }
    }

    fn write(
        &self,
        primary: &str,
        secondary: &str,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), io::Error> {
        self.count(value.len());
        match &self.inner {
            Inner::Files(files) => KVStoreSync::write(files, primary, secondary, key, value),
            Inner::Log(log) => log.write(primary, secondary, key, value),
        }
    }

    fn remove(
        &self,
        primary: &str,
        secondary: &str,
        key: &str,
        lazy: bool,
    ) -> Result<(), io::Error> {
        match &self.inner {
            Inner::Files(files) => KVStoreSync::remove(files, primary, secondary, key, lazy),
            Inner::Log(log) => log.remove(primary, secondary, key),
        }
    }

    fn list(&self, primary: &str, secondary: &str) -> Result<Vec<String>, io::Error> {
        match &self.inner {
            Inner::Files(files) => KVStoreSync::list(files, primary, secondary),
            Inner::Log(log) => log.list(primary, secondary),
        }
    }
}
