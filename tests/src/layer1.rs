//! A built-in chain in memory, with what tests do to it: mine, give coins away, look for transactions.

use crate::until::until_async;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, WPubkeyHash};
use chain_backend::{BuiltinChain, ChainBackend, Sandbox, Totals};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Blocks before a coinbase can be spent.
const MATURITY: u32 = 100;

/// A chain of our own.
#[derive(Clone, Debug)]
pub struct Layer1 {
    chain: BuiltinChain,
}

impl Layer1 {
    /// An empty chain in memory, on the clock of this machine.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start() -> Self {
        Self { chain: BuiltinChain::in_memory(unix_now).expect("a thread for the chain") }
    }

    /// The chain itself, to steer it.
    pub const fn chain(&self) -> &BuiltinChain {
        &self.chain
    }

    /// The chain as nodes see it.
    pub fn backend(&self) -> Arc<dyn ChainBackend> {
        Arc::new(self.chain.clone())
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
