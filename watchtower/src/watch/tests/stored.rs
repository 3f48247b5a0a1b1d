//! What is stored: resent, out of order, deleted, expired, and how much room it takes.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::hashes::Hash as _;

use super::breaches::the_claim;
use super::scene::{Channel, Scene, Tower, broadcast, disks, eventually};
use crate::hint::Hint;
use crate::message::Sealed;
use crate::store::{Fact, Limits, Options, Refused, Sighting};
use crate::watch::EventKind;

fn record(seq: u32) -> Sealed {
    let mut hint = [7; 16];
    hint[..8].copy_from_slice(&u64::from(seq).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Sealed { hint: Hint(hint), ciphertext: vec![u8::try_from(seq % 251).unwrap(); 178] }
}

#[tokio::test]
async fn the_same_bytes_again_are_acknowledged_and_others_under_the_same_number_are_not() {
    let scene = Scene::new().await;
    let tower = Tower::fresh(&scene).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let session = tower.open(&channel).await.session;
    let first = tower.store(session, 0, (0..4).map(record).collect()).await;
    let again = tower.store(session, 0, (0..4).map(record).collect()).await;
    assert_eq!(first, again);
    let more = tower.store(session, 2, (2..6).map(record).collect()).await;
    assert_eq!(more.next_seq, 6);
    let answer = async |first_seq, records| {
        let wait = tower.keeper.append(session, first_seq, records).await.unwrap();
        wait.await.unwrap().map(|durable| durable.into_inner().next_seq)
    };
    assert_eq!(answer(3, vec![record(9)]).await, Err(Refused::Differs));
    assert_eq!(answer(9, vec![record(9)]).await, Err(Refused::Gap { expected: 6 }));
    assert_eq!(answer(6, vec![record(6)]).await, Ok(7));
    let wait = tower.keeper.append(99, 0, vec![record(0)]).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap_err(), Refused::NoSession);
    let wish = crate::store::Wish { template: vec![1, 2], ..channel.wish() };
    assert_eq!(tower.keeper.open(wish).await.unwrap_err(), Refused::Otherwise);
    tower.end().await;
}

#[tokio::test]
async fn a_session_takes_no_more_than_its_quota_and_more_when_it_is_granted() {
    let scene = Scene::new().await;
    let tower = Tower::fresh(&scene).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let wish = crate::store::Wish { quota_bytes: 400, ..channel.wish() };
    let standing = tower.keeper.open(wish).await.unwrap().into_inner();
    let session = standing.session;
    assert_eq!(tower.store(session, 0, vec![record(0), record(1)]).await.used_bytes, 388);
    let wait = tower.keeper.append(session, 2, vec![record(2)]).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap_err(), Refused::Quota);
    let (quota_bytes, expiry_height) = (600, standing.expiry_height);
    let fact = Fact::Granted { session, quota_bytes, expiry_height };
    let () = tower.keeper.note(fact).await.unwrap().into_inner();
    assert_eq!(tower.store(session, 2, vec![record(2)]).await.next_seq, 3);
    tower.end().await;
}

#[tokio::test]
async fn s31_a_session_is_watched_in_its_grace_and_forgotten_behind_it() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let limits = Limits { grace_blocks: 20, ..Limits::default() };
    let options = Options { limits, ..Options::new(7) };
    let tower = Tower::start_with(disks(), vec![Arc::new(scene.chain.clone())], options).await;
    tower.reach(scene.height().await).await;
    let mut events = tower.view.events.subscribe();
    let wish = crate::store::Wish { blocks: 150, ..channel.wish() };
    let session = tower.keeper.open(wish).await.unwrap().into_inner().session;
    let old = channel.commitment(4, 3_000_000, vec![]);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    scene.mine(151).await;
    tower.reach(scene.height().await).await;
    let wait = tower.keeper.append(session, 1, vec![record(1)]).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap_err(), Refused::Expired);
    let mut alerts = Vec::new();
    while let Ok(event) = events.try_recv() {
        if event.kind == EventKind::Expiring {
            alerts.push(event.text);
        }
    }
    assert_eq!(alerts.len(), 2, "at 144 and at 0: {alerts:?}");
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(30).await;
    tower.reach(scene.height().await).await;
    assert!(tower.keeper.standing(channel.wish().key).await.is_ok(), "what was begun goes on");
    scene.mine(100).await;
    tower.reach(scene.height().await).await;
    scene.mine(1).await;
    eventually("it is forgotten", || async {
        tower.keeper.standing(channel.wish().key).await.is_err()
    })
    .await;
    tower.end().await;
}

#[tokio::test]
async fn s33_every_block_of_a_long_sleep_is_compared_with_every_record() {
    let tower = Tower::fresh(&Scene::new().await).await;
    let channel = Channel::new(5, bitcoin::OutPoint::null());
    let session = tower.open(&channel).await.session;
    for batch in 0..10_u32 {
        let records = (batch * 2_000..batch * 2_000 + 2_000).map(record).collect();
        tower.store(session, batch * 2_000, records).await;
    }
    let tip = tower.view.watching.borrow().tip.unwrap();
    let (mut before, mut found) = (tip.hash, Vec::new());
    for nth in 0..60_u32 {
        let height = tip.height + 1 + nth;
        // A thousand strangers, and one that a record is for in every tenth block.
        let strangers = (0..1_000).map(|tx| 1_000_000 + nth * 1_000 + tx);
        let ours = nth.is_multiple_of(10).then_some(nth);
        let sighting = |seq| Sighting { hint: record(seq).hint, inputs: Vec::new() };
        let txs = strangers.chain(ours).map(sighting).collect();
        let hash = bitcoin::BlockHash::hash(&height.to_be_bytes());
        let block = chain_backend::BlockId { height, hash };
        for hit in tower.keeper.block(block, before, txs).await.unwrap() {
            let read = tower.keeper.read(hit.places).await.unwrap();
            found.extend(read.into_iter().flatten().map(|found| found.stored.seq));
        }
        before = hash;
    }
    assert_eq!(found, [0, 10, 20, 30, 40, 50]);
    tower.end().await;
}

