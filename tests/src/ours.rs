//! A Viaduct node as tests use it: on a runtime of its own, so that it can be stopped in order or dropped
//! in the middle of everything, and started again from its directory.

use crate::layer1::Layer1;
use crate::until::{PATIENCE, until_async};
use bitcoin::ScriptBuf;
use channel::Kind;
use daemon::config::{Config, Network, Sources};
use daemon::datadir::DataDir;
use daemon::node::{ChainAccess, Handle, Node, StartError};
use daemon::rpc::model::channel::{
    Channel, ChannelFilter, ChannelPhase, ChannelRef, CloseChannel, CloseHow, OpenChannel,
};
use daemon::rpc::model::invoice::{CreateInvoice, Description, InvoiceState};
use daemon::rpc::model::payment::{PayOrder, Payment, PaymentStatus};
use daemon::rpc::model::peer::{ConnectPeer, PeerPolicyChange};
use daemon::rpc::model::wallet::{AddressKind, Coins, WalletBalance};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use daemon::seed::Seed;
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::path::Path;
use store::journal::{JournalError, Stats};
use tokio::runtime::Runtime;
use wire::id::{ChannelId, NodeId, PaymentHash};
use wire::units::Msat;

/// How long a payment may take before the node gives up, milliseconds.
const PAY_TIMEOUT_MS: u32 = 60_000;

/// Where and how a node runs.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    config: Config,
    layer1: Layer1,
    own_runtime: bool,
}

impl Place {
    /// The sandbox's settings, a directory below `dir`, any free port, a runtime of its own.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn new(name: &str, dir: &Path, layer1: &Layer1) -> Self {
        Self::with_settings(name, dir, layer1, &[])
    }

    /// [`Self::new`] with more settings, each by its path as in `channel.depth_min_blocks`.
    ///
    /// # Panics
    /// When a setting makes no sense or the directory cannot be made.
    pub fn with_settings(
        name: &str,
        dir: &Path,
        layer1: &Layer1,
        settings: &[(&str, &str)],
    ) -> Self {
        let usual = [("network", "sandbox"), ("p2p.listen", "127.0.0.1:0")];
        let flags = usual.iter().chain(settings);
        let flags = flags.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { flags, ..Sources::default() };
        let config = Config::read(dir.join(name), &sources).expect("good settings");
        std::fs::create_dir_all(config.dir.network()).expect("a directory for the node");
        Self { name: name.to_owned(), config, layer1: layer1.clone(), own_runtime: true }
    }

    /// Where its data will be.
    pub const fn dir(&self) -> &DataDir {
        &self.config.dir
    }

    /// The node shares the runtime it is started from; it cannot be dropped in the middle then.
    #[must_use]
    pub fn on_this_runtime(self) -> Self {
        Self { own_runtime: false, ..self }
    }
}

/// A runtime that may be dropped where others wait: its tasks end at their next pause.
#[derive(Debug)]
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A running Viaduct node.
#[derive(Debug)]
pub struct OurNode {
    place: Place,
    seed: Seed,
    /// Dropping it is what a crash is.
    runtime: Option<Own>,
    node: Option<Node>,
    handle: Handle,
    address: SocketAddr,
}

