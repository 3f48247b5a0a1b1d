//! A built-in chain in memory, with what tests do to it: mine, give coins away, look for transactions.

use crate::until::until_async;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, WPubkeyHash};
use chain_backend::bitcoind::{BitcoindSettings, Login};
use chain_backend::rpc::{self, Access, Settings};
use chain_backend::{BitcoindChain, BuiltinChain, ChainBackend, Sandbox, Totals};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Blocks before a coinbase can be spent.
const MATURITY: u32 = 100;

/// Says over what nodes see the chain: `bitcoind` is Bitcoin Core's JSON-RPC; else they see the chain itself.
const OVER: &str = "VIADUCT_TEST_CHAIN";

/// A chain of our own.
#[derive(Clone, Debug)]
pub struct Layer1 {
    chain: BuiltinChain,
    /// The way nodes reach it, if that is not the chain itself.
    core: Option<BitcoindChain>,
}

fn empty() -> BuiltinChain {
    BuiltinChain::in_memory(unix_now).expect("a thread for the chain")
}

impl Layer1 {
    /// An empty chain in memory, on the clock of this machine.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start() -> Self {
        let over_rpc = std::env::var(OVER).is_ok_and(|over| over == "bitcoind");
        if over_rpc { Self::over_rpc() } else { Self { chain: empty(), core: None } }
    }

    /// The same, and nodes reach it by Bitcoin Core's JSON-RPC, as they would reach Bitcoin Core.
    ///
    /// # Panics
    /// When the system gives no thread or no port.
    pub fn over_rpc() -> Self {
        let chain = empty();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("it is bound");
        let (user, password) = ("viaduct".to_owned(), "secret".to_owned());
        let access = Access::user(&user, &password);
        let served = chain.clone();
        // A thread of its own: nodes of one test may have a runtime each.
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                listener.set_nonblocking(true).expect("a socket");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let settings = Settings { access, wallets: None, now: unix_now };
                let ended = rpc::serve(served, listener, settings, std::future::pending()).await;
                ended.expect("it serves");
            });
        };
        std::thread::Builder::new().name("rpc".to_owned()).spawn(serve).expect("a thread");
        let settings = BitcoindSettings {
            url: format!("http://{at}"),
            login: Login::User { user, password },
            network: bitcoin::Network::Regtest,
            poll: Duration::from_millis(10),
        };
        Self { chain, core: Some(BitcoindChain::lazy(&settings).expect("a URL")) }
    }

    /// The chain itself, to steer it.
    pub const fn chain(&self) -> &BuiltinChain {
        &self.chain
    }

    /// The chain as nodes see it.
    pub fn backend(&self) -> Arc<dyn ChainBackend> {
        match &self.core {
            Some(core) => Arc::new(core.clone()),
            None => Arc::new(self.chain.clone()),
        }
    }

    /// Mines blocks that pay nobody; answers the height of the tip.
    ///
    /// # Panics
    /// When the chain refuses.
    pub async fn mine(&self, count: u32) -> u32 {
        self.chain.mine(count, nobody()).await.expect("the chain mines");
        self.height().await
    }

    /// Mines one block to each script, then enough that those coins can be spent.
    ///
    /// # Panics
    /// When the chain refuses.
    pub async fn give(&self, scripts: &[ScriptBuf]) {
        for script in scripts {
            self.chain.mine(1, script.clone()).await.expect("the chain mines");
        }
        self.mine(MATURITY).await;
    }

    /// Height of the tip.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn height(&self) -> u32 {
        self.chain.tip().await.expect("the chain has a tip").height
    }

    /// Sums over the best chain.
    ///
    /// # Panics
    /// When the chain is gone.
    pub async fn totals(&self) -> Totals {
        self.chain.totals().await.expect("the chain adds up")
    }

    /// Waits for a transaction in the mempool that spends `outpoint`; answers it.
    ///
    /// # Panics
    /// When none comes.
    pub async fn spend_seen(&self, outpoint: OutPoint) -> Arc<Transaction> {
        let what = format!("a transaction that spends {outpoint}");
        until_async(&what, String::new, || async {
            let spend = self.chain.spender(outpoint, 0).await.expect("the chain answers");
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
            let waiting = self.chain.mempool().await.expect("the chain answers");
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
            let coin = self.chain.txout(outpoint).await.expect("the chain answers");
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
            let at = self.chain.header_at(height).await.expect("the chain answers");
            let block = self.chain.block(at.hash).await.expect("the chain answers");
            for tx in &block.txdata {
                for (vout, output) in (0_u32..).zip(&tx.output) {
                    let outpoint = OutPoint { txid: tx.compute_txid(), vout };
                    if output.script_pubkey == *script
                        && self.chain.txout(outpoint).await.expect("the chain answers").is_some()
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
