//! What the blocks of the best chain come to: its coins, where each transaction is, who spends each output. All of it
//! follows from the blocks and can be made again.
//!
//! It stands at one block at a time; [`Index::stand`] ends each step. On the disk it may be some blocks behind: a start
//! goes on from there (`chainstate::open`).

pub(crate) mod key;
mod reached;
mod rows;
mod scripts;
pub(crate) mod shelf;
mod writer;

use crate::backend::BlockRef;
use crate::builtin::storage::{Ends, StorageError};
use crate::builtin::utxo::{Coin, Coins, Undo, spendable};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid};
use key::{Mined, Seen};
use rows::Rows;
use shelf::Shelf;
use std::ops::Bound;
use store::engine::{Breakage, Engine, EngineError, Order};
use writer::Writer;

pub(crate) use reached::{Reached, Sums, Towards};
pub(crate) use scripts::{ScriptHash, ScriptSums, script_hash, touches};

/// Blocks that may be ahead of the disk: a start has to connect them again.
const STEPS_MAX: u32 = 1_000;
/// Rows that are read at once.
const PAGE_ROWS: usize = 1_024;

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    rows: Rows,
    /// Where it stands in memory.
    now: Reached,
    /// Where the last group that was handed over ends.
    handed: Reached,
    /// Blocks connected or taken back since.
    steps: u32,
    /// A group is handed over when it takes this much, bytes.
    group_bytes_max: usize,
}

impl Index {
    /// Only in memory.
    pub(crate) fn memory(now: Reached) -> Self {
        Self::of(Rows::memory(), now, usize::MAX)
    }

    /// Behind the chain, on a thread of its own. Takes about `cache_bytes` of memory.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn behind(
        shelf: Box<dyn Shelf>,
        now: Reached,
        cache_bytes: usize,
    ) -> std::io::Result<Self> {
        let engine = shelf.reader();
        let rows = Rows::over(engine, Writer::thread(shelf)?);
        // The open group and those that wait.
        Ok(Self::of(rows, now, cache_bytes >> 2))
    }

    /// With every group written before the next step.
    #[cfg(test)]
    pub(crate) fn at_once(shelf: Box<dyn Shelf>, now: Reached, cache_bytes: usize) -> Self {
        let engine = shelf.reader();
        Self::of(Rows::over(engine, Writer::here(shelf)), now, cache_bytes >> 2)
    }

    const fn of(rows: Rows, reached: Reached, group_bytes_max: usize) -> Self {
        let now = Reached { towards: None, ..reached };
        Self { rows, now, handed: now, steps: 0, group_bytes_max }
    }

    /// Whether all that was read and written is to be believed. Whoever acts on what he read asks first.
    pub(crate) fn whole(&self) -> Result<(), StorageError> {
        match self.rows.fault() {
            None => Ok(()),
            Some(fault) => Err(StorageError::Index(fault.to_string())),
        }
    }

    /// Where a transaction is.
    pub(crate) fn tx(&self, txid: &Txid) -> Option<Mined> {
        Mined::decode(&self.rows.get(&key::tx(txid))?)
    }

    /// Who spends an output, and at which height.
    pub(crate) fn spend(&self, outpoint: &OutPoint) -> Option<(Txid, u32)> {
        key::spender(&self.rows.get(&key::spend(outpoint))?)
    }

    /// Shows every coin, by outpoint.
    pub(crate) fn visit_coins(&self, visitor: &mut dyn FnMut(&OutPoint, &Coin)) {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.rows.page(&[key::COIN], after.as_deref(), PAGE_ROWS);
            for (key, value) in &rows {
                if let (Some(outpoint), Some(coin)) = (key::outpoint(key), Coin::decode(value)) {
                    visitor(&outpoint, &coin);
                }
            }
            match rows.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return,
            }
        }
    }

    /// Sums over the best chain.
    pub(crate) const fn sums(&self) -> Sums {
        self.now.sums
    }

    /// Notes a block that was written to the files.
    pub(crate) fn note(&mut self, at: &BlockRef, seen: &Seen) {
        if self.rows.are_kept() {
            self.rows.put(key::header(&at.hash), seen.encode(at));
        }
    }

    /// The best chain grew by a block, which spends these coins.
    pub(crate) fn connect(&mut self, block: &Block, height: u32, undo: &Undo) {
        for (index, tx, coins) in undo.with(block) {
            let txid = tx.compute_txid();
            self.rows.put_new(key::tx(&txid), Mined { height, index }.encode());
            for (input, coin) in tx.input.iter().zip(coins) {
                let outpoint = &input.previous_output;
                self.rows.remove(key::coin(outpoint));
                self.rows.put_new(key::spend(outpoint), key::spent_by(&txid, height));
                self.now.sums.lose(coin);
            }
            for (outpoint, coin) in made(tx, txid, height) {
                self.rows.put_new(key::coin(&outpoint), coin.encode());
                self.now.sums.gain(&coin);
            }
            self.now.sums.count(tx, coins, true);
        }
        self.connect_scripts(block, height, undo);
    }

    /// The best chain lost its last block, which spent these coins.
    pub(crate) fn disconnect(&mut self, block: &Block, height: u32, undo: &Undo) {
        self.disconnect_scripts(block, height, undo);
        // Backwards, since a transaction may spend what an earlier one made.
        for (_, tx, coins) in undo.with(block).rev() {
            let txid = tx.compute_txid();
            for (outpoint, coin) in made(tx, txid, height) {
                self.rows.remove(key::coin(&outpoint));
                self.now.sums.lose(&coin);
            }
            for (input, coin) in tx.input.iter().zip(coins) {
                let outpoint = &input.previous_output;
                self.rows.put(key::coin(outpoint), coin.encode());
                self.rows.remove(key::spend(outpoint));
                self.now.sums.gain(coin);
            }
            self.rows.remove(key::tx(&txid));
            self.now.sums.count(tx, coins, false);
        }
    }

    /// A step is done: the best chain ends with `tip`, and the files go as far as `ends`.
    pub(crate) fn stand(&mut self, tip: BlockHash, ends: Ends) {
        (self.now.tip, self.now.ends) = (tip, ends);
        self.steps = self.steps.saturating_add(1);
        if self.rows.weight() >= self.group_bytes_max || self.steps >= STEPS_MAX {
            self.hand_over();
        }
        self.rows.settle(usize::MAX);
    }

    fn hand_over(&mut self) {
        let towards = Towards { tip: self.now.tip, scripts: self.now.scripts };
        let under_way = Reached { towards: Some(towards), ..self.handed };
        self.rows.close_group(under_way.encode(), self.now.encode());
        self.handed = self.now;
        self.steps = 0;
    }

    /// As [`Index::stand`] and [`Index::flush`] at once, with the files as far as they were known.
    pub(crate) fn flush_at(&mut self, tip: BlockHash) -> Result<(), StorageError> {
        self.now.tip = tip;
        self.flush()
    }

    /// Hands everything to the engine, and waits for it.
    pub(crate) fn flush(&mut self) -> Result<(), StorageError> {
        self.hand_over();
        self.rows.settle(0);
        self.whole()
    }

    /// Makes everything durable; nothing can be changed afterwards. A chain so short that nothing of it was ever handed
    /// over needs no index at the next start either.
    pub(crate) fn close(&mut self) -> Result<(), StorageError> {
        if self.handed.ends != Ends::default() {
            self.flush()?;
        }
        self.rows.close();
        self.whole()
    }

    /// All rows behind the key `after`, in their order, some at a time; empty at the end.
    pub(crate) fn rows_after(&self, after: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.rows.page(&[], after, PAGE_ROWS)
    }
}

