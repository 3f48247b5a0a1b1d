//! Towers that slept through a breach, chains that change their mind, towers of another chain.

use std::collections::BTreeSet;

use chain_backend::Reorg;
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Standing;
use viaduct_tests::layer1::nobody;
use viaduct_tests::until::until_async;

use super::scene::{DELAY, Tower, bob_has_all, cheat, coverage, covered, justice, scene, taker};
use crate::nodes::pair::{in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_tower_that_slept_for_hundreds_of_blocks_finds_the_breach_in_the_middle_of_them() {
    in_time(async {
        let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
        let mut tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        tower.sleep().await;
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        pair.alice.at_height(pair.layer1.mine(170).await).await;
        let cheating = cheat(&pair.alice, id, old).await;
        pair.alice.at_height(pair.layer1.mine(DELAY - 14).await).await;
        assert!(taker(&pair.layer1, cheating.txid, cheating.ours).await.is_none());
        tower.wake().await;
        justice(&pair.layer1, &cheating).await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    })
    .await;
}

/// Breach and justice go out of the chain, and out of the mempool; the thief tries again.
async fn both_go(depth: u32) {
    let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
    let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
    tower.hired_by(&pair.bob, false).await;
    covered(&pair.bob).await;
    // The channel itself must stay where it is.
    pair.mine(6).await;
    let before = pair.alice.balance().await.confirmed;
    let bob = pair.bob.sleep().await;
    let cheating = cheat(&pair.alice, id, old).await;
    pair.alice.at_height(pair.layer1.mine(1).await).await;
    let first = justice(&pair.layer1, &cheating).await;
    let found = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("it is there");
    let at = found.confirmed.expect("in a block").0.height;
    let height = pair.layer1.height().await;
    pair.alice.at_height(pair.layer1.mine(at + depth - 1 - height).await).await;
    tower.at_tip().await;
    let left_out = BTreeSet::from([cheating.txid, first.compute_txid()]);
    let reorg = Reorg { depth, left_out, forget: true, script: nobody() };
    pair.layer1.chain().reorganise(reorg).await.unwrap();
    until_async("the thief tries again", String::new, || async {
        let height = pair.layer1.mine(1).await;
        pair.alice.at_height(height).await;
        let found = pair.layer1.chain().tx(cheating.txid).await.unwrap()?;
        found.confirmed.map(drop)
    })
    .await;
    justice(&pair.layer1, &cheating).await;
    pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
    pair.bob = bob.wake().await;
    pair.mine(1).await;
    // It may have paid for its anchor while its commitment waited.
    let alice = pair.alice.balance().await.confirmed;
    assert!(alice <= before, "the thief got something: {alice} of {before}");
    bob_has_all(&pair, &cheating, alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_when_breach_and_justice_leave_the_chain_justice_follows_the_breach_again() {
    in_time(both_go(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s38_a_tower_of_another_chain_is_told_nothing_and_payments_go_on() {
    in_time(async {
        let (pair, id, _) = scene(&[("towers.copies", "1")]).await;
        let other = Tower::start_with(&pair.path().join("other"), &pair.layer1, |settings| {
            settings.network = bitcoin::Network::Bitcoin;
        })
        .await;
        other.hired_by(&pair.bob, false).await;
        until_async("it is not to be reached", String::new, || async {
            let towers = pair.bob.handle().list_towers().await.expect("towers");
            let standing = towers.first()?.sessions.first()?.standing;
            (standing == Standing::Unreachable).then_some(())
        })
        .await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        pair.agree(id).await;
        let coverage = coverage(&pair.bob).await;
        assert_eq!(coverage.uncovered_states, coverage.states, "nobody watches: {coverage:?}");
        assert_eq!(other.keeper().figures().await.expect("it runs").sessions, 0);
        // One of our own chain does.
        let ours = Tower::start(&pair.path().join("ours"), &pair.layer1).await;
        pair.bob.handle().remove_tower(other.id()).await.expect("dismissed");
        ours.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
    })
    .await;
}
