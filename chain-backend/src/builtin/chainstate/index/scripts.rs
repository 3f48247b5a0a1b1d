//! Who pays and spends each script: rows beside the others, for whoever wants to look scripts up.
//!
//! They are made when somebody first asks, from the blocks, and then grow with the chain like all rows; whoever never asks
//! never pays for them. So they reach to a height of their own ([`super::Reached::scripts`]), which is that of the tip from
//! the moment on that they have caught up.
//!
//! A row of a script's history says what the script got and gave until then. It follows from the row before it, so
//! writing rows again after a crash changes nothing, as with all others.

use super::Index;
use super::key::{self, Mined};
use crate::builtin::utxo::{Coin, Undo};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Block, OutPoint, Script, Transaction, TxOut};
use std::collections::BTreeMap;

/// What a script is found by: SHA-256 of its bytes, as Electrum and Esplora have it.
pub(crate) type ScriptHash = sha256::Hash;

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

/// What one transaction does to a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touch {
    funded: Vec<(OutPoint, u64)>,
    /// The output, satoshi, and the height of its block.
    spent: Vec<(OutPoint, u64, u32)>,
}

/// What a script is found by.
pub(crate) fn script_hash(script: &Script) -> ScriptHash {
    sha256::Hash::hash(script.as_bytes())
}

/// What a transaction does to each script. `spent` are height and output of what its inputs spend.
pub(crate) fn touches<'a>(
    tx: &Transaction,
    spent: impl Iterator<Item = (u32, &'a TxOut)>,
) -> BTreeMap<ScriptHash, Touch> {
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
        touch.spent.push((input.previous_output, output.value.to_sat(), height));
    }
    touches
}

/// The same of a transaction in a block.
fn touched(tx: &Transaction, coins: &[Coin]) -> BTreeMap<ScriptHash, Touch> {
    touches(tx, coins.iter().map(|coin| (coin.height, &coin.output)))
}

impl ScriptSums {
    pub(crate) fn add(&mut self, touch: &Touch) {
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
}

impl Index {
    /// The height up to which scripts can be looked up; `None` if nobody ever wanted to.
    pub(crate) const fn scripts(&self) -> Option<u32> {
        self.now.scripts
    }

    /// From now on they can be.
    pub(crate) fn begin_scripts(&mut self) {
        self.now.scripts.get_or_insert(0);
    }

    /// The next block of the best chain that lacks these rows. It is on the chain already.
    pub(crate) fn fill_scripts(&mut self, block: &Block, height: u32, undo: &Undo) {
        for (index, tx, coins) in undo.with(block) {
            for (script, touch) in touched(tx, coins) {
                let at = Mined { height, index };
                let mut sums = self.sums_before(script, at);
                sums.add(&touch);
                self.rows.put_new(key::history(&script, at), key::sums(&sums));
                for (outpoint, sat) in touch.funded {
                    let value = key::unspent(height, sat);
                    self.rows.put_new(key::script_coin(&script, &outpoint), value);
                }
                for (outpoint, ..) in touch.spent {
                    self.rows.remove(key::script_coin(&script, &outpoint));
                }
            }
        }
        self.now.scripts = Some(height);
    }

    /// The best chain grew.
    pub(super) fn connect_scripts(&mut self, block: &Block, height: u32, undo: &Undo) {
        // Those that lag behind take it when it is their turn.
        if self.now.scripts.is_some_and(|reached| reached.checked_add(1) == Some(height)) {
            self.fill_scripts(block, height, undo);
        }
    }

    /// The best chain lost its last block.
    pub(super) fn disconnect_scripts(&mut self, block: &Block, height: u32, undo: &Undo) {
        if self.now.scripts.is_none_or(|reached| reached < height) {
            return;
        }
        // Backwards, since a transaction may spend what an earlier one made.
        for (index, tx, coins) in undo.with(block).rev() {
            for (script, touch) in touched(tx, coins) {
                self.rows.remove(key::history(&script, Mined { height, index }));
                for (outpoint, sat, made) in touch.spent {
                    let value = key::unspent(made, sat);
                    self.rows.put(key::script_coin(&script, &outpoint), value);
                }
                for (outpoint, _) in touch.funded {
                    self.rows.remove(key::script_coin(&script, &outpoint));
                }
            }
        }
        self.now.scripts = height.checked_sub(1);
    }

    fn sums_before(&self, script: ScriptHash, at: Mined) -> ScriptSums {
        let rows = self.rows.page_back(&key::history_of(&script), &key::history(&script, at), 1);
        let last = rows.first().and_then(|(_, value)| key::read_sums(value));
        last.unwrap_or_default()
    }

    /// What a script got and gave in blocks.
    pub(crate) fn script_sums(&self, script: ScriptHash) -> ScriptSums {
        self.sums_before(script, Mined::LAST)
    }

    /// Where transactions that touch a script are, the newest first, so many at most, all before a place.
    pub(crate) fn script_places(&self, script: ScriptHash, end: Mined, count: usize) -> Vec<Mined> {
        let end = key::history(&script, end);
        let rows = self.rows.page_back(&key::history_of(&script), &end, count);
        rows.iter().filter_map(|(key, _)| key::place(key)).collect()
    }

    /// Outputs of a script that no block spends, with the heights of their blocks and satoshi, so many at most.
    pub(crate) fn script_coins(
        &self,
        script: ScriptHash,
        count: usize,
    ) -> Vec<(OutPoint, u32, u64)> {
        let rows = self.rows.page(&key::script_coins_of(&script), None, count);
        let coin = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let (height, sat) = key::read_unspent(value)?;
            Some((key::script_outpoint(key)?, height, sat))
        };
        rows.iter().filter_map(coin).collect()
    }
}
