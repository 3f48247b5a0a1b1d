//! A real chain behind the trait: Bitcoin Core, or whatever speaks its JSON-RPC (also our own `viaduct-chain`).
//!
//! It is polled; nothing of Core's is needed but RPC. `txindex` is not needed either, but without it a spender in
//! a block is found by reading blocks.

mod client;
mod outcome;
mod read;

use crate::backend::{
    BackendError, BlockId, BlockRef, Capabilities, ChainBackend, ChainStream, FeeTable, Interest,
    Locator, Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use crate::polled::{self, Known, Polled, Waiting};
use async_trait::async_trait;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, Transaction, Txid};

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use client::{CallError, Client, Login};

/// The targets that estimates are asked for, blocks.
const TARGETS: [u16; 6] = [1, 2, 3, 6, 12, 144];

/// Transactions of the mempool that are followed at most. A public mempool may have more; what is told of it is advice.
const WAITING_MAX: usize = 20_000;
/// Raw transactions that are asked for in one go.
const BATCH: usize = 100;

/// The codes that decide something here (Core's `src/rpc/protocol.h`).
const NOT_FOUND: i64 = -5;
const INVALID_PARAMETER: i64 = -8;

/// How Bitcoin Core is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitcoindSettings {
    /// `http://host:port`; plain HTTP, as Core serves.
    pub url: String,
    /// Who we are to it.
    pub login: Login,
    /// The network it must be on.
    pub network: Network,
    /// How often it is asked for news.
    pub poll: Duration,
    /// How long it may say nothing ([`crate::PATIENCE`]).
    pub patience: Duration,
}

/// Bitcoin Core's chain.
#[derive(Clone, Debug)]
pub struct BitcoindChain {
    client: Client,
    network: Network,
    poll: Duration,
}

impl BitcoindChain {
    /// Connects, and looks at whether this is the right network.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when it does not answer (the words say whether it is the address or the
    /// password), [`BackendError::WrongChain`] on another network.
    pub async fn connect(settings: &BitcoindSettings) -> Result<Self, BackendError> {
        let chain = Self::lazy(settings)?;
        let genesis = chain.hash_at(0).await?;
        if genesis != genesis_block(settings.network).block_hash() {
            return Err(BackendError::WrongChain);
        }
        Ok(chain)
    }

    /// The same without asking anything: for a Bitcoin Core that does not answer yet. A wrong network shows when
    /// events are asked for.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the URL cannot be used.
    pub fn lazy(settings: &BitcoindSettings) -> Result<Self, BackendError> {
        let client = Client::new(&settings.url, settings.login.clone())?;
        let client = client.patient(settings.patience);
        Ok(Self { client, network: settings.network, poll: settings.poll })
    }

