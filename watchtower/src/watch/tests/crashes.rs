//! Processes that die, disks that fail or fill.

use std::sync::Arc;

use ::store::disk::{Loss, Plan};

use super::breaches::the_claim;
use super::scene::{Channel, Covered, Scene, Tower, broadcast, covered, disks, eventually};
use crate::store::{Mode, Options, Refused};

/// How many seeds or steps a heavy test takes; more by the environment.
fn steps(usual: u64) -> u64 {
    std::env::var("VIADUCT_TOWER_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[tokio::test]
async fn s09_a_tower_that_slept_three_hundred_blocks_looks_at_every_one_of_them() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    let disks = tower.end().await;
    scene.mine(150).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(150).await;
    let tower = Tower::again(disks, &scene).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    tower.end().await;
}

/// Dies in the `nth` operation on one of the disks, and goes on after it. `None`: it did not come so far.
async fn dies_at(nth: u64, in_journal: bool) -> Option<()> {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let old = channel.commitment(4, 3_000_000, vec![]);
    let record = channel.record(&old, 4, 0);
    let fragile = disks();
    let doomed = if in_journal { &fragile.journal } else { &fragile.records };
    doomed.set_plan(Plan::default().kill_at(nth));
    let opened = Tower::try_start(fragile.clone(), vec![Arc::new(scene.chain.clone())]).await;
    let mut acknowledged = false;
    if let Some(tower) = opened {
        tower.reach(scene.height().await).await;
        if let Ok(standing) = tower.keeper.open(channel.wish()).await {
            let session = standing.into_inner().session;
            let wait = tower.keeper.append(session, 0, vec![record.clone()]).await.unwrap();
            acknowledged = wait.await.unwrap().is_ok();
        }
        assert!(scene.hand_in(broadcast(&old)).await);
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
        let survived = tower.keeper.figures().await.unwrap().mode == Mode::Open;
        let left = tower.kill();
        if survived && nth > 400 {
            return None;
        }
        go_on(left, &scene, &channel, acknowledged, record).await;
        return (!survived).then_some(());
    }
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let left = crate::store::Disks {
        journal: fragile.journal.restart(),
        records: fragile.records.restart(),
    };
    go_on(left, &scene, &channel, acknowledged, record).await;
    Some(())
}

async fn go_on(
    left: crate::store::Disks<::store::disk::MemoryDisk>,
    scene: &Scene,
    channel: &Channel,
    acknowledged: bool,
    record: crate::message::Sealed,
) {
    left.journal.forget_locks();
    left.journal.set_plan(Plan::default());
    left.records.set_plan(Plan::default());
    let tower = Tower::again(left, scene).await;
    let standing = tower.open(channel).await;
    if acknowledged {
        assert_eq!(standing.next_seq, 1, "what was acknowledged is there");
    } else {
        // The client says it again.
        tower.store(standing.session, 0, vec![record]).await;
    }
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().claim(&outpoint).unwrap().taken.is_some());
    assert_eq!(tower.book().claims().count(), 1, "claimed once");
    tower.end().await;
}

#[tokio::test]
async fn s10_a_tower_that_dies_in_any_write_loses_nothing_and_claims_once() {
    for in_journal in [true, false] {
        // Every operation for whoever has the time; most of them else.
        let stride = if steps(0) > 0 { 1 } else { 3 };
        let mut nth = 1;
        while dies_at(nth, in_journal).await.is_some() {
            nth += stride;
        }
        assert!(nth > 10, "{nth}");
    }
}

#[tokio::test]
async fn s10_a_tower_that_is_killed_between_breach_and_justice_goes_on_after_the_start() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    scene.floor(Some(60_000)).await;
    scene.floor(None).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    let disks = tower.kill();
    disks.journal.forget_locks();
    let tower = Tower::again(disks, &scene).await;
    assert!(tower.book().claim(&outpoint).is_some(), "it was written down before it was sent");
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    tower.end().await;
}

