//! The bytes of a segment: a head, then groups of records, one group a sync.
//!
//! ```text
//! head:   magic 8 · version u16 · zeros u16 · number u32 · salt u64 · crc32c u32 · zeros u32
//! group:  crc32c u32 · length u32 · offset u32 · runs            (crc covers all behind it, salted)
//! run:    session u32 · first_seq u32 · count u16
//! record: length u16 · nth u16 · back u16 · hint 16 · sealed      (little-endian)
//! ```
//!
//! `length` of a record counts hint and sealed bytes, `back` leads from the record to the head of its run,
//! `nth` is its number in it: so one place in the file tells everything. Six bytes a record beside what the
//! client sent, and ten a message.
//!
//! A group is written only when the one before it is durable. So a group that is not whole with a whole one
//! behind it is damage; the last one alone may be torn.
//!
//! Not here: which files there are (`shelf`).

use crate::hint::Hint;
use crate::message::Sealed;

/// Bytes of the head of a file.
pub(crate) const HEAD_BYTES: usize = 32;
/// Bytes of the head of a group.
pub(crate) const GROUP_HEAD_BYTES: usize = 12;
const RUN_HEAD_BYTES: usize = 10;
const RECORD_HEAD_BYTES: usize = 6;
/// The longest sealed record, in bytes: whatever fits a run of its own.
pub const SEALED_MAX: usize = 65_000;
const MAGIC: [u8; 8] = *b"VDCTWREC";
const VERSION: u16 = 1;

/// A record as it lies in a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Whose it is.
    pub session: u32,
    /// Which of the session's.
    pub seq: u32,
    /// What the client gave.
    pub sealed: Sealed,
}

/// A record found while walking, with where it lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Walked<'a> {
    pub(crate) offset: u32,
    pub(crate) session: u32,
    pub(crate) seq: u32,
    pub(crate) hint: Hint,
    pub(crate) bytes: &'a [u8],
}

/// The head of the file of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) salt: u64,
}

impl Head {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// `None` for bytes that are not a head of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, rest) = bytes.split_at_checked(24)?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        if crc32c::crc32c(covered).to_le_bytes() != *crc {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        if *magic != MAGIC || u16::from_le_bytes(*version) != VERSION {
            return None;
        }
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let salt = rest.first_chunk::<8>()?;
        Some(Self { number: u32::from_le_bytes(*number), salt: u64::from_le_bytes(*salt) })
    }
}

/// A group that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Room for the head, then the runs.
    bytes: Vec<u8>,
    records: u32,
}

impl Group {
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) const fn records(&self) -> u32 {
        self.records
    }

    /// How long it is with its head.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
    }

    /// Adds records of a session that follow each other. Returns the offset in the group of each.
    ///
    /// Sealed bytes above [`SEALED_MAX`] must have been refused before: they are cut off here.
    pub(crate) fn push(&mut self, session: u32, first_seq: u32, records: &[Sealed]) -> Vec<u32> {
        if self.bytes.is_empty() {
            self.bytes.resize(GROUP_HEAD_BYTES, 0);
        }
        let mut places = Vec::with_capacity(records.len());
        let (mut seq, mut rest) = (first_seq, records);
        while !rest.is_empty() {
            let (run, behind) = rest.split_at_checked(fitting(rest)).unwrap_or((rest, &[]));
            self.push_run(session, seq, run, &mut places);
            seq = seq.saturating_add(u32::try_from(run.len()).unwrap_or(u32::MAX));
            rest = behind;
        }
        self.records = self.records.saturating_add(u32::try_from(records.len()).unwrap_or(0));
        places
    }

    fn push_run(&mut self, session: u32, first_seq: u32, run: &[Sealed], places: &mut Vec<u32>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&session.to_le_bytes());
        self.bytes.extend_from_slice(&first_seq.to_le_bytes());
        self.bytes.extend_from_slice(&u16::try_from(run.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (nth, record) in (0_u16..).zip(run) {
            let at = self.bytes.len();
            let sealed = record
                .ciphertext
                .get(..record.ciphertext.len().min(SEALED_MAX))
                .unwrap_or_default();
            let length = sealed.len().saturating_add(record.hint.0.len());
            self.bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
            self.bytes.extend_from_slice(&nth.to_le_bytes());
            let back = u16::try_from(at.saturating_sub(start)).unwrap_or(u16::MAX);
            self.bytes.extend_from_slice(&back.to_le_bytes());
            self.bytes.extend_from_slice(&record.hint.0);
            self.bytes.extend_from_slice(sealed);
            places.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }

    /// The bytes to be written at `offset` of a segment with that salt.
    pub(crate) fn finish(&mut self, offset: u32, salt: u64) -> &[u8] {
        let length = self.bytes.len().saturating_sub(GROUP_HEAD_BYTES);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        for (to, from) in
            self.bytes.iter_mut().skip(4).zip(length.iter().chain(&offset.to_le_bytes()))
        {
            *to = *from;
        }
        let crc = checksum(salt, self.bytes.get(4..).unwrap_or_default()).to_le_bytes();
        for (to, from) in self.bytes.iter_mut().zip(crc) {
            *to = from;
        }
        &self.bytes
    }
}

/// How many of these records one run takes: its last must be reached by a `back` of 16 bits. At least one.
fn fitting(records: &[Sealed]) -> usize {
    let mut back = RUN_HEAD_BYTES;
    let mut count = 0_usize;
    for record in records.iter().take(usize::from(u16::MAX)) {
        if back > usize::from(u16::MAX) {
            break;
        }
        let length = record.ciphertext.len().saturating_add(record.hint.0.len());
        back = back.saturating_add(RECORD_HEAD_BYTES).saturating_add(length);
        count = count.saturating_add(1);
    }
    count.max(1)
}

fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    // Never the checksum of zeros, so that what was only filled ahead is no group.
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes).max(1)
}

