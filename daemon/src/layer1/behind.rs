//! What blocks that are done already may have had of what a channel watches: looked up until the backend answers.
//!
//! A channel says what it watches after blocks have passed: a restored one, and every one after a start. What it has not
//! heard of is looked up each time, because a crash may have come between two pieces of news, and no later block tells
//! them again. A backend that has no index of it is read block by block, when nothing else is to be done.
//!
//! Not here: what later blocks have of it (`watches`, `origins`).

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bitcoin::OutPoint;
use chain_backend::backend::BackendError;
use tokio::time::Instant;
use wire::units::BlockHeight;

use crate::fact::ChannelIndex;
use crate::layer1::Layer1;

/// How long a backend is left alone that could not answer; twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// One look back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// Who spends a coin that a funding is made from.
    Coin {
        /// Whose funding.
        channel: ChannelIndex,
        /// The coin.
        coin: OutPoint,
        /// No earlier block spends it.
        since: BlockHeight,
    },
    /// Whether a funding is in a block, and who spends it.
    Funding {
        /// Whose.
        channel: ChannelIndex,
        /// Its output.
        outpoint: OutPoint,
        /// No earlier block has it.
        since: BlockHeight,
    },
    /// Who spends an output.
    Spend {
        /// Who watches it.
        channel: ChannelIndex,
        /// The output.
        outpoint: OutPoint,
        /// No earlier block spends it.
        since: BlockHeight,
    },
}

/// What is still to be looked up: at most what is watched.
#[derive(Debug, Default)]
pub(super) struct Behind {
    todo: VecDeque<Look>,
    /// What blocks are searched for, and the next of them.
    searched: BTreeSet<(OutPoint, ChannelIndex)>,
    height: u32,
    /// When the next look is due, if the last was answered at once or not.
    next: Option<Instant>,
    unanswered: u32,
}

impl Behind {
    pub(super) fn add(&mut self, look: Look) {
        self.todo.push_back(look);
        self.next.get_or_insert_with(Instant::now);
    }

    /// Searches blocks from `since` on, those that were searched for others once more.
    fn search(&mut self, channel: ChannelIndex, outpoint: OutPoint, since: BlockHeight) {
        let is_first = self.searched.is_empty();
        self.height = if is_first { since.0 } else { self.height.min(since.0) };
        self.searched.insert((outpoint, channel));
        self.next.get_or_insert_with(Instant::now);
    }

    /// When the next look is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.next.filter(|_| !self.todo.is_empty())
    }

    /// When the next block is due to be searched.
    pub(super) fn search_at(&self) -> Option<Instant> {
        self.next.filter(|_| !self.searched.is_empty())
    }

    /// Whether the backend answered decides when it is asked next.
    fn answered(&mut self, answered: bool) {
        let now = Instant::now();
        let open = !(self.todo.is_empty() && self.searched.is_empty());
        if answered {
            self.unanswered = 0;
            self.next = open.then_some(now);
        } else {
            let pause = PAUSE.saturating_mul(1 << self.unanswered.min(10)).min(PAUSE_MAX);
            self.unanswered = self.unanswered.saturating_add(1);
            self.next = now.checked_add(pause);
        }
    }
}

impl Layer1 {
    /// One look back.
    pub(super) async fn look_back(&mut self) {
        let Some(look) = self.behind.todo.pop_front() else { return };
        let answered = match look {
            Look::Coin { channel, coin, since } => self.look_for_rival(channel, coin, since).await,
            Look::Funding { channel, outpoint, since } => {
                self.look_for_funding(channel, outpoint, since).await
            }
            Look::Spend { channel, outpoint, since } => {
                self.look_for_spend(channel, outpoint, since).await
            }
        };
        self.behind.answered(answered.is_ok());
        if let Err(error) = answered {
            tracing::warn!(%error, ?look, "cannot look back; tried again");
            // The others have their turn before this one has it again.
            self.behind.todo.push_back(look);
        }
    }

    /// Searches one block.
    pub(super) async fn search_back(&mut self) {
        let height = self.behind.height;
        if height > self.cursor.tip().height {
            // From here on, blocks tell it themselves.
            self.behind.searched.clear();
            return self.behind.answered(true);
        }
        let answered = self.search_block(height).await;
        self.behind.answered(answered.is_ok());
        match answered {
            Ok(()) => self.behind.height = height.saturating_add(1),
            Err(error) => tracing::warn!(%error, height, "cannot search a block; tried again"),
        }
    }

