//! Channels that are over: what towers have of them goes.

use std::path::Path;

use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::until::until_async;

use super::scene::{Tower, covered, scene};
use crate::nodes::pair::{in_time, pay_some};

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("our own directory");
    let size = |entry: std::fs::DirEntry| entry.metadata().expect("our own file").len();
    entries.map(|entry| size(entry.expect("our own file"))).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s30_what_towers_have_of_a_channel_that_is_over_is_deleted_and_their_disks_shrink() {
    in_time(async {
        let (mut pair, id, _) = scene(&[("towers.copies", "2")]).await;
        let small = |settings: &mut watchtower::settings::Settings| {
            // Several sessions for one channel: each of them goes.
            settings.offered.bytes_max = 2_500;
        };
        let dir = pair.path().join("sealed");
        let mut sealed = Tower::start_with(&dir, &pair.layer1, small).await;
        let own = Tower::start(&pair.path().join("own"), &pair.layer1).await;
        sealed.hired_by(&pair.bob, false).await;
        own.hired_by(&pair.bob, true).await;
        for _ in 0..10 {
            pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        }
        pair.agree(id).await;
        let states = covered(&pair.bob).await.states;
        // The segment that grows is closed by a start.
        sealed.sleep().await;
        sealed.wake().await;
        let before = sealed.keeper().figures().await.expect("it runs");
        assert!(before.sessions >= 2 && before.indexed == states, "{before:?}");
        let (records, at_first) = (dir.join("records"), bytes_below(&dir.join("records")));
        pair.close_together(&pair.bob, id).await;
        // A restart between the end of the channel and that of its sessions changes nothing.
        pair.bob = pair.bob.restart().await;
        for tower in [&sealed, &own] {
            until_async("no session is left", String::new, || async {
                let figures = tower.keeper().figures().await.expect("it runs");
                (figures.sessions == 0).then_some(())
            })
            .await;
        }
        until_async("nothing is told of it any more", String::new, || async {
            let towers = pair.bob.handle().list_towers().await.expect("towers");
            towers.iter().all(|tower| tower.sessions.is_empty()).then_some(())
        })
        .await;
        assert!(sealed.keeper().compact().await.expect("it runs") >= 1);
        let after = sealed.keeper().figures().await.expect("it runs");
        assert_eq!((after.indexed, after.segments), (0, 0), "{after:?}");
        assert!(bytes_below(&records) < at_first, "{} of {at_first}", bytes_below(&records));
        pair.account(0).await;
    })
    .await;
}
