//! Opening a tower's data: the journal, the lists of hints, what the last run had not closed yet.
//!
//! Ten million records are nine bytes each to be read: the bodies stay where they are. Only segments that
//! were not closed are read whole, their records counted, and closed then: what was written and never
//! acknowledged counts from now on, for its last group is written again and synced before anything else.
//!
//! Not here: the thread (`keeper`), the blocks that the ring lacks (`watch`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::thread;

use ::store::disk::{Disk, DiskFile};
use ::store::journal::{self, JournalError, Recovery};
use wire::codec::DecodeError;

use crate::index::{Index, Place, Prefix};
use crate::store::fact::{self, Fact, FactError, Part};
use crate::store::keeper::{Bell, Limits, Parts, Thread};
use crate::store::order::{Keeper, Late, way};
use crate::store::ring::{self, Ring};
use crate::store::segment::{self, Head, Tail};
use crate::store::shelf::{self, Layout, Shelf, ShelfError};
use crate::store::state::{State, add_part};

/// The directories of a tower.
#[derive(Clone, Debug)]
pub struct Disks<D> {
    /// The journal's.
    pub journal: D,
    /// That of records, lists and ring.
    pub records: D,
}

/// How it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A random number, new at each start.
    pub salt: u64,
    /// A segment is closed when it is longer than this, in bytes. 64 MiB by default.
    pub segment_bytes: u32,
    /// Blocks in the ring, 2,016 at least.
    pub ring_blocks: u32,
    /// What sessions get at most.
    pub limits: Limits,
}

impl Options {
    /// The usual, with this random number.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            segment_bytes: 64 << 20,
            ring_blocks: ring::BLOCKS_MIN,
            limits: Limits::default(),
        }
    }
}

/// Why a tower's data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fact.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// A snapshot.
    #[error("a snapshot of the tower cannot be read: {0}")]
    Snapshot(#[from] DecodeError),
    /// The disk.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The system gives no thread.
    #[error("no thread: {0}")]
    Thread(io::Error),
}

/// What opening found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Records that are indexed.
    pub records: u64,
    /// Of them, those of segments that had not been closed.
    pub counted_again: u64,
    /// Segments that should be there and are not: their records are lost.
    pub missing_segments: Vec<u32>,
    /// Places where groups were damaged after they had been durable: their records are lost.
    pub damaged: Vec<Place>,
    /// Whether the end of the last segment was torn: nothing that was acknowledged.
    pub torn: bool,
    /// Records that are compared with recent blocks once more.
    pub late: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records are watched for", self.records)?;
        if self.counted_again > 0 {
            write!(f, ", {} of them counted again after the last end", self.counted_again)?;
        }
        if self.late > 0 {
            write!(f, ", {} compared with recent blocks once more", self.late)?;
        }
        if self.torn {
            f.write_str("; the last write was torn, nothing of it had been acknowledged")?;
        }
        if !self.missing_segments.is_empty() {
            write!(f, "; LOST: segments {:?} are missing", self.missing_segments)?;
        }
        if !self.damaged.is_empty() {
            write!(f, "; LOST: records at {} damaged places", self.damaged.len())?;
        }
        Ok(())
    }
}

/// An opened tower.
#[derive(Debug)]
pub struct Opened {
    /// The way to its keeper.
    pub keeper: Keeper,
    /// Rings when something is late.
    pub bell: Bell,
    /// Everything but the records, as it was.
    pub state: State,
    /// What was found.
    pub report: Report,
    /// Ends when the last [`Keeper`] is gone.
    pub thread: thread::JoinHandle<()>,
}

/// Opens the data of a tower and starts the thread that keeps it.
///
/// # Errors
/// [`OpenError`]; nothing was lost by trying.
pub fn open<D: Disk>(disks: Disks<D>, options: Options) -> Result<Opened, OpenError> {
    let (keeper, inbox) = way();
    let bell = Bell::default();
    let (parts, report) = read(disks, options, bell.clone(), inbox)?;
    let state = parts.state.clone();
    let run = move || Thread::new(parts).run();
    let thread = thread::Builder::new()
        .name("tower-keeper".to_owned())
        .spawn(run)
        .map_err(OpenError::Thread)?;
    Ok(Opened { keeper, bell, state, report, thread })
}

