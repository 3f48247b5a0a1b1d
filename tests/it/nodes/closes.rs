//! Ends of channels: together, alone, from either side; every satoshi comes back after its delay.

use bitcoin::Amount;
use daemon::rpc::model::channel::{ChannelPhase, CloseKind};
use viaduct_tests::ours::OurNode;

use super::pair::{CAPACITY, COIN, Pair, find, in_time, pay_some};

/// What an anchor holds, in satoshi. BOLT 3 § Anchor Outputs.
const ANCHOR: u64 = 330;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c69_a_side_that_has_nothing_gets_no_output_of_a_close_whoever_asks_for_it() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        for bob_asks in [false, true] {
            let before = pair.alice.balance().await.confirmed;
            let id = pair.open(CAPACITY).await;
            let funding = find(&pair.alice, id).await.funding.expect("funded");
            let closer = if bob_asks { &pair.bob } else { &pair.alice };
            closer.close(id, false).await;
            let closing = pair.layer1.spend_seen(funding).await;
            assert_eq!(closing.output.len(), 1);
            pair.buried(id).await;
            assert_eq!(pair.bob.balance().await.confirmed, Amount::from_sat(COIN));
            assert!(pair.alice.balance().await.confirmed < before);
            let view = find(&pair.alice, id).await.closing.expect("closed");
            assert_eq!(view.kind, Some(CloseKind::Cooperative));
            assert_eq!(view.txid, Some(closing.compute_txid()));
            pair.account(0).await;
        }
    })
    .await;
}

/// One side closes alone; both get theirs back, each after its delay, but for the anchors.
async fn alone(by_alice: bool, msat_to_bob: u64) {
    let (pair, id) = Pair::with_channel().await;
    if msat_to_bob > 0 {
        pay_some(&pair.alice, &pair.bob, msat_to_bob).await;
    }
    let view = pair.agree(id).await;
    let funding = view.funding.expect("funded");
    let closer: &OurNode = if by_alice { &pair.alice } else { &pair.bob };
    closer.close(id, true).await;
    pair.layer1.spend_seen(funding).await;
    pair.mine(1).await;
    let commitment = pair.layer1.spend_seen(funding).await;
    let shown = find(closer, id).await;
    assert_eq!(shown.phase, ChannelPhase::Closing);
    let closing = shown.closing.expect("closing");
    // Who is told of a close by force closes as well: either commitment may be the one that is mined.
    let by_closer = closing.kind == Some(CloseKind::ForcedByUs);
    assert!(by_closer || closing.kind == Some(CloseKind::ForcedByThem), "{closing:?}");
    assert_eq!(closing.txid, Some(commitment.compute_txid()));
    let owner = if by_closer == by_alice { &pair.alice } else { &pair.bob };
    let of_owner = find(owner, id).await.closing.expect("closing");
    assert_eq!(of_owner.kind, Some(CloseKind::ForcedByUs), "{of_owner:?}");
    assert_eq!(of_owner.locked_blocks, 144);

    // One block before the delay is over our own output has not moved; then it comes home.
    pair.mine(142).await;
    let locked = pair.layer1.unspent_of(&commitment).await;
    let large = |outputs: &[(bitcoin::OutPoint, bitcoin::TxOut)]| {
        outputs.iter().filter(|(_, output)| output.value.to_sat() > ANCHOR).count()
    };
    let owner_has_output = by_closer == by_alice || msat_to_bob >= 354_000;
    assert_eq!(large(&locked), usize::from(owner_has_output), "{locked:?}");
    pair.mine(3).await;
    pair.buried(id).await;
    let left = pair.layer1.unspent_of(&commitment).await;
    assert_eq!(large(&left), 0, "only anchors stay: {left:?}");
    let elsewhere: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
    pair.account(elsewhere).await;
    let gained = pair.bob.balance().await.confirmed.to_sat();
    if msat_to_bob > 10_000_000 {
        assert!(gained + 10_000 > COIN + msat_to_bob / 1_000, "{gained}");
    } else {
        assert_eq!(gained, COIN, "dust goes to the miners");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_funder_closes_alone_and_both_get_their_money() {
    in_time(alone(true, 700_000_123)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_side_closes_alone_and_both_get_their_money() {
    in_time(alone(false, 700_000_123)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_side_that_has_nothing_closes_alone_and_the_other_gets_everything() {
    in_time(alone(false, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dust_of_one_side_goes_to_the_miners_in_a_forced_close() {
    in_time(alone(true, 200_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_channels_between_the_same_nodes_live_and_end_apart() {
    in_time(async {
        let (mut pair, first) = Pair::with_channel().await;
        let second = pair.open(CAPACITY / 2).await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        pay_some(&pair.alice, &pair.bob, 900_000_000).await;
        pair.alice = pair.alice.crash_and_restart().await;
        pair.usable(first).await;
        pair.usable(second).await;
        let (one, two) = (pair.agree(first).await, pair.agree(second).await);
        assert_eq!(one.theirs.to_u64() + two.theirs.to_u64(), 1_200_000_000);

        pair.close_together(&pair.bob, first).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        let funding = find(&pair.bob, second).await.funding.expect("funded");
        pair.bob.close(second, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        pair.mine(1).await;
        pair.buried(second).await;
        let left = pair.layer1.unspent_of(&commitment).await;
        pair.account(left.iter().map(|(_, output)| output.value.to_sat()).sum()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_while_its_peer_closed_alone_finds_its_coins() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 500_000_000).await;
        let funding = pair.agree(id).await.funding.expect("funded");
        // Both crash at every turn of the close.
        pair.alice.close(id, true).await;
        pair.alice = pair.alice.crash_and_restart().await;
        let commitment = pair.layer1.spend_seen(funding).await;
        pair.bob = pair.bob.crash_and_restart().await;
        pair.mine(1).await;
        pair.alice = pair.alice.crash_and_restart().await;
        pair.bob = pair.bob.crash_and_restart().await;
        pair.mine(145).await;
        pair.alice = pair.alice.crash_and_restart().await;
        pair.bob = pair.bob.crash_and_restart().await;
        pair.buried(id).await;
        let left = pair.layer1.unspent_of(&commitment).await;
        pair.account(left.iter().map(|(_, output)| output.value.to_sat()).sum()).await;
        assert_eq!(left.len(), 2, "the anchors");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_of_a_cooperative_close_does_not_stop_it() {
    in_time(async {
        let mut pair = Pair::start(&[]).await;
        for turn in 0..4 {
            let id = pair.open(CAPACITY).await;
            pay_some(&pair.alice, &pair.bob, 100_000_000).await;
            let funding = pair.agree(id).await.funding.expect("funded");
            pair.alice.close(id, false).await;
            if turn % 2 == 0 {
                pair.alice = pair.alice.crash_and_restart().await;
            } else {
                pair.bob = pair.bob.crash_and_restart().await;
            }
            pair.layer1.spend_seen(funding).await;
            pair.buried(id).await;
            pair.account(0).await;
        }
    })
    .await;
}
