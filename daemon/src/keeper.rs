//! What follows the journal: the index of events, and the next snapshot.
//!
//! Nothing here is on the way of a payment. The index holds what users look at and can be filled again;
//! a snapshot is made by the same fold that a restart runs, out of segments that are closed.
//!
//! Not here: the journal's files (`store::journal`), what a subscriber sees of an event (`node`).

mod events;
pub mod history;

use std::sync::mpsc;
use std::thread;

use channel::seal::Lsn;
use store::disk::RealDisk;
use store::engine::Batch;
use store::index::Index;
use store::journal::{History, JournalError, Options, Recovery};
use tokio::sync::watch;

use crate::archive::{Archived, Archives};
use crate::channels::directory::Directory;
use crate::clock::now_ms;
use crate::datadir::DataDir;
use crate::journal::Group;
use crate::state::{State, StateError};
use crate::switch::book::Sums;

pub use events::{EVENTS, EventRow, Subject};
pub use history::UnderWay;

/// Durable groups that may wait for the index; then the journal thread waits, so memory is bounded.
pub const GROUPS: usize = 4_096;

/// How often expired invoices are looked for, in milliseconds.
const EXPIRE_EVERY_MS: u64 = 10_000;

/// Closed journal behind the last snapshot at which a new one is made, in bytes.
const SNAPSHOT_EVERY_BYTES: u64 = 128 << 20;

/// The threads that follow the journal.
#[derive(Debug)]
pub struct Keeper {
    index: thread::JoinHandle<()>,
    snapshots: thread::JoinHandle<()>,
}

/// What others see of the index.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The index itself, as long as the node runs: whoever still holds a handle afterwards must not keep
    /// its files open.
    engine: std::sync::Weak<dyn store::engine::Engine>,
    /// The last journal position that is in it.
    pub reached: watch::Receiver<u64>,
    /// What the forwards in it add up to.
    pub forwarded: watch::Receiver<Sums>,
}

impl Reading {
    /// Of an index that a test holds.
    #[cfg(test)]
    pub(crate) fn of(engine: &std::sync::Arc<dyn store::engine::Engine>) -> Self {
        Self {
            engine: std::sync::Arc::downgrade(engine),
            reached: watch::channel(0).1,
            forwarded: watch::channel(Sums::default()).1,
        }
    }

    /// The index, unless the node has stopped.
    pub fn engine(&self) -> Option<std::sync::Arc<dyn store::engine::Engine>> {
        self.engine.upgrade()
    }
}

impl Keeper {
    /// Waits for the threads, which end when the journal thread is gone. Blocks.
    pub fn join(self) {
        for thread in [self.index, self.snapshots] {
            if thread.join().is_err() {
                tracing::error!("a thread behind the journal panicked; the journal is whole");
            }
        }
    }
}

/// Starts both threads.
///
/// # Errors
/// If the system gives no thread.
pub fn start(
    index: Index,
    under_way: UnderWay,
    (history, archives, directory): (History<RealDisk>, Archives, Directory),
) -> std::io::Result<(Keeper, Reading, mpsc::SyncSender<Group>)> {
    let (groups, group) = mpsc::sync_channel::<Group>(GROUPS);
    let (due, wake) = mpsc::sync_channel::<()>(1);
    let (publish, reached) = watch::channel(index.reached());
    let (sums, forwarded) = watch::channel(under_way.forwards.sums());
    let engine = std::sync::Arc::downgrade(&index.reader());
    let index = thread::Builder::new().name("index".to_owned()).spawn(move || {
        Filler { index, under_way, failed: false, publish, sums, due, bytes: 0, expired_ms: 0 }
            .run(&group);
    })?;
    let snapshots = thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
        while wake.recv().is_ok() {
            match snapshot(&history, &archives) {
                Ok(Some((upto, archived))) => {
                    tracing::info!(upto, "snapshot");
                    let_go(&directory, archived);
                }
                Ok(None) => {}
                // The journal keeps everything, so a snapshot can wait.
                Err(error) => tracing::error!(%error, "no snapshot; disk space is not given back"),
            }
        }
    })?;
    Ok((Keeper { index, snapshots }, Reading { engine, reached, forwarded }, groups))
}

/// Puts what had ended by the last snapshot into the index, if that was lost or left behind, and keeps
/// only what is under way in mind.
///
/// # Errors
/// If the index fails; it then begins anew at the next start.
pub fn begin(
    index: &mut Index,
    under_way: &mut UnderWay,
    snapshot: Option<u64>,
) -> Result<(), store::table::TableError> {
    let mut batch = Batch::new();
    under_way.let_go(&mut batch)?;
    match snapshot {
        Some(seq) => Ok(index.apply(seq, batch)?),
        None => Ok(()),
    }
}

