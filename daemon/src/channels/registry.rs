//! Makes channels: at start from the journal, by our wish, by a peer's. One task owns the map of links, so
//! no channel is ever run twice.
//!
//! Not here: what a channel does (`task`), who is connected (`peers`).

mod lost;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bitcoin::{Amount, Network};
use channel::seal::{Journal as _, Step};
use channel::signer::{InMemorySigner, Memory};
use channel::{AcceptTerms, Channel, Effect, Env, Kind, OpenTerms, Params, PeerFault, Stage};
use store::disk::RealDisk;
use store::marker;
use tokio::sync::{oneshot, watch};
use wire::feature::{Feature, Features};
use wire::id::{ChannelId, NodeId, ShortChannelId};
use wire::message::{Message, OpenChannel};
use wire::units::{FeeratePerKw, Msat};

use crate::backup::{Ahead, Backup};
use crate::channels::Pool;
use crate::channels::directory::{Door, Glance};
use crate::channels::outputs::{kind, outputs};
use crate::channels::task::{ASKS, Asker, COMMANDS, ChannelTask, Common, Inboxes, MESSAGES, Parts};
use crate::channels::view::{Meta, view};
use crate::clock::now_ms;
use crate::config::channel::Asks;
use crate::edge::{Forward, Inbox, back, forward};
use crate::fact::{ChannelBorn, ChannelIndex, Fact, OrderKept, record};
use crate::journal::Writer;
use crate::payments::Reply;
use crate::peers::link::Link;
use crate::rpc::model::channel::{Channel as View, Side};
use crate::rpc::refusal::{Refusal, Unready};
use crate::seed::Secret32;
use crate::tasks::Fatal;

/// Orders that may wait.
pub const ORDERS: usize = 256;

/// Channels that may have ended and not been looked at.
pub const ENDED: usize = 4_096;

/// Channels a peer may have waiting for their funding. What LDK allows.
const UNFUNDED_PER_PEER: usize = 4;

/// Channels of all peers that may be waiting for their funding.
const UNFUNDED: usize = 50;

/// A channel to be opened: checked, and with everything that must be drawn or asked for.
#[derive(Debug)]
pub struct Opening {
    /// With whom.
    pub node: NodeId,
    /// What it holds.
    pub capacity: Amount,
    /// What the peer is given.
    pub push: Msat,
    /// What the funding transaction should pay.
    pub funding_feerate: FeeratePerKw,
    /// Blocks the peer waits for its money, if not the usual.
    pub to_self_delay: Option<u16>,
    /// Whether it is to be announced.
    pub announce: bool,
    /// Which kind of channel is wanted.
    pub kind: Kind,
    /// Where our part goes at a close.
    pub shutdown: bitcoin::ScriptBuf,
    /// Its idempotency key, to be kept with the channel's first record.
    pub kept: Option<OrderKept>,
}

/// One order to the registry.
#[derive(Debug)]
pub enum Order {
    /// A connection stands: channels with the peer may talk.
    Up {
        /// The connection.
        link: Link,
        /// Told when every channel will hear messages of this connection.
        done: oneshot::Sender<()>,
    },
    /// A connection is gone.
    Down {
        /// With whom.
        node: NodeId,
        /// Which.
        generation: u64,
    },
    /// A peer wants a channel.
    Inbound {
        /// The connection.
        link: Link,
        /// Its `open_channel`.
        open: Box<Message>,
    },
    /// We want a channel.
    Open {
        /// The channel.
        opening: Box<Opening>,
        /// Answered with how to follow it.
        reply: Reply<watch::Receiver<View>>,
    },
    /// Channels are to be restored from a backup.
    Restore {
        /// Which.
        backup: Box<Backup>,
        /// Answered when they run: which of them were not known.
        reply: oneshot::Sender<Vec<ChannelId>>,
    },
    /// Channels that are over.
    Closed {
        /// Answered at once.
        reply: oneshot::Sender<Vec<View>>,
    },
}

/// A channel that is over.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub index: ChannelIndex,
    /// What is known of it.
    pub meta: Meta,
    /// Its last state.
    pub channel: Box<Channel>,
}

