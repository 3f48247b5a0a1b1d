//! Questions that change nothing.

use super::Chainstate;
use crate::backend::{BackendError, BlockId, BlockRef, Locator, Spend, TxOutWhere, TxWhere};
use crate::builtin::utxo::Coins;
use crate::sandbox::Totals;
use bitcoin::{Block, BlockHash, OutPoint, Txid};
use std::sync::Arc;

impl Chainstate {
    pub(crate) fn block_ref(&self, hash: BlockHash) -> Option<BlockRef> {
        self.tree.get(&hash).map(|node| node.at)
    }

    pub(crate) fn header_at(&self, height: u32) -> Option<BlockRef> {
        self.tree.at(height)
    }

    pub(crate) fn block(&mut self, hash: BlockHash) -> Result<Arc<Block>, BackendError> {
        let place = self.tree.get(&hash).ok_or(BackendError::NotFound)?.place;
        self.storage.block(hash, place).map_err(|error| BackendError::Storage(error.to_string()))
    }

    /// Where a reader left the best chain.
    pub(crate) fn fork_of(&self, locator: &Locator) -> Option<BlockRef> {
        if let Some(last) = self.block_ref(locator.tip().hash) {
            return Some(self.tree.fork(last, self.tree.tip()));
        }
        let common = locator.entries().iter().find(|entry| self.tree.is_active(**entry));
        common.and_then(|entry| self.block_ref(entry.hash))
    }

    /// The blocks a reader has that are not on the best chain, highest first.
    pub(crate) fn gone(&self, locator: &Locator, fork: BlockRef) -> Vec<BlockId> {
        match self.block_ref(locator.tip().hash) {
            Some(last) => self.tree.above(fork, last).iter().map(BlockRef::id).collect(),
            None => (locator.entries().iter().copied())
                .filter(|entry| entry.height > fork.height)
                .collect(),
        }
    }

    pub(crate) fn find_tx(&mut self, txid: Txid) -> Result<Option<TxWhere>, BackendError> {
        if let Some(entry) = self.mempool.get(&txid) {
            return Ok(Some(TxWhere { tx: Arc::clone(&entry.tx), confirmed: None }));
        }
        let Some(mined) = self.index.tx(&txid) else { return Ok(None) };
        let at = self.tree.at(mined.height).ok_or(BackendError::NotFound)?;
        let block = self.block(at.hash)?;
        let index = usize::try_from(mined.index).unwrap_or(usize::MAX);
        let tx = block.txdata.get(index).ok_or(BackendError::NotFound)?;
        Ok(Some(TxWhere { tx: Arc::new(tx.clone()), confirmed: Some((at, mined.index)) }))
    }

    pub(crate) fn find_txout(&self, outpoint: OutPoint) -> Option<TxOutWhere> {
        let mempool_spender = self.mempool.spender(&outpoint).copied();
        if let Some(coin) = self.index.get(&outpoint) {
            return Some(TxOutWhere {
                output: coin.output,
                height: Some(coin.height),
                coinbase: coin.coinbase,
                mempool_spender,
            });
        }
        let entry = self.mempool.get(&outpoint.txid)?;
        let output = entry.tx.output.get(usize::try_from(outpoint.vout).ok()?)?.clone();
        Some(TxOutWhere { output, height: None, coinbase: false, mempool_spender })
    }

    pub(crate) fn find_spender(
        &mut self,
        outpoint: OutPoint,
    ) -> Result<Option<Spend>, BackendError> {
        let spender = match self.index.spend(&outpoint) {
            Some((txid, _)) => txid,
            None => match self.mempool.spender(&outpoint) {
                Some(txid) => *txid,
                None => return Ok(None),
            },
        };
        let Some(found) = self.find_tx(spender)? else { return Ok(None) };
        let input = (0_u32..).zip(&found.tx.input).find(|(_, i)| i.previous_output == outpoint);
        let Some((input_index, _)) = input else { return Ok(None) };
        let block = found.confirmed.map(|(block, _)| block);
        Ok(Some(Spend { tx: found.tx, input_index, block }))
    }

    /// Sums over the best chain.
    pub(crate) fn totals(&self) -> Totals {
        let sums = self.index.sums();
        Totals {
            height: self.tip().height,
            transactions: sums.payments,
            fees_sat: sums.fees_sat,
            supply_sat: sums.supply_sat,
            coins: sums.coins,
            mempool_transactions: u64::try_from(self.mempool.len()).unwrap_or(u64::MAX),
        }
    }
}
