//! Theft with more HTLCs than the mempool lets stand on a commitment that is in no block: what finds no room
//! there follows in the next block.

use std::time::{Duration, Instant};

use chain_backend::Stall;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::{Cheat, Cheating, Mine};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::dispute::{ANCHORS, CAPACITY, COIN, Scene, Who};
use viaduct_tests::until::until_async;

/// What each HTLC holds, satoshi.
const EACH: u64 = 1_200;

/// Blocks until the faucet has coins.
const FAUCET: u32 = 112;

/// The state in which so many HTLCs from each side hang, settled since.
async fn crowded(each: u32, thief: Who) -> (Scene, u64) {
    let mut scene = Scene::open().await;
    // Coins for a pin: made later, they would bring the blocks that it is there to delay.
    let order = Mine { key: None, blocks: FAUCET, to: None };
    scene.node(thief).handle().mine(order).await.expect("mined");
    scene.level().await;
    let start = Instant::now();
    for from in Who::BOTH {
        scene.hang_many(from, each, EACH).await;
    }
    let old = scene.view(thief).await.commitment_number;
    println!("{each} from each side hang after {:?}", start.elapsed());
    scene.words().await;
    scene.quiet().await;
    println!("and are settled after {:?}", start.elapsed());
    (scene, old)
}

/// The thief's commitment comes with its pin, if it makes one, before the victim can see either; then the
/// thief sleeps, so that what is taken is taken from its commitment.
async fn cheat(scene: &mut Scene, thief: Who, state: u64, pins: bool) -> Cheating {
    scene.layer1.chain().stall(Stall::Readers, None).await.expect("it stands still");
    let order = Cheat { channel: ChannelRef::Id(scene.id), state };
    let cheating = scene.node(thief).handle().cheat(order).await.expect("it cheats");
    if pins {
        let pinned = scene.node(thief).handle().pin(cheating.txid).await.expect("it pins");
        assert!(pinned.vsize > 90_000, "{pinned:?}");
        assert_eq!(scene.height_of(cheating.txid).await, Some(None), "both wait");
    }
    scene.sleep(thief).await;
    scene.layer1.chain().stall(Stall::No, None).await.expect("it goes on");
    cheating
}

/// Waits until no more outputs are being taken, and says how many are left.
async fn left_over(scene: &Scene, cheating: &Cheating) -> usize {
    let mut last = (usize::MAX, Instant::now());
    loop {
        let untaken = scene.untaken(cheating.txid).await;
        if untaken != last.0 {
            last = (untaken, Instant::now());
        }
        if last.1.elapsed().as_millis() > 1_500 && untaken <= cheating.htlcs as usize {
            return untaken;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything is taken at the latest in the block behind the breach, and the victim has it but for fees.
async fn what_finds_no_room_follows_in_the_next_block(each: u32, pins: bool) {
    let (thief, victim) = (Who::Funder, Who::Fundee);
    let (mut scene, old) = crowded(each, thief).await;
    let had = scene.node(victim).balance().await.confirmed;
    let start = Instant::now();
    let cheating = cheat(&mut scene, thief, old, pins).await;
    assert_eq!(cheating.htlcs, 2 * each);
    let untaken = left_over(&scene, &cheating).await;
    println!("{untaken} find no room; {:?}", start.elapsed());
    assert!(untaken > 1, "more than the victim's own balance finds no room");
    scene.mine(1).await;
    until_async("the rest to be taken without another block", String::new, || async {
        (scene.untaken(cheating.txid).await == 0).then_some(())
    })
    .await;
    println!("all are taken; {:?}", start.elapsed());
    scene.mine(1).await;
    assert_eq!(scene.justice(cheating.txid).await, Some(1));
    scene.wake(thief).await;
    scene.bury().await;
    let gained = scene.node(victim).balance().await.confirmed - had;
    let fees = 200 * u64::from(2 * each) + 3_000;
    assert!(gained.to_sat() + ANCHORS + fees > CAPACITY, "{gained}");
    assert!(scene.node(thief).balance().await.confirmed.to_sat() <= COIN - CAPACITY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_behind_a_breach_that_its_thief_has_pinned_follows_in_the_next_block() {
    super::logged();
    what_finds_no_room_follows_in_the_next_block(40, true).await;
}

/// As many as there can be: 483 from each side. `VIADUCT_CROWD=483` plays it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_behind_a_breach_of_very_many_htlcs_follows_in_the_next_block() {
    super::logged();
    let Ok(each) = std::env::var("VIADUCT_CROWD") else { return };
    what_finds_no_room_follows_in_the_next_block(each.parse().expect("a number"), false).await;
}