/// The task's state.
#[derive(Debug)]
pub struct Registry {
    common: Common,
    network: Network,
    asks: Asks,
    seed: Arc<Secret32>,
    writer: Writer,
    links: BTreeMap<NodeId, Link>,
    wires: BTreeMap<ChannelIndex, (NodeId, watch::Sender<Option<Link>>)>,
    /// Channels that are not funded yet: with whom, and the address that was made for a peer's.
    unfunded: BTreeMap<ChannelIndex, (NodeId, Option<bitcoin::ScriptBuf>)>,
    over: BTreeMap<ChannelIndex, View>,
    next: u64,
    /// An address that was made for a channel that did not come about.
    spare: Option<bitcoin::ScriptBuf>,
    wallet: Forward<crate::layer1::Ask>,
    /// Where it is marked that this node has channels; `None` once that is done.
    mark: Option<PathBuf>,
    /// Whether somebody holds a newer backup than the journal knows of: then there are no new channels,
    /// whose keys could be those of forgotten ones.
    ahead: watch::Receiver<Option<Ahead>>,
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// What every channel of the node has in common.
    pub common: Common,
    /// Which chain.
    pub network: Network,
    /// What we demand of every channel.
    pub asks: Asks,
    /// From which channels' keys follow.
    pub seed: Arc<Secret32>,
    /// The way into the journal.
    pub writer: Writer,
    /// The index the next channel gets.
    pub next: u64,
    /// For addresses of our own.
    pub wallet: Forward<crate::layer1::Ask>,
    /// Where it is marked that this node has channels.
    pub directory: PathBuf,
    /// Whether somebody holds a newer backup than the journal knows of.
    pub ahead: watch::Receiver<Option<Ahead>>,
}

/// A channel before its task runs.
struct Making {
    index: ChannelIndex,
    id: ChannelId,
    meta: Meta,
    born: Option<ChannelBorn>,
    kept: Option<OrderKept>,
    signer: InMemorySigner,
}

impl Registry {
    /// A registry without channels yet.
    pub fn new(start: Start) -> Self {
        let Start { common, network, asks, seed, writer, next, wallet, directory, ahead } = start;
        Self {
            common,
            network,
            asks,
            seed,
            writer,
            links: BTreeMap::new(),
            wires: BTreeMap::new(),
            unfunded: BTreeMap::new(),
            over: BTreeMap::new(),
            next,
            spare: None,
            wallet,
            mark: Some(directory),
            ahead,
        }
    }

    /// Runs a channel that the journal knows.
    ///
    /// # Errors
    /// [`Fatal::Invariant`] if its keys cannot be made.
    pub fn restore(&mut self, born: &ChannelBorn, channel: Channel) -> Result<(), Fatal> {
        let index = ChannelIndex(born.index);
        let mut meta = Meta::of(born);
        meta.temporary_id = channel.id();
        if channel.is_over() {
            let height = *self.common.height.borrow();
            let signer = self.signer(index, channel.signer_memory())?;
            let env = Env {
                height,
                now: 0,
                feerate: FeeratePerKw::FLOOR,
                policy: &self.common.policy,
                signer: &signer,
                workers: &Pool,
            };
            meta.outputs = outputs(&channel, &env, |_| None);
            meta.kind = kind(&channel, &env);
            let shown = view(&channel, &meta, false, height, &self.common.policy);
            self.over.insert(index, shown);
            return Ok(());
        }
        let signer = self.signer(index, channel.signer_memory())?;
        let id = channel.id();
        if channel.short_channel_id().is_none() {
            self.unfunded.insert(index, (meta.node, None));
        }
        let begin = |env: &Env<'_>| Ok::<_, std::convert::Infallible>(channel.resume(env));
        match self.run(Making { index, id, meta, born: None, kept: None, signer }, begin) {
            Ok(()) => Ok(()),
            Err(never) => match never {},
        }
    }

    fn signer(&self, index: ChannelIndex, memory: Memory) -> Result<InMemorySigner, Fatal> {
        let number =
            u32::try_from(index.0).map_err(|_| Fatal::Invariant("more than 2^32 channels"))?;
        InMemorySigner::new(self.seed.expose(), number, memory)
            .map_err(|_| Fatal::Invariant("a channel without keys"))
    }

