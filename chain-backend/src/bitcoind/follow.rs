//! The stream of events out of polling: blocks one at a time from the reader's own place, then the mempool.

use super::client::CallError;
use super::{BitcoindChain, read};
use crate::backend::{
    BackendError, BlockRef, ChainBackend, ChainEvent, ChainStream, Locator, MempoolDelta,
    RemovedBecause, Txs,
};
use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, Txid};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Waits after a failed attempt: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Transactions of the mempool that are followed at most. A public mempool may have more; what is told of it is advice.
const MEMPOOL_MAX: usize = 20_000;
/// Raw transactions that are asked for in one go.
const BATCH: usize = 100;

struct Follower {
    chain: BitcoindChain,
    locator: Locator,
    ready: VecDeque<ChainEvent>,
    poll: Duration,
    retry: Duration,
    /// `Synced` was told for this tip.
    synced: Option<BlockHash>,
    mempool: Option<Mempool>,
    /// What blocks since the last look at the mempool had: what is mined, and what they spend.
    mined: BTreeMap<Txid, BlockHash>,
    spent: BTreeMap<OutPoint, Txid>,
}

/// A transaction that waits, and what it pays.
type Waiting = (Arc<Transaction>, Amount);

/// What was told of the mempool.
#[derive(Default)]
struct Mempool {
    txs: BTreeMap<Txid, Arc<Transaction>>,
}

/// Begins; the first question must be answered, later ones are asked for ever.
pub(super) async fn open(
    chain: BitcoindChain,
    from: Locator,
    poll: Duration,
) -> Result<ChainStream, BackendError> {
    let follower = Follower {
        chain,
        locator: from,
        ready: VecDeque::new(),
        poll,
        retry: RETRY_FIRST,
        synced: None,
        mempool: None,
        mined: BTreeMap::new(),
        spent: BTreeMap::new(),
    };
    follower.fork().await?;
    let stream = futures_util::stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(event) => Some((Ok(event), Some(follower))),
            // Only another chain ends it.
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(stream.boxed())
}

