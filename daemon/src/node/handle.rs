//! How the outside reaches the tasks: queues to ask on, snapshots to look at.
//!
//! Not here: the calls users make (`answers`).

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, Network, ScriptBuf};
use chain_backend::sandbox::Sandbox;
use channel::seal::Flushed;
use futures_util::StreamExt as _;
use routing::graph::{ChannelView, Snapshot};
use store::engine::Order as Direction;
use tokio::sync::{oneshot, watch};
use wire::id::{NodeId, PaymentHash, ShortChannelId};

use crate::backup;
use crate::channels::directory::{Directory, Door};
use crate::channels::{registry, task};
use crate::clock::now_ms;
use crate::config::{self, Config};
use crate::edge::{EdgeError, Forward};
use crate::fact::OrderKept;
use crate::gossip::OwnGossip;
use crate::identity::Identity;
use crate::keeper::{EVENTS, Reading, history};
use crate::layer1::{self, Feerates, Tip};
use crate::node::chaos::Licence;
use crate::node::faucet::Want;
use crate::node::orders::{self, DeskAsks, Standing};
use crate::payments;
use crate::peers;
use crate::policy::Policies;
use crate::rpc::alias;
use crate::rpc::model::channel::{Channel, ChannelRef, Side};
use crate::rpc::model::invoice::Invoice;
use crate::rpc::model::payment::Payment;
use crate::rpc::model::{OrderKey, Updates};
use crate::rpc::refusal::{Noun, Refusal};
use crate::switch;
use crate::switch::policy::ForwardPolicies;
use crate::switch::updates::OwnUpdates;
use crate::tasks::Tasks;
use crate::tower;

/// A way to ask a node for things. Cheap to clone.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Parts>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.0.us).finish()
    }
}

/// What a handle holds.
pub(super) struct Parts {
    pub(super) us: Arc<Identity>,
    pub(super) config: Arc<Config>,
    pub(super) started_ms: u64,
    pub(super) listening: Vec<std::net::SocketAddr>,
    pub(super) directory: Directory,
    pub(super) tip: watch::Receiver<Tip>,
    pub(super) feerates: watch::Receiver<Feerates>,
    pub(super) payments: Forward<payments::Ask>,
    pub(super) peers: Forward<peers::Ask>,
    pub(super) wallet: Forward<layer1::Ask>,
    pub(super) switch: Forward<switch::hold::Ask>,
    pub(super) forward_policies: watch::Receiver<Arc<ForwardPolicies>>,
    pub(super) updates: OwnUpdates,
    pub(super) registry: Forward<registry::Order>,
    pub(super) backup: Forward<backup::Ask>,
    pub(super) towers: Forward<tower::Ask>,
    pub(super) desk: DeskAsks,
    pub(super) reading: Reading,
    pub(super) disk: watch::Receiver<Flushed>,
    pub(super) force_close: watch::Receiver<Policies>,
    pub(super) sandbox: Option<Arc<dyn Sandbox>>,
    pub(super) faucet: Option<Forward<Want>>,
    /// Leave to cheat, where there is one.
    pub(super) cheat: Option<Licence>,
    /// The network as gossip shows it.
    pub(super) graph: watch::Receiver<Snapshot>,
    /// What is said of our own channels.
    pub(super) own_gossip: watch::Receiver<Arc<OwnGossip>>,
    pub(super) tasks: Tasks,
}

/// How long a call waits for the node to have seen what the call did to the chain.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of asking for a request's key.
pub(super) enum Turn {
    /// Carry the request out; keep this with what it does, if it has a key.
    Go(Option<OrderKept>),
    /// It was carried out: this is what it made.
    Done(String),
}

impl Handle {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Who this node is.
    pub fn node_id(&self) -> NodeId {
        self.0.us.node_id()
    }

    /// Where our own `channel_update`s are put, for failures that are to carry one.
    pub fn own_updates(&self) -> &OwnUpdates {
        &self.0.updates
    }

    /// What our channels ask of those who forward over them.
    pub fn forward_policies(&self) -> watch::Receiver<Arc<ForwardPolicies>> {
        self.0.forward_policies.clone()
    }

    /// The network's parameters.
    pub(super) fn network(&self) -> Network {
        self.0.config.network.params()
    }

