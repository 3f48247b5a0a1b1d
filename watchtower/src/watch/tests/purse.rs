//! A coin of the tower's own, when what was signed for is too little.

use std::collections::BTreeSet;
use std::path::Path;

use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid};
use channel::tx::Direction;

use super::scene::{CAPACITY, Channel, Scene, Tower, anyone, broadcast, disks, eventually, htlc};
use crate::watch::EventKind;

/// What each coin of the wallet holds.
const COIN: u64 = CAPACITY - 1_000;

/// A breach with HTLCs only, in a block, seen when a mempool takes nothing at the price of its record.
async fn dear_breach(
    scene: &mut Scene,
    (tower, dir): (Tower, &Path),
    count: u64,
) -> (Tower, Channel, Vec<OutPoint>) {
    let channel = Channel::new(3, scene.coin());
    let session = tower.open(&channel).await.session;
    let htlcs = (0..count).map(|id| htlc(Direction::Received, id, 400_000, 900)).collect();
    let old = channel.commitment(4, 0, htlcs);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    let asleep = tower.end().await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    scene.floor(Some(6_000)).await;
    let tower = Tower::with_wallet(asleep, scene, dir).await;
    let wanted = usize::try_from(count).unwrap();
    tower.until(|watching| watching.book.claims().count() == wanted).await;
    let outpoints = tower.book().claims().map(|(outpoint, _)| *outpoint).collect();
    (tower, channel, outpoints)
}

async fn justice(scene: &Scene, outpoint: OutPoint) -> Transaction {
    eventually("justice", || async { scene.spender(outpoint).await.is_some() }).await;
    scene.spender(outpoint).await.unwrap().as_ref().clone()
}

fn sum(tx: &Transaction) -> u64 {
    tx.output.iter().map(|output| output.value.to_sat()).sum()
}

#[tokio::test]
async fn s06_when_a_record_pays_too_little_the_tower_adds_a_coin_and_gets_its_change_back() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    tower.enrich(&mut scene, 1).await;
    let (tower, channel, outpoints) = dear_breach(&mut scene, (tower, dir.path()), 4).await;
    let tx = justice(&scene, outpoints[0]).await;
    // One coin for four outputs: together, although each is a race.
    assert_eq!((tx.input.len(), tx.output.len()), (5, 5));
    let fee = 4 * 400_000 + COIN - sum(&tx);
    assert!(fee >= 6_000 * tx.weight().to_wu() / 1_000, "{fee}");
    let book = tower.book();
    let added = book.claims().next().unwrap().1.added.clone().unwrap();
    assert!(added.own().to_sat() < 100_000 && added.own().to_sat() < fee);
    let balance = tower.view.purse.balance().await.unwrap();
    assert_eq!((balance.confirmed, balance.promised.to_sat()), (Amount::ZERO, COIN));

    // A restart makes the same transaction, bytes and all.
    let asleep = tower.end().await;
    let tower = Tower::with_wallet(asleep, &scene, dir.path()).await;
    assert_eq!(justice(&scene, outpoints[0]).await, tx);
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert!(tower.book().claims().all(|(_, claim)| claim.taken.unwrap().by == tx.compute_txid()));
    let paid = tx.output.iter().filter(|out| out.script_pubkey == channel.sweep());
    assert_eq!(
        scene.paid_to(&channel.sweep()).await,
        paid.map(|out| out.value.to_sat()).sum::<u64>()
    );
    let left = COIN - added.own().to_sat();
    tower.until(|watching| watching.reserve_sat == left).await;
    tower.end().await;
}