    async fn hash_at(&self, height: u32) -> Result<BlockHash, BackendError> {
        match self.client.call("getblockhash", json!([height])).await {
            Ok(hash) => read::hash(&hash),
            Err(CallError::Refused { code: INVALID_PARAMETER, .. }) => Err(BackendError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// A block's place, and whether it is on the best chain.
    async fn place(&self, hash: BlockHash) -> Result<(BlockRef, bool), BackendError> {
        match self.client.call("getblockheader", json!([hash])).await {
            Ok(header) => read::header(&header, hash),
            Err(CallError::Refused { code: NOT_FOUND, .. }) => Err(BackendError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// A transaction of the mempool, or of a block if Core has `txindex`.
    async fn raw(
        &self,
        txid: Txid,
    ) -> Result<Option<(Transaction, Option<BlockHash>)>, BackendError> {
        match self.client.call("getrawtransaction", json!([txid, 1])).await {
            Ok(found) => read::transaction(&found, txid).map(Some),
            Err(CallError::Refused { code: NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An unspent output; as blocks have it, or as the mempool does.
    async fn coin(
        &self,
        outpoint: OutPoint,
        mempool: bool,
    ) -> Result<Option<TxOutWhere>, BackendError> {
        let asked = json!([outpoint.txid, outpoint.vout, mempool]);
        let answer = self.client.call("gettxout", asked).await?;
        if answer.is_null() {
            return Ok(None);
        }
        let coin = read::coin(&answer)?;
        let height = match coin.confirmations {
            0 => None,
            depth => {
                let (best, _) = self.place(coin.best).await?;
                Some(best.height.saturating_add(1).saturating_sub(depth))
            }
        };
        Ok(Some(TxOutWhere {
            output: coin.output,
            height,
            coinbase: coin.coinbase,
            mempool_spender: None,
        }))
    }

    /// Looks for a transaction through blocks, the newest first.
    async fn search(
        &self,
        since: u32,
        wanted: impl Fn(&Transaction) -> Option<u32>,
    ) -> Result<Option<(Transaction, u32, BlockRef, u32)>, BackendError> {
        let mut at = self.tip().await?;
        loop {
            let block = self.block(at.hash).await?;
            let found = (0_u32..).zip(&block.txdata);
            let mut found = found.filter_map(|(place, tx)| Some((tx, wanted(tx)?, place)));
            if let Some((tx, input, place)) = found.next() {
                return Ok(Some((tx.clone(), input, at, place)));
            }
            if at.height <= since || at.height == 0 {
                return Ok(None);
            }
            (at, _) = self.place(at.header.prev_blockhash).await?;
        }
    }
}

fn spends(tx: &Transaction, outpoint: OutPoint) -> Option<u32> {
    let mut inputs = (0_u32..).zip(&tx.input);
    inputs.find(|(_, input)| input.previous_output == outpoint).map(|(place, _)| place)
}

#[async_trait]
impl ChainBackend for BitcoindChain {
    fn network(&self) -> Network {
        self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { mempool: true, packages: true, spend_index: false, full_blocks: true }
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        let best = self.tip_hash().await?;
        Ok(self.place(best).await?.0)
    }

    async fn events(&self, from: Locator, _: Interest) -> Result<ChainStream, BackendError> {
        polled::open(self.clone(), from, self.poll).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        match self.client.call("getblock", json!([hash, 0])).await {
            Ok(block) => read::block(&block, hash).map(Arc::new),
            Err(CallError::Refused { code: NOT_FOUND, .. }) => Err(BackendError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        let hash = self.hash_at(height).await?;
        Ok(self.place(hash).await?.0)
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        if let Some((tx, block)) = self.raw(txid).await? {
            let Some(hash) = block else {
                return Ok(Some(TxWhere { tx: Arc::new(tx), confirmed: None }));
            };
            let block = self.block(hash).await?;
            let (at, is_active) = self.place(hash).await?;
            let place =
                (0_u32..).zip(&block.txdata).find(|(_, other)| other.compute_txid() == txid);
            let place = place.filter(|_| is_active).map(|(place, _)| (at, place));
            return Ok(place.map(|place| TxWhere { tx: Arc::new(tx), confirmed: Some(place) }));
        }
        // Without `txindex` Core answers for the mempool alone. An output that nobody has spent says where to look.
        for vout in 0..read::OUTPUTS_LOOKED_AT {
            let Some(coin) = self.coin(OutPoint { txid, vout }, false).await? else { continue };
            let Some(height) = coin.height else { continue };
            let at = self.header_at(height).await?;
            let block = self.block(at.hash).await?;
            let mut txs = (0_u32..).zip(&block.txdata);
            let found = txs.find(|(_, tx)| tx.compute_txid() == txid);
            return Ok(found.map(|(place, tx)| TxWhere {
                tx: Arc::new(tx.clone()),
                confirmed: Some((at, place)),
            }));
        }
        Ok(None)
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        if let Some(coin) = self.coin(outpoint, true).await? {
            return Ok(Some(coin));
        }
        // Spent by the mempool, perhaps, whoever made it.
        let Some(spender) = self.waiting_spender(outpoint).await? else { return Ok(None) };
        if let Some(coin) = self.coin(outpoint, false).await? {
            return Ok(Some(TxOutWhere { mempool_spender: Some(spender), ..coin }));
        }
        let Some((parent, None)) = self.raw(outpoint.txid).await? else { return Ok(None) };
        let output = usize::try_from(outpoint.vout).ok().and_then(|vout| parent.output.get(vout));
        Ok(output.map(|output| TxOutWhere {
            output: output.clone(),
            height: None,
            coinbase: false,
            mempool_spender: Some(spender),
        }))
    }

    async fn spender(
        &self,
        outpoint: OutPoint,
        since_height: u32,
    ) -> Result<Option<Spend>, BackendError> {
        if let Some(txid) = self.waiting_spender(outpoint).await?
            && let Some((tx, None)) = self.raw(txid).await?
            && let Some(input_index) = spends(&tx, outpoint)
        {
            return Ok(Some(Spend { tx: Arc::new(tx), input_index, block: None }));
        }
        // What blocks have unspent, no block spends.
        if self.coin(outpoint, false).await?.is_some() {
            return Ok(None);
        }
        let found = self.search(since_height, |tx| spends(tx, outpoint)).await?;
        Ok(found.map(|(tx, input_index, block, _)| Spend {
            tx: Arc::new(tx),
            input_index,
            block: Some(block),
        }))
    }

    async fn submit(&self, package: Package, feerate_max: Option<FeeRate>) -> SubmitOutcome {
        self.hand_in(&package, feerate_max).await
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.try_in(package).await
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        let calls = TARGETS.map(|target| ("estimatesmartfee", json!([target, "CONSERVATIVE"])));
        let mut calls = calls.to_vec();
        calls.push(("getmempoolinfo", json!([])));
        let mut answers = self.client.batch(calls).await?;
        let info = answers.pop().ok_or(BackendError::Lied("a batch with answers missing"))??;
        let floors = read::floors(&info)?;
        let mut targets = BTreeMap::new();
        for (target, answer) in TARGETS.into_iter().zip(answers) {
            // No answer is no estimate; it is never zero.
            let answer: Option<Value> = answer.ok();
            let rate = answer.as_ref().and_then(|answer| answer.get("feerate"));
            targets.insert(target, rate.map(read::feerate).transpose()?);
        }
        Ok(polled::raised(FeeTable { targets, ..floors }))
    }
}

#[async_trait]
impl Polled for BitcoindChain {
    async fn tip_hash(&self) -> Result<BlockHash, BackendError> {
        read::hash(&self.client.call("getbestblockhash", json!([])).await?)
    }

    /// Core keeps the branches it left.
    async fn known(&self, block: BlockId) -> Result<Known, BackendError> {
        match self.place(block.hash).await {
            Ok((block, true)) => Ok(Known::Best(block)),
            Ok((block, false)) => Ok(Known::Left(block.header.prev_blockhash)),
            Err(BackendError::NotFound) => Ok(Known::Unknown),
            Err(error) => Err(error),
        }
    }

    async fn waiting(&self) -> Result<Option<Vec<Txid>>, BackendError> {
        let listed = self.client.call("getrawmempool", json!([])).await?;
        let listed = listed.as_array().ok_or(BackendError::Lied("a mempool that is no list"))?;
        listed.iter().map(read::hash).collect::<Result<_, _>>().map(Some)
    }

    async fn fetch(&self, txids: &[Txid]) -> Result<BTreeMap<Txid, Waiting>, BackendError> {
        let mut found = BTreeMap::new();
        for some in txids.chunks(BATCH) {
            let calls = some.iter().flat_map(|txid| {
                [("getrawtransaction", json!([txid, 1])), ("getmempoolentry", json!([txid]))]
            });
            let mut answers = self.client.batch(calls.collect()).await?.into_iter();
            for txid in some {
                let (Some(tx), Some(entry)) = (answers.next(), answers.next()) else {
                    return Err(BackendError::Lied("a batch with answers missing"));
                };
                match (tx, entry) {
                    (Ok(tx), Ok(entry)) => {
                        let (tx, _) = read::transaction(&tx, *txid)?;
                        found.insert(*txid, (Arc::new(tx), read::fee(&entry)?));
                    }
                    (Err(CallError::Refused { .. }), _) | (_, Err(CallError::Refused { .. })) => {}
                    (Err(error), _) | (_, Err(error)) => return Err(error.into()),
                }
            }
        }
        Ok(found)
    }

    fn waiting_max(&self) -> usize {
        WAITING_MAX
    }

    async fn waiting_spender(&self, outpoint: OutPoint) -> Result<Option<Txid>, BackendError> {
        let asked = json!([[{ "txid": outpoint.txid, "vout": outpoint.vout }]]);
        let answer = self.client.call("gettxspendingprevout", asked).await?;
        answer.get(0).and_then(|one| one.get("spendingtxid")).map(read::hash).transpose()
    }

    /// The parent is in a block and this output of it is not to be had: a block spends it.
    async fn mined_spender(
        &self,
        outpoint: OutPoint,
    ) -> Result<Option<Option<Txid>>, BackendError> {
        if self.coin(outpoint, false).await?.is_some() {
            return Ok(None);
        }
        let parent = self.tx(outpoint.txid).await?;
        Ok(parent.is_some_and(|found| found.confirmed.is_some()).then_some(None))
    }

    async fn paid_by(&self, txids: &BTreeSet<Txid>) -> Result<Amount, BackendError> {
        let mut owed: u64 = 0;
        for txid in txids {
            let entry = self.client.call("getmempoolentry", json!([txid])).await?;
            let fees = entry.get("fees").and_then(|fees| fees.get("descendant"));
            let fees = fees.and_then(crate::rpc::read_amount);
            owed = owed.saturating_add(fees.ok_or(BackendError::Lied("a fee that is none"))?);
        }
        Ok(Amount::from_sat(owed))
    }
}

#[cfg(test)]
pub(crate) mod tests;
