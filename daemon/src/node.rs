//! A node: starts everything in order, stops it in reverse.
//!
//! Not here: what the tasks do (their own modules), how users reach them (`handle`).

mod answers;
mod backup;
mod blinded;
mod chaos;
mod events;
mod faucet;
mod forwards;
mod graph;
mod handle;
mod lists;
mod once;
mod open;
mod orders;
mod pay;
mod tower;
mod updates;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chain_backend::backend::{ChainBackend, Locator};
use chain_backend::sandbox::Sandbox;
use channel::Origin;
use channel::seal::{Journal as _, Lsn};
use store::disk::RealDisk;
use store::engine::EngineError;
use store::guard::{Guard, GuardError};
use store::index::Index;
use store::journal::{Journal, JournalError, Options, Recovered, Recovery};
use store::marker::{self, MarkerError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::feature::Features;
use wire::id::{ChannelId, PaymentHash};
use wire::message::{Address, Hostname};
use wire::units::BlockHeight;

use crate::archive::Archives;
use crate::backup as keeping;
use crate::backup::files::Files;
use crate::backup::shelf::Shelf;
use crate::channels::directory::Directory;
use crate::channels::registry::{self, Registry};
use crate::channels::task::Common;
use crate::clock::now_ms;
use crate::config::{Config, Network};
use crate::edge::{back, forward};
use crate::fact::{ChannelIndex, Fact, PeerKept, record};
use crate::gossip::{self, Face, Gossip};
use crate::guard::{self, Following, QuarantineError};
use crate::identity::Identity;
use crate::journal::{self, Running};
use crate::keeper::{self, Keeper, UnderWay};
use crate::layer1::{self, Feerates, Layer1, Tip};
use crate::payments::{self, Payments};
use crate::peers::connection::Readers;
use crate::peers::{self, Limits, Peers};
use crate::policy::Policies;
use crate::rpc::model::UnixMillis;
use crate::seed::Secrets;
use crate::seed::birth::Birth;
use crate::state::{Kept, State, StateError};
use crate::switch::updates::OwnUpdates;
use crate::switch::{self, Switch};
use crate::tasks::{Fatal, Tasks};
use crate::tower as towers_of;
use crate::wallet::{Wallet, WalletFault};

pub use forwards::held_ms;
pub use handle::Handle;

/// A chain to run on.
#[derive(Clone)]
pub struct ChainAccess {
    /// What it shows.
    pub backend: Arc<dyn ChainBackend>,
    /// How it is steered, if it is ours to steer.
    pub sandbox: Option<Arc<dyn Sandbox>>,
}

impl std::fmt::Debug for ChainAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainAccess").field("sandbox", &self.sandbox.is_some()).finish()
    }
}

