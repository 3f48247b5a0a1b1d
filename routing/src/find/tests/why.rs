//! Each constraint is named when it alone is in the way.

use super::*;

fn refused(snapshot: &Snapshot, request: &Request) -> NoRoute {
    find(snapshot, &Scorer::default(), request, 0).unwrap_err()
}

/// A to C over B and over D, 1,000 and 2,000 sat wide.
fn two_ways() -> Snapshot {
    graph(&[
        (1, A, B, 9_000, policy(0, 0, 10)),
        (2, B, C, 1_000, policy(1_000, 0, 20)),
        (3, A, D, 9_000, policy(0, 0, 10)),
        (4, D, C, 2_000, policy(5_000, 0, 40)),
    ])
    .snapshot()
}

fn ask(sat: u64) -> Request {
    Request { max_parts: 8, ..Request::new(node(A), node(C), msat(sat * 1_000)) }
}

#[test]
fn a_destination_without_a_channel_is_unknown() {
    let request = Request::new(node(A), node(99), msat(1));
    assert_eq!(refused(&two_ways(), &request), NoRoute::UnknownDestination(node(99)));
    let request = Request::new(node(A), node(A), msat(1));
    assert_eq!(refused(&two_ways(), &request), NoRoute::ToSelf);
    let request = Request::new(node(A), node(C), Msat::ZERO);
    assert_eq!(refused(&two_ways(), &request), NoRoute::NothingToSend);
}

#[test]
fn what_the_payees_channels_cannot_carry_names_them() {
    let NoRoute::Cut { place, can, need, count, channels } = refused(&two_ways(), &ask(3_001))
    else {
        panic!("a cut");
    };
    assert_eq!((place, can, need, count), (Where::Payee, msat(3_000_000), msat(3_001_000), 2));
    let widest = channels[0];
    assert_eq!((widest.channel, widest.can), (Some(scid(4)), msat(2_000_000)));
}

#[test]
fn what_our_own_channels_cannot_carry_names_them() {
    let mut request = ask(500);
    let own = OwnChannel { peer: node(A), scid: scid(9), least: msat(1), most: msat(400_000) };
    request.payer = node(9);
    request.own_channels = Some(vec![own]);
    let NoRoute::Cut { place, can, channels, .. } = refused(&two_ways(), &request) else {
        panic!("a cut");
    };
    assert_eq!((place, can), (Where::Payer, msat(400_000)));
    assert_eq!(channels[0].channel, Some(scid(9)));
}

#[test]
fn a_cut_between_is_found_by_what_flows() {
    let free = policy(0, 0, 1);
    let snapshot = graph(&[
        (1, 1, 2, 5_000, free),
        (2, 1, 3, 5_000, free),
        (3, 2, 4, 700, free),
        (4, 3, 4, 600, free),
        (5, 4, 5, 9_000, free),
    ])
    .snapshot();
    let mut request = Request::new(node(1), node(5), msat(1_301_000));
    request.max_parts = 4;
    let NoRoute::Cut { place, can, count, .. } = refused(&snapshot, &request) else {
        panic!("a cut");
    };
    assert_eq!((place, can, count), (Where::Between, msat(1_300_000), 2));
    request.amount = msat(1_300_000);
    assert_eq!(paid(&snapshot, &request).parts.len(), 2);
    // One part alone is too narrow: that is not a cut.
    request.max_parts = 1;
    let NoRoute::Parts { parts, can, .. } = refused(&snapshot, &request) else { panic!("parts") };
    assert_eq!((parts, can), (1, msat(700_000)));
}

#[test]
fn fees_blocks_hops_and_minimums_are_told_with_their_numbers() {
    let snapshot = two_ways();
    let mut request = ask(100);
    request.fee_limit = msat(999);
    let limit = msat(999);
    assert_eq!(refused(&snapshot, &request), NoRoute::FeeLimit { cheapest: msat(1_000), limit });
    let mut request = ask(100);
    request.cltv_limit = 37;
    assert_eq!(refused(&snapshot, &request), NoRoute::CltvLimit { least: 38, limit: 37 });
    let mut request = ask(100);
    request.max_hops = 1;
    assert_eq!(refused(&snapshot, &request), NoRoute::TooFar { least: 2, limit: 1 });
    let mut request = ask(100);
    request.avoid_nodes = [node(B), node(D)].into();
    assert_eq!(refused(&snapshot, &request), NoRoute::Avoided);
    let mut strict = policy(0, 0, 1);
    strict.htlc_minimum = msat(50_000);
    let snapshot = graph(&[(1, A, B, 9_000, strict), (2, B, C, 9_000, strict)]).snapshot();
    let request = Request::new(node(A), node(C), msat(49_999));
    let least = msat(50_000);
    let amount = msat(49_999);
    assert_eq!(refused(&snapshot, &request), NoRoute::BelowMinimum { amount, least });
}
