//! The task that hires towers: decides which channel is with whom, starts a session for each, and knows
//! what is at risk.
//!
//! Not here: a session itself (`upload`), what users are shown (`node::tower`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Amount;
use chain_backend::backend::ChainBackend;
use channel::seal::{Flushed, Journal as _};
use secp256k1::PublicKey;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use watchtower::message::Event;
use watchtower::proof::fraud::Exhibit;
use watchtower::proof::receipt::Receipt;
use wire::codec::{Decode as _, Encode as _};
use wire::id::{ChannelId, NodeId};
use wire::units::BlockHeight;

use super::assign::assign;
use super::book::Book;
use super::guardian::{FOUND, Keeping};
use super::keep::Made;
use super::lease::Lease;
use super::proof::{self, NoProof};
use super::shown::{Audit, Coverage, Drill, OnLag, Session, Standing, Tower};
use super::upload::{News, Shared, Upload, What};
use crate::archive::Archives;
use crate::backup::{self, Ahead};
use crate::channels::directory::Directory;
use crate::channels::task::Ask as ChannelAsk;
use crate::clock::now_ms;
use crate::edge::{Forward, Inbox};
use crate::fact::{ChannelIndex, Fact, TowerFaulted, TowerKept, TowerOver, record};
use crate::journal::Writer;
use crate::layer1::{self, Feerates};
use crate::payments::Reply;
use crate::rpc::model::OrderKey;
use crate::seed::Secret32;
use crate::tasks::{Fatal, Tasks};

/// What users may have waiting.
pub const ASKS: usize = 64;

/// News of sessions that may wait; then they do.
const NEWS: usize = 256;

/// How often channels and towers are compared.
const TICK: Duration = Duration::from_millis(250);

/// Sessions that may be connected to one tower at a time.
const CONNECTIONS: usize = 16;

/// After so long without an answer another tower takes over, in milliseconds.
const ABSENT_MS: u64 = 600_000;

/// Ticks for which a channel must be gone before its session is over: doors come and go with restarts.
const GONE_TICKS: u32 = 4;

/// How channels are shared out, and what follows when a tower lags.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Manner {
    /// Towers for each channel, at least 1.
    pub copies: usize,
    /// Revoked states that a session reads per second at most when it has to catch up.
    pub states_per_second: u32,
    /// What follows when states are with no tower.
    pub on_lag: OnLag,
    /// So many of them at least.
    pub lag_states: u64,
    /// Between two checkpoints at least, in milliseconds; 0 for none.
    pub checkpoint_every_ms: u64,
    /// Between two audits of a tower, give or take half of it, in milliseconds; 0 for none.
    pub audit_every_ms: u64,
}

/// What users want.
#[derive(Debug)]
pub enum Ask {
    /// Hire a tower.
    Add {
        /// Its key.
        tower: NodeId,
        /// `host:port`.
        address: String,
        /// What it is given.
        kit: u8,
        /// Answered when it is durable.
        reply: oneshot::Sender<()>,
    },
    /// Dismiss one.
    Remove {
        /// Its key.
        tower: NodeId,
        /// Answered when it is durable; whether there was one.
        reply: oneshot::Sender<bool>,
    },
    /// All towers.
    List {
        /// Answered at once.
        reply: oneshot::Sender<Vec<Tower>>,
    },
    /// What is at risk.
    Coverage {
        /// Answered at once.
        reply: oneshot::Sender<Vec<Coverage>>,
    },
    /// Stage a breach of our own making, or watch the one that runs.
    Drill {
        /// The tower that is tried.
        tower: NodeId,
        /// What the channel that never was holds, if not what is usual.
        amount: Option<Amount>,
        /// The idempotency key.
        key: Option<OrderKey>,
        /// Answered when it begins, or does not.
        reply: Reply<watch::Receiver<Drill>>,
    },
    /// Ask for records that were signed for, of every session with a tower.
    Audit {
        /// The tower.
        tower: NodeId,
        /// Records to draw of each session.
        draws: usize,
        /// Answered when all have answered.
        reply: Reply<Vec<Audit>>,
    },
    /// What convicts a tower of letting a channel be robbed.
    Proof {
        /// The tower.
        tower: NodeId,
        /// The channel.
        channel: ChannelIndex,
        /// Answered when everything was computed again.
        reply: Reply<Result<Vec<u8>, NoProof>>,
    },
}

