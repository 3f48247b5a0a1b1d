//! The task that looks at every block and the mempool, and answers breaches.
//!
//! It follows the chain from the place that is on disk, block by block and without a gap, whatever happened
//! meanwhile; the place moves in the same record as all that a block led to. When a backend fails or skips
//! something it goes on with the next one, from the same place, for ever.
//!
//! Not here: what is decided (`respond`), where records lie (`store`).

mod answer;
mod block;
mod late;
pub(crate) mod place;
mod purse;
mod read;
mod replica;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Block, BlockHash, Txid};
use chain_backend::{
    BackendError, BlockId, BlockRef, ChainBackend, ChainEvent, ChainStream, Interest, Locator,
};
use futures_util::StreamExt;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::kit::replica::Replica;
use crate::message::HtlcAdd;
use crate::purse::Purse;
use crate::respond::book::Book;
use crate::respond::fact::ClaimFact;
use crate::respond::plan::Lessons;
use crate::store::{Bell, DiskKey, Fact, Keeper, Late, Refused};

pub use purse::{PurseDoor, PurseRefusal, Receipt, Spending};

/// Pauses between tries to reach a backend, doubling.
const PAUSE_START: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Events that listeners may be behind.
const EVENTS: usize = 1_024;

/// What a tower tells of its work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TowerEvent {
    /// What happened.
    pub kind: EventKind,
    /// The session it concerns, if it is one's.
    pub session: Option<u32>,
    /// The transaction it is about, all zero if there is none.
    pub txid: Txid,
    /// The tower's height.
    pub height: u32,
    /// For people.
    pub text: String,
}

/// What happened, by the numbers of message 636.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum EventKind {
    /// A record opened: a breach.
    Matched,
    /// A transaction of ours was handed in.
    Broadcast,
    /// An output was taken in a block, by us or by another for the client.
    Confirmed,
    /// A dearer transaction took the place of one before.
    Bumped,
    /// Outputs go alone from now on.
    Split,
    /// Something was lost, or cannot be done.
    Failed,
    /// The cheater made something of an HTLC.
    SecondStageSeen,
    /// A session takes records for 1,008, 144 or 0 blocks more.
    Expiring,
    /// The chain is not heard of, or is again.
    Chain,
}

impl EventKind {
    /// Its number on the wire; `None` for what only the operator hears.
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Matched => Some(1),
            Self::Broadcast => Some(2),
            Self::Confirmed => Some(3),
            Self::Bumped => Some(4),
            Self::Split => Some(5),
            Self::Failed => Some(6),
            Self::SecondStageSeen => Some(7),
            Self::Expiring => Some(8),
            Self::Chain => None,
        }
    }
}

/// How the watching stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watching {
    /// The last block that is on disk.
    pub tip: Option<BlockId>,
    /// The height up to which the disk is known to have everything: no block of those is asked for again but to compare
    /// late records with.
    pub kept: Option<u32>,
    /// Whether the backend's newest block is it.
    pub is_synced: bool,
    /// Why the chain is not heard of at present.
    pub trouble: Option<String>,
    /// Which backend, counted from 0.
    pub backend: usize,
    /// Blocks looked at since the start.
    pub blocks: u64,
    /// How long the last block's hints took, in microseconds.
    pub match_us: u64,
    /// Records that had a block's hint and were for another transaction.
    pub misses: u64,
    /// All breaches.
    pub book: Arc<Book>,
    /// The reserve in the tower's own wallet.
    pub reserve_sat: u64,
}

/// What others see of the watching.
#[derive(Clone, Debug)]
pub struct View {
    /// How it stands.
    pub watching: watch::Receiver<Watching>,
    /// What happens.
    pub events: broadcast::Sender<TowerEvent>,
    /// The way to the tower's own coins.
    pub purse: PurseDoor,
}

