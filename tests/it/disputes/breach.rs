//! Theft with HTLCs on the old state: justice at once, and after the second stage.

use bitcoin::OutPoint;
use chain_backend::ChainBackend as _;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::{Cheat, Cheating};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::dispute::{ANCHORS, CAPACITY, Scene, Who};

/// What an anchor holds, satoshi.
const ANCHOR: u64 = 330;

/// So many HTLCs from each side hang in the state that the thief will remember; then all are settled.
async fn old_state(htlcs: u64, thief: Who) -> (Scene, u64) {
    let mut scene = Scene::open().await;
    for number in 0..htlcs {
        for from in Who::BOTH {
            scene.hang(from, 20_000 + number, number % 2 == 0).await;
        }
    }
    let old = scene.view(thief).await.commitment_number;
    scene.words().await;
    scene.quiet().await;
    (scene, old)
}

async fn cheat(scene: &Scene, thief: Who, state: u64) -> Cheating {
    let order = Cheat { channel: ChannelRef::Id(scene.id), state };
    scene.node(thief).handle().cheat(order).await.expect("it cheats")
}

/// For each output of the old commitment but its anchors the block in which it is spent.
async fn taken_at(scene: &Scene, cheating: &Cheating) -> Vec<Option<u32>> {
    let chain = scene.layer1.chain();
    let commitment = chain.tx(cheating.txid).await.expect("answers").expect("there").tx;
    let mut heights = Vec::new();
    for (vout, output) in (0_u32..).zip(&commitment.output) {
        if output.value.to_sat() > ANCHOR {
            let outpoint = OutPoint { txid: cheating.txid, vout };
            let spend = chain.spender(outpoint, 0).await.expect("answers");
            heights.push(spend.and_then(|spend| spend.block).map(|block| block.height));
        }
    }
    heights
}

/// The victim has everything but fees, the thief nothing of it.
async fn justice_is_done(scene: &mut Scene, thief: Who, since: u32) {
    scene.bury().await;
    let account = scene.account(since).await;
    assert!(account.left <= ANCHORS, "{account:?}");
    assert!(account.home[thief as usize] <= 0, "the thief got something: {account:?}");
    let victim = account.home[thief.other() as usize];
    assert!(victim + 60_000 > CAPACITY as i64, "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c68_justice_for_twenty_htlcs_that_were_settled_is_done_before_the_delay_is_over() {
    super::logged();
    let thief = Who::Funder;
    let (mut scene, old) = old_state(10, thief).await;
    let since = scene.layer1.height().await;
    let cheating = cheat(&scene, thief, old).await;
    assert_eq!(cheating.htlcs, 20);
    let before = scene.seen_spent(cheating.txid, cheating.ours).await;
    scene.mine(1).await;
    let breach = scene.height_of(cheating.txid).await.flatten().expect("mined");
    let first = taken_at(&scene, &cheating).await;
    let same = first.iter().filter(|height| **height == Some(breach)).count();
    println!("seen before a block: {before}; {same} of {} outputs in the same block", first.len());
    scene.mine(30).await;
    println!("{breach}: {:?}", taken_at(&scene, &cheating).await);
    justice_is_done(&mut scene, thief, since).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c59_second_stages_that_were_mined_while_we_slept_are_taken_from_there() {
    super::logged();
    for thief in Who::BOTH {
        let (mut scene, old) = old_state(2, thief).await;
        let since = scene.layer1.height().await;
        scene.sleep(thief.other()).await;
        let cheating = cheat(&scene, thief, old).await;
        // The thief's own HTLCs expire, and its timeouts are mined; its delay is not over.
        let expiry = scene.last_expiry();
        scene.mine_to(expiry + 12).await;
        let slept = scene.layer1.height().await;
        assert!(slept < since + u32::from(cheating.to_self_delay), "in time");
        let commitment = scene.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
        let mut taken = 0;
        for (vout, output) in (0_u32..).zip(&commitment.output) {
            let outpoint = OutPoint { txid: cheating.txid, vout };
            let spend = scene.layer1.chain().spender(outpoint, 0).await.unwrap();
            taken += usize::from(output.value.to_sat() >= 20_000 && spend.is_some());
        }
        assert!(taken >= 2, "the thief has its second stages in blocks: {taken}");
        scene.wake(thief.other()).await;
        scene.mine(6).await;
        justice_is_done(&mut scene, thief, since).await;
    }
}