impl Follower {
    async fn next(&mut self) -> Result<ChainEvent, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.locator.follow(&event);
                return Ok(event);
            }
            match self.look().await {
                Ok(()) => self.retry = RETRY_FIRST,
                Err(BackendError::WrongChain) => return Err(BackendError::WrongChain),
                Err(error) => {
                    tracing::debug!(%error, "the chain cannot be followed now; trying again");
                    tokio::time::sleep(self.retry).await;
                    self.retry = self.retry.saturating_mul(2).min(RETRY_MAX);
                }
            }
        }
    }

    /// One look: at most one block, or a reorganisation, or the mempool.
    async fn look(&mut self) -> Result<(), BackendError> {
        let tip = self.chain.tip().await?;
        let at = self.locator.tip();
        if tip.hash != at.hash {
            return self.move_on(tip).await;
        }
        if self.synced != Some(tip.hash) {
            let first = self.synced.is_none();
            self.synced = Some(tip.hash);
            if first {
                self.ready.push_back(ChainEvent::Synced { tip });
                return Ok(());
            }
        }
        self.look_at_mempool().await?;
        if self.ready.is_empty() {
            tokio::time::sleep(self.poll).await;
        }
        Ok(())
    }

    async fn move_on(&mut self, tip: BlockRef) -> Result<(), BackendError> {
        let at = self.locator.tip();
        let fork = self.fork().await?;
        if fork.hash != at.hash {
            let known = self.locator.entries().iter().copied();
            let gone = known.filter(|block| block.height > fork.height).collect();
            self.ready.push_back(ChainEvent::Disconnected { fork, gone });
            return Ok(());
        }
        let Some(height) = at.height.checked_add(1).filter(|height| *height <= tip.height) else {
            return Ok(());
        };
        let block = self.chain.header_at(height).await?;
        // The chain may have moved between two questions; the next look sees it.
        if block.header.prev_blockhash != at.hash {
            return Ok(());
        }
        let whole = self.chain.block(block.hash).await?;
        self.remember(&whole);
        self.ready.push_back(ChainEvent::Connected { block, txs: Txs::Full(whole) });
        Ok(())
    }

    /// The last block of the reader's that is on the best chain.
    async fn fork(&self) -> Result<BlockRef, BackendError> {
        let mut next = Some(self.locator.tip().hash);
        let mut older = self.locator.entries().iter().map(|entry| entry.hash);
        while let Some(hash) = next.or_else(|| older.next()) {
            next = None;
            match self.chain.place(hash).await {
                Ok((block, true)) => return Ok(block),
                // Core keeps the branches it left: down, block by block, to where they part.
                Ok((block, false)) => next = Some(block.header.prev_blockhash),
                Err(BackendError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(BackendError::WrongChain)
    }

    fn remember(&mut self, block: &Block) {
        let hash = block.block_hash();
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            self.mined.insert(txid, hash);
            self.spent.extend(tx.input.iter().map(|input| (input.previous_output, txid)));
        }
        // It matters for what waits now, and nobody waits for these.
        if self.mempool.is_none() {
            self.mined.clear();
            self.spent.clear();
        }
    }

    async fn look_at_mempool(&mut self) -> Result<(), BackendError> {
        let listed = self.chain.client.call("getrawmempool", json!([])).await?;
        let listed: Vec<Txid> = match listed {
            Value::Array(txids) => txids.iter().map(read::hash).collect::<Result<_, _>>()?,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                return Err(BackendError::Lied("a mempool that is no list"));
            }
        };
        let there: BTreeSet<Txid> = listed.into_iter().collect();
        let known = self.mempool.as_ref().map(|mempool| &mempool.txs);
        let room = MEMPOOL_MAX.saturating_sub(known.map_or(0, BTreeMap::len));
        let fresh: Vec<Txid> = (there.iter().copied())
            .filter(|txid| !known.is_some_and(|known| known.contains_key(txid)))
            .take(room)
            .collect();
        let fresh = sorted(self.fetch(&fresh).await?);
        let Some(mempool) = self.mempool.as_mut() else {
            let txs = fresh.iter().map(|(txid, (tx, _))| (*txid, Arc::clone(tx))).collect();
            self.mempool = Some(Mempool { txs });
            let all = fresh.into_iter().map(|(_, (tx, _))| tx).collect();
            self.ready.push_back(ChainEvent::Mempool(MempoolDelta::Snapshot(all)));
            return Ok(());
        };
        let by: BTreeMap<OutPoint, Txid> = (fresh.iter())
            .flat_map(|(txid, (tx, _))| tx.input.iter().map(|input| (input.previous_output, *txid)))
            .collect();
        let gone: Vec<Txid> =
            mempool.txs.keys().filter(|txid| !there.contains(*txid)).copied().collect();
        let mut news = Vec::new();
        for txid in gone {
            let Some(tx) = mempool.txs.remove(&txid) else { continue };
            let because = why_gone(txid, &tx, (&self.mined, &self.spent), &by);
            news.push(MempoolDelta::Removed { txid, because });
        }
        for (txid, (tx, fee)) in fresh {
            mempool.txs.insert(txid, Arc::clone(&tx));
            news.push(MempoolDelta::Added { tx, fee });
        }
        self.mined.clear();
        self.spent.clear();
        self.ready.extend(news.into_iter().map(ChainEvent::Mempool));
        Ok(())
    }

    /// What waits, and what it pays. What has gone meanwhile is left out.
    async fn fetch(&self, txids: &[Txid]) -> Result<BTreeMap<Txid, Waiting>, BackendError> {
        let mut found = BTreeMap::new();
        for some in txids.chunks(BATCH) {
            let calls = some.iter().flat_map(|txid| {
                [("getrawtransaction", json!([txid, 1])), ("getmempoolentry", json!([txid]))]
            });
            let mut answers = self.chain.client.batch(calls.collect()).await?.into_iter();
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
}

/// Why a transaction is not in the mempool any more, as far as it can be told from outside.
fn why_gone(
    txid: Txid,
    tx: &Transaction,
    (mined, spent): (&BTreeMap<Txid, BlockHash>, &BTreeMap<OutPoint, Txid>),
    fresh: &BTreeMap<OutPoint, Txid>,
) -> RemovedBecause {
    if let Some(block) = mined.get(&txid) {
        return RemovedBecause::Confirmed(*block);
    }
    let rival = |of: &BTreeMap<OutPoint, Txid>| {
        tx.input.iter().find_map(|input| of.get(&input.previous_output).copied())
    };
    if let Some(by) = rival(spent) {
        RemovedBecause::Conflicted { by }
    } else if let Some(by) = rival(fresh) {
        RemovedBecause::Replaced { by }
    } else {
        RemovedBecause::Evicted
    }
}

/// Parents before children.
fn sorted(mut txs: BTreeMap<Txid, Waiting>) -> Vec<(Txid, Waiting)> {
    let mut order = Vec::new();
    while !txs.is_empty() {
        let free: Vec<Txid> = (txs.iter())
            .filter(|(_, (tx, _))| {
                tx.input.iter().all(|input| !txs.contains_key(&input.previous_output.txid))
            })
            .map(|(txid, _)| *txid)
            .collect();
        // Names are hashes: there is no circle.
        if free.is_empty() {
            break;
        }
        for txid in free {
            order.extend(txs.remove(&txid).map(|waiting| (txid, waiting)));
        }
    }
    order
}
