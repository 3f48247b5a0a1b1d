//! A chain that misbehaves as it is told.

use super::harness::{Bench, COIN, START, child, miner, out};
use crate::builtin::reject::Reject;
use crate::sandbox::{Reorg, Stall};
use crate::{
    BuiltinChain, ChainBackend, ChainEvent, Interest, Locator, MempoolDelta, RemovedBecause,
    Sandbox, SandboxError,
};
use bitcoin::{FeeRate, Network};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;

const FIFTY: FeeRate = FeeRate::from_sat_per_vb_u32(50);

#[test]
fn what_a_reorganisation_forgets_does_not_wait_again_and_neither_do_its_children() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![out(COIN, miner())], 1_000);
    let kid = child(&tx, &[0], 1_000);
    let other = bench.pay(vec![], 1_000);
    bench.submit(&tx).unwrap();
    bench.mine(1);
    bench.submit(&kid).unwrap();
    bench.submit(&other).unwrap();
    bench.mine(2);
    let late = child(&kid, &[0], 1_000);
    bench.submit(&late).unwrap();
    let left_out = BTreeSet::from([tx.compute_txid()]);
    let reorg = Reorg { depth: 3, left_out, forget: true, script: miner() };
    bench.chain.reorganise(&reorg).unwrap();
    for gone in [&tx, &kid, &late] {
        assert!(!bench.waits(gone) && !bench.confirmed(gone));
    }
    assert!(bench.confirmed(&other));
    assert_eq!(bench.submit(&tx), Ok(()), "who still has it can hand it in again");
}

#[test]
fn a_floor_throws_out_what_pays_less_and_estimates_follow_up_and_down() {
    let mut bench = Bench::new();
    let poor = bench.pay(vec![out(COIN, miner())], 300);
    let rich = bench.pay(vec![], 20_000);
    let carried = bench.pay(vec![out(COIN, miner())], 300);
    let carrier = child(&carried, &[0], 40_000);
    for tx in [&poor, &rich, &carried, &carrier] {
        bench.submit(tx).unwrap();
    }
    bench.chain.set_floor(Some(FIFTY));
    assert!(!bench.waits(&poor) && bench.waits(&rich));
    assert!(bench.waits(&carried) && bench.waits(&carrier), "a child can pay for its parent");
    assert_eq!(bench.submit(&poor), Err(Reject::MempoolMinFee));
    let table = bench.chain.fee_table();
    assert_eq!((table.mempool_min, table.floor()), (FIFTY, FIFTY));
    assert!(table.estimate(6) >= Some(FIFTY));
    assert_eq!(bench.submit_all(&[&poor, &child(&poor, &[0], 40_000)]), Ok(()));
    bench.chain.set_floor(None);
    assert_eq!(bench.chain.fee_table().floor(), FeeRate::from_sat_per_kwu(250));
    let again = bench.pay(vec![], 300);
    assert_eq!(bench.submit(&again), Ok(()));
}

#[test]
fn a_floor_on_an_empty_mempool_is_an_estimate_too() {
    let mut bench = Bench::new();
    bench.chain.set_floor(Some(FIFTY));
    assert_eq!(bench.chain.fee_table().estimate(1), Some(FIFTY));
}

#[test]
fn who_stands_on_an_evicted_transaction_goes_with_it() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![out(COIN, miner())], 1_000);
    let kid = child(&tx, &[0], 1_000);
    bench.submit(&tx).unwrap();
    bench.submit(&kid).unwrap();
    assert!(bench.chain.evict(&tx.compute_txid()));
    assert!(!bench.waits(&tx) && !bench.waits(&kid));
    assert!(!bench.chain.evict(&tx.compute_txid()), "it is not there any more");
}

#[tokio::test]
async fn without_blocks_mining_is_refused_until_the_time_is_over() {
    let chain = BuiltinChain::in_memory(|| START).unwrap();
    chain.stall(Stall::Blocks, None).await.unwrap();
    let refused = chain.mine(1, miner()).await;
    assert!(matches!(&refused, Err(SandboxError::Refused(why)) if why.contains("stands still")));
    assert!(chain.reorg(0, BTreeSet::new(), miner()).await.is_err());
    chain.stall(Stall::No, None).await.unwrap();
    chain.mine(1, miner()).await.unwrap();
    chain.stall(Stall::Blocks, Some(Duration::from_millis(40))).await.unwrap();
    assert!(chain.mine(1, miner()).await.is_err());
    while chain.mine(1, miner()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(chain.tip().await.unwrap().height, 2);
}

#[tokio::test]
async fn readers_that_heard_nothing_for_a_while_hear_everything_in_order_afterwards() {
    let chain = BuiltinChain::in_memory(|| START).unwrap();
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = chain.events(genesis.clone(), Interest::Everything).await.unwrap();
    while !matches!(stream.next().await, Some(Ok(ChainEvent::Synced { .. }))) {}
    chain.stall(Stall::Readers, None).await.unwrap();
    chain.mine(3, miner()).await.unwrap();
    let mut late = chain.events(genesis, Interest::Everything).await.unwrap();
    let soon = Duration::from_millis(60);
    assert!(tokio::time::timeout(soon, stream.next()).await.is_err());
    assert!(tokio::time::timeout(soon, late.next()).await.is_err());
    chain.stall(Stall::Readers, Some(Duration::from_millis(10))).await.unwrap();
    for reader in [&mut stream, &mut late] {
        for height in 1..=3 {
            let event = reader.next().await.unwrap().unwrap();
            assert!(matches!(event, ChainEvent::Connected { block, .. } if block.height == height));
        }
    }
}

#[tokio::test]
async fn readers_hear_why_a_floor_threw_something_out() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![], 300);
    bench.submit(&tx).unwrap();
    let mut cursor =
        crate::builtin::reader::Cursor { locator: Locator::at(bench.chain.tip().id()), next: None };
    while !bench.chain.read(&mut cursor).unwrap().is_empty() {}
    bench.chain.set_floor(Some(FIFTY));
    let because = RemovedBecause::Evicted;
    let removed = MempoolDelta::Removed { txid: tx.compute_txid(), because };
    assert_eq!(bench.chain.read(&mut cursor).unwrap(), [ChainEvent::Mempool(removed)]);
}
