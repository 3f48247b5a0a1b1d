//! From the record to the money.

use bitcoin::{OutPoint, Txid};
use channel::tx::Direction;
use channel::tx::SpecHtlc;

use super::scene::{Channel, Covered, Scene, Tower, broadcast, covered, eventually, htlc};
use crate::hint::Hint;
use crate::kit::claim::ClaimKind;
use crate::message::{ClaimState, Sealed};

/// The one output that is claimed.
pub(super) async fn the_claim(tower: &Tower) -> OutPoint {
    tower.until(|watching| watching.book.claims().count() == 1).await;
    *tower.book().claims().next().unwrap().0
}

fn both_ways(count: u64, sat: u64) -> Vec<SpecHtlc> {
    let way = |id| if id % 2 == 0 { Direction::Offered } else { Direction::Received };
    (0..count).map(|id| htlc(way(id), id / 2, sat, 900)).collect()
}

#[tokio::test]
async fn s01_a_revoked_commitment_in_a_block_is_answered_with_everything_for_the_victim() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, both_ways(20, 50_000));
    let standing = tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    assert_eq!((standing.next_seq, standing.tip.height), (1, scene.height().await));

    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    tower.until(|watching| watching.book.claims().count() == 21).await;
    for _ in 0..3 {
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    assert!(scene.paid_to(&channel.sweep()).await > 3_950_000);
    scene.mine(100).await;
    tower.reach(scene.height().await).await;
    tower.until(|watching| watching.book.is_idle()).await;
    let book = tower.book();
    assert_eq!(book.ended().count(), 21);
    let mut states = book.statuses(session, scene.height().await).map(|status| status.state);
    assert!(states.all(|state| state == ClaimState::Final));
    tower.end().await;
}

#[tokio::test]
async fn s02_nine_hundred_and_sixty_six_htlcs_are_taken_in_transactions_that_are_relayed() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 500_000, both_ways(966, 9_000));
    let record = channel.record(&old, 4, 0);
    // Too long for one record, so it comes in parts that belong to the same transaction.
    assert!(record.ciphertext.len() > 65_000);
    let parts = channel.parts(&old, 4, 0, 400);
    let count = u32::try_from(parts.len()).unwrap();
    assert_eq!(tower.store(session, 0, parts).await.next_seq, count);
    let asleep = tower.end().await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let tower = Tower::again(asleep, &scene).await;
    tower
        .until(|watching| {
            watching.book.claims().count() == 967
                && watching.book.claims().all(|(_, claim)| claim.sent.is_some())
        })
        .await;
    for _ in 0..3 {
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    assert!(tower.book().claims().all(|(_, claim)| claim.taken.is_some()));
    assert!(scene.paid_to(&channel.sweep()).await > 966 * 8_000);
    tower.end().await;
}

#[tokio::test]
async fn s05_a_breach_in_the_mempool_is_answered_there_and_both_are_in_one_block() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, both_ways(6, 50_000)).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    let taken = |outpoint| {
        let scene = scene.clone();
        async move { scene.spender(outpoint).await.is_some() }
    };
    tower.until(|watching| watching.book.claims().count() == 7).await;
    let outpoints: Vec<OutPoint> = tower.book().claims().map(|(outpoint, _)| *outpoint).collect();
    for outpoint in &outpoints {
        eventually("justice in the mempool", || taken(*outpoint)).await;
    }
    scene.mine(1).await;
    let tip = scene.height().await;
    tower.reach(tip).await;
    let book = tower.book();
    assert_eq!(book.source(&old.txid()).unwrap().height, Some(tip));
    assert!(book.claims().all(|(_, claim)| claim.taken.unwrap().height == tip));
    tower.end().await;
}

#[tokio::test]
async fn s06_when_fees_rise_above_the_first_price_the_next_one_is_sent() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    let disks = tower.end().await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    scene.floor(Some(5_000)).await;
    let tower = Tower::again(disks, &scene).await;
    let outpoint = the_claim(&tower).await;
    eventually("the second price", || async { scene.spender(outpoint).await.is_some() }).await;
    let justice = scene.spender(outpoint).await.unwrap();
    let fee = 3_000_000 - justice.output[0].value.to_sat();
    assert!(fee > 5_000 * justice.weight().to_wu() / 1_000, "{fee}");
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().claim(&outpoint).unwrap().taken.is_some());
    tower.end().await;
}

