//! From the record to the money.

use bitcoin::OutPoint;

use super::scene::{Channel, Scene, Tower, broadcast, eventually};

#[tokio::test]
async fn s01_a_revoked_commitment_in_a_block_is_answered_with_everything_for_the_victim() {
    let mut scene = Scene::new().await;
    let channel = Channel::new(3, scene.coin());
    let tower = Tower::fresh(&scene).await;
    let session = tower.open(&channel).await.session;
    let old = channel.commitment(4, 3_000_000, vec![]);
    let standing = tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    assert_eq!((standing.next_seq, standing.tip.height), (1, scene.height().await));

    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    let to_local = tower_claim(&tower).await;
    eventually("justice", || async { scene.spender(to_local).await.is_some() }).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(scene.paid_to(&channel.sweep()).await > 2_990_000);
    scene.mine(99).await;
    tower.reach(scene.height().await).await;
    tower.until(|watching| watching.book.is_idle()).await;
    let book = tower.book();
    assert_eq!(book.ended().count(), 1);
    tower.end().await;
}

/// The one output that is claimed.
async fn tower_claim(tower: &Tower) -> OutPoint {
    tower.until(|watching| watching.book.claims().count() == 1).await;
    *tower.book().claims().next().unwrap().0
}