fn read<D: Disk>(
    disks: Disks<D>,
    options: Options,
    bell: Bell,
    inbox: tokio::sync::mpsc::Receiver<crate::store::order::Order>,
) -> Result<(Parts<D>, Report), OpenError> {
    let mut recovery = Recovery::start(disks.journal, journal::Options::new(options.salt))?;
    let mut state = match recovery.take_snapshot() {
        Some(snapshot) => State::decode(&snapshot.payload)?,
        None => State::default(),
    };
    while let Some(record) = recovery.next_record()? {
        for fact in fact::decode(record.payload)? {
            state.apply(&fact);
        }
    }
    let (mut journal, _) = recovery.finish()?;
    let mut reading = Reading::start(&disks.records, &state)?;
    reading.closed(&state)?;
    let facts = reading.open_ones(&mut state)?;
    if !facts.is_empty() {
        journal.append(&fact::encode(&facts))?;
        journal.sync()?;
        facts.iter().for_each(|fact| state.apply(fact));
    }
    let Reading { disk, index, next, mut report, recent, .. } = reading;
    let keep = options.ring_blocks.max(ring::BLOCKS_MIN);
    let ring = match state.tip() {
        Some(tip) => ring::load(&disk, keep, tip).unwrap_or_else(|error| {
            tracing::warn!(%error, "the ring is asked of the chain again");
            Ring::new(keep)
        }),
        None => Ring::new(keep),
    };
    let late = compare(&ring, &recent);
    report.records = u64::try_from(index.len()).unwrap_or(u64::MAX);
    report.late = u64::try_from(late.len()).unwrap_or(u64::MAX);
    let layout = Layout { segment_bytes: options.segment_bytes.min(2 << 30), salt: options.salt };
    let shelf = Shelf::new(disk, layout, next);
    let limits = options.limits;
    Ok((Parts { shelf, journal, state, index, ring, late, bell, limits, inbox }, report))
}

/// Records that no block may have been compared with, against the blocks there are.
fn compare(ring: &Ring, recent: &[(Prefix, Place)]) -> VecDeque<Late> {
    let hits = recent.iter().flat_map(|(prefix, place)| {
        let blocks = ring.find(*prefix).filter_map(|seen| ring.block(seen.part));
        blocks.map(|block| Late::Record { place: *place, block })
    });
    hits.collect()
}

struct Reading<D: Disk> {
    disk: D,
    index: Index,
    numbers: Vec<u32>,
    next: u32,
    /// Everything from here on may not have been compared with the ring.
    compared: Place,
    recent: Vec<(Prefix, Place)>,
    report: Report,
}

impl<D: Disk> Reading<D> {
    fn start(disk: &D, state: &State) -> Result<Self, OpenError> {
        let numbers = shelf::segments(disk)
            .map_err(|e| ShelfError::disk("list", "the directory of records", e))?;
        let records = state.segments().flat_map(|(_, segment)| segment.parts.values());
        let expected = records.fold(0_u64, |sum, part| sum.saturating_add(u64::from(part.records)));
        let last = numbers.last().copied().max(state.last_closed());
        Ok(Self {
            disk: disk.clone(),
            index: Index::with_room(usize::try_from(expected).unwrap_or(0)),
            numbers,
            next: last.map_or(0, |last| last.saturating_add(1)),
            compared: state.compared(),
            recent: Vec::new(),
            report: Report::default(),
        })
    }

    /// Lists of closed segments, made again where they are missing.
    fn closed(&mut self, state: &State) -> Result<(), OpenError> {
        for (number, _) in state.segments() {
            if !self.numbers.contains(&number) {
                tracing::error!(segment = number, "a segment is missing: its records are lost");
                self.report.missing_segments.push(number);
                continue;
            }
            let name = shelf::name(number);
            let Some(head) = self.head(number)? else {
                tracing::error!(segment = number, "a segment cannot be read: its records are lost");
                self.report.missing_segments.push(number);
                continue;
            };
            let listed = shelf::read_hints(&self.disk, head)
                .map_err(|e| ShelfError::disk("read", &shelf::hints_name(number), e))?;
            let hints = match listed {
                Some(hints) => hints,
                None => {
                    let bytes = ::store::disk::read_all(&self.disk, &name)
                        .map_err(|e| ShelfError::disk("read", &name, e))?;
                    let mut hints = Vec::new();
                    self.walk(&bytes, head, |walked| {
                        hints.push((Prefix::of(&walked.hint), walked.offset));
                    });
                    shelf::write_hints(&self.disk, head, &hints)
                        .map_err(|e| ShelfError::disk("write", &shelf::hints_name(number), e))?;
                    hints
                }
            };
            for (prefix, offset) in hints {
                self.enter(prefix, Place { part: number, offset });
            }
        }
        Ok(())
    }

