//! The Layer-1 task: follows the chain, tells channels what concerns them, keeps the wallet, and brings
//! transactions to the miners until they are in.
//!
//! A block is done in this order: every channel has staged what it makes of it, then the wallet's change
//! and the cursor are written in one record. So a crash repeats a block for those who did not have it
//! and never skips one.
//!
//! Not here: Bitcoin's rules (`chain_backend`), coin selection (`wallet`).

mod asks;
mod behind;
mod birth;
mod bump;
mod closes;
mod drill;
mod fees;
mod intents;
mod mempool;
mod origins;
mod orphans;
mod place;
mod sweeps;
mod watches;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use chain_backend::backend::{BackendError, ChainBackend, ChainEvent, Interest, Locator};
use channel::onchain::Claim;
use channel::seal::{Flushed, Sealed, Step};
use futures_util::StreamExt as _;
use tokio::sync::{oneshot, watch};
use wire::units::BlockHeight;

use crate::channels::directory::Directory;
use crate::channels::task::ChainNews;
use crate::clock::now_ms;
use crate::edge::Inbox;
use crate::fact::{ChannelIndex, Fact, IntentMade, SweepMade, record};
use crate::journal::Writer;
use crate::layer1::behind::{Behind, Look};
use crate::layer1::intents::Intents;
use crate::layer1::watches::Watches;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;
use crate::seed::Secret32;
use crate::seed::birth::Birth;
use crate::sweeper::{Standing, Stuck, SweepBook, Sweeper};
use crate::tasks::{Fatal, Tasks};
use crate::wallet::{PromiseId, Wallet, WalletFact};
pub use asks::{Ask, Fund};
pub use bump::BumpTarget;
pub use fees::{FeeLimits, Feerates};
pub use place::name_of;

/// What channels may have said and this task has not heard: a few per channel.
pub const FROM_CHANNELS: usize = 65_536;

/// What users asked may wait.
pub const ASKS: usize = 256;

/// How often fees are looked up when no block comes.
const FEES_EVERY: Duration = Duration::from_secs(10);

/// How long to wait for a backend that went away.
const BACKEND_PAUSE: Duration = Duration::from_millis(500);

/// The chain as everybody may see it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tip {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash, in internal byte order.
    pub hash: [u8; 32],
    /// Its header's time, Unix seconds.
    pub time: u32,
    /// Whether everything up to the backend's tip was acted upon.
    pub synced: bool,
}

/// What a channel tells Layer 1.
#[derive(Debug)]
pub enum FromChannel {
    /// Look after the output that holds the coins.
    Watch {
        /// For whom.
        channel: ChannelIndex,
        /// The output.
        outpoint: OutPoint,
        /// What its transaction spends, as far as the channel knows.
        coins: Vec<OutPoint>,
        /// What the channel knows to have spent one of those instead, and where.
        conflict: Option<(Txid, BlockHeight)>,
        /// No block below this height has to do with it.
        since: BlockHeight,
        /// Where the channel knows it to be confirmed.
        confirmed: Option<BlockHeight>,
        /// Where the channel knows it to be spent.
        spent: Option<BlockHeight>,
    },
    /// Look after outputs of a transaction that ended the channel.
    WatchOutputs {
        /// For whom.
        channel: ChannelIndex,
        /// The outputs, and where the channel knows each to be spent.
        outpoints: Vec<(OutPoint, Option<BlockHeight>)>,
        /// No spend is below this height.
        since: BlockHeight,
    },
    /// Bring this to the miners.
    Broadcast {
        /// For whom.
        channel: ChannelIndex,
        /// The transaction.
        tx: Transaction,
        /// What it is.
        label: &'static str,
    },
    /// Fund a channel.
    Fund(Fund),
    /// The channel did not come about: its coins are free.
    Unfund {
        /// Which.
        channel: ChannelIndex,
    },
    /// All that the channel has to take on Layer 1 now.
    Claims {
        /// Whose.
        channel: ChannelIndex,
        /// What.
        claims: Vec<Claim>,
    },
    /// The channel's commitment that waits for a block, and what its anchor could pay; `None`: none
    /// waits any more.
    Closing {
        /// Whose.
        channel: ChannelIndex,
        /// The commitment.
        stuck: Option<Box<Stuck>>,
    },
    /// The channel is over: watch nothing for it any more.
    Forget {
        /// Which.
        channel: ChannelIndex,
    },
}

