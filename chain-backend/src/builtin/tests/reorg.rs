//! Tests of `reorg`.

use super::harness::{Bench, COIN, child, miner, out};
use crate::builtin::reader::Cursor;
use crate::{ChainError, ChainEvent, Locator, MempoolDelta, RemovedBecause};
use bitcoin::Network;
use std::collections::BTreeSet;

#[test]
fn the_coins_after_a_reorganisation_are_those_of_the_new_chain() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![out(COIN, miner())], 1_000);
    let kid = child(&tx, &[0], 1_000);
    bench.submit(&tx).unwrap();
    bench.mine(1);
    bench.submit(&kid).unwrap();
    bench.mine(2);
    let before = bench.chain.totals();
    let height = bench.chain.tip().height;
    bench.chain.reorg(3, &BTreeSet::new(), &miner()).unwrap();
    assert_eq!(bench.chain.tip().height, height + 1);
    assert!(bench.confirmed(&tx) && bench.confirmed(&kid));
    let after = bench.chain.totals();
    assert_eq!((after.fees_sat, after.transactions), (before.fees_sat, before.transactions));
    assert_eq!(after.supply_sat, before.supply_sat + 50 * COIN);
}

#[test]
fn what_is_left_out_waits_again_with_all_that_stands_on_it() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![out(COIN, miner())], 1_000);
    let kid = child(&tx, &[0], 1_000);
    let other = bench.pay(vec![], 1_000);
    for tx in [&tx, &kid, &other] {
        bench.submit(tx).unwrap();
    }
    bench.mine(1);
    bench.chain.reorg(1, &BTreeSet::from([tx.compute_txid()]), &miner()).unwrap();
    assert!(bench.waits(&tx) && bench.waits(&kid) && bench.confirmed(&other));
    bench.mine(1);
    assert!(bench.confirmed(&tx) && bench.confirmed(&kid));
}

#[test]
fn what_stands_on_a_lost_coinbase_goes() {
    let mut bench = Bench::new();
    // A coinbase that is just ripe now, and no longer when the chain gets shorter.
    let height = bench.chain.tip().height;
    let hash = bench.chain.header_at(height - 99).unwrap().hash;
    let coinbase = bench.chain.block(hash).unwrap().txdata[0].clone();
    let tx = child(&coinbase, &[0], 1_000);
    bench.submit(&tx).unwrap();
    let mut cursor = Cursor { locator: Locator::genesis(Network::Regtest), next: None };
    while !bench.chain.read(&mut cursor).unwrap().is_empty() {}
    bench.chain.invalidate(bench.chain.tip().hash).unwrap();
    assert!(!bench.waits(&tx));
    let events = bench.chain.read(&mut cursor).unwrap();
    assert!(matches!(&events[0], ChainEvent::Disconnected { fork, gone }
        if fork.height == height - 1 && gone.len() == 1));
    let because = RemovedBecause::Reorganised;
    let removed = MempoolDelta::Removed { txid: tx.compute_txid(), because };
    assert_eq!(events[1], ChainEvent::Mempool(removed));
}

#[test]
fn a_ruled_out_block_comes_back_when_it_is_reconsidered() {
    let mut bench = Bench::new();
    let tip = bench.chain.tip();
    let fork = bench.chain.header_at(tip.height - 4).unwrap();
    bench.chain.invalidate(bench.chain.header_at(tip.height - 3).unwrap().hash).unwrap();
    assert_eq!(bench.chain.tip(), fork);
    bench.mine(2);
    assert_eq!(bench.chain.tip().height, fork.height + 2);
    let first = bench.chain.block_ref(tip.hash).unwrap();
    assert_eq!(first, tip);
    let root = bench.chain.gone(&Locator::at(tip.id()), fork).last().unwrap().hash;
    bench.chain.reconsider(root).unwrap();
    assert_eq!(bench.chain.tip(), tip);
}

#[test]
fn it_cannot_go_below_genesis() {
    let mut bench = Bench::new();
    let result = bench.chain.reorg(111, &BTreeSet::new(), &miner());
    assert!(matches!(result, Err(ChainError::TooDeep { depth: 111, height: 110 })));
}
