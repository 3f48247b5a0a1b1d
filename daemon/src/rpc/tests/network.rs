//! The network as gossip shows it: pages, one by one, whole, and ways through it.

use std::collections::BTreeSet;

use api::v1;
use routing::graph::{ChannelAnnounced, Direction, Graph, GraphUpdate, NodeAnnounced, Policy};
use tonic::Code;
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat, Sat};

use super::paper::{PaperNode, peer_id};
use super::*;

/// More than fit a chunk of a snapshot.
const CHANNELS: u64 = 2_300;

fn id(number: u64) -> NodeId {
    let mut bytes = [7; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    let secret = secp256k1::SecretKey::from_slice(&bytes).unwrap();
    NodeId(secret.public_key(secp256k1::SECP256K1).serialize())
}

fn scid(number: u64) -> ShortChannelId {
    ShortChannelId::from_u64(number << 40)
}

/// Everybody has a channel with the first; some have a policy, one a name that would disturb a terminal.
fn a_graph() -> routing::graph::Snapshot {
    let (mut graph, hub) = (Graph::new(), id(0));
    for number in 1..=CHANNELS {
        graph
            .apply(&GraphUpdate::ChannelAnnounced(ChannelAnnounced {
                scid: scid(number),
                nodes: [hub.min(id(number)), hub.max(id(number))],
                capacity: (number % 2 == 0).then(|| Sat::from_sat(1_000 * number)),
                features: Features::empty(),
            }))
            .unwrap();
    }
    let policy = Policy {
        timestamp: 5,
        enabled: true,
        cltv_expiry_delta: CltvDelta(40),
        htlc_minimum: Msat::new(1).unwrap(),
        htlc_maximum: Msat::new(1_900_000).unwrap(),
        fee_base_msat: 1_000,
        fee_proportional_millionths: 100,
    };
    let direction = Direction::FromLesser;
    graph.apply(&GraphUpdate::ChannelUpdated { scid: scid(2), direction, policy }).unwrap();
    let mut alias = [0; 32];
    alias[..5].copy_from_slice(b"car\x1bl");
    graph
        .apply(&GraphUpdate::NodeAnnounced(NodeAnnounced {
            id: id(2),
            timestamp: 9,
            features: Features::empty(),
            alias,
            color: [255, 0, 16],
        }))
        .unwrap();
    graph.snapshot()
}

async fn serve() -> Served {
    let mut node = PaperNode::new().0;
    node.graph = a_graph();
    Served::start(node).await
}

#[tokio::test]
async fn pages_of_nodes_and_channels_show_each_once_and_in_order() {
    let served = serve().await;
    let mut graph = served.admin().await.graph();
    let info = soon(graph.info(v1::GraphInfoRequest {})).await.unwrap().into_inner();
    assert_eq!((info.nodes, info.channels), (CHANNELS + 1, CHANNELS));
    assert_eq!(info.capacity_sat, (1..=CHANNELS / 2).map(|half| 2_000 * half).sum::<u64>());

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let ask = v1::ListGraphChannelsRequest { page_size: 999, page_token: token, order: 0 };
        let page = soon(graph.list_channels(ask)).await.unwrap().into_inner();
        assert!(page.channels.len() <= 999);
        seen.extend(page.channels.into_iter().map(|one| one.short_channel_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let all: Vec<_> = (1..=CHANNELS).map(|number| scid(number).to_string()).collect();
    assert_eq!(seen, all);

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let ask = v1::ListGraphNodesRequest { page_token: token, ..Default::default() };
        let page = soon(graph.list_nodes(ask)).await.unwrap().into_inner();
        assert!(page.nodes.len() <= 100, "a hundred unless the request says otherwise");
        seen.extend(page.nodes.into_iter().map(|one| one.node_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len() as u64, CHANNELS + 1);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn one_node_and_one_channel_are_shown_whole_and_unknown_ones_are_not_found() {
    let served = serve().await;
    let mut graph = served.admin().await.graph();
    let ask = |number| v1::GetGraphNodeRequest { node_id: id(number).to_string() };
    let found = soon(graph.get_node(ask(2))).await.unwrap().into_inner();
    let node = found.node.unwrap();
    assert_eq!((node.alias.as_str(), node.color.as_str()), ("car\u{fffd}l", "#ff0010"));
    assert_eq!((node.channels, found.channels.len()), (1, 1));
    let hub = soon(graph.get_node(ask(0))).await.unwrap().into_inner();
    assert_eq!(hub.channels.len(), 1_000, "as many as a page has at most");
    assert_eq!(u64::from(hub.node.unwrap().channels), CHANNELS);

    let ask = |number| v1::GetGraphChannelRequest { short_channel_id: scid(number).to_string() };
    let channel = soon(graph.get_channel(ask(2))).await.unwrap().into_inner();
    assert_eq!(channel.capacity_sat, Some(2_000));
    let policy = channel.policy1.unwrap();
    assert_eq!((policy.fee_base_msat, policy.fee_ppm, policy.cltv_delta), (1_000, 100, 40));
    assert_eq!(channel.policy2, None);
    assert_eq!(soon(graph.get_channel(ask(1))).await.unwrap().into_inner().capacity_sat, None);

    let nobody = soon(graph.get_channel(ask(CHANNELS + 1))).await;
    assert_eq!(report(nobody).code, Code::NotFound);
    let stranger = v1::GetGraphNodeRequest { node_id: peer_id(9).to_string() };
    assert_eq!(report(soon(graph.get_node(stranger)).await).code, Code::NotFound);
    let none = v1::GetGraphChannelRequest { short_channel_id: "1x2".into() };
    assert_eq!(report(soon(graph.get_channel(none)).await).code, Code::InvalidArgument);
    let newest = v1::Order::NewestFirst.into();
    let back = v1::ListGraphNodesRequest { order: newest, ..Default::default() };
    assert_eq!(report(soon(graph.list_nodes(back)).await).code, Code::InvalidArgument);
    let much = v1::ListGraphChannelsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(report(soon(graph.list_channels(much)).await).code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_snapshot_streams_all_nodes_and_then_all_channels_once() {
    let served = serve().await;
    let mut graph = served.admin().await.graph();
    let mut stream = soon(graph.snapshot(v1::GraphSnapshotRequest {})).await.unwrap().into_inner();
    let (mut nodes, mut channels) = (BTreeSet::new(), BTreeSet::new());
    let mut chunks = 0;
    while let Some(chunk) = soon(stream.message()).await.unwrap() {
        assert!(chunk.nodes.len() <= 1_000 && chunk.channels.len() <= 1_000);
        assert!(chunk.nodes.is_empty() || channels.is_empty(), "nodes come first");
        for one in chunk.nodes {
            assert!(nodes.insert(one.node_id), "a node is told once");
        }
        for one in chunk.channels {
            assert!(nodes.contains(&one.node1) && nodes.contains(&one.node2));
            assert!(channels.insert(one.short_channel_id), "a channel is told once");
        }
        chunks += 1;
    }
    assert_eq!((nodes.len() as u64, channels.len() as u64), (CHANNELS + 1, CHANNELS));
    assert_eq!(chunks, 6);
}

#[tokio::test]
async fn routes_probes_and_scores_come_through_with_every_number() {
    let served = serve().await;
    let mut graph = served.admin().await.graph();
    let ask = v1::FindRouteRequest {
        destination: id(2).to_string(),
        amount_msat: Some(5_000_000),
        ..Default::default()
    };
    let found = soon(graph.find_route(ask.clone())).await.unwrap().into_inner();
    assert_eq!((found.amount_msat, found.fee_msat), (5_000_000, 1_500));
    assert_eq!(found.probability_ppm, 500_000);
    let part = &found.parts[0];
    assert_eq!((part.fee_msat, part.cltv_delta, part.probability_ppm), (1_500, 61, 250_000));
    let hops: Vec<_> = part.hops.iter().map(|hop| (hop.fee_msat, hop.probability_ppm)).collect();
    assert_eq!(hops, [(0, 1_000_000), (1_500, 250_000)]);
    let nobody = v1::FindRouteRequest::default();
    assert_eq!(report(soon(graph.find_route(nobody)).await).code, Code::InvalidArgument);

    let probe = v1::ProbeRouteRequest { route: Some(ask), timeout_s: 5 };
    let probed = soon(graph.probe_route(probe.clone())).await.unwrap().into_inner();
    assert_eq!((probed.reached_msat, probed.fee_msat, probed.missed.len()), (5_000_000, 1_500, 0));
    use v1::ProbeOutcome::{Failed, Pending, Reached, Unreadable};
    let outcomes: Vec<_> =
        probed.parts.iter().map(|part| (part.outcome(), part.hops_passed)).collect();
    assert_eq!(outcomes, [(Failed, 1), (Unreadable, 0), (Pending, 0), (Reached, 2)]);
    assert_eq!(probed.parts[0].words, "no liquidity, after 5 s at most");
    let endless = v1::ProbeRouteRequest { timeout_s: 601, ..probe.clone() };
    assert_eq!(report(soon(graph.probe_route(endless)).await).code, Code::InvalidArgument);
    let nothing = v1::ProbeRouteRequest { route: None, ..probe.clone() };
    assert_eq!(report(soon(graph.probe_route(nothing)).await).code, Code::InvalidArgument);
    // It binds money: who may only read may not.
    let reads = std::fs::read(served.data.token(Role::ReadOnly)).unwrap();
    let reads = Token::from_bytes(&reads).unwrap();
    let mut reader = served.client(Some(reads)).await.graph();
    assert_eq!(report(soon(reader.probe_route(probe)).await).code, Code::PermissionDenied);

    let scores = soon(graph.export_scores(v1::ExportScoresRequest {})).await.unwrap().into_inner();
    assert_eq!((scores.file.clone(), scores.channels), (vec![1, 2, 3], 7));
    let import = v1::ImportScoresRequest { file: scores.file, ..Default::default() };
    let known = soon(graph.import_scores(import.clone())).await.unwrap().into_inner();
    assert_eq!(known.channels, 3);
    assert_eq!(report(soon(reader.import_scores(import)).await).code, Code::PermissionDenied);
}
