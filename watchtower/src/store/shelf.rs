//! The segments: one that grows, the closed ones, and beside each closed one a list of its hints.
//!
//! A segment is written in groups, one sync each, and never changed; when it is full its hints are listed
//! aside, so that a start reads nine bytes a record and no bodies. A group that the disk has no room for is
//! refused before a byte of it is written, and the shelf goes on when there is room again; any other error
//! leaves it unknown what the disk holds, and nothing is written until the next start.
//!
//! Not here: the format (`segment`), what the next start makes of it (`open`), deleting (`compact`).

use std::io;

use ::store::disk::{Disk, DiskFile};

use crate::index::{Place, Prefix};
use crate::message::Sealed;
use crate::store::segment::{self, Group, Head, Stored};

const RECORDS: &str = "records-";
const HINTS: &str = "hints-";
const HINTS_MAGIC: [u8; 8] = *b"VDCTWHNT";
const HINTS_HEAD_BYTES: usize = 28;
const HINT_BYTES: usize = Prefix::BYTES + 4;
/// Zeros are written so far ahead, so that a sync changes data only.
const AHEAD_BYTES: u64 = 256 << 10;

/// Why records could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The disk has no room; nothing was written, and it may be tried again.
    #[error("the disk is full")]
    Full,
    /// An earlier error left it unknown what the disk holds.
    #[error("an earlier disk error stopped all writing; the tower must be restarted")]
    Poisoned,
    /// The disk failed.
    #[error("cannot {doing} {file}: {source}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ShelfError {
    pub(crate) fn disk(doing: &'static str, file: &str, source: io::Error) -> Self {
        Self::Disk { doing, file: file.to_owned(), source }
    }
}

/// How segments are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// A segment is closed when it is longer than this. 64 MiB by default, at most 2 GiB.
    pub(crate) segment_bytes: u32,
    /// A random number, new at each start: it goes into the checksums of what is written from then on.
    pub(crate) salt: u64,
}

/// The segments that are written to and read from.
#[derive(Debug)]
pub(crate) struct Shelf<D: Disk> {
    disk: D,
    layout: Layout,
    next: u32,
    open: Option<Open<D>>,
    group: Group,
    poisoned: bool,
}

/// The segment that grows.
#[derive(Debug)]
struct Open<D: Disk> {
    head: Head,
    file: D::File,
    /// Where the next group goes.
    offset: u32,
    /// The end of the zeros.
    ready: u64,
    hints: Vec<(Prefix, u32)>,
}

/// A segment that was closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Closed {
    pub(crate) number: u32,
    pub(crate) bytes: u32,
    pub(crate) records: u32,
}

impl<D: Disk> Shelf<D> {
    /// Begins with segment `next` when something is stored.
    pub(crate) fn new(disk: D, layout: Layout, next: u32) -> Self {
        Self { disk, layout, next, open: None, group: Group::default(), poisoned: false }
    }

    /// The directory.
    pub(crate) const fn disk(&self) -> &D {
        &self.disk
    }

