//! Backends that are asked again and again, each against our own server: the same answers as from the chain itself.

use crate::backend::{
    BackendError, ChainBackend, ChainEvent, ChainStream, Interest, Locator, MempoolDelta, Package,
    RemovedBecause, SubmitOutcome,
};
use crate::bitcoind::BitcoindChain;
use crate::builtin::BuiltinChain;
use crate::esplora::EsploraChain;
use crate::rpc::tests::{anyone, pair, served};
use crate::sandbox::Sandbox;
use bitcoin::{Amount, BlockHash, FeeRate, Network, OutPoint, Transaction};
use futures_util::StreamExt;
use std::collections::BTreeSet;

/// A chain, and a backend that sees it through a server.
struct Seen {
    chain: BuiltinChain,
    seen: Box<dyn ChainBackend>,
}

async fn core() -> Seen {
    let served = served(None).await;
    let seen = BitcoindChain::connect(&crate::bitcoind::tests::settings(&served)).await.unwrap();
    Seen { chain: served.chain, seen: Box::new(seen) }
}

async fn esplora() -> Seen {
    let (chain, settings) = crate::esplora::tests::served().await;
    Seen { chain, seen: Box::new(EsploraChain::connect(&settings).await.unwrap()) }
}

async fn next(stream: &mut ChainStream) -> ChainEvent {
    let event = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await;
    event.expect("an event in time").unwrap().unwrap()
}

/// A spend of the coinbase at a height that pays so much.
async fn spend(chain: &BuiltinChain, height: u32, fee: u64) -> Transaction {
    let hash = chain.header_at(height).await.unwrap().hash;
    let coin = chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [mut tx, _] = pair(coin);
    tx.version = bitcoin::transaction::Version::TWO;
    tx.output[0].value -= Amount::from_sat(fee);
    tx
}

/// Each story is told of both.
macro_rules! of_both {
    ($($name:ident),+ $(,)?) => {
        mod over_core {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::core().await).await;
            })+
        }
        mod over_esplora {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::esplora().await).await;
            })+
        }
    };
}

of_both! {
    every_question_has_the_chains_own_answer,
    every_refusal_means_the_same_as_the_chains_own,
    a_reader_ends_where_the_chain_does_whatever_it_did_meanwhile,
    the_mempool_is_told_with_fees_and_reasons,
    a_place_on_another_chain_is_refused,
    a_chain_that_is_shorter_than_it_was_is_believed_in_the_end,
    a_parent_that_pays_nothing_is_paid_for_by_its_child,
    a_package_that_pays_just_enough_or_just_too_little_is_told_apart_as_by_the_chain_itself,
    a_child_that_replaces_another_of_a_parent_that_waits_is_told_what_it_must_pay,
}

async fn every_question_has_the_chains_own_answer(Seen { chain, seen: core }: Seen) {
    chain.mine(110, anyone()).await.unwrap();
    assert_eq!(core.tip().await, chain.tip().await);
    assert_eq!(core.header_at(7).await, chain.header_at(7).await);
    assert_eq!(core.header_at(999).await, Err(BackendError::NotFound));
    let tx = spend(&chain, 1, 10_000).await;
    let coin = tx.input[0].previous_output;
    assert_eq!(core.spender(coin, 0).await, Ok(None));
    assert_eq!(core.submit(Package::single(tx.clone()), None).await, SubmitOutcome::Accepted);
    assert_eq!(core.submit(Package::single(tx.clone()), None).await, SubmitOutcome::InMempool);
    let own = OutPoint::new(tx.compute_txid(), 0);
    for _ in 0..2 {
        for outpoint in [coin, own, OutPoint::new(coin.txid, 9)] {
            assert_eq!(core.txout(outpoint).await, chain.txout(outpoint).await, "{outpoint}");
            assert_eq!(
                core.spender(outpoint, 0).await,
                chain.spender(outpoint, 0).await,
                "{outpoint}"
            );
            assert_eq!(core.tx(outpoint.txid).await, chain.tx(outpoint.txid).await, "{outpoint}");
        }
        chain.mine(1, anyone()).await.unwrap();
    }
    assert!(matches!(core.submit(Package::single(tx), None).await, SubmitOutcome::Confirmed(_)));
    let (ours, theirs) = (core.fees().await.unwrap(), chain.fees().await.unwrap());
    assert_eq!(ours.floor(), theirs.floor());
    assert_eq!(ours.incremental, theirs.incremental);
    for target in [1, 2, 3, 6, 12, 25, 144] {
        assert_eq!(ours.estimate(target), theirs.estimate(target), "{target}");
    }
}

