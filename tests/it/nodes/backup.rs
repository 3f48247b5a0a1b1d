//! A node loses everything but its seed and a backup, or not even that: its money comes home all the same.

use bitcoin::Amount;
use daemon::rpc::model::backup::{BackupSource, RestoreBackup};
use daemon::rpc::model::channel::{Channel, ChannelFilter, ChannelPhase, OpenChannel};
use daemon::rpc::model::wallet::Coins;
use daemon::rpc::node_api::NodeApi as _;
use daemon::rpc::refusal::{Refusal, Unready};
use viaduct_tests::layer1::Layer1;
use viaduct_tests::ours::{OurNode, Place};
use viaduct_tests::until::until_async;
use wire::id::ChannelId;
use wire::units::Msat;

use super::pair::{COIN, Pair, find, in_time, pay_some};

/// Alice with a channel to bob and one to carol, and coins on both sides of the first.
async fn star() -> (Pair, OurNode, [ChannelId; 2]) {
    let pair = Pair::start(&[]).await;
    let carol = OurNode::start(Place::new("carol", pair.path(), &pair.layer1)).await;
    let first = pair.open(2_000_000).await;
    pay_some(&pair.alice, &pair.bob, 300_000_000).await;
    pair.agree(first).await;
    let second = pair.alice.open_channel(carol.id(), carol.address(), 1_000_000).await;
    pair.layer1.mempool_of(1).await;
    pair.mine(1).await;
    carol.at_height(pair.layer1.height().await).await;
    pair.alice.usable(second).await;
    carol.usable(second).await;
    (pair, carol, [first, second])
}

/// The bytes of alice's backup file once it names all her channels.
async fn backup_of(alice: &OurNode, channels: usize) -> Vec<u8> {
    until_async("a backup of all channels", String::new, || async {
        let bytes = std::fs::read(alice.backup_file()).ok()?;
        let source = BackupSource::File(bytes.clone());
        let content = alice.handle().verify_backup(source).await.ok()?;
        let all = content.channels.len() == channels && content.missing.is_empty();
        all.then_some(bytes)
    })
    .await
}

