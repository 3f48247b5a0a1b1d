//! The `viaduct-chain` program as its clients and its operator see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use api::chain as wire;
use bitcoin::absolute::LockTime;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use chain_backend::{
    BackendError, ChainBackend, ChainEvent, ChainStream, Interest, Locator, Package, RemoteChain,
    Sandbox, SandboxError, SubmitOutcome,
};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_viaduct-chain");

struct Server {
    process: Child,
    listen: String,
}

impl Server {
    fn start(dir: &Path, listen: &str) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["--listen", listen, "--dir"])
            .arg(dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();
        let listen = ready.split("listen=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        // Whoever writes to a pipe that nobody reads would stop.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, listen }
    }

    async fn client(&self) -> RemoteChain {
        RemoteChain::connect(&format!("http://{}", self.listen), Network::Regtest).await.unwrap()
    }

    fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::mem::take(&mut self.listen)
    }

    fn terminate(mut self) -> bool {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Server {
    /// A test that fails leaves none behind.
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn anyone() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

async fn next(stream: &mut ChainStream) -> ChainEvent {
    let event = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await;
    event.expect("an event in time").unwrap().unwrap()
}

/// Block events only.
async fn next_block(stream: &mut ChainStream) -> ChainEvent {
    loop {
        let event = next(stream).await;
        if matches!(event, ChainEvent::Connected { .. } | ChainEvent::Disconnected { .. }) {
            return event;
        }
    }
}

fn height(event: &ChainEvent) -> u32 {
    let ChainEvent::Connected { block, .. } = event else { panic!("no block: {event:?}") };
    block.height
}

/// Spends the first coinbase, which anybody can.
async fn payment(chain: &RemoteChain) -> Transaction {
    let hash = chain.header_at(1).await.unwrap().hash;
    let coinbase = chain.block(hash).await.unwrap().txdata[0].clone();
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(coinbase.compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[anyone().as_bytes()]),
        }],
        output: vec![TxOut {
            value: coinbase.output[0].value - Amount::from_sat(1_000),
            script_pubkey: anyone().to_p2wsh(),
        }],
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_resumes_its_reader_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let chain = server.client().await;
    chain.mine(5, anyone().to_p2wsh()).await.unwrap();
    let genesis = Locator::genesis(Network::Regtest);
    let mut stream = chain.events(genesis, Interest::Everything).await.unwrap();
    for expected in 1..=5 {
        assert_eq!(height(&next_block(&mut stream).await), expected);
    }
    chain.mine(2, anyone().to_p2wsh()).await.unwrap();
    let listen = server.kill();
    assert!(matches!(chain.tip().await, Err(BackendError::Unavailable(_))));

    let server = Server::start(dir.path(), &listen);
    let chain = server.client().await;
    assert_eq!(chain.tip().await.unwrap().height, 7);
    // While the reader was away the chain changed its mind.
    chain.reorg(4, BTreeSet::new(), anyone().to_p2wsh()).await.unwrap();
    let mut heights = Vec::new();
    let mut forks = Vec::new();
    while heights.last() != Some(&8) {
        match next_block(&mut stream).await {
            ChainEvent::Disconnected { fork, .. } => {
                forks.push(fork.height);
                heights.truncate(fork.height as usize);
            }
            event => heights.push(height(&event)),
        }
    }
    assert_eq!(forks, [3]);
    let tip = chain.tip().await.unwrap();
    assert_eq!(tip.height, 8);
    assert!(server.terminate(), "an orderly stop ends with success");
}

#[tokio::test]
async fn every_question_over_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let chain = server.client().await;
    chain.mine(101, anyone().to_p2wsh()).await.unwrap();
    let tx = payment(&chain).await;
    let (txid, coin) = (tx.compute_txid(), tx.input[0].previous_output);
    assert_eq!(chain.test(&Package::single(tx.clone())).await, SubmitOutcome::Accepted);
    assert_eq!(chain.submit(Package::single(tx.clone()), None).await, SubmitOutcome::Accepted);
    assert_eq!(chain.submit(Package::single(tx.clone()), None).await, SubmitOutcome::InMempool);
    assert_eq!(*chain.mempool().await.unwrap()[0], tx);
    assert_eq!(chain.txout(coin).await.unwrap().unwrap().mempool_spender, Some(txid));
    let waiting = chain.spender(coin, 0).await.unwrap().unwrap();
    assert_eq!((waiting.tx.compute_txid(), waiting.block), (txid, None));
    let mut poorer = tx.clone();
    poorer.output[0].value += Amount::from_sat(1);
    let outcome = chain.submit(Package::single(poorer), None).await;
    assert!(matches!(outcome, SubmitOutcome::Replaceable { needed } if needed.to_sat() > 1_000));

    chain.mine(1, anyone().to_p2wsh()).await.unwrap();
    let found = chain.tx(txid).await.unwrap().unwrap();
    assert_eq!(found.confirmed.map(|(block, index)| (block.height, index)), Some((102, 1)));
    assert_eq!(chain.txout(coin).await.unwrap(), None);
    assert_eq!(chain.txout(OutPoint::new(txid, 0)).await.unwrap().unwrap().height, Some(102));
    assert_eq!(chain.spender(coin, 0).await.unwrap().unwrap().block.unwrap().height, 102);
    assert!(chain.fees().await.unwrap().relay_min.to_sat_per_kwu() == 250);
    let totals = chain.totals().await.unwrap();
    assert_eq!((totals.transactions, totals.fees_sat), (1, 1_000));
    assert_eq!(totals.supply_sat, 102 * 5_000_000_000);

    let tip = chain.tip().await.unwrap();
    assert_eq!(chain.header_at(103).await, Err(BackendError::NotFound));
    let block = chain.block(tip.hash).await.unwrap();
    let refused = chain.submit_block((*block).clone()).await;
    assert_eq!(refused, Err(SandboxError::Refused("duplicate".into())));
    chain.invalidate(tip.hash).await.unwrap();
    assert_eq!(chain.tip().await.unwrap().height, 101);
    chain.reconsider(tip.hash).await.unwrap();
    assert_eq!(chain.tip().await.unwrap(), tip);
    assert!(!chain.evict(txid).await.unwrap());
    chain.set_now(Some(tip.header.time + 600)).await.unwrap();
    chain.mine(1, anyone().to_p2wsh()).await.unwrap();
    assert_eq!(chain.tip().await.unwrap().header.time, tip.header.time + 600);
    assert!(server.terminate());
}

