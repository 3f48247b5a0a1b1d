//! A commitment that pays too little for the mempool is paid for by a child of its anchor, as a package.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{FeeRate, OutPoint, Transaction};
use daemon::rpc::model::channel::ChannelPhase;
use daemon::rpc::model::wallet::{BumpHow, Bumping, RaiseFee};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::{BumpNo, Refusal};
use viaduct_tests::layer1::Layer1;
use viaduct_tests::until::until_async;
use wire::units::FeeratePerKw;

use super::{all_is_home, alone, fee_of, scene};
use crate::nodes::pair::{find, in_time};

/// What the mempool wants at least, where it is full.
const FLOOR: FeeRate = FeeRate::from_sat_per_vb_u32(30);

/// How long after each other the node is dropped, in milliseconds.
const MOMENTS: [u64; 6] = [0, 20, 60, 110, 130, 160];

/// The commitment that spends `funding` and its child, if both wait.
async fn waiting(layer1: &Layer1, funding: OutPoint) -> Option<[Arc<Transaction>; 2]> {
    let all = layer1.chain().mempool().await.unwrap();
    let commitment = all.iter().find(|tx| tx.input[0].previous_output == funding)?;
    let txid = commitment.compute_txid();
    let is_child =
        |tx: &&Arc<Transaction>| tx.input.iter().any(|input| input.previous_output.txid == txid);
    let child = all.iter().find(is_child)?;
    Some([Arc::clone(commitment), Arc::clone(child)])
}

/// The same, when they do: none could come in alone.
async fn package(layer1: &Layer1, funding: OutPoint) -> [Arc<Transaction>; 2] {
    let both = || waiting(layer1, funding);
    let [commitment, child] = until_async("a commitment and its child", String::new, both).await;
    let (own, more) = (fee_of(layer1, &commitment).await, fee_of(layer1, &child).await);
    assert!(own < FLOOR.fee_wu(commitment.weight()).unwrap(), "it could not come in alone: {own}");
    let least = FLOOR.fee_wu(commitment.weight() + child.weight()).unwrap();
    assert!(own + more >= least, "{own} and {more} are less than {least}");
    [commitment, child]
}

/// Both are in the next block.
async fn comes_in(layer1: &Layer1, funding: OutPoint) -> Arc<Transaction> {
    let both = package(layer1, funding).await;
    layer1.mine(1).await;
    for tx in &both {
        let found = layer1.chain().tx(tx.compute_txid()).await.unwrap().expect("it is there");
        assert!(found.confirmed.is_some());
    }
    layer1.chain().set_floor(None).await.unwrap();
    let [commitment, _] = both;
    commitment
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commitment_below_the_mempools_minimum_is_brought_in_by_its_anchor() {
    brought_in().await;
}

/// Parent and child are handed in, and found dear enough, together.
pub(crate) async fn brought_in() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        // So that no new feerate is agreed upon.
        let bob = pair.bob.sleep().await;
        pair.layer1.chain().set_floor(Some(FLOOR)).await.unwrap();
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        pair.alice.close(id, true).await;
        let commitment = comes_in(&pair.layer1, funding).await;
        pair.bob = bob.wake().await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 1, "our anchor was spent");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commitment_that_a_fee_spike_throws_out_comes_back_with_its_anchor() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        let bob = pair.bob.sleep().await;
        pair.alice.close(id, true).await;
        pair.layer1.spend_seen(funding).await;
        pair.layer1.chain().set_floor(Some(FLOOR)).await.unwrap();
        assert!(pair.layer1.chain().mempool().await.unwrap().is_empty(), "it is thrown out");
        let commitment = comes_in(&pair.layer1, funding).await;
        pair.bob = bob.wake().await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 1);
    })
    .await;
}

/// Coins are found, the child is made and written down, and handed in: a crash between any two of these
/// leaves neither coins that nothing needs nor two children.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dropped_while_it_looks_for_coins_makes_its_child_once() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        let bob = pair.bob.sleep().await;
        pair.layer1.chain().set_floor(Some(FLOOR)).await.unwrap();
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        pair.alice.close(id, true).await;
        for moment in MOMENTS {
            tokio::time::sleep(Duration::from_millis(moment)).await;
            pair.alice = pair.alice.crash_and_restart().await;
        }
        let commitment = comes_in(&pair.layer1, funding).await;
        pair.bob = bob.wake().await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 1);
    })
    .await;
}

/// The two commitments exclude each other; the one that waits is paid for, whosever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_commitment_that_waits_is_paid_for_by_our_anchor_on_it() {
    in_time(async {
        let (pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        pair.bob.close(id, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        let rival = alone(&pair, id).await;
        assert_eq!(rival, commitment, "bob's is there first");
        let channel = find(&pair.alice, id).await.id;
        // She may not have seen it yet.
        let bumped = until_async("alice to see what waits", String::new, || async {
            let order = RaiseFee {
                key: None,
                channel: Some(daemon::rpc::model::channel::ChannelRef::Id(channel)),
                txid: None,
                how: BumpHow::Feerate(FeeratePerKw(8_000)),
            };
            match pair.alice.handle().bump(order).await {
                Err(Refusal::BumpRefused { why: BumpNo::NothingWaits, .. }) => None,
                bumped => Some(bumped.expect("raised")),
            }
        })
        .await;
        assert_eq!(bumped.what, Bumping::Commitment);
        let child = pair.layer1.mempool_of(2).await;
        let child = child.iter().find(|tx| tx.compute_txid() == bumped.txid).expect("the child");
        assert!(
            child.input.iter().any(|input| input.previous_output.txid == commitment.compute_txid()),
            "it spends an anchor of bob's commitment"
        );
        let fee = fee_of(&pair.layer1, &commitment).await + fee_of(&pair.layer1, child).await;
        let least = FeeRate::from_sat_per_kwu(8_000).fee_wu(commitment.weight() + child.weight());
        assert!(fee >= least.unwrap(), "{fee}");
        pair.mine(1).await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 1, "one anchor was spent");
    })
    .await;
}

/// Whoever hears that the peer closes does so as well; but which of the two commitments is mined is all the
/// same, so nobody pays for the other one to be replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commitment_that_waits_is_not_replaced_by_the_other_sides_for_more() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        // She hears of it when it waits: of two that are handed in at the same moment, either may be first.
        let alice = pair.alice.sleep().await;
        pair.layer1.chain().set_floor(Some(FLOOR)).await.unwrap();
        pair.bob.close(id, true).await;
        let [theirs, child] = package(&pair.layer1, funding).await;
        pair.alice = alice.wake().await;
        until_async("alice closes as well", String::new, || async {
            (find(&pair.alice, id).await.phase == ChannelPhase::Closing).then_some(())
        })
        .await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let all = pair.layer1.chain().mempool().await.unwrap();
            assert!(all.contains(&theirs) && all.contains(&child), "replaced: {all:?}");
        }
        pair.mine(1).await;
        let found = pair.layer1.chain().tx(child.compute_txid()).await.unwrap();
        assert!(found.expect("it is there").confirmed.is_some());
        pair.layer1.chain().set_floor(None).await.unwrap();
        let fetched = all_is_home(&pair, id, &theirs).await;
        assert_eq!(fetched, 1, "bob's anchor, and nobody needed the other");
    })
    .await;
}
