//! The task that keeps the backup: hears of every open and close, writes the file, lends it to peers and
//! keeps theirs.
//!
//! A backup's number is in the journal before the backup is anywhere else. So a number that is elsewhere
//! and not in our journal proves that the journal is an older copy.
//!
//! Not here: what is said to peers and when (`traffic`).

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use channel::seal::{Flushed, Sealed, Step};
use tokio::sync::{oneshot, watch};
use wire::id::NodeId;
use wire::units::BlockHeight;

use super::content::{Backup, Entry};
use super::envelope::{self, BackupFault};
use super::files::Files;
use super::shelf::Shelf;
use super::traffic::Traffic;
use crate::clock::now_ms;
use crate::edge::Inbox;
use crate::fact::{BackupTaken, ChannelIndex, Fact, OrderKept, record};
use crate::journal::Writer;
use crate::peers::link::Link;
use crate::seed::Secret32;
use crate::tasks::{Fatal, Tasks};

/// What connections and users may have waiting.
pub const ASKS: usize = 1_024;

/// What channels may have said: two words each in their lives.
pub const FROM_CHANNELS: usize = 65_536;

/// How often what is due is looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long after a write failed it is tried again, in milliseconds.
const AGAIN_MS: u64 = 10_000;

/// What a channel tells.
#[derive(Debug)]
pub enum FromChannel {
    /// It is funded, or restored.
    Open(Box<Entry>),
    /// It is over.
    Over(ChannelIndex),
}

/// What connections and users want.
#[derive(Debug)]
pub enum Ask {
    /// A connection stands. What we keep for the peer is said before `done` is told.
    Up {
        /// The connection.
        link: Link,
        /// Where the peer was reached, if we called it.
        address: Option<String>,
        /// Told when channels may talk.
        done: oneshot::Sender<()>,
    },
    /// A connection is gone.
    Down {
        /// With whom.
        node: NodeId,
        /// Which.
        generation: u64,
    },
    /// A peer wants something kept. BOLT 1 § Peer Storage.
    Keep {
        /// Who.
        node: NodeId,
        /// What.
        blob: Vec<u8>,
    },
    /// A peer gives back what it kept. BOLT 1 § Peer Storage.
    Back {
        /// Who.
        node: NodeId,
        /// What.
        blob: Vec<u8>,
        /// Told when it was looked at.
        done: oneshot::Sender<()>,
    },
    /// A tower gives back what it kept.
    Told {
        /// Which tower.
        holder: NodeId,
        /// What it had, opened.
        backup: Box<Backup>,
        /// Told when it was looked at.
        done: oneshot::Sender<()>,
    },
    /// The newest backup, for towers; none as long as there is none.
    Newest {
        /// Answered at once.
        reply: oneshot::Sender<Option<Backup>>,
    },
    /// How everything stands.
    Show {
        /// Answered at once.
        reply: oneshot::Sender<Status>,
    },
    /// What a file says, or without one what peers gave back.
    Open {
        /// The file's bytes.
        file: Option<Vec<u8>>,
        /// Answered at once.
        reply: oneshot::Sender<Result<Backup, BackupFault>>,
    },
    /// The newest backup, sealed.
    Export {
        /// Answered at once.
        reply: oneshot::Sender<Result<Vec<u8>, BackupFault>>,
    },
    /// Channels are about to be restored from this: no backup of ours may have a lower number.
    Take {
        /// What is restored.
        backup: Box<Backup>,
        /// The idempotency key of the request.
        kept: Option<OrderKept>,
        /// Answered when it is durable.
        reply: oneshot::Sender<()>,
    },
}

/// Somebody holds a newer backup of ours than our journal knows: the journal is an older copy, or empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ahead {
    /// Who holds it; `None` for the file beside the journal.
    pub holder: Option<NodeId>,
    /// Its number.
    pub counter: u64,
    /// The newest number in our journal.
    pub known: u64,
}

/// How everything stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// The newest backup's number; 0 before the first.
    pub counter: u64,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
    /// Channels in it.
    pub channels: u32,
    /// The file beside the journal.
    pub path: PathBuf,
    /// Why the newest is not there, if it is not.
    pub problem: Option<String>,
    /// The other file.
    pub second: Option<PathBuf>,
    /// Why the newest is not there, if it is not.
    pub second_problem: Option<String>,
    /// Peers that were given a backup, and its number.
    pub holders: Vec<(NodeId, u64)>,
    /// Peers for whom we keep something.
    pub kept_for: u32,
    /// Whether a newer one than ours is about.
    pub ahead: Option<Ahead>,
}

