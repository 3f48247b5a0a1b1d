//! Tests of `stream`.

use super::harness::{START, miner};
use crate::{BuiltinChain, ChainBackend, ChainEvent, Interest, Locator, MempoolDelta, Sandbox};
use bitcoin::Network;
use futures_util::StreamExt;
use std::collections::BTreeSet;

async fn next(stream: &mut crate::ChainStream) -> ChainEvent {
    stream.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_reader_catches_up_and_then_hears_each_block_and_one_disconnect() {
    let chain = BuiltinChain::in_memory(|| START).unwrap();
    chain.mine(40, miner()).await.unwrap();
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = chain.events(genesis, Interest::Everything).await.unwrap();
    for height in 1..=40 {
        let ChainEvent::Connected { block, txs } = next(&mut stream).await else { panic!() };
        assert_eq!(block.height, height);
        assert_eq!(txs.block().unwrap().block_hash(), block.hash);
    }
    assert_eq!(next(&mut stream).await, ChainEvent::Mempool(MempoolDelta::Snapshot(vec![])));
    assert!(matches!(next(&mut stream).await, ChainEvent::Synced { tip } if tip.height == 40));
    chain.reorg(3, BTreeSet::new(), miner()).await.unwrap();
    let ChainEvent::Disconnected { fork, gone } = next(&mut stream).await else { panic!() };
    assert_eq!((fork.height, gone.len()), (37, 3));
    for height in 38..=41 {
        assert!(matches!(next(&mut stream).await,
            ChainEvent::Connected { block, .. } if block.height == height));
    }
    chain.stop().await;
    assert!(stream.next().await.unwrap().is_err());
    assert!(stream.next().await.is_none());
}
