//! How Bitcoin Core is reached. What it answers is tested with all that are asked so (`polled::tests`).

use super::{BitcoindChain, BitcoindSettings, Login};
use crate::backend::{BackendError, ChainBackend, Interest, Locator, Package, SubmitOutcome};
use crate::polled::PATIENCE;
use crate::rpc::tests::{Served, pair, served};
use bitcoin::{Network, OutPoint};
use std::time::Duration;

pub(crate) fn settings(served: &Served) -> BitcoindSettings {
    let login = Login::User { user: "alice".to_owned(), password: "secret".to_owned() };
    let (url, poll) = (served.url.clone(), Duration::from_millis(10));
    BitcoindSettings { url, login, network: Network::Regtest, poll, patience: PATIENCE }
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
async fn a_core_that_says_nothing_is_unavailable_in_time_whatever_it_was_asked() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = BitcoindSettings {
        url: format!("http://{}", listener.local_addr().unwrap()),
        login: Login::User { user: "alice".to_owned(), password: "secret".to_owned() },
        network: Network::Regtest,
        poll: Duration::from_millis(10),
        patience: Duration::from_millis(200),
    };
    // Connections wait to be taken, and nobody takes them.
    let core = BitcoindChain::lazy(&settings).unwrap();
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
