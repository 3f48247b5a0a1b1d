//! Steering a chain whose blocks are ours to make: mining, reorganising, throwing out, stopping the clock.

use crate::backend::ChainBackend;
use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, ScriptBuf, Transaction, Txid};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A chain that does as it is told.
#[async_trait]
pub trait Sandbox: ChainBackend {
    /// Mines `count` blocks whose coinbases pay `script`; answers them in order.
    ///
    /// # Errors
    /// [`SandboxError`]; blocks mined before the failure stay.
    async fn mine(&self, count: u32, script: ScriptBuf) -> Result<Vec<BlockHash>, SandboxError>;

    /// Replaces the last `depth` blocks by `depth + 1` others. Their transactions are mined again, but
    /// for `excluded` and what stands on those, which wait in the mempool again. Readers see one move, to
    /// a higher tip.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] when the chain is not that high.
    async fn reorg(
        &self,
        depth: u32,
        excluded: BTreeSet<Txid>,
        script: ScriptBuf,
    ) -> Result<Vec<BlockHash>, SandboxError> {
        self.reorganise(Reorg { depth, left_out: excluded, forget: false, script }).await
    }

    /// As [`Sandbox::reorg`], and says what becomes of what is left out.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] when the chain is not that high or stands still.
    async fn reorganise(&self, reorg: Reorg) -> Result<Vec<BlockHash>, SandboxError>;

    /// Rules a block and all above it out, as if it broke a rule. The chain may get shorter.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] when there is no such block.
    async fn invalidate(&self, hash: BlockHash) -> Result<(), SandboxError>;

    /// Lets a block that was ruled out, and all above it, back in.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] when there is no such block.
    async fn reconsider(&self, hash: BlockHash) -> Result<(), SandboxError>;

    /// Takes in a block made elsewhere; answers whether it is on the best chain now.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] with Bitcoin Core's word for the broken rule.
    async fn submit_block(&self, block: Block) -> Result<bool, SandboxError>;

    /// Throws a transaction and what stands on it out of the mempool; answers whether it was there.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn evict(&self, txid: Txid) -> Result<bool, SandboxError>;

    /// The least the mempool takes from now on, whatever else it would; `None` ends that. What waits and
    /// pays less, with what pays for it, is thrown out, and estimates follow.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn set_floor(&self, floor: Option<FeeRate>) -> Result<(), SandboxError>;

    /// Lets the chain stand still, or go on: for `time`, or until told otherwise.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn stall(&self, stall: Stall, time: Option<Duration>) -> Result<(), SandboxError>;

    /// Stops the chain's clock at a time (Unix seconds), or lets it run again.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn set_now(&self, now: Option<u32>) -> Result<(), SandboxError>;

    /// All that waits, parents before children.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn mempool(&self) -> Result<Vec<Arc<Transaction>>, SandboxError>;

    /// Sums over the best chain.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`].
    async fn totals(&self) -> Result<Totals, SandboxError>;
}

/// A reorganisation: the last blocks are replaced by one more than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// How many blocks go.
    pub depth: u32,
    /// Their transactions that are not mined again, with what stands on them.
    pub left_out: BTreeSet<Txid>,
    /// Whether what is left out is gone; else it waits in the mempool again.
    pub forget: bool,
    /// Who gets the rewards of the new blocks.
    pub script: ScriptBuf,
}

/// How the chain stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stall {
    /// It does not.
    #[default]
    No,
    /// No block is made; to ask for one is refused. Transactions still come and go.
    Blocks,
    /// Blocks are made and questions answered, but no reader of events hears anything until it is over.
    Readers,
}

/// Sums over the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Height of the tip.
    pub height: u32,
    /// Transactions in blocks, coinbases not counted.
    pub transactions: u64,
    /// What they paid, satoshi.
    pub fees_sat: u64,
    /// All unspent coins together, satoshi.
    pub supply_sat: u64,
    /// How many unspent coins there are.
    pub coins: u64,
    /// Transactions that wait.
    pub mempool_transactions: u64,
}

/// Why the chain did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// It says no, and why; for a broken rule with Bitcoin Core's word.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached.
    #[error("the chain is unavailable: {0}")]
    Unavailable(String),
}
