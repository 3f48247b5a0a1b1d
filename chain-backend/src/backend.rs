//! What Viaduct asks of Layer 1: one ordered stream of blocks from a cursor, queries, broadcast and fees.
//!
//! The stream is the only thing money may depend on. It is ordered, has no gaps and delivers at least
//! once: a consumer stores its [`Locator`] in the same commit as the effects of an event, and after a
//! crash asks again from there.
//! Not here: which confirmations matter and what to hand in again (`daemon::layer1`, `watchtower::respond`),
//! the rules of the built-in chain (`crate::builtin`).

mod event;
mod locator;
mod submit;

use async_trait::async_trait;
use bitcoin::block::Header;
use bitcoin::{Block, BlockHash, Network, OutPoint, Transaction, TxOut, Txid};
use futures_util::stream::BoxStream;
use std::sync::Arc;

pub use event::{ChainEvent, MempoolDelta, RemovedBecause, Txs};
pub use locator::{Locator, LocatorError};
pub use submit::{FeeTable, Lock, Package, PackageError, SubmitOutcome};

/// The events of one subscription, in order.
pub type ChainStream = BoxStream<'static, Result<ChainEvent, BackendError>>;

/// A source of blocks, and a way to have transactions mined.
#[async_trait]
pub trait ChainBackend: Send + Sync + std::fmt::Debug {
    /// The network whose rules and genesis block this chain has.
    fn network(&self) -> Network;

    /// What this backend can answer.
    fn capabilities(&self) -> Capabilities;

    /// The last block of the best chain.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the backend cannot be reached.
    async fn tip(&self) -> Result<BlockRef, BackendError>;

    /// Everything that happened after `from`, then everything that happens.
    ///
    /// If `from` is off the best chain the first item disconnects to the fork. Each block comes whole,
    /// one at a time; a slow reader never loses one. The stream survives a backend that goes away and
    /// comes back: it says so ([`ChainEvent::Away`]) and goes on exactly where it was.
    ///
    /// # Errors
    /// [`BackendError::WrongChain`] when no block of `from` is known, not even its genesis.
    async fn events(&self, from: Locator, interest: Interest) -> Result<ChainStream, BackendError>;

    /// A block by its hash, on the best chain or off it.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] when the backend never saw it.
    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError>;

    /// The best chain's block at `height`.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] above the tip.
    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError>;

    /// Where a transaction is, if anywhere on the best chain or in the mempool.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]; a read error is never "nothing there".
    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError>;

    /// An unspent output of the best chain or of the mempool; `None` when it never was or is spent by a
    /// block (a spend that is only in the mempool is told in [`TxOutWhere::mempool_spender`]).
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]; a read error is never "nothing there".
    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError>;

    /// Who spends `outpoint`. `since_height` bounds the search where the backend has no spend index.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]; a read error is never "nothing there".
    async fn spender(
        &self,
        outpoint: OutPoint,
        since_height: u32,
    ) -> Result<Option<Spend>, BackendError>;

    /// Hands a package to the mempool. Handing in what is already there is success.
    async fn submit(
        &self,
        package: Package,
        feerate_max: Option<bitcoin::FeeRate>,
    ) -> SubmitOutcome;

    /// What [`ChainBackend::submit`] would answer, changing nothing.
    async fn test(&self, package: &Package) -> SubmitOutcome;

    /// Says that the consumer of this name has everything up to `height` for good: it never asks for those blocks again.
    /// A backend that drops old blocks keeps the others for it, for 30 days from the last time that it said so. Others keep
    /// what they keep, whoever reads.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the backend cannot be reached, or wants no more names.
    async fn reached(&self, _consumer: &str, _height: u32) -> Result<(), BackendError> {
        Ok(())
    }

    /// What the backend knows of fees now.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the backend cannot be reached.
    async fn fees(&self) -> Result<FeeTable, BackendError>;
}

/// What a backend can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It tells of transactions before they are mined.
    pub mempool: bool,
    /// It accepts a parent and its child together.
    pub packages: bool,
    /// It finds who spends an outpoint without scanning.
    pub spend_index: bool,
    /// Its blocks come whole, not filtered by [`Interest`].
    pub full_blocks: bool,
}

/// A block of some chain by place and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    /// Distance from the genesis block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// A block's header and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Distance from the genesis block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// Median time of this block and the ten before it, Unix seconds (BIP 113: what locks in the next
    /// block are measured against).
    pub mtp: u32,
}

impl BlockRef {
    /// Place and name alone.
    pub const fn id(&self) -> BlockId {
        BlockId { height: self.height, hash: self.hash }
    }
}

/// What a subscriber wants to hear of. A backend with [`Capabilities::full_blocks`] tells everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Interest {
    /// Every block whole, and the mempool.
    #[default]
    Everything,
    /// Blocks with at least the transactions that touch one of these.
    Only {
        /// Scripts paid to or spent from.
        scripts: Vec<bitcoin::ScriptBuf>,
        /// Outputs that may be spent.
        outpoints: Vec<OutPoint>,
        /// Transactions by name.
        txids: Vec<Txid>,
    },
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxWhere {
    /// The transaction.
    pub tx: Arc<Transaction>,
    /// Its block on the best chain and its index in it; `None` while only in the mempool.
    pub confirmed: Option<(BlockRef, u32)>,
}

/// An output that no block spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutWhere {
    /// Amount and script.
    pub output: TxOut,
    /// Height of its block; `None` while only in the mempool.
    pub height: Option<u32>,
    /// Whether a coinbase made it (spendable 100 blocks later).
    pub coinbase: bool,
    /// The mempool transaction that spends it, if one does.
    pub mempool_spender: Option<Txid>,
}

/// A spend of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The spending transaction.
    pub tx: Arc<Transaction>,
    /// Which of its inputs spends.
    pub input_index: u32,
    /// Its block on the best chain; `None` while only in the mempool.
    pub block: Option<BlockRef>,
}

/// Why the backend did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached or is overloaded; asking again later may work.
    #[error("the chain backend is unavailable: {0}")]
    Unavailable(String),
    /// It has no such block.
    #[error("no such block")]
    NotFound,
    /// It follows a chain with another genesis block.
    #[error("the chain backend follows another chain: none of the known blocks is on it")]
    WrongChain,
    /// It answered what cannot be true (a block with another hash, bytes that do not decode).
    #[error("the chain backend answered nonsense: {0}")]
    Lied(&'static str),
    /// Its own data cannot be read.
    #[error("the chain data cannot be read or written: {0}")]
    Storage(String),
}
