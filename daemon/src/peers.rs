//! Who we are connected to, and who we should be: connects, accepts, calls again.
//!
//! Not here: what a connection says (`connection`), what channels make of it (`channels`).

pub mod backoff;
pub mod budget;
pub mod connection;
pub mod handshake;
pub mod link;

mod dial;
mod strangers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use channel::seal::{Flushed, Sealed, Step};
use secp256k1::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use wire::feature::Features;
use wire::id::NodeId;

use crate::backup;
use crate::channels::registry;
use crate::clock::now_ms;
use crate::edge::{Back, EdgeError, Forward, Inbox, back};
use crate::fact::{Fact, ForceCloseSet, FundingTrusted, PeerKept, record};
use crate::gossip;
use crate::identity::Identity;
use crate::journal::Writer;
use crate::payments::Reply;
use crate::peers::backoff::Backoff;
use crate::peers::connection::Readers;
use crate::peers::handshake::{ConnectionFault, Greeted};
use crate::peers::link::{Link, OUTBOUND};
use crate::peers::strangers::Strangers;
use crate::policy::{self, Policies};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::peer::{Peer, PeerPolicyChange};
use crate::rpc::refusal::{Noun, Refusal, Unreachable};
use crate::tasks::{Fatal, Tasks};

/// What users asked may wait.
pub const ASKS: usize = 128;

/// What connections have to say may wait: a few words each.
pub const FROM_CONNECTIONS: usize = 16_384;

/// How often calls that are due are made.
const TICK: Duration = Duration::from_millis(100);

/// Two connections with one peer that came within this time, in milliseconds, were made at the same
/// moment from both ends: both ends keep the one that the lower node id began.
const CROSSED_MS: u64 = 5_000;

