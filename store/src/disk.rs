//! One directory of files, with nothing assumed about it that a disk does not promise.
//!
//! Names are flat: a [`Disk`] is one directory and the files in it. What was written is durable only
//! after [`DiskFile::sync_data`]; that a file exists under its name, only after [`Disk::sync_dir`].
//!
//! [`RealDisk`] is the directory of the operating system. [`MemoryDisk`] is its liar: it forgets what
//! was not synced, tears the last write, and fails on command, all from a seed.

mod faulty;
mod image;
mod memory;
mod real;
#[cfg(test)]
mod tests;

use std::{fmt, io};

pub use faulty::{Failure, Operation, Plan};
#[cfg(test)]
pub(crate) use image::Dice;
pub use image::{Entries, Loss};
pub use memory::{MemoryDisk, MemoryFile, MemoryLock};
pub use real::{RealDisk, RealFile, RealLock};

/// A directory.
///
/// Clones are handles to the same directory. Errors are those of the operating system, unchanged: a
/// caller that cannot read something must never conclude that there is nothing.
pub trait Disk: Clone + Send + fmt::Debug + 'static {
    /// An open file of this directory.
    type File: DiskFile;
    /// Holds a lock until dropped.
    type Lock: Send + Sync + fmt::Debug + 'static;

    /// Makes an empty file and opens it. Fails with `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading and writing. Fails with `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Whether the name is taken now.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, taking the place of the file that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away. Fails with `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every earlier `create`, `rename` and `remove` durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the lock file of that name, for this process alone, and writes our process id into it.
    fn lock(&self, name: &str) -> Result<Self::Lock, LockError>;
}

/// An open file.
pub trait DiskFile: Send + fmt::Debug + 'static {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on; less only at the end of the file. Returns the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, or fails having written any part of them.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the range exist on the disk, reading as zeros, so that later writes into it change
    /// neither the length of the file nor its map of blocks.
    ///
    /// For a range at or behind the end of the file. Durable with the next [`Self::sync_data`].
    fn preallocate(&mut self, offset: u64, length: u64) -> io::Result<()>;

    /// Cuts everything from `length` on off. Durable with the next [`Self::sync_data`].
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes every earlier write to this file durable, and its length.
    ///
    /// After an error nothing may be assumed about any of them, not even after a later success.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another handle of this one, has it.
    #[error("locked by process {}", pid.map_or_else(|| "unknown".into(), |pid| pid.to_string()))]
    Held {
        /// The process id its holder wrote, if that could be read.
        pid: Option<u32>,
    },
    /// The lock file could not be made, opened or written.
    #[error("lock file: {0}")]
    Io(#[from] io::Error),
}

/// The ending of a file that is not finished.
pub(crate) const ASIDE: &str = ".new";

/// The whole content of a file.
pub fn read_all<D: Disk>(disk: &D, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(size, 0);
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Puts a file in place at once: whoever looks after a crash sees all of the parts or what was there
/// before. Durable when it returns.
pub fn put<D: Disk>(disk: &D, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let aside = format!("{name}{ASIDE}");
    if disk.exists(&aside)? {
        disk.remove(&aside)?;
    }
    let mut file = disk.create(&aside)?;
    let mut offset = 0_u64;
    for part in parts {
        file.write_at(offset, part)?;
        let length = u64::try_from(part.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        offset = offset.checked_add(length).ok_or(io::ErrorKind::FileTooLarge)?;
    }
    file.sync_data()?;
    disk.rename(&aside, name)?;
    disk.sync_dir()
}

/// The same for a file somewhere in the system's tree, for its owner alone from its first byte. One that an attempt
/// left beside it is overwritten.
///
/// # Errors
/// Those of the file system; the file is then the old one or the new one, whole.
pub fn put_at(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let aside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}
