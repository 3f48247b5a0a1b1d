//! An Esplora server that lies: whatever it says that can be checked is checked, and nothing of it is believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and steers the liar from outside"
)]

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, Network, OutPoint, ScriptBuf, Transaction, Txid, Witness};
use chain_backend::{
    BackendError, BuiltinChain, ChainBackend, ChainEvent, EsploraChain, EsploraSettings, Interest,
    Locator, Package, Sandbox, SubmitOutcome, rest,
};
use futures_util::StreamExt;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;

/// What is not true of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// Another block or transaction than was asked for.
    Other,
    /// The right header over other transactions.
    Contents,
    /// The right transactions with other witnesses.
    Witnesses,
    /// A header that nobody has worked for, of a block that stands on nothing.
    Work,
    /// A header with more work than the network's rules allow to be asked for, or less.
    Difficulty,
    /// A median of times that cannot be.
    Median,
    /// Another height than was asked for.
    Height,
    /// Bytes that are nothing.
    Garbage,
    /// No JSON, no text, no number.
    Rubbish,
    /// It never ends.
    Endless,
    /// Something went wrong.
    Broken,
    /// It says that nothing is anywhere, as a web server does.
    NothingHere,
}

const ALL: [Lie; 12] = [
    Lie::Other,
    Lie::Contents,
    Lie::Witnesses,
    Lie::Work,
    Lie::Difficulty,
    Lie::Median,
    Lie::Height,
    Lie::Garbage,
    Lie::Rubbish,
    Lie::Endless,
    Lie::Broken,
    Lie::NothingHere,
];

#[derive(Clone)]
struct Liar {
    /// Where the truth is told.
    truth: String,
    http: Client<HttpConnector, Full<Bytes>>,
    lie: watch::Receiver<Lie>,
}

struct Told {
    chain: BuiltinChain,
    seen: EsploraChain,
    lie: watch::Sender<Lie>,
}

fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51]).to_p2wsh()
}

