//! A sweep that conflicts with one in the mempool pays for what it replaces, and one is left.

use std::sync::Arc;

use bitcoin::{Amount, Transaction};
use daemon::rpc::model::OrderKey;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::wallet::{BumpHow, Bumped, Bumping, RaiseFee};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::{BumpNo, Refusal};
use viaduct_tests::until::until_async;
use wire::id::ChannelId;
use wire::units::{BlockHeight, FeeratePerKw};

use super::{all_is_home, fee_of, largest, other_than, scene, sweeping};
use crate::nodes::pair::{Pair, in_time};

async fn raise(
    pair: &Pair,
    id: ChannelId,
    key: Option<&str>,
    how: BumpHow,
) -> Result<Bumped, Refusal> {
    let key = key.map(|word| OrderKey { word: word.to_owned(), digest: [7; 32] });
    let order = RaiseFee { key, channel: Some(ChannelRef::Id(id)), txid: None, how };
    pair.alice.handle().bump(order).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_in_the_mempool_is_replaced_for_all_that_it_paid_and_its_own_relay() {
    replaced().await;
}

/// What a replacement must pay is known beforehand.
pub(crate) async fn replaced() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let (commitment, first) = sweeping(&pair, id).await;
        let (mut old, mut paid) = (first, Amount::ZERO);
        for (round, rate) in [1_000, 1_100, 9_000].into_iter().enumerate() {
            let before = fee_of(&pair.layer1, &old).await;
            assert!(before > paid);
            paid = before;
            let how = BumpHow::Feerate(FeeratePerKw(rate));
            let word = format!("round {round}");
            let bumped = raise(&pair, id, Some(&word), how).await.expect("raised");
            assert_eq!(bumped.what, Bumping::Sweep);
            let new = other_than(&pair.layer1, largest(&commitment), old.compute_txid()).await;
            assert_eq!(new.compute_txid(), bumped.txid);
            let fee = fee_of(&pair.layer1, &new).await;
            assert_eq!(fee, bumped.fee);
            // BIP 125 rules 3 and 4.
            let relay = FeeratePerKw::FLOOR.fee_floor(new.weight().to_wu());
            assert!(fee >= before + relay, "{fee} after {before}");
            let waiting = pair.layer1.chain().mempool().await.unwrap();
            let takes = |tx: &&Arc<Transaction>| {
                tx.input.iter().any(|input| input.previous_output == largest(&commitment))
            };
            assert_eq!(waiting.iter().filter(takes).count(), 1, "one is left");
            assert_eq!(new.output[0].script_pubkey, old.output[0].script_pubkey);
            // The same request again raises nothing, and answers the same.
            assert_eq!(raise(&pair, id, Some(&word), how).await, Ok(bumped));
            old = new;
            if round == 1 {
                pair.alice = pair.alice.crash_and_restart().await;
                until_async("the chain to be caught up with", String::new, || async {
                    pair.alice.handle().info().await.unwrap().synced.then_some(())
                })
                .await;
            }
        }
        let less = raise(&pair, id, None, BumpHow::Feerate(FeeratePerKw(2_000))).await;
        assert!(
            matches!(less, Err(Refusal::BumpRefused { why: BumpNo::PaysAsMuch, .. })),
            "{less:?}"
        );
        pair.mine(1).await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_human_is_in_a_hurry_for_pays_more_with_every_block() {
    in_time(async {
        let (pair, id) = scene().await;
        let (commitment, first) = sweeping(&pair, id).await;
        let calm = fee_of(&pair.layer1, &first).await;
        let height = pair.layer1.height().await;
        let past = raise(&pair, id, None, BumpHow::Deadline(BlockHeight(height))).await;
        assert!(matches!(past, Err(Refusal::BumpRefused { why: BumpNo::Past, .. })), "{past:?}");
        let how = BumpHow::Deadline(BlockHeight(height + 4));
        let bumped = raise(&pair, id, None, how).await.expect("raised");
        assert!(bumped.fee > calm + calm, "{} after {calm}", bumped.fee);
        let new = other_than(&pair.layer1, largest(&commitment), first.compute_txid()).await;
        assert_eq!(new.compute_txid(), bumped.txid);
        pair.mine(1).await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 0);
    })
    .await;
}