#[tokio::test]
async fn s35_a_full_disk_takes_no_records_and_acknowledges_none_and_the_tower_still_punishes() {
    let Covered { scene, session, tower, old, .. } = covered(3_000_000, vec![]).await;
    let records = tower.disks.records.clone();
    records.set_plan(Plan::default().capacity(records.used()));
    let big = |n: u8| crate::message::Sealed {
        hint: crate::hint::Hint([n; 16]),
        ciphertext: vec![n; 60_000],
    };
    let mut seq = 1;
    let refused = loop {
        let wait = tower.keeper.append(session, seq, vec![big(1)]).await.unwrap();
        match wait.await.unwrap() {
            Ok(standing) => seq = standing.into_inner().next_seq,
            Err(refused) => break refused,
        }
        assert!(seq < 100);
    };
    assert_eq!(refused, Refused::Full);
    assert_eq!(tower.keeper.figures().await.unwrap().mode, Mode::Full);
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    // Room again: it goes on where it was.
    records.set_plan(Plan::default());
    assert_eq!(tower.store(session, seq, vec![big(2)]).await.next_seq, seq + 1);
    assert_eq!(tower.keeper.figures().await.unwrap().mode, Mode::Open);
    tower.end().await;
}

#[tokio::test]
async fn s35_a_journal_that_fails_stops_all_taking_but_not_justice() {
    let Covered { scene, channel, session, tower, old } = covered(3_000_000, vec![]).await;
    tower.disks.journal.set_plan(Plan::default().kill_at(1));
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    let wait = tower.keeper.append(session, 1, vec![channel.record(&old, 4, 1)]).await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap_err(), Refused::ReadOnly);
    // The place on the chain stayed where it was: the next start comes to the same claims.
    let disks = tower.kill();
    disks.journal.forget_locks();
    disks.journal.set_plan(Plan::default());
    let tower = Tower::again(disks, &scene).await;
    assert_eq!(the_claim(&tower).await, outpoint);
    tower.end().await;
}

#[tokio::test]
async fn s35_after_any_power_cut_every_acknowledged_record_is_there() {
    for seed in 0..steps(24) {
        let scene = Scene::new().await;
        let channel = Channel::new(3, bitcoin::OutPoint::null());
        let disks = disks();
        let options = Options { segment_bytes: 4_096, ..Options::new(seed) };
        let backends: Vec<Arc<dyn chain_backend::ChainBackend>> =
            vec![Arc::new(scene.chain.clone())];
        let tower = Tower::start_with(disks.clone(), backends.clone(), options).await;
        tower.reach(scene.height().await).await;
        let session = tower.open(&channel).await.session;
        let record = |seq: u32| {
            let mut hint = [0; 16];
            hint[..4].copy_from_slice(&seq.wrapping_mul(0x9e37_79b9).to_be_bytes());
            let ciphertext = vec![u8::try_from(seq % 251).unwrap(); 150];
            crate::message::Sealed { hint: crate::hint::Hint(hint), ciphertext }
        };
        let mut standing = None;
        let mut waits = Vec::new();
        let until = 20 + u32::try_from(seed).unwrap() * 3;
        for seq in (0..until).step_by(4) {
            let batch = (seq..seq + 4).map(record).collect();
            waits.push(tower.keeper.append(session, seq, batch).await.unwrap());
            if seed % 2 == 0 || seq < 8 {
                let done = waits.pop().unwrap().await.unwrap().unwrap();
                standing = Some(done.into_inner());
            }
        }
        let acked = standing.unwrap();
        let loss = Loss::ALL[usize::try_from(seed % 4).unwrap()];
        let left = crate::store::Disks {
            journal: disks.journal.power_cut(seed, loss),
            records: disks.records.power_cut(seed, loss),
        };
        drop(waits);
        tower.kill();
        left.journal.forget_locks();
        let tower = Tower::start_with(left, backends, options).await;
        let (now, _) = tower.keeper.standing(channel.wish().key).await.unwrap();
        let now = now.into_inner();
        assert!(now.next_seq >= acked.next_seq, "seed {seed}: {now:?} {acked:?}");
        let found = tower.keeper.records(session, 0, now.next_seq - 1).await.unwrap();
        let seqs: Vec<u32> = found.iter().map(|stored| stored.seq).collect();
        assert_eq!(seqs, (0..now.next_seq).collect::<Vec<_>>(), "seed {seed}");
        assert!(found.iter().all(|stored| stored.sealed == record(stored.seq)));
        if now.next_seq == acked.next_seq {
            assert_eq!(now.root, acked.root);
        }
        assert!(tower.report.damaged.is_empty() && tower.report.missing_segments.is_empty());
        tower.end().await;
    }
}
