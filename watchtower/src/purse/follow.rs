//! The wallet follows the chain: blocks that come and go, the mempool.

use bdk_wallet::Update;
use bdk_wallet::chain::{BlockId, CheckPoint, Indexer as _};
use bitcoin::{Block, BlockHash, Transaction, Txid};

use super::{Purse, PurseError};

impl Purse {
    /// The block from which the first coin can come.
    pub(super) fn begin(&mut self, tip: Option<BlockId>) -> Result<(), PurseError> {
        let Some(tip) = tip.filter(|tip| tip.height > 0) else { return Ok(()) };
        let genesis = self.bdk.latest_checkpoint();
        let does_not_connect = || PurseError::DoesNotConnect { height: tip.height };
        if genesis.height() > 0 {
            return Ok(());
        }
        let chain = CheckPoint::from_block_ids([genesis.block_id(), tip])
            .map_err(|_| does_not_connect())?;
        let update = Update { chain: Some(chain), ..Update::default() };
        self.bdk.apply_update(update).map_err(|_| does_not_connect())
    }

    /// Blocks that it knows, the newest first: from the first of them that is still on the chain on it has
    /// to be told again ([`Self::goes_on_from`]).
    pub fn known(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.bdk.checkpoints().map(|point| point.block_id())
    }

    /// Blocks above this one, which it knows, never happened.
    pub fn goes_on_from(&mut self, block: BlockId) {
        let tip = self.bdk.latest_checkpoint().height();
        self.fork = (block.height < tip).then_some(block);
    }

    /// Takes the next block. One that it knows changes nothing.
    ///
    /// # Errors
    /// [`PurseError::DoesNotConnect`] if one is missing in between; [`PurseError::File`].
    pub fn connected(&mut self, block: &Block, height: u32) -> Result<(), PurseError> {
        if !self.is_used() || height == 0 {
            return Ok(());
        }
        let hash = block.block_hash();
        let tip = self.bdk.latest_checkpoint();
        if tip.get(height).is_some_and(|known| known.hash() == hash) {
            self.goes_on_from(BlockId { height, hash });
            return Ok(());
        }
        let before = self.fork.unwrap_or_else(|| tip.block_id());
        let follows =
            height == before.height.saturating_add(1) && block.header.prev_blockhash == before.hash;
        if !follows {
            return Err(PurseError::DoesNotConnect { height });
        }
        self.bdk
            .apply_block_connected_to(block, height, before)
            .map_err(|_| PurseError::DoesNotConnect { height })?;
        self.fork = None;
        self.keep_if_new()
    }

    /// Blocks above this one never happened.
    pub fn disconnected(&mut self, height: u32, hash: BlockHash) {
        if self.bdk.latest_checkpoint().get(height).is_some_and(|known| known.hash() == hash) {
            self.goes_on_from(BlockId { height, hash });
        }
    }

    /// A transaction that is in the mempool.
    pub fn seen(&mut self, tx: &Transaction) {
        if self.is_used() && self.bdk.spk_index().is_tx_relevant(tx) {
            let at = self.now();
            self.bdk.apply_unconfirmed_txs([(tx.clone(), at)]);
        }
    }

    /// Forgets a transaction of ours that no block can have any more, so that its coins are free.
    ///
    /// # Errors
    /// [`PurseError::File`].
    pub fn forget(&mut self, txid: Txid) -> Result<(), PurseError> {
        let known = self.bdk.get_tx(txid).map(|tx| super::height(&tx.chain_position));
        match known {
            None => Ok(()),
            Some(Some(height)) if self.stands(height) => Ok(()),
            Some(Some(_) | None) => self.begin_without(txid),
        }
    }

    /// A transaction that left it without a block. One that spends our coins may still find one, so its coins
    /// are not spent again.
    pub fn gone(&mut self, txid: Txid) {
        let known = self.bdk.get_tx(txid).map(|tx| tx.tx_node.tx);
        if known.is_some_and(|tx| !self.spends_ours(&tx)) {
            let at = self.now().saturating_add(1);
            self.bdk.apply_evicted_txs([(txid, at)]);
        }
    }
}
