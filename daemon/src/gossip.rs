//! The gossip task: believes what is proven, keeps it, tells it to whom it may concern, and keeps the
//! graph that payments find their way in. BOLT 7.
//!
//! No money hangs on it. Its queues drop what is too much, its file is never synced, and its graph is made
//! again from peers if it is lost; channels and their payments run before it is loaded.
//!
//! Not here: what to believe, ask and answer (`routing::gossip`), the exchange of announcement signatures
//! (`channels::announce`), connections (`peers`).

mod believe;
mod chain;
mod early;
mod file;
mod load;
mod ours;
mod peers;
mod shown;
mod tell;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::OutPoint;
use chain_backend::backend::ChainBackend;
use futures_util::StreamExt as _;
use routing::gossip::{Book, Place};
use routing::graph::{Graph, GraphUpdate, Snapshot};
use tokio::sync::watch;
use wire::id::{ChannelId, NodeId, ShortChannelId};
use wire::message::{ChannelAnnouncement, ChannelUpdate, Message};
use wire::units::{Msat, Sat};

use crate::clock::now_ms;
use crate::edge::Inbox;
use crate::fact::ChannelIndex;
use crate::gossip::early::Early;
use crate::gossip::file::{Entry, Found, GossipFile};
use crate::gossip::ours::Ours;
use crate::gossip::peers::Peers;
use crate::gossip::shown::shown_policy;
use crate::gossip::verify::Fundings;
use crate::identity::Identity;
use crate::peers::link::Link;
use crate::switch::policy::ForwardPolicies;
use crate::switch::updates::OwnUpdates;
use crate::tasks::{Fatal, Tasks};

pub use ours::{Face, OwnGossip};

/// Gossip of all peers that may wait; more is dropped, and asked for another time.
pub const HEARD: usize = 16_384;

/// What channels tell may wait.
pub const FROM_CHANNELS: usize = 65_536;

/// What is looked at in one go.
const BATCH: usize = 1_024;

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How often what is out of date is looked for, in milliseconds.
const PRUNE_MS: u64 = 3_600_000;

/// A file smaller than this is not worth writing anew, in bytes.
const REWRITE_BYTES: u64 = 1 << 20;

/// What others have to be told at the next flush, at most: more than all channels speak in a minute.
const FRESH_MAX: usize = 100_000;

/// Gossip of a peer.
#[derive(Debug)]
pub struct Heard {
    /// The connection it came by.
    pub link: Link,
    /// What was said.
    pub message: Message,
}

/// What connections do.
#[derive(Debug)]
pub enum FromPeers {
    /// One stands.
    Up(Link),
    /// One ended.
    Down {
        /// With whom.
        node: NodeId,
        /// Which.
        generation: u64,
    },
}

/// How a channel of ours stands, as far as others may know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Which.
    pub index: ChannelIndex,
    /// Its id.
    pub id: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// Its place in the chain.
    pub short_id: Option<ShortChannelId>,
    /// What we want it to be called by payers.
    pub our_alias: Option<ShortChannelId>,
    /// What the peer wants it to be called.
    pub their_alias: Option<ShortChannelId>,
    /// Whether it is to be announced.
    pub announce: bool,
    /// Whether its place in the chain is told to nobody.
    pub alias_only: bool,
    /// Whether it closes.
    pub over: bool,
    /// The smallest HTLC the peer takes.
    pub htlc_minimum: Msat,
    /// The greatest HTLC we can ever send over it.
    pub htlc_maximum_msat: u64,
}

/// What a channel tells.
#[derive(Debug)]
pub enum FromChannel {
    /// It stands so now.
    Stands {
        /// How.
        standing: Box<Standing>,
        /// The connection with its peer.
        link: Option<Link>,
    },
    /// Both signed its announcement; the signatures were checked.
    Announced {
        /// The announcement.
        announcement: Box<ChannelAnnouncement>,
        /// Its funding output.
        funding: OutPoint,
        /// What that holds.
        capacity: Sat,
    },
    /// It is over.
    Gone(ChannelIndex),
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// Our key.
    pub us: Arc<Identity>,
    /// The genesis hash.
    pub chain: [u8; 32],
    /// Layer 1.
    pub backend: Arc<dyn ChainBackend>,
    /// Where the file lies.
    pub path: PathBuf,
    /// How we want to be shown.
    pub face: Face,
    /// How long gossip of others waits before it is told on.
    pub flush: Duration,
    /// What we ask for forwarding.
    pub policies: watch::Receiver<Arc<ForwardPolicies>>,
    /// Where failures find our updates.
    pub updates: OwnUpdates,
    /// Where the graph is shown.
    pub graph: watch::Sender<Snapshot>,
    /// Where our own gossip is shown.
    pub own: watch::Sender<Arc<OwnGossip>>,
}

/// Where the task hears from.
#[derive(Debug)]
pub struct Inboxes {
    /// Connections.
    pub peers: Inbox<FromPeers>,
    /// What they say.
    pub heard: Inbox<Heard>,
    /// Channels.
    pub channels: Inbox<FromChannel>,
}

/// Something that was believed since the last flush.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    place: Place,
    /// Whose word decides whether a filter lets it through.
    kind: Kind,
    /// Who told us.
    from: Option<NodeId>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An announcement goes with its channel's newest update.
    Channel(ShortChannelId),
    /// An update or a node, with its timestamp.
    Word(u32),
}