    /// Before the first channel can come to be: from now on an empty journal beside this mark is a lost
    /// one.
    fn mark(&mut self) -> Result<(), Fatal> {
        let Some(directory) = &self.mark else { return Ok(()) };
        let set = RealDisk::open(directory).map_err(|error| error.to_string()).and_then(|disk| {
            let node = self.common.us.node_id();
            marker::set(&disk, &node.0).map_err(|error| error.to_string())
        });
        set.map_err(Fatal::Journal)?;
        self.mark = None;
        Ok(())
    }

    /// Starts the task of a channel that `begin` makes or resumes.
    fn run<E>(
        &mut self,
        making: Making,
        begin: impl FnOnce(&Env<'_>) -> Result<Step<Channel, Effect>, E>,
    ) -> Result<(), E> {
        let Making { index, id, meta, born, kept, signer } = making;
        let node = meta.node;
        let (messages, messages_in) = forward(MESSAGES);
        let (commands, commands_in) = back(COMMANDS);
        let (asks, asks_in) = forward(ASKS);
        let (chain, chain_in) = forward(ASKS);
        let (wire, links) = watch::channel(self.links.get(&node).cloned());
        let (glance, glanced) = watch::channel(Glance::default());
        let parts = Parts {
            index,
            meta,
            born,
            kept,
            signer,
            writer: self.writer.clone(),
            links,
            back: commands.clone(),
            glance,
        };
        let task = ChannelTask::begin(self.common.clone(), parts, begin)?;
        self.wires.insert(index, (node, wire));
        self.common.directory.insert(Door {
            index,
            node,
            id,
            messages,
            commands,
            asks,
            chain,
            glance: glanced,
        });
        let inboxes = Inboxes {
            messages: messages_in,
            commands: commands_in,
            asks: asks_in,
            chain: chain_in,
        };
        self.common.tasks.spawn("channel", task.run(inboxes));
        Ok(())
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// [`Fatal`] if a broken invariant makes it unsafe to go on.
    pub async fn serve(
        mut self,
        mut orders: Inbox<Order>,
        mut ended: Inbox<Ended>,
    ) -> Result<(), Fatal> {
        let tasks = self.common.tasks.clone();
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return Ok(()),
                Some(ended) = ended.recv() => self.bury(ended),
                Some(order) = orders.recv() => self.take(order).await?,
            }
        }
    }

    async fn take(&mut self, order: Order) -> Result<(), Fatal> {
        match order {
            Order::Up { link, done } => {
                for (node, wire) in self.wires.values() {
                    if *node == link.node {
                        wire.send_replace(Some(link.clone()));
                    }
                }
                self.links.insert(link.node, link);
                let _gone = done.send(());
            }
            Order::Down { node, generation } => {
                let newer = self.links.get(&node).is_some_and(|link| link.generation != generation);
                if !newer {
                    self.links.remove(&node);
                    for (with, wire) in self.wires.values() {
                        if *with == node {
                            wire.send_replace(None);
                        }
                    }
                }
            }
            Order::Inbound { link, open } => {
                if let Message::OpenChannel(open) = *open {
                    self.inbound(&link, &open).await?;
                }
            }
            Order::Open { opening, reply } => self.open(*opening, reply)?,
            Order::Restore { backup, reply } => {
                let _gone = reply.send(self.restore_lost(&backup).await?);
            }
            Order::Closed { reply } => {
                let _gone = reply.send(self.over.values().cloned().collect());
            }
        }
        Ok(())
    }

    fn bury(&mut self, ended: Ended) {
        let Ended { index, meta, channel } = ended;
        self.common.directory.remove(index);
        self.wires.remove(&index);
        // An address that was told to nobody's funded channel is good for the next.
        if channel.state().is_none()
            && let Some((_, Some(script))) = self.unfunded.remove(&index)
        {
            self.spare.get_or_insert(script);
        }
        self.unfunded.remove(&index);
        let forget = crate::layer1::FromChannel::Forget { channel: index };
        if self.common.layer1.send(forget).is_err() {
            tracing::debug!(channel = index.0, "Layer 1 has ended");
        }
        let height = *self.common.height.borrow();
        let shown = view(&channel, &meta, false, height, &self.common.policy);
        // What never was is remembered by whoever asked for it, not by us: strangers could fill the disk.
        let never_was = matches!(channel.stage(), Stage::Abandoned(_)) && meta.funder == Side::Them;
        if never_was {
            let _gone = self.writer.append(record(&[Fact::ChannelGone(index)]));
        } else if channel.state().is_some() {
            self.over.insert(index, shown);
        }
    }

