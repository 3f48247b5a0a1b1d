//! The backup's places on disk: one beside the journal, one wherever the user says.
//!
//! Each is written aside, synced and renamed, so a name never stands for half a backup and a crash leaves
//! the old one or the new one.
//!
//! Not here: what is in a backup (`content`), when one is due (`task`).

use std::io;
use std::path::{Path, PathBuf};

use store::disk::{self, Disk, DiskFile as _, RealDisk};

use super::envelope::FILE_LEN_MAX;

/// The file's name in the backup's own directory.
pub const NAME: &str = "channels.vbk";

/// Both places.
#[derive(Clone, Debug)]
pub struct Files {
    own: RealDisk,
    second: Option<PathBuf>,
}

impl Files {
    /// Opens the directory beside the journal, making it if it is missing. `second` is another file.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn open(own: &Path, second: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self { own: RealDisk::open(own)?, second })
    }

    /// The file beside the journal.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.own.path().join(NAME)
    }

    /// The other one.
    #[must_use]
    pub fn second(&self) -> Option<&Path> {
        self.second.as_deref()
    }

    /// What lies beside the journal.
    ///
    /// # Errors
    /// If it cannot be read; that there is none is no error.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.own, NAME)
    }

    /// Writes beside the journal; durable when it returns.
    ///
    /// # Errors
    /// If the disk failed: what was there before is still there.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        write(&self.own, NAME, bytes)
    }

    /// Writes the other file, if there is to be one; durable when it returns.
    ///
    /// # Errors
    /// If its directory is not there (a disk that is not mounted is not replaced by a directory), or
    /// failed.
    pub fn write_second(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(path) = &self.second else { return Ok(()) };
        let wrong = || io::Error::from(io::ErrorKind::InvalidFilename);
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
        let directory = path.parent().filter(|path| path.is_dir());
        let directory = directory.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        write(&RealDisk::open(directory)?, name, bytes)
    }
}

/// Puts a backup in place at once.
///
/// # Errors
/// If the disk failed: what was there before is still there.
pub fn write<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> io::Result<()> {
    disk::put(disk, name, &[bytes])
}

/// Reads a file if it is there.
///
/// # Errors
/// If it cannot be read, or is longer than any backup.
pub fn read<D: Disk>(disk: &D, name: &str) -> io::Result<Option<Vec<u8>>> {
    if !disk.exists(name)? {
        return Ok(None);
    }
    let most = u64::try_from(FILE_LEN_MAX).unwrap_or(u64::MAX);
    if disk.open(name)?.size()? > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    disk::read_all(disk, name).map(Some)
}
