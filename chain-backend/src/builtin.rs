//! The built-in chain: Bitcoin's rules on the parameters of regtest or of a signet of one's own, in this process.
//!
//! One thread owns the chain; a [`BuiltinChain`] is a handle to it, cheap to clone. Nothing is shared and
//! nothing is locked.
//! Not here: the same chain behind a socket (`crate::server`, `crate::remote`).

mod actor;
mod chainstate;
mod control;
mod fee;
mod log;
mod mempool;
mod mine;
mod params;
mod policy;
mod reader;
mod reject;
mod signet;
mod storage;
mod template;
mod tree;
mod utxo;
mod verify;

use crate::backend::{
    BackendError, BlockRef, Capabilities, ChainBackend, ChainStream, FeeTable, Interest, Locator,
    Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use actor::Actor;
use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, Network, OutPoint, Txid};
use futures_util::StreamExt;
use reader::Cursor;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use chainstate::{BlockOutcome, ChainError, Options, ReaderPlace};
pub(crate) use chainstate::{
    BlockSums, Chainstate, ScriptHash, ScriptSums, Standing, Together, Waiting, Whole, script_hash,
};
pub use fee::{FeeMode, FeeReplay, FeeReplayError, FeeStep};
pub(crate) use mempool::{Fate, Favoured};
pub(crate) use mine::witness_commitment;
pub(crate) use params::MONEY_MAX;
pub use policy::standard::dust_limit_sat;
pub use policy::{Policy, Profile};
pub use reject::{PackageRbf, Reject, ScriptFault};
pub use signet::{Rules, Signet, SignetError};
pub use storage::StorageError;
pub(crate) use utxo::Coin;

/// A handle to a running chain. The chain stops when the last handle is gone.
#[derive(Clone, Debug)]
pub struct BuiltinChain {
    actor: Actor,
    network: Network,
}

impl BuiltinChain {
    /// Opens the chain in `options.dir`, or an empty one in memory, and starts its thread. Reads the whole
    /// directory: a second for some ten thousand blocks.
    ///
    /// # Errors
    /// [`ChainError::Storage`] when the directory is locked, damaged or not readable.
    pub fn open(options: &Options) -> Result<Self, ChainError> {
        let state = Chainstate::open(options)?;
        let network = state.params().network;
        Ok(Self { actor: Actor::start(state)?, network })
    }

    /// An empty chain in memory with this clock (Unix seconds).
    ///
    /// # Errors
    /// [`ChainError::Thread`] when the system gives no thread.
    pub fn in_memory(now: fn() -> u32) -> Result<Self, ChainError> {
        Self::open(&Options::memory(now))
    }

    /// Keeps the mempool for the next start and stops; returns when the directory is free again.
    pub async fn stop(&self) {
        self.actor.stop(true).await;
    }

    /// Stops at once and keeps nothing that is not on the disk already, as a crash would.
    pub async fn abandon(&self) {
        self.actor.stop(false).await;
    }

    /// Waits until the chain ends because its index cannot be read or written, and says why; for ever if that never
    /// happens. What was told before holds: the next start finds it in the blocks.
    pub async fn failure(&self) -> String {
        self.actor.failure().await
    }

    /// As [`ChainBackend::submit`], but answers the broken rule itself.
    ///
    /// # Errors
    /// [`ChainError::Rejected`] with Bitcoin Core's word.
    pub async fn accept(&self, package: Package) -> Result<(), ChainError> {
        Ok(self.actor.call(move |chain| chain.submit(&package, None)).await??)
    }

    /// Keeps the blocks above `height` for the reader of this name, over restarts, until it says a greater one or
    /// nothing for 30 days: pruning leaves them. At most 256 readers, names of at most 64 letters.
    ///
    /// # Errors
    /// [`ChainError::ReaderName`], [`ChainError::Storage`].
    pub async fn keep_reader(&self, name: String, height: u32) -> Result<(), ChainError> {
        self.actor.call(move |chain| chain.keep_reader(&name, height)).await?
    }