    async fn search_block(&mut self, height: u32) -> Result<(), BackendError> {
        let at = self.backend.header_at(height).await?;
        let block = self.backend.block(at.hash).await?;
        let height = BlockHeight(height);
        let searched: BTreeSet<_> =
            self.behind.searched.iter().map(|(outpoint, _)| *outpoint).collect();
        let of = |txid| OutPoint { txid, vout: 0 }..=OutPoint { txid, vout: u32::MAX };
        for (index, tx) in (0_u32..).zip(&block.txdata) {
            for outpoint in searched.range(of(tx.compute_txid())) {
                self.tell_all(|watches| watches.confirm(*outpoint, tx, height, index)).await;
            }
            let spent = tx.input.iter().map(|input| input.previous_output);
            for outpoint in spent.filter(|outpoint| searched.contains(outpoint)) {
                self.tell_all(|watches| watches.origins.connect(tx, height)).await;
                self.tell_all(|watches| watches.spend(outpoint, tx, height)).await;
            }
        }
        Ok(())
    }

    async fn look_for_funding(
        &mut self,
        channel: ChannelIndex,
        outpoint: OutPoint,
        since: BlockHeight,
    ) -> Result<(), BackendError> {
        if !self.watches.has(channel, outpoint) {
            return Ok(());
        }
        let mut since = since;
        if !self.watches.is_confirmed(channel, outpoint) {
            let Some(found) = self.backend.tx(outpoint.txid).await? else {
                if !self.backend.capabilities().spend_index {
                    self.behind.search(channel, outpoint, since);
                }
                return Ok(());
            };
            let Some((block, index)) = found.confirmed else {
                self.tell_all(|watches| watches.origins.seen(&found.tx)).await;
                return Ok(());
            };
            // What is not followed yet, blocks will tell.
            if block.height > self.cursor.tip().height {
                return Ok(());
            }
            since = BlockHeight(block.height);
            self.tell_all(|watches| watches.confirm(outpoint, &found.tx, since, index)).await;
        }
        // Its own turn: the backend may answer one question and not the other.
        self.behind.add(Look::Spend { channel, outpoint, since });
        Ok(())
    }

    async fn look_for_rival(
        &mut self,
        channel: ChannelIndex,
        coin: OutPoint,
        since: BlockHeight,
    ) -> Result<(), BackendError> {
        if !self.backend.capabilities().spend_index {
            let spender = match self.backend.txout(coin).await? {
                Some(there) => there.mempool_spender,
                None => {
                    self.behind.search(channel, coin, since);
                    None
                }
            };
            let Some(spender) = spender else { return Ok(()) };
            if let Some(found) = self.backend.tx(spender).await? {
                self.tell_all(|watches| watches.origins.seen(&found.tx)).await;
            }
            return Ok(());
        }
        let Some(spend) = self.backend.spender(coin, since.0).await? else { return Ok(()) };
        let followed = self.cursor.tip().height;
        match spend.block {
            Some(block) if block.height <= followed => {
                let height = BlockHeight(block.height);
                self.tell_all(|watches| watches.origins.connect(&spend.tx, height)).await;
            }
            Some(_) => {}
            None => self.tell_all(|watches| watches.origins.seen(&spend.tx)).await,
        }
        Ok(())
    }

    async fn look_for_spend(
        &mut self,
        channel: ChannelIndex,
        outpoint: OutPoint,
        since: BlockHeight,
    ) -> Result<(), BackendError> {
        if !self.watches.has(channel, outpoint) || self.watches.is_spent(channel, outpoint) {
            return Ok(());
        }
        if !self.backend.capabilities().spend_index {
            // What blocks have unspent, none of them spends.
            if self.backend.txout(outpoint).await?.is_none() {
                self.behind.search(channel, outpoint, since);
            }
            return Ok(());
        }
        let Some(spend) = self.backend.spender(outpoint, since.0).await? else { return Ok(()) };
        let followed = self.cursor.tip().height;
        let Some(block) = spend.block.filter(|block| block.height <= followed) else {
            return Ok(());
        };
        let height = BlockHeight(block.height);
        self.tell_all(|watches| watches.spend(outpoint, &spend.tx, height)).await;
        Ok(())
    }
}