/// The task.
#[derive(Debug)]
pub struct Gossip {
    start: Start,
    book: Book,
    graph: Graph,
    graph_changed: bool,
    file: Option<GossipFile>,
    dead_bytes: u64,
    fundings: Fundings,
    early: Early,
    tip: u32,
    peers: Peers,
    ours: Ours,
    fresh: Vec<Fresh>,
    flushed_ms: u64,
    pruned_ms: u64,
}

impl Gossip {
    /// An empty one; [`Self::run`] loads what the disk has.
    pub fn new(start: Start) -> Self {
        let (us, chain) = (Arc::clone(&start.us), start.chain);
        Self {
            book: Book::new(chain),
            graph: Graph::new(),
            graph_changed: false,
            file: None,
            dead_bytes: 0,
            fundings: Fundings::new(Arc::clone(&start.backend)),
            early: Early::default(),
            tip: 0,
            peers: Peers::default(),
            ours: Ours::new(us, chain, start.face.clone()),
            fresh: Vec::new(),
            flushed_ms: 0,
            pruned_ms: 0,
            start,
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// None of its own: without gossip a node still has its channels.
    pub async fn run(mut self, mut inboxes: Inboxes, tasks: Tasks) -> Result<(), Fatal> {
        self.load().await;
        let mut blocks = self.follow().await;
        let mut policies = self.start.policies.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Some(told) = inboxes.peers.recv() => self.meet(told),
                Some(told) = inboxes.channels.recv() => {
                    self.take(told).await;
                    self.speak();
                }
                Ok(()) = policies.changed() => self.speak(),
                event = blocks.next() => match event {
                    Some(Ok(event)) => {
                        self.on_chain(event);
                        self.hear_early().await;
                    }
                    Some(Err(_)) | None => {
                        tokio::time::sleep(TICK).await;
                        blocks = self.follow().await;
                    }
                },
                count = inboxes.heard.recv_many(&mut heard, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    // A connection is told of before its first message is read, but by another queue, and both may
                    // have come since that one was looked at.
                    while let Ok(told) = inboxes.peers.try_recv() {
                        self.meet(told);
                    }
                    self.hear(std::mem::take(&mut heard)).await;
                }
                _ = tick.tick() => self.on_tick(),
            }
        }
    }

    fn meet(&mut self, told: FromPeers) {
        match told {
            FromPeers::Up(link) => {
                self.peers.up(link);
                // At once: what a peer says of our common channel it says to those that asked.
                self.peers.ask(&self.book, now_secs(), now_ms());
            }
            FromPeers::Down { node, generation } => self.peers.down(node, generation),
        }
    }

    fn read(&mut self, place: Place) -> Option<Message> {
        let frame = self.file.as_mut()?.read(place).ok()?;
        Message::decode_frame(&frame).ok().flatten()
    }

    fn change(&mut self, update: &GraphUpdate) {
        match self.graph.apply(update) {
            Ok(routing::graph::Applied::Changed) => self.graph_changed = true,
            Ok(routing::graph::Applied::Nothing) => {}
            Err(rejected) => tracing::debug!(%rejected, "not in the graph"),
        }
    }

    fn change_policy(&mut self, update: &ChannelUpdate) {
        if let Some(update) = shown_policy(update) {
            self.change(&update);
        }
    }

    /// Writes entries down. Without a file everything is told on once and then forgotten by filters.
    fn keep(&mut self, entries: &[Entry]) -> Vec<Place> {
        let Some(file) = self.file.as_mut() else { return vec![Place::default(); entries.len()] };
        match file.append(entries) {
            Ok(places) => places,
            Err(error) => {
                tracing::warn!(%error, "gossip cannot be written; it is kept no more");
                self.file = None;
                vec![Place::default(); entries.len()]
            }
        }
    }

    /// What a channel of ours tells.
    async fn take(&mut self, told: FromChannel) {
        match told {
            FromChannel::Stands { standing, link } => {
                let index = standing.index;
                let policy = self.start.policies.borrow().of(index);
                let short_id = standing.short_id;
                let names = [short_id, standing.our_alias, standing.their_alias];
                self.ours.stands(*standing, link, policy, now_ms());
                self.hear_early_of_ours(names);
                let before = short_id.and_then(|scid| self.our_update(scid));
                if let Some(update) = before {
                    self.own_before(&update);
                }
            }
            FromChannel::Announced { announcement, funding, capacity } => {
                let scid = announcement.short_channel_id;
                let found = Found { funding, capacity };
                self.admit_channel(&announcement, found, None);
                self.ours.shown.announced.insert(scid);
                // The peer completed it first, and its update was here before.
                self.hear_waiting(&announcement).await;
            }
            FromChannel::Gone(index) => {
                self.ours.forget(index);
                self.start.updates.remove(index);
            }
        }
    }

    fn on_tick(&mut self) {
        let (now, now_ms) = (now_secs(), now_ms());
        if now_ms.saturating_sub(self.flushed_ms) >= millis(self.start.flush) {
            self.flushed_ms = now_ms;
            self.flush();
        }
        if now_ms.saturating_sub(self.pruned_ms) >= PRUNE_MS {
            self.pruned_ms = now_ms;
            let ours = self.ours.announced().clone();
            let stale = self.book.prune(now, &ours);
            stale.into_iter().for_each(|scid| self.forget(scid));
            self.compact();
        }
        self.speak();
        self.peers.ask(&self.book, now, now_ms);
        self.tell();
        self.show();
    }

    fn show(&mut self) {
        if std::mem::take(&mut self.graph_changed) {
            let _nobody = self.start.graph.send(self.graph.snapshot());
        }
    }
}

fn now_secs() -> u32 {
    u32::try_from(now_ms() / 1_000).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