    /// Keeps nothing for that reader any more; answers whether it was known.
    ///
    /// # Errors
    /// [`ChainError::Storage`].
    pub async fn forget_reader(&self, name: String) -> Result<bool, ChainError> {
        self.actor.call(move |chain| chain.forget_reader(&name)).await?
    }

    /// The readers that are kept, and what each said last.
    ///
    /// # Errors
    /// [`ChainError::Stopped`].
    pub async fn readers(&self) -> Result<BTreeMap<String, ReaderPlace>, ChainError> {
        self.actor.call(|chain| chain.readers()).await
    }

    /// Drops the files whose blocks are all at `height` or below. Whoever asks for such a block hears an error then.
    ///
    /// # Errors
    /// [`ChainError::Needed`] for blocks that a reader or a reorganisation may need; [`ChainError::Storage`].
    pub async fn prune(&self, height: u32) -> Result<(), ChainError> {
        self.actor.call(move |chain| chain.prune(height)).await?
    }

    /// Answers these fee estimates from now on, by target; an empty table ends that.
    ///
    /// # Errors
    /// [`ChainError::Stopped`].
    pub async fn fix_fees(
        &self,
        targets: BTreeMap<u16, Option<FeeRate>>,
    ) -> Result<(), ChainError> {
        self.actor.call(move |chain| chain.fix_fees(targets)).await
    }

    /// Asks the chain's thread anything.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Chainstate) -> T + Send + 'static,
    ) -> Result<T, BackendError> {
        self.actor
            .call(question)
            .await
            .map_err(|error| BackendError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl ChainBackend for BuiltinChain {
    fn network(&self) -> Network {
        self.network
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { mempool: true, packages: true, spend_index: true, full_blocks: true }
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        self.ask(|chain| chain.tip()).await
    }

    async fn events(&self, from: Locator, _: Interest) -> Result<ChainStream, BackendError> {
        let locator = from.clone();
        let known = self.ask(move |chain| chain.fork_of(&locator).is_some()).await?;
        if !known {
            return Err(BackendError::WrongChain);
        }
        let cursor = Cursor { locator: from, next: None };
        let start = (self.actor.clone(), Some(cursor), VecDeque::new());
        let stream = futures_util::stream::unfold(start, |(actor, cursor, mut ready)| async move {
            if let Some(event) = ready.pop_front() {
                return Some((Ok(event), (actor, cursor, ready)));
            }
            match actor.next(cursor?).await {
                Ok((events, cursor)) => {
                    ready.extend(events);
                    let event = ready.pop_front()?;
                    Some((Ok(event), (actor, Some(cursor), ready)))
                }
                // Said once; then the stream ends.
                Err(error) => Some((Err(error), (actor, None, ready))),
            }
        });
        Ok(stream.boxed())
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        self.ask(move |chain| chain.block(hash)).await?
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        self.ask(move |chain| chain.header_at(height)).await?.ok_or(BackendError::NotFound)
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        self.ask(move |chain| chain.find_tx(txid)).await?
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        self.ask(move |chain| chain.find_txout(outpoint)).await
    }

    async fn spender(
        &self,
        outpoint: OutPoint,
        _since_height: u32,
    ) -> Result<Option<Spend>, BackendError> {
        self.ask(move |chain| chain.find_spender(outpoint)).await?
    }

    async fn submit(&self, package: Package, feerate_max: Option<FeeRate>) -> SubmitOutcome {
        let answer = self.ask(move |chain| {
            let result = chain.submit(&package, feerate_max);
            chain.outcome(&package, feerate_max, result)
        });
        answer.await.unwrap_or(SubmitOutcome::Unavailable)
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        let package = package.clone();
        let answer = self.ask(move |chain| chain.outcome(&package, None, chain.test(&package)));
        answer.await.unwrap_or(SubmitOutcome::Unavailable)
    }

    async fn reached(&self, consumer: &str, height: u32) -> Result<(), BackendError> {
        let consumer = consumer.to_owned();
        let kept = self.ask(move |chain| chain.keep_reader(&consumer, height)).await?;
        kept.map_err(|error| BackendError::Unavailable(error.to_string()))
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        self.ask(|chain| chain.fee_table()).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