async fn every_refusal_means_the_same_as_the_chains_own(Seen { chain, seen: core }: Seen) {
    chain.mine(112, anyone()).await.unwrap();
    let cheap = spend(&chain, 1, 1).await;
    let first = spend(&chain, 1, 1_000).await;
    let dearer = spend(&chain, 1, 1_050).await;
    let orphan = pair(cheap.compute_txid())[1].clone();
    let mut early = spend(&chain, 2, 1_000).await;
    early.lock_time = bitcoin::absolute::LockTime::from_height(5_000).unwrap();
    early.input[0].sequence = bitcoin::Sequence::ZERO;
    let mut broken = spend(&chain, 3, 1_000).await;
    broken.input[0].witness = bitcoin::Witness::from_slice(&[[0x52]]);
    assert!(matches!(
        core.submit(Package::single(cheap), None).await,
        SubmitOutcome::FeeTooLow { .. }
    ));
    let max = FeeRate::from_sat_per_kwu(250);
    let high = core.submit(Package::single(spend(&chain, 4, 1_000_000).await), Some(max)).await;
    assert_eq!(high, SubmitOutcome::FeeTooHigh { max });
    assert_eq!(core.submit(Package::single(first), None).await, SubmitOutcome::Accepted);
    let SubmitOutcome::Replaceable { needed } = core.submit(Package::single(dearer), None).await
    else {
        panic!("it would replace")
    };
    let enough = spend(&chain, 1, needed.to_sat()).await;
    assert_eq!(core.test(&Package::single(enough.clone())).await, SubmitOutcome::Accepted);
    assert_eq!(core.submit(Package::single(enough), None).await, SubmitOutcome::Accepted);
    assert_eq!(core.submit(Package::single(orphan), None).await, SubmitOutcome::MissingInputs);
    assert!(matches!(
        core.submit(Package::single(early), None).await,
        SubmitOutcome::Premature { .. }
    ));
    assert!(matches!(
        core.submit(Package::single(broken), None).await,
        SubmitOutcome::Invalid { .. }
    ));
    let hash = chain.header_at(6).await.unwrap().hash;
    let coin = chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let package = Package::new(pair(coin).to_vec()).unwrap();
    assert_eq!(core.submit(package, None).await, SubmitOutcome::Accepted);
    chain.mine(1, anyone()).await.unwrap();
    let late = spend(&chain, 6, 9_000).await;
    assert!(matches!(
        core.submit(Package::single(late), None).await,
        SubmitOutcome::Conflict { .. }
    ));
}

async fn a_reader_ends_where_the_chain_does_whatever_it_did_meanwhile(
    Seen { chain, seen: core }: Seen,
) {
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = core.events(genesis, Interest::Everything).await.unwrap();
    let mut seen: Vec<BlockHash> = Vec::new();
    let mut luck = 7_u32;
    for _ in 0..12 {
        luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let count = (luck >> 16) % 5 + 1;
        if luck & 0x100 == 0 || seen.len() < 6 {
            chain.mine(count, anyone()).await.unwrap();
        } else {
            chain.reorg(count, BTreeSet::new(), anyone()).await.unwrap();
        }
        let tip = chain.tip().await.unwrap();
        while seen.last() != Some(&tip.hash) {
            match next(&mut stream).await {
                ChainEvent::Connected { block, txs } => {
                    assert_eq!(block.height as usize, seen.len() + 1);
                    assert_eq!(txs.block().unwrap().block_hash(), block.hash);
                    seen.push(block.hash);
                }
                ChainEvent::Disconnected { fork, .. } => {
                    assert!((fork.height as usize) < seen.len());
                    seen.truncate(fork.height as usize);
                }
                ChainEvent::Mempool(_) | ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
            }
        }
    }
    for (height, hash) in (1..).zip(&seen) {
        assert_eq!(chain.header_at(height).await.unwrap().hash, *hash);
    }
}

async fn the_mempool_is_told_with_fees_and_reasons(Seen { chain, seen: core }: Seen) {
    chain.mine(110, anyone()).await.unwrap();
    let tip = Locator::at(chain.tip().await.unwrap().id());
    let mut stream = core.events(tip, Interest::Everything).await.unwrap();
    let mut delta = async || loop {
        if let ChainEvent::Mempool(delta) = next(&mut stream).await {
            return delta;
        }
    };
    assert_eq!(delta().await, MempoolDelta::Snapshot(Vec::new()));
    let (one, two) = (spend(&chain, 1, 1_000).await, spend(&chain, 1, 9_000).await);
    chain.accept(Package::single(one.clone())).await.unwrap();
    let MempoolDelta::Added { tx, fee } = delta().await else { panic!("added") };
    assert_eq!((tx.compute_txid(), fee.to_sat()), (one.compute_txid(), 1_000));
    chain.accept(Package::single(two.clone())).await.unwrap();
    let replaced = RemovedBecause::Replaced { by: two.compute_txid() };
    assert_eq!(
        delta().await,
        MempoolDelta::Removed { txid: one.compute_txid(), because: replaced }
    );
    assert!(matches!(delta().await, MempoolDelta::Added { .. }));
    let hash = chain.mine(1, anyone()).await.unwrap()[0];
    let mined = RemovedBecause::Confirmed(hash);
    assert_eq!(delta().await, MempoolDelta::Removed { txid: two.compute_txid(), because: mined });
}

