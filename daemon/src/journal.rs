//! The journal thread: the one place that writes, syncs, and may say [`Flushed`].
//!
//! Every task appends through its own [`Writer`]. A position is handed out with one atomic addition,
//! so the order of positions is the order of decisions; the thread puts the records back into that
//! order, writes all that are there and syncs once for everybody.
//!
//! Not here: the file format (`store::journal`), what a record says (`fact`), what reads it (`keeper`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use channel::seal::{Flushed, Journal as Records, Lsn};
use tokio::sync::watch;

use crate::tasks::{Fatal, Tasks};

/// Records that may wait for the thread. Each channel keeps at most `channels::WINDOW` unopened steps,
/// so reaching it means that the disk is slower than every queue in the node: writers then wait.
const QUEUE: usize = 65_536;

/// How much is written before a sync, so that one slow group does not hold up a small one for long.
const GROUP_BYTES: usize = 8 << 20;

struct Entry {
    lsn: u64,
    record: Vec<u8>,
}

/// A group of records that is durable, for whoever follows the journal.
pub type Group = Vec<(Lsn, Vec<u8>)>;

/// A task's way into the journal.
#[derive(Debug)]
pub struct Writer {
    next: Arc<AtomicU64>,
    queue: mpsc::SyncSender<Entry>,
    last: Lsn,
}

impl Clone for Writer {
    fn clone(&self) -> Self {
        Self { next: Arc::clone(&self.next), queue: self.queue.clone(), last: self.last }
    }
}

impl Records for Writer {
    /// An empty record is due as soon as this writer's record before it.
    fn append(&mut self, record: Vec<u8>) -> Lsn {
        if record.is_empty() {
            return self.last;
        }
        let lsn = self.next.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.last = Lsn(lsn);
        // The thread ends only with the node; what it can no longer write is never said to be durable,
        // so its effects never leave.
        let _gone = self.queue.send(Entry { lsn, record });
        self.last
    }
}

/// Lets the disk fail after a number of records, for tests of what a crash leaves; never, unless lit.
///
/// It counts moments, two a record: before it is written, and when it is durable but nobody has heard of it.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<AtomicU64>);

impl Default for Fuse {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Fuse {
    /// So many records more, and no other. The last of them are durable, and nobody hears of it.
    pub fn light(&self, records: u64) {
        self.light_moments(records.saturating_mul(2));
    }

    /// So many moments more: with an odd number the last record is durable and nobody hears of it, with an even one
    /// its effects are out and the record behind it is lost. [`u64::MAX`]: for ever.
    pub fn light_moments(&self, moments: u64) {
        self.0.store(moments, Ordering::SeqCst);
    }

    /// Puts it out; how many moments were left, [`u64::MAX`] when it was not lit.
    pub fn put_out(&self) -> u64 {
        self.0.swap(u64::MAX, Ordering::SeqCst)
    }

    /// Whether the next moment comes.
    fn burns(&self) -> bool {
        let burn = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, burn).is_ok()
    }
}

/// What the node needs to know of the running journal.
#[derive(Debug)]
pub struct Running {
    /// Makes more writers.
    pub writer: Writer,
    /// How far the disk has come.
    pub flushed: watch::Receiver<Flushed>,
    /// Bytes, records and syncs so far, for benchmarks and metrics.
    pub stats: watch::Receiver<store::journal::Stats>,
    /// Ends the journal early.
    pub fuse: Fuse,
    thread: thread::JoinHandle<()>,
}

impl Running {
    /// Waits for the thread, which ends when the last writer is gone. Blocks: call it last.
    pub fn join(self) {
        let Self { writer, flushed, stats, fuse: _, thread } = self;
        drop((writer, flushed, stats));
        if thread.join().is_err() {
            tracing::error!("the journal thread panicked");
        }
    }
}

