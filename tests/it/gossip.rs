//! Nodes that tell each other of the network.

use std::path::Path;

use daemon::fact::ChannelIndex;
use routing::graph::Direction;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, ShortChannelId};

use crate::nodes::pair::{CAPACITY, COIN, in_time};

/// Three nodes in a line, with announced channels between neighbours.
struct Line {
    layer1: Layer1,
    alice: OurNode,
    bob: OurNode,
    carol: OurNode,
    channels: [ChannelId; 2],
    _dir: tempfile::TempDir,
}

impl Line {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer1 = Layer1::start();
        let node = |name| start(name, dir.path(), &layer1);
        let (alice, bob, carol) = (node("alice").await, node("bob").await, node("carol").await);
        let mut scripts = Vec::new();
        for node in [&alice, &bob, &carol] {
            scripts.push(node.wallet_script().await);
        }
        layer1.give(&scripts).await;
        let height = layer1.height().await;
        for node in [&alice, &bob, &carol] {
            node.at_height(height).await;
            assert_eq!(node.balance().await.confirmed.to_sat(), COIN);
        }
        let one = alice.open_public_channel(bob.id(), bob.address(), CAPACITY).await;
        let two = bob.open_public_channel(carol.id(), carol.address(), CAPACITY).await;
        layer1.mempool_of(2).await;
        let line = Self { layer1, alice, bob, carol, channels: [one, two], _dir: dir };
        line.mine(6).await;
        line
    }

    async fn mine(&self, blocks: u32) {
        let height = self.layer1.mine(blocks).await;
        for node in [&self.alice, &self.bob, &self.carol] {
            node.at_height(height).await;
        }
    }

    async fn scids(&self) -> Vec<ShortChannelId> {
        let mut scids = Vec::new();
        for id in self.channels {
            let channel = self.bob.usable(id).await;
            scids.push(channel.short_id.expect("a place in the chain"));
        }
        scids
    }
}

async fn start(name: &str, dir: &Path, layer1: &Layer1) -> OurNode {
    OurNode::start(Place::with_settings(name, dir, layer1, &[])).await
}

/// Waits until a node knows so many channels, each with both sides' policies, and so many nodes by name.
async fn knows(node: &OurNode, channels: usize, nodes: usize) {
    let seen = || {
        let graph = node.handle().graph();
        let first = ShortChannelId::from_u64(0);
        let whole = graph
            .channels_from(first)
            .filter(|channel| Direction::BOTH.iter().all(|way| channel.policy(*way).is_some()))
            .count();
        (whole, graph.channel_count(), graph.node_count())
    };
    let account = || format!("whole channels, channels, nodes: {:?}", seen());
    until_async("a graph", account, || async {
        (seen() == (channels, channels, nodes)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_three_knows_itself_from_end_to_end_and_after_a_restart() {
    in_time(async {
        let mut line = Line::start().await;
        for node in [&line.alice, &line.bob, &line.carol] {
            knows(node, 2, 3).await;
        }
        // What alice knows of the far channel lies on her disk.
        line.bob.stop().await;
        line.alice = line.alice.restart().await;
        knows(&line.alice, 2, 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_spent_leaves_every_graph_and_comes_back_with_its_block() {
    in_time(async {
        let line = Line::start().await;
        for node in [&line.alice, &line.carol] {
            knows(node, 2, 3).await;
        }
        let scids = line.scids().await;
        line.bob.close(line.channels[1], false).await;
        line.layer1.mempool_of(1).await;
        line.mine(1).await;
        // The channel is not in the graph of one who only heard of it.
        let gone = || line.alice.handle().graph().channel(scids[1]).is_none();
        until_async("a graph without it", String::new, || async { gone().then_some(()) }).await;
        assert!(line.alice.handle().graph().channel(scids[0]).is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_asks_for_what_everybody_else_knows() {
    in_time(async {
        let line = Line::start().await;
        knows(&line.bob, 2, 3).await;
        let dave = start("dave", line._dir.path(), &line.layer1).await;
        dave.connect(line.bob.id(), line.bob.address()).await;
        knows(&dave, 2, 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_announced_is_known_to_its_two_ends_alone() {
    in_time(async {
        let line = Line::start().await;
        knows(&line.alice, 2, 3).await;
        let (carol, alice) = (&line.carol, &line.alice);
        let id = alice.open_channel(carol.id(), carol.address(), CAPACITY).await;
        line.layer1.mempool_of(1).await;
        line.mine(8).await;
        let index = ChannelIndex(alice.usable(id).await.index);
        // Each side tells the other what it asks for, under a name that is no place.
        let theirs = until_async("carol's word", String::new, || async {
            alice.handle().own_gossip().theirs.get(&index).cloned()
        })
        .await;
        assert!(theirs.is_private());
        assert!(!theirs.is_disabled());
        assert_eq!(alice.handle().graph().channel_count(), 2);
        assert_eq!(line.bob.handle().graph().channel_count(), 2);
    })
    .await;
}
