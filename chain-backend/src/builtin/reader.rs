//! What a subscriber is told next. The subscriber holds its own place; the chain remembers nothing about
//! it, so it can be as slow as it likes.

use crate::backend::{BackendError, ChainEvent, Locator, MempoolDelta, Txs};
use crate::builtin::chainstate::Chainstate;
use crate::builtin::log::Happening;
use bitcoin::BlockHash;

/// Blocks told at once.
const BATCH_BLOCKS: usize = 16;
/// Happenings told at once.
const BATCH_EVENTS: usize = 256;

/// A subscriber's place.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// The last block it was told.
    pub(crate) locator: Locator,
    /// The next happening to tell it; `None` while it catches up from the blocks.
    pub(crate) next: Option<u64>,
}

impl Chainstate {
    /// The next events after `cursor`, moving it. Empty when there is nothing new.
    pub(crate) fn read(&mut self, cursor: &mut Cursor) -> Result<Vec<ChainEvent>, BackendError> {
        let events = match cursor.next.and_then(|next| self.read_log(next)) {
            Some((happenings, next)) => {
                cursor.next = Some(next);
                happenings.into_iter().map(|h| self.event(h)).collect::<Result<Vec<_>, _>>()?
            }
            None => {
                cursor.next = None;
                self.catch_up(cursor)?
            }
        };
        for event in &events {
            cursor.locator.follow(event);
        }
        Ok(events)
    }

    fn read_log(&self, next: u64) -> Option<(Vec<Happening>, u64)> {
        let happenings: Vec<Happening> =
            self.log().since(next)?.take(BATCH_EVENTS).cloned().collect();
        let count = u64::try_from(happenings.len()).unwrap_or(u64::MAX);
        Some((happenings, next.saturating_add(count)))
    }

    fn event(&mut self, happening: Happening) -> Result<ChainEvent, BackendError> {
        match happening {
            Happening::Connected(block) => self.connected(block.hash),
            Happening::Disconnected { fork, gone } => {
                let fork = self.block_ref(fork.hash).ok_or(BackendError::NotFound)?;
                Ok(ChainEvent::Disconnected { fork, gone })
            }
            Happening::Mempool(delta) => Ok(ChainEvent::Mempool(delta)),
        }
    }

    fn connected(&mut self, hash: BlockHash) -> Result<ChainEvent, BackendError> {
        let block = self.block_ref(hash).ok_or(BackendError::NotFound)?;
        let txs = Txs::Full(self.block(hash)?);
        Ok(ChainEvent::Connected { block, txs })
    }

    /// From the blocks: back to the fork if need be, then forward; at the tip the mempool.
    fn catch_up(&mut self, cursor: &mut Cursor) -> Result<Vec<ChainEvent>, BackendError> {
        let tip = self.tip();
        let fork = self.fork_of(&cursor.locator).ok_or(BackendError::WrongChain)?;
        let mut events = Vec::new();
        if fork.hash != cursor.locator.tip().hash {
            events.push(ChainEvent::Disconnected { fork, gone: self.gone(&cursor.locator, fork) });
        }
        let first = fork.height.saturating_add(1);
        for height in (first..=tip.height).take(BATCH_BLOCKS) {
            let block = self.header_at(height).ok_or(BackendError::NotFound)?;
            events.push(self.connected(block.hash)?);
        }
        let told = u32::try_from(BATCH_BLOCKS).unwrap_or(u32::MAX);
        if fork.height.saturating_add(told) >= tip.height {
            events.push(ChainEvent::Mempool(MempoolDelta::Snapshot(self.mempool().snapshot())));
            events.push(ChainEvent::Synced { tip });
            cursor.next = Some(self.log().end());
        }
        Ok(events)
    }
}
