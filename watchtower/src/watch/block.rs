//! Blocks that come and go, and the mempool.

use bitcoin::{OutPoint, Transaction, Txid};
use chain_backend::{
    BlockId, BlockRef, ChainEvent, ChainStream, Locator, MempoolDelta, RemovedBecause, Txs,
};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::read::{Meaning, read};
use super::{EventKind, WatchError, Watcher};
use crate::hint::Hint;
use crate::index::Place;
use crate::respond::fact::{ClaimFact, Taker};
use crate::respond::plan::Lessons;
use crate::respond::sight;
use crate::store::{Fact, Hit, Sighting};

/// Records that are read at once: a hint may have any number.
const PAGE: usize = 256;
/// Mempool events that are looked at together.
const TOGETHER: usize = 512;
/// Records that opened in vain and are remembered, so that each is told of once.
const VAIN_MAX: usize = 65_536;
/// Alerts before a session ends, in blocks.
const EXPIRY_ALERTS: [u32; 3] = [1_008, 144, 0];

/// Transactions as the keeper wants them.
pub(crate) fn sightings<'a>(txs: impl IntoIterator<Item = &'a Transaction>) -> Vec<Sighting> {
    let sighting = |tx: &Transaction| Sighting {
        hint: Hint::of(&tx.compute_txid()),
        inputs: tx.input.iter().map(|input| input.previous_output).collect(),
    };
    txs.into_iter().map(sighting).collect()
}

impl Watcher {
    pub(super) async fn connected(&mut self, block: BlockRef, txs: &Txs) -> Result<(), WatchError> {
        let before = self.cursor.as_ref().map(Locator::tip);
        if let Some(before) = before
            && (block.height != before.height.saturating_add(1)
                || block.header.prev_blockhash != before.hash)
        {
            return Err(WatchError::Gap { after: before.height });
        }
        let whole = match txs.block() {
            Some(whole) => std::sync::Arc::clone(whole),
            // What was left out may be what a record is for.
            None => self.chain.block(block.hash).await?,
        };
        let began = now();
        let sightings = sightings(&whole.txdata);
        let hits = self.keeper.block(block.id(), block.header.prev_blockhash, sightings).await?;
        let took = began.elapsed();
        let mut facts = Vec::new();
        self.matched(&hits, &whole.txdata, &mut facts).await?;
        if let Some(cursor) = &mut self.cursor {
            cursor.advance(block.id());
        }
        let seen = sight::mined(&self.book, block.height, &whole.txdata);
        self.news(&seen);
        for fact in &seen {
            self.follow_fact(fact.clone(), &mut facts);
        }
        self.second_stages(&seen, &whole.txdata, block.height, &mut facts).await?;
        for fact in sight::over(&self.book, block.height) {
            self.follow_fact(fact, &mut facts);
        }
        self.lessons = Lessons::default();
        facts.push(Fact::BlockConnected { height: block.height, hash: block.hash });
        self.purse_connected(&whole, block.height);
        self.free_stale();
        self.answer(facts).await?;
        self.resend().await;
        self.publish.send_modify(|watching| {
            watching.blocks = watching.blocks.saturating_add(1);
            watching.match_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        });
        if !self.in_hand.is_empty() {
            self.late().await?;
        }
        self.expire(block.height).await
    }

    pub(super) async fn disconnected(&mut self, fork: BlockId) -> Result<(), WatchError> {
        self.keeper.rewind(fork.height).await?;
        if let Some(cursor) = &mut self.cursor {
            cursor.rewind(fork);
        }
        self.book.apply(&ClaimFact::Rewound { height: fork.height });
        self.lessons = Lessons::default();
        self.bottom = None;
        if let Some(purse) = &mut self.purse {
            purse.disconnected(fork.height, fork.hash);
        }
        let fact = Fact::BlocksDisconnected { height: fork.height, hash: fork.hash };
        self.answer(vec![fact]).await
    }

    /// The mempool: what may be a breach is one already, and justice can be in the same block. Advisory, so
    /// nothing is taken for done by it. Reads on while there is more of it.
    pub(super) async fn mempool(
        &mut self,
        delta: MempoolDelta,
        stream: &mut ChainStream,
    ) -> Result<Option<ChainEvent>, WatchError> {
        let mut txs = Vec::new();
        let mut is_due = self.note(delta, &mut txs);
        let mut behind = None;
        while txs.len() < TOGETHER {
            match stream.next().now_or_never() {
                None => break,
                Some(None) => return Err(WatchError::Ended),
                Some(Some(event)) => match event? {
                    ChainEvent::Mempool(delta) => is_due |= self.note(delta, &mut txs),
                    other @ (ChainEvent::Connected { .. }
                    | ChainEvent::Disconnected { .. }
                    | ChainEvent::Synced { .. }
                    | ChainEvent::Away { .. }) => {
                        behind = Some(other);
                        break;
                    }
                },
            }
        }
        // A block that waits says more, and says it for good.
        if !txs.is_empty() && behind.is_none() {
            let hits = self.keeper.matches(sightings(txs.iter().map(AsRef::as_ref))).await?;
            let txs: Vec<Transaction> = if hits.is_empty() {
                Vec::new()
            } else {
                txs.iter().map(|tx| Transaction::clone(tx)).collect()
            };
            let mut facts = Vec::new();
            self.matched(&hits, &txs, &mut facts).await?;
            is_due |= !facts.is_empty();
            if is_due {
                self.answer(facts).await?;
            }
        }
        Ok(behind)
    }