async fn a_place_on_another_chain_is_refused(Seen { seen: core, .. }: Seen) {
    let other = Locator::genesis(Network::Bitcoin);
    let refused = core.events(other, Interest::Everything).await;
    assert_eq!(refused.err(), Some(BackendError::WrongChain));
}

async fn a_chain_that_is_shorter_than_it_was_is_believed_in_the_end(Seen { chain, seen }: Seen) {
    let hashes = chain.mine(20, anyone()).await.unwrap();
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = seen.events(genesis, Interest::Everything).await.unwrap();
    while !matches!(next(&mut stream).await, ChainEvent::Synced { .. }) {}
    chain.invalidate(hashes[16]).await.unwrap();
    let fork = loop {
        if let ChainEvent::Disconnected { fork, .. } = next(&mut stream).await {
            break fork;
        }
    };
    assert_eq!(fork.height, 16);
}

async fn a_parent_that_pays_nothing_is_paid_for_by_its_child(Seen { chain, seen }: Seen) {
    chain.mine(110, anyone()).await.unwrap();
    let hash = chain.header_at(1).await.unwrap().hash;
    let coin = chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let package = Package::new(pair(coin).to_vec()).unwrap();
    assert_eq!(seen.test(&package).await, SubmitOutcome::Accepted);
    let most = FeeRate::from_sat_per_kwu(1);
    let refused = seen.submit(package.clone(), Some(most)).await;
    assert_eq!(refused, SubmitOutcome::FeeTooHigh { max: most });
    assert_eq!(seen.submit(package.clone(), None).await, SubmitOutcome::Accepted);
    assert_eq!(seen.submit(package.clone(), None).await, SubmitOutcome::InMempool);
    chain.mine(1, anyone()).await.unwrap();
    assert!(matches!(seen.submit(package, None).await, SubmitOutcome::Confirmed(Some(_))));
}

async fn a_package_that_pays_just_enough_or_just_too_little_is_told_apart_as_by_the_chain_itself(
    Seen { chain, seen }: Seen,
) {
    chain.mine(110, anyone()).await.unwrap();
    let hash = chain.header_at(1).await.unwrap().hash;
    let coin = chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [parent, child] = pair(coin);
    let vsize = parent.vsize() + child.vsize();
    assert_ne!(4 * vsize as u64, (parent.weight() + child.weight()).to_wu(), "it is rounded");
    let (mut refused, mut taken) = (0, 0);
    for fee in vsize as u64 - 3..=vsize as u64 + 3 {
        let mut child = child.clone();
        child.output[0].value = parent.output[0].value - Amount::from_sat(fee);
        let package = Package::new(vec![parent.clone(), child]).unwrap();
        let (ours, theirs) = (seen.test(&package).await, chain.test(&package).await);
        match theirs {
            SubmitOutcome::Accepted => taken += 1,
            SubmitOutcome::FeeTooLow { .. } => refused += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(
            std::mem::discriminant(&ours),
            std::mem::discriminant(&theirs),
            "{fee}: {ours:?}, {theirs:?}"
        );
    }
    assert!(refused > 0 && taken > 0, "{refused}, {taken}");
}

async fn a_child_that_replaces_another_of_a_parent_that_waits_is_told_what_it_must_pay(
    Seen { chain, seen }: Seen,
) {
    chain.mine(110, anyone()).await.unwrap();
    let parent = spend(&chain, 1, 1_000).await;
    let child = |fee: u64| {
        let mut child = pair(parent.compute_txid())[0].clone();
        child.version = bitcoin::transaction::Version::TWO;
        child.output[0].value = parent.output[0].value - Amount::from_sat(fee);
        Package::new(vec![parent.clone(), child]).unwrap()
    };
    assert_eq!(seen.submit(child(2_000), None).await, SubmitOutcome::Accepted);
    assert_eq!(seen.test(&child(2_000)).await, SubmitOutcome::InMempool);
    let told = seen.test(&child(2_001)).await;
    assert_eq!(told, chain.test(&child(2_001)).await);
    let SubmitOutcome::Replaceable { needed } = told else { panic!("{told:?}") };
    assert_eq!(seen.test(&child(needed.to_sat())).await, SubmitOutcome::Accepted);
    assert_eq!(seen.submit(child(needed.to_sat()), None).await, SubmitOutcome::Accepted);
    // The parent is in a block, the child waits again.
    chain.mine(1, anyone()).await.unwrap();
    assert!(matches!(seen.test(&child(9_000)).await, SubmitOutcome::Conflict { .. }));
}