/// What the task is made of.
#[derive(Debug)]
pub struct Start {
    /// Towers and sessions in the journal.
    pub book: Book,
    /// How channels are shared out.
    pub manner: Manner,
    /// Who runs which channel.
    pub directory: Directory,
    /// Revoked states that are not in memory.
    pub archives: Archives,
    /// The genesis hash of our chain, as it lies in memory.
    pub chain: [u8; 32],
    /// The best chain's height.
    pub height: watch::Receiver<BlockHeight>,
    /// What things cost.
    pub feerates: watch::Receiver<Feerates>,
    /// What the disk has.
    pub disk: watch::Receiver<Flushed>,
    /// Session keys follow from it.
    pub keys: Secret32,
    /// Keys of channels follow from it.
    pub seed: Arc<Secret32>,
    /// Our way into the journal.
    pub writer: Writer,
    /// The chain.
    pub backend: Arc<dyn ChainBackend>,
    /// The wallet.
    pub wallet: Forward<layer1::Ask>,
    /// The backup.
    pub backup: Forward<backup::Ask>,
    /// Whether somebody holds a newer backup than the journal knows.
    pub ahead: watch::Receiver<Option<Ahead>>,
    /// Where proofs against towers are written.
    pub proofs: PathBuf,
    /// Channels over which nothing goes on until towers have caught up.
    pub held: watch::Sender<Arc<BTreeSet<ChannelIndex>>>,
    /// The tree of tasks.
    pub tasks: Tasks,
}

/// A session that runs.
struct Running {
    stop: CancellationToken,
    standing: Standing,
    /// Rows that the tower has, of how many, when it was last heard.
    rows: u64,
    of: u64,
    uncovered_sat: u64,
    heard_ms: u64,
    /// Since when it does not answer, 0 if it does.
    down_ms: u64,
}

/// The task.
pub struct Towers {
    pub(super) book: Book,
    pub(super) manner: Manner,
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    held: watch::Sender<Arc<BTreeSet<ChannelIndex>>>,
    pub(super) tasks: Tasks,
    pub(super) backup: Forward<backup::Ask>,
    pub(super) ahead: watch::Receiver<Option<Ahead>>,
    /// Who carries checkpoints.
    pub(super) keeping: BTreeMap<NodeId, Keeping>,
    /// The newest checkpoint, and when it was last looked whether it still is.
    pub(super) newest: watch::Sender<Option<Arc<Made>>>,
    pub(super) made_ms: u64,
    /// Channels that ran since the start.
    pub(super) seen: BTreeSet<ChannelIndex>,
    /// Drills that run.
    pub(super) drills: BTreeMap<u64, watch::Receiver<Drill>>,
    /// When each tower is audited next.
    pub(super) audit_at_ms: BTreeMap<NodeId, u64>,
    /// Closes that are, or were, looked at for a theft.
    pub(super) thefts: BTreeSet<(NodeId, ChannelIndex)>,
    news: mpsc::Receiver<News>,
    running: BTreeMap<(NodeId, ChannelIndex), Running>,
    connections: BTreeMap<NodeId, Arc<Semaphore>>,
    gone: BTreeMap<(NodeId, u64), u32>,
    warned: BTreeSet<ChannelIndex>,
}

impl std::fmt::Debug for Towers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Towers").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

