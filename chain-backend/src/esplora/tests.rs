//! How an Esplora server is reached. What it answers is tested with all that are asked so (`polled::tests`).

use super::{EsploraChain, EsploraSettings};
use crate::backend::{BackendError, ChainBackend as _, Package, SubmitOutcome};
use crate::builtin::BuiltinChain;
use crate::polled::PATIENCE;
use crate::rest;
use crate::rpc::tests::{anyone, pair};
use crate::sandbox::Sandbox as _;
use axum::Router;
use axum::routing::get;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, FeeRate, Network};
use std::time::Duration;
use tokio::net::TcpListener;

fn settings(url: &str) -> EsploraSettings {
    let poll = Duration::from_millis(10);
    let (url, network, trusted) = (url.to_owned(), Network::Regtest, None);
    EsploraSettings { url, network, poll, patience: PATIENCE, trusted }
}

async fn listener() -> (TcpListener, EsploraSettings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    (listener, settings(&url))
}

/// A chain in memory behind a server.
pub(crate) async fn served() -> (BuiltinChain, EsploraSettings) {
    let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    let (listener, settings) = listener().await;
    tokio::spawn(rest::serve(chain.clone(), listener, std::future::pending()));
    (chain, settings)
}

#[tokio::test]
async fn the_wrong_network_and_the_wrong_address_are_told_apart() {
    let (_chain, right) = served().await;
    assert!(EsploraChain::connect(&right).await.is_ok());
    let wrong = EsploraSettings { network: Network::Bitcoin, ..right.clone() };
    assert_eq!(EsploraChain::connect(&wrong).await.unwrap_err(), BackendError::WrongChain);
    for url in ["127.0.0.1:1", "ftp://x", "http://", "http://127.0.0.1:1", "https://127.0.0.1:1"] {
        let error = EsploraChain::connect(&settings(url)).await.unwrap_err();
        assert!(matches!(error, BackendError::Unavailable(_)), "{url}: {error}");
    }
    // The right host, but not the path where the API is.
    let elsewhere = settings(&right.url.replace("/api", "/elsewhere"));
    let error = EsploraChain::connect(&elsewhere).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error}");
}

/// What stands before a server says 404 too, and so does a web server that is none of Esplora's.
#[tokio::test]
async fn only_esploras_own_no_means_that_there_is_nothing() {
    for (words, is_no) in [
        ("Transaction not found", true),
        ("", false),
        ("<html><h1>404 Not Found</h1></html>", false),
        ("no such host", false),
    ] {
        let genesis = genesis_block(Network::Regtest).block_hash().to_string();
        let app = Router::new()
            .route("/api/block-height/0", get(async || genesis))
            .fallback(async move || (axum::http::StatusCode::NOT_FOUND, words));
        let (listener, settings) = listener().await;
        tokio::spawn(async { axum::serve(listener, app).await });
        let chain = EsploraChain::connect(&settings).await.unwrap();
        let txid = genesis_block(Network::Regtest).txdata[0].compute_txid();
        let answer = chain.tx(txid).await;
        assert_eq!(answer == Ok(None), is_no, "{words}: {answer:?}");
        let spender = chain.spender(bitcoin::OutPoint::new(txid, 0), 0).await;
        assert_eq!(spender == Ok(None), is_no, "{words}: {spender:?}");
    }
}

/// A server whose certificate is in a file of ours is believed, and no other.
#[tokio::test]
async fn a_server_of_ones_own_is_known_by_its_certificate() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, key.cert.pem()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    // The server itself speaks in the clear; what stands before it takes the seal off.
    let (chain, clear) = served().await;
    let clear = clear.url.trim_start_matches("http://").trim_end_matches("/api").to_owned();
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/api", door.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (socket, _) = door.accept().await.unwrap();
            let (acceptor, clear) = (acceptor.clone(), clear.clone());
            tokio::spawn(async move {
                let Ok(mut sealed) = acceptor.accept(socket).await else { return };
                let mut inner = tokio::net::TcpStream::connect(clear).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut sealed, &mut inner).await;
            });
        }
    });
    let known = EsploraSettings { trusted: Some(file), ..settings(&url) };
    let seen = EsploraChain::connect(&known).await.unwrap();
    assert_eq!(seen.tip().await, chain.tip().await);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = dir.path().join("other.pem");
    std::fs::write(&file, other.cert.pem()).unwrap();
    for wrong in [file, dir.path().join("missing.pem")] {
        let stranger = EsploraSettings { trusted: Some(wrong), ..settings(&url) };
        let error = EsploraChain::connect(&stranger).await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains("certificate") || words.contains("Unavailable"), "{words}");
    }
}

/// Esplora tells nowhere what the mempool takes at least; a refusal does, and estimates are no less from then on.
#[tokio::test]
async fn what_a_refusal_says_of_the_mempools_minimum_is_remembered_for_a_while() {
    let (chain, settings) = served().await;
    let seen = EsploraChain::connect(&settings).await.unwrap();
    chain.mine(110, anyone()).await.unwrap();
    let floor = FeeRate::from_sat_per_vb_u32(30);
    chain.set_floor(Some(floor)).await.unwrap();
    assert_eq!(seen.fees().await.unwrap().floor(), FeeRate::BROADCAST_MIN);
    let hash = chain.header_at(1).await.unwrap().hash;
    let coin = chain.block(hash).await.unwrap().txdata[0].compute_txid();
    let [parent, child] = pair(coin);
    let refused = seen.submit(Package::single(parent.clone()), None).await;
    let SubmitOutcome::FeeTooLow { min } = refused else { panic!("{refused:?}") };
    assert!(min >= floor, "{min}");
    assert!(seen.fees().await.unwrap().floor() >= floor);
    // A child that does not bring both up to it is told so beforehand.
    let package = Package::new(vec![parent.clone(), child]).unwrap();
    assert_eq!(seen.test(&package).await, SubmitOutcome::Accepted);
    let mut poor = package.txs()[1].clone();
    poor.output[0].value = parent.output[0].value - Amount::from_sat(1_000);
    let package = Package::new(vec![parent, poor]).unwrap();
    let told = seen.test(&package).await;
    assert!(matches!(told, SubmitOutcome::FeeTooLow { .. }), "{told:?}");
    seen.told.send_modify(|told| {
        let (until, _) = told.as_mut().unwrap();
        *until = tokio::time::Instant::now();
    });
    assert_eq!(seen.fees().await.unwrap().floor(), FeeRate::BROADCAST_MIN);
}
