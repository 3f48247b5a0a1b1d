//! Where each confirmed transaction is, and who spends each output. Made again at every start.

use bitcoin::{Block, OutPoint, Txid};
use std::collections::HashMap;

/// A transaction's place on the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mined {
    pub(crate) height: u32,
    /// Its index in the block.
    pub(crate) index: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    txs: HashMap<Txid, Mined>,
    /// The spending transaction and which of its inputs.
    spends: HashMap<OutPoint, (Txid, u32)>,
}

impl Index {
    pub(crate) fn tx(&self, txid: &Txid) -> Option<Mined> {
        self.txs.get(txid).copied()
    }

    pub(crate) fn spend(&self, outpoint: &OutPoint) -> Option<(Txid, u32)> {
        self.spends.get(outpoint).copied()
    }

    pub(crate) fn connect(&mut self, block: &Block, height: u32) {
        for (index, tx) in (0_u32..).zip(&block.txdata) {
            let txid = tx.compute_txid();
            self.txs.insert(txid, Mined { height, index });
            for (vin, input) in (0_u32..).zip(&tx.input) {
                self.spends.insert(input.previous_output, (txid, vin));
            }
        }
    }

    pub(crate) fn disconnect(&mut self, block: &Block) {
        for tx in &block.txdata {
            self.txs.remove(&tx.compute_txid());
            for input in &tx.input {
                self.spends.remove(&input.previous_output);
            }
        }
    }
}
