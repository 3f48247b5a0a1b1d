//! Routes are what the specification computes, and obey whatever was asked.

mod flows;
mod why;

use proptest::prelude::*;

use super::*;
use crate::check::check;
use crate::graph::Direction;
use crate::request::{BlindedTail, HintHop, InFlight, OwnChannel};
use crate::route::Via;
use crate::score::ScoreConfig;
use crate::world::{Dice, graph, msat, node, policy, random, scid};
use wire::units::{CltvDelta, Msat};

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;
const D: u8 = 4;

/// The network of BOLT 7 § Routing Example.
fn example() -> Snapshot {
    let (a, b) = (policy(100, 1_000, 10), policy(200, 2_000, 20));
    let (c, d) = (policy(300, 3_000, 30), policy(400, 4_000, 40));
    let mut graph = graph(&[
        (1, A, B, 1_000_000, a),
        (2, B, C, 1_000_000, b),
        (3, A, D, 1_000_000, a),
        (4, D, C, 1_000_000, d),
    ]);
    for (channel, from, to, policy) in [(1, B, A, b), (2, C, B, c), (3, D, A, d), (4, C, D, c)] {
        graph.apply(&crate::world::updated(channel, from, to, policy)).unwrap();
    }
    graph.snapshot()
}

fn paid(snapshot: &Snapshot, request: &Request) -> Routes {
    let routes = find(snapshot, &Scorer::default(), request, 0).unwrap();
    check(snapshot, request, &routes).unwrap();
    routes
}

/// The example's request: C wants 18 blocks, and the payer adds a shadow of 42.
fn to_c(payer: u8) -> Request {
    Request { final_cltv_delta: 60, ..Request::new(node(payer), node(C), msat(4_999_999)) }
}

#[test]
fn the_routing_example_of_bolt_7_comes_out_to_the_millisatoshi() {
    let snapshot = example();
    // B->C directly: neither a fee nor a delta of its own.
    let direct = paid(&snapshot, &to_c(B));
    assert_eq!(direct.parts[0].hops.len(), 1);
    assert_eq!((direct.parts[0].sent(), direct.parts[0].cltv_delta()), (msat(4_999_999), 60));
    // A->B->C: fee 10199, so 5010198 and 20 blocks more.
    let over_b = paid(&snapshot, &to_c(A));
    assert_eq!(over_b.fee, msat(10_199));
    assert_eq!((over_b.parts[0].sent(), over_b.parts[0].cltv_delta()), (msat(5_010_198), 80));
    assert_eq!(over_b.parts[0].hops[1].amount, msat(4_999_999));
    assert_eq!(over_b.parts[0].hops[1].cltv_delta, 60);
    // A->D->C: fee 20399, so 5020398 and 40 blocks more.
    let mut request = to_c(A);
    request.avoid_nodes.insert(node(B));
    let over_d = paid(&snapshot, &request);
    assert_eq!(over_d.fee, msat(20_399));
    assert_eq!((over_d.parts[0].sent(), over_d.parts[0].cltv_delta()), (msat(5_020_398), 100));
}

#[test]
fn own_channels_hints_and_tails_join_the_public_graph() {
    let snapshot = example();
    let us = node(9);
    let own = |peer, number, most| OwnChannel {
        peer: node(peer),
        scid: scid(number),
        least: msat(1),
        most: msat(most),
    };
    // Two channels with A; the first is too small.
    let mut request = Request::new(us, node(C), msat(100_000));
    request.own_channels = Some(vec![own(A, 90, 99_999), own(A, 91, 200_000)]);
    let routes = paid(&snapshot, &request);
    assert_eq!(routes.parts[0].hops[0].via, Via::Own(1));
    assert_eq!(routes.parts[0].hops[0].channel, scid(91));
    assert_eq!(routes.parts[0].hops.len(), 3);
    // Behind C sits somebody unknown.
    let hint = HintHop {
        node: node(C),
        scid: scid(70),
        fee_base_msat: 7,
        fee_proportional_millionths: 10,
        cltv_expiry_delta: CltvDelta(5),
        htlc_minimum: msat(0),
        htlc_maximum: Msat::MAX,
    };
    request.payee = node(77);
    request.hints = vec![vec![hint]];
    let routes = paid(&snapshot, &request);
    assert_eq!(routes.parts[0].hops.last().map(|hop| hop.via), Some(Via::Hint(0, 0)));
    assert_eq!(routes.parts[0].hops[2].amount, msat(100_008));
    // And somebody without a name.
    request.hints.clear();
    request.tails = vec![BlindedTail {
        introduction: node(C),
        fee_base_msat: 1,
        fee_proportional_millionths: 100,
        cltv_expiry_delta: CltvDelta(90),
        htlc_minimum: msat(1),
        htlc_maximum: msat(1_000_000),
        hops: 2,
        payloads_len: 300,
    }];
    let routes = paid(&snapshot, &request);
    assert_eq!(routes.parts[0].tail, Some(0));
    assert_eq!(routes.parts[0].hops.len(), 3);
    assert_eq!(routes.parts[0].hops[2].amount, msat(100_011));
    assert_eq!(routes.parts[0].hops[2].cltv_delta, 18 + 90);
}

#[test]
fn what_failed_is_not_tried_again_until_it_fades() {
    let snapshot = example();
    let mut scorer = Scorer::new(ScoreConfig::default());
    let b_to_c = Direction::between(&node(B), &node(C));
    scorer.stuck(scid(2), b_to_c, msat(4_999_999), 1_000);
    let via = |scorer: &Scorer, now| {
        find(&snapshot, scorer, &to_c(A), now).unwrap().parts[0].hops[0].node
    };
    assert_eq!(via(&scorer, 1_000), node(D));
    scorer.follow(&snapshot);
    assert_eq!(via(&scorer, 1_000), node(D));
    assert_eq!(via(&scorer, 1_000 + 40 * 3_600), node(B));
}

#[test]
fn what_our_own_attempts_hold_is_not_counted_twice() {
    let snapshot = example();
    let mut request = to_c(A);
    let direction = Direction::between(&node(B), &node(C));
    request.in_flight =
        vec![InFlight { scid: scid(2), direction, amount: msat(1_000_000_000 - 4_999_998) }];
    assert_eq!(paid(&snapshot, &request).parts[0].hops[0].node, node(D));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_route_in_a_random_network_obeys_its_request(seed: u64, sat in 1_u64..100_000) {
        let mut dice = Dice(seed);
        let snapshot = random(&mut dice, 12, 40, sat).snapshot();
        let mut request = Request::new(node(0), node(11), msat(1 + dice.below(2_000 * sat)));
        request.fee_limit = msat(dice.below(request.amount.to_u64() / 20 + 5_000));
        request.cltv_limit = 100 + u32::try_from(dice.below(600)).unwrap();
        request.max_hops = 1 + u8::try_from(dice.below(8)).unwrap();
        request.max_parts = 1 + u16::try_from(dice.below(6)).unwrap();
        if dice.below(2) == 0 {
            request.avoid_nodes.insert(node(5));
            request.avoid_channels.insert((scid(7), None));
        }
        if dice.below(2) == 0 {
            request.own_channels = Some((0..4_u8).map(|peer| OwnChannel {
                peer: node(1 + peer),
                scid: scid(1_000 + u64::from(peer)),
                least: msat(dice.below(1_000)),
                most: msat(1_000 * dice.below(3 * sat)),
            }).collect());
        }
        if let Ok(routes) = find(&snapshot, &Scorer::default(), &request, 0) {
            prop_assert_eq!(check(&snapshot, &request, &routes), Ok(()));
        }
    }
}
