//! Towers that slept through a breach, chains that change their mind or fall silent, towers of another chain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chain_backend::{BitcoindChain, BitcoindSettings, ChainBackend, Reorg};
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Standing;
use viaduct_tests::layer1::line::{Line, State};
use viaduct_tests::layer1::served::{Served, settings_at};
use viaduct_tests::layer1::{Layer1, empty, nobody};
use viaduct_tests::until::until_async;

use super::scene::{
    DELAY, Tower, bob_has_all, cheat, coverage, covered, justice, scene, scene_on, taker,
};
use watchtower::watch::EventKind;

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

/// A chain server as a tower reaches it over a line, and does not wait for it for long.
fn over(line: &Line) -> Arc<dyn ChainBackend> {
    let settings = BitcoindSettings { patience: Duration::from_secs(2), ..settings_at(line.at()) };
    Arc::new(BitcoindChain::lazy(&settings).expect("a URL"))
}

/// Waits until a tower has looked at every block, and hears of the next from this one of its chains.
async fn watches_by(tower: &Tower, number: usize) {
    tower.at_tip().await;
    until_async("the tower to hear of the chain", String::new, || async {
        let now = tower.view().watching.borrow().clone();
        (now.backend == number && now.is_synced && now.trouble.is_none()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s39_a_tower_whose_first_chain_falls_silent_punishes_by_its_second_and_comes_back() {
    in_time(async {
        let chain = empty();
        let served = Served::start(chain.clone());
        let lines = [Line::to(served.at()), Line::to(served.at())];
        let (mut pair, id, old) = scene_on(Layer1::of(chain), &[("towers.copies", "1")]).await;
        let chains = lines.iter().map(over).collect();
        let tower = Tower::start_through(&pair.path().join("tower"), &pair.layer1, chains).await;
        tower.at_tip().await;
        let mut events = tower.view().events.subscribe();
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;

        // Whoever waits for an answer waits; nobody says that the first one is gone.
        lines[0].set(State::Silent);
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, old).await;
        pair.alice.at_height(pair.layer1.mine(1).await).await;
        let mined = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("it is there");
        assert!(mined.confirmed.is_some(), "the breach is in a block");
        justice(&pair.layer1, &cheating).await;
        watches_by(&tower, 1).await;
        let told = std::iter::from_fn(|| events.try_recv().ok());
        assert!(told.into_iter().any(|event| event.kind == EventKind::Chain), "it tells of it");

        // Now the second one hangs up, and the first is there again.
        lines[1].set(State::Cut);
        lines[0].set(State::Up);
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        watches_by(&tower, 0).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    })
    .await;
}