/// A backup as it goes out.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) counter: u64,
    pub(super) made_ms: u64,
    file: Arc<Vec<u8>>,
    pub(super) blob: Arc<Vec<u8>>,
}

/// What waits for the disk.
enum Then {
    Publish(Made),
    Tell(oneshot::Sender<()>),
}

/// What the task starts with.
pub struct Start {
    /// Who we are.
    pub node: NodeId,
    /// What backups are sealed with.
    pub key: Secret32,
    /// The newest number in the journal.
    pub counter: u64,
    /// The lowest number that no channel in the journal ever had.
    pub next_channel: u64,
    /// Channels as the journal has them.
    pub entries: Vec<Entry>,
    /// Where the file goes.
    pub files: Files,
    /// What we keep for peers.
    pub shelf: Shelf,
    /// The way into the journal.
    pub writer: Writer,
    /// The best chain's height.
    pub height: watch::Receiver<BlockHeight>,
    /// Where it is told that somebody is ahead of us.
    pub ahead: watch::Sender<Option<Ahead>>,
    /// The tree of tasks.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// The task's state.
pub struct Keeper {
    node: NodeId,
    key: Secret32,
    counter: u64,
    /// The lowest number that no channel we know of ever had.
    next_channel: u64,
    pub(super) entries: BTreeMap<ChannelIndex, Entry>,
    files: Files,
    writer: Writer,
    waiting: VecDeque<Sealed<Then>>,
    pub(super) height: watch::Receiver<BlockHeight>,
    pub(super) ahead: watch::Sender<Option<Ahead>>,
    tasks: Tasks,
    /// Whether the channels changed since the last backup.
    changed: bool,
    /// The newest that is durable in the journal.
    pub(super) newest: Option<Made>,
    problem: Option<String>,
    second_problem: Option<String>,
    again_ms: Option<u64>,
    pub(super) traffic: Traffic,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Takes up where the journal ends, and looks at the file that is there.
    #[must_use]
    pub fn new(start: Start) -> Self {
        let Start { node, key, counter, next_channel, entries, files, shelf, .. } = start;
        let (writer, height, ahead, tasks) = (start.writer, start.height, start.ahead, start.tasks);
        let entries: BTreeMap<_, _> =
            entries.into_iter().map(|entry| (ChannelIndex(entry.index), entry)).collect();
        let mut keeper = Self {
            node,
            key,
            counter,
            next_channel,
            entries,
            files,
            writer,
            waiting: VecDeque::new(),
            height,
            ahead,
            tasks,
            changed: false,
            newest: None,
            problem: None,
            second_problem: None,
            again_ms: None,
            traffic: Traffic::new(shelf),
        };
        keeper.look_at_file();
        keeper
    }

    /// The file may be missing, older than the journal, or newer: then the journal is an older copy, and
    /// the file stays.
    fn look_at_file(&mut self) {
        let found = self.files.read().map(|bytes| {
            let bytes = bytes?;
            Some((envelope::open(&self.key, &bytes), bytes))
        });
        match found {
            Ok(Some((Ok(backup), _))) if self.is_news(&backup) => {
                self.fall_behind(None, backup.counter);
            }
            Ok(Some((Ok(backup), bytes)))
                if backup.counter == self.counter
                    && backup.channels.iter().eq(self.entries.values()) =>
            {
                match envelope::seal_blob(&self.key, &backup) {
                    Ok(blob) => {
                        self.newest = Some(Made {
                            counter: backup.counter,
                            made_ms: backup.made_ms,
                            file: Arc::new(bytes),
                            blob: Arc::new(blob),
                        });
                    }
                    Err(_) => self.changed = true,
                }
            }
            Ok(None) => self.changed = !self.entries.is_empty(),
            Ok(Some(_)) => self.changed = true,
            Err(error) => {
                tracing::error!(%error, path = %self.files.path().display(), "the backup cannot be read");
                self.changed = true;
            }
        }
    }

