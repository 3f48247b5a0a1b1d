//! A family of append-only files of frames: four magic bytes, length, contents (Bitcoin Core's framing of
//! block files). What a torn write leaves at the end is cut off at start.

use super::StorageError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::disk::{Disk, DiskFile};

/// Magic and length.
const HEADER: u64 = 8;
/// No frame is longer, bytes: a block of 4 MB, or its undo data.
const CONTENTS_MAX: usize = 32 * 1024 * 1024;

/// Where a frame's contents are. Later frames have later places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
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

/// Where a family ends: the next frame would begin there, or in the next file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) file: u32,
    pub(crate) offset: u64,
}

impl End {
    /// Whether a frame lies before it.
    pub(crate) fn is_behind(self, place: Place) -> bool {
        (place.file, place.offset) < (self.file, self.offset)
    }
}

/// A family of files: where, under which name, and how careful.
#[derive(Clone, Debug)]
pub(super) struct Family<D> {
    pub(super) disk: D,
    /// The directory, for messages.
    pub(super) dir: PathBuf,
    pub(super) prefix: &'static str,
    pub(super) magic: [u8; 4],
    pub(super) sync: bool,
    /// The contents can be made again from other files: damage costs time, not data.
    pub(super) rebuildable: bool,
    /// A file takes no further frame once it is this long, bytes.
    pub(super) file_bytes_max: u64,
}

#[derive(Debug)]
pub(super) struct Frames<D: Disk> {
    family: Family<D>,
    /// By number; those before the first were pruned.
    files: BTreeMap<u32, D::File>,
    end: End,
    /// A sync failed: nothing more is written.
    poisoned: bool,
}

impl<D: Disk> Frames<D> {
    /// Opens all files of the family. Before anything is appended [`Frames::scan`] has to find the end.
    pub(super) fn open(family: Family<D>) -> Result<Self, StorageError> {
        let mut frames =
            Self { family, files: BTreeMap::new(), end: End::default(), poisoned: false };
        let names = frames.family.disk.list().map_err(|source| io(&frames.family.dir, source))?;
        for name in names {
            let Some(number) = frames.number(&name) else { continue };
            let file = frames.family.disk.open(&name);
            let file = file.map_err(|source| io(&frames.path(number), source))?;
            frames.files.insert(number, file);
        }
        let numbers = || frames.files.keys().copied();
        if let Some((gap, _)) = numbers().zip(numbers().skip(1)).find(|(a, b)| a.abs_diff(*b) != 1)
        {
            return Err(StorageError::Gap(frames.path(gap.saturating_add(1))));
        }
        if frames.files.is_empty() {
            frames.begin(0)?;
        }
        Ok(frames)
    }

    /// The first file that is still there.
    pub(super) fn first(&self) -> u32 {
        self.files.first_key_value().map_or(0, |(number, _)| *number)
    }

    /// Whether the first file begins with the mark of another chain.
    pub(super) fn are_foreign(&self) -> Result<bool, StorageError> {
        let Some((number, file)) = self.files.first_key_value() else { return Ok(false) };
        let mut mark = [0; 4];
        let read = file.read_at(0, &mut mark);
        let count = read.map_err(|source| io(&self.path(*number), source))?;
        let mark = mark.get(..count).unwrap_or_default();
        let is_blank = mark.iter().all(|byte| *byte == 0);
        Ok(!is_blank && !self.family.magic.starts_with(mark))
    }

    pub(super) const fn end(&self) -> End {
        self.end
    }

    /// Whether the files go at least as far as that.
    pub(super) fn reaches(&self, end: End) -> Result<bool, StorageError> {
        let Some(file) = self.files.get(&end.file) else { return Ok(false) };
        let size = file.size().map_err(|source| io(&self.path(end.file), source))?;
        Ok(size >= end.offset)
    }

