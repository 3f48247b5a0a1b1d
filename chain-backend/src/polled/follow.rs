//! The stream of events out of polling: blocks one at a time from the reader's own place, then the mempool.

use super::{Known, Polled, Waiting, sound};
use crate::backend::{
    BackendError, BlockId, BlockRef, ChainEvent, ChainStream, Locator, MempoolDelta,
    RemovedBecause, Txs,
};
use bitcoin::{Block, BlockHash, Network, OutPoint, Transaction, Txid};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Waits after a failed attempt: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Who does not answer for so long is away.
const AWAY: Duration = Duration::from_secs(1);
/// How many times in a row a chain must have been seen shorter than it was until that is believed: behind one address
/// there may be several servers of which one lags, or one that reads all blocks anew. On regtest it is done by hand.
const PATIENCE: u32 = 600;
const PATIENCE_REGTEST: u32 = 5;
/// What is remembered of blocks for the mempool's sake, transactions.
const MINED_MAX: usize = 100_000;
/// Looks that go by until a mempool that was too large is looked at again.
const REST: u32 = 60;

struct Follower<P> {
    chain: P,
    locator: Locator,
    ready: VecDeque<ChainEvent>,
    poll: Duration,
    retry: Duration,
    /// Since when every question failed, and whether that was told.
    failing: Option<(Instant, bool)>,
    /// The last block that was told, with its header.
    last: Option<BlockRef>,
    /// How many times in a row the chain was shorter than it had been.
    behind: u32,
    /// `Synced` was told for this tip.
    synced: Option<BlockHash>,
    mempool: Option<Mempool>,
    /// Looks until the mempool is looked at again.
    rest: u32,
    /// What blocks since the last look at the mempool had: what is mined, and what they spend.
    mined: BTreeMap<Txid, BlockHash>,
    spent: BTreeMap<OutPoint, Txid>,
}

/// What was told of the mempool.
#[derive(Default)]
struct Mempool {
    txs: BTreeMap<Txid, Arc<Transaction>>,
}

