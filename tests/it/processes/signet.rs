//! A closed network of programs: a signet whose blocks one chain server alone can make, a second server that follows it, and
//! a daemon on each.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Address, Amount, Network, OutPoint, Sequence, Transaction, TxIn, TxOut};
use chain_backend::{ChainBackend as _, Package, RemoteChain, Sandbox as _, SandboxError};
use serde_json::Value;
use viaduct_tests::layer1::signet::{
    Carriers, anyone, anyones_witness, challenge, key, premined, unsigned,
};

use super::network::{Daemon, viaductd};
use super::programs::{PATIENCE, Process, program, run, until};

/// What each daemon gets, in satoshi.
const COIN: u64 = 100_000_000;
const CAPACITY: u64 = 2_000_000;
/// What the gift to both daemons pays to the miner.
const GIFT_FEE: u64 = 1_000;

/// A chain server, and a line to it.
struct Server {
    process: Process,
    chain: RemoteChain,
}

impl Server {
    /// On the signet of the tests, with the key to make blocks if there is a file with it.
    fn start(dir: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(program("viaduct-chain"));
        command.env_clear().arg("--dir").arg(dir).args(["--listen", "127.0.0.1:0"]);
        let challenge = challenge().to_hex_string();
        command.args(["--network", "signet", "--signet-challenge", &challenge]).args(more);
        let process = Process::start(&mut command, &dir.with_extension("log"));
        let url = format!("http://{}", process.said("listen"));
        // A block takes as long as it takes.
        let chain = RemoteChain::patient(&url, Network::Signet, PATIENCE).expect("a URL");
        Self { process, chain }
    }

    fn url(&self) -> String {
        format!("http://{}", self.process.said("listen"))
    }

    /// Where it serves Bitcoin Core's JSON-RPC.
    fn rpc(dir: &Path) -> String {
        let log = dir.with_extension("log");
        let said = |text: &str| {
            let line = text.lines().find(|line| line.contains("JSON-RPC is served"))?;
            line.split_whitespace().find_map(|word| word.strip_prefix("rpc=")).map(str::to_owned)
        };
        let read = || said(&std::fs::read_to_string(&log).expect("a log"));
        until("the JSON-RPC to be served", || read().is_some());
        read().expect("it was there")
    }
}

/// A daemon on signet with a seed of its own.
fn daemon(dir: &Path, chain: &str, settings: &[String]) -> Daemon {
    let mut all = vec!["password=none".to_owned(), "channel.depth_min_blocks=1".to_owned()];
    all.extend_from_slice(settings);
    // As a user would find out: first there is no seed, and to make one takes no chain.
    let mut early = viaductd(dir, chain, "127.0.0.1:0", "127.0.0.1:0");
    early.args(["--network", "signet"]).args(all.iter().flat_map(|one| ["--set", one]));
    let told = run(&mut early);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.err.contains("make one with viaductd seed new"), "{told:?}");
    let mut seed = Command::new(program("viaductd"));
    seed.env_clear().arg("--dir").arg(dir).args(["--network", "signet", "--no-password"]);
    run(seed.args(["seed", "new"])).done();
    Daemon::start_on(dir, chain, Some("signet"), &all)
}

