//! The graph takes news in any order, its snapshots stay as they were, and its bytes are the graph.

use petgraph::visit::EdgeRef as _;

use super::*;
use crate::world::{Dice, announced, graph, node, policy, random, scid, updated};

#[test]
fn stale_and_repeated_news_change_nothing() {
    let mut graph = graph(&[(1, 1, 2, 1_000, policy(1, 1, 1))]);
    let generation = graph.generation();
    assert_eq!(graph.apply(&announced(1, 1, 2, 1_000)), Ok(Applied::Nothing));
    assert_eq!(graph.apply(&updated(1, 1, 2, policy(9, 9, 9))), Ok(Applied::Nothing));
    assert_eq!(graph.generation(), generation);
    assert_eq!(graph.apply(&announced(1, 1, 3, 1_000)), Err(Rejected::Conflict(scid(1))));
    let unknown = updated(2, 1, 2, policy(1, 1, 1));
    assert_eq!(graph.apply(&unknown), Err(Rejected::UnknownChannel(scid(2))));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut graph = graph(&[(1, 1, 2, 1_000, policy(1, 1, 1))]);
    let before = graph.snapshot();
    graph.apply(&GraphUpdate::ChannelRemoved(scid(1))).unwrap();
    assert!(before.channel(scid(1)).is_some());
    assert!(graph.snapshot().channel(scid(1)).is_none());
    assert_eq!(graph.node_count(), 0);
}

#[test]
fn rows_changed_in_place_are_rows_laid_anew() {
    let mut dice = Dice(7);
    let mut graph = random(&mut dice, 20, 80, 1_000);
    graph.snapshot();
    for timestamp in 2..2_000_u32 {
        let number = 1 + dice.below(80);
        let Some(ends) = graph.channel(scid(number)).map(|channel| channel.nodes) else { continue };
        match dice.below(40) {
            0 => {
                graph.apply(&GraphUpdate::ChannelRemoved(scid(number))).unwrap();
            }
            _ => {
                let mut policy = policy(timestamp, 5, 5);
                policy.timestamp = timestamp;
                policy.enabled = dice.below(3) > 0;
                let direction = Direction::from_bit(dice.below(2) == 0);
                let update = GraphUpdate::ChannelUpdated { scid: scid(number), direction, policy };
                graph.apply(&update).unwrap();
            }
        }
        if dice.below(50) == 0 {
            let [a, b] = ends.map(|end| end.0[1]);
            graph.apply(&announced(number, a, b, 1_000)).unwrap();
        }
        let seen = graph.snapshot();
        let fresh = Rows::lay(&graph.topology);
        for node in 0..fresh.node_bound() {
            let row = |rows: &Rows| {
                let mut row: Vec<_> = rows
                    .toward(node)
                    .iter()
                    .map(|lane| (lane.edge, lane.from, lane.fee_base))
                    .collect();
                row.sort_unstable();
                row
            };
            assert_eq!(row(seen.rows()), row(&fresh), "after {timestamp}");
        }
        for node in 0..fresh.node_bound() {
            for lane in fresh.toward(node) {
                let place = seen.rows().place_of(lane.edge).expect("its slot is known");
                let found = seen.rows().lane(place).expect("a place");
                assert_eq!(found.edge, lane.edge);
            }
        }
    }
}

#[test]
fn bytes_are_the_graph_and_damaged_bytes_are_refused() {
    let mut graph = random(&mut Dice(3), 30, 120, 1_000);
    graph
        .apply(&GraphUpdate::NodeAnnounced(NodeAnnounced {
            id: node(4),
            timestamp: 5,
            features: wire::feature::Features::node(false),
            alias: [b'a'; 32],
            color: [1, 2, 3],
        }))
        .unwrap();
    let bytes = graph.encode();
    let again = Graph::decode(&bytes).unwrap();
    assert_eq!(again.encode(), bytes);
    assert_eq!(again.channel_count(), graph.channel_count());
    assert_eq!(again.node(node(4)).unwrap().timestamp, Some(5));
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        let _ = Graph::decode(&damaged);
        assert!(Graph::decode(&bytes[..place]).is_err());
    }
}

#[test]
fn petgraph_finds_the_same_cheapest_fee_as_the_rows_say() {
    let mut graph = graph(&[
        (1, 1, 2, 1_000_000, policy(10, 0, 1)),
        (2, 2, 3, 1_000_000, policy(20, 0, 1)),
        (3, 1, 4, 1_000_000, policy(1, 0, 1)),
        (4, 4, 3, 1_000_000, policy(25, 0, 1)),
    ]);
    let snapshot = graph.snapshot();
    let inward = snapshot.inward();
    let index = |number| inward.index(&node(number)).unwrap();
    let costs = petgraph::algo::dijkstra(inward, index(3), Some(index(1)), |lane| {
        lane.weight().fee_msat(1_000)
    });
    assert_eq!(costs[&index(1)], 26);
}

#[test]
fn nobody_is_led_over_what_demands_the_unknown() {
    let mut graph = graph(&[(1, 1, 2, 1_000, policy(1, 1, 1)), (2, 2, 3, 1_000, policy(1, 1, 1))]);
    let told = |timestamp, bit| {
        GraphUpdate::NodeAnnounced(NodeAnnounced {
            id: node(2),
            timestamp,
            features: wire::feature::Features::from_bits([bit]),
            alias: [0; 32],
            color: [0; 3],
        })
    };
    let lanes = |graph: &mut Graph| {
        let snapshot = graph.snapshot();
        let to = snapshot.topology().find_node(&node(3)).unwrap();
        snapshot.rows().toward(to).len()
    };
    assert_eq!(lanes(&mut graph), 1);
    graph.apply(&told(1, 5_000)).unwrap();
    assert_eq!(lanes(&mut graph), 0);
    graph.apply(&told(2, 5_001)).unwrap();
    assert_eq!(lanes(&mut graph), 1);
}