#[tokio::test]
async fn s06_what_is_added_is_bounded_and_a_tower_without_coins_goes_on_as_before() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    let (tower, _, outpoints) = dear_breach(&mut scene, (tower, dir.path()), 2).await;
    tower.until(|watching| watching.book.claims().all(|(_, claim)| claim.sent.is_some())).await;
    for outpoint in &outpoints {
        assert!(scene.spender(*outpoint).await.is_none(), "nothing is relayed at that price");
    }
    // A coin that comes late helps all the same.
    let address = tower.view.purse.address(String::new()).await.unwrap();
    let asleep = tower.end().await;
    scene.floor(None).await;
    let output = TxOut { value: Amount::from_sat(COIN), script_pubkey: address.script_pubkey() };
    let coin = scene.coin();
    assert!(scene.hand_in(super::scene::spend_any(vec![coin], vec![output])).await);
    scene.mine(1).await;
    scene.floor(Some(6_000)).await;
    let tower = Tower::with_wallet(asleep, &scene, dir.path()).await;
    let tx = justice(&scene, outpoints[0]).await;
    assert_eq!(tx.input.len(), 3);
    // At a price of a quarter of what is rescued nothing more is given.
    scene.floor(Some(2_000_000)).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    let book = tower.book();
    let own = book.claims().filter_map(|(_, claim)| Some(claim.added.as_ref()?.own().to_sat()));
    assert!(own.max().unwrap() <= 100_000);
    tower.end().await;
}

#[tokio::test]
async fn s08_a_pair_that_the_cheater_rebuilt_into_a_large_transaction_is_won_back() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    tower.enrich(&mut scene, 2).await;
    scene.floor(None).await;
    let channel = Channel::new(3, scene.coin());
    let session = tower.open(&channel).await.session;
    let htlcs = vec![htlc(Direction::Received, 0, 400_000, 900)];
    let old = channel.commitment(4, 0, htlcs);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    assert!(scene.hand_in(broadcast(&old)).await);
    scene.mine(1).await;
    tower.until(|watching| watching.book.claims().count() == 1).await;
    let outpoint = *tower.book().claims().next().unwrap().0;
    let ours = justice(&scene, outpoint).await;
    // Nobody can alter the pair, but anybody can put 4 kvB behind it.
    let coin = scene.coin();
    let mut pin = super::scene::spend_any(vec![coin], vec![]);
    pin.input.insert(0, ours.input[0].clone());
    pin.output.push(ours.output[0].clone());
    let ballast = TxOut { value: Amount::from_sat(1_000), script_pubkey: anyone().to_p2wsh() };
    pin.output.extend(vec![ballast; 100]);
    let rest = CAPACITY - 100 * 1_000 - 40_000;
    pin.output.push(TxOut { value: Amount::from_sat(rest), script_pubkey: anyone().to_p2wsh() });
    let pinned = pin.compute_txid();
    assert!(scene.hand_in(pin).await);
    assert_eq!(scene.spender(outpoint).await.unwrap().compute_txid(), pinned);
    eventually("the pair is won back", || async {
        scene.spender(outpoint).await.is_some_and(|tx| tx.compute_txid() != pinned)
    })
    .await;
    let won = scene.spender(outpoint).await.unwrap();
    assert_eq!(won.input.len(), 2, "with a coin of the tower's own");
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    assert_eq!(tower.book().claim(&outpoint).unwrap().taken.unwrap().by, won.compute_txid());
    tower.end().await;
}

#[tokio::test]
async fn s11_a_coin_is_free_again_when_the_breach_never_happened() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    tower.enrich(&mut scene, 1).await;
    let (tower, channel, outpoints) = dear_breach(&mut scene, (tower, dir.path()), 2).await;
    let tx = justice(&scene, outpoints[0]).await;
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    let breach = outpoints[0].txid;
    scene.floor(None).await;
    scene.reorg(2, &[breach, tx.compute_txid()]).await;
    // Another close takes the breach's place.
    let output = TxOut { value: Amount::from_sat(9_999_000), script_pubkey: anyone().to_p2wsh() };
    assert!(scene.hand_in(super::scene::spend_any(vec![channel.funding], vec![output])).await);
    scene.mine(3).await;
    tower.reach(scene.height().await).await;
    tower.until(|watching| watching.reserve_sat == COIN).await;
    assert!(tower.book().promised().is_empty());
    tower.end().await;
}

