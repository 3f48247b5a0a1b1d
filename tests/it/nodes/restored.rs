//! A store that is an older copy: nothing is signed or broadcast, and the money comes home all the same.

use std::fs;
use std::path::Path;

use daemon::datadir::DataDir;
use daemon::rpc::model::channel::{ChannelPhase, ChannelRef, CloseChannel, CloseHow};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use wire::id::ChannelId;

use super::pair::{Pair, find, in_time, pay_some};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn keep(dir: &DataDir) {
    copy(&dir.store(), &dir.root().join("kept"));
}

fn put_back(dir: &DataDir) {
    fs::remove_dir_all(dir.store()).unwrap();
    copy(&dir.root().join("kept"), &dir.store());
}

async fn quarantined(node: &OurNode) -> u32 {
    node.handle().info().await.unwrap().channels_quarantined
}

async fn force_close(node: &OurNode, id: ChannelId) -> Result<(), Refusal> {
    let order = CloseChannel { key: None, channel: ChannelRef::Id(id), how: CloseHow::Force };
    node.handle().close_channel(order).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_broadcasts_nothing_and_is_swept_after_the_honest_peer_has_closed() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        pair.alice = pair.alice.restart_with(keep).await;
        pair.usable(id).await;
        pay_some(&pair.alice, &pair.bob, 200_000_000).await;
        pay_some(&pair.bob, &pair.alice, 100_000_000).await;
        // The peer is away while the old copy comes back.
        let funding = find(&pair.alice, id).await.funding.unwrap();
        let height = pair.layer1.height().await;
        let layer1 = pair.layer1.clone();
        let (bob, at) = (pair.bob.id(), pair.bob.address());
        let away = pair.bob.pause().await;
        pair.alice = pair.alice.restart_with(put_back).await;
        assert_eq!(quarantined(&pair.alice).await, 1);
        assert!(find(&pair.alice, id).await.quarantined);
        let refused = force_close(&pair.alice, id).await.expect_err("refused");
        assert!(matches!(refused, Refusal::ChannelFrozen { .. }), "{refused}");
        assert!(refused.to_string().contains("loses everything"), "{refused}");
        assert!(layer1.mempool_of(0).await.is_empty());
        assert_eq!(layer1.height().await, height);
        pair.bob = away.resume().await;
        // It proves that we are late, and closes when it is asked to.
        pair.alice.connect(bob, at).await;
        let theirs = layer1.spend_seen(funding).await;
        let number = |node: &OurNode| {
            let handle = node.handle().clone();
            async move { handle.list_channels(Default::default()).await.unwrap()[0].commitment_number }
        };
        assert!(number(&pair.bob).await > number(&pair.alice).await);
        assert_eq!(quarantined(&pair.alice).await, 0, "it is known to be stale now");
        layer1.mine(1).await;
        let before = pair.alice.balance().await.confirmed;
        until_async("our side of the peer's commitment", String::new, || async {
            layer1.mine(1).await;
            let grown = pair.alice.balance().await.confirmed.to_sat() - before.to_sat();
            // 2,000,000 less 400,000 paid, less fees, anchors and the sweep.
            (grown > 1_580_000).then_some(())
        })
        .await;
        let closed = find(&pair.alice, id).await;
        assert_eq!(closed.phase, ChannelPhase::Closing);
        assert_eq!(closed.closing.unwrap().txid, Some(theirs.compute_txid()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn current_data_are_never_in_quarantine_and_doubtful_ones_leave_it_with_the_peer() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        pair.alice = pair.alice.restart().await;
        assert_eq!(quarantined(&pair.alice).await, 0);
        pair.alice = pair.alice.crash_and_restart().await;
        assert_eq!(quarantined(&pair.alice).await, 0);
        // Nobody knows how far the journal had come; then somebody says that the store was restored.
        let doubts: [fn(&DataDir); 2] = [
            |dir| fs::remove_file(daemon::guard::default_path(dir)).unwrap(),
            |dir| daemon::guard::mark_restored(dir).unwrap(),
        ];
        for doubt in doubts {
            pair.alice = pair
                .alice
                .restart_with(|dir| {
                    doubt(dir);
                })
                .await;
            pair.usable(id).await;
            assert_eq!(quarantined(&pair.alice).await, 0, "the peer's numbers fit");
            pay_some(&pair.alice, &pair.bob, 1_000_000).await;
            pay_some(&pair.bob, &pair.alice, 1_000_000).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_human_may_lift_a_quarantine_and_then_the_channel_closes() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        let funding = find(&pair.alice, id).await.funding.unwrap();
        let _away = pair.bob.pause().await;
        pair.alice =
            pair.alice.restart_with(|dir| daemon::guard::mark_restored(dir).unwrap()).await;
        assert_eq!(quarantined(&pair.alice).await, 1);
        // It survives a restart without any further doubt.
        pair.alice = pair.alice.restart().await;
        assert_eq!(quarantined(&pair.alice).await, 1);
        let lifted = pair.alice.handle().lift_quarantine(ChannelRef::Id(id)).await.unwrap();
        assert!(!lifted.quarantined);
        force_close(&pair.alice, id).await.unwrap();
        pair.layer1.spend_seen(funding).await;
    })
    .await;
}
