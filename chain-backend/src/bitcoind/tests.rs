//! Bitcoin Core as a backend, against our own server: the same answers as from the chain itself.

use super::{BitcoindChain, BitcoindSettings, Login};
use crate::backend::{
    BackendError, ChainBackend, ChainEvent, ChainStream, Interest, Locator, MempoolDelta, Package,
    RemovedBecause, SubmitOutcome,
};
use crate::rpc::tests::{Served, anyone, pair, served};
use crate::sandbox::Sandbox;
use bitcoin::{Amount, BlockHash, FeeRate, Network, OutPoint, Transaction};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;

fn settings(served: &Served) -> BitcoindSettings {
    let login = Login::User { user: "alice".to_owned(), password: "secret".to_owned() };
    let (url, poll) = (served.url.clone(), Duration::from_millis(10));
    BitcoindSettings { url, login, network: Network::Regtest, poll }
}

async fn connected() -> (Served, BitcoindChain) {
    let served = served(None).await;
    let core = BitcoindChain::connect(&settings(&served)).await.unwrap();
    (served, core)
}

async fn next(stream: &mut ChainStream) -> ChainEvent {
    let event = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    event.expect("an event in time").unwrap().unwrap()
}

/// A spend of the coinbase at a height that pays so much.
async fn spend(served: &Served, height: u32, fee: u64) -> Transaction {
    let hash = served.chain.header_at(height).await.unwrap().hash;
    let coin = served.chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [mut tx, _] = pair(coin);
    tx.version = bitcoin::transaction::Version::TWO;
    tx.output[0].value -= Amount::from_sat(fee);
    tx
}

#[tokio::test]
async fn the_wrong_password_and_the_wrong_network_are_told_apart() {
    let served = served(None).await;
    let mut wrong = settings(&served);
    wrong.login = Login::User { user: "alice".to_owned(), password: "wrong".to_owned() };
    let error = BitcoindChain::connect(&wrong).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Unavailable(words) if words.contains("password")),
        "{error}"
    );
    let mut wrong = settings(&served);
    wrong.network = Network::Bitcoin;
    assert_eq!(BitcoindChain::connect(&wrong).await.unwrap_err(), BackendError::WrongChain);
    for url in ["127.0.0.1:1", "https://x", "http://127.0.0.1:1"] {
        let wrong = BitcoindSettings { url: url.to_owned(), ..settings(&served) };
        let error = BitcoindChain::connect(&wrong).await.unwrap_err();
        assert!(matches!(error, BackendError::Unavailable(_)), "{url}");
    }
}

#[tokio::test]
async fn every_question_has_the_chains_own_answer() {
    let (served, core) = connected().await;
    let chain = &served.chain;
    chain.mine(110, anyone()).await.unwrap();
    assert_eq!(core.tip().await, chain.tip().await);
    assert_eq!(core.header_at(7).await, chain.header_at(7).await);
    assert_eq!(core.header_at(999).await, Err(BackendError::NotFound));
    let tx = spend(&served, 1, 10_000).await;
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
    assert_eq!(ours.targets.keys().collect::<Vec<_>>(), theirs.targets.keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn every_refusal_means_the_same_as_the_chains_own() {
    let (served, core) = connected().await;
    served.chain.mine(112, anyone()).await.unwrap();
    let cheap = spend(&served, 1, 1).await;
    let first = spend(&served, 1, 1_000).await;
    let dearer = spend(&served, 1, 1_050).await;
    let orphan = pair(cheap.compute_txid())[1].clone();
    let mut early = spend(&served, 2, 1_000).await;
    early.lock_time = bitcoin::absolute::LockTime::from_height(5_000).unwrap();
    early.input[0].sequence = bitcoin::Sequence::ZERO;
    let mut broken = spend(&served, 3, 1_000).await;
    broken.input[0].witness = bitcoin::Witness::from_slice(&[[0x52]]);
    assert!(matches!(
        core.submit(Package::single(cheap), None).await,
        SubmitOutcome::FeeTooLow { .. }
    ));
    let max = FeeRate::from_sat_per_kwu(250);
    let high = core.submit(Package::single(spend(&served, 4, 1_000_000).await), Some(max)).await;
    assert_eq!(high, SubmitOutcome::FeeTooHigh { max });
    assert_eq!(core.submit(Package::single(first), None).await, SubmitOutcome::Accepted);
    let SubmitOutcome::Replaceable { needed } = core.submit(Package::single(dearer), None).await
    else {
        panic!("it would replace")
    };
    let enough = spend(&served, 1, needed.to_sat()).await;
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
    let hash = served.chain.header_at(6).await.unwrap().hash;
    let coin = served.chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let package = Package::new(pair(coin).to_vec()).unwrap();
    assert_eq!(core.submit(package, None).await, SubmitOutcome::Accepted);
    served.chain.mine(1, anyone()).await.unwrap();
    let late = spend(&served, 6, 9_000).await;
    assert!(matches!(
        core.submit(Package::single(late), None).await,
        SubmitOutcome::Conflict { .. }
    ));
}

#[tokio::test]
async fn a_reader_ends_where_the_chain_does_whatever_it_did_meanwhile() {
    let (served, core) = connected().await;
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = core.events(genesis, Interest::Everything).await.unwrap();
    let mut seen: Vec<BlockHash> = Vec::new();
    let mut luck = 7_u32;
    for _ in 0..12 {
        luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let count = (luck >> 16) % 5 + 1;
        if luck & 0x100 == 0 || seen.len() < 6 {
            served.chain.mine(count, anyone()).await.unwrap();
        } else {
            served.chain.reorg(count, BTreeSet::new(), anyone()).await.unwrap();
        }
        let tip = served.chain.tip().await.unwrap();
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
                ChainEvent::Mempool(_) | ChainEvent::Synced { .. } => {}
            }
        }
    }
    for (height, hash) in (1..).zip(&seen) {
        assert_eq!(served.chain.header_at(height).await.unwrap().hash, *hash);
    }
}