/// Why a node does not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal: locked by another process, damaged, or written by a newer version.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal's records do not make a state.
    #[error("the journal cannot be read: {0}")]
    State(#[from] StateError),
    /// The data is another node's, or its journal is gone.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The note of how far the journal had come.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The store may be an older copy, and its channels cannot be protected from it.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// The index cannot be opened or made.
    #[error("the index: {0}")]
    Index(#[from] EngineError),
    /// The wallet's records do not make a wallet.
    #[error(transparent)]
    Wallet(#[from] WalletFault),
    /// The index has records that the journal does not: the journal was replaced by an older copy.
    #[error(
        "the journal ends at record {journal}, but record {index} was durable once: this is an older \
         copy, and running on it could lose the money in the channels"
    )]
    JournalBehind {
        /// Where the journal ends.
        journal: u64,
        /// What the index has seen.
        index: u64,
    },
    /// The index cannot be filled.
    #[error("the index: {0}")]
    Fill(#[from] store::table::TableError),
    /// The stored cursor is not one.
    #[error("the chain cursor: {0}")]
    Cursor(#[from] chain_backend::backend::LocatorError),
    /// A file, a socket or a thread.
    #[error("{what}: {source}")]
    Io {
        /// What was wanted.
        what: String,
        /// Why it is not to be had.
        source: io::Error,
    },
    /// A record of the sandbox's lies in the journal of another network.
    #[error("the journal tells of cheating, which exists on the sandbox alone")]
    Cheats,
    /// A broken invariant.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::Io { what, source }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    tasks: Tasks,
    journal: Running,
    keeper: Keeper,
    following: Following,
    listening: Vec<SocketAddr>,
    /// What was found in the journal.
    recovered: Recovered,
}

/// What was read before anything runs.
struct Opened {
    journal: Journal<RealDisk>,
    recovered: Recovered,
    state: State,
    index: Index,
    under_way: UnderWay,
    guard: Guard,
    is_doubtful: bool,
    archives: Archives,
}

impl Node {
    /// Starts a node on its data directory. The directory exists and is ours alone to read.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed and nothing runs.
    pub async fn start(
        config: &Config,
        secrets: Secrets,
        chain: ChainAccess,
    ) -> Result<Self, StartError> {
        let us = Arc::new(Identity::new(*secrets.node.expose(), *secrets.onion.expose()));
        let mut opened = open(config, &us)?;
        let network = registry::chain_hash(config.network.params());
        let asked = towers_of::ask_before_start(&opened.state, &secrets.towers, network).await;
        if let Some(why) = asked {
            let doubts = guard::quarantine_all(&mut opened.journal, &mut opened.state, &why)?;
            for (at, bytes) in doubts {
                keeper::fill(&mut opened.index, &mut opened.under_way, at, &bytes)?;
            }
        }
        let mut listeners = Vec::new();
        for address in &config.p2p.listen {
            let listener =
                TcpListener::bind(address).await.map_err(io(format!("port {address}")))?;
            listeners.push(listener);
        }
        let listening =
            listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        run(config, secrets, chain, us, opened, listeners, listening)
    }

    /// How to ask it for things.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where peers reach it.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// What was found in the journal when it started.
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The tree of its tasks, for servers that run beside them.
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What the journal did since the start.
    pub fn journal_stats(&self) -> store::journal::Stats {
        *self.journal.stats.borrow()
    }

    /// The disk fails after so many more records, as in a crash: for tests of what is left then.
    pub fn fail_after(&self, records: u64) {
        self.journal.fuse.light(records);
    }

    /// The same, by moments: before each record and behind it ([`crate::journal::Fuse::light_moments`]).
    pub fn fail_at_moment(&self, moments: u64) {
        self.journal.fuse.light_moments(moments);
    }

    /// The disk fails no more, unless it has; how many moments were left, [`u64::MAX`] when it was not to fail.
    pub fn fail_no_more(&self) -> u64 {
        self.journal.fuse.put_out()
    }

    /// Waits until it stops, of itself or because it was asked to, and says why if it was not.
    pub async fn wait(self) -> Option<Fatal> {
        self.tasks.stopping().await;
        let why = self.tasks.join().await;
        let Self { handle, journal, keeper, following, .. } = self;
        drop(handle);
        let threads = tokio::task::spawn_blocking(move || {
            journal.join();
            following.join();
            keeper.join();
        });
        if threads.await.is_err() {
            tracing::error!("the threads behind the node did not end");
        }
        why
    }

    /// Stops it in order.
    pub async fn stop(self) -> Option<Fatal> {
        self.tasks.stop();
        self.wait().await
    }
}

fn open(config: &Config, us: &Identity) -> Result<Opened, StartError> {
    let db = config.dir.store();
    let place = db.display().to_string();
    let disk = RealDisk::open(db.join("journal")).map_err(io(place.clone()))?;
    let mut salt = [0; 8];
    getrandom::fill(&mut salt)
        .map_err(|_| Fatal::Invariant("the system gives no random numbers"))?;
    let beside = RealDisk::open(config.dir.network()).map_err(io(place.clone()))?;
    marker::check_owner(&beside, &us.node_id().0)?;
    let mut guard = guard::read(config, us.node_id().0)?;
    let archives = Archives::open(&config.dir.archive()).map_err(io(place))?;
    // The journal first: its lock says who runs here already.
    let options = Options::new(u64::from_le_bytes(salt));
    let mut recovery = Recovery::start_above(disk, options, guard.noted().epoch())?;
    let (mut index, reached) = Index::open(&db.join("index"))?;
    let (mut state, snapshot) = match recovery.take_snapshot() {
        Some(snapshot) => {
            let state = State::decode(&snapshot.payload).map_err(StateError::from)?;
            (state, Some(snapshot.seq))
        }
        None => (State::default(), None),
    };
    let mut under_way = UnderWay {
        sent: state.sent.clone(),
        asked: state.asked.clone(),
        stories: state.stories.clone(),
        forwards: state.forwards.book.clone(),
    };
    keeper::begin(&mut index, &mut under_way, snapshot)?;
    while let Some(record) = recovery.next_record()? {
        state.apply(Lsn(record.seq), record.payload)?;
        keeper::fill(&mut index, &mut under_way, Lsn(record.seq), record.payload)?;
    }
    if state.cheats && config.network != Network::Sandbox {
        return Err(StartError::Cheats);
    }
    let (mut journal, recovered) = recovery.finish()?;
    // The index never sees a record before the disk has it.
    if reached > recovered.last {
        return Err(StartError::JournalBehind { journal: recovered.last, index: reached });
    }
    if recovered.snapshot.is_some_and(|snapshot| snapshot > reached) {
        tracing::warn!(
            "the index was lost; events before the last snapshot are not listed any more"
        );
    }
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            ?torn,
            "the last write before the stop was not complete; it was never acknowledged"
        );
    }
    marker::check(&beside, &us.node_id().0, recovered.last)?;
    // Last: a start that is refused leaves the note as it is.
    let checked = guard::check(&mut guard, (&mut journal, &recovered), &mut state, &config.dir)?;
    for (at, bytes) in checked.records {
        keeper::fill(&mut index, &mut under_way, at, &bytes)?;
    }
    let is_doubtful = checked.is_doubtful;
    Ok(Opened { journal, recovered, state, index, under_way, guard, is_doubtful, archives })
}