    /// Whether the journal is older than this backup of ours. An older copy that has made backups since
    /// counts as far as the newer one did: so a channel that it never heard of, or another backup under
    /// the number of ours, tells as much as a higher number.
    pub(super) fn is_news(&self, backup: &Backup) -> bool {
        let unheard = backup.channels.iter().any(|entry| entry.index >= self.next_channel);
        let other = self.newest.as_ref().is_some_and(|newest| {
            newest.counter == backup.counter && newest.made_ms != backup.made_ms
        });
        backup.counter > self.counter || unheard || other
    }

    /// Somebody has a newer backup than the journal knows of.
    pub(super) fn fall_behind(&self, holder: Option<NodeId>, counter: u64) {
        let ahead = Ahead { holder, counter, known: self.counter };
        let worse = self.ahead.borrow().is_none_or(|known| known.counter < counter);
        if worse {
            tracing::error!(
                ?holder,
                counter,
                known = self.counter,
                "ALARM: a backup is newer than the journal, so the journal is an older copy or empty; \
                 restore the missing channels with viaduct backup restore"
            );
            self.ahead.send_replace(Some(ahead));
        }
    }

    pub(super) fn open(&self, bytes: &[u8]) -> Result<Backup, BackupFault> {
        let backup = envelope::open(&self.key, bytes)?;
        if backup.node == self.node { Ok(backup) } else { Err(BackupFault::OtherNode) }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// None of its own: a backup that cannot be written is an alarm.
    pub async fn run(
        mut self,
        mut asks: Inbox<Ask>,
        mut channels: Inbox<FromChannel>,
        mut disk: watch::Receiver<Flushed>,
    ) -> Result<(), Fatal> {
        let tasks = self.tasks.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                Some(told) = channels.recv() => {
                    self.hear(told);
                    // What comes together is one backup.
                    while let Ok(told) = channels.try_recv() {
                        self.hear(told);
                    }
                }
                Some(ask) = asks.recv() => self.answer(ask).await,
                _ = tick.tick() => {
                    self.try_again().await;
                    self.attend(now_ms()).await;
                }
            }
            self.make();
            let flushed = *disk.borrow_and_update();
            self.release(flushed).await;
        }
    }

    fn hear(&mut self, told: FromChannel) {
        match told {
            FromChannel::Open(entry) => {
                let mut entry = *entry;
                if let Some(address) = self.traffic.address(entry.node) {
                    entry.address = address.into();
                }
                let index = ChannelIndex(entry.index);
                self.next_channel = self.next_channel.max(entry.index.saturating_add(1));
                if self.entries.get(&index) != Some(&entry) {
                    self.entries.insert(index, entry);
                    self.changed = true;
                }
            }
            FromChannel::Over(index) => self.changed |= self.entries.remove(&index).is_some(),
        }
    }

