//! What the stream tells: blocks, reorganisations, the mempool.

use crate::backend::{BlockId, BlockRef};
use bitcoin::{Amount, Block, BlockHash, Transaction, Txid};
use std::sync::Arc;

/// One thing that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEvent {
    /// The best chain grew by a block.
    Connected {
        /// The block.
        block: BlockRef,
        /// Its transactions.
        txs: Txs,
    },
    /// The best chain lost its end: everything above `fork` never happened. Comes once per
    /// reorganisation, before the blocks that replace what is gone.
    Disconnected {
        /// The last block that stays.
        fork: BlockRef,
        /// The blocks that went, highest first, as far as the backend knows them. Undo by height, not
        /// by this list.
        gone: Vec<BlockId>,
    },
    /// The mempool changed. Advisory: nothing that guards money may need it.
    Mempool(MempoolDelta),
    /// The reader has everything up to `tip`. Comes when the reader first catches up, and again
    /// whenever it fell far behind and caught up, or the backend had been away.
    Synced {
        /// The last block delivered.
        tip: BlockRef,
    },
    /// The backend has not answered for a while, and goes on being asked: nobody knows how the chain stands. `Synced`
    /// ends it.
    Away {
        /// Why, for people.
        why: String,
    },
}

/// The transactions of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txs {
    /// All of them.
    Full(Arc<Block>),
    /// Those that touch the subscriber's interest, each with its index in the block.
    Matching(Arc<[(u32, Transaction)]>),
}

impl Txs {
    /// The transactions in block order, each with its index in the block.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (u32, &Transaction)> + '_> {
        match self {
            Self::Full(block) => Box::new((0_u32..).zip(block.txdata.iter())),
            Self::Matching(some) => Box::new(some.iter().map(|(index, tx)| (*index, tx))),
        }
    }

    /// The whole block, if it came whole.
    pub const fn block(&self) -> Option<&Arc<Block>> {
        match self {
            Self::Full(block) => Some(block),
            Self::Matching(_) => None,
        }
    }
}

/// A change of the mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MempoolDelta {
    /// All that is in it now, parents before children. Replaces what was told before.
    Snapshot(Vec<Arc<Transaction>>),
    /// A transaction came in.
    Added {
        /// The transaction.
        tx: Arc<Transaction>,
        /// What it pays.
        fee: Amount,
    },
    /// A transaction left.
    Removed {
        /// The transaction.
        txid: Txid,
        /// Why.
        because: RemovedBecause,
    },
}

/// Why a transaction left the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedBecause {
    /// A block has it.
    Confirmed(BlockHash),
    /// Another transaction paid more for the same coins.
    Replaced {
        /// The transaction that pays more.
        by: Txid,
    },
    /// A block spends the same coins otherwise.
    Conflicted {
        /// The confirmed transaction.
        by: Txid,
    },
    /// It paid too little when the mempool was full.
    Evicted,
    /// It waited longer than the mempool keeps anything.
    Expired,
    /// A reorganisation took away what it stands on (its coin, or its lock is no longer open).
    Reorganised,
}
