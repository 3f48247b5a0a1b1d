//! A real chain behind the trait: an Esplora server over HTTP, one's own or a public one.
//!
//! Blocks come whole, and whatever can be checked of an answer is: names against bytes, contents against headers,
//! headers against their work, transactions against the merkle root of their block. What is left to the server's word
//! is which chain is best, that nobody spends a coin, and what fees are. It hears which outputs we ask for.
//!
//! A mempool of more than some 15,000 transactions is not followed: then nothing is told before a block has it. The
//! least that the mempool takes is not told by Esplora; it is taken to be a satoshi for a virtual byte until a refusal
//! says otherwise, which is remembered for some minutes.

mod client;
mod outcome;
mod read;
#[cfg(test)]
pub(crate) mod tests;

use crate::backend::{
    BackendError, BlockId, BlockRef, Capabilities, ChainBackend, ChainStream, FeeTable, Interest,
    Locator, Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use crate::polled::{self, Known, Polled, Waiting, sound};
use async_trait::async_trait;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, Transaction, Txid};
use client::{AskError, Client};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use read::{Outspend, Status, nonsense};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// For how long the mempool's minimum is believed that a refusal told: Bitcoin Core's falls by half in three hours at
/// the soonest, but one that is no more must not be paid for long.
const TOLD_LASTS: Duration = Duration::from_secs(600);
/// Transactions of the mempool that are followed at most.
const WAITING_MAX: usize = 5_000;
/// Questions that are under way at one time while the mempool is fetched.
const AT_ONCE: usize = 8;
/// How often a question is asked again whose answers do not fit together, because something happened between them.
const TRIES: usize = 3;
/// Transactions that are looked at to find out what a replacement would throw out (Core's limit is 100).
const DESCENDANTS_MAX: usize = 100;

/// How an Esplora server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EsploraSettings {
    /// `http://host:port` or `https://host`, with the path to the API behind it (`/api`), without a slash at its end.
    pub url: String,
    /// The network it must be on.
    pub network: Network,
    /// How often it is asked for news.
    pub poll: Duration,
    /// How long it may say nothing ([`crate::PATIENCE`]).
    pub patience: Duration,
    /// A PEM file of certificates to trust instead of the system's.
    pub trusted: Option<PathBuf>,
}

/// An Esplora server's chain.
#[derive(Clone, Debug)]
pub struct EsploraChain {
    client: Client,
    network: Network,
    poll: Duration,
    /// What the mempool took at least when a refusal said so, and until when that is believed.
    told: watch::Sender<Option<(Instant, FeeRate)>>,
}

impl EsploraChain {
    /// Connects, and looks at whether this is the right network.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when it does not answer, or not as Esplora does, [`BackendError::WrongChain`] on
    /// another network.
    pub async fn connect(settings: &EsploraSettings) -> Result<Self, BackendError> {
        let chain = Self::lazy(settings)?;
        match chain.hash_at(0).await {
            Ok(genesis) if genesis == genesis_block(settings.network).block_hash() => Ok(chain),
            Ok(_) => Err(BackendError::WrongChain),
            Err(BackendError::NotFound | BackendError::Lied(_)) => {
                let why = format!("{}: no Esplora is served there", settings.url);
                Err(BackendError::Unavailable(why))
            }
            Err(error) => Err(error),
        }
    }

    /// The same without asking anything: for a server that does not answer yet. A wrong network shows when events are
    /// asked for.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the URL or the certificates cannot be used.
    pub fn lazy(settings: &EsploraSettings) -> Result<Self, BackendError> {
        let client = Client::new(&settings.url, settings.trusted.as_deref(), settings.patience)?;
        let told = watch::Sender::new(None);
        Ok(Self { client, network: settings.network, poll: settings.poll, told })
    }

    /// What the mempool takes at least, as far as refusals told.
    fn least(&self) -> FeeRate {
        let fresh = self.told.borrow().filter(|(until, _)| Instant::now() < *until);
        fresh.map_or(FeeRate::BROADCAST_MIN, |(_, rate)| rate.max(FeeRate::BROADCAST_MIN))
    }

    /// Remembers the minimum that a refusal names.
    fn learn(&self, word: &str, package: &Package) {
        if let Some(rate) = polled::wanted(word, package) {
            let until = Instant::now().checked_add(TOLD_LASTS);
            self.told.send_replace(until.map(|until| (until, rate)));
        }
    }

    async fn hash_at(&self, height: u32) -> Result<BlockHash, BackendError> {
        let text = self.client.text(&format!("/block-height/{height}")).await?;
        read::hash(&text.ok_or(BackendError::NotFound)?)
    }

