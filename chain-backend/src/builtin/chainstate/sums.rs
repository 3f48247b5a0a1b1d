//! Sums over single blocks, for whoever draws them. Read once and remembered.

use super::Chainstate;
use crate::backend::{BackendError, BlockRef};
use crate::builtin::template::linearise;
use bitcoin::{BlockHash, Txid, Weight};
use std::collections::BTreeMap;

/// Blocks that are remembered.
const KEPT: usize = 4_096;

/// A block in figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSums {
    pub(crate) at: BlockRef,
    /// Transactions, the coinbase not counted.
    pub(crate) txs: u64,
    /// Of the whole block, weight units.
    pub(crate) weight_wu: u64,
    /// Of the transactions that pay, weight units.
    pub(crate) paying_wu: u64,
    /// What its miner took beside the new coins, satoshi.
    pub(crate) fees_sat: u64,
}

/// Transactions that a miner takes together.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    pub(crate) txids: Vec<Txid>,
    /// What they count for together, satoshi per 1000 virtual bytes.
    pub(crate) sat_kvb: u64,
    pub(crate) weight_wu: u64,
}

impl Chainstate {
    /// Figures of so many blocks of the best chain at most, from a height downwards.
    pub(crate) fn block_sums(
        &mut self,
        from: u32,
        count: usize,
    ) -> Result<Vec<BlockSums>, BackendError> {
        let mut all = Vec::new();
        let mut next = self.tree.at(from.min(self.tip().height));
        while let Some(at) = next.filter(|_| all.len() < count) {
            all.push(self.sums_of(at)?);
            next = at.height.checked_sub(1).and_then(|height| self.tree.at(height));
        }
        Ok(all)
    }

    fn sums_of(&mut self, at: BlockRef) -> Result<BlockSums, BackendError> {
        if let Some(sums) = self.sums.get(&at.hash) {
            return Ok(*sums);
        }
        let block = self.block(at.hash)?;
        let coinbase = block.coinbase().map_or(0, |tx| {
            tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        });
        let paying = block.txdata.iter().skip(1).map(|tx| tx.weight());
        let sums = BlockSums {
            at,
            txs: u64::try_from(block.txdata.len().saturating_sub(1)).unwrap_or(u64::MAX),
            weight_wu: block.weight().to_wu(),
            paying_wu: paying.fold(0_u64, |sum, weight: Weight| sum.saturating_add(weight.to_wu())),
            fees_sat: coinbase.saturating_sub(self.subsidy_sat(at.height)),
        };
        if self.sums.len() >= KEPT {
            self.sums.clear();
        }
        self.sums.insert(at.hash, sums);
        Ok(sums)
    }

    /// The mempool as a miner sees it, best first.
    pub(crate) fn chunks(&self) -> Vec<Together> {
        let chunks = linearise(&self.mempool).into_iter();
        chunks
            .map(|chunk| Together {
                sat_kvb: chunk.rate.sat_kvb(),
                weight_wu: chunk.weight_wu,
                txids: chunk.txids,
            })
            .collect()
    }
}

/// What is remembered of blocks.
pub(super) type Sums = BTreeMap<BlockHash, BlockSums>;
