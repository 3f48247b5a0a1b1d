//! A chain that can only be read: it finds no transaction in a block by its name, and nobody who spends an output, as
//! Bitcoin Core does without `txindex`.

use async_trait::async_trait;
use bitcoin::{Block, BlockHash, FeeRate, Network, OutPoint, Txid};
use chain_backend::{
    BackendError, BlockRef, BuiltinChain, Capabilities, ChainBackend, ChainStream, FeeTable,
    Interest, Locator, Package, Spend, SubmitOutcome, TxOutWhere, TxWhere,
};
use std::sync::Arc;

/// The built-in chain without its indexes.
#[derive(Clone, Debug)]
pub struct Bare(pub BuiltinChain);

#[async_trait]
impl ChainBackend for Bare {
    fn network(&self) -> Network {
        self.0.network()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { spend_index: false, ..self.0.capabilities() }
    }

    async fn tip(&self) -> Result<BlockRef, BackendError> {
        self.0.tip().await
    }

    async fn events(&self, from: Locator, interest: Interest) -> Result<ChainStream, BackendError> {
        self.0.events(from, interest).await
    }

    async fn block(&self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        self.0.block(hash).await
    }

    async fn header_at(&self, height: u32) -> Result<BlockRef, BackendError> {
        self.0.header_at(height).await
    }

    async fn tx(&self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        Ok(self.0.tx(txid).await?.filter(|found| found.confirmed.is_none()))
    }

    async fn txout(&self, outpoint: OutPoint) -> Result<Option<TxOutWhere>, BackendError> {
        self.0.txout(outpoint).await
    }

    async fn spender(&self, _: OutPoint, _: u32) -> Result<Option<Spend>, BackendError> {
        Err(BackendError::Unavailable("who spends an output is not known here".to_owned()))
    }

    async fn submit(&self, package: Package, max: Option<FeeRate>) -> SubmitOutcome {
        self.0.submit(package, max).await
    }

    async fn test(&self, package: &Package) -> SubmitOutcome {
        self.0.test(package).await
    }

    async fn fees(&self) -> Result<FeeTable, BackendError> {
        self.0.fees().await
    }
}