#[tokio::test]
async fn a_reader_of_another_chain_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let url = format!("http://{}", server.listen);
    let other = RemoteChain::connect(&url, Network::Signet).await;
    assert_eq!(other.map(drop), Err(BackendError::WrongChain));
    let signet = Locator::genesis(Network::Signet);
    let refused = server.client().await.events(signet, Interest::Everything).await;
    assert_eq!(refused.map(drop), Err(BackendError::WrongChain));
    server.kill();
}

/// What the program says when it will not start.
fn refusal(arguments: &[&str]) -> String {
    let mut process = Command::new(PROGRAM).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_keeps_it_from_starting_is_said_clearly() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let (dir, other) = (dir.path().to_str().unwrap(), other.path().to_str().unwrap());
    let locked = refusal(&["--dir", dir, "--listen", "127.0.0.1:0"]);
    assert!(locked.contains("is in use by another chain server"), "{locked}");
    let busy = refusal(&["--dir", other, "--listen", &server.listen]);
    assert!(busy.contains("choose another port with --listen"), "{busy}");
    let open = refusal(&["--dir", other, "--listen", "0.0.0.0:0"]);
    assert!(open.contains("only a loopback address"), "{open}");
    server.kill();
}

#[tokio::test]
async fn a_server_that_stands_still_is_unavailable_in_time_and_asked_again_when_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let patience = std::time::Duration::from_millis(500);
    let url = format!("http://{}", server.listen);
    let chain = RemoteChain::patient(&url, Network::Regtest, patience).unwrap();
    assert_eq!(chain.tip().await.unwrap().height, 0);
    let signal = |name: &str| {
        let pid = server.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    // Whoever looks after money must not wait for ever for one answer.
    let limit = std::time::Duration::from_secs(20);
    let tip = tokio::time::timeout(limit, chain.tip()).await.expect("an answer in time");
    assert!(matches!(tip, Err(BackendError::Unavailable(_))), "{tip:?}");
    let from = Locator::genesis(Network::Regtest);
    let events = chain.events(from, Interest::Everything);
    let events = tokio::time::timeout(limit, events).await.expect("an answer in time");
    assert!(matches!(events.map(drop), Err(BackendError::Unavailable(_))));
    let dir = tempfile::tempdir().unwrap();
    let other = Server::start(dir.path(), "127.0.0.1:0");
    let known = other.client().await;
    known.mine(1, anyone().to_p2wsh()).await.unwrap();
    let tx = payment(&known).await;
    let outcome = chain.submit(Package::single(tx), None);
    let outcome = tokio::time::timeout(limit, outcome).await.expect("an answer in time");
    assert_eq!(outcome, SubmitOutcome::Unavailable);
    signal("-CONT");
    assert_eq!(chain.tip().await.unwrap().height, 0, "it goes on where it stood");
}

#[tokio::test]
async fn readers_say_how_far_they_are_and_a_server_that_is_killed_knows_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), "127.0.0.1:0");
    let chain = server.client().await;
    chain.mine(9, anyone().to_p2wsh()).await.unwrap();
    for (name, height) in [("alice", 4), ("bob", 9), ("the tower", 0)] {
        chain.reached(name, height).await.unwrap();
    }
    let refused = chain.reached(&"x".repeat(65), 1).await;
    assert!(matches!(&refused, Err(BackendError::Unavailable(words)) if words.contains("64")));
    let listen = server.kill();
    let server = Server::start(dir.path(), &listen);
    let url = format!("http://{}", server.listen);
    let mut client = api::chain::chain_client::ChainClient::connect(url).await.unwrap();
    let mut page = async |page_size, after: &str| {
        let request = wire::ReadersRequest { page_size, after: after.to_owned() };
        let readers = client.readers(request).await.unwrap().into_inner().readers;
        readers.into_iter().map(|reader| (reader.name, reader.height)).collect::<Vec<_>>()
    };
    assert_eq!(page(2, "").await, [("alice".to_owned(), 4), ("bob".to_owned(), 9)]);
    assert_eq!(page(2, "bob").await, [("the tower".to_owned(), 0)]);
    assert_eq!(page(0, "").await.len(), 3);
    let request = wire::ForgetReaderRequest { reader: "bob".to_owned() };
    assert!(client.forget_reader(request.clone()).await.unwrap().get_ref().known);
    assert!(!client.forget_reader(request).await.unwrap().get_ref().known);
    server.kill();
}
