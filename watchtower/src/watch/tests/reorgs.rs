//! Blocks that never happened.

use bitcoin::{Amount, TxOut};

use super::breaches::the_claim;
use super::scene::{
    CAPACITY, Channel, Covered, Scene, Tower, anyone, broadcast, covered, eventually, spend_any,
};

async fn removed_and_mined_again(depth: u32) {
    let Covered { scene, tower, old, .. } = covered(3_000_000, vec![]).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(depth - 1).await;
    tower.reach(scene.height().await).await;
    tower.until(|w| w.book.claim(&outpoint).is_none_or(|claim| claim.taken.is_some())).await;

    let justice = scene.spender(outpoint).await.unwrap().compute_txid();
    scene.reorg(depth, &[old.txid(), justice]).await;
    tower.reach(scene.height().await).await;
    if depth < 100 {
        tower.until(|w| w.book.source(&old.txid()).is_some_and(|s| s.height.is_none())).await;
        assert!(tower.book().claim(&outpoint).unwrap().taken.is_none());
    }
    assert!(scene.spender(outpoint).await.is_none());

    scene.mine(5).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let again = scene.height().await;
    tower.until(|w| w.book.source(&old.txid()).is_some_and(|s| s.height == Some(again))).await;
    eventually("justice again", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().claim(&outpoint).unwrap().taken.is_some());
    let mined = wire::units::BlockHeight(again);
    let last = tower.book().claim(&outpoint).unwrap().claim.deadline.last_height(mined);
    assert_eq!(last.unwrap().0, again + 143, "the delay begins anew");
    tower.end().await;
}

#[tokio::test]
async fn s11_six_blocks_with_breach_and_justice_go_and_the_breach_comes_again() {
    removed_and_mined_again(6).await;
}

#[tokio::test]
async fn s11_a_hundred_and_twenty_blocks_with_breach_and_justice_go_and_the_breach_comes_again() {
    removed_and_mined_again(120).await;
}

#[tokio::test]
async fn s12_an_honest_close_in_the_place_of_the_breach_ends_the_claims() {
    let Covered { scene, channel, tower, old, .. } = covered(3_000_000, vec![]).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    let justice = scene.spender(outpoint).await.unwrap().compute_txid();
    scene.reorg(1, &[old.txid(), justice]).await;
    let value = Amount::from_sat(CAPACITY - 1_000);
    let output = vec![TxOut { value, script_pubkey: anyone().to_p2wsh() }];
    let close = spend_any(vec![channel.funding], output);
    assert!(scene.hand_in(close).await);
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    tower.until(|w| w.book.source(&old.txid()).is_some_and(|source| source.is_void())).await;
    assert!(scene.mempool().await.is_empty(), "nothing is broadcast");
    scene.mine(100).await;
    tower.reach(scene.height().await).await;
    tower.until(|watching| watching.book.is_idle()).await;
    assert_eq!(scene.paid_to(&channel.sweep()).await, 0);
    tower.end().await;
}

#[tokio::test]
async fn s13_another_revoked_state_in_the_place_of_the_first_is_answered_by_its_own_record() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let first = channel.commitment(4, 3_000_000, vec![]);
    let second = channel.commitment(5, 4_000_000, vec![]);
    let records = vec![channel.record(&first, 4, 0), channel.record(&second, 5, 1)];
    tower.store(session, 0, records).await;
    assert!(scene.hand_in(broadcast(&first)).await);
    scene.mine(1).await;
    let outpoint = the_claim(&tower).await;
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    let justice = scene.spender(outpoint).await.unwrap().compute_txid();
    scene.reorg(1, &[first.txid(), justice]).await;
    assert!(scene.hand_in(broadcast(&second)).await);
    scene.mine(1).await;
    tower.until(|w| w.book.source(&second.txid()).is_some_and(|s| s.height.is_some())).await;
    tower.until(|w| w.book.source(&first.txid()).is_some_and(|source| source.is_void())).await;
    let other = *tower.book().claims_of(second.txid()).next().unwrap().0;
    eventually("its own justice", || async { scene.spender(other).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(scene.paid_to(&channel.sweep()).await > 3_980_000);
    tower.end().await;
}
