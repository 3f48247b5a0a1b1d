//! Pages as a browser gets them.

use super::{SECURITY, serve};
use crate::backend::{ChainBackend, Package};
use crate::builtin::BuiltinChain;
use crate::builtin::tests::harness::{anyone, child, miner, out, sign, spend};
use crate::sandbox::Sandbox;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::script::Builder;
use bitcoin::{Address, Network, OutPoint, ScriptBuf, Sequence, Transaction, Txid, Witness};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

const START: u32 = 1_700_000_000;
const COIN: u64 = 100_000_000;

struct Site {
    chain: BuiltinChain,
    url: String,
}

struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
}

async fn site() -> Site {
    let chain = BuiltinChain::in_memory(|| START).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(chain.clone(), listener, std::future::pending()));
    chain.mine(110, miner()).await.unwrap();
    Site { chain, url }
}

impl Site {
    async fn get(&self, path: &str) -> Answer {
        let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = http.get(format!("{}{path}", self.url).parse().unwrap()).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text
    }

    async fn coinbase(&self, height: u32) -> Transaction {
        let hash = self.chain.header_at(height).await.unwrap().hash;
        self.chain.block(hash).await.unwrap().txdata[0].clone()
    }

    async fn accept(&self, tx: &Transaction) {
        self.chain.accept(Package::single(tx.clone())).await.unwrap();
    }
}

/// A 2-of-2 of the one key the harness has, twice.
fn funding() -> ScriptBuf {
    let key = crate::builtin::tests::harness::pubkey();
    Builder::new()
        .push_int(2)
        .push_key(&key)
        .push_key(&key)
        .push_int(2)
        .push_opcode(bitcoin::opcodes::all::OP_CHECKMULTISIG)
        .into_script()
}

/// Spends the funding output of `open` as a commitment does, or as both sides together.
fn ending(open: &Transaction, commitment: bool) -> Transaction {
    let mut tx = spend(&[OutPoint::new(open.compute_txid(), 0)], vec![out(COIN - 1_000, miner())]);
    if commitment {
        tx.lock_time = LockTime::from_consensus(0x2000_0007);
        tx.input[0].sequence = Sequence::from_consensus(0x8000_0000);
    }
    let script = funding();
    let signature = crate::builtin::tests::harness::sign_wsh(&tx, 0, &script, COIN);
    tx.input[0].witness =
        Witness::from_slice(&[vec![], signature.clone(), signature, script.to_bytes()]);
    tx
}

async fn opened(site: &Site, height: u32) -> Transaction {
    let coin = site.coinbase(height).await;
    let outputs = vec![out(COIN, funding().to_p2wsh()), out(49 * COIN - 1_000, miner())];
    let tx = spend(&[OutPoint::new(coin.compute_txid(), 0)], outputs);
    let tx = sign(tx, &coin.output[..1]);
    site.accept(&tx).await;
    tx
}

#[tokio::test]
async fn a_channels_life_can_be_followed_from_page_to_page() {
    let site = site().await;
    let open = opened(&site, 1).await;
    let txid = open.compute_txid();
    let before = site.page(&format!("/tx/{txid}")).await;
    assert!(before.contains("funding, perhaps") && before.contains("none yet: it waits"));
    assert!(
        site.page("/").await.contains(&txid.to_string())
            && site.page("/mempool").await.contains("1 transaction waits")
    );
    site.chain.mine(1, anyone()).await.unwrap();
    let commitment = ending(&open, true);
    site.accept(&commitment).await;
    let after = site.page(&format!("/tx/{txid}")).await;
    assert!(after.contains("channel funding") && after.contains("channel funding, 2 of 2"));
    assert!(
        after.contains(&format!("/tx/{}", commitment.compute_txid()))
            && after.contains("spent (waits) by")
    );
    let page = site.page(&format!("/tx/{}", commitment.compute_txid())).await;
    assert!(
        page.contains("commitment · legacy") && page.contains("One side closed its channel alone.")
    );
    let outpoint = site.page(&format!("/outpoint/{txid}:0")).await;
    assert!(
        outpoint.contains(&commitment.compute_txid().to_string())
            && outpoint.contains("both signed")
    );
    let unspent = site.page(&format!("/outpoint/{txid}:1")).await;
    assert!(unspent.contains("Nobody has spent it."));
    // The other one is closed together.
    let other = opened(&site, 2).await;
    site.accept(&ending(&other, false)).await;
    site.chain.mine(1, anyone()).await.unwrap();
    let block = site.page("/block/112").await;
    assert!(
        block.contains("cooperative close")
            && block.contains("commitment · legacy")
            && block.contains("new coins")
    );
    assert!(site.page("/").await.contains("1 forced"));
}