async fn liar(blocks: u32) -> Told {
    let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
    chain.mine(blocks, anyone()).await.unwrap();
    let (lie, told) = watch::channel(Lie::None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let truth = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(rest::serve(chain.clone(), listener, std::future::pending()));
    let http = Client::builder(TokioExecutor::new()).build_http();
    let state = Liar { truth, http, lie: told };
    let app = Router::new().fallback(answer).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = EsploraSettings {
        url: format!("http://{}", listener.local_addr().unwrap()),
        network: Network::Regtest,
        poll: Duration::from_millis(5),
        patience: chain_backend::PATIENCE,
        trusted: None,
    };
    tokio::spawn(async { axum::serve(listener, app).await });
    let seen = EsploraChain::connect(&settings).await.unwrap();
    Told { chain, seen, lie }
}

/// The truth, or what the liar makes of it.
async fn answer(State(liar): State<Liar>, request: Request) -> Response {
    let lie = *liar.lie.borrow();
    let path = request.uri().path().to_owned();
    match lie {
        Lie::Broken => return StatusCode::BAD_GATEWAY.into_response(),
        Lie::NothingHere => {
            return (StatusCode::NOT_FOUND, "<h1>404 Not Found</h1>").into_response();
        }
        Lie::Rubbish => return "\u{0}[{\"".into_response(),
        Lie::Endless => {
            let more = Bytes::from(vec![b'7'; 64 * 1024]);
            let more = futures_util::stream::repeat(Ok::<_, Infallible>(more));
            return Body::from_stream(more).into_response();
        }
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let asked = hyper::Request::builder().method(parts.method).uri(format!("{}{path}", liar.truth));
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let truth = liar.http.request(asked.body(Full::new(body)).unwrap()).await.unwrap();
    let status = truth.status();
    let body = truth.into_body().collect().await.unwrap().to_bytes().to_vec();
    let is_changed = lie != Lie::None && status.is_success();
    (status, if is_changed { changed(lie, &path, body) } else { body }).into_response()
}

/// An answer in which one thing is not true.
fn changed(lie: Lie, path: &str, body: Vec<u8>) -> Vec<u8> {
    if lie == Lie::Garbage {
        return if path.ends_with("/raw") { body[..body.len() / 2].to_vec() } else { body };
    }
    if path.starts_with("/block/") && path.ends_with("/raw") {
        let mut block: Block = deserialize(&body).unwrap();
        match lie {
            Lie::Other => block = bitcoin::constants::genesis_block(Network::Regtest),
            Lie::Contents => block.txdata[0].output[0].script_pubkey = ScriptBuf::new(),
            Lie::Witnesses => {
                block.txdata[0].input[0].witness = Witness::from_slice(&[[7_u8; 32]]);
            }
            _ => {}
        }
        return serialize(&block);
    }
    if path.starts_with("/tx/") && path.ends_with("/raw") {
        let mut tx: Transaction = deserialize(&body).unwrap();
        if matches!(lie, Lie::Other | Lie::Contents) {
            tx.output[0].value = Amount::from_sat(1);
        }
        return serialize(&tx);
    }
    let Ok(mut json) = serde_json::from_slice::<Value>(&body) else { return body };
    let is_block = path.starts_with("/block/") && path.matches('/').count() == 2;
    let number = |json: &Value, name: &str| json[name].as_u64().unwrap();
    match lie {
        Lie::Work if is_block => json["nonce"] = json!(number(&json, "nonce") ^ 0x5555_5555),
        Lie::Difficulty if is_block => json["bits"] = json!(0x2000_ffff),
        Lie::Median if is_block => json["mediantime"] = json!(number(&json, "timestamp") + 1),
        Lie::Height if is_block => json["height"] = json!(number(&json, "height") + 1),
        Lie::Other if path.ends_with("/merkle-proof") => json["pos"] = json!(5),
        Lie::Contents if path.ends_with("/merkle-proof") => {
            json["merkle"] = json!([Txid::all_zeros()]);
        }
        Lie::Other if path.contains("/outspend/") => {
            json = json!({ "spent": true, "txid": Txid::all_zeros(), "vin": 0, "status": { "confirmed": false } });
        }
        Lie::Contents if path.contains("/outspend/") && json["spent"] == json!(true) => {
            json["vin"] = json!(9);
        }
        _ => {}
    }
    serde_json::to_vec(&json).unwrap()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, BackendError>, what: &str) {
    let is_no = matches!(answer, Err(BackendError::Lied(_) | BackendError::Unavailable(_)));
    assert!(is_no, "{what}: {answer:?}");
}

/// Eclair #3343: answers of the chain's program were believed, also when they belonged to another question.
#[tokio::test]
async fn c61_answers_that_cannot_be_true_are_no_answers() {
    let Told { chain, seen, lie } = liar(5).await;
    let at = seen.header_at(3).await.unwrap();
    let block = seen.block(at.hash).await.unwrap();
    let coinbase = block.txdata[0].compute_txid();
    let coin = OutPoint::new(coinbase, 0);
    assert_eq!(seen.tx(coinbase).await, chain.tx(coinbase).await);
    let say = |what| {
        lie.send_replace(what);
    };
    for what in
        [Lie::Other, Lie::Contents, Lie::Witnesses, Lie::Garbage, Lie::Rubbish, Lie::Endless]
    {
        say(what);
        refused(seen.block(at.hash).await, &format!("a block, {what:?}"));
    }
    for what in [Lie::Work, Lie::Difficulty, Lie::Height, Lie::Rubbish, Lie::Endless, Lie::Broken] {
        say(what);
        refused(seen.header_at(3).await, &format!("a header, {what:?}"));
    }
    for what in
        [Lie::Other, Lie::Contents, Lie::Garbage, Lie::Rubbish, Lie::Endless, Lie::NothingHere]
    {
        say(what);
        refused(seen.tx(coinbase).await, &format!("a transaction, {what:?}"));
        refused(seen.txout(coin).await, &format!("an output, {what:?}"));
    }
    for what in [Lie::Other, Lie::Rubbish, Lie::Endless, Lie::Broken, Lie::NothingHere] {
        say(what);
        refused(seen.spender(coin, 0).await, &format!("a spender, {what:?}"));
    }
    let tx = block.txdata[0].clone();
    for what in [Lie::Endless, Lie::Broken, Lie::Rubbish, Lie::NothingHere] {
        say(what);
        let outcome = seen.submit(Package::single(tx.clone()), None).await;
        assert_eq!(outcome, SubmitOutcome::Unavailable, "{what:?}");
        let outcome = seen.test(&Package::single(tx.clone())).await;
        assert_eq!(outcome, SubmitOutcome::Unavailable, "{what:?}");
        refused(seen.fees().await, &format!("fees, {what:?}"));
    }
}

/// No block of a liar reaches a reader; when it tells the truth again the reader goes on where it was.
#[tokio::test]
async fn c61_a_reader_of_a_liar_waits_for_the_truth() {
    for what in ALL {
        let Told { chain, seen, lie } = liar(5).await;
        let genesis = Locator::genesis(Network::Regtest);
        let events = seen.events(genesis, Interest::Everything).await.unwrap();
        // That nobody answers is no lie.
        let mut events = events
            .filter(|event| std::future::ready(!matches!(event, Ok(ChainEvent::Away { .. }))));
        let told = |event: Option<Result<ChainEvent, BackendError>>| match event {
            Some(Ok(ChainEvent::Connected { block, .. })) => block.height,
            other => panic!("{what:?}: {other:?}"),
        };
        assert_eq!(told(events.next().await), 1);
        // A reader asks only when it is asked: all that comes from now on is a lie.
        lie.send_replace(what);
        let silence = tokio::time::timeout(Duration::from_millis(300), events.next()).await;
        assert!(silence.is_err(), "{what:?}: {silence:?}");
        chain.mine(3, anyone()).await.unwrap();
        lie.send_replace(Lie::None);
        for height in 2..=8 {
            let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            assert_eq!(told(event.expect("it goes on")), height, "{what:?}");
        }
    }
}
