//! What bdk's wallet does not keep: promised coins, the order in which transactions came, and what
//! they were for.

use std::collections::BTreeMap;

use bdk_wallet::ChangeSet;
use bdk_wallet::chain::Merge as _;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use wire::id::ChannelId;

use super::record::Fact;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::wallet::SetAside;

/// Names a promise: a channel's temporary id, or a number drawn for a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromiseId(pub [u8; 32]);

/// Coins that are spoken for by a signed transaction that is not broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Its name.
    pub id: PromiseId,
    /// What for.
    pub purpose: SetAside,
    /// The transaction that spends them.
    pub tx: Transaction,
}

/// Coins that are kept for a transaction that somebody builds just now. Forgotten by a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// What for.
    pub(super) purpose: SetAside,
    /// The coins.
    pub(super) coins: Vec<OutPoint>,
    /// Where their change goes.
    pub(super) change: ScriptBuf,
}

/// What a transaction was for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Label {
    /// In words: `funding`, `close`, `sweep`, or the user's note; at most 256 bytes.
    pub text: String,
    /// The channel it opens, closes or sweeps.
    pub channel: Option<ChannelId>,
}

/// One change of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BookChange {
    /// Coins were promised.
    Promised(Promise),
    /// The promise is void, or has come true.
    Released(PromiseId),
    /// A transaction got its label.
    Noted(Txid, Label),
    /// In snapshots: the next transaction in the order they came.
    Came(Txid, UnixMillis),
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    promises: BTreeMap<PromiseId, Promise>,
    held: BTreeMap<PromiseId, Held>,
    labels: BTreeMap<Txid, Label>,
    came: BTreeMap<Txid, (u64, UnixMillis)>,
    carried: ChangeSet,
}

impl Book {
    /// Takes a fact, new or replayed.
    pub(super) fn apply(&mut self, fact: &Fact) {
        for change in &fact.book {
            match change {
                BookChange::Promised(promise) => {
                    self.promises.insert(promise.id, promise.clone());
                }
                BookChange::Released(id) => {
                    self.promises.remove(id);
                }
                BookChange::Noted(txid, label) => {
                    self.labels.insert(*txid, label.clone());
                }
                BookChange::Came(txid, at) => self.came(*txid, *at),
            }
        }
        for tx in &fact.changes.tx_graph.txs {
            self.came(tx.compute_txid(), fact.at);
        }
    }

    fn came(&mut self, txid: Txid, at: UnixMillis) {
        let next = u64::try_from(self.came.len()).unwrap_or(u64::MAX);
        self.came.entry(txid).or_insert((next, at));
    }

    /// The whole book as one fact, with bdk's sum beside it.
    pub(super) fn snapshot(&self, changes: ChangeSet, owner: [u8; 4]) -> Fact {
        let mut order: Vec<(&Txid, &(u64, UnixMillis))> = self.came.iter().collect();
        order.sort_by_key(|(_, (index, _))| *index);
        let came = order.into_iter().map(|(txid, (_, at))| BookChange::Came(*txid, *at));
        let promises = self.promises.values().cloned().map(BookChange::Promised);
        let labels =
            self.labels.iter().map(|(txid, label)| BookChange::Noted(*txid, label.clone()));
        Fact {
            at: UnixMillis(0),
            owner: Some(owner),
            changes,
            book: came.chain(promises).chain(labels).collect(),
        }
    }

    /// Keeps changes of bdk's wallet for the next fact.
    pub(super) fn carry(&mut self, changes: ChangeSet) {
        self.carried.merge(changes);
    }

    pub(super) fn take_carried(&mut self) -> ChangeSet {
        core::mem::take(&mut self.carried)
    }

    pub(super) fn promise(&self, id: PromiseId) -> Option<&Promise> {
        self.promises.get(&id)
    }

    pub(super) fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.promises.values()
    }

    /// What a coin is set aside for.
    pub(super) fn set_aside(&self, coin: OutPoint) -> Option<SetAside> {
        let held = || self.held.values().find(|held| held.coins.contains(&coin));
        self.promises
            .values()
            .find(|promise| promise.tx.input.iter().any(|input| input.previous_output == coin))
            .map(|promise| promise.purpose)
            .or_else(|| held().map(|held| held.purpose))
    }

    pub(super) fn hold(&mut self, name: PromiseId, held: Held) {
        self.held.insert(name, held);
    }

    pub(super) fn unhold(&mut self, name: PromiseId) {
        self.held.remove(&name);
    }

    pub(super) fn held(&self, name: PromiseId) -> Option<&Held> {
        self.held.get(&name)
    }

    /// Every promised or held coin.
    pub(super) fn promised(&self) -> Vec<OutPoint> {
        let held = self.held.values().flat_map(|held| held.coins.iter().copied());
        self.promises
            .values()
            .flat_map(|promise| promise.tx.input.iter().map(|input| input.previous_output))
            .chain(held)
            .collect()
    }

    /// The place of a transaction in the order they came.
    pub(super) fn index(&self, txid: Txid) -> u64 {
        self.came.get(&txid).map_or(u64::MAX, |(index, _)| *index)
    }

    /// When a transaction was first seen.
    pub(super) fn seen(&self, txid: Txid) -> UnixMillis {
        self.came.get(&txid).map_or_else(UnixMillis::default, |(_, at)| *at)
    }

    pub(super) fn label(&self, txid: Txid) -> Label {
        self.labels.get(&txid).cloned().unwrap_or_default()
    }
}
