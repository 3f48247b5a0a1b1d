//! Bitcoin Core steered as the built-in chain is, as far as its RPC lets anybody.

use super::core::call;
use async_trait::async_trait;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, ScriptBuf, Transaction, Txid};
use chain_backend::{
    BackendError, BitcoindChain, BitcoindSettings, BlockRef, Capabilities, ChainBackend,
    ChainStream, FeeTable, Interest, Locator, Package, Reorg, Sandbox, SandboxError, Spend, Stall,
    SubmitOutcome, Totals, TxOutWhere, TxWhere,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Blocks between two halvings of the subsidy on regtest.
const HALVING: u32 = 150;
/// What the first blocks bring, satoshi.
const SUBSIDY: u64 = 5_000_000_000;

/// A Bitcoin Core that does as it is told.
#[derive(Clone, Debug)]
pub struct Steered {
    chain: BitcoindChain,
    settings: BitcoindSettings,
}

impl Steered {
    /// The one that is reached so.
    ///
    /// # Panics
    /// When the settings make no sense.
    pub fn new(settings: &BitcoindSettings) -> Self {
        let chain = BitcoindChain::lazy(settings).expect("a URL");
        Self { chain, settings: settings.clone() }
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, SandboxError> {
        let answer = call(&self.settings, method, params).await;
        answer.map_err(|error| SandboxError::Refused(format!("{method}: {error}")))
    }

    async fn block_of(
        &self,
        txs: &[String],
        script: &ScriptBuf,
    ) -> Result<BlockHash, SandboxError> {
        let output = format!("raw({})", script.to_hex_string());
        hash(&self.ask("generateblock", json!([output, txs])).await?["hash"])
    }
}

fn hash(value: &Value) -> Result<BlockHash, SandboxError> {
    let text = value.as_str().unwrap_or_default();
    text.parse().map_err(|_| SandboxError::Refused(format!("{value} is no hash")))
}

fn never<T>(what: &str) -> Result<T, SandboxError> {
    Err(SandboxError::Refused(format!("Bitcoin Core cannot be told to {what}")))
}

fn lost(error: BackendError) -> SandboxError {
    SandboxError::Unavailable(error.to_string())
}

#[async_trait]
impl ChainBackend for Steered {
    fn network(&self) -> Network {
        self.chain.network()
    }

    fn capabilities(&self) -> Capabilities {
        self.chain.capabilities()
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        self.chain.tip().await
    }

    async fn events(&self, from: Locator, interest: Interest) -> Result<ChainStream, BackendError> {
        self.chain.events(from, interest).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        self.chain.block(hash).await
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        self.chain.header_at(height).await
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        self.chain.tx(txid).await
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        self.chain.txout(outpoint).await
    }

    async fn spender(&self, outpoint: OutPoint, since: u32) -> Result<Option<Spend>, BackendError> {
        self.chain.spender(outpoint, since).await
    }

    async fn submit(&self, package: Package, max: Option<FeeRate>) -> SubmitOutcome {
        self.chain.submit(package, max).await
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.chain.test(package).await
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        self.chain.fees().await
    }
}

#[async_trait]
impl Sandbox for Steered {
    async fn mine(&self, count: u32, script: ScriptBuf) -> Result<Vec<BlockHash>, SandboxError> {
        let output = format!("raw({})", script.to_hex_string());
        let made = self.ask("generatetodescriptor", json!([count, output])).await?;
        made.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(hash).collect()
    }

    async fn reorganise(&self, reorg: Reorg) -> Result<Vec<BlockHash>, SandboxError> {
        let Reorg { depth, left_out, forget, script } = reorg;
        if forget {
            return never("forget a transaction");
        }
        let tip = self.chain.tip().await.map_err(lost)?;
        let mut left_out: BTreeSet<Txid> = left_out;
        let mut again = Vec::new();
        let mut first = tip.hash;
        for height in tip.height + 1 - depth..=tip.height {
            let at = self.chain.header_at(height).await.map_err(lost)?;
            if height == tip.height + 1 - depth {
                first = at.hash;
            }
            let block = self.chain.block(at.hash).await.map_err(lost)?;
            for tx in block.txdata.iter().skip(1) {
                let stands_on =
                    |input: &bitcoin::TxIn| left_out.contains(&input.previous_output.txid);
                if tx.input.iter().any(stands_on) {
                    left_out.insert(tx.compute_txid());
                }
                if !left_out.contains(&tx.compute_txid()) {
                    again.push(serialize_hex(tx));
                }
            }
        }
        self.invalidate(first).await?;
        let mut made = vec![self.block_of(&again, &script).await?];
        for _ in 0..depth {
            made.push(self.block_of(&[], &script).await?);
        }
        Ok(made)
    }

    async fn invalidate(&self, hash: BlockHash) -> Result<(), SandboxError> {
        self.ask("invalidateblock", json!([hash])).await.map(drop)
    }

    async fn reconsider(&self, hash: BlockHash) -> Result<(), SandboxError> {
        self.ask("reconsiderblock", json!([hash])).await.map(drop)
    }

    async fn submit_block(&self, block: Block) -> Result<bool, SandboxError> {
        let word = self.ask("submitblock", json!([serialize_hex(&block)])).await?;
        match word.as_str() {
            None => Ok(true),
            Some("inconclusive") => Ok(false),
            Some(word) => Err(SandboxError::Refused(word.to_owned())),
        }
    }

    async fn evict(&self, _: Txid) -> Result<bool, SandboxError> {
        never("throw a transaction out")
    }

    async fn set_floor(&self, _: Option<FeeRate>) -> Result<(), SandboxError> {
        never("ask for more")
    }

    async fn stall(&self, _: Stall, _: Option<Duration>) -> Result<(), SandboxError> {
        never("stand still")
    }

    async fn set_now(&self, now: Option<u32>) -> Result<(), SandboxError> {
        self.ask("setmocktime", json!([now.unwrap_or_default()])).await.map(drop)
    }

    async fn mempool(&self) -> Result<Vec<Arc<Transaction>>, SandboxError> {
        let listed = self.ask("getrawmempool", json!([])).await?;
        let mut waiting = Vec::new();
        for txid in listed.as_array().map(Vec::as_slice).unwrap_or_default() {
            let txid = txid.as_str().unwrap_or_default();
            let txid: Txid = txid.parse().map_err(|_| SandboxError::Refused(txid.to_owned()))?;
            // It may have gone meanwhile.
            waiting.extend(self.chain.tx(txid).await.map_err(lost)?.map(|found| found.tx));
        }
        let names: BTreeSet<Txid> = waiting.iter().map(|tx| tx.compute_txid()).collect();
        let mut sorted: Vec<Arc<Transaction>> = Vec::new();
        let mut there = BTreeSet::new();
        while sorted.len() < waiting.len() {
            for tx in &waiting {
                let is_free = tx.input.iter().all(|input| {
                    let parent = input.previous_output.txid;
                    !names.contains(&parent) || there.contains(&parent)
                });
                if is_free && there.insert(tx.compute_txid()) {
                    sorted.push(Arc::clone(tx));
                }
            }
        }
        Ok(sorted)
    }

    async fn totals(&self) -> Result<Totals, SandboxError> {
        let set = self.ask("gettxoutsetinfo", json!(["none"])).await?;
        let supply = set["total_amount"].to_string();
        let supply = supply.parse::<f64>().ok().and_then(|btc| Amount::from_btc(btc).ok());
        let height = self.chain.tip().await.map_err(lost)?.height;
        let (mut transactions, mut fees_sat) = (0, 0);
        for height in 1..=height {
            let at = self.chain.header_at(height).await.map_err(lost)?;
            let block = self.chain.block(at.hash).await.map_err(lost)?;
            transactions += block.txdata.len() as u64 - 1;
            let reward: Amount = block.txdata[0].output.iter().map(|output| output.value).sum();
            fees_sat += reward.to_sat() - (SUBSIDY >> (height / HALVING));
        }
        let waiting = self.ask("getrawmempool", json!([])).await?;
        Ok(Totals {
            height,
            transactions,
            fees_sat,
            supply_sat: supply.unwrap_or_default().to_sat(),
            coins: set["txouts"].as_u64().unwrap_or_default(),
            mempool_transactions: waiting.as_array().map_or(0, |all| all.len() as u64),
        })
    }
}
