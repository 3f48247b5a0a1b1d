//! Which transactions pay or spend a script: an index that is made when somebody first asks, and then follows.
//!
//! It is made from blocks and their undo data, so nothing of it must survive; whoever never asks never pays for it.

use super::Chainstate;
use crate::backend::{BackendError, BlockRef};
use crate::builtin::utxo::{Coin, Undo};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Block, BlockHash, OutPoint, Script, Transaction, TxOut, Txid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a script is found by: SHA-256 of its bytes, as Electrum and Esplora have it.
pub(crate) type ScriptHash = sha256::Hash;

/// A place on the best chain: height, and which of the block's transactions.
type Place = (u32, u32);

/// A transaction with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) tx: Arc<Transaction>,
    /// Its block on the best chain; `None` while it waits.
    pub(crate) block: Option<BlockRef>,
    /// The outputs that its inputs spend, in their order; empty for a coinbase.
    pub(crate) spent: Vec<TxOut>,
}

/// What a script got and gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptSums {
    /// Transactions that pay or spend it.
    pub(crate) txs: u64,
    pub(crate) funded: u64,
    pub(crate) funded_sat: u64,
    pub(crate) spent: u64,
    pub(crate) spent_sat: u64,
}

/// An output of a script that nobody has spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unspent {
    pub(crate) outpoint: OutPoint,
    pub(crate) sat: u64,
    /// Its block; `None` while it waits.
    pub(crate) block: Option<BlockRef>,
}

/// What one transaction does to a script.
#[derive(Clone, Debug, Default)]
struct Touch {
    funded: Vec<(OutPoint, u64)>,
    spent: Vec<(OutPoint, u64, u32)>,
}

/// The index, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// The blocks it has, from height 1 on.
    blocks: Vec<BlockHash>,
    history: BTreeSet<(ScriptHash, Place)>,
    /// Height and satoshi.
    unspent: BTreeMap<(ScriptHash, OutPoint), (u32, u64)>,
    sums: BTreeMap<ScriptHash, ScriptSums>,
    /// What each transaction of the mempool touches.
    waiting: BTreeMap<Txid, BTreeSet<ScriptHash>>,
}

/// What a script is found by.
pub(crate) fn script_hash(script: &Script) -> ScriptHash {
    sha256::Hash::hash(script.as_bytes())
}

/// What a transaction does to each script. `spent` are height and output of what its inputs spend.
fn touches(tx: &Transaction, spent: &[(u32, TxOut)]) -> BTreeMap<ScriptHash, Touch> {
    let mut touches: BTreeMap<ScriptHash, Touch> = BTreeMap::new();
    let txid = tx.compute_txid();
    for (vout, output) in (0_u32..).zip(&tx.output) {
        if !output.script_pubkey.is_op_return() {
            let touch = touches.entry(script_hash(&output.script_pubkey)).or_default();
            touch.funded.push((OutPoint { txid, vout }, output.value.to_sat()));
        }
    }
    for (input, (height, output)) in tx.input.iter().zip(spent) {
        let touch = touches.entry(script_hash(&output.script_pubkey)).or_default();
        touch.spent.push((input.previous_output, output.value.to_sat(), *height));
    }
    touches
}

impl ScriptSums {
    fn add(&mut self, touch: &Touch) {
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        self.txs = self.txs.saturating_add(1);
        self.funded = self.funded.saturating_add(count(touch.funded.len()));
        self.spent = self.spent.saturating_add(count(touch.spent.len()));
        for (_, sat) in &touch.funded {
            self.funded_sat = self.funded_sat.saturating_add(*sat);
        }
        for (_, sat, _) in &touch.spent {
            self.spent_sat = self.spent_sat.saturating_add(*sat);
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            txs: self.txs.saturating_sub(other.txs),
            funded: self.funded.saturating_sub(other.funded),
            funded_sat: self.funded_sat.saturating_sub(other.funded_sat),
            spent: self.spent.saturating_sub(other.spent),
            spent_sat: self.spent_sat.saturating_sub(other.spent_sat),
        }
    }
}

impl Scripts {
    fn connect(&mut self, block: &Block, height: u32, undo: &Undo) {
        for (index, touches) in touched(block, undo) {
            for (script, touch) in touches {
                self.history.insert((script, (height, index)));
                self.sums.entry(script).or_default().add(&touch);
                for (outpoint, sat) in touch.funded {
                    self.unspent.insert((script, outpoint), (height, sat));
                }
                for (outpoint, ..) in touch.spent {
                    self.unspent.remove(&(script, outpoint));
                }
            }
        }
        self.blocks.push(block.block_hash());
    }

