//! Transactions to be brought to the miners, and for how long: until they, or others that spend the
//! same coins, are deep in the chain.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use chain_backend::backend::{ChainEvent, Package};

use crate::fact::IntentMade;

/// Blocks after which no reorganisation is expected to bring a transaction back. BOLT 5 § General
/// Nomenclature.
const DEEP: u32 = 100;

#[derive(Debug)]
struct Intent {
    made: IntentMade,
    /// Where it, or a transaction that spends one of its coins, is in the chain.
    settled: Option<u32>,
}

/// All that is not deep yet.
#[derive(Debug)]
pub(super) struct Intents {
    open: BTreeMap<Txid, Intent>,
    coins: BTreeMap<OutPoint, Vec<Txid>>,
    synced: bool,
    done: Vec<Txid>,
    mined: Vec<Txid>,
    lost: Vec<Txid>,
    conflicted: Vec<Txid>,
}

/// The label of transactions that their channel makes again when they are lost.
pub(super) const SWEEP: &str = "sweep";

/// The label of transactions that end a channel: commitments, and closes that both signed.
const CLOSE: &str = "close";

impl Intents {
    pub(super) fn new(intents: Vec<IntentMade>) -> Self {
        let mut this = Self {
            open: BTreeMap::new(),
            coins: BTreeMap::new(),
            synced: false,
            done: Vec::new(),
            mined: Vec::new(),
            lost: Vec::new(),
            conflicted: Vec::new(),
        };
        for made in intents {
            this.add(made);
        }
        this
    }

    /// Adds one; `false` if it was there.
    pub(super) fn add(&mut self, made: IntentMade) -> bool {
        let txid = made.txid();
        if self.open.contains_key(&txid) {
            return false;
        }
        for coin in made.inputs() {
            self.coins.entry(coin).or_default().push(txid);
        }
        self.open.insert(txid, Intent { made, settled: None });
        true
    }

    /// What the backend does not have in a block, as far as is known: parents first, so that whoever hands
    /// them in one by one has heard what became of the parents before the children come.
    pub(super) fn unsettled(&self) -> Vec<Transaction> {
        self.parents_first(self.open.keys().copied().collect())
    }

    /// Those of these that are in no block, parents before their children.
    fn parents_first(&self, of: BTreeSet<Txid>) -> Vec<Transaction> {
        let mut rest: BTreeMap<Txid, &Transaction> = (of.iter())
            .filter_map(|txid| self.open.get_key_value(txid))
            .filter(|(_, intent)| intent.settled.is_none())
            .map(|(txid, intent)| (*txid, &intent.made.tx))
            .collect();
        let mut ordered = Vec::with_capacity(rest.len());
        while let Some(first) = rest.keys().next() {
            // Goes up to a parent that has none left, takes it, and looks at its child again.
            let mut path = vec![*first];
            while let Some(txid) = path.last() {
                let inputs = rest.get(txid).map_or(&[][..], |tx| &tx.input);
                let parent = inputs.iter().map(|input| input.previous_output.txid);
                if let Some(parent) = { parent }.find(|parent| rest.contains_key(parent)) {
                    path.push(parent);
                } else {
                    ordered.extend(rest.remove(txid).cloned());
                    path.pop();
                }
            }
        }
        ordered
    }

    /// The backend says that a transaction is in a block already.
    pub(super) fn settle(&mut self, txid: Txid, height: u32) {
        if let Some(intent) = self.open.get_mut(&txid) {
            intent.settled.get_or_insert(height);
        }
    }

    pub(super) fn follow(&mut self, event: &ChainEvent) {
        match event {
            ChainEvent::Connected { block, txs } => {
                for (_, tx) in txs.iter() {
                    let spent =
                        tx.input.iter().filter_map(|input| self.coins.get(&input.previous_output));
                    let settled: BTreeSet<_> = spent.flatten().copied().collect();
                    if !settled.is_empty() {
                        self.meet(tx.compute_txid(), settled, block.height);
                    }
                }
                self.finish(block.height);
            }
            ChainEvent::Disconnected { fork, .. } => {
                for intent in self.open.values_mut() {
                    if intent.settled.is_some_and(|height| height > fork.height) {
                        intent.settled = None;
                    }
                }
            }
            ChainEvent::Mempool(_) | ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
        }
    }

    /// A transaction in a block spends coins of these, and may be one of them.
    fn meet(&mut self, mined: Txid, settled: BTreeSet<Txid>, height: u32) {
        for txid in settled {
            self.settle(txid, height);
            if txid == mined {
                self.mined.push(txid);
            } else {
                self.void(txid);
            }
        }
    }