    /// Collects what came in; whether something of ours left.
    fn note(&mut self, delta: MempoolDelta, txs: &mut Vec<std::sync::Arc<Transaction>>) -> bool {
        self.purse_sees(&delta);
        match delta {
            MempoolDelta::Snapshot(all) => {
                txs.extend(all);
                false
            }
            MempoolDelta::Added { tx, .. } => {
                txs.push(tx);
                false
            }
            MempoolDelta::Removed { txid, because } => {
                let is_ours = || {
                    self.book.claims().any(|(_, claim)| claim.sent.is_some_and(|s| s.txid == txid))
                };
                !matches!(because, RemovedBecause::Confirmed(_)) && is_ours()
            }
        }
    }

    /// Reads the records that may be for these transactions and takes what they give.
    pub(super) async fn matched(
        &mut self,
        hits: &[Hit],
        txs: &[Transaction],
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        for hit in hits {
            let Some(tx) = txs.get(hit.nth) else { continue };
            self.places(&hit.places, tx, facts).await?;
            for session in &hit.replicas {
                self.replica(*session, tx, facts).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn places(
        &mut self,
        places: &[Place],
        tx: &Transaction,
        facts: &mut Vec<Fact>,
    ) -> Result<(), WatchError> {
        let txid = tx.compute_txid();
        let hint = Hint::of(&txid);
        for page in places.chunks(PAGE) {
            for found in self.keeper.read(page.to_vec()).await? {
                let meaning = match &found {
                    Some(found) if found.stored.sealed.hint == hint => read(found, txid, tx),
                    Some(_) | None => Meaning::None,
                };
                let Some(found) = found else { continue };
                let (session, seq) = (found.stored.session, found.stored.seq);
                match meaning {
                    Meaning::None => self.publish.send_modify(|watching| {
                        watching.misses = watching.misses.saturating_add(1);
                    }),
                    Meaning::Claims(claims) => {
                        let inputs: Vec<OutPoint> =
                            tx.input.iter().map(|input| input.previous_output).collect();
                        let known =
                            claims.iter().all(|claim| self.book.claim(&claim.outpoint).is_some());
                        if known {
                            continue;
                        }
                        let text = format!("{} outputs can be taken", claims.len());
                        tracing::warn!(%txid, session, seq, "a revoked commitment: {text}");
                        let fact = ClaimFact::Found { source: txid, inputs, session, seq, claims };
                        self.follow_fact(fact, facts);
                        self.tell(EventKind::Matched, Some(session), Some(txid), text);
                    }
                    Meaning::Useless(reason) => {
                        self.in_vain((txid, session, seq), reason, "a record", facts);
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Tells once of what opened and is of no use: the mempool shows it, and then a block.
    pub(super) fn in_vain(
        &mut self,
        (source, session, seq): (Txid, u32, u32),
        reason: String,
        what: &'static str,
        facts: &mut Vec<Fact>,
    ) {
        if self.vain.len() >= VAIN_MAX {
            self.vain.clear();
        }
        if !self.vain.insert((source, session, seq)) {
            return;
        }
        tracing::error!(txid = %source, session, seq, reason, "{what} opens and is of no use");
        self.tell(EventKind::Failed, Some(session), Some(source), reason.clone());
        self.follow_fact(ClaimFact::Useless { source, session, seq, reason }, facts);
    }

    /// Tells whoever listens what a block brought.
    pub(super) fn news(&self, facts: &[ClaimFact]) {
        for fact in facts {
            let ClaimFact::Taken { outpoint, by, taker, .. } = fact else { continue };
            let source = self.book.source(&outpoint.txid);
            let session = source.map(|source| source.session);
            let (kind, text) = match taker {
                Taker::Us => (EventKind::Confirmed, format!("{outpoint} is taken")),
                Taker::Other => {
                    (EventKind::Confirmed, format!("{outpoint} is taken by another for the client"))
                }
                Taker::Them if self.book.claim(outpoint).is_some_and(|c| c.is_valid()) => {
                    (EventKind::Failed, format!("{outpoint} was taken by the peer"))
                }
                Taker::Them => {
                    (EventKind::SecondStageSeen, format!("{outpoint} was taken by the cheater"))
                }
            };
            self.tell(kind, session, Some(*by), text);
        }
    }

    /// Sessions whose time comes to an end: alerts, and after the grace they are nobody's.
    async fn expire(&self, height: u32) -> Result<(), WatchError> {
        let ends = self.keeper.ends(height).await?;
        for (session, expiry_height) in ends.expiring {
            let left = expiry_height.saturating_sub(height);
            if EXPIRY_ALERTS.contains(&left) {
                let text = format!("takes records for {left} blocks more");
                self.tell(EventKind::Expiring, Some(session), None, text);
            }
        }
        for session in ends.over {
            // What was begun needs its keys to the end.
            if self.book.sources().any(|(_, source)| source.session == session) {
                continue;
            }
            tracing::info!(session, "the time of a session is over");
            // On a dead disk it ends another time.
            let _later = self.keeper.note(Fact::Dropped { session }).await;
        }
        Ok(())
    }
}

fn now() -> Instant {
    Instant::now()
}
