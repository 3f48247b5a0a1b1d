//! A family of append-only files of frames: four magic bytes, length, contents (Bitcoin Core's framing of
//! block files). What a torn write leaves at the end is cut off at start.

use super::StorageError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file takes no further frame once it is this long, bytes.
const FILE_SIZE_MAX: u64 = 128 * 1024 * 1024;
/// Magic and length.
const HEADER: u64 = 8;
/// No frame is longer, bytes: a block of 4 MB, or its undo data.
const CONTENTS_MAX: usize = 32 * 1024 * 1024;

/// Where a frame's contents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: u32,
    offset: u64,
    length: u32,
}

impl Place {
    /// The how-manieth block in memory.
    pub(super) fn memory(index: usize) -> Self {
        Self { file: 0, offset: u64::try_from(index).unwrap_or(u64::MAX), length: 0 }
    }

    pub(super) fn in_memory(self) -> usize {
        usize::try_from(self.offset).unwrap_or(usize::MAX)
    }
}

#[derive(Debug)]
pub(super) struct Frames {
    dir: PathBuf,
    prefix: &'static str,
    magic: [u8; 4],
    files: Vec<File>,
    /// Length of the last file.
    end: u64,
    sync: bool,
    /// The contents can be made again from other files: damage costs time, not data.
    rebuildable: bool,
    /// A write or sync failed: nothing more is written.
    poisoned: bool,
}

/// A family of files: where, under which name, and how careful.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family<'a> {
    pub(super) dir: &'a Path,
    pub(super) prefix: &'static str,
    pub(super) magic: [u8; 4],
    pub(super) sync: bool,
    pub(super) rebuildable: bool,
}

