//! A store that is an older copy: nothing is signed or broadcast, and the money comes home all the same.

use std::fs;
use std::path::Path;

use daemon::datadir::DataDir;
use daemon::rpc::model::channel::{ChannelPhase, ChannelRef, CloseChannel, CloseHow};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::ours::{OurNode, Place};
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

/// As [`keep`] and [`put_back`], with the note of how far the journal had come.
pub(crate) fn keep_all(dir: &DataDir) {
    keep(dir);
    fs::copy(daemon::guard::default_path(dir), dir.root().join("kept.guard")).unwrap();
}

pub(crate) fn put_all_back(dir: &DataDir) {
    put_back(dir);
    fs::copy(dir.root().join("kept.guard"), daemon::guard::default_path(dir)).unwrap();
}

pub(crate) async fn quarantined(node: &OurNode) -> u32 {
    node.handle().info().await.unwrap().channels_quarantined
}

async fn force_close(node: &OurNode, id: ChannelId) -> Result<(), Refusal> {
    let order = CloseChannel { key: None, channel: ChannelRef::Id(id), how: CloseHow::Force };
    node.handle().close_channel(order).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c34_an_old_copy_broadcasts_nothing_and_is_swept_after_the_honest_peer_has_closed() {
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
        let away = pair.bob.sleep().await;
        pair.alice = pair.alice.restart_with(put_back).await;
        assert_eq!(quarantined(&pair.alice).await, 1);
        assert!(find(&pair.alice, id).await.quarantined);
        let refused = force_close(&pair.alice, id).await.expect_err("refused");
        assert!(matches!(refused, Refusal::ChannelFrozen { .. }), "{refused}");
        assert!(refused.to_string().contains("loses everything"), "{refused}");
        assert!(layer1.mempool_of(0).await.is_empty());
        assert_eq!(layer1.height().await, height);
        pair.bob = away.wake().await;
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
        let _away = pair.bob.sleep().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_backup_beside_the_journal_or_with_a_peer_puts_its_channels_into_quarantine() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        pair.alice = pair.alice.restart_with(keep_all).await;
        pair.usable(id).await;
        let carol = OurNode::start(Place::new("carol", pair.path(), &pair.layer1)).await;
        let second = pair.alice.open_channel(carol.id(), carol.address(), 1_000_000).await;
        pair.layer1.mempool_of(1).await;
        pair.mine(1).await;
        pair.alice.usable(second).await;
        carol.usable(second).await;
        until_async("carol to keep a backup of both channels", String::new, || async {
            let status = pair.alice.handle().backup_status().await.unwrap();
            let newest = (carol.id(), status.counter);
            (status.channels == 2 && status.holders.contains(&newest)).then_some(())
        })
        .await;
        let (bob, bob_at, carol_id, carol_at) =
            (pair.bob.id(), pair.bob.address(), carol.id(), carol.address());
        let (bob_away, carol_away) = (pair.bob.sleep().await, carol.sleep().await);

        pair.alice = pair.alice.restart_with(put_all_back).await;
        assert_eq!(quarantined(&pair.alice).await, 1, "the file beside the journal is newer");
        let refused = force_close(&pair.alice, id).await.expect_err("refused");
        assert!(matches!(refused, Refusal::ChannelFrozen { .. }), "{refused}");

        let file = pair.alice.backup_file();
        pair.alice = pair
            .alice
            .restart_with(|dir| {
                put_all_back(dir);
                fs::remove_file(file).unwrap();
            })
            .await;
        assert_eq!(quarantined(&pair.alice).await, 0, "nothing speaks against it");
        let carol = carol_away.wake().await;
        pair.alice.connect(carol_id, carol_at).await;
        until_async("a peer's copy to be a doubt", String::new, || async {
            (quarantined(&pair.alice).await == 1).then_some(())
        })
        .await;
        let refused = force_close(&pair.alice, id).await.expect_err("refused");
        assert!(matches!(refused, Refusal::ChannelFrozen { .. }), "{refused}");
        // It survives a crash, and ends with the numbers of the peer that has not moved since.
        pair.alice = pair.alice.crash_and_restart().await;
        assert_eq!(quarantined(&pair.alice).await, 1);
        pair.bob = bob_away.wake().await;
        pair.alice.connect(bob, bob_at).await;
        pair.usable(id).await;
        assert_eq!(quarantined(&pair.alice).await, 0);
        pay_some(&pair.alice, &pair.bob, 1_000_000).await;
        let why = pair.alice.handle().why_channel(ChannelRef::Id(id)).await.unwrap();
        let codes: Vec<_> = why.steps.iter().map(|step| step.code).collect();
        assert!(codes.ends_with(&["quarantined", "quarantine-over"]), "{codes:?}");
        carol.stop().await;
    })
    .await;
}
