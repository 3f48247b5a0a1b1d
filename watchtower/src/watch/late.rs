//! What is learnt after its block has come: records that are uploaded late, blocks that the ring lacks.

use std::sync::Arc;

use bitcoin::{Block, BlockHash, OutPoint};
use chain_backend::{BackendError, BlockId};

use super::block::sightings;
use super::{WatchError, Watcher};
use crate::hint::Hint;
use crate::index::Place;
use crate::respond::fact::ClaimFact;
use crate::respond::sight;
use crate::store::{Fact, Late};

/// So many are taken up at once, before blocks are looked for again.
const AT_ONCE: usize = 64;

impl Watcher {
    /// Takes up some of what came late. What a backend has no answer for now stays in hand until the next
    /// block.
    pub(super) async fn late(&mut self) -> Result<(), WatchError> {
        if self.in_hand.is_empty() {
            self.in_hand.extend(self.keeper.late(AT_ONCE).await?);
            if !self.in_hand.is_empty() {
                // There may be more.
                self.bell.late.notify_one();
            }
        }
        let mut facts = Vec::new();
        while let Some(late) = self.in_hand.pop_front() {
            let done = match &late {
                Late::Record { place, block } => self.late_record(*place, *block, &mut facts).await,
                Late::Replica { session, funding } => {
                    self.late_replica(*session, *funding, &mut facts).await
                }
            };
            match done {
                Ok(()) => {}
                Err(WatchError::Backend(error)) => {
                    tracing::warn!(%error, "what came late is looked at later");
                    self.in_hand.push_front(late);
                    break;
                }
                Err(other) => return Err(other),
            }
        }
        if facts.is_empty() { Ok(()) } else { self.answer(facts).await }
    }

    async fn late_record(
        &mut self,
        place: Place,
        id: BlockId,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        let found = self.keeper.read(vec![place]).await?.into_iter().next().flatten();
        let Some(found) = found else { return Ok(()) };
        // A block that is not on the chain any more decides nothing: its transactions come again.
        if id.height > self.height() || self.chain.header_at(id.height).await?.hash != id.hash {
            return Ok(());
        }
        let block = self.fetch(id.hash).await?;
        let hint = found.stored.sealed.hint;
        let wanted = |tx: &&bitcoin::Transaction| Hint::of(&tx.compute_txid()) == hint;
        for tx in block.txdata.iter().filter(wanted) {
            let txid = tx.compute_txid();
            self.places(&[place], tx, facts).await?;
            let Some(source) = self.book.source(&txid) else { continue };
            if source.height != Some(id.height) {
                let fact = ClaimFact::Confirmed { source: txid, height: id.height };
                self.follow_fact(fact, facts);
            }
            self.spent_since(txid, id.height, facts).await?;
        }
        Ok(())
    }

    /// A replica learnt something: its channel may be spent already.
    async fn late_replica(
        &mut self,
        session: u32,
        funding: OutPoint,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        let Some(spend) = self.chain.spender(funding, 0).await? else { return Ok(()) };
        self.replica(session, &spend.tx, facts).await?;
        let source = spend.tx.compute_txid();
        let Some(block) = spend.block.filter(|block| block.height <= self.height()) else {
            return Ok(());
        };
        if self.book.source(&source).is_some_and(|known| known.height != Some(block.height)) {
            self.follow_fact(ClaimFact::Confirmed { source, height: block.height }, facts);
        }
        self.spent_since(source, block.height, facts).await
    }

    /// What became of the outputs of a breach in the blocks that came already.
    async fn spent_since(
        &mut self,
        source: bitcoin::Txid,
        height: u32,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        let outpoints: Vec<OutPoint> =
            self.book.claims_of(source).map(|(outpoint, _)| *outpoint).collect();
        for outpoint in outpoints {
            let spend = self.chain.spender(outpoint, height).await?;
            let Some((spend, block)) = spend.and_then(|s| s.block.map(|block| (s, block))) else {
                continue;
            };
            // What lies above our place is still to come.
            if block.height <= self.height() {
                let seen = sight::mined(&self.book, block.height, [spend.tx.as_ref()]);
                self.news(&seen);
                for fact in &seen {
                    self.follow_fact(fact.clone(), facts);
                }
                self.second_stages(&seen, [spend.tx.as_ref()], block.height, facts).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, hash: BlockHash) -> Result<Arc<Block>, WatchError> {
        if let Some((known, block)) = &self.recent
            && *known == hash
        {
            return Ok(Arc::clone(block));
        }
        let block = self.chain.block(hash).await?;
        self.recent = Some((hash, Arc::clone(&block)));
        Ok(block)
    }

    /// A ring that was lost begins with the last block that was looked at.
    pub(super) async fn begin_ring(&mut self) -> Result<(), WatchError> {
        let Some(tip) = self.cursor.as_ref().map(chain_backend::Locator::tip) else {
            return Ok(());
        };
        if self.keeper.figures().await?.ring_blocks > 0 {
            return Ok(());
        }
        let Ok(block) = self.chain.block(tip.hash).await else { return Ok(()) };
        let before = block.header.prev_blockhash;
        let hits = self.keeper.block(tip, before, sightings(&block.txdata)).await?;
        let places = hits.into_iter().flat_map(|hit| hit.places);
        self.in_hand.extend(places.map(|place| Late::Record { place, block: tip }));
        Ok(())
    }

    /// Takes the block below the ring's oldest into it, exactly the one that this one names. `false` if there
    /// is none to be had.
    pub(super) async fn fill(&mut self) -> Result<bool, WatchError> {
        let Some(oldest) = self.keeper.wanted().await? else { return Ok(false) };
        let Some(height) = oldest.height.checked_sub(1) else { return Ok(false) };
        let (id, block) = match self.below(oldest, height).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, height, "late records are not compared with blocks below");
                return Ok(false);
            }
        };
        let hits = self.keeper.earlier(id, sightings(&block.txdata)).await?;
        self.bottom = Some((id, block.header.prev_blockhash));
        let places = hits.into_iter().flat_map(|hit| hit.places);
        self.in_hand.extend(places.map(|place| Late::Record { place, block: id }));
        if !self.in_hand.is_empty() {
            self.late().await?;
        }
        Ok(true)
    }

    async fn below(
        &self,
        oldest: BlockId,
        height: u32,
    ) -> Result<(BlockId, Arc<Block>), BackendError> {
        let below = match self.bottom {
            Some((known, below)) if known == oldest => below,
            Some(_) | None => self.chain.block(oldest.hash).await?.header.prev_blockhash,
        };
        Ok((BlockId { height, hash: below }, self.chain.block(below).await?))
    }
}