impl Frames {
    /// Opens all files of the family and hands each frame to `parse`, which answers `None` for contents
    /// that were never written so.
    pub(super) fn open<T>(
        family: Family<'_>,
        mut parse: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<(Self, Vec<(Place, T)>), StorageError> {
        let Family { dir, prefix, magic, sync, rebuildable } = family;
        std::fs::create_dir_all(dir).map_err(|source| io(dir, source))?;
        let (dir, files) = (dir.to_path_buf(), Vec::new());
        let mut frames =
            Self { dir, prefix, magic, files, end: 0, sync, rebuildable, poisoned: false };
        let mut found = Vec::new();
        while frames.path(frames.files.len()).exists() {
            frames.load_next(&mut parse, &mut found)?;
        }
        if frames.files.is_empty() {
            frames.roll()?;
        }
        Ok((frames, found))
    }

    fn load_next<T>(
        &mut self,
        parse: &mut impl FnMut(&[u8]) -> Option<T>,
        found: &mut Vec<(Place, T)>,
    ) -> Result<(), StorageError> {
        let number = self.files.len();
        let path = self.path(number);
        let is_last = !self.path(number.saturating_add(1)).exists();
        let bytes = std::fs::read(&path).map_err(|source| io(&path, source))?;
        let file = number_of(number);
        let mut offset: usize = 0;
        while let Some(contents) = frame_at(&bytes, offset, self.magic) {
            let Some(item) = parse(contents) else { break };
            let place = Place {
                file,
                offset: to_u64(offset).saturating_add(HEADER),
                length: u32::try_from(contents.len()).unwrap_or(u32::MAX),
            };
            found.push((place, item));
            offset = offset.saturating_add(8).saturating_add(contents.len());
        }
        let handle = (OpenOptions::new().read(true).write(true).open(&path))
            .map_err(|source| io(&path, source))?;
        if offset < bytes.len() {
            let torn = is_last && !self.good_frame_after(&bytes, offset, parse);
            if !torn && !self.rebuildable {
                return Err(StorageError::Damaged { path, offset: to_u64(offset) });
            }
            let lost = bytes.len().saturating_sub(offset);
            tracing::warn!(file = %path.display(), bytes = lost, "cut off an unfinished write");
            handle.set_len(to_u64(offset)).map_err(|source| io(&path, source))?;
            handle.sync_all().map_err(|source| io(&path, source))?;
        }
        self.end = to_u64(offset);
        self.files.push(handle);
        Ok(())
    }

    /// Whether something whole stands behind the damage. Then it is no torn write.
    fn good_frame_after<T>(
        &self,
        bytes: &[u8],
        offset: usize,
        parse: &mut impl FnMut(&[u8]) -> Option<T>,
    ) -> bool {
        let from = offset.saturating_add(1);
        let rest = bytes.get(from..).unwrap_or_default();
        rest.windows(4).enumerate().filter(|(_, window)| *window == self.magic).any(|(skip, _)| {
            frame_at(bytes, from.saturating_add(skip), self.magic)
                .is_some_and(|contents| parse(contents).is_some())
        })
    }

    /// Writes a frame; when this returns and `durable` was asked, the disk has it.
    pub(super) fn append(&mut self, contents: &[u8], durable: bool) -> Result<Place, StorageError> {
        if self.poisoned {
            return Err(StorageError::Poisoned);
        }
        if self.end >= FILE_SIZE_MAX {
            self.roll()?;
        }
        let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(contents.len().saturating_add(8));
        frame.extend(self.magic);
        frame.extend(length.to_le_bytes());
        frame.extend(contents);
        let number = self.files.len().saturating_sub(1);
        let path = self.path(number);
        let Some(file) = self.files.last() else { return Err(StorageError::Poisoned) };
        if let Err(source) = file.write_all_at(&frame, self.end) {
            // A full disk leaves part of a frame: take it away again, or stop for good.
            self.poisoned = file.set_len(self.end).is_err();
            return Err(io(&path, source));
        }
        if durable
            && self.sync
            && let Err(source) = file.sync_data()
        {
            self.poisoned = true;
            return Err(io(&path, source));
        }
        let offset = self.end.saturating_add(HEADER);
        self.end = offset.saturating_add(u64::from(length));
        Ok(Place { file: number_of(number), offset, length })
    }

    /// The contents of a frame.
    pub(super) fn read(&self, place: Place) -> Result<Vec<u8>, StorageError> {
        let number = usize::try_from(place.file).unwrap_or(usize::MAX);
        let length = usize::try_from(place.length).unwrap_or(0).min(CONTENTS_MAX);
        let mut contents = vec![0; length];
        let path = self.path(number);
        let Some(file) = self.files.get(number) else { return Err(StorageError::Poisoned) };
        file.read_exact_at(&mut contents, place.offset).map_err(|source| io(&path, source))?;
        Ok(contents)
    }

    /// Begins the next file.
    fn roll(&mut self) -> Result<(), StorageError> {
        let path = self.path(self.files.len());
        let file = (OpenOptions::new().read(true).write(true).create_new(true).open(&path))
            .map_err(|source| io(&path, source))?;
        if self.sync {
            sync_dir(&self.dir)?;
        }
        self.files.push(file);
        self.end = 0;
        Ok(())
    }

    fn path(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{}{number:05}.dat", self.prefix))
    }
}

/// Replaces a small file whole: written aside, synced, renamed.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside).map_err(|source| io(&aside, source))?;
    file.write_all(bytes).map_err(|source| io(&aside, source))?;
    file.sync_all().map_err(|source| io(&aside, source))?;
    std::fs::rename(&aside, path).map_err(|source| io(path, source))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes new names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(|source| io(dir, source))
}

pub(super) fn io(path: &Path, source: std::io::Error) -> StorageError {
    StorageError::Io { path: path.to_path_buf(), source }
}

/// The contents of the frame at `offset`, if a whole one is there.
fn frame_at(bytes: &[u8], offset: usize, magic: [u8; 4]) -> Option<&[u8]> {
    let (found, rest) = bytes.get(offset..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (*found == magic && length <= CONTENTS_MAX).then(|| rest.get(..length))?
}

fn number_of(file: usize) -> u32 {
    u32::try_from(file).unwrap_or(u32::MAX)
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
