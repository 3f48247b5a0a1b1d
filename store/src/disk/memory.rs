//! A directory in memory that behaves as badly as a disk may.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
#[expect(
    clippy::disallowed_types,
    reason = "the simulated device is shared by its open files, as a real one is by the kernel"
)]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::image::{Change, Dice, Inode};
use super::{Disk, DiskFile, Entries, Failure, LockError, Loss, Operation, Plan};

/// A directory in memory: forgets what was not synced, tears the last write, reorders, keeps stale
/// names, dies and fails on command.
///
/// Clones are handles to the same directory; [`MemoryDisk::restart`] and [`MemoryDisk::power_cut`]
/// give new ones.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    device: Device,
}

#[expect(clippy::disallowed_types, reason = "see above")]
type Device = Arc<Mutex<State>>;

#[derive(Clone, Debug)]
struct State {
    entries: Entries,
    inodes: BTreeMap<u64, Inode>,
    /// What the running system sees.
    names: BTreeMap<String, u64>,
    /// What survives.
    durable: BTreeMap<String, u64>,
    changes: Vec<Change>,
    locks: BTreeSet<String>,
    plan: Plan,
    dead: bool,
    operations: u64,
}

impl MemoryDisk {
    /// An empty directory.
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub fn new(entries: Entries) -> Self {
        let state = State {
            entries,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            locks: BTreeSet::new(),
            plan: Plan::default(),
            dead: false,
            operations: 0,
        };
        Self { device: Arc::new(Mutex::new(state)) }
    }

    /// What will go wrong from now on, in place of what was planned before.
    pub fn set_plan(&self, plan: Plan) {
        self.state().plan = plan;
    }

    /// How many operations were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The bytes all files have together, as readers see them.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The directory as the next process finds it after this one was killed: all that was written is
    /// there, and what was not synced still hangs in the air.
    pub fn restart(&self) -> Self {
        let state = self.state().clone();
        Self::of(state)
    }

    /// The directory as the next process finds it after a power cut.
    pub fn power_cut(&self, seed: u64, loss: Loss) -> Self {
        let mut dice = Dice::new(seed);
        let mut state = self.state().clone();
        let mut names = std::mem::take(&mut state.durable);
        Change::survivors(&state.changes, &mut names, (state.entries, loss), &mut dice);
        for inode in state.inodes.values_mut() {
            let content = inode.survivor(loss, &mut dice);
            *inode = Inode { live: content.clone(), durable: content, pending: Vec::new() };
        }
        state.inodes.retain(|inode, _| names.values().any(|named| named == inode));
        state.names.clone_from(&names);
        state.durable = names;
        state.changes = Vec::new();
        Self::of(state)
    }

    /// Lets go of every lock, as a file system does that forgot about its clients.
    pub fn forget_locks(&self) {
        self.state().locks.clear();
    }