    /// A block's place.
    async fn place(&self, hash: BlockHash) -> Result<BlockRef, BackendError> {
        let found = self.client.json(&format!("/block/{hash}")).await?;
        read::place(&found.ok_or(BackendError::NotFound)?, hash)
    }

    async fn raw(&self, txid: Txid) -> Result<Option<Transaction>, BackendError> {
        let bytes = self.client.bytes(&format!("/tx/{txid}/raw")).await?;
        bytes.map(|bytes| read::transaction(&bytes, txid)).transpose()
    }

    /// The block of a transaction and its place in it, proven; `None` while it waits.
    async fn mined(&self, tx: &Transaction) -> Result<Option<(BlockRef, u32)>, BackendError> {
        let txid = tx.compute_txid();
        let status = self.client.json(&format!("/tx/{txid}/status")).await?;
        let status = Status::read(&status.ok_or(nonsense("a transaction without a status"))?)?;
        let Some(block) = status.block else { return Ok(None) };
        let proof = self.client.json(&format!("/tx/{txid}/merkle-proof")).await?;
        // Out of its block again, between two questions.
        let Some(proof) = proof else { return Err(moved()) };
        let (height, place, beside) = read::proof(&proof)?;
        let at = self.place(block.hash).await?;
        if at.height != block.height || height != block.height {
            return Err(moved());
        }
        sound::proven(tx, place, &beside, &at.header)?;
        Ok(Some((at, place)))
    }

    async fn outspend(&self, outpoint: OutPoint) -> Result<Option<Outspend>, BackendError> {
        let path = format!("/tx/{}/outspend/{}", outpoint.txid, outpoint.vout);
        let Some(found) = self.client.json(&path).await? else { return Ok(None) };
        Outspend::read(&found)
    }

    /// Who spends an output, shown to do so; `Err` also when that changed meanwhile.
    async fn spend(&self, outpoint: OutPoint) -> Result<Option<Spend>, BackendError> {
        let Some(told) = self.outspend(outpoint).await? else { return Ok(None) };
        let tx = self.raw(told.txid).await?.ok_or_else(moved)?;
        let input = usize::try_from(told.vin).ok().and_then(|vin| tx.input.get(vin));
        if input.is_none_or(|input| input.previous_output != outpoint) {
            return Err(nonsense("a spender that does not spend"));
        }
        let block = self.mined(&tx).await?.map(|(block, _)| block);
        Ok(Some(Spend { tx: Arc::new(tx), input_index: told.vin, block }))
    }

    /// A transaction of the mempool and what it pays; `None` when it has gone.
    async fn entry(&self, txid: Txid) -> Result<Option<(Txid, Waiting)>, BackendError> {
        let Some(found) = self.client.json(&format!("/tx/{txid}")).await? else { return Ok(None) };
        let (tx, fee, status) = read::entry(&found, txid)?;
        Ok(status.block.is_none().then(|| (txid, (Arc::new(tx), fee))))
    }
}

/// The answers to two questions do not fit together: something happened between them.
fn moved() -> BackendError {
    BackendError::Unavailable("the chain moved between two questions".to_owned())
}

#[async_trait]
impl ChainBackend for EsploraChain {
    fn network(&self) -> Network {
        self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { mempool: true, packages: true, spend_index: true, full_blocks: true }
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        let hash = self.tip_hash().await?;
        self.place(hash).await
    }

