//! Whoever applied the stream has what somebody has who replayed the final best chain.

use super::harness::{Bench, START, child, miner};
use crate::backend::BlockId;
use crate::builtin::reader::Cursor;
use crate::sandbox::Reorg;
use crate::{ChainEvent, Locator, MempoolDelta};
use bitcoin::{Block, FeeRate, Network, OutPoint, Transaction, Txid};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A consumer that keeps what it needs to undo.
#[derive(Clone, Debug, Default, PartialEq)]
struct Consumer {
    chain: Vec<BlockId>,
    coins: BTreeMap<OutPoint, u64>,
    undo: Vec<BTreeMap<OutPoint, Option<u64>>>,
    waiting: BTreeSet<Txid>,
}

impl Consumer {
    fn apply(&mut self, event: &ChainEvent) {
        match event {
            ChainEvent::Connected { block, txs } => {
                assert_eq!(block.height as usize, self.chain.len() + 1, "no gap");
                let previous = self.chain.last().map(|last| last.hash);
                assert!(previous.is_none_or(|hash| hash == block.header.prev_blockhash));
                self.connect(block.id(), txs.block().unwrap());
            }
            ChainEvent::Disconnected { fork, gone } => {
                let lost = self.chain.split_off(fork.height as usize);
                let lost: Vec<BlockId> = lost.into_iter().rev().collect();
                assert_eq!(lost, *gone);
                while self.undo.len() > self.chain.len() {
                    for (outpoint, before) in self.undo.pop().unwrap() {
                        match before {
                            Some(value) => self.coins.insert(outpoint, value),
                            None => self.coins.remove(&outpoint),
                        };
                    }
                }
            }
            ChainEvent::Mempool(MempoolDelta::Snapshot(txs)) => {
                self.waiting = txs.iter().map(|tx| tx.compute_txid()).collect();
            }
            ChainEvent::Mempool(MempoolDelta::Added { tx, .. }) => {
                assert!(self.waiting.insert(tx.compute_txid()));
            }
            ChainEvent::Mempool(MempoolDelta::Removed { txid, .. }) => {
                assert!(self.waiting.remove(txid));
            }
            ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
        }
    }

    fn connect(&mut self, at: BlockId, block: &Block) {
        let mut undo = BTreeMap::new();
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            for input in tx.input.iter().filter(|_| !tx.is_coinbase()) {
                let value = self.coins.remove(&input.previous_output).expect("a coin");
                undo.entry(input.previous_output).or_insert(Some(value));
            }
            for (vout, output) in (0..).zip(&tx.output) {
                let outpoint = OutPoint::new(txid, vout);
                self.coins.insert(outpoint, output.value.to_sat());
                undo.entry(outpoint).or_insert(None);
            }
        }
        self.chain.push(at);
        self.undo.push(undo);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Mine(u32),
    Pay(u64),
    Chain(u64),
    Reorg { depth: u32, exclude: bool, forget: bool },
    Evict,
    Floor(u64),
    Invalidate(u32),
    Read(usize),
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u32..4).prop_map(Step::Mine),
        4 => (200_u64..5_000).prop_map(Step::Pay),
        3 => (200_u64..5_000).prop_map(Step::Chain),
        2 => (1_u32..15, any::<bool>(), any::<bool>())
            .prop_map(|(depth, exclude, forget)| Step::Reorg { depth, exclude, forget }),
        1 => Just(Step::Evict),
        1 => (0_u64..20_000).prop_map(Step::Floor),
        1 => (0_u32..4).prop_map(Step::Invalidate),
        4 => (0_usize..2).prop_map(Step::Read),
        1 => (0_usize..2).prop_map(Step::Restart),
    ]
}

fn fresh() -> (Cursor, Consumer) {
    let cursor = Cursor { locator: Locator::genesis(Network::Regtest), next: None };
    (cursor, Consumer::default())
}

