//! The time of sessions ends, and channels live on.

use viaduct_tests::until::until_async;

use super::scene::{DELAY, Tower, bob_has_all, cheat, covered, justice, scene};
use crate::nodes::pair::{in_time, pay_some};

/// Blocks that a session gets, and how often that time passes.
const TIME: u32 = 48;
const TIMES: u32 = 4;

/// Blocks between two looks: a tower that gives so little is asked again after a quarter of it.
const STEP: u32 = 12;

/// Waits until every session of a tower has at least this long to go.
async fn all_last_until(tower: &Tower, height: u32) {
    until_async("sessions with time left", String::new, || async {
        let all = tower.keeper().sessions().await.expect("it runs");
        let lasts = all.iter().all(|(_, session)| session.opening.expiry_height >= height);
        (lasts && !all.is_empty()).then_some(())
    })
    .await;
}

/// Bob's channel is quiet until all its sessions would have been over several times; then alice cheats while he
/// sleeps, with a state that stands in the first of them.
async fn a_theft_long_after(trusted: bool) {
    let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
    let small = |settings: &mut watchtower::settings::Settings| {
        settings.offered.blocks_max = TIME;
        settings.offered.grace_blocks = 2;
        if !trusted {
            // Several sessions for one channel: each of them has to be renewed.
            settings.offered.bytes_max = 2_500;
        }
    };
    let mut tower = Tower::start_with(&pair.path().join("tower"), &pair.layer1, small).await;
    tower.hired_by(&pair.bob, trusted).await;
    for _ in 0..10 {
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
    }
    pair.agree(id).await;
    covered(&pair.bob).await;
    let count = tower.keeper().sessions().await.expect("it runs").len();
    assert!(trusted || count >= 2, "{count}");
    for step in 0..TIMES * TIME / STEP {
        pair.mine(STEP).await;
        tower.at_tip().await;
        all_last_until(&tower, pair.layer1.height().await + TIME - STEP - 1).await;
        if step == 5 {
            // Neither a restart here nor one there forgets when they end.
            pair.bob = pair.bob.crash_and_restart().await;
            tower.sleep().await;
            tower.wake().await;
        }
    }
    assert_eq!(tower.keeper().sessions().await.expect("it runs").len(), count);
    let before = pair.alice.balance().await.confirmed;
    let bob = pair.bob.sleep().await;
    let cheating = cheat(&pair.alice, id, old).await;
    pair.layer1.mine(1).await;
    justice(&pair.layer1, &cheating).await;
    // What was paid after the state that she shows is hers to lose, too.
    pair.alice.at_height(pair.layer1.mine(DELAY + 10).await).await;
    pair.bob = bob.wake().await;
    pair.mine(1).await;
    bob_has_all(&pair, &cheating, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s31_sessions_of_a_quiet_channel_are_renewed_the_full_ones_too() {
    in_time(a_theft_long_after(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s31_a_session_with_a_tower_of_ones_own_is_renewed() {
    in_time(a_theft_long_after(true)).await;
}