/// Starts the thread on an opened journal. Durable groups go to `follower`.
///
/// # Errors
/// If the system gives no thread.
pub fn start(
    journal: store::journal::Journal,
    follower: mpsc::SyncSender<Group>,
    tasks: Tasks,
) -> std::io::Result<Running> {
    let last = journal.durable();
    let (queue, entries) = mpsc::sync_channel(QUEUE);
    let (publish, flushed) = watch::channel(attest(last));
    let (publish_stats, stats) = watch::channel(journal.stats());
    let fuse = Fuse::default();
    let burning = fuse.clone();
    let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let mut thread = Thread {
            journal,
            entries,
            early: BTreeMap::new(),
            written: last,
            publish,
            publish_stats,
            follower,
            fuse: burning,
        };
        if let Err(error) = thread.run() {
            tasks.fail(Fatal::Journal(error.to_string()));
        }
    })?;
    let writer = Writer { next: Arc::new(AtomicU64::new(last)), queue, last: Lsn(last) };
    Ok(Running { writer, flushed, stats, fuse, thread })
}

#[expect(clippy::disallowed_methods, reason = "this is the journal")]
const fn attest(upto: u64) -> Flushed {
    Flushed::attest(Lsn(upto))
}

struct Thread {
    journal: store::journal::Journal,
    entries: mpsc::Receiver<Entry>,
    /// Records whose predecessor has not arrived yet.
    early: BTreeMap<u64, Vec<u8>>,
    written: u64,
    publish: watch::Sender<Flushed>,
    publish_stats: watch::Sender<store::journal::Stats>,
    follower: mpsc::SyncSender<Group>,
    fuse: Fuse,
}

impl Thread {
    /// Until the last writer is gone or the disk fails. Errors of the disk are final: what a failed
    /// sync left behind is unknown.
    fn run(&mut self) -> Result<(), store::journal::JournalError> {
        while let Ok(first) = self.entries.recv() {
            let mut group = Group::new();
            let mut bytes = 0_usize;
            self.take(first, &mut group, &mut bytes)?;
            while bytes < GROUP_BYTES {
                let Ok(entry) = self.entries.try_recv() else { break };
                self.take(entry, &mut group, &mut bytes)?;
            }
            if group.is_empty() {
                continue;
            }
            self.journal.sync()?;
            self.publish.send_replace(attest(self.written));
            self.publish_stats.send_replace(self.journal.stats());
            // The follower keeps the index; without it the journal still holds everything.
            let _gone = self.follower.send(group);
        }
        // A closed segment cannot be taken for one whose last write was torn.
        self.journal.rotate()?;
        Ok(())
    }

    fn take(
        &mut self,
        entry: Entry,
        group: &mut Group,
        bytes: &mut usize,
    ) -> Result<(), store::journal::JournalError> {
        self.early.insert(entry.lsn, entry.record);
        while let Some(record) = self.early.remove(&self.written.saturating_add(1)) {
            if !self.fuse.burns() {
                self.journal.sync()?;
                return Err(store::journal::JournalError::Poisoned);
            }
            self.written = self.journal.append(&record)?;
            if !self.fuse.burns() {
                self.journal.sync()?;
                return Err(store::journal::JournalError::Poisoned);
            }
            *bytes = bytes.saturating_add(record.len());
            group.push((Lsn(self.written), record));
        }
        Ok(())
    }
}

/// A journal for tests of one task: every record is durable at once, and can be read.
#[cfg(test)]
pub(crate) mod paper {
    use super::*;
    use crate::fact::{Fact, facts};

    /// What was written.
    pub(crate) struct Paper {
        entries: mpsc::Receiver<Entry>,
        _disk: watch::Sender<Flushed>,
    }

    impl Paper {
        /// The records since the last look.
        pub(crate) fn facts(&self) -> Vec<Vec<Fact>> {
            self.entries.try_iter().map(|entry| facts(&entry.record).unwrap()).collect()
        }
    }

    /// A writer, a disk that has everything, and what is written.
    pub(crate) fn writer() -> (Writer, watch::Receiver<Flushed>, Paper) {
        let (queue, entries) = mpsc::sync_channel(QUEUE);
        let (disk, flushed) = watch::channel(attest(u64::MAX));
        let writer = Writer { next: Arc::default(), queue, last: Lsn(0) };
        (writer, flushed, Paper { entries, _disk: disk })
    }
}
