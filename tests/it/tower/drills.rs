//! Fire drills on a whole chain: towers that answer, one that only signs, and crashes in between.

use bitcoin::Amount;
use daemon::rpc::node_api::NodeApi as _;
use daemon::tower::{Drill, DrillStage, DrillTower, Verdict};
use futures_util::StreamExt as _;
use viaduct_tests::ours::OurNode;
use viaduct_tests::until::until_async;
use watchtower::proof::fraud::{FraudProof, Verdict as Judged};
use wire::id::NodeId;

use super::mute::Mute;
use super::scene::{Tower, hired, taker};
use crate::nodes::pair::{COIN, Pair, in_time};

/// What a drill may cost where blocks are cheap, in sat.
const CHEAP: u64 = 5_000;

async fn order(node: &OurNode, tower: NodeId) -> Drill {
    let order = DrillTower { key: None, tower, amount: Some(Amount::from_sat(80_000)) };
    let mut updates = node.handle().drill_tower(order).await.expect("a drill begins");
    updates.next().await.expect("it is shown").expect("it goes on")
}

async fn newest(node: &OurNode, tower: NodeId) -> Drill {
    hired(node, tower).await.drills.pop().expect("a drill")
}

/// Whether the tower looks at blocks at all.
#[derive(Clone, Copy, PartialEq)]
enum Is {
    Awake,
    Away,
}

/// Blocks on top of a drill's funding from which the tower hears of it.
const DEPTH: u32 = 3;

/// What each anchor holds, in sat.
const ANCHOR: u64 = 330;

/// A machine under load, or a chain that has to be asked, is no reason to fail: before the next block what is deep
/// enough is with the tower, a breach is out, and answered by a tower that is awake, and the rest of it is on its way.
async fn settle(pair: &Pair, tower: NodeId, is: Is) {
    until_async("what the next block must have", String::new, || async {
        let Ok(towers) = pair.bob.handle().list_towers().await else { return Some(()) };
        if pair.bob.has_failed() {
            return Some(());
        }
        let tower = towers.into_iter().find(|one| one.tower == tower);
        let Some(drill) = tower.and_then(|mut tower| tower.drills.pop()) else { return Some(()) };
        match drill.stage {
            DrillStage::Funding | DrillStage::Over => Some(()),
            DrillStage::Uploading => None,
            // A start says so before it has looked.
            DrillStage::Confirming(_) => (depth(pair, &drill).await < DEPTH).then_some(()),
            DrillStage::Breached | DrillStage::Waiting(_) | DrillStage::Homing => {
                let breach = drill.breach?;
                let found = pair.layer1.chain().tx(breach).await.expect("it answers")?;
                let target = found.tx.output.iter().map(|output| output.value).max()?;
                if is == Is::Awake {
                    taker(&pair.layer1, breach, target).await?;
                }
                let comes_home = is == Is::Awake && drill.stage == DrillStage::Homing;
                let left = pair.layer1.unspent_of(&found.tx).await;
                let anchors = left.iter().all(|(_, output)| output.value.to_sat() == ANCHOR);
                (anchors || !comes_home).then_some(())
            }
        }
    })
    .await;
}

/// How many blocks have the coins of a drill.
async fn depth(pair: &Pair, drill: &Drill) -> u32 {
    let Some(funding) = drill.funding else { return 0 };
    let found = pair.layer1.chain().tx(funding.txid).await.expect("it answers");
    let mined = found.and_then(|found| found.confirmed);
    match mined {
        Some((block, _)) => pair.layer1.height().await + 1 - block.height,
        None => 0,
    }
}