fn read_once(bench: &mut Bench, reader: &mut (Cursor, Consumer)) -> bool {
    let events = bench.chain.read(&mut reader.0).unwrap();
    events.iter().for_each(|event| reader.1.apply(event));
    !events.is_empty()
}

fn run(steps: Vec<Step>) {
    let mut bench = Bench::new();
    let mut readers = [fresh(), fresh()];
    let mut last: Option<Transaction> = None;
    let mut paid = 0;
    for step in steps {
        match step {
            Step::Mine(count) => bench.mine(count),
            Step::Pay(fee) if paid < 9 => {
                paid += 1;
                let tx = bench.pay(vec![], fee);
                let _ = bench.submit(&tx);
                last = Some(tx);
            }
            Step::Pay(_) => {}
            Step::Chain(fee) => {
                let tx = last.as_ref().map(|parent| child(parent, &[0], fee));
                if let Some(tx) = tx.filter(|tx| bench.submit(tx).is_ok()) {
                    last = Some(tx);
                }
            }
            Step::Reorg { depth, exclude, forget } => {
                let left_out = last.iter().filter(|_| exclude).map(Transaction::compute_txid);
                let left_out: BTreeSet<Txid> = left_out.collect();
                let before = bench.chain.tip().height;
                let mined: Vec<bool> =
                    last.iter().map(|tx| bench.confirmed(tx) && !bench.waits(tx)).collect();
                let reorg = Reorg { depth, left_out: left_out.clone(), forget, script: miner() };
                bench.chain.reorganise(&reorg).unwrap();
                assert_eq!(bench.chain.tip().height, before + 1);
                // What was left out is in no block above the fork, and waits only if it may.
                for (tx, mined) in last.iter().zip(mined).filter(|_| exclude) {
                    let fork = before - depth;
                    let found = bench.chain.find_tx(tx.compute_txid()).unwrap();
                    let at = found.and_then(|found| found.confirmed).map(|(at, _)| at.height);
                    assert!(at.is_none_or(|height| height <= fork));
                    assert!(!(forget && mined && bench.waits(tx)));
                }
            }
            Step::Evict => {
                let waiting = bench.chain.mempool().snapshot();
                if let Some(tx) = waiting.get(waiting.len() / 2) {
                    assert!(bench.chain.evict(&tx.compute_txid()));
                    assert!(!bench.waits(tx));
                }
            }
            Step::Floor(sat_kvb) => {
                let floor = FeeRate::from_sat_per_kwu(sat_kvb / 4);
                bench.chain.set_floor(Some(floor).filter(|_| sat_kvb > 4_000));
            }
            Step::Invalidate(below) => {
                let height = bench.chain.tip().height - below;
                let hash = bench.chain.header_at(height).unwrap().hash;
                bench.chain.invalidate(hash).unwrap();
            }
            Step::Read(who) => {
                read_once(&mut bench, &mut readers[who]);
            }
            // A reader that crashed comes back from what it stored.
            Step::Restart(who) => {
                let bytes = readers[who].0.locator.encode();
                let locator = Locator::decode(&bytes).unwrap();
                readers[who].0 = Cursor { locator, next: None };
            }
        }
        bench.chain.check();
    }
    let mut replay = fresh();
    while read_once(&mut bench, &mut replay) {}
    let tip = bench.chain.tip();
    assert_eq!(replay.1.chain.last(), Some(&tip.id()));
    let total: u64 = replay.1.coins.values().sum();
    assert_eq!(total, bench.chain.totals().supply_sat);
    for reader in &mut readers {
        while read_once(&mut bench, reader) {}
        assert_eq!(reader.1.chain, replay.1.chain);
        assert_eq!(reader.1.coins, replay.1.coins);
        assert_eq!(reader.1.waiting, replay.1.waiting);
    }
    let _ = START;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("VIADUCT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40),
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    })]
    #[test]
    fn a_reader_has_what_a_replay_of_the_best_chain_has(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        run(steps);
    }
}