    /// The chain as the node sees it.
    pub fn tip(&self) -> watch::Receiver<Tip> {
        self.0.tip.clone()
    }

    /// The network as gossip shows it, at this moment.
    pub fn graph(&self) -> Snapshot {
        self.0.graph.borrow().clone()
    }

    /// How many channels there are in it for which both ends said what they ask, and how many nodes that
    /// said their names.
    pub fn graph_seen(&self) -> (usize, usize) {
        let graph = self.graph();
        let whole = |channel: &ChannelView<'_>| channel.policies.iter().all(Option::is_some);
        let channels = graph.channels_from(ShortChannelId::from_u64(0)).filter(whole).count();
        let nodes = graph.nodes_from(NodeId([0; 33])).filter(|node| node.timestamp.is_some());
        (channels, nodes.count())
    }

    /// What is said of our own channels.
    pub fn own_gossip(&self) -> Arc<OwnGossip> {
        Arc::clone(&self.0.own_gossip.borrow())
    }

    /// Puts a question and waits for its answer.
    pub(super) async fn ask<Q, T>(
        to: &Forward<Q>,
        question: impl FnOnce(oneshot::Sender<T>) -> Q,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        to.send(question(reply)).await.map_err(|_| Refusal::NoAnswer)?;
        answer.await.map_err(|_| Refusal::NoAnswer)
    }

    /// Puts a question if there is room for it, and waits for its answer.
    pub(super) async fn try_ask<Q, T>(
        to: &Forward<Q>,
        queue: &'static str,
        limit: usize,
        question: impl FnOnce(oneshot::Sender<T>) -> Q,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        to.try_send(question(reply)).map_err(|error| match error {
            EdgeError::Full => {
                Refusal::Busy { queue, limit: u32::try_from(limit).unwrap_or(u32::MAX) }
            }
            EdgeError::Closed => Refusal::NoAnswer,
        })?;
        answer.await.map_err(|_| Refusal::NoAnswer)
    }

    /// Whether a request is to be carried out.
    pub(super) async fn turn(&self, key: Option<OrderKey>) -> Result<Turn, Refusal> {
        let Some(key) = key else { return Ok(Turn::Go(None)) };
        let standing = Self::ask(&self.0.desk, |reply| orders::Ask::Begin { key, reply }).await??;
        Ok(match standing {
            Standing::New(kept) => Turn::Go(Some(kept)),
            Standing::Done(made) => Turn::Done(made),
        })
    }

    /// Says what became of a request.
    pub(super) async fn settle<T>(
        &self,
        kept: Option<OrderKept>,
        outcome: &Result<T, Refusal>,
        made: impl FnOnce(&T) -> String,
    ) {
        let Some(mut kept) = kept else { return };
        let word = match outcome {
            Ok(done) => {
                kept.made = made(done).as_str().into();
                orders::Ask::Done { kept }
            }
            Err(_) => orders::Ask::Refused { word: kept.word.0 },
        };
        let _stopping = self.0.desk.send(word).await;
    }

    /// The door of a running channel.
    pub(super) fn door(&self, which: ChannelRef) -> Option<Door> {
        let doors = self.0.directory.doors();
        match which {
            ChannelRef::Id(id) => doors.with_id(id).cloned(),
            ChannelRef::Short(id) => doors.with_short_id(id).cloned(),
        }
    }

    pub(super) async fn show(door: &Door) -> Result<Channel, Refusal> {
        Self::ask(&door.asks, |reply| task::Ask::Show { reply }).await
    }

    /// All running channels, oldest first. One that ends meanwhile is left out.
    pub(super) async fn running(&self) -> Vec<Channel> {
        let doors = self.0.directory.doors();
        let mut shown = Vec::new();
        for door in doors.iter() {
            shown.extend(Self::show(door).await.ok());
        }
        shown
    }

    pub(super) async fn ended(&self) -> Result<Vec<Channel>, Refusal> {
        Self::ask(&self.0.registry, |reply| registry::Order::Closed { reply }).await
    }