    /// Channels whose funding is not signed for yet; those that got there leave the list by themselves.
    fn count_unfunded(&mut self) -> usize {
        let doors = self.common.directory.doors();
        self.unfunded.retain(|index, _| {
            doors.get(*index).is_some_and(|door| door.glance.borrow().short_id.is_none())
        });
        self.unfunded.len()
    }

    /// Confirmations of a channel that this peer funds: none if a human trusts it and it knows what that is.
    fn depth_for(&self, link: &Link) -> u32 {
        let trusted = self.common.force_close.borrow().trusts(link.node);
        if trusted && link.features.offers(Feature::Zeroconf) { 0 } else { self.asks.minimum_depth }
    }

    /// A name for a channel that says nothing of its place. The blocks that it seems to be in are centuries
    /// away, so it is never the real place of another. `None` without random numbers: then it has no alias.
    fn new_alias(&self) -> Option<ShortChannelId> {
        let doors = self.common.directory.doors();
        loop {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).ok()?;
            let alias = ShortChannelId::from_u64(u64::from_be_bytes(bytes) | 0xff << 56);
            // BOLT 2: "MUST NOT send the same `alias` for multiple peers".
            if doors.with_short_id(alias).is_none() {
                return Some(alias);
            }
        }
    }

    fn next_index(&mut self) -> ChannelIndex {
        let index = ChannelIndex(self.next);
        self.next = self.next.saturating_add(1);
        index
    }

    fn features(link: &Link) -> Features {
        link.features.clone()
    }

    /// An address for our part of a channel that a peer asks for. One that no channel came to use is
    /// taken again.
    async fn spare_script(&mut self) -> Option<bitcoin::ScriptBuf> {
        if self.spare.is_none() {
            let (reply, script) = oneshot::channel();
            self.wallet.send(crate::layer1::Ask::Destination { reply }).await.ok()?;
            self.spare = script.await.ok();
        }
        self.spare.clone()
    }

    async fn inbound(&mut self, link: &Link, asked: &OpenChannel) -> Result<(), Fatal> {
        let node = link.node;
        let id = asked.temporary_channel_id;
        if self.ahead.borrow().is_some() {
            link.say_error(id, "no new channels before a restore is done");
            return Ok(());
        }
        let all = self.count_unfunded();
        let of_peer = self.unfunded.values().filter(|(with, _)| *with == node).count();
        if all >= UNFUNDED || of_peer >= UNFUNDED_PER_PEER {
            link.say_error(id, "too many channels are waiting for their funding");
            return Ok(());
        }
        if self.common.directory.is_taken(id) {
            link.say_error(id, "this channel id is taken");
            return Ok(());
        }
        let Some(shutdown_script) = self.spare_script().await else { return Ok(()) };
        self.mark()?;
        let capacity = asked.funding_satoshis;
        let spare = shutdown_script.clone();
        let terms = AcceptTerms {
            chain_hash: chain_hash(self.network),
            params: params(&self.asks, capacity),
            minimum_depth: self.depth_for(link),
            upfront_shutdown: None,
            shutdown_script,
            alias: self.new_alias(),
            features: Self::features(link),
        };
        let index = self.next_index();
        let born = ChannelBorn {
            index: index.0,
            node,
            created_ms: now_ms(),
            announce: false,
            funder: false,
        };
        let mut meta = Meta::of(&born);
        meta.temporary_id = id;
        meta.capacity = capacity;
        let signer = self.signer(index, Memory::default())?;
        let begin = |env: &Env<'_>| Channel::accept(asked, terms, env);
        let making = Making { index, id, meta, born: Some(born), kept: None, signer };
        match self.run(making, begin) {
            Ok(()) => {
                self.spare = None;
                self.unfunded.insert(index, (node, Some(spare)));
            }
            Err(fault) => {
                let fault: PeerFault = fault;
                tracing::info!(%node, %fault, "channel refused");
                link.say(&fault.to_error(id));
            }
        }
        Ok(())
    }

    fn open(&mut self, opening: Opening, reply: Reply<watch::Receiver<View>>) -> Result<(), Fatal> {
        let node = opening.node;
        let Some(link) = self.links.get(&node).cloned() else {
            let _gone = reply.send(Err(Refusal::PeerNotConnected { node }));
            return Ok(());
        };
        if self.ahead.borrow().is_some() {
            let refusal = Refusal::NotReady { state: Unready::Quarantined };
            let _gone = reply.send(Err(refusal));
            return Ok(());
        }
        // Most peers take one open at a time.
        self.count_unfunded();
        let doors = self.common.directory.doors();
        let negotiating = doors.of(node).find(|door| {
            self.unfunded.contains_key(&door.index) && door.glance.borrow().short_id.is_none()
        });
        if let Some(door) = negotiating {
            let refusal = Refusal::OpenInFlight { node, channel: door.id };
            let _gone = reply.send(Err(refusal));
            return Ok(());
        }
        self.mark()?;
        let mut temporary = [0; 32];
        if getrandom::fill(&mut temporary).is_err() {
            return Err(Fatal::Invariant("no random numbers"));
        }
        let id = ChannelId(temporary);
        let index = self.next_index();
        let born = ChannelBorn {
            index: index.0,
            node,
            created_ms: now_ms(),
            announce: opening.announce,
            funder: true,
        };
        let mut meta = Meta::of(&born);
        meta.temporary_id = id;
        meta.capacity = opening.capacity;
        meta.funder = Side::Us;
        let mut params = params(&self.asks, opening.capacity);
        if let Some(delay) = opening.to_self_delay {
            params.to_self_delay = delay;
        }
        let terms = OpenTerms {
            command: Asker::Nobody.command(0),
            chain_hash: chain_hash(self.network),
            temporary_channel_id: id,
            capacity: opening.capacity,
            push: opening.push,
            feerate: self.common.feerates.borrow().commitment,
            funding_feerate: opening.funding_feerate,
            announce: opening.announce,
            kind: opening.kind,
            params,
            upfront_shutdown: None,
            shutdown_script: opening.shutdown,
            alias: self.new_alias(),
            features: Self::features(&link),
        };
        let kept = opening
            .kept
            .map(|kept| OrderKept { made: index.0.to_string().as_str().into(), ..kept });
        let signer = self.signer(index, Memory::default())?;
        let begin = |env: &Env<'_>| Channel::open(terms, env);
        let making = Making { index, id, meta, born: Some(born), kept, signer };
        match self.run(making, begin) {
            Ok(()) => {
                self.unfunded.insert(index, (node, None));
                self.follow(index, reply);
            }
            Err(refusal) => {
                let why = refusal.to_string();
                let _gone = reply.send(Err(Refusal::OpenFailed { node, why }));
            }
        }
        Ok(())
    }

    /// Asks the new task for its view and hands it on.
    fn follow(&self, index: ChannelIndex, reply: Reply<watch::Receiver<View>>) {
        let doors = self.common.directory.doors();
        let Some(door) = doors.get(index).cloned() else { return };
        // At once: the peer may refuse the channel, and its task be gone, before another task comes to ask.
        let (shown, view) = oneshot::channel();
        let asked = door.asks.try_send(crate::channels::task::Ask::Watch { reply: shown });
        self.common.tasks.spawn("follow channel", async move {
            let answer = match (asked, view.await) {
                (Ok(()), Ok(view)) => Ok(view),
                _ => Err(Refusal::NoAnswer),
            };
            let _gone = reply.send(answer);
            Ok(())
        });
    }
}

/// What we demand of a channel of this size.
fn params(asks: &Asks, capacity: Amount) -> Params {
    Params {
        dust_limit: asks.dust_limit,
        in_flight_max_msat: asks.in_flight_max_msat(capacity),
        channel_reserve: asks.reserve(capacity),
        htlc_minimum: asks.htlc_minimum,
        to_self_delay: asks.to_self_delay,
        accepted_htlcs_max: asks.max_accepted_htlcs,
    }
}

/// The name of a chain on the wire: its genesis hash.
pub fn chain_hash(network: Network) -> [u8; 32] {
    bitcoin::constants::ChainHash::using_genesis_block(network).to_bytes()
}