    fn disconnect(&mut self, block: &Block, height: u32, undo: &Undo) {
        for (index, touches) in touched(block, undo).into_iter().rev() {
            for (script, touch) in touches {
                self.history.remove(&(script, (height, index)));
                let mut gone = ScriptSums::default();
                gone.add(&touch);
                let left = self.sums.get(&script).copied().unwrap_or_default().without(gone);
                if left == ScriptSums::default() {
                    self.sums.remove(&script);
                } else {
                    self.sums.insert(script, left);
                }
                for (outpoint, sat, made) in touch.spent {
                    self.unspent.insert((script, outpoint), (made, sat));
                }
                for (outpoint, _) in touch.funded {
                    self.unspent.remove(&(script, outpoint));
                }
            }
        }
        self.blocks.pop();
    }
}

/// What each transaction of a block touches, with its place.
fn touched(block: &Block, undo: &Undo) -> Vec<(u32, BTreeMap<ScriptHash, Touch>)> {
    let none: Vec<Coin> = Vec::new();
    // The coinbase spends nothing.
    let spent = std::iter::once(&none).chain(&undo.txs);
    let txs = (0_u32..).zip(block.txdata.iter().zip(spent));
    let one = |(index, (tx, coins)): (u32, (&Transaction, &Vec<Coin>))| {
        let coins = coins.iter().map(|coin| (coin.height, coin.output.clone()));
        (index, touches(tx, &coins.collect::<Vec<_>>()))
    };
    txs.map(one).collect()
}

impl Chainstate {
    /// Brings the index nearer to the tip, by so many blocks at most; answers whether it is there.
    pub(crate) fn follow_scripts(&mut self, blocks_max: usize) -> Result<bool, BackendError> {
        let mut scripts = std::mem::take(&mut self.scripts);
        let followed = self.bring(&mut scripts, blocks_max);
        self.scripts = scripts;
        followed
    }

    fn bring(&mut self, scripts: &mut Scripts, blocks_max: usize) -> Result<bool, BackendError> {
        for _ in 0..blocks_max {
            let height = u32::try_from(scripts.blocks.len()).unwrap_or(u32::MAX);
            let active = |hash| self.tree.at(height).is_some_and(|block| block.hash == hash);
            match scripts.blocks.last().copied().filter(|last| !active(*last)) {
                Some(last) => {
                    let (block, undo) = (self.block(last)?, self.undo_of(last)?);
                    scripts.disconnect(&block, height, &undo);
                }
                None => {
                    let next = height.checked_add(1).and_then(|height| self.tree.at(height));
                    let Some(next) = next else { return Ok(true) };
                    let (block, undo) = (self.block(next.hash)?, self.undo_of(next.hash)?);
                    scripts.connect(&block, next.height, &undo);
                }
            }
        }
        Ok(false)
    }

    fn undo_of(&self, hash: BlockHash) -> Result<Undo, BackendError> {
        self.storage.undo(hash).map_err(|error| BackendError::Storage(error.to_string()))
    }

    /// A transaction with what it spends.
    pub(crate) fn whole(&mut self, txid: Txid) -> Result<Option<Whole>, BackendError> {
        let Some(found) = self.find_tx(txid)? else { return Ok(None) };
        let block = found.confirmed.map(|(block, _)| block);
        let spent = match found.confirmed {
            Some((block, index)) => {
                let undo = self.undo_of(block.hash)?;
                // The coinbase spends nothing.
                let place = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
                let coins = place.and_then(|place| undo.txs.get(place));
                coins.into_iter().flatten().map(|coin| coin.output.clone()).collect()
            }
            None => self.spent_by(&found.tx)?.unwrap_or_default(),
        };
        Ok(Some(Whole { tx: found.tx, block, spent }))
    }

    /// Transactions of a block from a place on, so many at most, with what they spend.
    pub(crate) fn wholes_of(
        &mut self,
        hash: BlockHash,
        from: usize,
        count: usize,
    ) -> Result<Vec<Whole>, BackendError> {
        let block = self.block(hash)?;
        let at = self.block_ref(hash).filter(|at| self.tree.is_active(at.id()));
        // A block that never was on the best chain has none.
        let undo = self.undo_of(hash).unwrap_or_default();
        let txs = block.txdata.iter().enumerate().skip(from).take(count);
        let one = |(place, tx): (usize, &Transaction)| {
            let coins = place.checked_sub(1).and_then(|place| undo.txs.get(place));
            let spent = coins.into_iter().flatten().map(|coin| coin.output.clone()).collect();
            Whole { tx: Arc::new(tx.clone()), block: at, spent }
        };
        Ok(txs.map(one).collect())
    }

