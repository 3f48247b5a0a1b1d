//! What blocks that are done already may have had of what a channel watches: looked up until the backend answers.
//!
//! A channel says what it watches after blocks have passed: a restored one, and every one after a start. What it has not
//! heard of is looked up each time, because a crash may have come between two pieces of news, and no later block tells
//! them again.
//!
//! Not here: what later blocks have of it (`watches`, `origins`).

use std::collections::VecDeque;
use std::time::Duration;

use bitcoin::OutPoint;
use chain_backend::backend::BackendError;
use tokio::time::Instant;
use wire::units::BlockHeight;

use crate::fact::ChannelIndex;
use crate::layer1::Layer1;

/// How long a backend is left alone that could not answer.
const PAUSE: Duration = Duration::from_secs(1);

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
    next: Option<Instant>,
}

impl Behind {
    pub(super) fn add(&mut self, look: Look) {
        self.todo.push_back(look);
        self.next.get_or_insert_with(Instant::now);
    }

    /// When the next look is due.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.next
    }

    fn take(&mut self) -> Option<Look> {
        let look = self.todo.pop_front();
        self.next = (!self.todo.is_empty()).then(Instant::now);
        look
    }

    /// The backend did not answer: the others have their turn before this one has it again.
    fn again(&mut self, look: Look) {
        self.todo.push_back(look);
        self.next = Instant::now().checked_add(PAUSE);
    }
}

impl Layer1 {
    /// One look back.
    pub(super) async fn look_back(&mut self) {
        let Some(look) = self.behind.take() else { return };
        let answered = match look {
            Look::Coin { coin, since, .. } => self.look_for_rival(coin, since).await,
            Look::Funding { channel, outpoint, since } => {
                self.look_for_funding(channel, outpoint, since).await
            }
            Look::Spend { channel, outpoint, since } => {
                self.look_for_spend(channel, outpoint, since).await
            }
        };
        if let Err(error) = answered {
            tracing::warn!(%error, ?look, "cannot look back; tried again");
            self.behind.again(look);
        }
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
            let Some(found) = self.backend.tx(outpoint.txid).await? else { return Ok(()) };
            let Some((block, index)) = found.confirmed else {
                self.tell_all(|watches| watches.origins.seen(&found.tx)).await;
                return Ok(());
            };
            // What is not followed yet, blocks will tell.
            if block.height > self.cursor.tip().height {
                return Ok(());
            }
            since = BlockHeight(block.height);
            for (channel, fact) in self.watches.confirm(outpoint, &found.tx, since, index) {
                self.tell_one(channel, fact).await;
            }
        }
        // Its own turn: the backend may answer one question and not the other.
        self.behind.add(Look::Spend { channel, outpoint, since });
        Ok(())
    }

    async fn look_for_rival(
        &mut self,
        coin: OutPoint,
        since: BlockHeight,
    ) -> Result<(), BackendError> {
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
        let Some(spend) = self.backend.spender(outpoint, since.0).await? else { return Ok(()) };
        let followed = self.cursor.tip().height;
        let Some(block) = spend.block.filter(|block| block.height <= followed) else {
            return Ok(());
        };
        let height = BlockHeight(block.height);
        for (channel, fact) in self.watches.spend(outpoint, &spend.tx, height) {
            self.tell_one(channel, fact).await;
        }
        Ok(())
    }
}
