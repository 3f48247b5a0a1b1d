//! A state so old that the victim has made a snapshot since: only its archive knows the HTLCs.

use channel::Fact as Of;
use daemon::datadir::DataDir;
use daemon::fact::{Fact, facts};
use daemon::rpc::model::channel::CloseOutput;
use futures_util::future::{join, join_all};
use store::disk::RealDisk;
use store::journal::{Options, Recovery};

use super::*;

/// How many HTLCs every state of the only channel has, by its number, out of the journal of a node that
/// does not run: the peer signed each.
fn htlcs_of_states(dir: &DataDir) -> Vec<usize> {
    let disk = RealDisk::open(dir.store().join("journal")).unwrap();
    let mut recovery = Recovery::start(disk, Options::new(1)).unwrap();
    assert!(recovery.take_snapshot().is_none(), "every fact is still there");
    let mut counts = vec![0];
    while let Some(record) = recovery.next_record().unwrap() {
        for fact in facts(record.payload).unwrap() {
            let Fact::Channel { record, .. } = fact else { continue };
            for fact in channel::record::facts(&record).unwrap() {
                if let Of::TheySigned(signed) = fact {
                    counts.push(signed.signatures[0].htlcs.len());
                }
            }
        }
    }
    counts
}

/// Two nodes whose channel had many HTLCs in flight at once, both ways, a long time ago: the number of
/// that state of alice's, and of its HTLCs.
async fn busy_once() -> (Pair, ChannelId, u64, u32) {
    let mut pair = Pair::start(&[("chain.cheat", "true")]).await;
    let id = pair.open(CAPACITY).await;
    pay_some(&pair.alice, &pair.bob, 500_000_000).await;
    let there = join_all((0..6).map(|more| pay_some(&pair.alice, &pair.bob, 20_000_000 + more)));
    let back = join_all((0..6).map(|more| pay_some(&pair.bob, &pair.alice, 30_000_000 + more)));
    join(there, back).await;
    for _ in 0..3 {
        pay_some(&pair.alice, &pair.bob, 100_000_000).await;
    }
    pair.agree(id).await;
    let mut counts = Vec::new();
    pair.alice = pair.alice.restart_with(|dir| counts = htlcs_of_states(dir)).await;
    pair.usable(id).await;
    let (most, state) = (0..).zip(&counts).map(|(state, count)| (*count, state)).max().unwrap();
    assert!(most >= 3, "{counts:?}");
    (pair, id, state, u32::try_from(most).unwrap())
}

/// Lets go of everything that a snapshot can let go of, in the data of a node that does not run.
fn forget(dir: &DataDir) {
    assert!(daemon::keeper::compact(dir).unwrap().is_some());
    let archives = std::fs::read_dir(dir.archive()).unwrap();
    assert_eq!(archives.count(), 1);
}

fn unknown(outputs: &[CloseOutput]) -> usize {
    outputs.iter().filter(|output| output.kind == "unknown").count()
}

/// The thief is away after its theft, so everything is taken from its commitment itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_htlc_of_a_state_that_the_victim_forgot_is_taken_from_the_commitment() {
    in_time(async {
        let (mut pair, id, old, htlcs) = busy_once().await;
        let before = pair.alice.balance().await.confirmed;
        let bob = pair.bob.sleep().await;
        forget(bob.dir());
        let cheating = cheat(&pair.alice, id, old).await.expect("it cheats");
        assert_eq!(cheating.htlcs, htlcs);
        let alice = pair.alice.sleep().await;
        pair.layer1.mine(1).await;
        pair.bob = bob.wake().await;
        justice(&pair.layer1, &cheating).await;
        let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
        let worth: Vec<_> = commitment.output.iter().map(|output| output.value).collect();
        for value in worth.iter().filter(|value| value.to_sat() > 330) {
            let look = || async { taker(&pair.layer1, cheating.txid, *value).await };
            until_async("every output is taken at once", String::new, look).await;
        }
        let shown = find(&pair.bob, id).await.closing.expect("closing");
        assert_eq!(unknown(&shown.outputs), 0, "{:?}", shown.outputs);
        let why = pair.bob.handle().why_channel(ChannelRef::Id(id)).await.expect("a story");
        let searched = why.steps.iter().find(|step| step.code == "history-searched");
        let text = &searched.expect("the archive was asked").text;
        assert!(text.contains(&format!("{htlcs} settled")), "{text}");
        pair.layer1.mine(1).await;
        pair.alice = alice.wake().await;
        all_is_taken(&pair, id, &cheating, before).await;
    })
    .await;
}

/// Both are there, so the thief races with its preimages, and loses its second stages as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_over_htlcs_that_the_victim_forgot_is_won_to_the_last_output() {
    in_time(async {
        let (mut pair, id, old, htlcs) = busy_once().await;
        let before = pair.alice.balance().await.confirmed;
        pair.bob = pair.bob.restart_with(forget).await;
        pair.usable(id).await;
        let cheating = cheat(&pair.alice, id, old).await.expect("it cheats");
        assert_eq!(cheating.htlcs, htlcs);
        // The archive is asked before a block has the breach, so that nothing is left to race for.
        let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("there").tx;
        until_async("all but anchors and bob's own are taken", String::new, || async {
            let left = pair.layer1.unspent_of(&commitment).await;
            (left.iter().filter(|(_, output)| output.value.to_sat() != 330).count() <= 1)
                .then_some(())
        })
        .await;
        pair.mine(1).await;
        // A crash of the victim in the middle changes nothing.
        pair.bob = pair.bob.crash_and_restart().await;
        pair.buried(id).await;
        let shown = find(&pair.bob, id).await.closing.expect("closed");
        assert_eq!(unknown(&shown.outputs), 0, "{:?}", shown.outputs);
        let commitment = pair.layer1.chain().tx(cheating.txid).await.unwrap().expect("mined").tx;
        let left = pair.layer1.unspent_of(&commitment).await;
        let left: u64 = left.iter().map(|(_, output)| output.value.to_sat()).sum();
        assert!(left <= 660, "only anchors are left: {left}");
        pair.account(left).await;
        assert!(pair.alice.balance().await.confirmed <= before, "fees for nothing");
        let bob = pair.bob.balance().await.confirmed;
        assert!(bob > Amount::from_sat(COIN + CAPACITY - 100_000), "{bob}");
    })
    .await;
}