impl OurNode {
    /// Starts a fresh node.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(place: Place) -> Self {
        let seed = Seed::generate().expect("random numbers");
        Self::run(place, seed).await
    }

    async fn run(place: Place, seed: Seed) -> Self {
        let runtime = place.own_runtime.then(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build();
            Own(Some(runtime.expect("a runtime")))
        });
        let on = runtime
            .as_ref()
            .and_then(|own| own.0.as_ref())
            .map_or_else(tokio::runtime::Handle::current, |own| own.handle().clone());
        // What was dropped in the middle keeps its locks until its last thread is gone.
        let node = until_async(
            "the directory to be free",
            || place.name.clone(),
            || {
                let (config, layer1) = (place.config.clone(), place.layer1.clone());
                let secrets = seed.secrets(config.network.params()).expect("keys");
                let starting = on.spawn(async move {
                    let is_sandbox = config.network == Network::Sandbox;
                    let sandbox = is_sandbox.then(|| layer1.sandbox());
                    let access = ChainAccess { backend: layer1.backend(), sandbox };
                    Node::start(&config, secrets, access).await
                });
                async move {
                    match starting.await.expect("starting does not panic") {
                        Ok(node) => Some(node),
                        Err(
                            StartError::Journal(JournalError::Locked { .. }) | StartError::Index(_),
                        ) => None,
                        Err(error) => panic!("the node does not start: {error}"),
                    }
                }
            },
        )
        .await;
        let (handle, address) = (node.handle(), node.listening()[0]);
        Self { place, seed, runtime, node: Some(node), handle, address }
    }

    /// Drops the node in the middle of whatever it does, without a word to anybody, and starts it again
    /// from its directory, on the same address. Only for a node with a runtime of its own.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn crash_and_restart(mut self) -> Self {
        drop(self.runtime.take().expect("a runtime of its own"));
        self.again().await
    }

    /// Its disk fails after so many more records: those are durable, whatever they were to cause did not
    /// happen, and the node stops. [`Self::crash_and_restart`] brings it back.
    ///
    /// # Panics
    /// Never while it runs.
    pub fn fail_after(&self, records: u64) {
        self.node.as_ref().expect("running").fail_after(records);
    }

    /// The same by moments of its journal, two a record: before it is written, and behind it, when it is durable and
    /// nobody has heard of it.
    ///
    /// # Panics
    /// Never while it runs.
    pub fn fail_at_moment(&self, moments: u64) {
        self.node.as_ref().expect("running").fail_at_moment(moments);
    }

    /// Its disk fails no more, unless it has; how many moments were left, [`u64::MAX`] when it was not to fail.
    ///
    /// # Panics
    /// Never while it runs.
    pub fn fail_no_more(&self) -> u64 {
        self.node.as_ref().expect("running").fail_no_more()
    }

    /// Whether it has stopped, or is about to.
    ///
    /// # Panics
    /// Never while it is started.
    pub fn has_failed(&self) -> bool {
        self.node.as_ref().expect("running").tasks().is_stopping()
    }

    /// Stops the node in order and starts it again from its directory, on the same address.
    ///
    /// # Panics
    /// When it does not stop or does not start again.
    pub async fn restart(mut self) -> Self {
        self.halt().await;
        self.again().await
    }

    /// Stops the node in order, lets somebody at its directory, and starts it again with the same seed, on
    /// the same address.
    ///
    /// # Panics
    /// When it does not stop or does not start again.
    pub async fn restart_after(mut self, deed: impl FnOnce(&Path)) -> Self {
        self.halt().await;
        deed(&self.place.config.dir.network());
        self.again().await
    }

    /// Burns everything but the seed, and starts again with nothing.
    ///
    /// # Panics
    /// When it does not stop or does not start again.
    pub async fn lose_everything(self) -> Self {
        let burn = |dir: &Path| {
            std::fs::remove_dir_all(dir).expect("it burns");
            std::fs::create_dir_all(dir).expect("an empty directory");
        };
        self.restart_after(burn).await
    }

    /// The backup of its channels.
    pub fn backup_file(&self) -> std::path::PathBuf {
        self.place.config.dir.backup().join(daemon::backup::files::NAME)
    }

    /// Stops the node in order, lets `meanwhile` at its directory, and starts it again on the same address.
    ///
    /// # Panics
    /// When it does not stop or does not start again.
    pub async fn restart_with(self, meanwhile: impl FnOnce(&DataDir)) -> Self {
        let asleep = self.sleep().await;
        meanwhile(asleep.dir());
        asleep.wake().await
    }

    async fn again(self) -> Self {
        let Self { mut place, seed, node, handle, address, .. } = self;
        // Both hold ends of the old node's queues.
        drop((node, handle));
        place.config.p2p.listen = vec![address];
        Self::run(place, seed).await
    }

    /// Stops the node in order, to be started again later.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn sleep(mut self) -> Asleep {
        self.halt().await;
        let Self { mut place, seed, node, handle, address, .. } = self;
        // Both hold ends of the old node's queues.
        drop((node, handle));
        place.config.p2p.listen = vec![address];
        Asleep { place, seed }
    }

    /// Stops the node in order.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        let node = self.node.take().expect("running");
        let fatal = tokio::time::timeout(PATIENCE, node.stop()).await.expect("it stops");
        assert!(fatal.is_none(), "{fatal:?}");
        self.runtime = None;
    }

    /// How to ask it for anything else.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Its public key.
    pub fn id(&self) -> NodeId {
        self.handle.node_id()
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its journal did since it was started last.
    ///
    /// # Panics
    /// Never while it runs.
    pub fn journal_stats(&self) -> Stats {
        self.node.as_ref().expect("running").journal_stats()
    }

    /// A fresh script of its wallet.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn wallet_script(&self) -> ScriptBuf {
        let address = self.handle.new_address(AddressKind::Taproot, None).await;
        address.expect("an address").script_pubkey()
    }

    /// What its wallet holds.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn balance(&self) -> WalletBalance {
        self.handle.wallet_balance().await.expect("a balance")
    }

    /// Waits until its wallet has seen the block at `height`, and it knows that this is the tip.
    ///
    /// # Panics
    /// When it falls behind.
    pub async fn at_height(&self, height: u32) {
        let what = format!("{} at block {height}", self.place.name);
        until_async(&what, String::new, || async {
            let seen = *self.handle.tip().borrow();
            (seen.synced && seen.height.0 >= height).then_some(())
        })
        .await;
    }

    /// Connects to a peer and keeps the connection up from now on.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn connect(&self, node: NodeId, address: SocketAddr) {
        let order = ConnectPeer { node, address: Some(address.to_string()), timeout_ms: 10_000 };
        self.handle.connect_peer(order).await.expect("a connection");
    }

    /// Opens a channel and waits until its funding waits for blocks.
    ///
    /// # Panics
    /// When the channel does not come about.
    pub async fn open_channel(&self, node: NodeId, address: SocketAddr, sat: u64) -> ChannelId {
        self.open_any_channel(node, address, sat, Msat::ZERO, false, Kind::default()).await
    }

    /// The same, announced to the network once it is six blocks deep.
    ///
    /// # Panics
    /// When the channel does not come about.
    pub async fn open_public_channel(
        &self,
        node: NodeId,
        address: SocketAddr,
        sat: u64,
    ) -> ChannelId {
        self.open_any_channel(node, address, sat, Msat::ZERO, true, Kind::default()).await
    }

    /// The same, with half of it on the peer's side.
    ///
    /// # Panics
    /// When the channel does not come about.
    pub async fn open_shared_channel(
        &self,
        node: NodeId,
        address: SocketAddr,
        sat: u64,
    ) -> ChannelId {
        let half = Msat::new(sat * 500).expect("an amount");
        self.open_any_channel(node, address, sat, half, true, Kind::default()).await
    }

    /// The same of another kind, private.
    ///
    /// # Panics
    /// When it fails.
    pub async fn open_channel_of_kind(
        &self,
        node: NodeId,
        address: SocketAddr,
        sat: u64,
        kind: Kind,
    ) -> ChannelId {
        self.open_any_channel(node, address, sat, Msat::ZERO, false, kind).await
    }

    /// From now on it uses channels that `node` funds before they are in a block, or does so no longer.
    ///
    /// # Panics
    /// When it does not do as it is told.
    pub async fn trust(&self, node: NodeId, trusted: bool) {
        let change = PeerPolicyChange { force_close: None, trust_funding: Some(trusted) };
        let now = self.handle.set_peer_policy(node, change).await.expect("durable");
        assert_eq!(now.trust_funding, trusted);
    }

    async fn open_any_channel(
        &self,
        node: NodeId,
        address: SocketAddr,
        sat: u64,
        push: Msat,
        announce: bool,
        kind: Kind,
    ) -> ChannelId {
        let order = OpenChannel {
            key: None,
            node,
            address: Some(address.to_string()),
            coins: Coins::Exactly(bitcoin::Amount::from_sat(sat)),
            push,
            feerate: None,
            to_self_delay: None,
            announce,
            kind,
        };
        let mut updates = self.handle.open_channel(order).await.expect("an open begun").updates;
        let waiting = async {
            while let Some(channel) = updates.next().await {
                let channel = channel.expect("the open goes on");
                match channel.phase {
                    ChannelPhase::Negotiating | ChannelPhase::Negotiated => {}
                    ChannelPhase::AwaitingDepth
                    | ChannelPhase::AwaitingPeer
                    | ChannelPhase::Open => {
                        return channel.id;
                    }
                    ChannelPhase::ShuttingDown
                    | ChannelPhase::Closing
                    | ChannelPhase::Closed
                    | ChannelPhase::Failed => panic!("the open failed: {:?}", channel.why),
                }
            }
            panic!("the open ended without a word");
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a funded channel")
    }

    /// All its channels, ended ones as well.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn channels(&self) -> Vec<Channel> {
        let filter = ChannelFilter { ended: true, ..ChannelFilter::default() };
        self.handle.list_channels(filter).await.expect("a list")
    }

    /// Waits until a channel is as `right` wants it.
    ///
    /// # Panics
    /// When it never is.
    pub async fn channel_where(
        &self,
        id: ChannelId,
        what: &str,
        right: impl Fn(&Channel) -> bool,
    ) -> Channel {
        let what = format!("{}: a channel {what}", self.place.name);
        let account = || "see the log for the channel's last state".to_owned();
        until_async(&what, account, || async {
            self.channels().await.into_iter().find(|channel| channel.id == id && right(channel))
        })
        .await
    }

    /// Waits until a channel can carry payments.
    ///
    /// # Panics
    /// When it never can.
    pub async fn usable(&self, id: ChannelId) -> Channel {
        self.channel_where(id, "that is usable", |channel| {
            channel.phase == ChannelPhase::Open
                && channel.link == daemon::rpc::model::channel::Link::Up
        })
        .await
    }

    /// Makes an invoice; answers its text and hash.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn create_invoice(&self, msat: Option<u64>, expiry_s: u32) -> (String, PaymentHash) {
        self.ask_for(msat, expiry_s, false).await.expect("an invoice")
    }

    /// Makes an invoice that leads here by blinded routes, as soon as peers have told what that takes.
    ///
    /// # Panics
    /// When it never can.
    pub async fn create_bundle(&self, msat: Option<u64>) -> (String, PaymentHash) {
        until_async("blinded routes", String::new, || async {
            self.ask_for(msat, 3_600, true).await.ok()
        })
        .await
    }

    async fn ask_for(
        &self,
        msat: Option<u64>,
        expiry_s: u32,
        blinded: bool,
    ) -> Result<(String, PaymentHash), Refusal> {
        let order = CreateInvoice {
            key: None,
            amount: msat.and_then(Msat::new),
            description: Description::Text("a test".to_owned()),
            expiry_s: Some(expiry_s),
            min_final_cltv_delta: None,
            blinded,
            ..CreateInvoice::default()
        };
        let invoice = self.handle.create_invoice(order).await?;
        Ok((invoice.bolt11, invoice.hash))
    }

    /// Whether the invoice of this hash was paid, and how much, millisatoshi.
    ///
    /// # Panics
    /// When it knows no such invoice.
    pub async fn settled(&self, hash: PaymentHash) -> Option<u64> {
        match self.handle.invoice(hash).await.expect("a known invoice").state {
            InvoiceState::Settled { received, .. } => Some(received.to_u64()),
            InvoiceState::Open
            | InvoiceState::Accepted
            | InvoiceState::Held { .. }
            | InvoiceState::Expired
            | InvoiceState::Cancelled { .. } => None,
        }
    }

    /// Begins to pay an invoice and returns at once; how it ends is told by [`Self::outcome`].
    ///
    /// # Errors
    /// What the node refuses.
    pub async fn begin_pay(&self, invoice: &str) -> Result<(), Refusal> {
        self.handle.pay(pay_order(invoice)).await.map(drop)
    }

    /// Waits for the end of a payment.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn outcome(&self, hash: PaymentHash) -> PaymentStatus {
        let what = format!("{}: the end of a payment", self.place.name);
        until_async(&what, String::new, || async {
            let payment = self.handle.payment(hash).await.ok().filter(Payment::is_final);
            payment.map(|payment| payment.status)
        })
        .await
    }

    /// Begins to close a channel.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn close(&self, id: ChannelId, force: bool) {
        let how =
            if force { CloseHow::Force } else { CloseHow::Cooperative { to: None, feerate: None } };
        let order = CloseChannel { key: None, channel: ChannelRef::Id(id), how };
        self.handle.close_channel(order).await.expect("a close begun");
    }
}