/// What walking a file found behind its last whole group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tail {
    /// Nothing, or zeros filled ahead.
    Clean,
    /// A group that never became durable.
    Torn,
    /// A group that was durable once, for a whole one stands behind it, at that offset.
    Damaged {
        /// Where the next whole group begins.
        next: u32,
    },
}

/// The whole group at `offset`: its body, and where the next one begins.
pub(crate) fn group_at(file: &[u8], offset: u32, salt: u64) -> Option<(&[u8], u32)> {
    let at = usize::try_from(offset).ok()?;
    let rest = file.get(at..)?;
    let (crc, behind) = rest.split_first_chunk::<4>()?;
    let (length, behind) = behind.split_first_chunk::<4>()?;
    let (own, behind) = behind.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*own) != offset {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let body = behind.get(..length)?;
    let covered = rest.get(4..GROUP_HEAD_BYTES.checked_add(length)?)?;
    if checksum(salt, covered).to_le_bytes() != *crc {
        return None;
    }
    let next = at.checked_add(GROUP_HEAD_BYTES)?.checked_add(length)?;
    Some((body, u32::try_from(next).ok()?))
}

/// What comes at `offset`, where no whole group is.
pub(crate) fn tail_at(file: &[u8], offset: u32, salt: u64) -> Tail {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = file.get(at..).unwrap_or_default();
    if rest.iter().all(|byte| *byte == 0) {
        return Tail::Clean;
    }
    // A group says where it begins, so most bytes are ruled out by four others.
    let end = u32::try_from(file.len()).unwrap_or(u32::MAX);
    let next = (offset.saturating_add(1)..end).find(|at| group_at(file, *at, salt).is_some());
    next.map_or(Tail::Torn, |next| Tail::Damaged { next })
}

/// The records of a group that begins at `offset`, in order. Stops at what cannot be: the checksum was
/// right, so that would be a writer of another kind.
pub(crate) fn records(body: &[u8], offset: u32) -> Records<'_> {
    let at = offset.saturating_add(u32::try_from(GROUP_HEAD_BYTES).unwrap_or(0));
    Records { rest: body, at, run: None }
}

/// Walks the records of a group.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    at: u32,
    /// Session, sequence number of the next record, records left.
    run: Option<(u32, u32, u16)>,
}

impl<'a> Records<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.at = self.at.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Some(head)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Walked<'a>;

    fn next(&mut self) -> Option<Walked<'a>> {
        while self.run.is_none_or(|(_, _, left)| left == 0) {
            let (session, first_seq, count) = run_head(self.take(RUN_HEAD_BYTES)?)?;
            self.run = Some((session, first_seq, count));
        }
        let (session, seq, left) = self.run?;
        let offset = self.at;
        let (length, _) = self.take(RECORD_HEAD_BYTES)?.split_first_chunk::<2>()?;
        let content = self.take(usize::from(u16::from_le_bytes(*length)))?;
        let (hint, bytes) = content.split_first_chunk::<16>()?;
        self.run = Some((session, seq.saturating_add(1), left.saturating_sub(1)));
        Some(Walked { offset, session, seq, hint: Hint(*hint), bytes })
    }
}

fn run_head(bytes: &[u8]) -> Option<(u32, u32, u16)> {
    let (session, rest) = bytes.split_first_chunk::<4>()?;
    let (first_seq, rest) = rest.split_first_chunk::<4>()?;
    let count = rest.first_chunk::<2>()?;
    Some((u32::from_le_bytes(*session), u32::from_le_bytes(*first_seq), u16::from_le_bytes(*count)))
}

/// Bytes of a record's head: where its content begins, how long it is, where its run begins, its number.
pub(crate) fn record_head(bytes: &[u8; 6]) -> (u16, u16, u16) {
    let [l0, l1, n0, n1, b0, b1] = *bytes;
    (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([n0, n1]), u16::from_le_bytes([b0, b1]))
}

/// Reads one record through `read`, which fills a buffer from an offset and says how much there was.
pub(crate) fn read_one(
    offset: u32,
    mut read: impl FnMut(u64, &mut [u8]) -> std::io::Result<usize>,
) -> std::io::Result<Option<Stored>> {
    let mut head = [0; RECORD_HEAD_BYTES];
    if read(u64::from(offset), &mut head)? < head.len() {
        return Ok(None);
    }
    let (length, nth, back) = record_head(&head);
    let Some(run) = offset.checked_sub(u32::from(back)) else { return Ok(None) };
    let mut run_bytes = [0; RUN_HEAD_BYTES];
    if read(u64::from(run), &mut run_bytes)? < run_bytes.len() {
        return Ok(None);
    }
    let Some((session, first_seq, count)) = run_head(&run_bytes) else { return Ok(None) };
    let mut content = vec![0; usize::from(length)];
    let start = u64::from(offset).saturating_add(u64::try_from(RECORD_HEAD_BYTES).unwrap_or(0));
    if nth >= count || read(start, &mut content)? < content.len() {
        return Ok(None);
    }
    let Some((hint, bytes)) = content.split_first_chunk::<16>() else { return Ok(None) };
    let sealed = Sealed { hint: Hint(*hint), ciphertext: bytes.to_vec() };
    Ok(Some(Stored { session, seq: first_seq.saturating_add(u32::from(nth)), sealed }))
}
