//! Old states that a tower hears of late, in pieces, and in as many sessions as it takes.

use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Standing;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;

use super::scene::{DELAY, Tower, bob_has_all, cheat, covered, justice, scene};
use crate::nodes::pair::{Pair, in_time, pay_some};

/// Records that its towers have signed for.
async fn records(node: &OurNode) -> u64 {
    let towers = node.handle().list_towers().await.expect("towers");
    let sessions = towers.iter().flat_map(|tower| &tower.sessions);
    sessions.map(|session| u64::from(session.records)).sum()
}

async fn pay_often(pair: &Pair, payments: u32) {
    for _ in 0..payments {
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
    }
}

/// `VIADUCT_TOWER_BACKFILL=5000` makes as many payments before a tower is hired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s26_a_tower_that_is_hired_late_and_interrupted_five_times_has_every_state_once() {
    let told = std::env::var("VIADUCT_TOWER_BACKFILL").ok();
    let payments: u32 = told.map_or(16, |text| text.parse().expect("a number"));
    let story = async {
        let (mut pair, id, _) = scene(&[("towers.copies", "1")]).await;
        pay_often(&pair, payments).await;
        pair.agree(id).await;
        let mut tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        for records in 1..=4 {
            // Its disk fails in the middle of it, later each time.
            pair.bob.fail_after(records);
            until_async("it died or is done", String::new, || async {
                if pair.bob.has_failed() {
                    return Some(());
                }
                let (channels, _) = pair.bob.handle().tower_coverage().await.ok()?;
                (channels.first()?.missing_copies == 0).then_some(())
            })
            .await;
            pair.bob = pair.bob.crash_and_restart().await;
        }
        tower.sleep().await;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        pair.agree(id).await;
        tower.wake().await;
        let states = covered(&pair.bob).await.states;
        assert!(states > u64::from(2 * payments), "{states}");
        assert_eq!(records(&pair.bob).await, states);
        let figures = tower.keeper().figures().await.expect("it runs");
        assert_eq!((figures.sessions, figures.indexed), (1, states), "every state once");
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        let cheating = cheat(&pair.alice, id, 17).await;
        pair.layer1.mine(1).await;
        justice(&pair.layer1, &cheating).await;
        pair.alice.at_height(pair.layer1.mine(DELAY).await).await;
        pair.bob = bob.wake().await;
        pair.mine(1).await;
        bob_has_all(&pair, &cheating, before).await;
    };
    if payments > 100 { story.await } else { in_time(story).await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_full_goes_on_in_another_one_at_once_and_old_states_stay_covered() {
    in_time(async {
        let (mut pair, id, old) = scene(&[("towers.copies", "1")]).await;
        let tower = Tower::start_with(&pair.path().join("tower"), &pair.layer1, |settings| {
            // Room for some ten states.
            settings.offered.bytes_max = 2_500;
        })
        .await;
        tower.hired_by(&pair.bob, false).await;
        pay_often(&pair, 12).await;
        pair.agree(id).await;
        let states = covered(&pair.bob).await.states;
        let figures = tower.keeper().figures().await.expect("it runs");
        assert!(figures.sessions >= 3, "{figures:?}");
        assert_eq!(figures.indexed, states, "every state once");
        // A crash in the middle of a session, and some more states.
        pair.bob = pair.bob.crash_and_restart().await;
        pair.usable(id).await;
        pay_often(&pair, 6).await;
        pair.agree(id).await;
        let states = covered(&pair.bob).await.states;
        assert_eq!(tower.keeper().figures().await.expect("it runs").indexed, states);
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        // It is in the first session.
        let cheating = cheat(&pair.alice, id, old).await;
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
async fn when_a_tower_takes_nothing_any_more_another_one_gets_every_state_of_the_channel() {
    in_time(async {
        let (pair, id, _) = scene(&[("towers.copies", "1")]).await;
        let full = Tower::start(&pair.path().join("full"), &pair.layer1).await;
        let other = Tower::start(&pair.path().join("other"), &pair.layer1).await;
        full.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        full.keeper().drain(true).await.expect("it runs");
        other.hired_by(&pair.bob, false).await;
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        pair.agree(id).await;
        let coverage = covered(&pair.bob).await;
        let has = coverage.towers.iter().find(|(tower, _)| *tower == other.id());
        assert_eq!(has.map(|(_, rows)| *rows), Some(coverage.states), "{coverage:?}");
        until_async("the first one is known to refuse", String::new, || async {
            let towers = pair.bob.handle().list_towers().await.expect("towers");
            let refused = towers.iter().find(|tower| tower.tower == full.id()).expect("hired");
            (refused.sessions.first()?.standing == Standing::Refused).then_some(())
        })
        .await;
    })
    .await;
}