#[tokio::test]
async fn what_is_looked_for_is_found() {
    let site = site().await;
    let open = opened(&site, 1).await;
    let txid = open.compute_txid();
    let hash = site.chain.header_at(7).await.unwrap().hash;
    let address = Address::from_script(&miner(), Network::Regtest).unwrap();
    for (typed, path) in [
        ("7".to_owned(), "/block/7".to_owned()),
        (format!("+{hash}%20"), format!("/block/{hash}")),
        (txid.to_string(), format!("/tx/{txid}")),
        (format!("{txid}%3A1"), format!("/outpoint/{txid}:1")),
        (address.to_string(), format!("/address/{address}")),
    ] {
        let answer = site.get(&format!("/search?q={typed}")).await;
        assert_eq!(
            (answer.status, answer.headers["location"].to_str().unwrap()),
            (303, path.as_str())
        );
        assert_eq!(site.get(&path).await.status, 200);
    }
    let history = site.page(&format!("/address/{address}")).await;
    assert!(
        history.contains("110") && history.contains(&txid.to_string()) && history.contains("older")
    );
    let older = site
        .page(&format!("/address/{address}?after={}", site.coinbase(20).await.compute_txid()))
        .await;
    assert!(older.contains(&site.coinbase(19).await.compute_txid().to_string()));
    let script = site.get(&format!("/search?q={}", miner().to_hex_string())).await;
    let by_hash = site.page(script.headers["location"].to_str().unwrap()).await;
    assert!(by_hash.contains(&txid.to_string()));
}

#[tokio::test]
async fn what_there_is_not_is_a_page_of_its_own() {
    let site = site().await;
    let nothing = Txid::all_zeros();
    for path in [
        "/nowhere".to_owned(),
        "/block/111".to_owned(),
        "/block/x".to_owned(),
        format!("/block/{nothing}"),
        "/block/1?page=2".to_owned(),
        "/block/1?page=0".to_owned(),
        format!("/tx/{nothing}"),
        "/tx/zz".to_owned(),
        format!("/outpoint/{nothing}:0"),
        format!("/outpoint/{}:9", site.coinbase(1).await.compute_txid()),
        "/address/1BoatSLRHtKNngkdXEeobR76b53LETtpyT".to_owned(),
        "/script/00".to_owned(),
        "/mempool?page=2".to_owned(),
        "/blocks?from=x".to_owned(),
        "/search?q=nonsense".to_owned(),
        "/search".to_owned(),
    ] {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text.contains("There is nothing like"), "{path}");
    }
}

#[tokio::test]
async fn nothing_that_somebody_typed_becomes_markup() {
    let site = site().await;
    let evil = "%3C%2Fp%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'";
    for path in [
        format!("/search?q={evil}"),
        format!("/block/{evil}"),
        format!("/tx/{evil}"),
        format!("/outpoint/{evil}"),
        format!("/address/{evil}"),
        format!("/script/{evil}"),
        format!("/mempool?page={evil}"),
    ] {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            !answer.text.contains("<script>") && answer.text.contains("&lt;script&gt;"),
            "{path}"
        );
    }
    // A script whose bytes are text.
    let coin = site.coinbase(1).await;
    let data =
        bitcoin::script::PushBytesBuf::try_from(b"</main><script>alert(1)</script>".to_vec())
            .unwrap();
    let outputs = vec![out(0, ScriptBuf::new_op_return(data)), out(COIN, miner())];
    let tx = sign(spend(&[OutPoint::new(coin.compute_txid(), 0)], outputs), &coin.output[..1]);
    site.accept(&tx).await;
    for path in [format!("/tx/{}", tx.compute_txid()), "/".to_owned(), "/mempool".to_owned()] {
        let page = site.page(&path).await;
        assert_eq!(page.matches("<script").count(), 1, "{path}: our own alone");
    }
}