/// Puts a record of the journal into the index, while nothing follows the journal yet.
///
/// # Errors
/// If the index fails; it then begins anew at the next start.
pub fn fill(
    index: &mut Index,
    under_way: &mut UnderWay,
    at: Lsn,
    record: &[u8],
) -> Result<(), store::table::TableError> {
    let mut batch = Batch::new();
    if let Some(facts) = events::facts_worth_a_row(record) {
        events::index(&mut batch, at, &facts)?;
        under_way.index(&mut batch, at, &facts)?;
    }
    Ok(index.apply(at.0, batch)?)
}

struct Filler {
    index: Index,
    under_way: UnderWay,
    failed: bool,
    publish: watch::Sender<u64>,
    sums: watch::Sender<Sums>,
    due: mpsc::SyncSender<()>,
    bytes: u64,
    expired_ms: u64,
}

impl Filler {
    fn run(&mut self, groups: &mpsc::Receiver<Group>) {
        while let Ok(group) = groups.recv() {
            // After a failure no later record may go in, or the one that is missing would never be.
            if !self.failed
                && let Err(error) = self.take(&group)
            {
                self.failed = true;
                tracing::error!(%error, "the index failed; events stop here until the next start");
            }
        }
        if self.failed {
            return;
        }
        if let Err(error) = self.index.close() {
            tracing::warn!(%error, "the index was not closed; it will be filled anew");
        }
    }

    fn take(&mut self, group: &Group) -> Result<(), store::table::TableError> {
        let mut batch = Batch::new();
        let mut last = 0;
        for (at, record) in group {
            if let Some(facts) = events::facts_worth_a_row(record) {
                events::index(&mut batch, *at, &facts)?;
                self.under_way.index(&mut batch, *at, &facts)?;
            }
            last = at.0;
            let bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        let now = now_ms();
        if now >= self.expired_ms.saturating_add(EXPIRE_EVERY_MS) {
            self.expired_ms = now;
            self.under_way.expire(&mut batch, now)?;
        }
        self.index.apply(last, batch)?;
        self.sums.send_replace(self.under_way.forwards.sums());
        self.publish.send_replace(last);
        if self.bytes >= SNAPSHOT_EVERY_BYTES && self.due.try_send(()).is_ok() {
            self.bytes = 0;
        }
        Ok(())
    }
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its records do not make a state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A directory cannot be opened.
    #[error("the store: {0}")]
    Directory(std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Makes a snapshot of a node that does not run, and gives the disk back what that replaces.
///
/// # Errors
/// If the journal is in use or damaged, or its records do not make a state.
pub fn compact(dir: &DataDir) -> Result<Option<u64>, SnapshotFault> {
    let disk = |path| RealDisk::open(path).map_err(SnapshotFault::Directory);
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(|_| SnapshotFault::Random)?;
    let options = Options::new(u64::from_le_bytes(salt));
    let recovery = Recovery::start(disk(dir.store().join("journal"))?, options)?;
    let (mut journal, _) = recovery.finish()?;
    journal.rotate()?;
    let archives = Archives::open(&dir.archive()).map_err(SnapshotFault::Directory)?;
    Ok(snapshot(&journal.history(), &archives)?.map(|(upto, _)| upto))
}

/// Running channels let go of what the archive has; one that misses the word only keeps more in memory.
fn let_go(directory: &Directory, archived: Archived) {
    let doors = directory.doors();
    for (index, command) in archived {
        if let Some(door) = doors.get(index) {
            let _full = door.commands.send(vec![command]);
        }
    }
}

/// Folds closed segments into the next snapshot and lets go of what it replaces.
///
/// Settled HTLCs are durable in the archive before there is a snapshot without them.
fn snapshot(
    history: &History<RealDisk>,
    archives: &Archives,
) -> Result<Option<(u64, Archived)>, SnapshotFault> {
    let before = history.snapshot()?;
    let (mut state, after) = match &before {
        Some(snapshot) => {
            (State::decode(&snapshot.payload).map_err(StateError::from)?, snapshot.seq)
        }
        None => (State::default(), 0),
    };
    let mut reader = history.read(after)?;
    let mut reached = after;
    while let Some(record) = reader.next_record()? {
        state.apply(Lsn(record.seq), record.payload)?;
        reached = record.seq;
    }
    if reached == after {
        return Ok(None);
    }
    state.forget(now_ms());
    let archived = archives.take_over(&mut state);
    history.write_snapshot(reached, &state.encode())?;
    history.retire()?;
    if let Err(error) = archives.tidy(&state) {
        tracing::warn!(%error, "archives of closed channels are still there");
    }
    Ok(Some((reached, archived)))
}