type Then = Box<dyn FnOnce() + Send + Sync>;

/// The task's state.
pub struct Layer1 {
    backend: Arc<dyn ChainBackend>,
    wallet: Wallet,
    cursor: Locator,
    /// Where it begins, before it has.
    birth: Option<Birth>,
    /// Where that is kept.
    birth_file: PathBuf,
    directory: Directory,
    watches: Watches,
    behind: Behind,
    intents: Intents,
    mempool: mempool::Seen,
    closes: closes::Waiting,
    sweeper: Sweeper,
    /// When the sweeper looks again.
    sweep_at: Option<tokio::time::Instant>,
    fee_limits: FeeLimits,
    fee_source: fees::Source,
    /// Why the last transaction was not made.
    refused: Option<Standing>,
    /// Whether something of ours left the mempool.
    hand_in_again: bool,
    /// Whether the backend did not answer, and was not caught up with since.
    away: bool,
    /// A script of the wallet for the next sweep.
    spare: Option<ScriptBuf>,
    /// How far everything is acted upon for good, and who says so.
    place: watch::Sender<u32>,
    name: String,
    /// From which the channels' keys follow.
    seed: Arc<Secret32>,
    sweeps: watch::Sender<Arc<SweepBook>>,
    writer: Writer,
    waiting: VecDeque<Sealed<Then>>,
    tip: watch::Sender<Tip>,
    height: watch::Sender<BlockHeight>,
    feerates: watch::Sender<Feerates>,
    tasks: Tasks,
}

impl std::fmt::Debug for Layer1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer1").field("cursor", &self.cursor.tip()).finish_non_exhaustive()
    }
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// The wallet as the journal has it.
    pub wallet: Wallet,
    /// Up to where the chain was acted upon.
    pub cursor: Locator,
    /// Where it begins, if it never read a block.
    pub birth: Option<Birth>,
    /// Where that is kept.
    pub birth_file: PathBuf,
    /// The name under which the chain knows us ([`name_of`]).
    pub name: String,
    /// Transactions that are not deep in the chain yet.
    pub intents: Vec<IntentMade>,
    /// Sweeps among them.
    pub swept: Vec<SweepMade>,
    /// From which the channels' keys follow.
    pub seed: Arc<Secret32>,
    /// What estimates are held within.
    pub fee_limits: FeeLimits,
    /// Where it is told how far every claim is.
    pub sweeps: watch::Sender<Arc<SweepBook>>,
    /// Who runs which channel.
    pub directory: Directory,
    /// The way into the journal.
    pub writer: Writer,
    /// Where the tip is told.
    pub tip: watch::Sender<Tip>,
    /// Where the height is told.
    pub height: watch::Sender<BlockHeight>,
    /// Where feerates are told.
    pub feerates: watch::Sender<Feerates>,
    /// The tree of tasks.
    pub tasks: Tasks,
}

/// What the names of promises to channels begin with; the channel's index follows.
const FUNDING_OF: &[u8; 24] = b"viaduct channel funding ";

fn is_funding(promise: PromiseId) -> bool {
    promise.0.starts_with(FUNDING_OF)
}

/// The name under which the coins of a channel are promised.
pub fn promise_of(channel: ChannelIndex) -> PromiseId {
    let mut name = [0; 32];
    if let Some(start) = name.first_chunk_mut::<24>() {
        *start = *FUNDING_OF;
    }
    if let Some(end) = name.last_chunk_mut::<8>() {
        *end = channel.0.to_be_bytes();
    }
    PromiseId(name)
}

