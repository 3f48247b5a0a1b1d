//! Thefts with HTLCs in the old state: the tower takes their outputs as well, and what the thief made of them.

use std::time::{Duration, Instant};

use bitcoin::{Amount, Txid};
use chain_backend::Stall;
use daemon::rpc::model::sandbox::Cheating;
use viaduct_tests::dispute::{ANCHORS, CAPACITY, Scene, Who};
use viaduct_tests::until::until_async;

use super::scene::{DELAY, Tower, bob_has_all, cheat, coverage, covered, justice, scene, taker};
use crate::nodes::pair::{in_time, pay_some};

const THIEF: Who = Who::Funder;
const VICTIM: Who = Who::Fundee;

/// How long it may take to tell a tower of hundreds of HTLCs again and again, without optimisation.
const CROWDED: Duration = Duration::from_secs(900);

/// So many HTLCs from each side hang in a state that is old by now, and the tower has it.
async fn watched(each: u32, sat: u64) -> (Scene, Tower, u64) {
    let mut scene = Scene::open_with(&[("towers.copies", "1")]).await;
    let tower = Tower::start(&scene.path().join("tower"), &scene.layer1).await;
    tower.hired_by(scene.node(VICTIM), false).await;
    for from in Who::BOTH {
        scene.hang_many(from, each, sat).await;
    }
    let old = scene.view(THIEF).await.commitment_number;
    scene.words().await;
    scene.quiet().await;
    // A state of very many HTLCs is as many signatures.
    let start = Instant::now();
    while each > 100 && coverage(scene.node(VICTIM)).await.missing_copies > 0 {
        assert!(start.elapsed() < CROWDED, "the tower does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    covered(scene.node(VICTIM)).await;
    (scene, tower, old)
}

/// The thief shows it while its victim sleeps, and sleeps itself before anybody has heard of it: so all that is
/// taken is taken from its commitment.
async fn breach(scene: &mut Scene, old: u64) -> Cheating {
    scene.sleep(VICTIM).await;
    scene.layer1.chain().stall(Stall::Readers, None).await.expect("it stands still");
    let cheating = cheat(scene.node(THIEF), scene.id, old).await;
    scene.sleep(THIEF).await;
    scene.layer1.chain().stall(Stall::No, None).await.expect("it goes on");
    cheating
}

/// The victim has everything but fees, the thief nothing.
async fn judge(scene: &mut Scene, since: u32, fees: i64) {
    scene.wake(VICTIM).await;
    scene.wake(THIEF).await;
    scene.bury().await;
    let account = scene.account(since).await;
    println!("{account:?}");
    assert!(account.left <= ANCHORS, "{account:?}");
    assert!(account.home[THIEF as usize] <= 0, "the thief got something: {account:?}");
    assert!(account.home[VICTIM as usize] + fees > CAPACITY as i64, "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_tower_takes_twenty_htlcs_with_the_thiefs_balance_in_the_block_of_the_breach() {
    in_time(async {
        let (mut scene, tower, old) = watched(10, 20_000).await;
        let since = scene.layer1.height().await;
        let cheating = breach(&mut scene, old).await;
        assert_eq!(cheating.htlcs, 20);
        // The victim's own balance is no business of the tower's.
        until_async("all is taken before a block has the breach", String::new, || async {
            (scene.untaken(cheating.txid).await <= 1).then_some(())
        })
        .await;
        scene.mine(1).await;
        assert_eq!(scene.justice(cheating.txid).await, Some(0));
        let told = tower.view().watching.borrow().book.claims_of(cheating.txid).count();
        assert_eq!(told, 21, "the thief's balance and each HTLC are claims of their own");
        // The thief's delay passes while both sleep.
        scene.layer1.mine(DELAY + 10).await;
        judge(&mut scene, since, 60_000).await;
    })
    .await;
}

/// As many as there can be: 483 from each side. `VIADUCT_CROWD=483` plays it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_very_many_htlcs_are_taken_in_transactions_that_are_relayed_long_before_the_delay_is_over()
 {
    let Ok(each) = std::env::var("VIADUCT_CROWD") else { return };
    let each: u32 = each.parse().expect("a number");
    let start = Instant::now();
    let (mut scene, _tower, old) = watched(each, 1_200).await;
    println!("{each} from each side are settled and with the tower after {:?}", start.elapsed());
    let since = scene.layer1.height().await;
    let cheating = breach(&mut scene, old).await;
    assert_eq!(cheating.htlcs, 2 * each);
    let mut blocks = 0;
    let mut left = usize::MAX;
    while left > 1 {
        assert!(blocks < DELAY, "{left} outputs are left when the delay is over");
        // What finds no room beside the breach follows when it is in a block.
        let looked = Instant::now();
        while left > 1 && looked.elapsed().as_secs() < 5 {
            left = scene.untaken(cheating.txid).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        scene.layer1.mine(1).await;
        blocks += 1;
        println!("{left} outputs are left at block {blocks}; {:?}", start.elapsed());
    }
    let took = scene.justice(cheating.txid).await;
    println!("the last is taken {took:?} blocks behind the breach");
    assert!(took.is_some_and(|blocks| blocks < DELAY));
    // What an HTLC is worth here is not much more than its claim costs at the template's price.
    judge(&mut scene, since, 600 * 2 * i64::from(each) + 60_000).await;
}

/// The transaction by which the thief took the HTLC of this value, in a block.
async fn second_stage(layer1: &viaduct_tests::layer1::Layer1, breach: Txid, htlc: Amount) -> Txid {
    let found = until_async("the thief takes the HTLC", String::new, || async {
        taker(layer1, breach, htlc).await
    })
    .await;
    let tx = found.0.compute_txid();
    assert_eq!(found.0.input.iter().filter(|input| input.witness.len() == 5).count(), 1);
    layer1.mine(1).await;
    let found = layer1.chain().tx(tx).await.unwrap().expect("it is there");
    assert!(found.confirmed.is_some(), "the thief was first");
    tx
}

/// The thief's HTLC-success transaction is mined before a tower has seen anything.
async fn the_thief_is_first(trusted: bool) {
    let (mut pair, id, _) = scene(&[("towers.copies", "1")]).await;
    let mut tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
    tower.hired_by(&pair.bob, trusted).await;
    let now = pair.agree(id).await.commitment_number;
    pay_some(&pair.bob, &pair.alice, 50_000_000).await;
    pay_some(&pair.alice, &pair.bob, 90_000_000).await;
    pair.agree(id).await;
    covered(&pair.bob).await;
    let before = pair.alice.balance().await.confirmed;
    let bob = pair.bob.sleep().await;
    tower.sleep().await;
    let cheating = cheat(&pair.alice, id, now + 1).await;
    assert_eq!(cheating.htlcs, 1);
    pair.alice.at_height(pair.layer1.mine(1).await).await;
    let htlc = Amount::from_sat(50_000);
    let stage = second_stage(&pair.layer1, cheating.txid, htlc).await;
    tower.wake().await;
    // The rest is taken all the same.
    justice(&pair.layer1, &cheating).await;
    tower.at_tip().await;
    if trusted {
        let look = || async { taker(&pair.layer1, stage, htlc).await };
        until_async("the second stage is taken by keys", String::new, look).await;
        pair.layer1.mine(1).await;
        assert!(taker(&pair.layer1, stage, htlc).await.expect("taken").1, "long before its delay");
        pair.alice.at_height(pair.layer1.mine(DELAY + 10).await).await;
    } else {
        // A sealed record has no key for it. Its owner is in time.
        assert!(taker(&pair.layer1, stage, htlc).await.is_none());
        pair.alice.at_height(pair.layer1.mine(DELAY / 2).await).await;
    }
    pair.bob = bob.wake().await;
    pair.mine(1).await;
    if !trusted {
        let look = || async { taker(&pair.layer1, stage, htlc).await };
        until_async("the second stage is taken by its owner", String::new, look).await;
        pair.mine(1).await;
    }
    pair.mine(DELAY).await;
    let alice = pair.alice.balance().await.confirmed;
    assert!(alice <= before, "the thief paid a fee for nothing");
    bob_has_all(&pair, &cheating, alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_an_htlc_that_the_thief_took_first_leaves_the_other_signatures_of_a_record_valid() {
    in_time(the_thief_is_first(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s4_a_tower_of_ones_own_takes_what_the_thief_made_of_an_htlc_before_its_delay_is_over() {
    in_time(the_thief_is_first(true)).await;
}
