//! Towers that are away: payments go on, what is at risk is said, and what is missing follows.

use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Standing;
use viaduct_tests::until::until_async;

use super::scene::{Tower, coverage, covered, scene};
use crate::nodes::pair::{in_time, pay_some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s25_payments_go_on_while_a_tower_is_away_and_it_catches_up_when_it_is_back() {
    in_time(async {
        let (pair, id, _) = scene(&[("towers.copies", "2")]).await;
        let before = coverage(&pair.bob).await;
        assert_eq!(before.uncovered_states, before.states, "nobody watches yet");
        assert!(before.at_risk_sat >= 700_000, "{before:?}");
        let one = Tower::start(&pair.path().join("one"), &pair.layer1).await;
        let mut two = Tower::start(&pair.path().join("two"), &pair.layer1).await;
        one.hired_by(&pair.bob, false).await;
        two.hired_by(&pair.bob, false).await;
        assert_eq!(covered(&pair.bob).await.at_risk_sat, 0);
        let absent = two.id();
        two.sleep().await;
        for _ in 0..5 {
            pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        }
        pair.agree(id).await;
        until_async("one tower has everything", String::new, || async {
            (coverage(&pair.bob).await.uncovered_states == 0).then_some(())
        })
        .await;
        until_async("the other one is missed", String::new, || async {
            let towers = pair.bob.handle().list_towers().await.expect("towers");
            let away = towers.iter().find(|tower| tower.tower == absent).expect("hired");
            let standing = away.sessions.first().map(|session| session.standing);
            (standing == Some(Standing::Unreachable)).then_some(())
        })
        .await;
        assert!(coverage(&pair.bob).await.missing_copies > 0);
        two.wake().await;
        assert_eq!(two.id(), absent);
        let after = covered(&pair.bob).await;
        assert_eq!(after.towers.len(), 2);
        assert!(two.dir().exists());
    })
    .await;
}
