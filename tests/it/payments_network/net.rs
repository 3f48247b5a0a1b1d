//! A network of some nodes, announced and known to all.

use daemon::node::Handle;
use daemon::rpc::model::payment::{Payment, PaymentStatus};
use daemon::rpc::node_api::NodeApi as _;
use routing::graph::Direction;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, PaymentHash, ShortChannelId};

use crate::nodes::pair::{find, pay_order};

/// Fees that are easy to count with.
const SETTINGS: [(&str, &str); 3] = [
    ("forwarding.base_msat", "1000"),
    ("forwarding.ppm", "100"),
    ("forwarding.cltv_delta_blocks", "40"),
];

/// What each forwards for, besides [`BASE_MSAT`].
pub(super) const PPM: u64 = 100;
/// Flat fee.
pub(super) const BASE_MSAT: u64 = 1_000;

/// A channel to be opened: from, to, satoshi.
pub(super) type Edge = (usize, usize, u64);

/// The network.
pub(super) struct Net {
    pub(super) layer1: Layer1,
    pub(super) nodes: Vec<OurNode>,
    pub(super) edges: Vec<(usize, usize, ChannelId)>,
    pub(super) _dir: tempfile::TempDir,
}

impl Net {
    /// Nodes with a coin each, and announced channels that everybody knows.
    pub(super) async fn start(count: usize, edges: &[Edge]) -> Self {
        let mut net = Self::bare(count, &[]).await;
        for edge in edges {
            net.open(*edge, true).await;
        }
        net.mine(6).await;
        net.known(edges.len()).await;
        net
    }

    /// Nodes without channels.
    pub(super) async fn bare(count: usize, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer1 = Layer1::start();
        let settings: Vec<_> = SETTINGS.iter().chain(more).copied().collect();
        let mut nodes = Vec::new();
        let mut scripts = Vec::new();
        for name in 0..count {
            let name = format!("node-{name}");
            let place = Place::with_settings(&name, dir.path(), &layer1, &settings);
            let node = OurNode::start(place).await;
            // One coin for each channel that it may open.
            for _ in 0..2 {
                scripts.push(node.wallet_script().await);
            }
            nodes.push(node);
        }
        layer1.give(&scripts).await;
        let net = Self { layer1, nodes, edges: Vec::new(), _dir: dir };
        net.mine(1).await;
        net
    }

    /// Opens a channel and waits until it can be used.
    pub(super) async fn open(&mut self, (from, to, sat): Edge, public: bool) -> ChannelId {
        let (a, b) = (&self.nodes[from], &self.nodes[to]);
        let id = if public {
            a.open_public_channel(b.id(), b.address(), sat).await
        } else {
            a.open_channel(b.id(), b.address(), sat).await
        };
        self.layer1.mempool_of(1).await;
        self.mine(1).await;
        a.usable(id).await;
        b.usable(id).await;
        self.edges.push((from, to, id));
        id
    }

    pub(super) async fn mine(&self, blocks: u32) {
        let height = self.layer1.mine(blocks).await;
        for node in &self.nodes {
            node.at_height(height).await;
        }
    }

    /// Waits until everybody knows so many channels, with both ends' policies.
    pub(super) async fn known(&self, channels: usize) {
        for node in &self.nodes {
            knows(node, channels).await;
        }
    }

    /// An invoice of one node's paid by another, to the end.
    pub(super) async fn pay(&self, from: usize, to: usize, msat: u64) -> Payment {
        let (invoice, hash) = self.nodes[to].create_invoice(Some(msat), 3_600).await;
        let order = pay_order(&invoice);
        self.handle(from).pay(order).await.expect("not refused");
        self.end_of(from, hash).await
    }

    pub(super) async fn end_of(&self, from: usize, hash: PaymentHash) -> Payment {
        self.nodes[from].outcome(hash).await;
        self.handle(from).payment(hash).await.expect("known")
    }

    pub(super) fn handle(&self, node: usize) -> &Handle {
        self.nodes[node].handle()
    }

    /// Waits until nothing is in flight anywhere and both ends of each channel agree.
    pub(super) async fn quiet(&self) {
        for (from, to, id) in &self.edges {
            until_async("both sides to agree", String::new, || async {
                let ours = find(&self.nodes[*from], *id).await;
                let theirs = find(&self.nodes[*to], *id).await;
                let quiet = ours.htlcs.is_empty() && theirs.htlcs.is_empty();
                (quiet && ours.ours == theirs.theirs && ours.theirs == theirs.ours).then_some(())
            })
            .await;
        }
    }

    /// What a node has in all its channels, in msat.
    pub(super) async fn has_msat(&self, node: usize) -> u64 {
        let mut sum = 0;
        for (from, to, id) in &self.edges {
            if *from == node || *to == node {
                sum += find(&self.nodes[node], *id).await.ours.to_u64();
            }
        }
        sum
    }
}

/// Waits until a node knows so many channels, each with both sides' policies.
pub(super) async fn knows(node: &OurNode, channels: usize) {
    let whole = || {
        let graph = node.handle().graph();
        let all = graph.channels_from(ShortChannelId::from_u64(0));
        all.filter(|channel| Direction::BOTH.iter().all(|way| channel.policy(*way).is_some()))
            .count()
    };
    let account = || format!("{} of {channels} channels", whole());
    until_async("a graph", account, || async { (whole() >= channels).then_some(()) }).await;
}

pub(super) fn arrived(payment: &Payment) -> bool {
    matches!(payment.status, PaymentStatus::Succeeded { .. })
}