/// Mines until what alice had is hers again, and adds everything up.
async fn comes_home(pair: &Pair, carol: &OurNode, ids: [ChannelId; 2], had: [Channel; 2]) {
    let mut closes = Vec::new();
    for channel in &had {
        closes.push(pair.layer1.spend_seen(channel.funding.expect("funded")).await);
    }
    let mut over = false;
    for _ in 0..60 {
        pair.mine(10).await;
        carol.at_height(pair.layer1.height().await).await;
        let closed = |channel: Channel| channel.phase == ChannelPhase::Closed;
        over = closed(find(&pair.alice, ids[0]).await)
            && closed(find(&pair.alice, ids[1]).await)
            && closed(find(&pair.bob, ids[0]).await)
            && closed(find(carol, ids[1]).await);
        if over {
            break;
        }
    }
    assert!(over, "all channels end");
    for (id, had) in ids.into_iter().zip(&had) {
        let closing = find(&pair.alice, id).await.closing.expect("closed");
        // She funded both, so she paid the fee and the anchors of the peer's commitment, and no more.
        let costs = had.commit_fee + had.anchors;
        assert_eq!(closing.ours, had.ours.floor_sat() - costs, "{id}");
        assert!(!closing.sweeps.is_empty());
    }
    let mut elsewhere = Amount::ZERO;
    for close in &closes {
        for (_, output) in pair.layer1.unspent_of(close).await {
            assert_eq!(output.value, Amount::from_sat(330), "only anchors are left");
            elsewhere += output.value;
        }
    }
    let fees = pair.layer1.totals().await.fees_sat;
    let mut sum = elsewhere;
    for node in [&pair.alice, &pair.bob, carol] {
        sum += node.balance().await.confirmed;
    }
    assert_eq!(sum.to_sat(), 2 * COIN - fees, "every satoshi is in a wallet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_data_is_lost_and_words_and_backup_file_bring_every_balance_home() {
    in_time(async {
        let (mut pair, carol, ids) = star().await;
        let file = backup_of(&pair.alice, 2).await;
        let had = [find(&pair.alice, ids[0]).await, find(&pair.alice, ids[1]).await];
        let wallet = pair.alice.balance().await.confirmed;

        pair.alice = pair.alice.lose_everything().await;
        pair.synced().await;
        assert_eq!(pair.alice.balance().await.confirmed, wallet, "the words know the wallet");
        assert!(pair.alice.channels().await.is_empty());
        let source = BackupSource::File(file.clone());
        let content = pair.alice.handle().verify_backup(source).await.expect("it is hers");
        assert!(content.channels.iter().all(|channel| !channel.known));
        let wrong = pair.bob.handle().verify_backup(BackupSource::File(file.clone())).await;
        assert!(matches!(wrong, Err(Refusal::BadBackup { .. })), "bob has another seed");

        let restore = || RestoreBackup { key: None, source: BackupSource::File(file.clone()) };
        let done = pair.alice.handle().restore_backup(restore()).await.expect("restored");
        assert_eq!((done.restored.len(), done.known), (2, 0));
        let again = pair.alice.handle().restore_backup(restore()).await.expect("restored");
        assert_eq!((again.restored.len(), again.known), (0, 2), "twice is once");
        // And it survives a crash.
        pair.alice = pair.alice.crash_and_restart().await;
        comes_home(&pair, &carol, ids, had).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_data_and_all_files_are_lost_and_peers_give_back_what_brings_every_balance_home() {
    in_time(async {
        let (mut pair, carol, ids) = star().await;
        let had = [find(&pair.alice, ids[0]).await, find(&pair.alice, ids[1]).await];
        until_async("both peers to be given a backup", String::new, || async {
            let status = pair.alice.handle().backup_status().await.expect("a status");
            let newest = status.holders.iter().any(|(_, counter)| *counter == status.counter);
            let kept = carol.handle().backup_status().await.expect("a status").kept_for;
            (status.holders.len() == 2 && newest && kept == 1).then_some(())
        })
        .await;

        pair.alice = pair.alice.lose_everything().await;
        pair.synced().await;
        for peer in [&pair.bob, &carol] {
            pair.alice.connect(peer.id(), peer.address()).await;
        }
        until_async("peers to give back what they kept", String::new, || async {
            let content = pair.alice.handle().verify_backup(BackupSource::Peers).await.ok()?;
            (content.channels.len() == 2).then_some(())
        })
        .await;
        // They prove that something is missing: no channel is opened whose keys might be old ones, and
        // nobody is told that we know nothing of the channels.
        let status = pair.alice.handle().backup_status().await.expect("a status");
        assert!(status.ahead.is_some_and(|ahead| ahead.holder.is_some() && ahead.known == 0));
        let order = OpenChannel {
            key: None,
            node: pair.bob.id(),
            address: None,
            coins: Coins::Exactly(Amount::from_sat(100_000)),
            push: Msat::ZERO,
            feerate: None,
            to_self_delay: None,
            announce: false,
            kind: channel::Kind::default(),
        };
        let refused = pair.alice.handle().open_channel(order).await.map(drop);
        let quarantined = Refusal::NotReady { state: Unready::Quarantined };
        assert_eq!(refused, Err(quarantined));
        assert_eq!(find(&pair.bob, ids[0]).await.phase, ChannelPhase::Open);

        let order = RestoreBackup { key: None, source: BackupSource::Peers };
        let done = pair.alice.handle().restore_backup(order).await.expect("restored");
        assert_eq!(done.restored.len(), 2);
        let status = pair.alice.handle().backup_status().await.expect("a status");
        assert_eq!(status.ahead, None);
        comes_home(&pair, &carol, ids, had).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_was_mined_before_the_restore_is_known_whichever_write_a_crash_hits() {
    in_time(async {
        let (mut pair, id) = Pair::with_channel().await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        let file = backup_of(&pair.alice, 1).await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        pair.alice = pair.alice.lose_everything().await;
        pair.bob.close(id, true).await;
        let close = pair.layer1.spend_seen(funding).await.compute_txid();
        pair.mine(2).await;
        let source = || BackupSource::File(file.clone());
        let restore = || RestoreBackup { key: None, source: source() };
        let mut hit = 0;
        for writes in 1.. {
            pair.alice.fail_after(writes);
            let _cut_short = pair.alice.handle().restore_backup(restore()).await;
            let knows = || async {
                let all = pair.alice.handle().list_channels(ChannelFilter::default()).await;
                let Some(all) = all.ok().filter(|_| !pair.alice.has_failed()) else {
                    return Some(false);
                };
                let closing = all.first().and_then(|channel| channel.closing.as_ref());
                (closing?.txid == Some(close)).then_some(true)
            };
            let survived = until_async("the close, or the end", String::new, knows).await;
            pair.alice = pair.alice.crash_and_restart().await;
            if survived {
                break;
            }
            hit += 1;
            // What the disk did not have yet is asked for again.
            pair.alice.handle().restore_backup(restore()).await.expect("restored");
            until_async(
                "she knows of the close",
                || format!("write {writes}"),
                || async {
                    let closing = find(&pair.alice, id).await.closing;
                    (closing?.txid == Some(close)).then_some(())
                },
            )
            .await;
            pair.alice = pair.alice.lose_everything().await;
            pair.synced().await;
        }
        assert!(hit > 3, "only {hit} writes were hit");
        pair.buried(id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_was_mined_before_the_restore_is_found_on_a_chain_without_indexes() {
    in_time(async {
        let mut pair = Pair::on(Layer1::without_indexes(), &[]).await;
        let id = pair.open(2_000_000).await;
        pay_some(&pair.alice, &pair.bob, 300_000_000).await;
        let file = backup_of(&pair.alice, 1).await;
        let funding = find(&pair.alice, id).await.funding.expect("funded");
        let away = pair.alice.sleep().await;
        pair.bob.close(id, true).await;
        let close = pair.layer1.spend_seen(funding).await.compute_txid();
        pair.layer1.mine(7).await;
        pair.alice = away.wake().await.lose_everything().await;
        pair.synced().await;
        let order = RestoreBackup { key: None, source: BackupSource::File(file) };
        pair.alice.handle().restore_backup(order).await.expect("restored");
        for _ in 0..2 {
            until_async("she knows of the close", String::new, || async {
                let closing = find(&pair.alice, id).await.closing;
                (closing?.txid == Some(close)).then_some(())
            })
            .await;
            pair.alice = pair.alice.crash_and_restart().await;
        }
        pair.buried(id).await;
        pair.account(660).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c40_an_older_copy_of_the_data_is_told_by_the_newer_backup_and_never_takes_its_place() {
    in_time(async {
        let mut pair = Pair::start(&[]).await;
        let aside = pair.path().join("db of before");
        let copy = |from: &std::path::Path, to: &std::path::Path| {
            let done = std::process::Command::new("cp").arg("-r").args([from, to]).status();
            assert!(done.expect("it copies").success());
        };
        let alice = pair.alice;
        pair.alice = alice.restart_after(|dir| copy(&dir.join("db"), &aside)).await;
        let id = pair.open(1_000_000).await;
        let file = backup_of(&pair.alice, 1).await;

        pair.alice = pair
            .alice
            .restart_after(|dir| {
                std::fs::remove_dir_all(dir.join("db")).expect("gone");
                copy(&aside, &dir.join("db"));
            })
            .await;
        let status = pair.alice.handle().backup_status().await.expect("a status");
        let ahead = status.ahead.expect("the file beside the journal is newer");
        assert_eq!((ahead.holder, ahead.known), (None, 0));
        assert_eq!(std::fs::read(pair.alice.backup_file()).expect("still there"), file);
        let source = BackupSource::File(file);
        let order = RestoreBackup { key: None, source };
        let done = pair.alice.handle().restore_backup(order).await.expect("restored");
        assert_eq!(done.restored.iter().map(|channel| channel.id).collect::<Vec<_>>(), [id]);
        pair.layer1.mempool_of(1).await;
        pair.buried(id).await;
    })
    .await;
}
