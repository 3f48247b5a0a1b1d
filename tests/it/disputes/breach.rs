//! Theft with HTLCs on the old state: justice at once, and after the second stage.

use bitcoin::OutPoint;
use daemon::rpc::model::channel::ChannelRef;
use daemon::rpc::model::sandbox::{Cheat, Cheating};
use daemon::rpc::node_api::NodeApi as _;
use viaduct_tests::dispute::{ANCHORS, CAPACITY, Scene, Who};

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

/// The victim has everything but fees, the thief nothing of it.
async fn justice_is_done(scene: &mut Scene, thief: Who, since: u32) {
    scene.bury().await;
    let account = scene.account(since).await;
    assert!(account.left <= ANCHORS, "{account:?}");
    assert!(account.home[thief as usize] <= 0, "the thief got something: {account:?}");
    let victim = account.home[thief.other() as usize];
    assert!(victim + 60_000 > CAPACITY as i64, "{account:?}");
}

/// What is seen in the mempool is punished there: nothing is left to race for when a block comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c68_justice_for_htlcs_that_were_settled_is_in_the_block_of_the_breach() {
    super::logged();
    for (htlcs, thief) in [(0, Who::Fundee), (10, Who::Funder)] {
        let (mut scene, old) = old_state(htlcs, thief).await;
        if htlcs == 0 {
            // Else there would be no older state.
            scene.hang(thief, 20_000, false).await;
            scene.words().await;
            scene.quiet().await;
        }
        let since = scene.layer1.height().await;
        let cheating = cheat(&scene, thief, old).await;
        assert_eq!(u64::from(cheating.htlcs), 2 * htlcs);
        assert!(scene.all_taken(cheating.txid).await, "all is taken before a block has the breach");
        scene.mine(1).await;
        assert_eq!(scene.justice(cheating.txid).await, Some(0), "{htlcs} HTLCs from each side");
        justice_is_done(&mut scene, thief, since).await;
    }
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