    /// The bytes of a file, as readers see them.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.inodes.get(state.names.get(name)?)?.live.clone())
    }

    /// Replaces the bytes of a file behind everyone's back, durably: what a failing disk does to
    /// bytes at rest. Makes the file if it is missing.
    pub fn set_content(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.names.get(name).copied().unwrap_or_else(|| state.link(name));
        state.durable.insert(name.to_owned(), inode);
        let content = Inode { live: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
        state.inodes.insert(inode, content);
    }

    #[expect(clippy::disallowed_types, reason = "see above")]
    fn of(mut state: State) -> Self {
        state.locks.clear();
        state.plan = Plan::default();
        state.dead = false;
        Self { device: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        state_of(&self.device)
    }
}

fn state_of(device: &Device) -> MutexGuard<'_, State> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Counts an operation; an error if it fails or if the process is dead, `Ok(true)` if it dies in
    /// the middle of this one.
    fn begin(&mut self, operation: Operation) -> Result<bool, (Failure, io::Error)> {
        self.operations = self.operations.saturating_add(1);
        if self.dead {
            return Err((Failure::Io, killed()));
        }
        self.dead = self.plan.dies(operation);
        match self.plan.meet(operation) {
            Some(failure) => Err((failure, failure.error())),
            None => Ok(self.dead),
        }
    }

    /// An operation that is done or not, never by half.
    fn whole(&mut self, operation: Operation) -> io::Result<()> {
        match self.begin(operation) {
            Ok(false) => Ok(()),
            Ok(true) => Err(killed()),
            Err((_, error)) => Err(error),
        }
    }

    fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|inode| self.inodes.get(inode));
        files.map(|inode| u64::try_from(inode.live.len()).unwrap_or(u64::MAX)).sum()
    }

    fn link(&mut self, name: &str) -> u64 {
        let inode = self.inodes.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        self.inodes.insert(inode, Inode::default());
        self.change(Change::Link { name: name.to_owned(), inode, from: None });
        inode
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn commit_names(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            change.apply(&mut self.durable);
        }
    }

    /// A write, cut short by what is planned or by the size of the disk.
    fn write(&mut self, inode: u64, offset: u64, bytes: &[u8], kind: Operation) -> io::Result<()> {
        let outcome = self.begin(kind);
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let used = self.used();
        let file = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        let end = at.saturating_add(bytes.len());
        let growth = u64::try_from(end.saturating_sub(file.live.len())).unwrap_or(u64::MAX);
        let full = self.plan.limit().is_some_and(|limit| used.saturating_add(growth) > limit);
        let half =
            bytes.split_at_checked(bytes.len().div_euclid(2)).map_or(bytes, |(half, _)| half);
        match outcome {
            Ok(true) => {
                file.write(at, bytes);
                Err(killed())
            }
            Ok(false) if full => Err(Failure::Full.error()),
            Ok(false) => {
                file.write(at, bytes);
                Ok(())
            }
            Err((Failure::Half, error)) => {
                file.write(at, half);
                Err(error)
            }
            Err((Failure::Io | Failure::Full, error)) => Err(error),
        }
    }
}

fn killed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the process is dead, as planned")
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.state();
        state.whole(Operation::Create)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.link(name);
        Ok(MemoryFile { device: Arc::clone(&self.device), inode })
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.state();
        state.whole(Operation::Open)?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(MemoryFile { device: Arc::clone(&self.device), inode })
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let mut state = self.state();
        state.whole(Operation::List)?;
        Ok(state.names.contains_key(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.whole(Operation::List)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.begin(Operation::Rename).map_err(|(_, error)| error)?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change::Link { name: to.to_owned(), inode, from: Some(from.to_owned()) });
        if outcome { Err(killed()) } else { Ok(()) }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.begin(Operation::Remove).map_err(|(_, error)| error)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Unlink { name: name.to_owned() });
        if outcome { Err(killed()) } else { Ok(()) }
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.whole(Operation::SyncDir)?;
        state.commit_names();
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<MemoryLock, LockError> {
        let mut state = self.state();
        state.whole(Operation::Open)?;
        if !state.locks.insert(name.to_owned()) {
            return Err(LockError::Held { pid: Some(std::process::id()) });
        }
        Ok(MemoryLock { device: Arc::clone(&self.device), name: name.to_owned() })
    }
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    device: Device,
    inode: u64,
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        let mut state = state_of(&self.device);
        state.whole(Operation::Read)?;
        let file = state.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        u64::try_from(file.live.len()).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = state_of(&self.device);
        state.whole(Operation::Read)?;
        let file = state.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(file.live.len());
        let available = file.live.get(at..).unwrap_or_default();
        let count = available.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(available) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        state_of(&self.device).write(self.inode, offset, bytes, Operation::Write)
    }

    fn preallocate(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let zeros = vec![0; length];
        state_of(&self.device).write(self.inode, offset, &zeros, Operation::Preallocate)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = state_of(&self.device);
        let outcome = state.begin(Operation::Truncate).map_err(|(_, error)| error)?;
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let file = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        file.cut(length);
        if outcome { Err(killed()) } else { Ok(()) }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = state_of(&self.device);
        let outcome = state.whole(Operation::SyncData);
        let (dead, ext4) = (state.dead, state.entries == Entries::Ext4);
        let inode = self.inode;
        let file = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        match outcome {
            Ok(()) => {
                if file.sync() && ext4 {
                    state.commit_names();
                }
                Ok(())
            }
            Err(error) => {
                if !dead {
                    file.pending.clear();
                }
                Err(error)
            }
        }
    }
}

/// A lock of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLock {
    device: Device,
    name: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        state_of(&self.device).locks.remove(&self.name);
    }
}