/// A node that does not run.
#[derive(Debug)]
pub struct Asleep {
    place: Place,
    seed: Seed,
}

impl Asleep {
    /// Where its data lie.
    pub const fn dir(&self) -> &DataDir {
        &self.place.config.dir
    }

    /// A node with the same seed in another place, which knows nothing of this one's channels: what spends the
    /// same coins twice.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn twin(&self, place: Place) -> OurNode {
        let words = self.seed.words().expect("words");
        let seed = Seed::from_words(&words, "").expect("the same seed");
        OurNode::run(place, seed).await
    }

    /// Starts it again from its directory, on the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn wake(self) -> OurNode {
        OurNode::run(self.place, self.seed).await
    }
}

/// An order to pay an invoice that names its amount.
pub fn pay_order(invoice: &str) -> PayOrder {
    PayOrder {
        key: None,
        invoice: invoice.to_owned(),
        amount: None,
        max_fee: None,
        timeout_ms: PAY_TIMEOUT_MS,
    }
}

/// Pays an invoice and waits for the end.
///
/// # Errors
/// What the node refuses.
///
/// # Panics
/// When the updates end before the payment does.
pub async fn pay_to_the_end(node: &Handle, invoice: &str) -> Result<PaymentStatus, Refusal> {
    let mut updates = node.pay(pay_order(invoice)).await?.updates;
    while let Some(payment) = updates.next().await {
        let payment = payment?;
        if payment.is_final() {
            return Ok(payment.status);
        }
    }
    panic!("the updates of a payment ended before the payment");
}
