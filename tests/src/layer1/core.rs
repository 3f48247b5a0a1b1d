//! A Bitcoin Core of a test's own: the program is started in an empty directory on the regtest network, and killed.

use super::served::POLL;
use chain_backend::bitcoind::{Client, Login};
use chain_backend::{BitcoindChain, BitcoindSettings};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::until::PATIENCE;

/// The oldest that is taken: what older ones answer is not what was tried.
const VERSION_MIN: u64 = 300_000;

/// Ports that are tried: another program may take one between our look and the start.
const TRIES: u32 = 5;

/// A program that serves Bitcoin Core's JSON-RPC.
#[derive(Debug)]
pub struct Core {
    program: PathBuf,
    dir: tempfile::TempDir,
    at: SocketAddr,
    process: Child,
}

impl Core {
    /// Starts the program and waits until it answers.
    ///
    /// # Panics
    /// When it does not start, or is older than Bitcoin Core 30.
    pub fn start(program: &Path) -> Self {
        for _ in 0..TRIES {
            let dir = tempfile::tempdir().expect("a directory");
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let at = free.local_addr().expect("it is bound");
            drop(free);
            let process = launch(program, dir.path(), at);
            let mut core = Self { program: program.to_owned(), dir, at, process };
            if core.answers() {
                return core;
            }
        }
        panic!("{} does not start", program.display());
    }

    /// How to reach it.
    pub fn settings(&self) -> BitcoindSettings {
        BitcoindSettings {
            url: format!("http://{}", self.at),
            login: Login::Cookie(self.dir.path().join("regtest/.cookie")),
            network: bitcoin::Network::Regtest,
            poll: POLL,
            patience: PATIENCE,
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _dead = self.process.kill();
        let _dead = self.process.wait();
    }

    /// Starts it again where it was; what it had written is there.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&mut self) {
        self.kill();
        let begun = Instant::now();
        loop {
            self.process = launch(&self.program, self.dir.path(), self.at);
            if self.answers() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not start again", self.program.display());
        }
    }

    /// Waits until it answers; not, when it ended.
    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            if let Ok(info) = ask(&self.settings(), "getnetworkinfo", json!([])) {
                let version = info.get("version").and_then(Value::as_u64).unwrap_or_default();
                assert!(
                    version >= VERSION_MIN,
                    "Bitcoin Core 30 or newer is needed, not {version}"
                );
                return true;
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not answer", self.program.display());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(program: &Path, dir: &Path, at: SocketAddr) -> Child {
    Command::new(program)
        .arg(format!("-datadir={}", dir.display()))
        .arg(format!("-rpcport={}", at.port()))
        .args(["-regtest", "-server", "-nolisten", "-nowallet", "-txindex", "-rpcthreads=16"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// One call from wherever this is, also from within a runtime.
///
/// # Errors
/// Why there is no answer.
fn ask(settings: &BitcoindSettings, method: &str, params: Value) -> Result<Value, String> {
    let settings = settings.clone();
    let method = method.to_owned();
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            // The network as well: another one's is not to be steered.
            let connected = BitcoindChain::connect(&settings).await;
            connected.map_err(|error| error.to_string())?;
            call(&settings, &method, params).await
        })
    });
    asking.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// One call.
///
/// # Errors
/// Why there is no answer, or what Core says.
pub async fn call(
    settings: &BitcoindSettings,
    method: &str,
    params: Value,
) -> Result<Value, String> {
    let client = Client::new(&settings.url, settings.login.clone());
    let client = client.map_err(|error| error.to_string())?;
    let body = json!({ "jsonrpc": "1.0", "id": 0, "method": method, "params": params });
    let answer = client.post_text(body.to_string()).await.map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    match answer.get("error") {
        None | Some(Value::Null) => Ok(answer["result"].take()),
        Some(error) => Err(error["message"].as_str().unwrap_or_default().to_owned()),
    }
}