#[tokio::test]
async fn a_payment_is_made_once_under_one_key_and_handed_in_until_it_is_mined() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    tower.enrich(&mut scene, 2).await;
    let purse = tower.view.purse.clone();
    let to = purse.address("mine".to_owned()).await.unwrap();
    assert_eq!(purse.address("mine".to_owned()).await.unwrap(), to);
    let amount = Some(Amount::from_sat(COIN + 5_000));
    let paid = purse.send("k".to_owned(), to.clone(), amount, Some(500)).await.unwrap();
    assert!(paid.accepted);
    let again = purse.send("k".to_owned(), to.clone(), amount, Some(500)).await.unwrap();
    assert_eq!(again.txid, paid.txid);
    assert!(purse.send("k".to_owned(), to.clone(), None, None).await.is_err());
    let waiting: BTreeSet<Txid> =
        scene.mempool().await.iter().map(|tx| tx.compute_txid()).collect();
    assert_eq!(waiting, BTreeSet::from([paid.txid]));
    let asleep = tower.end().await;
    let tower = Tower::with_wallet(asleep, &scene, dir.path()).await;
    let again = tower.view.purse.send("k".to_owned(), to, amount, Some(500)).await.unwrap();
    assert_eq!(again.txid, paid.txid);
    scene.mine(1).await;
    tower.reach(scene.height().await).await;
    let left = tower.view.purse.balance().await.unwrap();
    assert!(left.confirmed.to_sat() > 2 * COIN - 2_000 && left.pending == Amount::ZERO);
    tower.end().await;
}

#[tokio::test]
async fn a_wallet_that_slept_through_a_reorganisation_comes_to_the_same_coins() {
    let mut scene = Scene::new().await;
    let dir = tempfile::tempdir().unwrap();
    let tower = Tower::with_wallet(disks(), &scene, dir.path()).await;
    tower.enrich(&mut scene, 1).await;
    scene.mine(3).await;
    tower.reach(scene.height().await).await;
    let address = tower.view.purse.address(String::new()).await.unwrap();
    let asleep = tower.end().await;
    scene.reorg(3, &[]).await;
    let output = TxOut { value: Amount::from_sat(70_000), script_pubkey: address.script_pubkey() };
    let coin = scene.coin();
    let change = TxOut { value: Amount::from_sat(9_000_000), script_pubkey: anyone().to_p2wsh() };
    assert!(scene.hand_in(super::scene::spend_any(vec![coin], vec![output, change])).await);
    scene.mine(1).await;
    let tower = Tower::with_wallet(asleep, &scene, dir.path()).await;
    tower.until(|watching| watching.reserve_sat == COIN + 70_000).await;
    tower.end().await;
}

#[tokio::test]
async fn what_went_together_and_goes_apart_is_told_once() {
    let mut scene = Scene::new().await;
    let tower = Tower::fresh(&scene).await;
    let channel = Channel::new(3, scene.coin());
    let session = tower.open(&channel).await.session;
    let htlcs = (0..3).map(|id| htlc(Direction::Received, id, 400_000, 900)).collect();
    let old = channel.commitment(4, 0, htlcs);
    tower.store(session, 0, vec![channel.record(&old, 4, 0)]).await;
    let mut events = tower.view.events.subscribe();
    // In the mempool they go together; in a block, where the cheater may be next, each alone.
    assert!(scene.hand_in(broadcast(&old)).await);
    tower.until(|watching| watching.book.claims().count() == 3).await;
    let outpoint = *tower.book().claims().next().unwrap().0;
    let together = justice(&scene, outpoint).await;
    assert_eq!(together.input.len(), 3);
    // The block has the breach and not the justice.
    scene.mine(1).await;
    tower.until(|watching| watching.book.claims().all(|(_, claim)| claim.taken.is_some())).await;
    scene.reorg(1, &[together.compute_txid()]).await;
    tower
        .until(|watching| {
            let sent = watching.book.claims().filter_map(|(_, claim)| claim.sent);
            sent.map(|sent| sent.txid).collect::<BTreeSet<_>>().len() == 3
        })
        .await;
    let mut split = Vec::new();
    while let Ok(event) = events.try_recv() {
        if event.kind == EventKind::Split {
            split.push((event.session, event.txid));
        }
    }
    assert_eq!(split, [(Some(session), together.compute_txid())]);
    tower.end().await;
}