impl Layer1 {
    /// Takes up where the journal ends.
    pub fn new(backend: Arc<dyn ChainBackend>, start: Start) -> Self {
        let Start { wallet, cursor, intents, swept, seed, sweeps, directory, fee_limits, .. } =
            start;
        let Start { writer, tip, height, feerates, tasks, name, birth, birth_file, .. } = start;
        let place = watch::Sender::new(cursor.tip().height);
        let sweeper = Sweeper::restore(swept);
        sweeps.send_replace(Arc::new(sweeper.shown(*height.borrow())));
        Self {
            backend,
            wallet,
            cursor,
            birth,
            birth_file,
            directory,
            watches: Watches::default(),
            behind: Behind::default(),
            intents: Intents::new(intents),
            mempool: mempool::Seen::default(),
            closes: closes::Waiting::default(),
            sweeper,
            sweep_at: None,
            fee_limits,
            fee_source: fees::Source::default(),
            refused: None,
            hand_in_again: false,
            away: false,
            place,
            name,
            spare: None,
            seed,
            sweeps,
            writer,
            waiting: VecDeque::new(),
            tip,
            height,
            feerates,
            tasks,
        }
    }

    /// Runs until the node stops. A backend that goes away is asked again, for ever.
    ///
    /// # Errors
    /// [`Fatal::Chain`] if the chain contradicts what is recorded.
    pub async fn run(
        self,
        from_channels: Inbox<FromChannel>,
        asks: Inbox<Ask>,
        disk: watch::Receiver<Flushed>,
    ) -> Result<(), Fatal> {
        let tasks = self.tasks.clone();
        let (backend, name) = (Arc::clone(&self.backend), self.name.clone());
        tasks.spawn("place", place::tell(backend, name, self.place.subscribe(), tasks.clone()));
        // A backend that does not answer must not keep the node from stopping; what is cut short here is
        // what a crash would cut short.
        tokio::select! {
            biased;
            () = tasks.stopping() => Ok(()),
            ended = self.work(from_channels, asks, disk) => ended,
        }
    }