    /// A peer is reached somewhere else than before.
    pub(super) fn moved(&mut self, node: NodeId, address: &str) {
        for entry in self.entries.values_mut().filter(|entry| entry.node == node) {
            if entry.address.0 != address {
                entry.address = address.into();
                self.changed = true;
            }
        }
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Up { link, address, done } => {
                self.meet(link, address, now_ms()).await;
                let _gone = done.send(());
            }
            Ask::Down { node, generation } => self.traffic.part(node, generation),
            Ask::Keep { node, blob } => self.asked_to_keep(node, blob, now_ms()).await,
            Ask::Back { node, blob, done } => {
                self.given_back(node, &blob, now_ms());
                let _gone = done.send(());
            }
            Ask::Told { holder, backup, done } => {
                if backup.node == self.node {
                    self.told(holder, *backup);
                }
                let _gone = done.send(());
            }
            Ask::Newest { reply } => {
                let newest = self.newest.as_ref().and_then(|made| self.open(&made.file).ok());
                let _gone = reply.send(newest);
            }
            Ask::Show { reply } => {
                let _gone = reply.send(self.status());
            }
            Ask::Open { file, reply } => {
                let opened = match file {
                    Some(bytes) => self.open(&bytes),
                    None => self.traffic.given_back().ok_or(BackupFault::Missing),
                };
                let _gone = reply.send(opened);
            }
            Ask::Export { reply } => {
                let newest = self.newest.as_ref().map(|made| made.file.to_vec());
                let exported = match newest {
                    Some(bytes) => Ok(bytes),
                    None => envelope::seal(&self.key, &self.backup(self.counter, now_ms())),
                };
                let _gone = reply.send(exported);
            }
            Ask::Take { backup, kept, reply } => self.take(&backup, kept, reply),
        }
    }

    fn take(&mut self, backup: &Backup, kept: Option<OrderKept>, reply: oneshot::Sender<()>) {
        self.counter = self.counter.max(backup.counter);
        self.changed = true;
        let (counter, next_channel) = (self.counter, backup.free_index());
        self.next_channel = self.next_channel.max(next_channel);
        let mut facts = vec![Fact::BackupTaken(BackupTaken { counter, next_channel })];
        facts.extend(kept.map(Fact::OrderKept));
        self.stage(&facts, Then::Tell(reply));
        let counter = self.counter;
        self.ahead.send_if_modified(|ahead| {
            let over = ahead.is_some_and(|ahead| ahead.counter <= counter);
            if over {
                *ahead = None;
            }
            over
        });
    }

    fn stage(&mut self, facts: &[Fact], then: Then) {
        let step = Step::new((), record(facts), vec![then]);
        let ((), sealed) = step.stage(&mut self.writer);
        self.waiting.push_back(sealed);
    }

    fn backup(&self, counter: u64, made_ms: u64) -> Backup {
        let channels: Vec<_> = self.entries.values().cloned().collect();
        let all = u32::try_from(channels.len()).unwrap_or(u32::MAX);
        Backup { counter, made_ms, node: self.node, all, channels }
    }

    /// Makes the next backup if channels changed. Not while somebody holds a newer one: what we know is
    /// less than that, and must take the place of nothing.
    fn make(&mut self) {
        if !self.changed || self.ahead.borrow().is_some() {
            return;
        }
        let (counter, made_ms) = (self.counter.saturating_add(1), now_ms());
        let backup = self.backup(counter, made_ms);
        let sealed = envelope::seal(&self.key, &backup)
            .and_then(|file| Ok((file, envelope::seal_blob(&self.key, &backup)?)));
        match sealed {
            Ok((file, blob)) => {
                self.changed = false;
                self.counter = counter;
                let (file, blob) = (Arc::new(file), Arc::new(blob));
                let made = Made { counter, made_ms, file, blob };
                self.stage(&[Fact::BackupMade(counter)], Then::Publish(made));
            }
            Err(fault) => {
                self.problem = Some(fault.to_string());
                tracing::error!(%fault, "ALARM: no backup can be made");
            }
        }
    }

    async fn release(&mut self, disk: Flushed) {
        while let Some(sealed) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(then) => {
                    for then in then {
                        match then {
                            Then::Publish(made) => {
                                self.newest = Some(made);
                                self.write().await;
                                self.attend(now_ms()).await;
                            }
                            Then::Tell(reply) => {
                                let _gone = reply.send(());
                            }
                        }
                    }
                }
                Err(early) => return self.waiting.push_front(early),
            }
        }
    }

    /// Writes the newest to both places. What fails is an alarm and is tried again; nothing waits for it.
    async fn write(&mut self) {
        let Some(made) = self.newest.clone() else { return };
        if self.ahead.borrow().is_some() {
            return;
        }
        let files = self.files.clone();
        let written = tokio::task::spawn_blocking(move || {
            (files.write(&made.file), files.write_second(&made.file))
        });
        let Ok((own, second)) = written.await else { return };
        self.problem = own.err().map(|error| error.to_string());
        self.second_problem = second.err().map(|error| error.to_string());
        if let Some(problem) = &self.problem {
            let path = self.files.path();
            tracing::error!(problem, path = %path.display(), "ALARM: the backup is not written");
        }
        if let (Some(problem), Some(path)) = (&self.second_problem, self.files.second()) {
            tracing::error!(problem, path = %path.display(), "ALARM: the second backup is not written");
        }
        let failed = self.problem.is_some() || self.second_problem.is_some();
        self.again_ms = failed.then(|| now_ms().saturating_add(AGAIN_MS));
    }

    async fn try_again(&mut self) {
        if self.again_ms.is_some_and(|at| at <= now_ms()) {
            self.write().await;
        }
    }

    fn status(&self) -> Status {
        Status {
            counter: self.counter,
            made_ms: self.newest.as_ref().map_or(0, |made| made.made_ms),
            channels: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            path: self.files.path(),
            problem: self.problem.clone(),
            second: self.files.second().map(Into::into),
            second_problem: self.second_problem.clone(),
            holders: self.traffic.holders(),
            kept_for: self.traffic.kept_for(),
            ahead: *self.ahead.borrow(),
        }
    }
}