/// One wish of a user.
#[derive(Debug)]
pub enum Ask {
    /// Connect, and stay connected.
    Connect {
        /// Whom.
        node: NodeId,
        /// Where, if not where it was last.
        address: Option<String>,
        /// Answered when the connection stands: whether it stood before.
        reply: Reply<bool>,
    },
    /// Hang up and do not call again.
    Disconnect {
        /// Whom.
        node: NodeId,
        /// Even if channels need it.
        force: bool,
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Change what holds for channels with a peer.
    Policy {
        /// With whom.
        node: NodeId,
        /// What.
        change: PeerPolicyChange,
        /// Answered when it is durable, and in force.
        reply: Reply<()>,
    },
    /// All peers.
    List {
        /// Answered at once.
        reply: oneshot::Sender<Vec<Peer>>,
    },
}

/// What connections say to the supervisor.
#[derive(Debug)]
pub enum FromConnection {
    /// `init` was exchanged.
    Greeted {
        /// The connection.
        greeted: Box<Greeted>,
        /// Where it leads.
        address: String,
        /// From where, if the peer called.
        caller: Option<IpAddr>,
    },
    /// A call did not come about.
    NotReached {
        /// Whom we called.
        node: NodeId,
        /// Where.
        address: String,
        /// Why.
        fault: ConnectionFault,
    },
    /// A connection ended.
    Ended {
        /// With whom.
        node: NodeId,
        /// Which.
        generation: u64,
        /// Why.
        fault: ConnectionFault,
    },
    /// A stranger's handshake came to nothing.
    Rejected {
        /// From where it called.
        caller: IpAddr,
    },
}

#[derive(Debug)]
struct Standing {
    link: Link,
    address: String,
    inbound: bool,
    since_ms: u64,
    their_features: Features,
}

#[derive(Debug)]
struct Known {
    place: u64,
    kept: Option<PeerKept>,
    standing: Option<Standing>,
    calling: bool,
    due_ms: u64,
    backoff: Backoff,
    last_error: String,
    waiting: Vec<Reply<bool>>,
}

impl Known {
    const fn new(place: u64) -> Self {
        Self {
            place,
            kept: None,
            standing: None,
            calling: false,
            due_ms: 0,
            backoff: Backoff::fresh(),
            last_error: String::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether it is not there and nobody wants it.
    const fn is_idle(&self) -> bool {
        let wanted = self.kept.is_some() || self.calling || !self.waiting.is_empty();
        !wanted && self.standing.is_none()
    }
}

/// Bounds on strangers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections that others began: peers we have no channel with and that no user asked for.
    pub inbound_max: u32,
    /// Handshakes under way that others began.
    pub handshakes_max: u32,
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// Our key.
    pub us: Arc<Identity>,
    /// The genesis hash of our chain.
    pub chain: [u8; 32],
    /// Peers as the journal has them.
    pub kept: BTreeMap<NodeId, (u64, PeerKept)>,
    /// The way into the journal.
    pub writer: Writer,
    /// Where connections lead.
    pub readers: Readers,
    /// When channels are closed alone, for all who must know.
    pub force_close: watch::Sender<Policies>,
    /// The tree of tasks.
    pub tasks: Tasks,
    /// Bounds on strangers.
    pub limits: Limits,
}

/// The task's state.
pub struct Peers {
    us: Arc<Identity>,
    chain: [u8; 32],
    known: BTreeMap<NodeId, Known>,
    writer: Writer,
    waiting: std::collections::VecDeque<Sealed<Then>>,
    readers: Readers,
    force_close: watch::Sender<Policies>,
    tasks: Tasks,
    inbound_max: u32,
    generation: u64,
    strangers: Strangers,
    places: u64,
    to_self: Back<FromConnection>,
}

type Then = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Peers {
    /// Takes up where the journal ends: every kept peer is due for a call now.
    pub fn new(start: Start, to_self: Back<FromConnection>) -> Self {
        let Start { us, chain, kept, writer, readers, force_close, tasks, limits } = start;
        let places = kept.values().map(|(place, _)| *place).max().unwrap_or(0);
        let known = kept
            .into_iter()
            .map(|(node, (place, kept))| (node, Known { kept: Some(kept), ..Known::new(place) }))
            .collect();
        Self {
            us,
            chain,
            known,
            writer,
            waiting: std::collections::VecDeque::new(),
            readers,
            force_close,
            tasks,
            inbound_max: limits.inbound_max,
            generation: 0,
            strangers: Strangers::new(limits.handshakes_max),
            places,
            to_self,
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// None of its own.
    pub async fn run(
        mut self,
        listeners: Vec<TcpListener>,
        mut asks: Inbox<Ask>,
        mut from_connections: Inbox<FromConnection>,
        mut disk: watch::Receiver<Flushed>,
    ) -> Result<(), Fatal> {
        let tasks = self.tasks.clone();
        let (caller, mut callers) = back(FROM_CONNECTIONS);
        for listener in listeners {
            tasks.spawn("listen", listen(listener, caller.clone(), tasks.clone()));
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => {
                    self.hang_up();
                    return Ok(());
                }
                Ok(()) = disk.changed(), if !self.waiting.is_empty() => {}
                Some(said) = from_connections.recv() => self.hear(said).await,
                Some(ask) = asks.recv() => self.answer(ask),
                Some((socket, ip)) = callers.recv() => self.accept(socket, ip),
                _ = tick.tick() => self.call_due(),
            }
            let flushed = *disk.borrow_and_update();
            self.release(flushed);
        }
    }

    fn hang_up(&self) {
        for known in self.known.values() {
            if let Some(standing) = &known.standing {
                standing.link.cut();
            }
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

    fn commit(&mut self, fact: &Fact, then: Vec<Then>) {
        self.commit_all(std::slice::from_ref(fact), then);
    }

    fn commit_all(&mut self, facts: &[Fact], then: Vec<Then>) {
        let step = Step::new((), record(facts), then);
        let ((), sealed) = step.stage(&mut self.writer);
        self.waiting.push_back(sealed);
    }

    fn known(&mut self, node: NodeId) -> &mut Known {
        let places = &mut self.places;
        self.known.entry(node).or_insert_with(|| {
            *places = places.saturating_add(1);
            Known::new(*places)
        })
    }

    /// Drops what is known of a node that is not there and that nobody wants: there is no end of keys.
    fn forget_idle(&mut self, node: NodeId) {
        if self.known.get(&node).is_some_and(Known::is_idle) {
            self.known.remove(&node);
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Connect { node, address, reply } => self.connect(node, address, reply),
            Ask::Disconnect { node, force, reply } => self.disconnect(node, force, reply),
            Ask::Policy { node, change, reply } => self.set_policy(node, change, reply),
            Ask::List { reply } => {
                let _gone = reply.send(self.list());
            }
        }
    }

    fn set_policy(&mut self, node: NodeId, change: PeerPolicyChange, reply: Reply<()>) {
        let policies = self.force_close.clone();
        let then: Then = Box::new(move || {
            policies.send_modify(|all| {
                match change.force_close {
                    Some(Some(policy)) => drop(all.peers.insert(node, policy)),
                    Some(None) => drop(all.peers.remove(&node)),
                    None => {}
                }
                match change.trust_funding {
                    Some(true) => drop(all.trusted.insert(node)),
                    Some(false) => drop(all.trusted.remove(&node)),
                    None => {}
                }
            });
            let _gone = reply.send(Ok(()));
        });
        let force_close = change.force_close.map(|policy| {
            Fact::ForceCloseSet(ForceCloseSet { node, policy: policy.map(policy::number) })
        });
        let trusted = change
            .trust_funding
            .map(|trusted| Fact::FundingTrusted(FundingTrusted { node, trusted }));
        let facts: Vec<Fact> = force_close.into_iter().chain(trusted).collect();
        self.commit_all(&facts, vec![then]);
    }

    fn connect(&mut self, node: NodeId, address: Option<String>, reply: Reply<bool>) {
        if node == self.us.node_id() {
            let _gone = reply.send(Err(Refusal::Ourselves { what: "the peer" }));
            return;
        }
        let known = self.known(node);
        let last = known.kept.as_ref().map(|kept| kept.address.0.clone());
        let place = address.or(last).filter(|address| !address.is_empty());
        if known.standing.is_some() {
            // It is kept up from now on, wherever the user says it is.
            let address = place.unwrap_or_default();
            let kept = PeerKept { node, address: address.as_str().into() };
            known.kept = Some(kept.clone());
            let then = Box::new(move || drop(reply.send(Ok(true))));
            return self.commit(&Fact::PeerKept(kept), vec![then]);
        }
        let Some(address) = place else {
            let why = Unreachable::NoAddress;
            let refusal = Refusal::PeerUnreachable { node, address: String::new(), why };
            let _gone = reply.send(Err(refusal));
            return self.forget_idle(node);
        };
        known.waiting.push(reply);
        if !known.calling {
            self.call(node, address);
        }
    }

    fn disconnect(&mut self, node: NodeId, force: bool, reply: Reply<()>) {
        let channels = self.channels_with(node);
        if channels > 0 && !force {
            let _gone = reply.send(Err(Refusal::PeerHasChannels { node, channels }));
            return;
        }
        let Some(known) = self.known.get_mut(&node) else {
            let id = node.to_string();
            let _gone = reply.send(Err(Refusal::NotFound { kind: Noun::Peer, id }));
            return;
        };
        if let Some(standing) = &known.standing {
            standing.link.close();
        }
        known.kept = None;
        let then = Box::new(move || drop(reply.send(Ok(()))));
        self.commit(&Fact::PeerDropped(node), vec![then]);
        self.forget_idle(node);
    }

    fn channels_with(&self, node: NodeId) -> u32 {
        u32::try_from(self.readers.directory.doors().of(node).count()).unwrap_or(u32::MAX)
    }

    fn list(&self) -> Vec<Peer> {
        let mut all: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.standing.is_some() || known.kept.is_some())
            .map(|(node, known)| {
                let standing = known.standing.as_ref();
                let kept = known.kept.as_ref().map(|kept| kept.address.0.clone());
                Peer {
                    index: known.place,
                    node: *node,
                    alias: String::new(),
                    address: standing
                        .map(|standing| standing.address.clone())
                        .or(kept)
                        .unwrap_or_default(),
                    connected: standing.is_some(),
                    inbound: standing.is_some_and(|standing| standing.inbound),
                    features: standing.map(|standing| standing.their_features.clone()),
                    channels: self.channels_with(*node),
                    ping_ms: None,
                    connected_at: standing.map(|standing| UnixMillis(standing.since_ms)),
                    last_error: known.last_error.clone(),
                    force_close: self.force_close.borrow().peers.get(node).copied(),
                    trust_funding: self.force_close.borrow().trusts(*node),
                }
            })
            .collect();
        all.sort_by_key(|peer| peer.index);
        all
    }

    /// Calls every kept peer that is due.
    fn call_due(&mut self) {
        let now = now_ms();
        let due: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.standing.is_none() && !known.calling && known.due_ms <= now)
            .filter_map(|(node, known)| {
                let address = known.kept.as_ref()?.address.0.clone();
                (!address.is_empty()).then_some((*node, address))
            })
            .collect();
        for (node, address) in due {
            self.call(node, address);
        }
    }

    fn call(&mut self, node: NodeId, address: String) {
        let known = self.known(node);
        known.calling = true;
        let (us, chain, to) = (Arc::clone(&self.us), self.chain, self.to_self.clone());
        self.tasks.spawn("call", async move {
            let said = match dial::dial(&us, node, &address, chain).await {
                Ok(greeted) => {
                    FromConnection::Greeted { greeted: Box::new(greeted), address, caller: None }
                }
                Err(fault) => FromConnection::NotReached { node, address, fault },
            };
            let _stopping = to.send(said);
            Ok(())
        });
    }

    fn accept(&mut self, socket: TcpStream, ip: IpAddr) {
        if !self.strangers.enter(ip) {
            tracing::debug!(%ip, "too many strangers");
            return;
        }
        let (us, chain, to) = (Arc::clone(&self.us), self.chain, self.to_self.clone());
        let address =
            socket.peer_addr().map_or_else(|_| ip.to_string(), |address| address.to_string());
        self.tasks.spawn("answer", async move {
            let said = match handshake::answer(socket, &us, chain).await {
                Ok(greeted) => {
                    let caller = Some(ip);
                    FromConnection::Greeted { greeted: Box::new(greeted), address, caller }
                }
                Err(fault) => {
                    tracing::debug!(%ip, %fault, "stranger left");
                    FromConnection::Rejected { caller: ip }
                }
            };
            let _stopping = to.send(said);
            Ok(())
        });
    }

    async fn hear(&mut self, said: FromConnection) {
        match said {
            FromConnection::Greeted { greeted, address, caller } => {
                if let Some(ip) = caller {
                    self.strangers.leave(ip);
                }
                self.stand(*greeted, address, caller.is_some()).await;
            }
            FromConnection::Rejected { caller } => self.strangers.leave(caller),
            FromConnection::NotReached { node, address, fault } => {
                tracing::debug!(%node, address, %fault, "not reached");
                let why = dial::why(&fault);
                let known = self.known(node);
                known.calling = false;
                known.last_error = fault.to_string();
                known.due_ms = now_ms().saturating_add(known.backoff.next_ms(dice()));
                for reply in std::mem::take(&mut known.waiting) {
                    let address = address.clone();
                    let _gone = reply.send(Err(Refusal::PeerUnreachable { node, address, why }));
                }
                self.forget_idle(node);
            }
            FromConnection::Ended { node, generation, fault } => {
                self.fall(node, generation, &fault).await;
            }
        }
    }

    /// A connection stands: channels hear of it before its first message is read.
    async fn stand(&mut self, greeted: Greeted, address: String, inbound: bool) {
        let Greeted { node, features: theirs, reader, writer } = greeted;
        let us = self.us.node_id();
        self.generation = self.generation.saturating_add(1);
        let generation = self.generation;
        let now = now_ms();
        let known = self.known(node);
        if !inbound {
            known.calling = false;
        }
        if node == us {
            return self.forget_idle(node);
        }
        if let Some(old) = &known.standing {
            let crossed = now.saturating_sub(old.since_ms) < CROSSED_MS && old.inbound != inbound;
            let ours_counts = us < node;
            if crossed && (ours_counts == inbound) {
                // Both called: the other one stays.
                for reply in std::mem::take(&mut known.waiting) {
                    let _gone = reply.send(Ok(true));
                }
                return;
            }
            old.link.cut();
        }
        if inbound {
            self.make_room(node);
        }
        let known = self.known(node);
        let (out, outbox) = back(OUTBOUND);
        let broken = CancellationToken::new();
        let link = Link::new(node, generation, theirs.clone(), out, broken.clone());
        known.standing = Some(Standing {
            link: link.clone(),
            address: address.clone(),
            inbound,
            since_ms: now,
            their_features: theirs,
        });
        known.backoff.reset();
        known.last_error.clear();
        let waiting = std::mem::take(&mut known.waiting);
        if !inbound && (!waiting.is_empty() || known.kept.is_some()) {
            let kept = PeerKept { node, address: address.as_str().into() };
            if known.kept.as_ref() == Some(&kept) {
                waiting.into_iter().for_each(|reply| drop(reply.send(Ok(false))));
            } else {
                known.kept = Some(kept.clone());
                let then: Vec<Then> = waiting
                    .into_iter()
                    .map(|reply| -> Then { Box::new(move || drop(reply.send(Ok(false)))) })
                    .collect();
                self.commit(&Fact::PeerKept(kept), then);
            }
        } else {
            waiting.into_iter().for_each(|reply| drop(reply.send(Ok(true))));
        }
        tracing::info!(%node, address, inbound, "connected");
        // BOLT 1: "MUST send `peer_storage_retrieval` again after reconnection", and before any channel
        // says `channel_reestablish`.
        let (done, told) = oneshot::channel();
        let reached = (!inbound).then_some(address);
        let met = backup::Ask::Up { link: link.clone(), address: reached, done };
        if self.readers.backup.send(met).await.is_err() || told.await.is_err() {
            return;
        }
        let (done, told) = oneshot::channel();
        let order = registry::Order::Up { link: link.clone(), done };
        if self.readers.registry.send(order).await.is_err() || told.await.is_err() {
            return;
        }
        self.tell_gossip(gossip::FromPeers::Up(link.clone()));
        let to = self.to_self.clone();
        let readers = self.readers.clone();
        let writing = connection::write(writer, outbox, link.waiting(), broken.clone());
        let reading = connection::read(reader, link, readers, broken.clone());
        self.tasks.spawn("peer", async move {
            let fault = tokio::select! {
                fault = reading => fault,
                written = writing => match written {
                    Ok(()) => ConnectionFault::Closed,
                    Err(fault) => fault,
                },
            };
            broken.cancel();
            let _stopping = to.send(FromConnection::Ended { node, generation, fault });
            Ok(())
        });
    }

    /// Hangs up on callers that nobody needs, the oldest connection first, until one more has room. A peer
    /// with a channel, or one that a user asked for, needs no room.
    fn make_room(&self, newcomer: NodeId) {
        let doors = self.readers.directory.doors();
        let channels: BTreeSet<_> = doors.iter().map(|door| door.node).collect();
        let needed = |node: &NodeId, known: &Known| known.kept.is_some() || channels.contains(node);
        if self.known.get(&newcomer).is_some_and(|known| needed(&newcomer, known)) {
            return;
        }
        let mut callers: Vec<_> = self
            .known
            .iter()
            .filter(|(node, known)| **node != newcomer && !needed(node, known))
            .filter_map(|(_, known)| known.standing.as_ref())
            .filter(|standing| standing.inbound)
            .map(|standing| &standing.link)
            .collect();
        callers.sort_by_key(|link| link.generation);
        let most = usize::try_from(self.inbound_max).unwrap_or(usize::MAX);
        let surplus = callers.len().saturating_add(1).saturating_sub(most);
        for link in callers.into_iter().take(surplus) {
            tracing::debug!(node = %link.node, "makes room for another caller");
            link.cut();
        }
    }

    /// Gossip hears of connections; a queue that is full costs a peer its gossip and nothing else.
    fn tell_gossip(&self, told: gossip::FromPeers) {
        if self.readers.gossip_peers.send(told) == Err(EdgeError::Full) {
            tracing::warn!("the gossip task does not hear of connections");
        }
    }

    async fn fall(&mut self, node: NodeId, generation: u64, fault: &ConnectionFault) {
        let parted = backup::Ask::Down { node, generation };
        let _stopping = self.readers.backup.send(parted).await;
        let order = registry::Order::Down { node, generation };
        let _stopping = self.readers.registry.send(order).await;
        self.tell_gossip(gossip::FromPeers::Down { node, generation });
        let Some(known) = self.known.get_mut(&node) else { return };
        let ours = known.standing.as_ref().is_some_and(|s| s.link.generation == generation);
        if !ours {
            return;
        }
        tracing::info!(%node, %fault, "disconnected");
        known.standing = None;
        known.last_error = fault.to_string();
        known.due_ms = now_ms().saturating_add(known.backoff.next_ms(dice()));
        self.forget_idle(node);
    }
}

/// Hands every caller to the supervisor.
async fn listen(
    listener: TcpListener,
    to: Back<(TcpStream, IpAddr)>,
    tasks: Tasks,
) -> Result<(), Fatal> {
    loop {
        let called = tokio::select! {
            biased;
            () = tasks.stopping() => return Ok(()),
            called = listener.accept() => called,
        };
        match called {
            Ok((socket, from)) => {
                // A supervisor that is too busy for this caller drops it.
                let _dropped = to.send((socket, from.ip()));
            }
            Err(error) => {
                // Too many open files, say: wait for some to close.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

fn dice() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers all waits are the shortest, which is no harm.
    let _none = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A node id that is a point on the curve.
pub(crate) fn public_key(node: NodeId) -> Option<PublicKey> {
    PublicKey::from_slice(&node.0).ok()
}

/// The way users reach the task.
pub type Asks = Forward<Ask>;