    async fn work(
        mut self,
        mut from_channels: Inbox<FromChannel>,
        mut asks: Inbox<Ask>,
        mut disk: watch::Receiver<Flushed>,
    ) -> Result<(), Fatal> {
        self.free_orphans();
        // Every channel has said by now what to watch: that is heard before the first block.
        self.tell_channels(watches::News::default()).await;
        while let Ok(told) = from_channels.try_recv() {
            self.hear(told).await?;
        }
        let news = self.watches.rewind(BlockHeight(self.cursor.tip().height));
        self.tell_channels(news).await;
        loop {
            if !self.begin().await? {
                self.show_away();
                tokio::time::sleep(BACKEND_PAUSE).await;
                continue;
            }
            let stream = self.backend.events(self.cursor.clone(), Interest::Everything).await;
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(BackendError::WrongChain) => {
                    return Err(Fatal::Chain(BackendError::WrongChain.to_string()));
                }
                Err(error) => {
                    tracing::warn!(%error, "chain backend");
                    self.show_away();
                    tokio::time::sleep(BACKEND_PAUSE).await;
                    continue;
                }
            };
            let mut fees = tokio::time::interval(FEES_EVERY);
            loop {
                let (sweep_at, look_at) = (self.sweep_at, self.behind.at());
                let search_at = self.behind.search_at();
                tokio::select! {
                    biased;
                    Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                    Some(told) = from_channels.recv() => self.hear(told).await?,
                    Some(ask) = asks.recv() => self.answer(ask).await,
                    // Before the next block: a flood of them must not keep claims waiting.
                    () = at(sweep_at) => self.sweep().await,
                    () = at(look_at) => self.look_back().await,
                    event = stream.next() => match event {
                        Some(Ok(event)) => self.follow(event).await?,
                        Some(Err(error)) => {
                            tracing::warn!(%error, "chain stream");
                            self.show_away();
                            break;
                        }
                        None => break,
                    },
                    _ = fees.tick() => self.look_up_fees().await,
                    // It may take thousands of blocks, so everything else comes first.
                    () = at(search_at) => self.search_back().await,
                }
                let flushed = *disk.borrow_and_update();
                self.release(flushed);
            }
        }
    }

    /// Coins that were promised to what a crash took with it: a channel that never got a name, a payment
    /// that was never handed in.
    fn free_orphans(&mut self) {
        let doors = self.directory.doors();
        let alive: BTreeSet<_> = doors.iter().map(|door| promise_of(door.index)).collect();
        let orphans: Vec<_> = self
            .wallet
            .promises()
            .filter(|promise| match promise.purpose {
                SetAside::Channel(_) => is_funding(promise.id) && !alive.contains(&promise.id),
                SetAside::Send => true,
            })
            .map(|promise| promise.id)
            .collect();
        for orphan in orphans {
            tracing::info!(?orphan, "promised coins are free again");
            let fact = self.wallet.release(orphan, UnixMillis(now_ms()));
            self.keep(fact, Vec::new());
        }
    }

    async fn follow(&mut self, event: ChainEvent) -> Result<(), Fatal> {
        tracing::debug!(tip = self.cursor.tip().height, "chain event");
        if let ChainEvent::Mempool(delta) = &event {
            let fact = self.apply_to_wallet(&event)?;
            self.keep(fact, Vec::new());
            self.follow_mempool(delta).await;
            return Ok(());
        }
        if let ChainEvent::Away { why } = &event {
            tracing::warn!(why, "the chain backend is away; it is asked on");
            self.show_away();
            return Ok(());
        }
        let news = self.watches.news(&event);
        let closes = news.closes();
        self.intents.follow(&event);
        self.cursor.follow(&event);
        match &event {
            ChainEvent::Connected { block, .. } => {
                self.show_tip(block.height, block.hash, block.header.time, false);
            }
            ChainEvent::Disconnected { fork, .. } => {
                self.show_tip(fork.height, fork.hash, fork.header.time, false);
                self.sweeper.rewind(BlockHeight(fork.height));
            }
            ChainEvent::Synced { tip } => {
                self.show_tip(tip.height, tip.hash, tip.header.time, true);
                if std::mem::take(&mut self.away) {
                    self.show_synced().await;
                    return Ok(());
                }
                self.look_up_fees().await;
                self.submit_all().await;
                self.sweep_soon();
                return Ok(());
            }
            ChainEvent::Mempool(_) | ChainEvent::Away { .. } => {}
        }
        self.tell_channels(news).await;
        let wallet = self.apply_to_wallet(&event)?;
        let mut facts = vec![Fact::ChainAt(self.cursor.encode())];
        self.drop_orphans(&closes).await;
        facts.extend(self.settle_sweeps());
        facts.extend(self.intents.take_done().into_iter().map(Fact::IntentDone));
        let (place, height) = (self.place.clone(), self.cursor.tip().height);
        let then: Then = Box::new(move || {
            place.send_replace(height);
        });
        self.keep_then(wallet, facts, vec![then]);
        self.show_sweeps();
        if self.tip.borrow().synced || self.was_synced() {
            self.show_synced().await;
        }
        Ok(())
    }

    /// A block that follows a synced tip leaves us synced: the stream says so only after falling behind. Behind a
    /// backend that was away there may be many blocks, and it says so when they are told.
    fn was_synced(&self) -> bool {
        self.intents.synced_once() && !self.away
    }

    async fn show_synced(&mut self) {
        self.tip.send_modify(|tip| tip.synced = true);
        self.look_up_fees().await;
        self.submit_all().await;
        self.raise().await;
        self.raise_closes().await;
        self.sweep_soon();
    }

    /// Nobody knows how the chain goes on while its backend does not answer.
    fn show_away(&mut self) {
        self.away = true;
        self.tip.send_if_modified(|tip| std::mem::take(&mut tip.synced));
    }

    fn show_tip(&mut self, height: u32, hash: bitcoin::BlockHash, time: u32, synced: bool) {
        if synced {
            self.intents.set_synced();
        }
        let hash = bitcoin::hashes::Hash::to_byte_array(hash);
        self.height.send_replace(BlockHeight(height));
        self.tip.send_replace(Tip { height: BlockHeight(height), hash, time, synced });
    }

    /// Hands every channel its news and waits until all have staged what they make of it.
    async fn tell_channels(&self, mut news: watches::News) {
        let doors = self.directory.doors();
        let mut staged = Vec::new();
        for door in doors.iter() {
            let (ack, done) = oneshot::channel();
            let facts = news.take(door.index);
            // A channel that has just ended needs nothing any more.
            if door.chain.send(ChainNews { facts, ack: Some(ack) }).await.is_ok() {
                staged.push(done);
            }
        }
        for done in staged {
            let _ended = done.await;
        }
    }

    fn apply_to_wallet(&mut self, event: &ChainEvent) -> Result<WalletFact, Fatal> {
        let now = UnixMillis(now_ms());
        self.wallet.apply(event, now).map_err(|fault| Fatal::Chain(fault.to_string()))
    }

    /// Writes the wallet's change and what belongs to it in one record.
    fn keep(&mut self, wallet: WalletFact, facts: Vec<Fact>) {
        self.keep_then(wallet, facts, Vec::new());
    }

    fn keep_then(&mut self, wallet: WalletFact, mut facts: Vec<Fact>, then: Vec<Then>) {
        let wallet = wallet.into_bytes();
        if !wallet.is_empty() {
            facts.insert(0, Fact::Wallet(wallet));
        }
        let ((), sealed) = Step::new((), record(&facts), then).stage(&mut self.writer);
        self.waiting.push_back(sealed);
    }

    /// Does something behind all that was staged before.
    fn after_all(&mut self, then: Then) {
        match self.waiting.is_empty() {
            true => then(),
            false => self.keep_then(WalletFact::from_bytes(Vec::new()), Vec::new(), vec![then]),
        }
    }

    fn release(&mut self, disk: Flushed) {
        while let Some(sealed) = self.waiting.pop_front() {
            match sealed.open(disk) {
                Ok(then) => then.into_iter().for_each(|then| then()),
                Err(early) => return self.waiting.push_front(early),
            }
        }
    }

    async fn hear(&mut self, told: FromChannel) -> Result<(), Fatal> {
        tracing::debug!(?told, "heard");
        match told {
            FromChannel::Watch { channel, outpoint, coins, conflict, since, confirmed, spent } => {
                self.watches.add_funding(channel, outpoint, confirmed, spent);
                self.watches.origins.watch(channel, outpoint.txid, &coins, conflict);
                if confirmed.is_none() && conflict.is_none() {
                    for coin in coins {
                        self.behind.add(Look::Coin { channel, coin, since });
                    }
                }
                let since = confirmed.map_or(since, |height| height.max(since));
                self.behind.add(Look::Funding { channel, outpoint, since });
            }
            FromChannel::WatchOutputs { channel, outpoints, since } => {
                for (outpoint, spent) in outpoints {
                    // All are named again whenever one of them is spent: a block says that of those known.
                    if self.watches.add_output(channel, outpoint, spent) {
                        self.behind.add(Look::Spend { channel, outpoint, since });
                    }
                }
            }
            FromChannel::Broadcast { channel, tx, label } => {
                self.broadcast(channel, tx, label).await;
            }
            FromChannel::Fund(fund) => self.fund(fund),
            FromChannel::Unfund { channel } => {
                let fact = self.wallet.release(promise_of(channel), UnixMillis(now_ms()));
                self.keep(fact, Vec::new());
            }
            FromChannel::Claims { channel, claims } => {
                self.sweeper.claims(channel, claims);
                self.sweep_soon();
            }
            FromChannel::Closing { channel, stuck } => {
                self.sweeper.closing(channel, stuck.map(|stuck| *stuck));
                self.sweep_soon();
            }
            FromChannel::Forget { channel } => {
                self.watches.forget(channel);
                self.sweeper.forget(channel);
            }
        }
        Ok(())
    }
}

/// Waits for a moment, or for ever.
async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
