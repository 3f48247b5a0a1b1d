//! Gossip between our nodes and LDK's: what one knows the other learns, and restarts lose nothing.

use bitcoin::secp256k1::PublicKey;
use daemon::fact::ChannelIndex;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::forward::SetPolicy;
use daemon::rpc::node_api::NodeApi as _;
use daemon::switch::policy::PolicyChange;
use lightning::ln::types::ChannelId as LdkChannelId;
use routing::graph::Direction;
use std::path::Path;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ldk::{Known, LdkNode, Options};
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::{ChannelId, NodeId, ShortChannelId};

use super::table::{CAPACITY, Table, node_id, public};
use crate::nodes::pair::in_time;

/// What our node's graph holds.
pub(super) fn known(node: &OurNode) -> Known {
    let graph = node.handle().graph();
    let all = || graph.channels_from(ShortChannelId::from_u64(0));
    let whole = all()
        .filter(|channel| Direction::BOTH.iter().all(|way| channel.policy(*way).is_some()))
        .count();
    let named = graph.nodes_from(NodeId([0; 33])).filter(|node| node.timestamp.is_some()).count();
    Known { channels: all().count(), whole, nodes: graph.node_count(), named }
}

/// The line and all its nodes by name. Of two LDK nodes the one that announces their channel first says its
/// price too early for the other, so that one policy may be missing everywhere.
fn is_line(known: Known) -> bool {
    let Known { channels, whole, nodes, named } = known;
    (channels, nodes, named) == (3, 4, 4) && whole >= 2
}

async fn we_know(node: &OurNode) {
    let account = || format!("{:?}", known(node));
    until_async("our graph", account, || async { is_line(known(node)).then_some(()) }).await;
}

async fn ldk_knows(node: &LdkNode) {
    let account = || format!("{:?}\n{}\n{}", node.known(), node.graph_told(), node.log_tail());
    until_async("LDK's graph", account, || async { is_line(node.known()).then_some(()) }).await;
}

/// A line of announced channels: two nodes of ours, then two of LDK's.
struct Line {
    layer1: Layer1,
    edge: OurNode,
    ours: OurNode,
    ldk: LdkNode,
    far: LdkNode,
    middle: LdkChannelId,
    dir: tempfile::TempDir,
}

impl Line {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layer1 = Layer1::start();
        let edge = we(dir.path(), &layer1, "edge").await;
        let ours = we(dir.path(), &layer1, "ours").await;
        let ldk = LdkNode::start(Options::named("ldk", dir.path()), layer1.backend()).await;
        let far = LdkNode::start(Options::named("far", dir.path()), layer1.backend()).await;
        let scripts = [
            edge.wallet_script().await,
            ours.wallet_script().await,
            ldk.wallet_script(),
            far.wallet_script(),
        ];
        layer1.give(&scripts).await;
        let middle = LdkChannelId([0; 32]);
        let mut line = Self { layer1, edge, ours, ldk, far, middle, dir };
        line.level().await;
        line.edge.open_public_channel(line.ours.id(), line.ours.address(), CAPACITY).await;
        let to = node_id(line.ldk.id());
        let id = line.ours.open_public_channel(to, line.ldk.address(), CAPACITY).await;
        line.middle = LdkChannelId(id.0);
        line.ldk.connect(line.far.id(), line.far.address()).await;
        line.ldk.open_public_channel(line.far.id(), CAPACITY, 0).await;
        line.layer1.mempool_of(3).await;
        for _ in 0..6 {
            line.layer1.mine(1).await;
            line.level().await;
        }
        let account = || format!("{}\n\n{}", line.ldk.graph_told(), line.far.graph_told());
        until_async("LDK to know all channels", account, || async {
            let all = line.ldk.known().channels == 3 && line.far.known().channels == 3;
            all.then_some(())
        })
        .await;
        // LDK speaks of itself when its owner wants it to.
        line.ldk.announce("ldk");
        line.far.announce("far");
        line
    }

    async fn level(&self) {
        let height = self.layer1.height().await;
        self.edge.at_height(height).await;
        self.ours.at_height(height).await;
        self.ldk.at_height(height).await;
        self.far.at_height(height).await;
    }
}

async fn we(dir: &Path, layer1: &Layer1, name: &str) -> OurNode {
    let settings = [("alias", name)];
    OurNode::start(Place::with_settings(name, dir, layer1, &settings)).await
}

