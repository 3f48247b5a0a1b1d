//! Which transactions pay or spend a script, those that wait too.
//!
//! Not here: the rows that say so of blocks (`index/scripts`).

use super::index::key::Mined;
use super::index::{ScriptHash, ScriptSums, script_hash, touches};
use super::{ChainError, Chainstate};
use crate::backend::{BackendError, BlockRef};
use crate::builtin::utxo::Undo;
use bitcoin::{BlockHash, OutPoint, Transaction, TxOut, Txid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A transaction with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) tx: Arc<Transaction>,
    /// Its block on the best chain; `None` while it waits.
    pub(crate) block: Option<BlockRef>,
    /// The outputs that its inputs spend, in their order; empty for a coinbase.
    pub(crate) spent: Vec<TxOut>,
}

/// An output of a script that nobody has spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unspent {
    pub(crate) outpoint: OutPoint,
    pub(crate) sat: u64,
    /// Its block; `None` while it waits.
    pub(crate) block: Option<BlockRef>,
}

/// The scripts that each transaction of the mempool touches, as far as anybody asked.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    known: BTreeMap<Txid, BTreeSet<ScriptHash>>,
}

impl Chainstate {
    /// Makes scripts something that can be looked up, from the first block on if they never were. A chain that dropped
    /// blocks before goes on without.
    pub(super) fn begin_scripts(&mut self) -> Result<(), ChainError> {
        match self.follow_scripts(usize::MAX) {
            Ok(_) => Ok(self.index.whole()?),
            Err(error) => {
                tracing::warn!(%error, "scripts cannot be looked up");
                Ok(())
            }
        }
    }

    /// Brings the rows of scripts nearer to the tip, by so many blocks at most; answers whether they are there.
    pub(crate) fn follow_scripts(&mut self, blocks_max: usize) -> Result<bool, BackendError> {
        for _ in 0..blocks_max {
            let next = self.index.scripts().unwrap_or(0).saturating_add(1);
            let Some(next) = self.tree.at(next) else {
                self.index.begin_scripts();
                return Ok(true);
            };
            if self.storage.first().0 > 0 && self.block(next.hash).is_err() {
                return Err(BackendError::Unavailable(format!(
                    "scripts cannot be looked up: blocks from {} on were pruned before anybody asked for any",
                    next.height
                )));
            }
            let (block, undo) = (self.block(next.hash)?, self.undo_of(next.hash)?);
            self.index.begin_scripts();
            self.index.fill_scripts(&block, next.height, &undo);
            self.index.stand(self.tree.tip().hash, self.storage.ends());
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
        let in_blocks = self.index.script_sums(script);
        let mut waiting = ScriptSums::default();
        for txid in self.waiting_of(script)? {
            let Some(Whole { tx, spent, .. }) = self.whole(txid)? else { continue };
            if let Some(touch) = touches(&tx, spent.iter().map(|output| (0, output))).get(&script) {
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
            None => Mined::LAST,
            Some(txid) => match self.find_tx(txid)?.and_then(|found| found.confirmed) {
                Some((block, index)) => Mined { height: block.height, index },
                None => return Ok(Vec::new()),
            },
        };
        let places = self.index.script_places(script, end, count);
        let mut wholes = Vec::with_capacity(places.len());
        for Mined { height, index } in places {
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
        let coins = self.index.script_coins(script, count.saturating_add(1));
        if coins.len() > count {
            return Ok(None);
        }
        let mut unspent: Vec<Unspent> = (coins.into_iter())
            .filter(|(outpoint, ..)| self.mempool.spender(outpoint).is_none())
            .map(|(outpoint, height, sat)| Unspent { outpoint, sat, block: self.tree.at(height) })
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
        let mut known = std::mem::take(&mut self.scripts.known);
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
        self.scripts.known = known;
        Ok(touching)
    }
}