    /// What a script got and gave in blocks, and in the mempool.
    pub(crate) fn script_sums(
        &mut self,
        script: ScriptHash,
    ) -> Result<(ScriptSums, ScriptSums), BackendError> {
        self.follow_scripts(usize::MAX)?;
        let in_blocks = self.scripts.sums.get(&script).copied().unwrap_or_default();
        let mut waiting = ScriptSums::default();
        for txid in self.waiting_of(script)? {
            let Some(Whole { tx, spent, .. }) = self.whole(txid)? else { continue };
            let spent: Vec<(u32, TxOut)> = spent.into_iter().map(|output| (0, output)).collect();
            if let Some(touch) = touches(&tx, &spent).get(&script) {
                waiting.add(touch);
            }
        }
        Ok((in_blocks, waiting))
    }

    /// Transactions in blocks that touch a script, the newest first, so many at most; only such as are older than
    /// `after`, where that is told.
    pub(crate) fn script_history(
        &mut self,
        script: ScriptHash,
        after: Option<Txid>,
        count: usize,
    ) -> Result<Vec<Whole>, BackendError> {
        self.follow_scripts(usize::MAX)?;
        let end = match after {
            None => (u32::MAX, u32::MAX),
            Some(txid) => match self.find_tx(txid)?.and_then(|found| found.confirmed) {
                Some((block, index)) => (block.height, index),
                None => return Ok(Vec::new()),
            },
        };
        let found = self.scripts.history.range((script, (0, 0))..(script, end)).rev().take(count);
        let places: Vec<Place> = found.map(|(_, place)| *place).collect();
        let mut wholes = Vec::with_capacity(places.len());
        for (height, index) in places {
            let block = self.header_at(height).ok_or(BackendError::NotFound)?;
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            wholes.append(&mut self.wholes_of(block.hash, index, 1)?);
        }
        Ok(wholes)
    }

    /// Transactions of the mempool that touch a script, the newest first, so many at most.
    pub(crate) fn script_waiting(
        &mut self,
        script: ScriptHash,
        count: usize,
    ) -> Result<Vec<Whole>, BackendError> {
        let mut found = self.waiting_of(script)?;
        found.sort_by_key(|txid| std::cmp::Reverse(self.mempool.get(txid).map(|one| one.arrival)));
        let mut wholes = Vec::new();
        for txid in found.into_iter().take(count) {
            wholes.extend(self.whole(txid)?);
        }
        Ok(wholes)
    }

    /// Outputs of a script that nobody spends, those in blocks first; `None` when there are more than so many.
    pub(crate) fn script_unspent(
        &mut self,
        script: ScriptHash,
        count: usize,
    ) -> Result<Option<Vec<Unspent>>, BackendError> {
        self.follow_scripts(usize::MAX)?;
        let all = (script, OutPoint::new(Txid::all_zeros(), 0))..;
        let coins = self.scripts.unspent.range(all).take_while(|((of, _), _)| *of == script);
        let coins: Vec<_> = coins.take(count.saturating_add(1)).collect();
        if coins.len() > count {
            return Ok(None);
        }
        let mut unspent: Vec<Unspent> = (coins.into_iter())
            .filter(|((_, outpoint), _)| self.mempool.spender(outpoint).is_none())
            .map(|((_, outpoint), (height, sat))| Unspent {
                outpoint: *outpoint,
                sat: *sat,
                block: self.tree.at(*height),
            })
            .collect();
        for txid in self.waiting_of(script)? {
            let Some(entry) = self.mempool.get(&txid) else { continue };
            for (vout, output) in (0_u32..).zip(&entry.tx.output) {
                let outpoint = OutPoint { txid, vout };
                let is_ours = script_hash(&output.script_pubkey) == script;
                if is_ours && self.mempool.spender(&outpoint).is_none() {
                    unspent.push(Unspent { outpoint, sat: output.value.to_sat(), block: None });
                }
            }
        }
        Ok((unspent.len() <= count).then_some(unspent))
    }

    /// Transactions of the mempool that touch a script.
    fn waiting_of(&mut self, script: ScriptHash) -> Result<Vec<Txid>, BackendError> {
        let there: Vec<Txid> = self.mempool.iter().map(|(txid, _)| *txid).collect();
        let mut known = std::mem::take(&mut self.scripts.waiting);
        known.retain(|txid, _| self.mempool.get(txid).is_some());
        for txid in there {
            if !known.contains_key(&txid)
                && let Some(Whole { tx, spent, .. }) = self.whole(txid)?
            {
                let outputs = tx.output.iter().chain(&spent);
                let scripts = outputs.map(|output| script_hash(&output.script_pubkey)).collect();
                known.insert(txid, scripts);
            }
        }
        let touching = known.iter().filter(|(_, scripts)| scripts.contains(&script));
        let touching = touching.map(|(txid, _)| *txid).collect();
        self.scripts.waiting = known;
        Ok(touching)
    }
}
