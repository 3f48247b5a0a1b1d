//! What towers keep for a node tells it that its data are an older copy, and brings it home when all is lost.

use daemon::rpc::model::backup::{BackupSource, RestoreBackup};
use daemon::rpc::model::channel::{ChannelPhase, ChannelRef, CloseChannel, CloseHow};
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::Refusal;
use viaduct_tests::until::until_async;

use super::scene::{
    DELAY, Tower, bob_has_all, cheat, checkpointed, covered, hired, justice, scene,
};
use crate::nodes::pair::{Pair, find, in_time, pay_some};
use crate::nodes::restored::{keep_all, put_all_back, quarantined};

const OFTEN: (&str, &str) = ("towers.checkpoint_every_seconds", "1");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_an_older_copy_is_told_by_a_tower_broadcasts_nothing_and_comes_home_through_its_peer() {
    in_time(async {
        let (mut pair, id, _) = scene(&[("towers.copies", "1"), OFTEN]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        checkpointed(&pair.bob, tower.id()).await;
        // The whole disk is kept, also the note of how far the journal had come.
        pair.bob = pair.bob.restart_with(keep_all).await;
        pair.usable(id).await;
        assert_eq!(quarantined(&pair.bob).await, 0, "a copy that is the newest is no doubt");
        for _ in 0..3 {
            pay_some(&pair.alice, &pair.bob, 10_000_000).await;
            pair.agree(id).await;
        }
        let newest = checkpointed(&pair.bob, tower.id()).await;
        let height = pair.layer1.height().await;
        let funding = find(&pair.bob, id).await.funding.expect("funded");
        let (alice_id, alice_at) = (pair.alice.id(), pair.alice.address());
        let away = pair.alice.sleep().await;
        pair.bob = pair.bob.restart_with(put_all_back).await;
        until_async("the copy is in quarantine", String::new, || async {
            (quarantined(&pair.bob).await == 1).then_some(())
        })
        .await;
        let order = CloseChannel { key: None, channel: ChannelRef::Id(id), how: CloseHow::Force };
        let refused = pair.bob.handle().close_channel(order).await.map(drop).expect_err("refused");
        assert!(matches!(refused, Refusal::ChannelFrozen { .. }), "{refused}");
        assert!(pair.layer1.mempool_of(0).await.is_empty());
        assert_eq!(pair.layer1.height().await, height);
        // The proof is not overwritten as long as it is one.
        let kept = hired(&pair.bob, tower.id()).await.checkpoint;
        assert!(kept.is_none_or(|kept| kept.version == newest), "{kept:?}");
        pair.alice = away.wake().await;
        pair.bob.connect(alice_id, alice_at).await;
        // The peer proves it as well, and closes when it is asked to.
        let theirs = pair.layer1.spend_seen(funding).await;
        pair.mine(1).await;
        let closed = find(&pair.bob, id).await;
        assert_eq!(closed.phase, ChannelPhase::Closing);
        assert_eq!(closed.closing.expect("closed").txid, Some(theirs.compute_txid()));
        pair.buried(id).await;
        pair.account(660).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s29_words_and_a_tower_bring_back_sessions_backup_and_the_money_of_a_later_breach() {
    in_time(async {
        let (mut pair, id, old): (Pair, _, _) = scene(&[("towers.copies", "1"), OFTEN]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        covered(&pair.bob).await;
        until_async("a checkpoint is with the tower", String::new, || async {
            let tower = hired(&pair.bob, tower.id()).await;
            (tower.checkpoint?.current && tower.checkpoint?.version > 0).then_some(())
        })
        .await;
        checkpointed(&pair.bob, tower.id()).await;
        let alice = pair.alice.balance().await.confirmed;
        pair.bob = pair.bob.lose_everything().await;
        pair.synced().await;
        assert!(pair.bob.channels().await.is_empty(), "nothing is left but the words");
        tower.hired_by(&pair.bob, false).await;
        let content = until_async("the tower gives the backup back", String::new, || async {
            pair.bob.handle().verify_backup(BackupSource::Peers).await.ok()
        })
        .await;
        assert_eq!(content.channels.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
        until_async("the tower's list has the session", String::new, || async {
            (hired(&pair.bob, tower.id()).await.found_sessions == 1).then_some(())
        })
        .await;
        // Alice may have called bob before the tower had told him of his loss: nobody said a word of it to her.
        let channel = find(&pair.alice, id).await;
        assert_eq!(channel.phase, ChannelPhase::Open, "{channel:?}");
        // She cheats while he does not know the channel yet.
        let cheating = cheat(&pair.alice, id, old).await;
        pair.layer1.mine(1).await;
        justice(&pair.layer1, &cheating).await;
        pair.mine(1).await;
        let order = RestoreBackup { key: None, source: BackupSource::Peers };
        let done = pair.bob.handle().restore_backup(order).await.expect("restored");
        assert_eq!(done.restored.len(), 1);
        pair.bob = pair.bob.crash_and_restart().await;
        pair.mine(DELAY).await;
        bob_has_all(&pair, &cheating, alice).await;
    })
    .await;
}