/// Mines until the drill is as `wanted`; one block at a time, and only when the drill has seen the last.
async fn mine_until(
    pair: &Pair,
    (tower, is): (NodeId, Is),
    what: &str,
    blocks: u32,
    wanted: impl Fn(&Drill) -> bool,
) -> Drill {
    for _ in 0..blocks {
        let drill = newest(&pair.bob, tower).await;
        if wanted(&drill) {
            return drill;
        }
        if is == Is::Awake || drill.stage == DrillStage::Breached {
            settle(pair, tower, is).await;
        }
        pair.mine(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{what}: {:?}", newest(&pair.bob, tower).await);
}

/// Bob's wallet has everything but what the drill cost.
async fn is_home(pair: &Pair, cost: u64) {
    until_async("everything is home", String::new, || async {
        let has = pair.bob.balance().await.confirmed.to_sat();
        if has + cost < COIN {
            pair.mine(1).await;
            return None;
        }
        assert_eq!(has + cost, COIN);
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_tower_that_is_awake_passes_a_drill_and_the_rest_comes_home() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        let begun = order(&pair.bob, tower.id()).await;
        let again = order(&pair.bob, tower.id()).await;
        assert_eq!(begun.id, again.id, "one drill at a time");
        let done = |drill: &Drill| drill.verdict.is_some();
        let drill = mine_until(&pair, (tower.id(), Is::Awake), "a verdict", 60, done).await;
        assert_eq!(drill.verdict, Some(Verdict::Passed), "{drill:?}");
        let over = |drill: &Drill| drill.stage == DrillStage::Over;
        let drill = mine_until(&pair, (tower.id(), Is::Awake), "the end", 60, over).await;
        let cost = drill.cost_sat.expect("known");
        assert!((660..CHEAP).contains(&cost), "{cost}: two anchors and some fees");
        assert!(drill.justice.is_some() && drill.justice_fee_sat.is_some_and(|fee| fee > 0));
        is_home(&pair, cost).await;
        assert_eq!(hired(&pair.bob, tower.id()).await.fault, None);
        // And the tower forgets the channel that never was.
        let again = order(&pair.bob, tower.id()).await;
        assert_ne!(begun.id, again.id, "the next one is another");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_tower_that_signs_and_never_broadcasts_is_convicted_by_a_drill() {
    in_time(async {
        let pair = Pair::start(&[]).await;
        let tower = Mute::start(&pair.layer1).await;
        let address = tower.address();
        pair.bob.handle().add_tower(tower.id(), address, false).await.expect("hired");
        order(&pair.bob, tower.id()).await;
        let done = |drill: &Drill| drill.verdict.is_some();
        let drill = mine_until(&pair, (tower.id(), Is::Away), "a verdict", 60, done).await;
        assert_eq!(drill.verdict, Some(Verdict::Failed), "{drill:?}");
        until_async("the tower is marked", String::new, || async {
            hired(&pair.bob, tower.id()).await.fault
        })
        .await;
        let over = |drill: &Drill| drill.stage == DrillStage::Over;
        let drill = mine_until(&pair, (tower.id(), Is::Away), "the end", 250, over).await;
        is_home(&pair, drill.cost_sat.expect("known")).await;
        let path = drill.proof.expect("what convicts it");
        let proof = FraudProof::from_bytes(&std::fs::read(path).unwrap()).expect("a proof");
        let Judged::Guilty(guilt) = proof.verify(&[]) else { panic!("{:?}", proof.verify(&[])) };
        assert_eq!(guilt.tower.serialize(), tower.id().0);
        let fault = hired(&pair.bob, tower.id()).await.fault.expect("marked");
        assert!(fault.contains("breach"), "{fault}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_drill_survives_a_crash_at_every_block_and_a_tower_that_is_away_costs_only_fees() {
    in_time(async {
        let mut pair = Pair::start(&[]).await;
        let mut tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        let id = tower.id();
        order(&pair.bob, id).await;
        let mut over = None;
        for _ in 0..60 {
            pair.bob = pair.bob.crash_and_restart().await;
            let drill = newest(&pair.bob, id).await;
            if drill.stage == DrillStage::Over {
                over = Some(drill);
                break;
            }
            settle(&pair, id, Is::Awake).await;
            pair.mine(1).await;
        }
        let drill = over.expect("it ends");
        assert_eq!(drill.verdict, Some(Verdict::Passed), "{drill:?}");
        is_home(&pair, drill.cost_sat.expect("known")).await;
        let before = pair.bob.balance().await.confirmed.to_sat();
        // The next one finds nobody there.
        tower.sleep().await;
        order(&pair.bob, id).await;
        let over = |drill: &Drill| drill.stage == DrillStage::Over;
        let drill = mine_until(&pair, (id, Is::Away), "the end", 120, over).await;
        assert_eq!(drill.verdict, Some(Verdict::Unreachable), "{drill:?}");
        let cost = drill.cost_sat.expect("known");
        assert!(cost < CHEAP, "{cost}");
        until_async("the money is home", String::new, || async {
            (pair.bob.balance().await.confirmed.to_sat() == before - cost).then_some(())
        })
        .await;
        assert_eq!(hired(&pair.bob, id).await.fault, None, "silence is no broken word");
    })
    .await;
}

/// Says that every moment is to be tried, not some.
const ALL: &str = "VIADUCT_DRILL_KILLS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_drill_that_is_cut_short_at_any_write_goes_on_or_never_was() {
    in_time(async {
        let mut pair = Pair::start(&[]).await;
        let tower = Tower::start(&pair.path().join("tower"), &pair.layer1).await;
        tower.hired_by(&pair.bob, false).await;
        let id = tower.id();
        // The first writes are those of the order and its coins; the later ones are mostly blocks.
        let some = [0, 1, 2, 3, 4, 5, 6, 7, 13, 19, 25, 31];
        let moments: Vec<u64> = match std::env::var(ALL) {
            Ok(_) => (0..60).collect(),
            Err(_) => some.to_vec(),
        };
        let mut known = None;
        for moment in moments {
            let before = pair.bob.balance().await.confirmed.to_sat();
            pair.bob.fail_at_moment(moment);
            let amount = Some(Amount::from_sat(80_000));
            let order = DrillTower { key: None, tower: id, amount };
            // It may die before it answers.
            let _begun = pair.bob.handle().drill_tower(order).await.map(drop);
            let mut height = pair.layer1.height().await;
            for _ in 0..30 {
                until_async("the block is seen, or nothing is any more", String::new, || async {
                    let seen = pair.bob.handle().tip().borrow().height.0;
                    (seen >= height || pair.bob.has_failed()).then_some(())
                })
                .await;
                if pair.bob.has_failed() {
                    break;
                }
                settle(&pair, id, Is::Awake).await;
                height = pair.layer1.mine(1).await;
            }
            pair.bob = pair.bob.crash_and_restart().await;
            pair.bob.at_height(pair.layer1.height().await).await;
            let over = |drill: &Drill| drill.stage == DrillStage::Over;
            let mut cost = 0;
            let begun = hired(&pair.bob, id).await.drills.pop();
            if let Some(begun) = begun.filter(|begun| Some(begun.id) != known) {
                known = Some(begun.id);
                let drill = mine_until(&pair, (id, Is::Awake), "the end", 60, over).await;
                let fits = match drill.verdict {
                    Some(Verdict::Passed) => drill.cost_sat.is_some_and(|cost| cost >= 660),
                    Some(Verdict::Abandoned) => drill.cost_sat == Some(0),
                    _ => false,
                };
                assert!(fits, "{moment}: {drill:?}");
                cost = drill.cost_sat.unwrap_or(0);
            }
            pair.mine(1).await;
            until_async("every satoshi but the cost is there", String::new, || async {
                let has = pair.bob.balance().await;
                let all = has.confirmed.to_sat() == before - cost;
                (all && has.unconfirmed == Amount::ZERO).then_some(())
            })
            .await;
        }
    })
    .await;
}
