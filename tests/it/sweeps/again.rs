//! What is thrown out of the mempool or of the chain comes back by itself.

use std::collections::BTreeSet;

use bitcoin::{Amount, Txid};
use chain_backend::Reorg;
use viaduct_tests::layer1::{Layer1, nobody};
use viaduct_tests::until::until_async;

use super::{DELAY, all_is_home, largest, scene, sweeping};
use crate::nodes::pair::{find, in_time};

/// Waits until the mempool has a transaction.
async fn waits(layer1: &Layer1, txid: Txid) {
    until_async("it to come back", String::new, || async {
        let all = layer1.chain().mempool().await.unwrap();
        all.iter().any(|tx| tx.compute_txid() == txid).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_evicted_is_handed_in_again_without_a_block() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        // Else bob's commitment would take the place.
        let bob = pair.bob.sleep().await;
        pair.alice.close(id, true).await;
        let commitment = pair.layer1.spend_seen(funding).await;
        for _ in 0..3 {
            assert!(pair.layer1.chain().evict(commitment.compute_txid()).await.unwrap());
            waits(&pair.layer1, commitment.compute_txid()).await;
        }
        pair.layer1.mine(DELAY).await;
        let sweep = pair.layer1.spend_seen(largest(&commitment)).await;
        for _ in 0..3 {
            assert!(pair.layer1.chain().evict(sweep.compute_txid()).await.unwrap());
            waits(&pair.layer1, sweep.compute_txid()).await;
        }
        pair.layer1.mine(1).await;
        pair.bob = bob.wake().await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_a_reorganisation_takes_out_and_forgets_comes_back() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let (commitment, sweep) = sweeping(&pair, id).await;
        pair.mine(3).await;
        assert!(pair.layer1.chain().tx(sweep.compute_txid()).await.unwrap().is_some());
        for depth in [3, 5] {
            let left_out = BTreeSet::from([sweep.compute_txid()]);
            let reorg = Reorg { depth, left_out, forget: true, script: nobody() };
            pair.layer1.chain().reorganise(reorg).await.unwrap();
            waits(&pair.layer1, sweep.compute_txid()).await;
            pair.synced().await;
            // It is remembered by a node that starts in between, too.
            pair.alice = pair.alice.crash_and_restart().await;
            pair.mine(1).await;
            let found = pair.layer1.chain().tx(sweep.compute_txid()).await.unwrap();
            assert!(found.expect("it is there").confirmed.is_some());
        }
        assert_eq!(all_is_home(&pair, id, &commitment).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_below_the_commitment_begins_everything_anew() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let (commitment, sweep) = sweeping(&pair, id).await;
        pair.mine(2).await;
        // Else bob's commitment could take the place.
        let bob = pair.bob.sleep().await;
        let left_out = BTreeSet::from([commitment.compute_txid()]);
        let reorg = Reorg { depth: DELAY + 2, left_out, forget: true, script: nobody() };
        pair.layer1.chain().reorganise(reorg).await.unwrap();
        waits(&pair.layer1, commitment.compute_txid()).await;
        pair.layer1.mine(DELAY).await;
        let again = pair.layer1.spend_seen(largest(&commitment)).await;
        assert_eq!(again.input.len(), 1);
        assert_eq!(again.output[0].script_pubkey, sweep.output[0].script_pubkey, "the same home");
        pair.layer1.mine(1).await;
        pair.bob = bob.wake().await;
        assert_eq!(all_is_home(&pair, id, &commitment).await, 0);
    })
    .await;
}

/// The peer's commitment is no transaction of ours, so that nothing says that it can be in no block any more
/// but the one that has taken its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_took_from_the_peers_close_is_given_up_when_a_reorganisation_brings_ours_instead() {
    in_time(async {
        let (mut pair, id) = scene().await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        let alice = pair.alice.sleep().await;
        pair.bob.close(id, true).await;
        let theirs = pair.layer1.spend_seen(funding).await;
        pair.layer1.mine(1).await;
        let bob = pair.bob.sleep().await;
        pair.alice = alice.wake().await;
        let sweep = pair.layer1.spend_seen(largest(&theirs)).await;
        assert_eq!(sweep.input.len(), 1);
        let left_out = BTreeSet::from([theirs.compute_txid()]);
        let reorg = Reorg { depth: 1, left_out, forget: true, script: nobody() };
        pair.layer1.chain().reorganise(reorg).await.unwrap();
        pair.alice.at_height(pair.layer1.height().await).await;
        pair.alice.close(id, true).await;
        let ours = pair.layer1.spend_seen(funding).await;
        assert_ne!(ours, theirs);
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        until_async("nothing to wait for any more", String::new, || async {
            (pair.alice.balance().await.unconfirmed == Amount::ZERO).then_some(())
        })
        .await;
        // A restart does not believe in it again, either.
        pair.alice = pair.alice.crash_and_restart().await;
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        assert_eq!(pair.alice.balance().await.unconfirmed, Amount::ZERO);
        pair.bob = bob.wake().await;
        all_is_home(&pair, id, &ours).await;
    })
    .await;
}