impl Towers {
    /// The task around what the journal says.
    pub fn new(start: Start) -> Self {
        let (sender, news) = mpsc::channel(NEWS);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            directory: start.directory,
            archives: start.archives,
            chain: start.chain,
            height: start.height,
            feerates: start.feerates,
            disk: start.disk,
            keys: start.keys,
            seed: start.seed,
            news: sender,
            states_per_second: start.manner.states_per_second,
            // Payments keep half of the machine.
            makers: Semaphore::new((threads / 2).max(1)),
            backend: start.backend,
            wallet: start.wallet,
            proofs: start.proofs,
            audits: Semaphore::new(1),
        };
        Self {
            book: start.book,
            manner: start.manner,
            shared: Arc::new(shared),
            writer: start.writer,
            held: start.held,
            tasks: start.tasks,
            backup: start.backup,
            ahead: start.ahead,
            keeping: BTreeMap::new(),
            newest: watch::Sender::new(None),
            made_ms: 0,
            seen: BTreeSet::new(),
            drills: BTreeMap::new(),
            audit_at_ms: BTreeMap::new(),
            thefts: BTreeSet::new(),
            news,
            running: BTreeMap::new(),
            connections: BTreeMap::new(),
            gone: BTreeMap::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// None; a tower is never a reason to stop.
    pub async fn run(mut self, mut asks: Inbox<Ask>) -> Result<(), Fatal> {
        let tasks = self.tasks.clone();
        self.resume_drills();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Some(ask) = asks.recv() => self.answer(ask).await,
                Some(news) = self.news.recv() => self.take(news).await,
                _ = tick.tick() => {
                    self.compare();
                    self.make_checkpoint().await;
                    self.audit_some();
                    self.look_for_thefts();
                }
            }
        }
    }

    /// Makes something a fact.
    pub(super) fn keep(&mut self, fact: Fact) -> channel::seal::Lsn {
        self.book.apply(&fact);
        self.writer.append(record(&[fact]))
    }

    pub(super) async fn durable(&self, lsn: channel::seal::Lsn) -> bool {
        let mut disk = self.shared.disk.clone();
        disk.wait_for(|flushed| flushed.upto() >= lsn).await.is_ok()
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Add { tower, address, kit, reply } => {
                let before = self.book.towers.get(&tower);
                if before.is_some_and(|before| before.kit != kit) {
                    self.forget(tower);
                    self.keep(Fact::TowerDropped(tower));
                }
                self.stop_sessions(tower);
                let address = address.as_str().into();
                let lsn =
                    self.keep(Fact::TowerKept(TowerKept { tower, address, kit, at_ms: now_ms() }));
                if self.durable(lsn).await {
                    let _gone = reply.send(());
                }
                self.compare();
            }
            Ask::Remove { tower, reply } => {
                let there = self.book.towers.contains_key(&tower);
                if there {
                    self.forget(tower);
                    let lsn = self.keep(Fact::TowerDropped(tower));
                    if !self.durable(lsn).await {
                        return;
                    }
                }
                let _gone = reply.send(there);
            }
            Ask::List { reply } => {
                let _gone = reply.send(self.list());
            }
            Ask::Coverage { reply } => {
                let _gone = reply.send(self.coverage());
            }
            Ask::Drill { tower, amount, key, reply } => {
                self.drill(tower, amount, key, reply).await;
            }
            Ask::Audit { tower, draws, reply } => self.audit_all(tower, draws, reply),
            Ask::Proof { tower, channel, reply } => self.prove(tower, channel, reply),
        }
    }

    /// Ends all sessions with a tower; what it has, it keeps.
    fn stop_sessions(&mut self, tower: NodeId) {
        for ((of, _), running) in &self.running {
            if *of == tower {
                running.stop.cancel();
            }
        }
        self.running.retain(|(of, _), _| *of != tower);
    }

    fn forget(&mut self, tower: NodeId) {
        self.stop_sessions(tower);
        self.connections.remove(&tower);
    }

    /// Starts what is missing and ends what is over.
    fn compare(&mut self) {
        self.keep_checkpoints();
        if self.book.towers.is_empty() {
            if !self.held.borrow().is_empty() {
                self.held.send_replace(Arc::default());
            }
            return;
        }
        let doors = self.shared.directory.doors();
        let now = now_ms();
        let towers: Vec<_> = (self.book.towers.keys())
            .filter(|tower| !self.book.faulted.contains_key(tower))
            .copied()
            .collect();
        for door in doors.iter() {
            self.seen.insert(door.index);
            if door.glance.borrow().revoked == 0 {
                continue;
            }
            let fit = |tower: &NodeId| {
                let running = self.running.get(&(*tower, door.index));
                running.is_none_or(|running| {
                    let absent =
                        running.down_ms > 0 && now.saturating_sub(running.down_ms) > ABSENT_MS;
                    !absent && running.standing != Standing::Refused
                })
            };
            for tower in assign(door.index, &towers, self.manner.copies, fit) {
                if !self.running.contains_key(&(tower, door.index)) {
                    self.start(tower, door.index);
                }
            }
        }
        self.end_sessions(&doors);
        self.look_at_lag();
    }

    fn start(&mut self, tower: NodeId, channel: ChannelIndex) {
        let Some(kept) = self.book.towers.get(&tower).cloned() else { return };
        let Ok(key) = PublicKey::from_slice(&tower.0) else { return };
        let session = (self.book.sessions.get(&(tower, channel.0)))
            .filter(|session| session.opened.kit != FOUND)
            .cloned();
        let past = self.book.past.get(&(tower, channel.0)).cloned().unwrap_or_default();
        let lease = Lease::of(past.iter().chain(&session));
        let connections = self.connections_to(tower);
        let stop = self.tasks.token().child_token();
        let mut seed = [0; 8];
        // Without random numbers sessions only call at the same moments.
        let _spread = getrandom::fill(&mut seed);
        let upload = Upload {
            shared: Arc::clone(&self.shared),
            tower: kept,
            key,
            channel,
            writer: self.writer.clone(),
            at: session.as_ref().and_then(|kept| kept.at.clone()),
            session: session.map(|kept| kept.opened),
            next_number: self.book.next_number(tower, channel.0),
            next_row: 0,
            past: past.into_iter().map(|kept| kept.opened).collect(),
            lease,
            seen: 0,
            seen_now: (0, 0),
            connections,
            stop: stop.clone(),
            rng: u64::from_le_bytes(seed),
        };
        let rows = upload.at.as_ref().map_or(0, |at| at.row);
        self.tasks.detach("tower session", upload.run());
        let running = Running {
            stop,
            standing: Standing::Connecting,
            rows,
            of: 0,
            uncovered_sat: 0,
            heard_ms: 0,
            down_ms: 0,
        };
        self.running.insert((tower, channel), running);
    }

    /// The turns of connections to a tower.
    pub(super) fn connections_to(&mut self, tower: NodeId) -> Arc<Semaphore> {
        let all = self.connections.entry(tower);
        Arc::clone(all.or_insert_with(|| Arc::new(Semaphore::new(CONNECTIONS))))
    }

    /// A channel that is over needs no tower: its task ends only when everything is a hundred blocks deep.
    fn end_sessions(&mut self, doors: &crate::channels::directory::Doors) {
        let missing: Vec<_> = (self.book.sessions.iter())
            .filter(|((_, channel), kept)| {
                let index = ChannelIndex(*channel);
                let found = kept.opened.kit == FOUND && !self.has_run(index);
                let runs = self.book.drills.get(channel).is_some_and(|it| it.ended.is_none());
                doors.get(index).is_none() && !found && !runs
            })
            .map(|(key, _)| *key)
            .collect();
        self.gone.retain(|key, _| missing.contains(key));
        for key in missing {
            let ticks = self.gone.entry(key).or_default();
            *ticks = ticks.saturating_add(1);
            if *ticks == GONE_TICKS {
                let (tower, channel) = (key.0, ChannelIndex(key.1));
                if let Some(running) = self.running.remove(&(tower, channel)) {
                    running.stop.cancel();
                }
                self.delete(tower, channel);
            }
        }
    }

    /// Tells the tower that it may forget, until it has.
    fn delete(&self, tower: NodeId, channel: ChannelIndex) {
        let Some(kept) = self.book.towers.get(&tower).cloned() else { return };
        let Some(session) = self.book.sessions.get(&(tower, channel.0)) else { return };
        let Ok(key) = PublicKey::from_slice(&tower.0) else { return };
        let work =
            super::delete::delete(Arc::clone(&self.shared), kept, key, session.opened.clone());
        let stop = self.tasks.token();
        self.tasks.detach("tower deletion", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn take(&mut self, news: News) {
        let News { tower, channel, what } = news;
        let now = now_ms();
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others come below")]
        let what = match what {
            What::Found(found) => return self.found(tower, *found).await,
            What::Kept { version } => return self.kept(tower, version),
            What::Pause(done) => {
                if let Some(running) = self.running.get(&(tower, channel)) {
                    running.stop.cancel();
                }
                let _gone = done.send(());
                return;
            }
            // It is started again where it was.
            What::Resume => return drop(self.running.remove(&(tower, channel))),
            What::Facts(facts) => return facts.iter().for_each(|fact| self.book.apply(fact)),
            other => other,
        };
        if let Some(running) = self.running.get_mut(&(tower, channel)) {
            match &what {
                What::Reached { rows, of, uncovered_sat, .. } => {
                    (running.rows, running.of) = (*rows, *of);
                    running.uncovered_sat = *uncovered_sat;
                    running.standing =
                        if rows >= of { Standing::Covered } else { Standing::CatchingUp };
                    (running.heard_ms, running.down_ms) = (now, 0);
                }
                What::Down(_) => {
                    running.standing = Standing::Unreachable;
                    if running.down_ms == 0 {
                        running.down_ms = now;
                    }
                }
                What::Refused(_) => running.standing = Standing::Refused,
                What::Opened(_)
                | What::Found(_)
                | What::Kept { .. }
                | What::Pause(_)
                | What::Resume
                | What::Facts(_)
                | What::Faulted { .. }
                | What::Stale { .. }
                | What::Lost(_)
                | What::Over
                | What::Deleted => {}
            }
        }
        match what {
            What::Opened(session) => self.book.apply(&Fact::TowerSession(session)),
            What::Reached { at, .. } => {
                if let Some(at) = at {
                    self.book.apply(&Fact::TowerAt(at));
                }
            }
            What::Down(why) => {
                tracing::warn!(%tower, channel = channel.0, why, "a tower does not answer");
            }
            What::Refused(code) => {
                tracing::warn!(%tower, channel = channel.0, %code, "a tower refuses");
            }
            What::Faulted { evidence, why } => {
                tracing::error!(%tower, channel = channel.0, why, "a tower broke its word");
                self.stop_sessions(tower);
                if let Some(evidence) = evidence.as_ref().filter(|evidence| evidence.convicts()) {
                    let exhibit = Exhibit::Receipts(evidence.clone());
                    let shared = Arc::clone(&self.shared);
                    self.tasks.detach("tower proof", async move {
                        let (_, place) = proof::put(&shared.proofs, exhibit).await;
                        tracing::error!(%tower, place, "its receipts contradict");
                    });
                }
                let evidence = evidence.map(|evidence| evidence.encoded()).unwrap_or_default();
                let why = why.as_str().into();
                let faulted = TowerFaulted { tower, evidence, why, at_ms: now };
                let _lsn = self.keep(Fact::TowerFaulted(faulted));
            }
            What::Stale { tower_has, ours } => self.doubt(tower, channel, tower_has, ours).await,
            What::Lost(rows) => {
                tracing::error!(
                    channel = channel.0,
                    rows,
                    "revoked states are lost: no tower can cover them"
                );
            }
            What::Over => {
                if let Some(running) = self.running.remove(&(tower, channel)) {
                    running.stop.cancel();
                }
            }
            What::Found(_) | What::Kept { .. } | What::Pause(_) | What::Resume | What::Facts(_) => {
            }
            What::Deleted => {
                let over = TowerOver { tower, channel: channel.0 };
                let _lsn = self.keep(Fact::TowerOver(over));
            }
        }
    }

    /// A tower was told of states that our journal does not have: nothing may be signed over it until the
    /// peer says its numbers.
    async fn doubt(&mut self, tower: NodeId, channel: ChannelIndex, tower_has: u32, ours: u32) {
        tracing::error!(
            %tower, channel = channel.0, tower_has, ours,
            "a tower knows more states of a channel than our journal: it is an older copy"
        );
        if let Some(running) = self.running.get_mut(&(tower, channel)) {
            running.standing = Standing::Stale;
        }
        let Some(door) = self.shared.directory.doors().get(channel).cloned() else { return };
        let (reply, answer) = oneshot::channel();
        if door.asks.send(ChannelAsk::Doubt { reply }).await.is_ok() {
            self.tasks.detach("doubt by a tower", async move {
                let _told = answer.await;
            });
        }
    }

    fn look_at_lag(&mut self) {
        let mut held = BTreeSet::new();
        for coverage in self.coverage() {
            let index = ChannelIndex(coverage.index);
            if coverage.uncovered_states < self.manner.lag_states.max(1) {
                self.warned.remove(&index);
                continue;
            }
            match self.manner.on_lag {
                OnLag::Ignore => {}
                OnLag::Warn | OnLag::StopForwarding if self.warned.insert(index) => {
                    tracing::warn!(
                        channel = %coverage.channel,
                        states = coverage.uncovered_states,
                        at_risk_sat = coverage.at_risk_sat,
                        "revoked states are with no tower"
                    );
                }
                OnLag::Warn | OnLag::StopForwarding => {}
            }
            if self.manner.on_lag == OnLag::StopForwarding {
                held.insert(index);
            }
        }
        self.held.send_if_modified(|now| {
            let changed = **now != held;
            if changed {
                *now = Arc::new(held);
            }
            changed
        });
    }

    /// Rows that the best tower of a channel has, and that the worst of those it should have has.
    fn coverage(&self) -> Vec<Coverage> {
        let doors = self.shared.directory.doors();
        (doors.iter())
            .filter_map(|door| {
                let glance = *door.glance.borrow();
                if glance.revoked == 0 {
                    return None;
                }
                let mut rows: Vec<(NodeId, u64, u64)> = (self.book.towers.keys())
                    .filter(|tower| !self.book.faulted.contains_key(tower))
                    .filter_map(|tower| {
                        let running = self.running.get(&(*tower, door.index))?;
                        Some((*tower, running.rows, running.uncovered_sat))
                    })
                    .collect();
                rows.sort_by_key(|(_, rows, _)| std::cmp::Reverse(*rows));
                let best = rows.first().map_or(0, |(_, rows, _)| *rows);
                let last = self.manner.copies.max(1).saturating_sub(1);
                let all = rows.get(last).map_or(0, |(_, rows, _)| *rows);
                let uncovered_states = glance.revoked.saturating_sub(best);
                Some(Coverage {
                    index: door.index.0,
                    channel: door.id,
                    node: door.node,
                    states: glance.revoked,
                    uncovered_states,
                    missing_copies: glance.revoked.saturating_sub(all),
                    // What is ours now is the most that an old state can take from us.
                    at_risk_sat: if uncovered_states > 0 { glance.ours_sat } else { 0 },
                    too_small_sat: rows.first().map_or(0, |(_, _, sat)| *sat),
                    towers: rows.iter().map(|(tower, rows, _)| (*tower, *rows)).collect(),
                })
            })
            .collect()
    }

    fn list(&self) -> Vec<Tower> {
        (self.book.towers.values())
            .map(|kept| {
                let sessions = (self.running.iter())
                    .filter(|((tower, _), _)| *tower == kept.tower)
                    .map(|((_, channel), running)| {
                        let known = self.book.sessions.get(&(kept.tower, channel.0));
                        let receipt = known
                            .and_then(|kept| kept.at.as_ref())
                            .and_then(|at| Receipt::decode_exact(&at.receipt).ok());
                        Session {
                            channel: self.name(*channel),
                            standing: running.standing,
                            rows: running.rows,
                            of: running.of,
                            records: receipt.map_or(0, |receipt| receipt.ack.durable_seq),
                            tower_height: receipt.map_or(0, |receipt| receipt.ack.height),
                            expiry: receipt.map_or(0, |receipt| receipt.ack.expiry),
                            heard_ms: running.heard_ms,
                        }
                    })
                    .collect();
                Tower {
                    tower: kept.tower,
                    address: kept.address.0.clone(),
                    kit: kept.kit,
                    since_ms: kept.at_ms,
                    fault: self.book.faulted.get(&kept.tower).map(|fault| fault.why.0.clone()),
                    sessions,
                    found_sessions: self.found_at(kept.tower),
                    drills: self.drills_of(kept.tower),
                    audits: self.audits_of(kept.tower),
                    checkpoint: self.checkpoint_at(kept.tower),
                }
            })
            .collect()
    }

    fn name(&self, channel: ChannelIndex) -> Option<ChannelId> {
        self.shared.directory.doors().get(channel).map(|door| door.id)
    }
}

/// A tower tells something: for the log.
pub(super) fn log_event(tower: NodeId, event: &Event) {
    let text: String = String::from_utf8_lossy(&event.text)
        .chars()
        .filter(|letter| !letter.is_control())
        .take(200)
        .collect();
    tracing::info!(%tower, event = event.event, txid = %event.txid, text, "a tower tells");
}