#[tokio::test]
async fn s30_what_a_closed_channel_left_goes_by_itself_in_a_quiet_block() {
    let scene = Scene::new().await;
    let tower = Tower::fresh(&scene).await;
    let goes = Channel::new(5, bitcoin::OutPoint::null());
    let session = tower.open(&goes).await.session;
    for batch in 0..20_u32 {
        let records = (batch * 50..batch * 50 + 50).map(record).collect();
        tower.store(session, batch * 50, records).await;
    }
    let before = tower.keeper.figures().await.unwrap();
    assert!(before.segments >= 2, "{before:?}");
    let () = tower.keeper.note(Fact::Dropped { session }).await.unwrap().into_inner();
    let blocks = u32::try_from(before.segments).unwrap() + 1;
    for _ in 0..blocks {
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    let after = tower.keeper.figures().await.unwrap();
    assert_eq!((after.segments, after.compacted), (0, before.segments), "{after:?}");
    assert!(after.bytes * 2 < before.bytes, "{before:?} {after:?}");
    tower.end().await;
}

#[tokio::test]
async fn deleted_records_leave_the_disk_when_it_is_compacted() {
    let scene = Scene::new().await;
    let tower = Tower::fresh(&scene).await;
    let (stays, goes) =
        (Channel::new(3, bitcoin::OutPoint::null()), Channel::new(5, bitcoin::OutPoint::null()));
    let (one, two) = (tower.open(&stays).await.session, tower.open(&goes).await.session);
    for batch in 0..20_u32 {
        let records = |from: u32| (from..from + 50).map(record).collect::<Vec<_>>();
        tower.store(one, batch * 10, records(batch * 10).into_iter().take(10).collect()).await;
        tower.store(two, batch * 50, records(100_000 + batch * 50)).await;
    }
    let before = tower.keeper.figures().await.unwrap();
    assert!(before.segments >= 3, "{before:?}");
    let () = tower.keeper.note(Fact::Dropped { session: two }).await.unwrap().into_inner();
    let done = tower.keeper.compact().await.unwrap();
    assert!(done >= 3);
    let after = tower.keeper.figures().await.unwrap();
    assert!(after.bytes * 2 < before.bytes, "{before:?} {after:?}");
    assert!(after.indexed < before.indexed);
    let check = async |tower: &Tower| {
        let found = tower.keeper.records(one, 0, 199).await.unwrap();
        let seqs: Vec<u32> = found.iter().map(|stored| stored.seq).collect();
        assert_eq!(seqs, (0..200).collect::<Vec<_>>());
        let hint = record(77).hint;
        let sighting = Sighting { hint, inputs: Vec::new() };
        let hits = tower.keeper.matches(vec![sighting]).await.unwrap();
        let read = tower.keeper.read(hits[0].places.clone()).await.unwrap();
        assert!(read.iter().flatten().any(|found| found.stored.sealed == record(77)));
    };
    check(&tower).await;
    let disks = tower.end().await;
    let tower = Tower::again(disks, &scene).await;
    check(&tower).await;
    tower.end().await;
}

#[tokio::test]
async fn s32_records_take_little_more_room_than_what_the_client_sent() {
    let count: u32 =
        std::env::var("VIADUCT_TOWER_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let scene = Scene::new().await;
    let options = Options { segment_bytes: 1 << 20, ..Options::new(7) };
    let backends: Vec<Arc<dyn chain_backend::ChainBackend>> = vec![Arc::new(scene.chain.clone())];
    let tower = Tower::start_with(disks(), backends.clone(), options).await;
    tower.reach(scene.height().await).await;
    let channel = Channel::new(3, bitcoin::OutPoint::null());
    let wish = crate::store::Wish { quota_bytes: 1 << 40, ..channel.wish() };
    let session = tower.keeper.open(wish).await.unwrap().into_inner().session;
    let before = tower.disks.records.used();
    let mut waits = Vec::new();
    for seq in (0..count).step_by(250) {
        let batch = (seq..seq + 250).map(record).collect();
        waits.push(tower.keeper.append(session, seq, batch).await.unwrap());
    }
    for wait in waits {
        let _durable = wait.await.unwrap().unwrap();
    }
    let raw = u64::from(count) * 194;
    let used = tower.disks.records.used() - before;
    // Zeros at the end of a segment: nothing beside 64 MiB, much beside the 1 MiB of this test.
    let zeros = (tower.keeper.figures().await.unwrap().segments + 1) * (256 << 10);
    assert!(used.saturating_sub(zeros) * 100 <= raw * 110, "{used} for {raw}");
    assert!((tower.keeper.figures().await.unwrap().bytes) * 100 <= raw * 104);
    let txs: Vec<Sighting> = (0..5_000)
        .map(|nth| Sighting { hint: record(count + nth).hint, inputs: Vec::new() })
        .chain([Sighting { hint: record(5).hint, inputs: Vec::new() }])
        .collect();
    let began = Instant::now();
    let hits = tower.keeper.matches(txs).await.unwrap();
    assert!(hits.iter().any(|hit| hit.nth == 5_000));
    assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
    let disks = tower.end().await;
    let began = Instant::now();
    let tower = Tower::start_with(disks, backends, options).await;
    assert_eq!(tower.report.records, u64::from(count));
    assert!(tower.report.counted_again < 12_000, "closed segments are not read");
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    tower.end().await;
}
