//! A chain of a test's own, with what tests do to it: mine, give coins away, look for transactions.
//!
//! `VIADUCT_TEST_CHAIN=bitcoind`: nodes see the built-in chain through Bitcoin Core's JSON-RPC alone, `=esplora`: through
//! an Esplora server. `BITCOIND=PATH`: there is no built-in chain, each test starts this program (Bitcoin Core 30 or
//! newer). Tests that only the built-in chain can run, and those that always run over a protocol, are listed in [`only`].

pub mod bare;
pub mod core;
pub mod line;
pub mod only;
pub mod served;
pub mod signet;
pub mod steered;

use crate::until::{PATIENCE, until_async};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, WPubkeyHash};
use chain_backend::{BitcoindChain, BuiltinChain, ChainBackend, Package, Sandbox, Totals};
use chain_backend::{BitcoindSettings, EsploraChain, EsploraSettings, SubmitOutcome};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use self::bare::Bare;
use self::core::Core;
use self::only::Needs;
use self::served::{POLL, Served};
use self::steered::Steered;

/// Blocks before a coinbase can be spent.
const MATURITY: u32 = 100;

/// Says over what nodes see the chain: `bitcoind` is Bitcoin Core's JSON-RPC, `esplora` an Esplora server; else they see
/// the chain itself.
const OVER: &str = "VIADUCT_TEST_CHAIN";

/// Names a Bitcoin Core that each test is to start.
pub const BITCOIND: &str = "BITCOIND";

/// A chain of our own.
#[derive(Clone, Debug)]
pub struct Layer1 {
    miners: Miners,
    way: Way,
    /// What ends with it.
    _behind: Behind,
}

/// The way nodes reach a chain.
#[derive(Clone, Debug)]
enum Way {
    /// Itself.
    Direct(Arc<dyn ChainBackend>),
    /// Bitcoin Core's JSON-RPC.
    Rpc(BitcoindSettings),
    /// Esplora's REST.
    Esplora(EsploraSettings),
}

/// What stands behind a chain, and runs as long as somebody has it.
#[derive(Clone, Debug)]
enum Behind {
    /// Nothing but its own thread.
    Itself,
    /// A server of Bitcoin Core's JSON-RPC and of Esplora's REST in this process.
    Served(#[expect(dead_code, reason = "kept")] Arc<Served>),
    /// A program.
    Core(#[expect(dead_code, reason = "kept")] Arc<Core>),
}

/// Who makes the blocks, and does with the chain what a test wants.
#[derive(Clone, Debug)]
pub struct Miners(Arc<dyn Sandbox>);

impl Deref for Miners {
    type Target = dyn Sandbox;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl Miners {
    /// Takes transactions into the mempool.
    ///
    /// # Errors
    /// Why not.
    pub async fn accept(&self, package: Package) -> Result<(), String> {
        let outcome = self.submit(package, None).await;
        let is_there = matches!(outcome, SubmitOutcome::Accepted | SubmitOutcome::InMempool);
        if is_there { Ok(()) } else { Err(format!("{outcome:?}")) }
    }
}

/// An empty chain in memory, on the clock of this machine.
///
/// # Panics
/// When the system gives no thread.
pub fn empty() -> BuiltinChain {
    BuiltinChain::in_memory(unix_now).expect("a thread for the chain")
}

impl Layer1 {
    /// An empty chain, on the clock of this machine: in memory, unless the environment wants another.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        // The name of a test is that of its thread.
        let this = std::thread::current();
        let test = this.name().unwrap_or_default();
        let wanted = || std::env::var(OVER).unwrap_or_default();
        let (over, core) = match only::always(test) {
            Some(always) => (always.to_owned(), None),
            None => (wanted(), std::env::var_os(BITCOIND)),
        };
        match (core, Needs::of(test)) {
            (_, Needs::BuiltIn) => Self::built_in(),
            (Some(program), Needs::Any) => Self::over_core(Path::new(&program)),
            (Some(_), Needs::Obedient) => Self::over_rpc(),
            (None, _) if over == "bitcoind" => Self::over_rpc(),
            (None, _) if over == "esplora" => Self::over_esplora(),
            (None, _) => Self::built_in(),
        }
    }

    /// An empty chain in memory, and nodes see it itself.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn built_in() -> Self {
        Self::of(empty())
    }

    /// A chain that is there already, and nodes see it itself.
    pub fn of(chain: BuiltinChain) -> Self {
        let chain = Arc::new(chain);
        let way = Way::Direct(chain.clone());
        Self { miners: Miners(chain), way, _behind: Behind::Itself }
    }

    /// An empty chain in memory, and nodes see it without its indexes.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn without_indexes() -> Self {
        let chain = empty();
        let way = Way::Direct(Arc::new(Bare(chain.clone())));
        Self { way, ..Self::of(chain) }
    }

    /// The same, and nodes reach it by Bitcoin Core's JSON-RPC, as they would reach Bitcoin Core.
    ///
    /// # Panics
    /// When the system gives no thread or no port.
    pub fn over_rpc() -> Self {
        let served = Arc::new(Served::start(empty()));
        let chain = Arc::new(served.chain().clone());
        let reached = Self::reached(chain, &served.settings());
        Self { _behind: Behind::Served(served), ..reached }
    }

    /// A chain that is steered in one way and reached by nodes in another.
    pub fn reached(miners: Arc<dyn Sandbox>, settings: &BitcoindSettings) -> Self {
        let way = Way::Rpc(settings.clone());
        Self { miners: Miners(miners), way, _behind: Behind::Itself }
    }

