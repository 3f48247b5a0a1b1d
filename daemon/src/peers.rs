//! Who we are connected to, and who we should be: connects, accepts, calls again.
//!
//! Not here: what a connection says (`connection`), what channels make of it (`channels`).

pub mod backoff;
pub mod budget;
pub mod connection;
pub mod handshake;
pub mod link;

mod dial;
mod inbox;
mod orders;
mod standing;
mod strangers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use channel::seal::{Flushed, Sealed, Step};
use secp256k1::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::feature::Features;
use wire::id::NodeId;

use crate::clock::now_ms;
use crate::edge::{Back, Forward, Inbox, back};
use crate::fact::{Fact, PeerKept, record};
use crate::identity::Identity;
use crate::journal::Writer;
use crate::payments::Reply;
use crate::peers::backoff::Backoff;
use crate::peers::connection::Readers;
use crate::peers::link::Link;
use crate::peers::strangers::Strangers;
use crate::policy::Policies;
use crate::rpc::refusal::Refusal;
use crate::tasks::{Fatal, Tasks};

pub use inbox::{Ask, FromConnection, Limits, Start};

/// What users asked may wait.
pub const ASKS: usize = 128;

/// What connections have to say may wait: a few words each.
pub const FROM_CONNECTIONS: usize = 16_384;

/// How often calls that are due are made.
const TICK: Duration = Duration::from_millis(100);

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