fn run(
    config: &Config,
    secrets: Secrets,
    chain: ChainAccess,
    us: Arc<Identity>,
    opened: Opened,
    listeners: Vec<TcpListener>,
    listening: Vec<SocketAddr>,
) -> Result<Node, StartError> {
    let Opened { journal, recovered, mut state, index, under_way, guard, is_doubtful, archives } =
        opened;
    let tasks = Tasks::default();
    let history = journal.history();
    let directory = Directory::default();
    let (keeper, reading, groups) =
        keeper::start(index, under_way, (history, archives.clone(), directory.clone()))
            .map_err(io("a thread"))?;
    let behind = (journal.epoch(), journal.history());
    let journal = journal::start(journal, groups, tasks.clone()).map_err(io("a thread"))?;
    let following =
        guard::follow(guard, behind, journal.flushed.clone()).map_err(io("a thread"))?;
    let network = config.network.params();

    let cursor = match &state.chain_at {
        Some(bytes) => Locator::decode(bytes)?,
        None => Locator::genesis(network),
    };
    let birth_file = config.dir.birth();
    let birth = match &state.chain_at {
        Some(_) => None,
        None => Some(Birth::read(&birth_file).map_err(io("how old the seed is"))?),
    };
    let wallet = if state.wallet.is_empty() {
        let (wallet, fact) = Wallet::create(secrets.wallet, UnixMillis(now_ms()))?;
        let mut writer = journal.writer.clone();
        let _first = writer.append(record(&[Fact::Wallet(fact.into_bytes())]));
        wallet
    } else {
        std::mem::take(&mut state.wallet).finish(secrets.wallet)?
    };

    let (height, height_seen) = watch::channel(BlockHeight(cursor.tip().height));
    let (sweeps, sweeps_seen) = watch::channel(Arc::default());
    let (feerates, feerates_seen) = watch::channel(Feerates::default());
    let (tip, tip_seen) = watch::channel(Tip {
        height: BlockHeight(cursor.tip().height),
        hash: bitcoin::hashes::Hash::to_byte_array(cursor.tip().hash),
        time: 0,
        synced: false,
    });
    let policies = Policies::of(
        config.channel.force_close,
        &state.force_close,
        std::mem::take(&mut state.trusted),
    );
    let (force_close, force_close_seen) = watch::channel(policies);
    let (to_payments, from_channels) = back(payments::FROM_CHANNELS);
    let (to_switch, to_switch_in) = back(switch::FROM_CHANNELS);
    let (to_layer1, to_layer1_in) = back(layer1::FROM_CHANNELS);
    let (ended, ended_in) = back(registry::ENDED);
    let (orders, orders_in) = forward(registry::ORDERS);
    let (wallet_asks, wallet_asks_in) = forward(layer1::ASKS);
    let (payment_asks, payment_asks_in) = forward(payments::ASKS);
    let (peer_asks, peer_asks_in) = forward(peers::ASKS);
    let (from_connections, from_connections_in) = back(peers::FROM_CONNECTIONS);

    let (ahead, ahead_seen) = watch::channel(None);
    let (to_backup, from_channels_to_backup) = back(keeping::FROM_CHANNELS);
    let (backup_asks, backup_asks_in) = forward(keeping::ASKS);
    let folder = config.dir.backup();
    let place = folder.display().to_string();
    let files = Files::open(&folder, config.backup_path.clone()).map_err(io(place.clone()))?;
    let shelf = Shelf::open(&folder.join("peers")).map_err(io(place))?;
    let keeper_of_backup = keeping::Keeper::new(keeping::Start {
        node: us.node_id(),
        key: secrets.backup,
        counter: state.backup,
        next_channel: state.next_channel,
        entries: entries(&state),
        files,
        shelf,
        writer: journal.writer.clone(),
        height: height_seen.clone(),
        ahead,
        tasks: tasks.clone(),
    });
    let (to_gossip, to_gossip_in) = back(gossip::FROM_CHANNELS);
    let (gossip_peers, gossip_peers_in) = back(peers::FROM_CONNECTIONS);
    let (heard, heard_in) = forward(gossip::HEARD);
    let (graph, graph_seen) = watch::channel(routing::graph::Snapshot::default());
    let (own_gossip, own_gossip_seen) = watch::channel(Arc::default());

    let (tower_archives, tower_height) = (archives.clone(), height_seen.clone());
    let (tower_held, tower_held_seen) = watch::channel(Arc::default());
    let common = Common {
        us: Arc::clone(&us),
        policy: Arc::new(config.channel.policy),
        height: height_seen,
        feerates: feerates_seen.clone(),
        force_close: force_close_seen.clone(),
        sweeps: sweeps_seen,
        disk: journal.flushed.clone(),
        directory: directory.clone(),
        archives,
        payments: to_payments,
        switch: to_switch,
        layer1: to_layer1,
        gossip: to_gossip,
        own_gossip: own_gossip_seen.clone(),
        chain: registry::chain_hash(network),
        ended,
        backup: to_backup,
        tasks: tasks.clone(),
    };
    let alive = Alive::of(&state);
    let seed = Arc::new(secrets.channels);
    let tower_seed = Arc::clone(&seed);
    let cheat = chaos::Licence::of(config, &chain, &seed);
    let mut registry = Registry::new(registry::Start {
        common,
        network,
        asks: config.channel.asks,
        seed: Arc::clone(&seed),
        writer: journal.writer.clone(),
        next: first_index(&state)?,
        wallet: wallet_asks.clone(),
        directory: config.dir.network(),
        ahead: ahead_seen.clone(),
    });
    let older_copy = ahead_seen.borrow().is_some();
    let tower_ahead = ahead_seen.clone();
    let mut writer = journal.writer.clone();
    for (index, kept) in std::mem::take(&mut state.channels) {
        if let Some(mut channel) = kept.channel {
            if older_copy {
                guard::doubt_one(index, &mut channel, &mut writer);
            }
            registry.restore(&kept.born, channel)?;
        }
    }

    let layer1 = Layer1::new(
        Arc::clone(&chain.backend),
        layer1::Start {
            wallet,
            cursor,
            birth: birth.filter(|birth| *birth != Birth::Height(0)),
            birth_file,
            name: layer1::name_of(us.node_id()),
            intents: state.intents.into_values().collect(),
            fee_limits: config.fees,
            swept: state.sweeps.into_values().collect(),
            seed,
            sweeps,
            directory: directory.clone(),
            writer: journal.writer.clone(),
            tip,
            height,
            feerates,
            tasks: tasks.clone(),
        },
    );
    tasks.spawn("layer1", layer1.run(to_layer1_in, wallet_asks_in, journal.flushed.clone()));
    let updates = OwnUpdates::default();
    let (policies, policies_seen) = watch::channel(Arc::default());
    let (switch_asks, switch_asks_in) = forward(switch::hold::ASKS);
    let switch = Switch::new(switch::Start {
        directory: directory.clone(),
        tip: tip_seen.clone(),
        writer: journal.writer.clone(),
        forwards: std::mem::take(&mut state.forwards),
        manner: config.forwarding,
        uncovered: tower_held_seen,
        alive: alive.circuits,
        updates: updates.clone(),
        policies,
    });
    tasks.spawn(
        "switch",
        switch.run(to_switch_in, switch_asks_in, journal.flushed.clone(), tasks.clone()),
    );
    let payments = Payments::new(payments::Start {
        us: Arc::clone(&us),
        directory: directory.clone(),
        tip: tip_seen.clone(),
        writer: journal.writer.clone(),
        sent: state.sent,
        asked: state.asked,
        alive: alive.payments,
        reading: reading.clone(),
        graph: graph_seen.clone(),
        chain: registry::chain_hash(network),
        scores: config.dir.scores(),
        keysend: config.keysend,
    });
    let flushed = journal.flushed.clone();
    tasks.spawn(
        "payments",
        payments.run(from_channels, payment_asks_in, flushed.clone(), tasks.clone()),
    );
    tasks.spawn("registry", registry.serve(orders_in, ended_in));
    tasks.spawn("doubts", guard::heed(ahead_seen.clone(), directory.clone(), tasks.clone()));
    let backing_up =
        keeper_of_backup.run(backup_asks_in, from_channels_to_backup, journal.flushed.clone());
    tasks.spawn("backup", backing_up);
    let peers = Peers::new(
        peers::Start {
            us: Arc::clone(&us),
            chain: registry::chain_hash(network),
            kept: state.peers,
            writer: journal.writer.clone(),
            readers: Readers {
                directory: directory.clone(),
                registry: orders.clone(),
                backup: backup_asks.clone(),
                ahead: ahead_seen,
                is_doubtful,
                gossip: heard,
                gossip_peers,
            },
            force_close,
            tasks: tasks.clone(),
            limits: Limits {
                inbound_max: config.p2p.inbound_max,
                handshakes_max: config.p2p.handshakes_max,
            },
        },
        from_connections,
    );
    tasks.spawn("peers", peers.run(listeners, peer_asks_in, from_connections_in, flushed));

    let gossip = Gossip::new(gossip::Start {
        us: Arc::clone(&us),
        chain: registry::chain_hash(network),
        backend: Arc::clone(&chain.backend),
        path: config.dir.gossip(),
        face: face(config),
        flush: Duration::from_secs(config.p2p.gossip_flush.into()),
        policies: policies_seen.clone(),
        updates: updates.clone(),
        graph,
        own: own_gossip,
    });
    let inboxes =
        gossip::Inboxes { peers: gossip_peers_in, heard: heard_in, channels: to_gossip_in };
    tasks.spawn("gossip", gossip.run(inboxes, tasks.clone()));

    let (tower_asks, tower_asks_in) = forward(towers_of::ASKS);
    let towers = towers_of::Towers::new(towers_of::Start {
        book: state.towers,
        manner: config.towers,
        directory: directory.clone(),
        archives: tower_archives,
        chain: registry::chain_hash(network),
        height: tower_height,
        feerates: feerates_seen.clone(),
        disk: journal.flushed.clone(),
        keys: secrets.towers,
        seed: tower_seed,
        writer: journal.writer.clone(),
        held: tower_held,
        backend: Arc::clone(&chain.backend),
        wallet: wallet_asks.clone(),
        backup: backup_asks.clone(),
        ahead: tower_ahead,
        proofs: config.dir.tower_proofs(),
        tasks: tasks.clone(),
    });
    tasks.spawn("towers", towers.run(tower_asks_in));

    let (desk, desk_in) = forward(orders::ASKS);
    let order_desk = orders::Desk::new(state.orders);
    tasks.spawn("orders", order_desk.run(desk_in, tasks.clone()));
    let faucet = chain.sandbox.clone().map(|sandbox| faucet::start(sandbox, &tasks));
    let handle = Handle::new(handle::Parts {
        us,
        config: Arc::new(config.clone()),
        started_ms: now_ms(),
        listening: listening.clone(),
        directory,
        tip: tip_seen,
        feerates: feerates_seen,
        payments: payment_asks,
        peers: peer_asks,
        wallet: wallet_asks,
        switch: switch_asks,
        forward_policies: policies_seen,
        updates,
        registry: orders,
        backup: backup_asks,
        towers: tower_asks,
        desk,
        reading,
        disk: journal.flushed.clone(),
        force_close: force_close_seen,
        sandbox: chain.sandbox,
        faucet,
        cheat,
        graph: graph_seen,
        own_gossip: own_gossip_seen,
        tasks: tasks.clone(),
    });
    Ok(Node { handle, tasks, journal, keeper, following, listening, recovered })
}

