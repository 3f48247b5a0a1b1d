//! A chain that is served as Bitcoin Core serves its own, steered from threads without a runtime: what is foreign here
//! waits with its thread.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bitcoin::{ScriptBuf, Txid};
use tokio::runtime::Runtime;
use viaduct_tests::layer1::served::{PASSWORD, Served, USER};
use viaduct_tests::layer1::{Layer1, empty, nobody};

/// How long anything may take that passes in seconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A chain, its server, and a runtime for what is ours.
pub(crate) struct World {
    pub(crate) served: Served,
    pub(crate) layer1: Layer1,
    runtime: Runtime,
}

impl World {
    pub(crate) fn start() -> Self {
        let served = Served::start(empty());
        // Ours see the chain itself: it is the others who are to get along with its servers.
        let layer1 = Layer1::of(served.chain().clone());
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
        Self { served, layer1, runtime }
    }

    pub(crate) const fn at(&self) -> SocketAddr {
        self.served.at()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at())
    }

    pub(crate) fn login() -> (String, String) {
        (USER.to_owned(), PASSWORD.to_owned())
    }

    /// Waits for what is ours.
    pub(crate) fn run<T>(&self, ours: impl Future<Output = T>) -> T {
        self.runtime.block_on(ours)
    }

    pub(crate) fn mine(&self, count: u32) -> u32 {
        self.run(self.layer1.mine(count))
    }

    pub(crate) fn give(&self, scripts: &[ScriptBuf]) {
        self.run(self.layer1.give(scripts));
    }

    /// The last `depth` blocks are replaced by one more, without these.
    pub(crate) fn reorg(&self, depth: u32, without: BTreeSet<Txid>) {
        self.run(self.layer1.chain().reorg(depth, without, nobody())).expect("it reorganises");
    }

    pub(crate) fn height(&self) -> u32 {
        self.run(self.layer1.chain().tip()).expect("a tip").height
    }
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(
    what: &str,
    account: impl Fn() -> String,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}\n{}", account());
        std::thread::sleep(Duration::from_millis(10));
    }
}
