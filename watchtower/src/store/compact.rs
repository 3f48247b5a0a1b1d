//! Deleting for good: segments of which more than half belongs to sessions that are gone are written anew.
//!
//! A session is gone with one fact, whatever it stored; its records are found by hints like all others, and
//! dropped because nobody's session they are. The new file takes the place of the old one under its name, so
//! a crash leaves one of the two, and the list of hints names the file that it belongs to.
//!
//! By itself it takes one segment a block, in a block's time in which no record came; a disk that is full does
//! not wait for that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ::store::disk::{Disk, DiskFile};

use crate::index::{Place, Prefix};
use crate::message::Sealed;
use crate::store::fact::{Fact, Part};
use crate::store::keeper::Thread;
use crate::store::segment::{self, Group, Head};
use crate::store::shelf;
use crate::store::state::add_part;

/// The ending of a file that is not finished.
const ASIDE: &str = ".new";
/// Records are written in groups of so many bytes.
const GROUP_BYTES: usize = 1 << 20;

/// Writes so many segments anew at most; says how many.
pub(crate) fn compact<D: Disk>(thread: &mut Thread<D>, most: usize) -> u32 {
    let due: Vec<u32> = (thread.state.segments())
        .filter(|(_, segment)| {
            let (dead, all) = thread.state.dead_bytes(segment);
            dead > 0 && dead.saturating_mul(2) >= all
        })
        .map(|(number, _)| number)
        .take(most)
        .collect();
    let mut done = 0_u32;
    for number in due {
        match rewrite(thread, number) {
            Ok(true) => done = done.saturating_add(1),
            Ok(false) => {}
            Err(error) => {
                // The old file is still there, or the new one is whole.
                tracing::warn!(%error, segment = number, "a segment is not compacted");
                break;
            }
        }
    }
    done
}

fn rewrite<D: Disk>(thread: &mut Thread<D>, number: u32) -> io::Result<bool> {
    let disk = thread.shelf.disk().clone();
    let name = shelf::name(number);
    let bytes = ::store::disk::read_all(&disk, &name)?;
    let Some(head) = Head::decode(&bytes) else { return Ok(false) };
    let old_bytes = thread.state.segment(number).map_or(0, |segment| segment.bytes);
    let live: BTreeSet<u32> = thread.state.sessions().map(|(session, _)| session).collect();
    // Another salt, so that the old list does not fit the new file.
    let new = Head { number, salt: head.salt.rotate_left(1) ^ 0x9e37_79b9_7f4a_7c15 };
    let mut writing = Writing::start(&disk, &format!("{name}{ASIDE}"), new)?;
    let mut old: Vec<(Prefix, u32)> = Vec::new();
    let mut at = u32::try_from(segment::HEAD_BYTES).unwrap_or(u32::MAX);
    while at < old_bytes {
        let Some((body, next)) = segment::group_at(&bytes, at, head.salt) else {
            let segment::Tail::Damaged { next } = segment::tail_at(&bytes, at, head.salt) else {
                break;
            };
            at = next;
            continue;
        };
        for walked in segment::records(body, at) {
            old.push((Prefix::of(&walked.hint), walked.offset));
            if live.contains(&walked.session) {
                let sealed = Sealed { hint: walked.hint, ciphertext: walked.bytes.to_vec() };
                writing.add(walked.session, walked.seq, sealed)?;
            }
        }
        at = next;
    }
    let (length, hints, parts) = writing.finish()?;
    for (prefix, offset) in old {
        thread.index.remove(prefix, Place { part: number, offset });
    }
    let fact = if hints.is_empty() {
        disk.remove(&format!("{name}{ASIDE}"))?;
        Fact::Emptied { segment: number }
    } else {
        shelf::write_hints(&disk, new, &hints)?;
        disk.rename(&format!("{name}{ASIDE}"), &name)?;
        disk.sync_dir()?;
        for (prefix, offset) in &hints {
            thread.index.insert(*prefix, Place { part: number, offset: *offset });
        }
        Fact::Rewritten { segment: number, bytes: length, parts: parts.into_iter().collect() }
    };
    let emptied = hints.is_empty();
    let recorded = thread.record(&[fact]);
    if emptied && recorded {
        disk.remove(&name)?;
        if disk.exists(&shelf::hints_name(number))? {
            disk.remove(&shelf::hints_name(number))?;
        }
        disk.sync_dir()?;
    }
    let length = if emptied { 0 } else { length };
    thread.figures.bytes =
        thread.figures.bytes.saturating_sub(u64::from(old_bytes)).saturating_add(u64::from(length));
    Ok(true)
}

/// What was written: its length, its hints, what it has of each session.
type Written = (u32, Vec<(Prefix, u32)>, BTreeMap<u32, Part>);

/// A segment that is being written aside.
struct Writing<F> {
    file: F,
    head: Head,
    group: Group,
    /// What the group will have: session, hint, offset in it.
    waiting: Vec<(Prefix, u32)>,
    offset: u32,
    hints: Vec<(Prefix, u32)>,
    parts: BTreeMap<u32, Part>,
}

impl<F: DiskFile> Writing<F> {
    fn start<D: Disk<File = F>>(disk: &D, name: &str, head: Head) -> io::Result<Self> {
        if disk.exists(name)? {
            disk.remove(name)?;
        }
        let mut file = disk.create(name)?;
        file.write_at(0, &head.encode())?;
        let offset = u32::try_from(segment::HEAD_BYTES).unwrap_or(u32::MAX);
        let (group, waiting, hints) = (Group::default(), Vec::new(), Vec::new());
        Ok(Self { file, head, group, waiting, offset, hints, parts: BTreeMap::new() })
    }

    fn add(&mut self, session: u32, seq: u32, record: Sealed) -> io::Result<()> {
        add_part(&mut self.parts, session, seq, &record.ciphertext);
        let prefix = Prefix::of(&record.hint);
        let places = self.group.push(session, seq, &[record]);
        self.waiting.extend(places.into_iter().map(|place| (prefix, place)));
        if self.group.len() >= GROUP_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let bytes = self.group.finish(self.offset, self.head.salt);
        self.file.write_at(u64::from(self.offset), bytes)?;
        let base = self.offset;
        self.offset = base.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        for (prefix, offset) in self.waiting.drain(..) {
            self.hints.push((prefix, base.saturating_add(offset)));
        }
        self.group.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Written> {
        self.write()?;
        self.file.sync_data()?;
        Ok((self.offset, self.hints, self.parts))
    }
}
