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
    /// What each block's transactions paid, by height from 1 on, satoshi.
    fees_sat: Vec<u64>,
    /// Transactions in blocks, coinbases not counted.
    payments: u64,
}

impl Index {
    pub(crate) fn tx(&self, txid: &Txid) -> Option<Mined> {
        self.txs.get(txid).copied()
    }

    pub(crate) fn spend(&self, outpoint: &OutPoint) -> Option<(Txid, u32)> {
        self.spends.get(outpoint).copied()
    }

    /// Transactions in blocks but coinbases, and what they paid together, satoshi.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.payments, self.fees_sat.iter().fold(0, |sum, fees| sum.saturating_add(*fees)))
    }

    pub(crate) fn connect(&mut self, block: &Block, height: u32, fees_sat: u64) {
        self.fees_sat.push(fees_sat);
        self.payments = self.payments.saturating_add(payments(block));
        for (index, tx) in (0_u32..).zip(&block.txdata) {
            let txid = tx.compute_txid();
            self.txs.insert(txid, Mined { height, index });
            for (vin, input) in (0_u32..).zip(&tx.input) {
                self.spends.insert(input.previous_output, (txid, vin));
            }
        }
    }

    pub(crate) fn disconnect(&mut self, block: &Block) {
        self.fees_sat.pop();
        self.payments = self.payments.saturating_sub(payments(block));
        for tx in &block.txdata {
            self.txs.remove(&tx.compute_txid());
            for input in &tx.input {
                self.spends.remove(&input.previous_output);
            }
        }
    }
}

fn payments(block: &Block) -> u64 {
    u64::try_from(block.txdata.len().saturating_sub(1)).unwrap_or(u64::MAX)
}