    /// No block can have this transaction any more, as the chain is: it is lost if it is a sweep, and so is
    /// every sweep that builds on it, however many there are in between.
    pub(super) fn void(&mut self, txid: Txid) {
        let mut next = BTreeSet::from([txid]);
        while let Some(txid) = next.pop_first() {
            let children = self.open.iter().filter(|(_, intent)| {
                intent.made.label.0 == SWEEP && intent.made.inputs().any(|input| input.txid == txid)
            });
            next.extend(children.map(|(name, _)| *name));
            if self.open.get(&txid).is_none_or(|intent| intent.made.label.0 == SWEEP) {
                self.lose(txid);
            } else {
                self.conflicted.push(txid);
            }
        }
    }

    fn lose(&mut self, txid: Txid) {
        if self.has(txid) {
            self.remove(txid);
            self.lost.push(txid);
        }
    }

    /// Sweeps in no block that spend one of these outputs, and those that spend what they make: all that a
    /// transaction with these inputs replaces.
    pub(super) fn rivals(&self, spent: &[OutPoint]) -> Vec<Txid> {
        let is_sweep = |of: &Txid| {
            let intent = self.open.get(of);
            intent.is_some_and(|i| i.made.label.0 == SWEEP && i.settled.is_none())
        };
        let named = spent.iter().filter_map(|outpoint| self.coins.get(outpoint));
        let mut all: Vec<Txid> = Vec::new();
        let mut next: BTreeSet<Txid> = named.flatten().copied().filter(is_sweep).collect();
        while let Some(txid) = next.pop_first() {
            if all.contains(&txid) {
                continue;
            }
            let children = self.open.iter().filter(|(name, intent)| {
                is_sweep(name) && intent.made.inputs().any(|input| input.txid == txid)
            });
            next.extend(children.map(|(name, _)| *name));
            all.push(txid);
        }
        all
    }

    /// A transaction that is not deep yet.
    pub(super) fn get(&self, txid: Txid) -> Option<&Transaction> {
        self.open.get(&txid).map(|intent| &intent.made.tx)
    }

    /// Whether a transaction is one of these.
    pub(super) fn has(&self, txid: Txid) -> bool {
        self.open.contains_key(&txid)
    }

    /// Whether it ends a channel and is in no block.
    pub(super) fn is_close(&self, txid: Txid) -> bool {
        let waits = self.open.get(&txid).filter(|intent| intent.settled.is_none());
        waits.is_some_and(|intent| intent.made.label.0 == CLOSE)
    }

    /// In which block it, or one that spends its coin, is.
    pub(super) fn settled_at(&self, txid: Txid) -> Option<u32> {
        self.open.get(&txid)?.settled
    }

    /// The parents of a transaction that are in no block yet, parents of each other first.
    pub(super) fn parents_of(&self, tx: &Transaction) -> Vec<Transaction> {
        self.parents_first(tx.input.iter().map(|input| input.previous_output.txid).collect())
    }

    /// The transaction behind those parents that are in no block yet.
    pub(super) fn package(&self, tx: Transaction) -> Package {
        let mut all = self.parents_of(&tx);
        all.push(tx.clone());
        Package::new(all).unwrap_or_else(|_| Package::single(tx))
    }

    /// Takes one out for good.
    pub(super) fn remove(&mut self, txid: Txid) {
        self.open.remove(&txid);
        for named in self.coins.values_mut() {
            named.retain(|other| *other != txid);
        }
        self.coins.retain(|_, named| !named.is_empty());
    }

    /// Those that came into a block since it was asked last, and sweeps that no block can contain any
    /// more.
    pub(super) fn take_settled(&mut self) -> (Vec<Txid>, Vec<Txid>) {
        (std::mem::take(&mut self.mined), std::mem::take(&mut self.lost))
    }

    /// Those of a channel that another transaction in a block has taken the place of since it was asked last.
    pub(super) fn take_conflicted(&mut self) -> Vec<Txid> {
        std::mem::take(&mut self.conflicted)
    }

    fn finish(&mut self, tip: u32) {
        let is_deep = |intent: &Intent| {
            intent
                .settled
                .is_some_and(|height| height.saturating_add(DEEP) <= tip.saturating_add(1))
        };
        let deep: Vec<_> =
            self.open.iter().filter(|(_, i)| is_deep(i)).map(|(txid, _)| *txid).collect();
        for txid in deep {
            self.remove(txid);
            self.done.push(txid);
        }
    }

    /// Those that are deep since it was asked last.
    pub(super) fn take_done(&mut self) -> Vec<Txid> {
        std::mem::take(&mut self.done)
    }

    /// Whether the chain's tip was reached since the start.
    pub(super) const fn synced_once(&self) -> bool {
        self.synced
    }

    pub(super) const fn set_synced(&mut self) {
        self.synced = true;
    }
}

#[cfg(test)]
mod tests;