/// Why it stopped for a while, or for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// The backend.
    #[error("the chain is not heard of: {0}")]
    Backend(#[from] BackendError),
    /// A block does not follow the one before.
    #[error("the chain backend left out what comes behind block {after}")]
    Gap { after: u32 },
    /// The stream ended.
    #[error("the chain backend went away")]
    Ended,
    /// The keeper.
    #[error(transparent)]
    Keeper(#[from] Refused),
}

/// The task.
#[derive(Debug)]
pub struct Watcher {
    keeper: Keeper,
    bell: Bell,
    backends: Vec<Arc<dyn ChainBackend>>,
    chain: Arc<dyn ChainBackend>,
    book: Book,
    cursor: Option<Locator>,
    lessons: Lessons,
    /// The block of the ring's bottom, once it was asked for.
    bottom: Option<(BlockId, BlockHash)>,
    /// Keys of replica sessions with a breach.
    replicas: BTreeMap<u32, (Replica, Vec<HtlcAdd>)>,
    disk_key: DiskKey,
    /// Records that opened in vain and were told of: the transaction, the session, the number. The newest of a run.
    vain: BTreeSet<(Txid, u32, u32)>,
    /// What came late and is still to be looked at.
    in_hand: VecDeque<Late>,
    /// The block a late record was last for.
    recent: Option<(BlockHash, Arc<Block>)>,
    publish: watch::Sender<Watching>,
    events: broadcast::Sender<TowerEvent>,
    /// The tower's own coins, and what of them may be spent.
    purse: Option<Purse>,
    spending: Spending,
    asks: mpsc::Receiver<purse::Ask>,
}

/// What it begins with.
#[derive(Debug)]
pub struct Beginning {
    /// Where records are.
    pub keeper: Keeper,
    /// Rings when one comes late.
    pub bell: Bell,
    /// Where blocks come from, the best first.
    pub backends: Vec<Arc<dyn ChainBackend>>,
    /// All breaches as the disk has them.
    pub book: Book,
    /// The place on the chain that the disk has.
    pub cursor: Option<Locator>,
    /// What opens the keys of replica sessions.
    pub disk_key: DiskKey,
    /// The tower's own coins; `None` if it has none.
    pub purse: Option<Purse>,
    /// What of them may be spent.
    pub spending: Spending,
}

/// A watcher, and what others see of it; `None` without any backend.
pub fn watcher(beginning: Beginning) -> Option<(Watcher, View)> {
    let Beginning { keeper, bell, backends, book, cursor, disk_key, purse, spending } = beginning;
    let chain = Arc::clone(backends.first()?);
    let tip = cursor.as_ref().map(Locator::tip);
    let kept = tip.map(|tip| tip.height);
    let watching = Watching { tip, kept, book: Arc::new(book.clone()), ..Watching::default() };
    let (publish, watching) = watch::channel(watching);
    let (events, _) = broadcast::channel(EVENTS);
    let (purse_door, asks) = PurseDoor::new();
    let view = View { watching, events: events.clone(), purse: purse_door };
    let watcher = Watcher {
        keeper,
        bell,
        backends,
        chain,
        book,
        cursor,
        lessons: Lessons::default(),
        vain: BTreeSet::new(),
        bottom: None,
        replicas: BTreeMap::new(),
        disk_key,
        in_hand: VecDeque::new(),
        recent: None,
        publish,
        events,
        purse,
        spending,
        asks,
    };
    Some((watcher, view))
}

impl Watcher {
    /// Until it is told to stop, or the keeper is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE_START;
        let mut number = 0_usize;
        while !stop.is_cancelled() {
            let before = self.publish.borrow().blocks;
            let error = match self.follow(&stop).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if matches!(error, WatchError::Keeper(_)) {
                return;
            }
            if self.publish.borrow().blocks > before {
                pause = PAUSE_START;
            }
            let first = self.publish.borrow().trouble.is_none();
            if first {
                tracing::error!(%error, "no blocks: trying again");
                self.tell(EventKind::Chain, None, None, error.to_string());
            }
            number = number.saturating_add(1).checked_rem(self.backends.len()).unwrap_or(0);
            if let Some(next) = self.backends.get(number) {
                self.chain = Arc::clone(next);
            }
            self.publish.send_modify(|watching| {
                watching.trouble = Some(error.to_string());
                watching.is_synced = false;
                watching.backend = number;
            });
            if !self.rest(pause, &stop).await {
                return;
            }
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), WatchError> {
        let from = match &self.cursor {
            Some(cursor) => cursor.clone(),
            None => self.begin().await?,
        };
        self.begin_ring().await?;
        self.catch_up_purse().await?;
        let mut stream = self.chain.events(from, Interest::Everything).await?;
        let bell = self.bell.clone();
        let mut is_filling = true;
        let mut waiting: Option<ChainEvent> = None;
        loop {
            if let Some(event) = waiting.take() {
                waiting = self.event(event, &mut stream).await?;
                continue;
            }
            let synced = self.publish.borrow().is_synced;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                event = stream.next() => {
                    let event = event.ok_or(WatchError::Ended)??;
                    waiting = self.event(event, &mut stream).await?;
                }
                () = bell.late.notified() => self.late().await?,
                Some(ask) = self.asks.recv() => self.hear(ask).await,
                () = std::future::ready(()), if is_filling && synced => {
                    is_filling = self.fill().await?;
                }
            }
        }
    }

    /// Waits, and answers what can be answered without a chain; `false` if it is told to stop.
    async fn rest(&mut self, pause: Duration, stop: &CancellationToken) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => return true,
                Some(ask) = self.asks.recv() => self.hear(ask).await,
            }
        }
    }

    /// A tower that never saw a block begins with the newest.
    async fn begin(&mut self) -> Result<Locator, WatchError> {
        let tip = self.chain.tip().await?;
        let block = self.chain.block(tip.hash).await?;
        let facts = vec![Fact::BlockConnected { height: tip.height, hash: tip.hash }];
        let _cleared = self.keeper.settle(facts, true).await?;
        let cursor = Locator::at(tip.id());
        self.cursor = Some(cursor.clone());
        let sightings = block::sightings(&block.txdata);
        self.keeper.block(tip.id(), block.header.prev_blockhash, sightings).await?;
        self.publish.send_modify(|watching| watching.tip = Some(tip.id()));
        Ok(cursor)
    }

    /// Answers what is to be done next, if something was read ahead.
    async fn event(
        &mut self,
        event: ChainEvent,
        stream: &mut ChainStream,
    ) -> Result<Option<ChainEvent>, WatchError> {
        match event {
            ChainEvent::Connected { block, txs } => {
                self.connected(block, &txs).await?;
                Ok(None)
            }
            ChainEvent::Disconnected { fork, .. } => {
                self.disconnected(fork.id()).await?;
                Ok(None)
            }
            ChainEvent::Mempool(delta) => self.mempool(delta, stream).await,
            ChainEvent::Synced { tip } => {
                self.synced(tip).await?;
                Ok(None)
            }
            // Another one may answer.
            ChainEvent::Away { why } => Err(BackendError::Unavailable(why).into()),
        }
    }

    async fn synced(&mut self, tip: BlockRef) -> Result<(), WatchError> {
        let ours = self.cursor.as_ref().map(Locator::tip);
        let recovered = self.publish.borrow().trouble.is_some();
        self.publish.send_modify(|watching| {
            watching.is_synced = ours == Some(tip.id());
            watching.trouble = None;
        });
        if recovered {
            self.tell(EventKind::Chain, None, None, "blocks are heard of again".to_owned());
        }
        self.late().await?;
        // What the last run had begun, and what was put off while blocks were caught up with.
        self.answer(Vec::new()).await
    }

    fn height(&self) -> u32 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.tip().height)
    }

    fn follow_fact(&mut self, fact: ClaimFact, facts: &mut Vec<Fact>) {
        self.book.apply(&fact);
        facts.push(Fact::Claim(fact));
    }

    fn tell(&self, kind: EventKind, session: Option<u32>, txid: Option<Txid>, text: String) {
        let none = <Txid as bitcoin::hashes::Hash>::all_zeros();
        let height = self.height();
        let event = TowerEvent { kind, session, txid: txid.unwrap_or(none), height, text };
        // Nobody has to listen.
        let _nobody = self.events.send(event);
    }
}

#[cfg(test)]
pub(crate) mod tests;
