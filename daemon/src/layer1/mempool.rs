//! What waits in the mempool and concerns us: spends of watched outputs, and our own transactions.
//!
//! A breach is punished, and a preimage is used, before a block has either; but nothing that guards money
//! depends on it: blocks say all of it again.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use chain_backend::backend::{MempoolDelta, RemovedBecause};
use wire::units::BlockHeight;

use crate::layer1::Layer1;
use crate::sweeper::Parent;

/// Inputs of a transaction whose parents are looked up.
const LOOKED_UP_MAX: usize = 20;

/// What is remembered of the mempool. Bounded by the outputs that are watched.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Transactions that spend a watched output and whose own outputs may be claimed.
    pub(super) parents: BTreeMap<Txid, Parent>,
    /// Watched outputs that somebody else's transaction spends.
    pub(super) fought: BTreeSet<OutPoint>,
    spends: BTreeMap<Txid, Vec<OutPoint>>,
    /// At which tip each of them was first seen.
    since: BTreeMap<Txid, BlockHeight>,
}

impl Seen {
    /// A transaction is there no more; answers the watched outputs that somebody spent by it.
    fn gone(&mut self, txid: Txid) -> Vec<OutPoint> {
        self.parents.remove(&txid);
        self.since.remove(&txid);
        let spent = self.spends.remove(&txid).unwrap_or_default();
        for outpoint in &spent {
            let other = self.spends.values().any(|all| all.contains(outpoint));
            if !other {
                self.fought.remove(outpoint);
            }
        }
        spent
    }
}

impl Layer1 {
    /// Takes a change of the mempool in.
    pub(super) async fn follow_mempool(&mut self, delta: &MempoolDelta) {
        match delta {
            MempoolDelta::Snapshot(all) => {
                let before = std::mem::take(&mut self.mempool);
                for txid in self.sweeper.on_their_way() {
                    self.sweeper.seen(txid, false);
                }
                for tx in all {
                    self.see(tx, None).await;
                }
                let there = all.iter().map(|tx| tx.compute_txid()).collect();
                for rival in self.watches.origins.missing(&there) {
                    self.tell_all(|watches| watches.origins.vanished(rival)).await;
                }
                for (txid, spent) in before.spends {
                    if !self.mempool.spends.contains_key(&txid) {
                        self.tell_vanished(txid, &spent).await;
                    }
                }
            }
            MempoolDelta::Added { tx, fee } => self.see(tx, Some(*fee)).await,
            MempoolDelta::Removed { txid, because } => self.unsee(*txid, *because).await,
        }
    }

    async fn see(&mut self, tx: &Transaction, fee: Option<Amount>) {
        self.tell_all(|watches| watches.origins.seen(tx)).await;
        let spent: Vec<OutPoint> = tx
            .input
            .iter()
            .map(|input| input.previous_output)
            .filter(|outpoint| self.watches.watches(*outpoint))
            .collect();
        let txid = tx.compute_txid();
        if self.sweeper.has(txid) {
            self.sweeper.seen(txid, true);
            // Its change may pay for what had no coins.
            if self.sweeper.wants_coins() {
                self.sweep_soon();
            }
            return self.show_sweeps();
        }
        if spent.is_empty() {
            return;
        }
        let weight = tx.weight().to_wu();
        let fee = match fee {
            Some(fee) => fee,
            // Not told for what was there before us; if it cannot be found out, as little as is relayed.
            None => match self.fee_of(tx).await {
                Some(fee) => fee,
                None => self.feerates.borrow().commitment.fee_floor(weight),
            },
        };
        self.mempool.parents.insert(txid, Parent { txid, weight, fee });
        if !self.intents.has(txid) {
            tracing::info!(%txid, outputs = spent.len(), "seen in the mempool: spends what we watch");
            self.mempool.fought.extend(&spent);
            self.mempool.spends.insert(txid, spent);
            self.mempool.since.insert(txid, *self.height.borrow());
            for (channel, fact) in self.watches.seen(tx) {
                self.tell_one(channel, fact).await;
            }
        }
        self.sweep_soon();
    }

    /// What a transaction pays, from what it spends; `None` if the backend does not have all of that.
    pub(super) async fn fee_of(&self, tx: &Transaction) -> Option<Amount> {
        if tx.input.len() > LOOKED_UP_MAX {
            return None;
        }
        let mut sum = Amount::ZERO;
        for input in &tx.input {
            let OutPoint { txid, vout } = input.previous_output;
            let parent = self.backend.tx(txid).await.ok()??.tx;
            let output = parent.output.get(usize::try_from(vout).ok()?)?;
            sum = sum.checked_add(output.value)?;
        }
        let out =
            tx.output.iter().try_fold(Amount::ZERO, |all, txout| all.checked_add(txout.value));
        sum.checked_sub(out?)
    }

    async fn unsee(&mut self, txid: Txid, because: RemovedBecause) {
        let spent = self.mempool.gone(txid);
        let ours = self.intents.has(txid);
        if self.sweeper.has(txid) {
            self.sweeper.seen(txid, false);
        }
        let mined = matches!(because, RemovedBecause::Confirmed(_));
        if !mined {
            self.tell_all(|watches| watches.origins.vanished(txid)).await;
            self.tell_vanished(txid, &spent).await;
        }
        if (ours || !spent.is_empty()) && !mined {
            tracing::info!(%txid, ?because, "left the mempool");
            self.hand_in_again = true;
            self.sweep_soon();
        }
    }

    /// Somebody else's transaction that ends the channel in the place of this commitment of ours, while its
    /// channel cannot know yet what to make of it: the mempool has it for less than a block. Replacing it would
    /// cost both sides what the miners get for nothing, since either commitment gives everybody the same.
    pub(super) async fn is_ended_by_another(&self, commitment: Txid) -> Option<Txid> {
        let coin = self.intents.get(commitment)?.input.first()?.previous_output;
        let tip = *self.height.borrow();
        let spend = self.backend.spender(coin, tip.0).await.ok()??;
        let other = spend.tx.compute_txid();
        let is_new = self.mempool.since.get(&other).is_none_or(|since| *since >= tip);
        let waits = spend.block.is_none() && !self.intents.has(other);
        (waits && is_new).then_some(other)
    }

    async fn tell_vanished(&self, txid: Txid, spent: &[OutPoint]) {
        for (channel, fact) in self.watches.vanished(txid, spent) {
            self.tell_one(channel, fact).await;
        }
    }
}