impl Coins for Index {
    fn get(&self, outpoint: &OutPoint) -> Option<Coin> {
        Coin::decode(&self.rows.get(&key::coin(outpoint))?)
    }
}

/// The key under which the index says how far it has come.
pub(crate) fn reached_key() -> Vec<u8> {
    key::reached()
}

/// All blocks that an engine has seen, in no order.
pub(crate) fn read_seen(engine: &dyn Engine) -> Result<Vec<Seen>, EngineError> {
    let (mut seen, end) = (Vec::new(), [key::HEADER.saturating_add(1)]);
    let mut from = Bound::Included(vec![key::HEADER]);
    loop {
        let bounds = (from.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        let rows = engine.range(bounds, Order::Ascending, PAGE_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok(seen) };
        from = Bound::Excluded(last.clone());
        for (_, value) in &rows {
            seen.push(Seen::decode(value).ok_or(EngineError::Broken(Breakage::Corrupt))?);
        }
    }
}

impl Reached {
    /// Where an engine says it stands; `None` if it is empty or of another layout.
    pub(crate) fn read(engine: &dyn Engine) -> Result<Option<Self>, EngineError> {
        Ok(engine.get(&key::reached())?.as_deref().and_then(Self::decode))
    }
}

/// The coins that a transaction makes.
fn made(tx: &Transaction, txid: Txid, height: u32) -> impl Iterator<Item = (OutPoint, Coin)> {
    let coinbase = tx.is_coinbase();
    let outputs = (0_u32..).zip(&tx.output).filter(|(_, output)| spendable(output));
    outputs.map(move |(vout, output)| {
        (OutPoint::new(txid, vout), Coin { output: output.clone(), height, coinbase })
    })
}

impl Sums {
    fn gain(&mut self, coin: &Coin) {
        self.coins = self.coins.saturating_add(1);
        self.supply_sat = self.supply_sat.saturating_add(coin.output.value.to_sat());
    }

    fn lose(&mut self, coin: &Coin) {
        self.coins = self.coins.saturating_sub(1);
        self.supply_sat = self.supply_sat.saturating_sub(coin.output.value.to_sat());
    }

    /// Counts a transaction, or takes that back.
    fn count(&mut self, tx: &Transaction, coins: &[Coin], forwards: bool) {
        if tx.is_coinbase() {
            return;
        }
        let value = |sats: &mut dyn Iterator<Item = u64>| sats.fold(0, u64::saturating_add);
        let paid = value(&mut coins.iter().map(|coin| coin.output.value.to_sat()));
        let fee = paid.saturating_sub(value(&mut tx.output.iter().map(|out| out.value.to_sat())));
        if forwards {
            self.payments = self.payments.saturating_add(1);
            self.fees_sat = self.fees_sat.saturating_add(fee);
        } else {
            self.payments = self.payments.saturating_sub(1);
            self.fees_sat = self.fees_sat.saturating_sub(fee);
        }
    }
}