#[tokio::test]
async fn the_mempool_is_told_with_fees_and_reasons() {
    let (served, core) = connected().await;
    served.chain.mine(110, anyone()).await.unwrap();
    let tip = Locator::at(served.chain.tip().await.unwrap().id());
    let mut stream = core.events(tip, Interest::Everything).await.unwrap();
    let mut delta = async || loop {
        if let ChainEvent::Mempool(delta) = next(&mut stream).await {
            return delta;
        }
    };
    assert_eq!(delta().await, MempoolDelta::Snapshot(Vec::new()));
    let (one, two) = (spend(&served, 1, 1_000).await, spend(&served, 1, 9_000).await);
    served.chain.accept(Package::single(one.clone())).await.unwrap();
    let MempoolDelta::Added { tx, fee } = delta().await else { panic!("added") };
    assert_eq!((tx.compute_txid(), fee.to_sat()), (one.compute_txid(), 1_000));
    served.chain.accept(Package::single(two.clone())).await.unwrap();
    let replaced = RemovedBecause::Replaced { by: two.compute_txid() };
    assert_eq!(
        delta().await,
        MempoolDelta::Removed { txid: one.compute_txid(), because: replaced }
    );
    assert!(matches!(delta().await, MempoolDelta::Added { .. }));
    let hash = served.chain.mine(1, anyone()).await.unwrap()[0];
    let mined = RemovedBecause::Confirmed(hash);
    assert_eq!(delta().await, MempoolDelta::Removed { txid: two.compute_txid(), because: mined });
}

#[tokio::test]
async fn a_place_on_another_chain_is_refused() {
    let (_served, core) = connected().await;
    let other = Locator::genesis(Network::Bitcoin);
    let refused = core.events(other, Interest::Everything).await;
    assert_eq!(refused.err(), Some(BackendError::WrongChain));
}

#[tokio::test]
async fn a_core_that_says_nothing_is_unavailable_in_time_whatever_it_was_asked() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = BitcoindSettings {
        url: format!("http://{}", listener.local_addr().unwrap()),
        login: Login::User { user: "alice".to_owned(), password: "secret".to_owned() },
        network: Network::Regtest,
        poll: Duration::from_millis(10),
    };
    // Connections wait to be taken, and nobody takes them.
    let core = BitcoindChain::patient(&settings, Duration::from_millis(200)).unwrap();
    let in_time = Duration::from_secs(20);
    let limited = async {
        assert!(matches!(core.tip().await, Err(BackendError::Unavailable(_))));
        let coin = OutPoint::null();
        assert!(matches!(core.txout(coin).await, Err(BackendError::Unavailable(_))));
        assert!(matches!(core.spender(coin, 0).await, Err(BackendError::Unavailable(_))));
        let from = Locator::genesis(Network::Regtest);
        let events = core.events(from, Interest::Everything).await;
        assert!(matches!(events.map(drop), Err(BackendError::Unavailable(_))));
        let [tx, _] = pair(bitcoin::hashes::Hash::all_zeros());
        assert_eq!(core.submit(Package::single(tx), None).await, SubmitOutcome::Unavailable);
    };
    tokio::time::timeout(in_time, limited).await.expect("an answer in time");
}