/// Begins; the first question must be answered, later ones are asked for ever.
pub(crate) async fn open<P: Polled>(
    chain: P,
    from: Locator,
    poll: Duration,
) -> Result<ChainStream, BackendError> {
    let follower = Follower {
        chain,
        locator: from,
        ready: VecDeque::new(),
        poll,
        retry: RETRY_FIRST,
        failing: None,
        last: None,
        behind: 0,
        synced: None,
        mempool: None,
        rest: 0,
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

impl<P: Polled> Follower<P> {
    async fn next(&mut self) -> Result<ChainEvent, BackendError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.locator.follow(&event);
                return Ok(event);
            }
            let began = Instant::now();
            match self.look().await {
                Ok(()) => (self.retry, self.failing) = (RETRY_FIRST, None),
                Err(BackendError::WrongChain) => return Err(BackendError::WrongChain),
                Err(error) => {
                    tracing::debug!(%error, "the chain cannot be followed now; trying again");
                    if self.is_away(began) {
                        return Ok(ChainEvent::Away { why: error.to_string() });
                    }
                    tokio::time::sleep(self.retry).await;
                    self.retry = self.retry.saturating_mul(2).min(RETRY_MAX);
                }
            }
        }
    }

    /// A question that was asked then failed; whether it is time to say so.
    fn is_away(&mut self, began: Instant) -> bool {
        let (since, told) = *self.failing.get_or_insert((began, false));
        let tell = !told && since.elapsed() >= AWAY;
        if tell {
            (self.failing, self.synced) = (Some((since, true)), None);
        }
        tell
    }

    /// One look: at most one block, or a reorganisation, or the mempool.
    async fn look(&mut self) -> Result<(), BackendError> {
        let tip = self.chain.tip_hash().await?;
        let at = self.locator.tip();
        if tip != at.hash {
            return self.move_on(at).await;
        }
        self.behind = 0;
        if self.synced.is_none() {
            let tip = self.here(at).await?;
            self.synced = Some(tip.hash);
            self.ready.push_back(ChainEvent::Synced { tip });
            return Ok(());
        }
        self.look_at_mempool().await?;
        if self.ready.is_empty() {
            tokio::time::sleep(self.poll).await;
        }
        Ok(())
    }

    /// The block the reader is at, with its header.
    async fn here(&self, at: BlockId) -> Result<BlockRef, BackendError> {
        if let Some(last) = self.last.filter(|last| last.hash == at.hash) {
            return Ok(last);
        }
        match self.chain.known(at).await? {
            Known::Best(block) => Ok(block),
            Known::Left(_) | Known::Unknown => Err(BackendError::NotFound),
        }
    }

    async fn move_on(&mut self, at: BlockId) -> Result<(), BackendError> {
        let next = match at.height.checked_add(1) {
            Some(height) => self.chain.header_at(height).await,
            None => Err(BackendError::NotFound),
        };
        match next {
            Ok(next) if next.header.prev_blockhash == at.hash => {
                return self.connect(at, next).await;
            }
            Ok(_) | Err(BackendError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let fork = self.fork().await?;
        // The chain may have moved between two questions, or another server answered: the next look tells.
        if fork.hash == at.hash || self.is_behind(at).await? {
            tokio::time::sleep(self.poll).await;
            return Ok(());
        }
        self.behind = 0;
        self.last = Some(fork);
        let known = self.locator.entries().iter().copied();
        let gone = known.filter(|block| block.height > fork.height).collect();
        self.ready.push_back(ChainEvent::Disconnected { fork, gone });
        Ok(())
    }

    /// Whether the chain is shorter than it was, and that is not to be believed yet.
    async fn is_behind(&mut self, at: BlockId) -> Result<bool, BackendError> {
        if self.chain.tip().await?.height >= at.height {
            return Ok(false);
        }
        if self.behind == 0 {
            tracing::warn!(height = at.height, "the chain is shorter than it was");
        }
        self.behind = self.behind.saturating_add(1);
        let is_ours = self.chain.network() == Network::Regtest;
        Ok(self.behind <= if is_ours { PATIENCE_REGTEST } else { PATIENCE })
    }

    async fn connect(&mut self, at: BlockId, next: BlockRef) -> Result<(), BackendError> {
        sound::on(&next, &self.here(at).await?, self.chain.network())?;
        let whole = self.chain.block(next.hash).await?;
        self.remember(&whole);
        self.last = Some(next);
        self.behind = 0;
        self.ready.push_back(ChainEvent::Connected { block: next, txs: Txs::Full(whole) });
        Ok(())
    }

    /// The last block of the reader's that is on the best chain.
    async fn fork(&self) -> Result<BlockRef, BackendError> {
        let mut next = Some(self.locator.tip());
        let mut older = self.locator.entries().iter().copied();
        while let Some(block) = next.or_else(|| older.next()) {
            next = None;
            match self.chain.known(block).await? {
                Known::Best(block) => return Ok(block),
                // Branches that were left are kept: down, block by block, to where they part.
                Known::Left(below) => {
                    let height = block.height.checked_sub(1);
                    next = height.map(|height| BlockId { height, hash: below });
                }
                Known::Unknown => {}
            }
        }
        Err(BackendError::WrongChain)
    }

    fn remember(&mut self, block: &Block) {
        let hash = block.block_hash();
        // It matters for what waits now, and before the first look nobody waits.
        if self.mempool.is_none() {
            return;
        }
        if self.mined.len() > MINED_MAX {
            self.mined.clear();
            self.spent.clear();
        }
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            self.mined.insert(txid, hash);
            self.spent.extend(tx.input.iter().map(|input| (input.previous_output, txid)));
        }
    }

    async fn look_at_mempool(&mut self) -> Result<(), BackendError> {
        let listed = self.listed().await?;
        let known = self.mempool.as_ref().map(|mempool| &mempool.txs);
        let there: BTreeSet<Txid> = match listed {
            Some(listed) => listed.into_iter().collect(),
            // What was told goes on to wait, but for what blocks took or overtook.
            None => (known.into_iter().flatten())
                .filter(|(_, tx)| {
                    tx.input.iter().all(|input| !self.spent.contains_key(&input.previous_output))
                })
                .map(|(txid, _)| *txid)
                .collect(),
        };
        let room = self.chain.waiting_max().saturating_sub(known.map_or(0, |known| known.len()));
        let fresh: Vec<Txid> = (there.iter().copied())
            .filter(|txid| !known.is_some_and(|known| known.contains_key(txid)))
            .take(room)
            .collect();
        let fresh = sorted(self.chain.fetch(&fresh).await?);
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

    /// What waits, unless that is too much now or was a short while ago.
    async fn listed(&mut self) -> Result<Option<Vec<Txid>>, BackendError> {
        if let Some(rest) = self.rest.checked_sub(1) {
            self.rest = rest;
            return Ok(None);
        }
        let listed = self.chain.waiting().await?;
        if listed.is_none() {
            tracing::warn!(
                "the mempool is too large to be followed; blocks are, and that is enough"
            );
            self.rest = REST;
        }
        Ok(listed)
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