    /// With what others know: what the peer calls itself, and what the funding transaction paid.
    pub(super) async fn dress(&self, mut channel: Channel) -> Channel {
        channel.node_alias = alias(&self.graph(), channel.node);
        if channel.funder == Side::Us
            && channel.funding_fee.is_none()
            && let Some(funding) = channel.funding
        {
            let txid = funding.txid;
            let ask = |reply| layer1::Ask::Transaction { txid, reply };
            let found = Self::ask(&self.0.wallet, ask).await.ok().flatten();
            channel.funding_fee = found.and_then(|transaction| transaction.fee);
        }
        channel
    }

    /// [`Self::dress`] for a stream.
    pub(super) fn dress_all(&self, updates: Updates<Channel>) -> Updates<Channel> {
        let handle = self.clone();
        Box::pin(updates.then(move |update| {
            let handle = handle.clone();
            async move { Ok(handle.dress(update?).await) }
        }))
    }

    /// A channel, running or over.
    pub(super) async fn find(&self, which: ChannelRef) -> Result<Channel, Refusal> {
        if let Some(door) = self.door(which)
            && let Ok(shown) = Self::show(&door).await
        {
            return Ok(self.dress(shown).await);
        }
        let is_it = |channel: &Channel| match which {
            ChannelRef::Id(id) => channel.id == id || channel.temporary_id == id,
            ChannelRef::Short(id) => channel.short_id == Some(id),
        };
        let found = self.ended().await?.into_iter().find(is_it);
        Ok(self.dress(found.ok_or_else(|| not_a_channel(which))?).await)
    }

    pub(super) async fn find_payment(&self, hash: PaymentHash) -> Result<Payment, Refusal> {
        let asked = Self::ask(&self.0.payments, |reply| payments::Ask::Payment { hash, reply });
        let found = asked.await?;
        if found.is_ok() {
            return found;
        }
        let Some(engine) = self.0.reading.engine() else { return found };
        let row = history::payment(&*engine, hash).map_err(|_| Refusal::StoreFailed)?;
        row.map_or(found, |sent| Ok(self.0.directory.doors().show(&sent)))
    }

    pub(super) async fn find_invoice(&self, hash: PaymentHash) -> Result<Invoice, Refusal> {
        let asked = Self::ask(&self.0.payments, |reply| payments::Ask::Invoice { hash, reply });
        let found = asked.await?;
        if found.is_ok() {
            return found;
        }
        let Some(engine) = self.0.reading.engine() else { return found };
        let row = history::invoice(&*engine, hash).map_err(|_| Refusal::StoreFailed)?;
        row.map_or(found, |asked| Ok(asked.show(now_ms(), false)))
    }

    /// A script of the wallet's, never handed out before.
    pub(super) async fn destination(&self) -> Result<ScriptBuf, Refusal> {
        Self::ask(&self.0.wallet, |reply| layer1::Ask::Destination { reply }).await
    }

    pub(super) fn sandbox(&self) -> Result<&Arc<dyn Sandbox>, Refusal> {
        let network = self.network();
        let ours = self.0.config.network == config::Network::Sandbox;
        self.0.sandbox.as_ref().filter(|_| ours).ok_or(Refusal::NotSandbox { network })
    }

    /// The number of the newest event; 0 if there is none.
    pub(super) fn last_event(&self) -> u64 {
        let Some(engine) = self.0.reading.engine() else { return 0 };
        let newest = EVENTS.page(&*engine, None, Direction::Descending, 1);
        newest.ok().and_then(|rows| rows.first().map(|(number, _)| *number)).unwrap_or(0)
    }

    /// Waits until the node has acted upon the chain up to `height`; not for ever, because a chain that
    /// was told to be silent tells nothing.
    pub(super) async fn caught_up(&self, height: u32) {
        let mut tip = self.0.tip.clone();
        let reached = |tip: &Tip| tip.height.0 >= height && tip.synced;
        let _stopping = tokio::time::timeout(PATIENCE, tip.wait_for(reached)).await;
    }
}

pub(super) fn not_a_channel(which: ChannelRef) -> Refusal {
    let id = match which {
        ChannelRef::Id(id) => id.to_string(),
        ChannelRef::Short(id) => id.to_string(),
    };
    Refusal::NotFound { kind: Noun::Channel, id }
}

/// The largest channel that every implementation takes without asking. BOLT 2: 2^24 satoshi.
pub(super) const FUNDING_MAX: Amount = Amount::from_sat(10_000_000_000);
