//! The thief shows an old state while its victim sleeps.

use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;

use super::scene::{DELAY, Tower, bob_has_all, cheat, covered, justice, scene, taker};
use crate::nodes::pair::{in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_tower_takes_everything_for_a_victim_that_sleeps_through_the_whole_delay() {
    in_time(async {
        let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        // What is revoked from now on goes to it as well.
        pay_some(&pair.alice, &pair.bob, 10_000_000).await;
        pair.agree(id).await;
        let states = covered(&pair.bob).await.states;
        assert!(states > old, "{states}");
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, old).await;
        pair.layer1.mine(1).await;
        let tx = justice(&pair.layer1, &cheating).await;
        assert_eq!(tx.output.len(), 1, "it pays nobody but the victim");
        pair.alice.at_height(pair.layer1.mine(DELAY + 10).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_what_was_revoked_right_before_a_crash_is_sent_after_it_and_the_very_first_state_too() {
    in_time(async {
        let (mut pair, id, _) = scene(&[("towers.copies", "1")]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        for _ in 0..3 {
            pay_some(&pair.alice, &pair.bob, 1_000_000).await;
            pair.bob = pair.bob.crash_and_restart().await;
            pair.usable(id).await;
        }
        // Old states go to the archive with a snapshot, and are read from there.
        pair.bob = pair
            .bob
            .restart_with(|dir| assert!(daemon::keeper::compact(dir).unwrap().is_some()))
            .await;
        pair.usable(id).await;
        let another = Tower::start(&pair.path().join("another"), &pair.layer1).await;
        pair.bob.handle().remove_tower(tower.id()).await.expect("dismissed");
        another.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, 0).await;
        pair.layer1.mine(1).await;
        justice(&pair.layer1, &cheating).await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_a_tower_of_ones_own_answers_with_keys_before_a_block_has_the_breach() {
    answered_at_once().await;
}

/// The mempool is seen, by a node and by a tower.
pub(crate) async fn answered_at_once() {
    in_time(async {
        let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, true).await;
        covered(&pair.bob).await;
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, old).await;
        until_async("justice waits beside the breach", String::new, || async {
            taker(&pair.layer1, cheating.txid, cheating.ours).await
        })
        .await;
        justice(&pair.layer1, &cheating).await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    })
    .await;
}