    /// Bytes that wait for the next sync.
    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.group.len()
    }

    /// Records that wait for the next sync.
    pub(crate) const fn waiting_records(&self) -> u32 {
        self.group.records()
    }

    /// Adds records to the group. Returns where in the group each will be, for [`Self::place`].
    pub(crate) fn stage(&mut self, session: u32, first_seq: u32, records: &[Sealed]) -> Vec<u32> {
        self.group.push(session, first_seq, records)
    }

    /// Makes the group durable: one write, one sync. Returns the segment and the offset of the group in it.
    ///
    /// After [`ShelfError::Full`] the group is gone and nothing else has changed.
    pub(crate) fn sync(&mut self) -> Result<Option<Place>, ShelfError> {
        if self.group.is_empty() {
            return Ok(None);
        }
        let written = self.write_group();
        self.group.clear();
        if written.as_ref().is_err_and(|error| !matches!(error, ShelfError::Full)) {
            self.poisoned = true;
        }
        written.map(Some)
    }

    fn write_group(&mut self) -> Result<Place, ShelfError> {
        if self.poisoned {
            return Err(ShelfError::Poisoned);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        let name = name(open.head.number);
        let length = u32::try_from(self.group.len()).unwrap_or(u32::MAX);
        let end = open.offset.saturating_add(length);
        if u64::from(end) > open.ready {
            let missing = u64::from(end).saturating_sub(open.ready);
            let more = missing.div_ceil(AHEAD_BYTES).saturating_mul(AHEAD_BYTES);
            if let Err(error) = open.file.preallocate(open.ready, more) {
                let full = is_full(&error);
                self.open = Some(open);
                return Err(if full {
                    ShelfError::Full
                } else {
                    ShelfError::disk("grow", &name, error)
                });
            }
            open.ready = open.ready.saturating_add(more);
        }
        let place = Place { part: open.head.number, offset: open.offset };
        let bytes = self.group.finish(open.offset, open.head.salt);
        open.file
            .write_at(u64::from(open.offset), bytes)
            .map_err(|e| ShelfError::disk("write", &name, e))?;
        open.file.sync_data().map_err(|e| ShelfError::disk("sync", &name, e))?;
        open.offset = end;
        self.open = Some(open);
        Ok(place)
    }

    /// A new segment, durable under its name before anything is written into it.
    fn begin(&mut self) -> Result<Open<D>, ShelfError> {
        let head = Head { number: self.next, salt: self.layout.salt ^ u64::from(self.next) };
        let name = name(head.number);
        let begin = || {
            // Left by an attempt for which there was no room.
            if self.disk.exists(&name)? {
                self.disk.remove(&name)?;
            }
            let mut file = self.disk.create(&name)?;
            file.preallocate(0, AHEAD_BYTES)?;
            file.write_at(0, &head.encode())?;
            file.sync_data()?;
            self.disk.sync_dir()?;
            Ok(file)
        };
        let file = begin().map_err(|error: io::Error| {
            if is_full(&error) { ShelfError::Full } else { ShelfError::disk("begin", &name, error) }
        })?;
        self.next = self.next.saturating_add(1);
        let offset = u32::try_from(segment::HEAD_BYTES).unwrap_or(u32::MAX);
        Ok(Open { head, file, offset, ready: AHEAD_BYTES, hints: Vec::new() })
    }

    /// Notes a durable record of the open segment for the list of its hints.
    pub(crate) fn list(&mut self, prefix: Prefix, place: Place) {
        if let Some(open) = self.open.as_mut().filter(|open| open.head.number == place.part) {
            open.hints.push((prefix, place.offset));
        }
    }

    /// Whether the open segment is long enough to be closed.
    pub(crate) fn is_long(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.offset >= self.layout.segment_bytes)
    }

    /// Closes the open segment: lists its hints aside, durably. `None` if there is none.
    ///
    /// After an error it is still open; the list can be made again at any time.
    pub(crate) fn close(&mut self) -> Result<Option<Closed>, ShelfError> {
        let Some(open) = &self.open else { return Ok(None) };
        write_hints(&self.disk, open.head, &open.hints).map_err(|error| {
            let name = hints_name(open.head.number);
            if is_full(&error) { ShelfError::Full } else { ShelfError::disk("write", &name, error) }
        })?;
        let records = u32::try_from(open.hints.len()).unwrap_or(u32::MAX);
        let closed = Closed { number: open.head.number, bytes: open.offset, records };
        self.open = None;
        Ok(Some(closed))
    }

    /// The open segment and where its next group will be: everything before is durable.
    pub(crate) fn end(&self) -> Place {
        let none = Place { part: self.next, offset: 0 };
        self.open
            .as_ref()
            .map_or(none, |open| Place { part: open.head.number, offset: open.offset })
    }

    /// Reads the records at these places; `None` for one that is not there any more.
    pub(crate) fn read(&self, places: &[Place]) -> Result<Vec<Option<Stored>>, ShelfError> {
        let mut found = Vec::with_capacity(places.len());
        let mut file: Option<(u32, Option<D::File>)> = None;
        for place in places {
            let name = name(place.part);
            if file.as_ref().is_none_or(|(part, _)| *part != place.part) {
                let opened = match self.disk.open(&name) {
                    Ok(opened) => Some(opened),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => return Err(ShelfError::disk("open", &name, error)),
                };
                file = Some((place.part, opened));
            }
            let Some((_, Some(file))) = &file else {
                found.push(None);
                continue;
            };
            let stored = segment::read_one(place.offset, |at, buffer| file.read_at(at, buffer));
            found.push(stored.map_err(|e| ShelfError::disk("read", &name, e))?);
        }
        Ok(found)
    }
}