    /// Segments that were not closed: counts their records and closes them.
    fn open_ones(&mut self, state: &mut State) -> Result<Vec<Fact>, OpenError> {
        let mut facts = Vec::new();
        for number in self.numbers.clone() {
            if state.segment(number).is_some() {
                continue;
            }
            let name = shelf::name(number);
            let failed = |e| ShelfError::disk("settle", &name, e);
            let head = self.head(number)?;
            let (Some(head), true) = (head, Some(number) > state.last_closed()) else {
                // Emptied, or begun and never written into.
                self.disk.remove(&name).map_err(failed)?;
                continue;
            };
            let bytes = ::store::disk::read_all(&self.disk, &name).map_err(failed)?;
            let mut hints = Vec::new();
            let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
            let end = self.walk(&bytes, head, |walked| {
                if state.count(walked.session, walked.seq, &walked.hint, walked.bytes) {
                    add_part(&mut parts, walked.session, walked.seq, walked.bytes);
                    hints.push((Prefix::of(&walked.hint), walked.offset));
                }
            });
            self.settle(&name, &bytes, end).map_err(failed)?;
            if hints.is_empty() {
                self.disk.remove(&name).map_err(failed)?;
                continue;
            }
            shelf::write_hints(&self.disk, head, &hints).map_err(failed)?;
            let again = u64::try_from(hints.len()).unwrap_or(u64::MAX);
            self.report.counted_again = self.report.counted_again.saturating_add(again);
            for (prefix, offset) in &hints {
                self.enter(*prefix, Place { part: number, offset: *offset });
            }
            let progress = parts.keys().filter_map(|session| {
                state.session(*session).map(|found| (*session, found.progress.clone()))
            });
            facts.push(Fact::Closed {
                segment: number,
                bytes: end.upto,
                progress: progress.collect(),
                parts: parts.into_iter().collect(),
            });
        }
        Ok(facts)
    }

    fn head(&self, number: u32) -> Result<Option<Head>, OpenError> {
        let name = shelf::name(number);
        let read = || {
            let file = self.disk.open(&name)?;
            let mut bytes = [0; segment::HEAD_BYTES];
            let read = file.read_at(0, &mut bytes)?;
            io::Result::Ok(Head::decode(bytes.get(..read).unwrap_or_default()))
        };
        let head = read().map_err(|e| ShelfError::disk("read", &name, e))?;
        Ok(head.filter(|head| head.number == number))
    }

    /// Goes through all whole groups of a segment.
    fn walk(&mut self, bytes: &[u8], head: Head, mut each: impl FnMut(segment::Walked<'_>)) -> End {
        let start = u32::try_from(segment::HEAD_BYTES).unwrap_or(u32::MAX);
        let mut end = End { last: None, upto: start };
        loop {
            if let Some((body, next)) = segment::group_at(bytes, end.upto, head.salt) {
                segment::records(body, end.upto).for_each(&mut each);
                end = End { last: Some(end.upto), upto: next };
                continue;
            }
            match segment::tail_at(bytes, end.upto, head.salt) {
                Tail::Clean => return end,
                Tail::Torn => {
                    self.report.torn = true;
                    return end;
                }
                Tail::Damaged { next } => {
                    let place = Place { part: head.number, offset: end.upto };
                    tracing::error!(?place, "stored records are damaged: they are lost");
                    self.report.damaged.push(place);
                    end.upto = next;
                }
            }
        }
    }

    /// Writes the last group again and syncs it: it was read from the system's cache, and if its own sync
    /// had failed, the cache takes it for clean.
    fn settle(&self, name: &str, bytes: &[u8], end: End) -> io::Result<()> {
        let Some(last) = end.last else { return Ok(()) };
        let (from, to) =
            (usize::try_from(last).unwrap_or(0), usize::try_from(end.upto).unwrap_or(0));
        let group = bytes.get(from..to).unwrap_or_default();
        let mut file = self.disk.open(name)?;
        file.write_at(u64::from(last), group)?;
        file.sync_data()
    }

    fn enter(&mut self, prefix: Prefix, place: Place) {
        self.index.insert(prefix, place);
        if place >= self.compared {
            self.recent.push((prefix, place));
        }
    }
}

/// Where the whole groups of a segment end.
#[derive(Clone, Copy)]
struct End {
    /// The beginning of the last.
    last: Option<u32>,
    /// The end of the last.
    upto: u32,
}
