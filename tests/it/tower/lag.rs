//! Towers that are away: payments go on, what is at risk is said, and what is missing follows.

use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::Standing;
use viaduct_tests::until::{PATIENCE, until_async};
use wire::onion::failure::code;

use super::scene::{Tower, coverage, covered, scene};
use crate::forwards::line::{Line, failure};
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

/// Payments over bob until one of them ends as `right` wants it; so others are not lost by chance.
async fn pay_until(line: &Line, what: &str, right: impl Fn(&PaymentStatus) -> bool) {
    let start = std::time::Instant::now();
    loop {
        let (_, status) = line.pay(1_000_000).await;
        if right(&status) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s25_nothing_of_others_passes_while_no_tower_hears_of_it_and_it_does_again_when_one_has() {
    in_time(async {
        let settings = [
            ("towers.copies", "1"),
            ("towers.on_lag", "stop_forwarding"),
            ("towers.lag_states", "5"),
        ];
        let line = Line::with(&settings).await;
        let dir = tempfile::tempdir().expect("a directory");
        let mut tower = Tower::start(dir.path(), &line.layer1).await;
        let passes = |status: &PaymentStatus| matches!(status, PaymentStatus::Succeeded { .. });
        let (_, status) = line.pay(50_000_000).await;
        assert!(passes(&status), "without a tower there is none to wait for: {status:?}");
        tower.hired_by(&line.bob, false).await;
        covered(&line.bob).await;
        tower.sleep().await;
        pay_until(&line, "bob still forwards", |status| {
            let stopped = (code::TEMPORARY_CHANNEL_FAILURE, line.bob.id());
            matches!(status, PaymentStatus::Failed(_)) && failure(status) == stopped
        })
        .await;
        // His own payments are his own risk.
        pay_some(&line.bob, &line.carol, 1_000_000).await;
        tower.wake().await;
        covered(&line.bob).await;
        pay_until(&line, "bob does not forward again", passes).await;
        line.quiet().await;
    })
    .await;
}
