//! Two nodes with a coin each: opening, paying, mining, and the account at the end.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bitcoin::Amount;
use daemon::rpc::model::channel::{Channel, ChannelPhase};
use daemon::rpc::model::payment::{PayOrder, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use futures_util::StreamExt as _;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash};

/// Satoshi in each wallet at the start: one subsidy of the built-in chain.
pub(crate) const COIN: u64 = 5_000_000_000;

/// What a test channel holds unless a test wants another, in satoshi.
pub(crate) const CAPACITY: u64 = 2_000_000;

/// How long one test may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a story that must end in time.
pub(crate) async fn in_time(story: impl Future<Output = ()>) {
    let _already = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    tokio::time::timeout(LIMIT, story).await.expect("the story ends in time");
}

/// The world of a test.
pub(crate) struct Pair {
    pub(crate) layer1: Layer1,
    pub(crate) alice: OurNode,
    pub(crate) bob: OurNode,
    pub(crate) dir: tempfile::TempDir,
    /// Coins given to all wallets so far, in satoshi.
    given: u64,
}

impl Pair {
    /// Two nodes with a coin each, not connected.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::on(Layer1::start(), settings).await
    }

    /// The same on this chain.
    pub(crate) async fn on(layer1: Layer1, settings: &[(&str, &str)]) -> Self {
        let bobs = layer1.clone();
        Self::apart(layer1, &bobs, settings).await
    }

    /// The same, and bob looks at the chain elsewhere.
    pub(crate) async fn apart(layer1: Layer1, bobs: &Layer1, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let place = |name, at| Place::with_settings(name, dir.path(), at, settings);
        let alice = OurNode::start(place("alice", &layer1)).await;
        let bob = OurNode::start(place("bob", bobs)).await;
        let mut pair = Self { layer1, alice, bob, dir, given: 0 };
        let scripts = [pair.alice.wallet_script().await, pair.bob.wallet_script().await];
        pair.layer1.give(&scripts).await;
        pair.given = 2 * COIN;
        pair.synced().await;
        for node in [&pair.alice, &pair.bob] {
            assert_eq!(node.balance().await.confirmed, Amount::from_sat(COIN));
        }
        pair
    }

    /// Two nodes and a channel between them that alice funded.
    pub(crate) async fn with_channel() -> (Self, ChannelId) {
        let pair = Self::start(&[]).await;
        let id = pair.open(CAPACITY).await;
        (pair, id)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until both have seen the tip.
    pub(crate) async fn synced(&self) {
        let height = self.layer1.height().await;
        self.alice.at_height(height).await;
        self.bob.at_height(height).await;
    }

    /// Mines and waits until both have seen it.
    pub(crate) async fn mine(&self, blocks: u32) {
        self.layer1.mine(blocks).await;
        self.synced().await;
    }

    /// A usable channel from alice to bob.
    pub(crate) async fn open(&self, sat: u64) -> ChannelId {
        let id = self.alice.open_channel(self.bob.id(), self.bob.address(), sat).await;
        self.layer1.mempool_of(1).await;
        self.mine(1).await;
        self.usable(id).await;
        id
    }

    /// Waits until both can pay over the channel.
    pub(crate) async fn usable(&self, id: ChannelId) {
        self.alice.usable(id).await;
        self.bob.usable(id).await;
    }

    /// Waits until nothing is in flight and both sides tell the same; answers alice's view.
    pub(crate) async fn agree(&self, id: ChannelId) -> Channel {
        until_async("both sides to agree", String::new, || async {
            let (ours, theirs) = (find(&self.alice, id).await, find(&self.bob, id).await);
            let quiet = ours.htlcs.is_empty() && theirs.htlcs.is_empty();
            let mirrored = ours.ours == theirs.theirs && ours.theirs == theirs.ours;
            (quiet && mirrored).then_some(ours)
        })
        .await
    }

    /// Closes together, from the side of `closer`, and mines until both call it over.
    pub(crate) async fn close_together(&self, closer: &OurNode, id: ChannelId) {
        self.agree(id).await;
        let funding = find(closer, id).await.funding.expect("funded");
        closer.close(id, false).await;
        self.layer1.spend_seen(funding).await;
        self.buried(id).await;
    }

    /// Mines until both call the channel over.
    pub(crate) async fn buried(&self, id: ChannelId) {
        for _ in 0..60 {
            self.mine(10).await;
            let over = |node: Channel| node.phase == ChannelPhase::Closed;
            if over(find(&self.alice, id).await) && over(find(&self.bob, id).await) {
                return;
            }
        }
        panic!("not over: {:?}\n{:?}", find(&self.alice, id).await, find(&self.bob, id).await);
    }

    /// Every satoshi that was given out is in a wallet, or was paid as a fee, or lies `elsewhere`.
    pub(crate) async fn account(&self, elsewhere: u64) {
        self.synced().await;
        let fees = self.layer1.totals().await.fees_sat;
        let wanted = self.given - fees - elsewhere;
        let sum = || async {
            let (a, b) = (self.alice.balance().await, self.bob.balance().await);
            (a.confirmed + b.confirmed, a.unconfirmed + b.unconfirmed)
        };
        let (confirmed, waiting) = sum().await;
        assert_eq!(waiting, Amount::ZERO, "everything is in blocks");
        assert_eq!(confirmed.to_sat(), wanted, "fees {fees}, elsewhere {elsewhere}");
    }
}

/// A channel of a node, running or over.
pub(crate) async fn find(node: &OurNode, id: ChannelId) -> Channel {
    let all = node.channels().await;
    all.into_iter().find(|channel| channel.id == id).expect("the node knows the channel")
}

/// An order to pay an invoice.
pub(crate) fn pay_order(invoice: &str) -> PayOrder {
    PayOrder {
        key: None,
        invoice: invoice.to_owned(),
        amount: None,
        max_fee: None,
        timeout_ms: 30_000,
    }
}

/// Pays an invoice to its end: whether this call began the payment, and how it ended.
pub(crate) async fn pay(
    node: &daemon::node::Handle,
    order: PayOrder,
) -> Result<(bool, PaymentStatus), Refusal> {
    let started = node.pay(order).await?;
    let (fresh, mut updates) = (started.fresh, started.updates);
    let mut last = PaymentStatus::InFlight;
    while let Some(payment) = updates.next().await {
        last = payment?.status;
    }
    Ok((fresh, last))
}

/// Makes an invoice and pays it; answers its hash.
pub(crate) async fn pay_some(from: &OurNode, to: &OurNode, msat: u64) -> PaymentHash {
    let (invoice, hash) = to.create_invoice(Some(msat), 3_600).await;
    // Who lost sight of the chain for a moment pays a moment later.
    let paid = until_async("a node that sees the chain", String::new, || async {
        match pay(from.handle(), pay_order(&invoice)).await {
            Err(Refusal::NotReady { .. }) => None,
            paid => Some(paid.expect("not refused")),
        }
    });
    let (fresh, status) = paid.await;
    assert!(fresh);
    assert!(matches!(status, PaymentStatus::Succeeded { .. }), "{status:?}");
    assert_eq!(to.settled(hash).await, Some(msat));
    hash
}