/// What spends the reward of the first block and pays these, in equal parts; the rest is anybody's again.
fn gift(coin: OutPoint, to: &[Address]) -> Transaction {
    let of = |sat, script_pubkey| TxOut { value: Amount::from_sat(sat), script_pubkey };
    let mut output: Vec<TxOut> = to.iter().map(|to| of(COIN, to.script_pubkey())).collect();
    let given = COIN * output.len() as u64;
    output.push(of(5_000_000_000 - given - GIFT_FEE, anyone()));
    let input = TxIn {
        previous_output: coin,
        script_sig: bitcoin::ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: anyones_witness(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn address_of(node: &Daemon) -> Address {
    let address = node.id_of(&["wallet", "address"]);
    assert!(address.starts_with("tb1"), "{address}");
    let address: Address<_> = address.parse().expect("an address");
    address.require_network(Network::Signet).expect("of signet")
}

fn confirmed(node: &Daemon) -> u64 {
    node.number(&["wallet"], "/confirmed_sat")
}

fn pay(from: &Daemon, to: &Daemon, sat: u64) {
    let invoice = to.id_of(&["invoice", &sat.to_string(), "a payment"]);
    assert!(invoice.starts_with("lntbs"), "{invoice}");
    done(from, &["pay", &invoice]);
}

/// Asks until it is done: a daemon that lost sight of its chain for a moment does it a moment later.
fn done(node: &Daemon, words: &[&str]) {
    until("a daemon that sees its chain", || {
        let said = node.ask(words);
        if said.code != 0 {
            let (reason, money) = (&said.error()["reason"], &said.error()["money"]);
            let is_blind = reason == "CHAIN_BEHIND" || reason == "CHAIN_UNAVAILABLE";
            assert!(is_blind && money == "untouched", "{said:?}");
        }
        said.code == 0
    });
}

/// Waits until a daemon has so much in its channel, and nothing is in flight.
fn settled(node: &Daemon, msat: u64) {
    until("a payment to be settled", || {
        let channel = node.get(&["channels"])["channels"][0].clone();
        channel["our_msat"] == msat && channel["htlcs"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn daemons_on_a_signet_of_ones_own_pay_each_other_and_only_the_holder_of_its_key_makes_blocks() {
    let dir = tempfile::tempdir().expect("a directory");
    let wif = dir.path().join("key.wif");
    std::fs::write(&wif, format!("{}\n", key())).expect("a key file");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let (at, by) = (dir.path().join("signer"), dir.path().join("follower"));
    // Whenever something waits it makes a block, and works for it as a signet asks.
    let with_key = ["--signet-key", wif.to_str().expect("a path"), "--mine", "on-tx=50ms"];
    let signer = Server::start(&at, &with_key);
    let follower = Server::start(&by, &["--rpc-listen", "127.0.0.1:0"]);
    let blocks = premined();
    runtime.block_on(async {
        for block in &blocks {
            assert!(signer.chain.submit_block(block.clone()).await.expect("it is taken"));
        }
        for block in unsigned(&blocks) {
            let refused = signer.chain.submit_block(block).await.expect_err("not signed");
            assert_eq!(refused, SandboxError::Refused("bad-signet-blksig".to_owned()));
        }
        let refused = follower.chain.mine(1, anyone()).await.expect_err("it has no key");
        let SandboxError::Refused(why) = &refused else { panic!("{refused:?}") };
        assert!(why.contains("only who holds the key of this signet"), "{why}");
    });
    let _carriers = runtime.block_on(async {
        let (signer, follower) = (signer.chain.clone(), follower.chain.clone());
        Carriers::between(Arc::new(signer), Arc::new(follower))
    });

    // One daemon asks the signer's server, the other Bitcoin Core's JSON-RPC of the one that follows.
    let alice = daemon(&dir.path().join("alice"), &signer.url(), &[]);
    let cookie = by.join("signet/.cookie");
    let core = ["chain.poll_ms=20".to_owned(), format!("chain.rpc_cookie={}", cookie.display())];
    let url = format!("bitcoind=http://{}", Server::rpc(&by));
    let bob = daemon(&dir.path().join("bob"), &url, &core);
    assert_eq!(alice.get(&["status"])["info"]["network"], "signet");
    let coin = OutPoint { txid: blocks[0].txdata[0].compute_txid(), vout: 0 };
    let gift = gift(coin, &[address_of(&alice), address_of(&bob)]);
    let given = runtime.block_on(signer.chain.submit(Package::single(gift), None));
    assert!(given.is_success(), "{given:?}");
    for node in [&alice, &bob] {
        until("the gift", || confirmed(node) == COIN);
    }
    let poured = alice.ask(&["sandbox", "faucet", "1000"]);
    assert_eq!((poured.code, &poured.error()["reason"]), (1, &"NOT_SANDBOX".into()), "{poured:?}");

    let peer = format!("{}@{}", bob.node_id, bob.p2p);
    done(&alice, &["open", "--no-wait", &peer, &CAPACITY.to_string()]);
    for node in [&alice, &bob] {
        until("the channel to be usable", || {
            let channel = node.get(&["channels"])["channels"][0].clone();
            channel["connected"] == Value::Bool(true) && channel["state"] == "CHANNEL_STATE_OPEN"
        });
    }
    pay(&alice, &bob, 500_000);
    settled(&bob, 500_000_000);
    pay(&bob, &alice, 200_000);
    settled(&alice, (CAPACITY - 300_000) * 1_000);
    settled(&bob, 300_000_000);

    done(&bob, &["close", "--no-wait", &alice.node_id]);
    until("both to have their coins", || {
        let fees = runtime.block_on(signer.chain.totals()).expect("totals").fees_sat - GIFT_FEE;
        confirmed(&bob) == COIN + 300_000 && confirmed(&alice) + fees + 300_000 == COIN
    });
}
