//! `viaduct-chain` in the place of Bitcoin Core: started as `bitcoind`, asked through `bitcoin-cli`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use chain_backend::bitcoind::{BitcoindSettings, Login};
use chain_backend::{BitcoindChain, ChainBackend};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_viaduct-chain");

struct Bitcoind {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// As lnprototest starts it: a configuration file, and a line on the output that says when it is there.
fn start() -> Bitcoind {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let file = format!("rpcuser=rpcuser\nrpcpassword=rpcpass\n[regtest]\nrpcport={port}\n");
    std::fs::write(dir.path().join("bitcoin.conf"), file).unwrap();
    let process = launch(dir.path());
    Bitcoind { process, dir, port }
}

fn launch(dir: &Path) -> Child {
    let mut process = Command::new(PROGRAM)
        .arg0("bitcoind")
        .arg(format!("-datadir={}", dir.display()))
        .args(["-server", "-regtest", "-logtimestamps", "-nolisten"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("Done loading")));
    process
}

impl Bitcoind {
    fn cli(&self, options: &[&str], stdin: &str) -> Output {
        let mut process = Command::new(PROGRAM)
            .arg0("bitcoin-cli")
            .args(["-regtest", &format!("-datadir={}", self.dir.path().display())])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    }

    fn says(&self, options: &[&str], stdin: &str) -> String {
        let output = self.cli(options, stdin);
        assert!(output.status.success(), "{options:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn core_lightning_runs_it_as_its_own_plugin_does() {
    let bitcoind = start();
    let network = bitcoind.says(&["-rpcwait", "-rpcwaittimeout=1", "getnetworkinfo"], "");
    assert!(network.contains("\"localrelay\": true"), "{network}");
    let port = format!("-rpcport={}", bitcoind.port);
    let plugin = [
        "-rpcclienttimeout=60",
        "-rpcconnect=127.0.0.1",
        &port,
        "-rpcuser=rpcuser",
        "-stdinrpcpass",
        "-stdin",
    ];
    let ask = |method: &str, stdin: &str| {
        let mut options = plugin.to_vec();
        options.push(method);
        bitcoind.cli(&options, &format!("rpcpass\n{stdin}"))
    };
    let genesis = ask("getblockhash", "0\n");
    let expected = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206\n";
    assert_eq!(String::from_utf8(genesis.stdout).unwrap(), expected, "without quotes");
    let above = ask("getblockhash", "1\n");
    assert_eq!(above.status.code(), Some(8), "not yet: the code without its sign");
    assert!(String::from_utf8(above.stderr).unwrap().contains("Block height out of range"));
    let spent = ask("gettxout", &format!("{}\n0\n", "00".repeat(32)));
    assert!(spent.status.success() && spent.stdout.is_empty(), "null is nothing");
    let wrong =
        bitcoind.cli(&[&port, "-rpcuser=rpcuser", "-rpcpassword=wrong", "getblockcount"], "");
    assert_eq!(wrong.status.code(), Some(1));
    let nobody = bitcoind.cli(&["-rpcport=1", "getblockcount"], "");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("Could not connect to the server"));
}

#[test]
fn a_test_suite_starts_it_mines_and_stops_it() {
    let mut bitcoind = start();
    bitcoind.says(&["createwallet", "main"], "");
    let made = bitcoind.says(&["-generate", "101"], "");
    assert!(made.contains("\"blocks\": ["), "{made}");
    assert_eq!(bitcoind.says(&["getbalance"], ""), "50.00000000");
    let address = bitcoind.says(&["getnewaddress"], "");
    let txid = bitcoind
        .says(&["-named", "sendtoaddress", &format!("address={address}"), "amount=0.1"], "");
    assert_eq!(txid.len(), 64);
    assert!(bitcoind.says(&["getrawmempool"], "").contains(&txid));
    bitcoind.says(&["stop"], "");
    assert!(bitcoind.process.wait().unwrap().success());
    // It kept blocks, what waits, and the wallet.
    bitcoind.process = launch(bitcoind.dir.path());
    assert_eq!(bitcoind.says(&["getblockcount"], ""), "101");
    assert!(bitcoind.says(&["getrawmempool"], "").contains(&txid));
    bitcoind.says(&["loadwallet", "main"], "");
    bitcoind.says(&["-generate"], "");
    assert!(bitcoind.says(&["gettransaction", &txid], "").contains("\"confirmations\": 1"));
}

#[tokio::test]
async fn a_cookie_of_a_server_that_was_started_again_is_read_again() {
    let mut bitcoind = start();
    let settings = BitcoindSettings {
        url: format!("http://127.0.0.1:{}", bitcoind.port),
        login: Login::Cookie(bitcoind.dir.path().join("regtest/.cookie")),
        network: bitcoin::Network::Regtest,
        poll: std::time::Duration::from_millis(10),
        patience: chain_backend::PATIENCE,
    };
    let chain = BitcoindChain::connect(&settings).await.unwrap();
    bitcoind.says(&["stop"], "");
    bitcoind.process.wait().unwrap();
    assert!(chain.tip().await.is_err());
    bitcoind.process = launch(bitcoind.dir.path());
    assert_eq!(chain.tip().await.unwrap().height, 0);
}