#[tokio::test]
async fn every_answer_keeps_everything_from_elsewhere_out() {
    let site = site().await;
    for path in ["/", "/blocks", "/fees", "/style.css", "/live.js", "/tip", "/nowhere"] {
        let answer = site.get(path).await;
        assert_eq!(answer.headers["content-security-policy"], SECURITY, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let text = answer.text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("http://") && !text.contains("https://") && !text.contains("style=\""),
            "{path}"
        );
        assert!(!text.contains("onclick") && !text.contains("onload"));
    }
    assert!(SECURITY.contains("default-src 'none'") && !SECURITY.contains("unsafe"));
    let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let post = hyper::Request::post(format!("{}/", site.url)).body(Empty::new()).unwrap();
    assert_eq!(http.request(post).await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn long_lists_come_in_pages_that_have_an_end() {
    let site = site().await;
    let coin = site.coinbase(1).await;
    let outputs: Vec<_> = (0..260).map(|_| out(10_000, miner())).collect();
    let wide = sign(spend(&[OutPoint::new(coin.compute_txid(), 0)], outputs), &coin.output[..1]);
    // It pays too much for a caller with a limit; this one has none.
    site.accept(&wide).await;
    let txid = wide.compute_txid();
    let of_page = |text: &str| text.matches("class=\"coin\"").count();
    let pages = [1, 2, 3].map(|page| format!("/tx/{txid}?page={page}"));
    let mut shown = Vec::new();
    for page in &pages {
        shown.push(of_page(&site.page(page).await));
    }
    assert_eq!(shown, [101, 100, 60], "its one input, and its outputs");
    assert_eq!(site.get(&format!("/tx/{txid}?page=4")).await.status, 404);
    site.chain.mine(1, anyone()).await.unwrap();
    let outputs: Vec<u32> = (0..120).collect();
    for vout in outputs {
        site.accept(&child(&wide, &[vout], 300)).await;
    }
    let groups = site.page("/mempool").await;
    assert_eq!(groups.matches("<h2>").count(), 40);
    assert!(
        groups.contains("/mempool?page=2") && site.page("/mempool?page=3").await.contains("better")
    );
    site.chain.mine(1, anyone()).await.unwrap();
    let first = site.page("/block/112").await;
    assert_eq!(first.matches("<tr data-key").count(), 50);
    let hash = site.chain.tip().await.unwrap().hash;
    assert_eq!(
        site.page(&format!("/block/{hash}?page=3")).await.matches("<tr data-key").count(),
        21
    );
    let blocks = site.page("/blocks").await;
    assert_eq!(blocks.matches("<tr data-key").count(), 50);
    assert!(blocks.contains("/blocks?from=62"));
    assert_eq!(site.page("/blocks?from=12").await.matches("<tr data-key").count(), 13);
    let long = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let path = format!("{}/search?q={}", site.url, "x".repeat(3_000));
    assert_eq!(long.get(path.parse().unwrap()).await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn news_changes_the_mark_that_pages_look_at() {
    let site = site().await;
    let mark = site.page("/tip").await;
    assert!(site.page("/").await.contains(&format!("data-live=\"{mark}\"")));
    assert_eq!(site.page("/tip").await, mark);
    opened(&site, 1).await;
    let second = site.page("/tip").await;
    site.chain.mine(1, anyone()).await.unwrap();
    let third = site.page("/tip").await;
    assert!(mark != second && second != third);
}

#[tokio::test]
async fn a_block_that_lost_its_place_says_so() {
    let site = site().await;
    let hash = site.chain.tip().await.unwrap().hash;
    site.chain.reorg(1, std::collections::BTreeSet::new(), anyone()).await.unwrap();
    assert!(site.page(&format!("/block/{hash}")).await.contains("not on the best chain"));
}
