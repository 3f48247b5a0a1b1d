//! The records of a row of segments, in order, each looked at once.

use std::ops::Range;

use super::record::{self, Record, Stamp};
use super::segment::{self, Header};
use super::{Damage, JournalError};
use crate::disk::{Disk, read_all};

/// A tail that was written but never became durable, and was left out: it is what a power cut leaves of
/// the group that was being written, and nothing in it was ever acknowledged.
///
/// Damage at rest to the last group of a segment that was not closed looks the same. Whoever keeps
/// record of how far the journal was, as the index does, can tell: it must not be further than the
/// last record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Torn {
    /// The segment it lies in, by its file name.
    pub file: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// The last record before it.
    pub after: u64,
}

/// The bytes of the last group of records: written, read back, and possibly not yet durable.
#[derive(Debug)]
pub(super) struct LastGroup<'a> {
    pub(super) ordinal: u64,
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

/// Goes through segments from one record on.
#[derive(Debug)]
pub(super) struct Walk<D> {
    disk: D,
    /// The segments, from the one with the first record on.
    segments: Vec<Header>,
    /// Whether the last of them was closed properly: then it is not read, and only says where the
    /// one before it ends.
    last_is_fence: bool,
    /// Which of them is read at the moment.
    current: usize,
    bytes: Vec<u8>,
    offset: usize,
    /// Where the group of the record before `offset` begins, and what was durable before it.
    group: (usize, u64),
    /// The sequence number of the next record to be read.
    next: u64,
    /// The first sequence number that is handed out.
    from: u64,
    torn: Option<Torn>,
}

impl<D: Disk> Walk<D> {
    /// Starts before the first record behind `after`.
    pub(super) fn new(
        disk: D,
        mut segments: Vec<Header>,
        after: u64,
        last_is_fence: bool,
    ) -> Result<Self, JournalError> {
        let from = after.saturating_add(1);
        let found = segments.first().map(|header| header.first);
        let start = segments.iter().rposition(|header| header.first <= from);
        let missing = || JournalError::Missing { from, found };
        let segments = segments.split_off(start.ok_or_else(missing)?);
        let next = segments.first().map_or(from, |header| header.first);
        let mut walk = Self {
            disk,
            segments,
            last_is_fence,
            current: 0,
            bytes: Vec::new(),
            offset: 0,
            group: (0, 0),
            next,
            from,
            torn: None,
        };
        walk.load()?;
        Ok(walk)
    }

    /// The next record, or `None` behind the last.
    pub(super) fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        let Some((stamp, range)) = self.advance()? else { return Ok(None) };
        let payload = self.bytes.get(range).unwrap_or_default();
        Ok(Some(Record { seq: stamp.seq, epoch: stamp.epoch, payload }))
    }

    /// The last sequence number read so far.
    pub(super) const fn reached(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The tail that was left out, once the end was reached.
    pub(super) fn torn(&mut self) -> Option<Torn> {
        self.torn.take()
    }

    /// The last group, once the end was reached.
    pub(super) fn last_group(&self) -> Option<LastGroup<'_>> {
        let ordinal = self.segments.get(self.current)?.ordinal;
        let bytes = self.bytes.get(self.group.0..self.offset).filter(|group| !group.is_empty())?;
        Some(LastGroup { ordinal, offset: u64::try_from(self.group.0).ok()?, bytes })
    }

    /// Moves behind the next record that is wanted, and says where its payload is.
    fn advance(&mut self) -> Result<Option<(Stamp, Range<usize>)>, JournalError> {
        loop {
            let Some(header) = self.segments.get(self.current).copied() else { return Ok(None) };
            let end = self.segments.get(self.current.saturating_add(1)).map(|next| next.first);
            if end.is_none() && self.last_is_fence {
                return Ok(None);
            }
            if end == Some(self.next) {
                self.current = self.current.saturating_add(1);
                self.load()?;
                continue;
            }
            let Some((stamp, length)) = self.peek(&header) else {
                return match end {
                    Some(_) => Err(self.damaged(&header)),
                    None => self.end(&header).map(|()| None),
                };
            };
            let start = self.offset.saturating_add(record::RECORD_HEADER_BYTES);
            if stamp.synced != self.group.1 {
                self.group = (self.offset, stamp.synced);
            }
            self.offset = start.saturating_add(length);
            self.next = self.next.saturating_add(1);
            if stamp.seq >= self.from {
                return Ok(Some((stamp, start..self.offset)));
            }
        }
    }

    /// The record at the offset, if it is the one that must come next.
    fn peek(&self, header: &Header) -> Option<(Stamp, usize)> {
        let (stamp, payload) = record::decode(self.bytes.get(self.offset..)?, header.seed())?;
        let fits =
            stamp.seq == self.next && stamp.epoch == header.epoch && stamp.synced < stamp.seq;
        fits.then_some((stamp, payload.len()))
    }

    /// Reads the segment that is current now.
    fn load(&mut self) -> Result<(), JournalError> {
        self.bytes.clear();
        self.offset = usize::try_from(segment::HEADER_BYTES).unwrap_or(usize::MAX);
        self.group = (self.offset, self.reached());
        let last = self.current.saturating_add(1) >= self.segments.len();
        let Some(header) = self.segments.get(self.current) else { return Ok(()) };
        if last && self.last_is_fence {
            return Ok(());
        }
        let name = segment::name(header.ordinal);
        self.bytes =
            read_all(&self.disk, &name).map_err(|e| JournalError::disk("read", &name, e))?;
        // The head was read once already: a file that changed in between is not to be trusted.
        if Header::decode(&self.bytes, header.ordinal)? != *header {
            return Err(JournalError::corrupt(&name, 0, header.first, Damage::Name));
        }
        Ok(())
    }

    /// No record at the offset of the last segment: the end, a torn tail, or damage.
    fn end(&mut self, header: &Header) -> Result<(), JournalError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some(last) = rest.iter().rposition(|byte| *byte != 0) else { return Ok(()) };
        let tail = rest.get(..=last).unwrap_or(rest);
        if durable_record_behind(rest, tail.len(), header, self.next) {
            return Err(self.damaged(header));
        }
        self.torn = Some(Torn {
            file: segment::name(header.ordinal),
            offset: u64::try_from(self.offset).unwrap_or(u64::MAX),
            bytes: u64::try_from(tail.len()).unwrap_or(u64::MAX),
            after: self.reached(),
        });
        Ok(())
    }

    fn damaged(&self, header: &Header) -> JournalError {
        let offset = u64::try_from(self.offset).unwrap_or(u64::MAX);
        let file = segment::name(header.ordinal);
        JournalError::corrupt(&file, offset, self.next, Damage::Record)
    }
}

/// Whether a record lies behind the start of `rest` that says that `lost` was durable before it.
///
/// The group that was being written when the power went may survive in any of its parts, so a whole
/// record behind a broken one proves nothing by itself. One of a later group does: its group was
/// begun only after the sync of the broken one's had returned.
fn durable_record_behind(rest: &[u8], tail: usize, header: &Header, lost: u64) -> bool {
    let (seed, epoch) = (header.seed(), header.epoch);
    (1..tail).any(|at| {
        let Some(bytes) = rest.get(at..) else { return false };
        let of_later_group = |stamp: &Stamp| {
            stamp.epoch == epoch && stamp.synced >= lost && stamp.seq > stamp.synced
        };
        // The head first: it tells nearly all places apart without a checksum.
        record::stamp(bytes).is_some_and(|stamp| of_later_group(&stamp))
            && record::decode(bytes, seed).is_some()
    })
}
