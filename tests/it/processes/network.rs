//! A chain server and two daemons, each a process, as a user would start them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::programs::{Process, Said, program, run, until};

/// A daemon and how it was started, so that it can be started again the same way.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) dir: PathBuf,
    pub(crate) node_id: String,
    pub(crate) p2p: String,
    pub(crate) rpc: String,
    chain: String,
    network: Option<&'static str>,
    settings: Vec<String>,
}

/// The line that starts a daemon.
pub(crate) fn viaductd(dir: &Path, chain: &str, p2p: &str, rpc: &str) -> Command {
    let mut command = Command::new(program("viaductd"));
    command.env_clear().arg("--dir").arg(dir).args(["--chain", chain]);
    command.args(["--listen", p2p, "--rpc-listen", rpc]);
    command
}

impl Daemon {
    pub(crate) fn start(dir: &Path, chain: &str) -> Self {
        Self::start_on(dir, chain, None, &[])
    }

    /// On another network than the sandbox, with settings such as `chain.rpc_cookie=/a/path`.
    pub(crate) fn start_on(
        dir: &Path,
        chain: &str,
        network: Option<&'static str>,
        settings: &[String],
    ) -> Self {
        let settings: Vec<String> =
            settings.iter().flat_map(|one| ["--set".to_owned(), one.clone()]).collect();
        let mut command = viaductd(dir, chain, "127.0.0.1:0", "127.0.0.1:0");
        command.args(network.iter().flat_map(|name| ["--network", name])).args(&settings);
        let process = Process::start(&mut command, &dir.with_extension("log"));
        let (node_id, p2p) = (process.said("node_id"), process.said("p2p"));
        let (rpc, dir, chain) = (process.said("rpc"), dir.to_owned(), chain.to_owned());
        Self { process, dir, node_id, p2p, rpc, chain, network, settings }
    }

    /// Starts it again where it was, after it ended somehow.
    pub(crate) fn again(&mut self) {
        let mut command = viaductd(&self.dir, &self.chain, &self.p2p, &self.rpc);
        command.args(self.network.iter().flat_map(|name| ["--network", name]));
        command.args(&self.settings);
        self.process = Process::start(&mut command, &self.dir.with_extension("log"));
        assert_eq!(self.process.said("node_id"), self.node_id);
    }

    pub(crate) fn kill_and_start(&mut self) {
        self.process.kill();
        self.again();
    }

    /// The command line that speaks to it.
    pub(crate) fn viaduct(&self) -> Command {
        let mut command = viaduct();
        command.arg("--dir").arg(&self.dir);
        command.args(self.network.iter().flat_map(|name| ["--network", name]));
        command
    }

    /// Asks for JSON.
    pub(crate) fn ask(&self, words: &[&str]) -> Said {
        run(self.viaduct().args(["--json", "--yes"]).args(words))
    }

    /// Asks for JSON, and gets it.
    pub(crate) fn get(&self, words: &[&str]) -> Value {
        self.ask(words).done().json()
    }

    /// Asks for ids alone.
    pub(crate) fn id_of(&self, words: &[&str]) -> String {
        run(self.viaduct().args(["--quiet", "--yes"]).args(words)).done().out.trim().to_owned()
    }

    /// A number in an answer.
    pub(crate) fn number(&self, words: &[&str], pointer: &str) -> u64 {
        let answer = self.get(words);
        answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{answer:#}"))
    }
}

/// The command line, without the user's own files.
pub(crate) fn viaduct() -> Command {
    let mut command = Command::new(program("viaduct"));
    command.env_clear().env("HOME", "/nonexistent").env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// The three of them.
pub(crate) struct Network {
    pub(crate) chain: Process,
    pub(crate) alice: Daemon,
    pub(crate) bob: Daemon,
    pub(crate) dir: tempfile::TempDir,
    listen: String,
}

impl Network {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let chain = chain_server(dir.path(), "127.0.0.1:0");
        let listen = chain.said("listen");
        let url = format!("http://{listen}");
        let alice = Daemon::start(&dir.path().join("alice"), &url);
        let bob = Daemon::start(&dir.path().join("bob"), &url);
        Self { chain, alice, bob, dir, listen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Waits until both can pay over their one channel, and nothing is in flight.
    pub(crate) fn wait_usable(&self) {
        for node in [&self.alice, &self.bob] {
            until("the channel to be usable", || {
                let channels = node.get(&["channels"]);
                let channel = &channels["channels"][0];
                node.get(&["status"])["info"]["synced_to_chain"] == Value::Bool(true)
                    && channel["connected"] == Value::Bool(true)
                    && channel["htlcs"].as_array().is_some_and(Vec::is_empty)
            });
        }
    }

    pub(crate) fn kill_chain(&mut self) {
        self.chain.kill();
    }

    pub(crate) fn chain_again(&mut self) {
        self.chain = chain_server(self.dir.path(), &self.listen);
    }
}

fn chain_server(dir: &Path, listen: &str) -> Process {
    let mut command = Command::new(program("viaduct-chain"));
    command.env_clear().arg("--dir").arg(dir.join("chain"));
    command.args(["--listen", listen, "--mine", "interval=200ms"]);
    Process::start(&mut command, &dir.join("chain.log"))
}