/// How the node wants to be shown to others.
fn face(config: &Config) -> Face {
    let addresses = config.p2p.addresses.iter().filter_map(|text| shown_address(text)).collect();
    let features = Features::node(config.keysend);
    Face { alias: config.alias.clone(), features, color: [0x1f, 0x6f, 0x8b], addresses }
}

/// `host:port` as gossip writes it; `None` for what is neither an IP address nor a name.
fn shown_address(text: &str) -> Option<Address> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(match address {
            SocketAddr::V4(v4) => Address::Ipv4(*v4.ip(), v4.port()),
            SocketAddr::V6(v6) => Address::Ipv6(*v6.ip(), v6.port()),
        });
    }
    let (host, port) = text.rsplit_once(':')?;
    Some(Address::Dns(Hostname::new(host)?, port.parse().ok()?))
}

/// What a restart finds under way.
struct Alive {
    payments: BTreeSet<(PaymentHash, u32)>,
    circuits: BTreeMap<(ChannelId, u64), Option<(ChannelIndex, u64)>>,
}

impl Alive {
    /// Payments and circuits of which a channel still has an HTLC or its outcome.
    fn of(state: &State) -> Self {
        let mut alive = Self { payments: BTreeSet::new(), circuits: BTreeMap::new() };
        let channels = state.channels.iter();
        for (index, channel) in
            channels.filter_map(|(index, kept)| Some((*index, kept.channel.as_ref()?)))
        {
            let live = channel.outgoing().map(|htlc| (htlc.origin, Some((index, htlc.id))));
            let ended = channel.resolved().map(|resolved| (resolved.origin, None));
            for (origin, place) in live.chain(ended) {
                match origin {
                    Origin::Payment { payment_id, part } => {
                        alive.payments.insert((PaymentHash(payment_id), part));
                    }
                    Origin::Forward { channel, htlc } => {
                        alive.circuits.insert((channel, htlc), place);
                    }
                }
            }
        }
        alive
    }
}

/// What a backup keeps of the channels in the journal.
fn entries(state: &State) -> Vec<keeping::Entry> {
    let address =
        |node| state.peers.get(&node).map_or("", |(_, kept): &(_, PeerKept)| &kept.address.0);
    let entry = |kept: &Kept| {
        let channel = kept.channel.as_ref()?;
        keeping::Entry::of(&kept.born, channel, address(kept.born.node))
    };
    state.channels.values().filter_map(entry).collect()
}

/// The index the next channel gets. A store that never had one begins anywhere: it may be that the seed had
/// another store, and keys, which follow from seed and index, are never used twice.
fn first_index(state: &State) -> Result<u64, Fatal> {
    if state.next_channel > 0 {
        return Ok(state.next_channel);
    }
    let mut dice = [0; 4];
    getrandom::fill(&mut dice)
        .map_err(|_| Fatal::Invariant("the system gives no random numbers"))?;
    // The upper half of what is possible is left to count on.
    Ok(u64::from(u32::from_le_bytes(dice) >> 2))
}

#[cfg(test)]
mod tests;