    /// An empty chain in memory, and nodes reach it by an Esplora server.
    ///
    /// # Panics
    /// When the system gives no thread or no port.
    pub fn over_esplora() -> Self {
        let served = Arc::new(Served::start(empty()));
        let chain = Arc::new(served.chain().clone());
        let reached = Self::reached_by_esplora(chain, served.esplora());
        Self { _behind: Behind::Served(served), ..reached }
    }

    /// A chain that is steered in one way, and reached by nodes through an Esplora server or what stands before it.
    pub fn reached_by_esplora(miners: Arc<dyn Sandbox>, at: SocketAddr) -> Self {
        let settings = EsploraSettings {
            url: format!("http://{at}/api"),
            network: bitcoin::Network::Regtest,
            poll: POLL,
            patience: PATIENCE,
            trusted: None,
        };
        Self { miners: Miners(miners), way: Way::Esplora(settings), _behind: Behind::Itself }
    }

    /// The chain of a program that is started for it.
    ///
    /// # Panics
    /// When it does not start, or is older than Bitcoin Core 30.
    pub fn over_core(program: &Path) -> Self {
        let core = Arc::new(Core::start(program));
        let settings = core.settings();
        let reached = Self::reached(Arc::new(Steered::new(&settings)), &settings);
        Self { _behind: Behind::Core(core), ..reached }
    }

    /// The chain itself, to steer it.
    pub const fn chain(&self) -> &Miners {
        &self.miners
    }

    /// The same for a node that may steer it.
    pub fn sandbox(&self) -> Arc<dyn Sandbox> {
        Arc::clone(&self.miners.0)
    }

    /// The chain as a node sees it: each has connections of its own, which end with it.
    ///
    /// # Panics
    /// When its place makes no sense.
    pub fn backend(&self) -> Arc<dyn ChainBackend> {
        match &self.way {
            Way::Direct(chain) => Arc::clone(chain),
            Way::Rpc(settings) => Arc::new(BitcoindChain::lazy(settings).expect("a URL")),
            Way::Esplora(settings) => Arc::new(EsploraChain::lazy(settings).expect("a URL")),
        }
    }

    /// Mines blocks that pay nobody; answers the height of the tip.
    ///
    /// # Panics
    /// When the chain refuses.
    pub async fn mine(&self, count: u32) -> u32 {
        self.miners.mine(count, nobody()).await.expect("the chain mines");
        self.height().await
    }

    /// Mines one block to each script, then enough that those coins can be spent.
    ///
    /// # Panics
    /// When the chain refuses.
    pub async fn give(&self, scripts: &[ScriptBuf]) {
        for script in scripts {
            self.miners.mine(1, script.clone()).await.expect("the chain mines");
        }
        self.mine(MATURITY).await;
    }

    /// Height of the tip.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn height(&self) -> u32 {
        self.miners.tip().await.expect("the chain has a tip").height
    }

    /// Sums over the best chain.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn totals(&self) -> Totals {
        self.miners.totals().await.expect("the chain adds up")
    }

    /// Waits for a transaction in the mempool that spends `outpoint`; answers it.
    ///
    /// # Panics
    /// When none comes.
    pub async fn spend_seen(&self, outpoint: OutPoint) -> Arc<Transaction> {
        let what = format!("a transaction that spends {outpoint}");
        until_async(&what, String::new, || async {
            let spend = self.miners.spender(outpoint, 0).await.expect("the chain answers");
            spend.map(|spend| spend.tx)
        })
        .await
    }

    /// Waits until at least `count` transactions wait in the mempool; answers all.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn mempool_of(&self, count: usize) -> Vec<Arc<Transaction>> {
        let what = format!("{count} transactions in the mempool");
        until_async(&what, String::new, || async {
            let waiting = self.miners.mempool().await.expect("the chain answers");
            (waiting.len() >= count).then_some(waiting)
        })
        .await
    }

    /// The outputs of `tx` that no block and no mempool transaction spends.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn unspent_of(&self, tx: &Transaction) -> Vec<(OutPoint, TxOut)> {
        let txid = tx.compute_txid();
        let mut unspent = Vec::new();
        for (vout, output) in (0_u32..).zip(&tx.output) {
            let outpoint = OutPoint { txid, vout };
            let coin = self.miners.txout(outpoint).await.expect("the chain answers");
            if coin.is_some_and(|coin| coin.mempool_spender.is_none()) {
                unspent.push((outpoint, output.clone()));
            }
        }
        unspent
    }

    /// All coins of a script on the best chain, added up from the blocks themselves.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn balance_of(&self, script: &ScriptBuf) -> Amount {
        let mut sum = Amount::ZERO;
        for height in 1..=self.height().await {
            let at = self.miners.header_at(height).await.expect("the chain answers");
            let block = self.miners.block(at.hash).await.expect("the chain answers");
            for tx in &block.txdata {
                for (vout, output) in (0_u32..).zip(&tx.output) {
                    let outpoint = OutPoint { txid: tx.compute_txid(), vout };
                    if output.script_pubkey == *script
                        && self.miners.txout(outpoint).await.expect("the chain answers").is_some()
                    {
                        sum += output.value;
                    }
                }
            }
        }
        sum
    }
}

/// A script for coins that are nobody's.
pub fn nobody() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros())
}

/// This machine's clock, Unix seconds.
pub fn unix_now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}
