//! Sums over single blocks, for whoever draws them. Read once and remembered.

use super::Chainstate;
use crate::backend::{BackendError, BlockRef, FeeTable};
use crate::builtin::fee::{FeeMode, HISTORY_BLOCKS, Taken};
use crate::builtin::template::linearise;
use bitcoin::{BlockHash, Txid, Weight};
use std::collections::BTreeMap;

/// A block as heavy as this had no room for what waited, weight units.
const FULL_WU: u64 = 3_900_000;
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
            match self.sums_of(at) {
                Ok(sums) => all.push(sums),
                // What lies so far back may not be kept any more.
                Err(_) if !all.is_empty() => break,
                Err(error) => return Err(error),
            }
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

    /// What to pay, for the cautious.
    pub(crate) fn fee_table(&mut self) -> FeeTable {
        self.fee_table_by(FeeMode::Conservative)
    }

    /// What to pay, by what waits and what the last blocks took. A block that cannot be read teaches nothing.
    pub(crate) fn fee_table_by(&mut self, mode: FeeMode) -> FeeTable {
        let sums = self.block_sums(self.tip().height, HISTORY_BLOCKS).unwrap_or_default();
        let taken = |sums: &BlockSums| {
            self.fees.taken(sums.at.hash).unwrap_or_else(|| {
                // Made elsewhere, or before this process: what a full one took is known on average only.
                let average = sums.fees_sat.saturating_mul(4_000).checked_div(sums.paying_wu);
                let needed = average.filter(|_| sums.weight_wu >= FULL_WU).unwrap_or(0);
                Taken { needed_sat_kvb: needed, paid: sums.fees_sat > 0 }
            })
        };
        let past: Vec<Taken> = sums.iter().rev().map(taken).collect();
        self.fees.table(&self.mempool, &past, mode)
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