    /// Hands each frame from `from` on to `parse`, which answers `None` for contents that were never written so.
    /// What stands behind the last whole frame is cut off.
    pub(super) fn scan<T>(
        &mut self,
        from: End,
        mut parse: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Vec<(Place, T)>, StorageError> {
        let mut found = Vec::new();
        let numbers: Vec<u32> = self.files.range(from.file..).map(|(number, _)| *number).collect();
        for number in numbers {
            let start = if number == from.file { from.offset } else { 0 };
            self.scan_file(End { file: number, offset: start }, &mut parse, &mut found)?;
        }
        Ok(found)
    }

    fn scan_file<T>(
        &mut self,
        from: End,
        parse: &mut impl FnMut(&[u8]) -> Option<T>,
        found: &mut Vec<(Place, T)>,
    ) -> Result<(), StorageError> {
        let (number, path) = (from.file, self.path(from.file));
        let bytes = self.tail(from)?;
        let mut offset: usize = 0;
        while let Some(contents) = frame_at(&bytes, offset, self.family.magic) {
            let Some(item) = parse(contents) else { break };
            let place = Place {
                file: number,
                offset: from.offset.saturating_add(to_u64(offset)).saturating_add(HEADER),
                length: u32::try_from(contents.len()).unwrap_or(u32::MAX),
            };
            found.push((place, item));
            offset = offset.saturating_add(8).saturating_add(contents.len());
        }
        self.end = End { file: number, offset: from.offset.saturating_add(to_u64(offset)) };
        if offset == bytes.len() {
            return Ok(());
        }
        let is_last = !self.files.contains_key(&number.saturating_add(1));
        let torn = is_last && !self.good_frame_after(&bytes, offset, parse);
        if !torn && !self.family.rebuildable {
            return Err(StorageError::Damaged { path, offset: self.end.offset });
        }
        let lost = bytes.len().saturating_sub(offset);
        tracing::warn!(file = %path.display(), bytes = lost, "cut off an unfinished write");
        let Some(file) = self.files.get_mut(&number) else { return Ok(()) };
        let cut = file.truncate(self.end.offset).and_then(|()| file.sync_data());
        cut.map_err(|source| io(&path, source))
    }

    /// The bytes of a file from there on.
    fn tail(&self, from: End) -> Result<Vec<u8>, StorageError> {
        let Some(file) = self.files.get(&from.file) else { return Ok(Vec::new()) };
        let read = || {
            let length = file.size()?.saturating_sub(from.offset);
            let length = usize::try_from(length).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
            let mut bytes = vec![0; length];
            let count = file.read_at(from.offset, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes)
        };
        read().map_err(|source| io(&self.path(from.file), source))
    }

    /// Whether something whole stands behind the damage. Then it is no torn write.
    fn good_frame_after<T>(
        &self,
        bytes: &[u8],
        offset: usize,
        parse: &mut impl FnMut(&[u8]) -> Option<T>,
    ) -> bool {
        let (from, magic) = (offset.saturating_add(1), self.family.magic);
        let rest = bytes.get(from..).unwrap_or_default();
        rest.windows(4).enumerate().filter(|(_, window)| *window == magic).any(|(skip, _)| {
            frame_at(bytes, from.saturating_add(skip), magic)
                .is_some_and(|contents| parse(contents).is_some())
        })
    }

    /// Writes a frame; when this returns and `durable` was asked, the disk has it.
    pub(super) fn append(&mut self, contents: &[u8], durable: bool) -> Result<Place, StorageError> {
        if self.poisoned {
            return Err(StorageError::Poisoned);
        }
        if self.end.offset >= self.family.file_bytes_max {
            // Only the last file may end in the middle of a write.
            self.sync()?;
            self.begin(self.end.file.saturating_add(1))?;
        }
        let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(contents.len().saturating_add(8));
        frame.extend(self.family.magic);
        frame.extend(length.to_le_bytes());
        frame.extend(contents);
        let (End { file: number, offset: end }, path) = (self.end, self.path(self.end.file));
        let Some(file) = self.files.get_mut(&number) else { return Err(StorageError::Poisoned) };
        if let Err(source) = file.write_at(end, &frame) {
            // A full disk leaves part of a frame: take it away again, or stop for good.
            self.poisoned = file.truncate(end).is_err();
            return Err(io(&path, source));
        }
        if durable {
            self.sync()?;
        }
        let offset = end.saturating_add(HEADER);
        self.end.offset = offset.saturating_add(u64::from(length));
        Ok(Place { file: number, offset, length })
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        let path = self.path(self.end.file);
        if let Some(file) = self.files.get_mut(&self.end.file).filter(|_| self.family.sync)
            && let Err(source) = file.sync_data()
        {
            self.poisoned = true;
            return Err(io(&path, source));
        }
        Ok(())
    }

    /// The contents of a frame; `None` when its file was pruned.
    pub(super) fn read(&self, place: Place) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(file) = self.files.get(&place.file) else { return Ok(None) };
        let length = usize::try_from(place.length).unwrap_or(0).min(CONTENTS_MAX);
        let mut contents = vec![0; length];
        let read = file.read_at(place.offset, &mut contents);
        let count = read.map_err(|source| io(&self.path(place.file), source))?;
        contents.truncate(count);
        Ok(Some(contents))
    }

    /// Drops whole files below this number, but never the one that is written.
    pub(super) fn drop_below(&mut self, number: u32) -> Result<(), StorageError> {
        let below = number.min(self.end.file);
        while let Some((first, _)) = self.files.first_key_value().filter(|(n, _)| **n < below) {
            let first = *first;
            let removed = self.family.disk.remove(&self.name(first));
            removed.map_err(|source| io(&self.path(first), source))?;
            self.files.remove(&first);
        }
        self.family.disk.sync_dir().map_err(|source| io(&self.family.dir, source))
    }

    /// Begins a file.
    fn begin(&mut self, number: u32) -> Result<(), StorageError> {
        let path = self.path(number);
        let disk = &self.family.disk;
        let file = disk.create(&self.name(number)).map_err(|source| io(&path, source))?;
        if self.family.sync {
            disk.sync_dir().map_err(|source| io(&self.family.dir, source))?;
        }
        self.files.insert(number, file);
        self.end = End { file: number, offset: 0 };
        Ok(())
    }

    fn name(&self, number: u32) -> String {
        format!("{}{number:05}.dat", self.family.prefix)
    }

    fn number(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(self.family.prefix)?.strip_suffix(".dat")?;
        digits.parse().ok().filter(|number| self.name(*number) == name)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.family.dir.join(self.name(number))
    }
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

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