fn name_of(node: &OurNode, of: PublicKey) -> Option<String> {
    let graph = node.handle().graph();
    let alias = graph.node(node_id(of))?.alias?;
    let text = String::from_utf8_lossy(alias).into_owned();
    Some(text.trim_end_matches(char::from(0)).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_our_nodes_and_ldks_knows_itself_and_newcomers_learn_it_from_either() {
    in_time(async {
        let mut line = Line::start().await;
        we_know(&line.ours).await;
        we_know(&line.edge).await;
        ldk_knows(&line.ldk).await;
        ldk_knows(&line.far).await;
        assert_eq!(name_of(&line.edge, line.far.id()).as_deref(), Some("far"));
        assert_eq!(line.far.alias_of(public(line.edge.id())).as_deref(), Some("edge"));

        // A new node of ours hears it all from LDK, a new one of LDK's from us.
        let new = we(line.dir.path(), &line.layer1, "new").await;
        new.connect(node_id(line.far.id()), line.far.address()).await;
        we_know(&new).await;
        let new = Options::named("new ldk", line.dir.path());
        let new = LdkNode::start(new, line.layer1.backend()).await;
        new.connect(public(line.edge.id()), line.edge.address()).await;
        ldk_knows(&new).await;

        // A new price of ours reaches LDK's far end, through LDK.
        let channel = line.ours.usable(ChannelId(line.middle.0)).await;
        let scid = channel.short_id.unwrap().to_u64();
        let change = PolicyChange { base_msat: Some(7_777), ..PolicyChange::default() };
        let order = SetPolicy { channel: ChannelRef::Id(channel.id), change };
        line.ours.handle().set_policy(order).await.expect("set");
        let account = || line.far.log_tail();
        let ours = public(line.ours.id());
        until_async("our new price to be known afar", account, || async {
            (line.far.base_fee_of(scid, ours) == Some(7_777)).then_some(())
        })
        .await;

        // What we know we know after a restart with nobody to ask; what LDK forgets it hears from us.
        let Line { ldk, far, edge, .. } = line;
        far.stop().await;
        let ldk = ldk.restart().await;
        let address = line.ours.address();
        line.ours = line.ours.restart().await;
        we_know(&line.ours).await;
        if !ldk.is_connected(public(line.ours.id())) {
            ldk.connect(public(line.ours.id()), address).await;
        }
        until_async(
            "LDK to know the channels again",
            || ldk.log_tail(),
            || async {
                let known = ldk.known();
                (known.channels == 3 && known.nodes == 4 && known.whole >= 2).then_some(())
            },
        )
        .await;
        edge.stop().await;
    })
    .await;
}

/// A channel that either side opened in public, five blocks deep.
async fn almost_deep(we_open: bool) -> (Table, LdkChannelId) {
    let table = Table::lay().await;
    let id = if we_open {
        let (ldk, at) = (node_id(table.ldk.id()), table.ldk.address());
        LdkChannelId(table.ours.open_public_channel(ldk, at, CAPACITY).await.0)
    } else {
        let us = public(table.ours.id());
        table.ldk.connect(us, table.ours.address()).await;
        table.ldk.open_public_channel(us, CAPACITY, 0).await
    };
    table.layer1.mempool_of(1).await;
    table.mine(5).await;
    table.usable(id).await;
    (table, id)
}

async fn both_know_one(table: &Table) {
    let both = || format!("we {:?}, LDK {:?}", known(&table.ours), table.ldk.known());
    until_async(
        "both to know the channel",
        || format!("{}\n{}", both(), table.ldk.log_tail()),
        || async {
            let [us, them] = [known(&table.ours), table.ldk.known()];
            (us.whole == 1 && them.whole == 1).then_some(())
        },
    )
    .await;
}

async fn connected(table: &Table, id: LdkChannelId) {
    let us = public(table.ours.id());
    if !table.ldk.is_connected(us) {
        // We may be dialling as well; one connection stays.
        table.ldk.connect(us, table.ours.address()).await;
    }
    table.usable(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_ours_before_or_after_the_announcement_does_not_hinder_it() {
    in_time(async {
        let (table, id) = almost_deep(true).await;
        let table = table.we_crash().await;
        connected(&table, id).await;
        table.mine(1).await;
        both_know_one(&table).await;
        let table = table.we_crash().await;
        both_know_one(&table).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_ldks_around_the_sixth_block_does_not_hinder_it() {
    in_time(async {
        let (table, id) = almost_deep(false).await;
        table.ldk.disconnect(public(table.ours.id()));
        table.mine(1).await;
        let table = table.ldk_restarts().await;
        connected(&table, id).await;
        both_know_one(&table).await;
        // It forgot the graph, and hears its own channel again.
        let table = table.ldk_restarts().await;
        connected(&table, id).await;
        both_know_one(&table).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_say_what_they_ask_for_a_channel_that_nobody_else_knows() {
    in_time(async {
        let table = Table::lay().await;
        let (ours, id) = table.ldk_opens(5_000_000_000).await;
        let index = ChannelIndex(table.ours.usable(ours).await.index);
        let theirs = until_async(
            "LDK's word",
            || table.ldk.log_tail(),
            || async { table.ours.handle().own_gossip().theirs.get(&index).cloned() },
        )
        .await;
        assert_eq!(theirs.fee_base_msat, 1_000);
        assert!(!theirs.is_disabled());
        let heard = |table: &Table| table.ldk.channel(id)?.counterparty.forwarding_info;
        let told = table.ldk.wait("our word", || heard(&table)).await;
        let said = table.ours.handle().own_gossip().ours.get(&index).cloned().unwrap();
        assert_eq!(told.fee_base_msat, said.fee_base_msat);
        assert_eq!(told.cltv_expiry_delta, said.cltv_expiry_delta);
        assert!(said.is_private());

        // LDK's invoices name us as the way to it.
        let invoice = table.ldk.create_invoice(Some(1_000_000), 3_600);
        let hints: Vec<_> = invoice.route_hints().into_iter().flat_map(|hint| hint.0).collect();
        assert_eq!(hints.len(), 1, "{hints:?}");
        assert_eq!(hints[0].src_node_id, public(table.ours.id()));
        // By the name that we gave it, which is no place in the chain.
        let details = table.usable(id).await;
        assert_eq!(details.inbound_scid_alias, Some(hints[0].short_channel_id), "{hints:?}");
        assert_ne!(details.short_channel_id, details.inbound_scid_alias);

        // Neither graph has it; both words come again after restarts.
        assert_eq!((known(&table.ours).channels, table.ldk.known().channels), (0, 0));
        let table = table.we_crash().await;
        connected(&table, id).await;
        until_async(
            "LDK's word again",
            || table.ldk.log_tail(),
            || async { table.ours.handle().own_gossip().theirs.get(&index).cloned() },
        )
        .await;
        let table = table.ldk_restarts().await;
        connected(&table, id).await;
        table.ldk.wait("our word again", || heard(&table)).await;
    })
    .await;
}
