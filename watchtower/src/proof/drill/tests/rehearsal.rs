//! Whole rehearsals on the built-in chain: a tower that answers, and one that only says that it would.
//! Scenario 24.

use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use chain_backend::ChainBackend as _;
use wire::codec::Encode as _;
use wire::units::{BlockHeight, FeeratePerKw, Sat};

use super::super::{Drill, Outcome, PATIENCE_BLOCKS, Shape, Staged, judge};
use super::{session, shape, sweep_script};
use crate::store::{Kit, Wish};
use crate::watch::tests::scene::{CAPACITY, Scene, Tower, anyone, eventually, spend_any};

/// A drill whose funding output is in a block.
struct Rehearsal {
    scene: Scene,
    drill: Drill,
    funding: OutPoint,
    staged: Staged,
    breach_height: u32,
}

impl Rehearsal {
    async fn new() -> Self {
        let mut scene = Scene::new().await;
        let amount = Amount::from_sat(CAPACITY - 1_000);
        let shape = Shape { amount, to_remote: Sat::from_sat(30_000), ..shape() };
        let drill = Drill::new(&[8; 32], shape).unwrap();
        let output = TxOut { value: amount, script_pubkey: drill.funding_script() };
        let tx = spend_any(vec![scene.coin()], vec![output]);
        let funding = OutPoint { txid: tx.compute_txid(), vout: 0 };
        assert!(scene.hand_in(tx).await);
        scene.mine(1).await;
        let staged = drill.stage(funding).unwrap();
        Self { scene, drill, funding, staged, breach_height: 0 }
    }

    /// Uploads as every client does; the tower has it on its disk afterwards.
    async fn upload(&self, tower: &Tower) {
        let wish = Wish {
            key: session().serialize(),
            kit: Kit::Sealed,
            template: self.staged.template.encoded(),
            quota_bytes: 1 << 20,
            quota_records: 100,
            blocks: 1_000,
            replaces: false,
        };
        let number = tower.keeper.open(wish).await.unwrap().into_inner().session;
        let standing = tower.store(number, 0, vec![self.staged.sealed(&session(), 0)]).await;
        assert_eq!(standing.next_seq, 1);
    }

    /// Broadcasts the breach. It waits in the mempool.
    async fn breach(&self) {
        assert!(self.scene.hand_in(self.staged.breach.clone()).await);
    }

    async fn mine(&mut self, blocks: u32) {
        self.scene.mine(blocks).await;
        if self.breach_height == 0 {
            self.breach_height = self.scene.height().await;
        }
    }

    async fn judge(&self) -> Outcome {
        let target = &self.staged.breach.output[self.staged.target.vout as usize];
        let spend = self.scene.chain.spender(self.staged.target, 0).await.unwrap();
        let spender = spend
            .as_ref()
            .and_then(|spend| spend.block.map(|block| (&*spend.tx, BlockHeight(block.height))));
        let breach = (self.breach_height > 0).then_some(BlockHeight(self.breach_height));
        let tip = BlockHeight(self.scene.height().await);
        judge(target, &sweep_script(), breach, spender, tip, PATIENCE_BLOCKS)
    }

    /// Takes back what is left.
    async fn collect(&self) -> Transaction {
        let txid = self.staged.breach.compute_txid();
        let mut unspent = Vec::new();
        for vout in 0..4 {
            let outpoint = OutPoint { txid, vout };
            if self.scene.spender(outpoint).await.is_none() {
                unspent.push(outpoint);
            }
        }
        let home = anyone().to_p2wsh();
        let back = self.drill.collect(self.funding, &unspent, &home, FeeratePerKw(1_000));
        back.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_24_a_tower_that_is_awake_passes_and_the_rest_comes_home() {
    let mut rehearsal = Rehearsal::new().await;
    let tower = Tower::fresh(&rehearsal.scene).await;
    rehearsal.upload(&tower).await;
    rehearsal.breach().await;
    let waiting = Outcome::Waiting { blocks_left: PATIENCE_BLOCKS };
    assert_eq!(rehearsal.judge().await, waiting);
    let (scene, target) = (rehearsal.scene.clone(), rehearsal.staged.target);
    eventually("justice", || async { scene.spender(target).await.is_some() }).await;
    rehearsal.mine(1).await;
    let outcome = rehearsal.judge().await;
    let Outcome::Passed { blocks: 0, fee, .. } = outcome else { panic!("{outcome:?}") };
    assert!(fee > Sat::ZERO);
    let back = rehearsal.collect().await;
    assert_eq!(back.input.len(), 1, "`to_remote` alone is left for us");
    rehearsal.mine(1).await;
    assert!(rehearsal.scene.hand_in(back).await);
    tower.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_24_a_tower_that_stores_and_sleeps_fails_and_costs_two_fees() {
    let mut rehearsal = Rehearsal::new().await;
    let tower = Tower::fresh(&rehearsal.scene).await;
    rehearsal.upload(&tower).await;
    // It has the record on its disk, and looks at no block any more.
    tower.end().await;
    rehearsal.breach().await;
    rehearsal.mine(1).await;
    rehearsal.mine(PATIENCE_BLOCKS - 1).await;
    assert_eq!(rehearsal.judge().await, Outcome::Waiting { blocks_left: 1 });
    rehearsal.mine(1).await;
    let failed = Outcome::Failed { blocks: PATIENCE_BLOCKS };
    assert_eq!(rehearsal.judge().await, failed);
    let back = rehearsal.collect().await;
    assert_eq!(back.input.len(), 2);
    let home: u64 = back.output.iter().map(|output| output.value.to_sat()).sum();
    assert!(rehearsal.scene.hand_in(back).await);
    rehearsal.mine(1).await;
    // Anchors and two fees are all that it cost.
    let cost = CAPACITY - 1_000 - home;
    assert!(cost < 3_500, "{cost}");
}