    async fn events(&self, from: Locator, _: Interest) -> Result<ChainStream, BackendError> {
        polled::open(self.clone(), from, self.poll).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        let bytes = self.client.bytes(&format!("/block/{hash}/raw")).await?;
        read::block(&bytes.ok_or(BackendError::NotFound)?, hash).map(Arc::new)
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        let hash = self.hash_at(height).await?;
        let at = self.place(hash).await?;
        if at.height == height { Ok(at) } else { Err(nonsense("another height than asked for")) }
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        let mut last = moved();
        for _ in 0..TRIES {
            let Some(tx) = self.raw(txid).await? else { return Ok(None) };
            match self.mined(&tx).await {
                Ok(confirmed) => return Ok(Some(TxWhere { tx: Arc::new(tx), confirmed })),
                Err(BackendError::Unavailable(why)) => last = BackendError::Unavailable(why),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        let Some(found) = self.tx(outpoint.txid).await? else { return Ok(None) };
        let place = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
        let output =
            found.tx.output.get(place).filter(|output| !output.script_pubkey.is_op_return());
        let Some(output) = output else { return Ok(None) };
        let spend = self.spender(outpoint, 0).await?;
        if spend.as_ref().is_some_and(|spend| spend.block.is_some()) {
            return Ok(None);
        }
        Ok(Some(TxOutWhere {
            output: output.clone(),
            height: found.confirmed.map(|(block, _)| block.height),
            coinbase: found.tx.is_coinbase(),
            mempool_spender: spend.map(|spend| spend.tx.compute_txid()),
        }))
    }

    async fn spender(
        &self,
        outpoint: OutPoint,
        _since_height: u32,
    ) -> Result<Option<Spend>, BackendError> {
        let mut last = moved();
        for _ in 0..TRIES {
            match self.spend(outpoint).await {
                Err(BackendError::Unavailable(why)) => last = BackendError::Unavailable(why),
                told => return told,
            }
        }
        Err(last)
    }

    async fn submit(&self, package: Package, feerate_max: Option<FeeRate>) -> SubmitOutcome {
        self.hand_in(&package, feerate_max).await
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.try_in(package).await
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        let found = self.client.json("/fee-estimates").await?;
        let targets = read::estimates(&found.ok_or(nonsense("no fee estimates at all"))?)?;
        let mempool_min = self.least();
        let (relay_min, incremental) = (FeeRate::BROADCAST_MIN, FeeRate::BROADCAST_MIN);
        Ok(polled::raised(FeeTable { targets, mempool_min, relay_min, incremental }))
    }
}

#[async_trait]
impl Polled for EsploraChain {
    async fn tip_hash(&self) -> Result<BlockHash, BackendError> {
        let text = self.client.text("/blocks/tip/hash").await?;
        read::hash(&text.ok_or(nonsense("a chain without a tip"))?)
    }

    /// Of a block that was left Esplora may tell nothing; what counts is who stands at its height.
    async fn known(&self, block: BlockId) -> Result<Known, BackendError> {
        match self.hash_at(block.height).await {
            Ok(hash) if hash == block.hash => {
                let at = self.place(hash).await?;
                if at.height == block.height {
                    Ok(Known::Best(at))
                } else {
                    Err(nonsense("another height than asked for"))
                }
            }
            Ok(_) | Err(BackendError::NotFound) => Ok(Known::Unknown),
            Err(error) => Err(error),
        }
    }

    async fn waiting(&self) -> Result<Option<Vec<Txid>>, BackendError> {
        match self.client.list("/mempool/txids").await {
            Ok(found) => read::txids(&found).map(Some),
            Err(AskError::TooLong) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch(&self, txids: &[Txid]) -> Result<BTreeMap<Txid, Waiting>, BackendError> {
        let questions: Vec<_> = txids.iter().copied().map(|txid| self.entry(txid)).collect();
        let answers = stream::iter(questions).buffered(AT_ONCE);
        answers.try_filter_map(|found| async move { Ok(found) }).try_collect().await
    }

    fn waiting_max(&self) -> usize {
        WAITING_MAX
    }

    async fn waiting_spender(&self, outpoint: OutPoint) -> Result<Option<Txid>, BackendError> {
        let spend = self.outspend(outpoint).await?;
        Ok(spend.filter(|spend| !spend.confirmed).map(|spend| spend.txid))
    }

    async fn mined_spender(
        &self,
        outpoint: OutPoint,
    ) -> Result<Option<Option<Txid>>, BackendError> {
        let spend = self.spender(outpoint, 0).await?.filter(|spend| spend.block.is_some());
        Ok(spend.map(|spend| Some(spend.tx.compute_txid())))
    }

    async fn paid_by(&self, txids: &BTreeSet<Txid>) -> Result<Amount, BackendError> {
        let mut ahead: Vec<Txid> = txids.iter().copied().collect();
        let mut seen = BTreeSet::new();
        let mut owed = Amount::ZERO;
        while let Some(txid) = ahead.pop() {
            if !seen.insert(txid) || seen.len() > DESCENDANTS_MAX {
                continue;
            }
            let Some((_, (_, fee))) = self.entry(txid).await? else { continue };
            owed = owed.checked_add(fee).ok_or(nonsense("a fee that is none"))?;
            let spends = self.client.json(&format!("/tx/{txid}/outspends")).await?;
            let spends = spends.map(|spends| Outspend::read_all(&spends)).transpose()?;
            ahead.extend(spends.into_iter().flatten().map(|spend| spend.txid));
        }
        Ok(owed)
    }
}