/// The name of the file of a segment.
pub(crate) fn name(number: u32) -> String {
    format!("{RECORDS}{number:010}")
}

/// The name of the list of its hints.
pub(crate) fn hints_name(number: u32) -> String {
    format!("{HINTS}{number:010}")
}

/// The segments in a directory, in order.
pub(crate) fn segments<D: Disk>(disk: &D) -> io::Result<Vec<u32>> {
    let names = disk.list()?;
    let number = |name: &String| name.strip_prefix(RECORDS)?.parse().ok();
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether the disk had no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Lists hints of a segment aside. `head` ties the list to the file it belongs to.
pub(crate) fn write_hints<D: Disk>(
    disk: &D,
    head: Head,
    hints: &[(Prefix, u32)],
) -> io::Result<()> {
    let mut body = Vec::with_capacity(hints.len().saturating_mul(HINT_BYTES));
    for (prefix, offset) in hints {
        body.extend_from_slice(&prefix.to_bytes());
        body.extend_from_slice(&offset.to_le_bytes());
    }
    let mut start = Vec::with_capacity(HINTS_HEAD_BYTES);
    start.extend_from_slice(&HINTS_MAGIC);
    start.extend_from_slice(&head.number.to_le_bytes());
    start.extend_from_slice(&head.salt.to_le_bytes());
    start.extend_from_slice(&u32::try_from(hints.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&start), &body);
    start.extend_from_slice(&crc.to_le_bytes());
    ::store::disk::put(disk, &hints_name(head.number), &[&start, &body])
}

/// The list of hints of a segment; `None` if there is none, or not one of this file: it can be made again
/// from the segment.
pub(crate) fn read_hints<D: Disk>(disk: &D, head: Head) -> io::Result<Option<Vec<(Prefix, u32)>>> {
    let name = hints_name(head.number);
    if !disk.exists(&name)? {
        return Ok(None);
    }
    Ok(parse_hints(&::store::disk::read_all(disk, &name)?, head))
}

fn parse_hints(bytes: &[u8], head: Head) -> Option<Vec<(Prefix, u32)>> {
    let (start, rest) = bytes.split_at_checked(24)?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    if crc32c::crc32c_append(crc32c::crc32c(start), body).to_le_bytes() != *crc {
        return None;
    }
    let (magic, rest) = start.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (salt, count) = rest.split_first_chunk::<8>()?;
    let this = Head { number: u32::from_le_bytes(*number), salt: u64::from_le_bytes(*salt) };
    let count = u32::from_le_bytes(*count.first_chunk::<4>()?);
    let (hints, left) = body.as_chunks::<HINT_BYTES>();
    let whole = left.is_empty() && u32::try_from(hints.len()) == Ok(count);
    if *magic != HINTS_MAGIC || this != head || !whole {
        return None;
    }
    let read = |entry: &[u8; HINT_BYTES]| {
        let (prefix, offset) = entry.split_first_chunk::<{ Prefix::BYTES }>()?;
        Some((Prefix::from_bytes(*prefix), u32::from_le_bytes(*offset.first_chunk::<4>()?)))
    };
    hints.iter().map(read).collect()
}