#[tokio::test]
async fn s07_a_claim_that_no_mempool_took_for_fifty_blocks_is_still_alive() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    let disks = tower.end().await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    scene.floor(Some(60_000)).await;
    let tower = Tower::again(disks, &scene).await;
    let outpoint = the_claim(&tower).await;
    for _ in 0..50 {
        scene.mine(1).await;
    }
    tower.reach(scene.height().await).await;
    assert!(scene.spender(outpoint).await.is_none());
    assert!(tower.book().claim(&outpoint).unwrap().taken.is_none());
    scene.floor(None).await;
    scene.mine(1).await;
    eventually("justice at last", || async { scene.spender(outpoint).await.is_some() }).await;
    tower.end().await;
}

#[tokio::test]
async fn s14_a_record_that_comes_fifty_blocks_after_its_breach_is_answered_at_once() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, both_ways(2, 50_000));
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(50).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().is_idle());
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    tower.until(|watching| watching.book.claims().count() == 3).await;
    let outpoints: Vec<OutPoint> = tower.book().claims().map(|(outpoint, _)| *outpoint).collect();
    for outpoint in outpoints {
        eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    }
    assert_eq!(
        tower.book().source(&old.txid()).unwrap().height,
        Some(scene.height().await - 49),
        "its deadlines count from its own block"
    );
    tower.end().await;
}

#[tokio::test]
async fn s14_a_record_from_before_the_first_start_of_the_ring_is_found_by_filling_it() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let old = channel.commitment(4, 3_000_000, vec![]);
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(30).await;
    // It never saw that block as the newest one.
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    tower.end().await;
}

#[tokio::test]
async fn s15_large_htlcs_are_taken_where_the_cheaters_own_output_is_dust() {
    let Covered { scene, channel, tower, old, .. } = covered(100, both_ways(4, 1_000_000)).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    tower.until(|watching| watching.book.claims().count() == 4).await;
    let kinds = tower.book();
    assert!(kinds.claims().all(|(_, tracked)| tracked.claim.kind != ClaimKind::ToLocal));
    for _ in 0..3 {
        scene.mine(1).await;
        tower.reach(scene.height().await).await;
    }
    assert!(scene.paid_to(&channel.sweep()).await > 3_990_000);
    tower.end().await;
}

#[tokio::test]
async fn s36_ten_thousand_records_of_rubbish_under_one_hint_hide_nothing() {
    let mut scene = Scene::new().await;
    let (channel, other) = (Channel::new(3, scene.coin()), Channel::new(5, scene.coin()));
    let tower = Tower::fresh(&scene).await;
    let rubbish = tower.open(&other).await.session;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, vec![]);
    let hint = Hint::of(&old.txid());
    for batch in 0..20_u32 {
        let record = |nth: u32| Sealed { hint, ciphertext: vec![nth.to_be_bytes()[3]; 100] };
        tower.store(rubbish, batch * 500, (0..500).map(record).collect()).await;
    }
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    assert!(tower.view.watching.borrow().misses >= 10_000);
    tower.end().await;
}

#[tokio::test]
async fn s40_a_clock_that_jumps_moves_no_deadline() {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    use chain_backend::Sandbox as _;
    scene.chain.set_now(Some(super::scene::clock() + 7_000)).await.unwrap();
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    tower.reach(scene.height().await).await;
    let book = tower.book();
    let mined = book.source(&old.txid()).unwrap().height.unwrap();
    assert_eq!(mined, scene.height().await);
    let last =
        book.claim(&outpoint).unwrap().claim.deadline.last_height(wire::units::BlockHeight(mined));
    assert_eq!(last.unwrap().0, mined + 143);
    tower.end().await;
}

#[tokio::test]
async fn s43_two_towers_of_one_client_answer_at_different_prices_and_both_call_it_done() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let (one, two) = (Tower::fresh(&scene).await, Tower::fresh(&scene).await);
    let old = channel.commitment(4, 3_000_000, vec![]);
    for tower in [&one, &two] {
        let session = tower.open(&channel).await.session;
        tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    }
    let asleep = two.end().await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&one).await;
    eventually("the first price", || async { scene.spender(outpoint).await.is_some() }).await;
    let cheap: Txid = scene.spender(outpoint).await.unwrap().compute_txid();
    // The second wakes up to a mempool that asks for more.
    scene.floor(Some(5_000)).await;
    let two = Tower::again(asleep, &scene).await;
    eventually("the second price", || async {
        scene.spender(outpoint).await.is_some_and(|tx| tx.compute_txid() != cheap)
    })
    .await;
    scene.mine(1).await;
    for tower in [&one, &two] {
        tower.reach(scene.height().await).await;
        let state = tower.book().statuses(0, scene.height().await).next().unwrap().state;
        assert!(matches!(state, ClaimState::Mined | ClaimState::DoneByOther), "{state:?}");
    }
    one.end().await;
    two.end().await;
}
