//! A close that both signed and that fees have overtaken: a child of what it pays brings it in.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{FeeRate, OutPoint, Transaction, Txid};
use daemon::rpc::model::channel::{Channel, ChannelPhase, ChannelRef};
use daemon::rpc::model::page::Page;
use daemon::rpc::model::wallet::{BumpHow, Bumping, RaiseFee, WalletTransaction};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::layer1::Layer1;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;
use wire::units::FeeratePerKw;

use super::{fee_of, largest, other_than, scene};
use crate::nodes::pair::{Pair, find, in_time};

const SPIKE: FeeRate = FeeRate::from_sat_per_vb_u32(30);
const HIGHER: FeeRate = FeeRate::from_sat_per_vb_u32(60);

/// Blocks that alice, who gets most of it, leaves a close alone.
const PATIENCE: u32 = 6;

/// Blocks that a busy machine may be late.
const LATE: u32 = 3;

/// How long a child may take.
const MOMENT: Duration = Duration::from_millis(500);

/// A close that both signed, thrown out by a fee spike.
async fn overtaken(pair: &Pair, id: ChannelId) -> Arc<Transaction> {
    let funding = find(&pair.alice, id).await.funding.expect("funded");
    pair.alice.close(id, false).await;
    let close = pair.layer1.spend_seen(funding).await;
    for node in [&pair.alice, &pair.bob] {
        let closing = |channel: &Channel| channel.phase == ChannelPhase::Closing;
        node.channel_where(id, "which is closing", closing).await;
        // Both count the blocks that it waits from the same one.
        until_async("a close that is its channel's", String::new, || async {
            let all = node.handle().list_transactions(Page::default()).await.unwrap().entries;
            let known = |one: &WalletTransaction| {
                one.txid == close.compute_txid() && one.channel == Some(id)
            };
            all.iter().any(known).then_some(())
        })
        .await;
    }
    pair.layer1.chain().set_floor(Some(SPIKE)).await.unwrap();
    assert!(pair.layer1.chain().mempool().await.unwrap().is_empty(), "it is thrown out");
    close
}

/// Mines until the close and its child wait together, and answers the child.
async fn paid_for(pair: &Pair, close: &Transaction) -> Arc<Transaction> {
    pair.mine(PATIENCE).await;
    assert!(pair.layer1.chain().mempool().await.unwrap().is_empty(), "not before its time");
    for _ in 0..LATE {
        pair.mine(1).await;
        tokio::time::sleep(MOMENT).await;
        if !pair.layer1.chain().mempool().await.unwrap().is_empty() {
            break;
        }
    }
    child(pair, close, Txid::from_raw_hash(bitcoin::hashes::Hash::all_zeros())).await
}

async fn child(pair: &Pair, close: &Transaction, not: Txid) -> Arc<Transaction> {
    let child = other_than(&pair.layer1, largest(close), not).await;
    let fee = fee_of(&pair.layer1, close).await + fee_of(&pair.layer1, &child).await;
    let least = pair.layer1.chain().fees().await.unwrap().floor();
    assert!(fee >= least.fee_wu(close.weight() + child.weight()).unwrap(), "{fee}");
    child
}

async fn is_mined(layer1: &Layer1, txid: Txid) -> bool {
    let found = layer1.chain().tx(txid).await.unwrap();
    found.is_some_and(|found| found.confirmed.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_together_that_no_block_takes_is_brought_in_by_one_child_that_grows_with_fees() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let close = overtaken(&pair, id).await;
        let first = paid_for(&pair, &close).await;
        // Fees rise once more, and the next child takes the place of the first.
        pair.layer1.chain().set_floor(Some(HIGHER)).await.unwrap();
        assert!(pair.layer1.chain().mempool().await.unwrap().is_empty());
        pair.mine(1).await;
        let second = child(&pair, &close, first.compute_txid()).await;
        assert_eq!(second.input.len(), 1);
        assert_eq!(second.output[0].script_pubkey, first.output[0].script_pubkey);
        // A restart forgets neither, and brings both back together.
        pair.alice = pair.alice.crash_and_restart().await;
        pair.layer1.chain().evict(close.compute_txid()).await.unwrap();
        let again = child(&pair, &close, first.compute_txid()).await;
        assert_eq!(again, second);
        pair.mine(1).await;
        assert!(is_mined(&pair.layer1, close.compute_txid()).await);
        assert!(is_mined(&pair.layer1, second.compute_txid()).await);
        pair.layer1.chain().set_floor(None).await.unwrap();
        let others = (0..2).filter(|vout| *vout != largest(&close).vout);
        for vout in others {
            let outpoint = OutPoint { txid: close.compute_txid(), vout };
            assert!(pair.layer1.chain().spender(outpoint, 0).await.unwrap().is_none(), "one child");
        }
        pair.buried(id).await;
        pair.account(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_human_who_raises_a_close_replaces_its_child() {
    in_time(async {
        let (pair, id) = scene().await;
        let close = overtaken(&pair, id).await;
        let first = paid_for(&pair, &close).await;
        let order = |rate: u32| RaiseFee {
            key: None,
            channel: Some(ChannelRef::Id(id)),
            txid: None,
            how: BumpHow::Feerate(FeeratePerKw(rate)),
        };
        let bumped = pair.alice.handle().bump(order(20_000)).await.expect("raised");
        assert_eq!(bumped.what, Bumping::Child);
        let second = child(&pair, &close, first.compute_txid()).await;
        assert_eq!(second.compute_txid(), bumped.txid);
        assert!(pair.alice.handle().bump(order(10_000)).await.is_err(), "it pays more already");
        assert_eq!(pair.layer1.chain().mempool().await.unwrap().len(), 2, "one child");
        pair.mine(1).await;
        assert!(is_mined(&pair.layer1, second.compute_txid()).await);
        pair.layer1.chain().set_floor(None).await.unwrap();
        pair.buried(id).await;
        pair.account(0).await;
    })
    .await;
}
