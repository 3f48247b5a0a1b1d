//! What backends have in common that tell nothing by themselves and are asked again and again: the stream of events
//! out of polling, HTTP with bounds, what refusals mean, and what of a
//! stranger's words is believed.
//! Not here: how each is asked (`bitcoind`, `esplora`).

mod follow;
pub(crate) mod http;
mod outcome;
pub(crate) mod sound;
#[cfg(test)]
mod tests;

use crate::backend::{BackendError, BlockId, BlockRef, ChainBackend};
use async_trait::async_trait;
use bitcoin::{Amount, BlockHash, OutPoint, Transaction, Txid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use follow::open;
pub use http::PATIENCE;
pub(crate) use outcome::{
    first_error, foresee, is_price, is_within, meaning, raised, wanted, what_is_new,
};

/// A transaction that waits, and what it pays.
pub(crate) type Waiting = (Arc<Transaction>, Amount);

/// What becomes of a block that a reader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is on the best chain.
    Best(BlockRef),
    /// It was left; this one stands below it.
    Left(BlockHash),
    /// Nobody knows it any more.
    Unknown,
}

/// A chain that has to be asked.
#[async_trait]
pub(crate) trait Polled: ChainBackend + Clone + 'static {
    /// The name of the best chain's last block.
    async fn tip_hash(&self) -> Result<BlockHash, BackendError>;

    /// Where a block that a reader has stands now.
    async fn known(&self, block: BlockId) -> Result<Known, BackendError>;

    /// What waits; `None` when that is more than can be followed.
    async fn waiting(&self) -> Result<Option<Vec<Txid>>, BackendError>;

    /// What waits, with what it pays. What has gone meanwhile is left out.
    async fn fetch(&self, txids: &[Txid]) -> Result<BTreeMap<Txid, Waiting>, BackendError>;

    /// How many transactions of the mempool are followed at most.
    fn waiting_max(&self) -> usize;

    /// The transaction of the mempool that spends an output.
    async fn waiting_spender(&self, outpoint: OutPoint) -> Result<Option<Txid>, BackendError>;

    /// Whether a block spends an output, and which transaction of it, where that is known.
    async fn mined_spender(&self, outpoint: OutPoint)
    -> Result<Option<Option<Txid>>, BackendError>;

    /// What transactions of the mempool pay, with all that stands on them.
    async fn paid_by(&self, txids: &BTreeSet<Txid>) -> Result<Amount, BackendError>;
}
