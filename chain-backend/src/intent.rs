//! What must be mined, and when to hand it in again.
//!
//! A pure structure: its owner stores it, asks [`Intents::apply`] after each event what is due, hands that
//! in and notes the outcome. An outcome never ends an intent, only the chain does: when what the goal
//! spends is spent a hundred blocks deep, by the goal or by another.
//! Not here: building a bumped package (the daemon's sweeper).

mod record;

use crate::backend::{BlockId, ChainEvent, MempoolDelta, RemovedBecause, SubmitOutcome};
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use std::collections::BTreeMap;

pub use record::IntentRecordError;

/// How deep a spend must be before it is final.
pub const SETTLED_DEPTH: u32 = 100;
/// The longest fee target, blocks.
const TARGET_MAX: u32 = 144;

/// Names an intent. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentId(pub u64);

/// A package that must be mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What is handed in, parents before their child.
    pub package: Vec<Transaction>,
    /// The transaction that matters.
    pub goal: Txid,
    /// The height by which the goal should be in a block.
    pub deadline_height: u32,
    /// What the package pays.
    pub fee: Amount,
    /// Its size, virtual bytes.
    pub vsize: u64,
    /// The most it may ever pay.
    pub fee_max: Amount,
    /// How often it was handed in.
    pub attempts: u32,
    /// Where the goal's coins were spent: by whom, in which block.
    spent: BTreeMap<OutPoint, (Txid, BlockId)>,
}

/// What an event asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// To be handed in now.
    pub submit: Vec<IntentId>,
    /// Over: the goal's coins are spent for good. The intent is gone.
    pub settled: Vec<Settled>,
}

/// An intent that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub id: IntentId,
    /// Whether the goal itself was mined.
    pub goal_mined: bool,
}

/// A bump that does not pay its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BumpRefused {
    /// No such intent.
    #[error("no such broadcast")]
    Unknown,
    /// It must pay for what it replaces and for itself.
    #[error("the replacement must pay at least {needed}")]
    TooLittle {
        /// The least it must pay.
        needed: Amount,
    },
    /// It would pay more than was allowed for this purpose.
    #[error("the replacement pays more than the {max} allowed")]
    TooMuch {
        /// The most it may pay.
        max: Amount,
    },
    /// It spends none of the same coins, so both could be mined.
    #[error("the replacement does not conflict with what it replaces")]
    NoConflict,
}

/// Everything that must be mined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    next: u64,
    open: BTreeMap<IntentId, Intent>,
    tip_height: u32,
}

impl Intents {
    /// Adds a package; hand it in at once. `goal` is the transaction of it that matters.
    pub fn add(
        &mut self,
        package: Vec<Transaction>,
        goal: Txid,
        deadline_height: u32,
        (fee, vsize): (Amount, u64),
        fee_max: Amount,
    ) -> IntentId {
        let id = IntentId(self.next);
        self.next = self.next.saturating_add(1);
        let (attempts, spent) = (0, BTreeMap::new());
        let intent =
            Intent { package, goal, deadline_height, fee, vsize, fee_max, attempts, spent };
        self.open.insert(id, intent);
        id
    }

    /// What is still open.
    pub fn iter(&self) -> impl Iterator<Item = (IntentId, &Intent)> {
        self.open.iter().map(|(id, intent)| (*id, intent))
    }

    /// One that is still open.
    pub fn get(&self, id: IntentId) -> Option<&Intent> {
        self.open.get(&id)
    }

    /// Drops one: nobody wants it any more.
    pub fn withdraw(&mut self, id: IntentId) -> Option<Intent> {
        self.open.remove(&id)
    }

    /// Counts an attempt. Whatever came of it, the chain decides when it is over.
    pub fn note(&mut self, id: IntentId, outcome: &SubmitOutcome) {
        if *outcome != SubmitOutcome::Unavailable
            && let Some(intent) = self.open.get_mut(&id)
        {
            intent.attempts = intent.attempts.saturating_add(1);
        }
    }

    /// Puts a better paying package in the place of another; hand it in at once. The fee must cover the
    /// old one and `incremental_sat_kvb` for its own size.
    ///
    /// # Errors
    /// [`BumpRefused`]; nothing changed.
    pub fn bump(
        &mut self,
        id: IntentId,
        package: Vec<Transaction>,
        (fee, vsize): (Amount, u64),
        incremental_sat_kvb: u64,
    ) -> Result<(), BumpRefused> {
        let intent = self.open.get_mut(&id).ok_or(BumpRefused::Unknown)?;
        let own_sat = incremental_sat_kvb.saturating_mul(vsize).div_ceil(1_000);
        let needed = Amount::from_sat(intent.fee.to_sat().saturating_add(own_sat));
        if fee < needed {
            return Err(BumpRefused::TooLittle { needed });
        }
        if fee > intent.fee_max {
            return Err(BumpRefused::TooMuch { max: intent.fee_max });
        }
        let spends = |outpoint: OutPoint| {
            let mut inputs = package.iter().flat_map(|tx| &tx.input);
            inputs.any(|input| input.previous_output == outpoint)
        };
        if !intent.inputs().any(spends) {
            return Err(BumpRefused::NoConflict);
        }
        // The child of a package may change; the goal stays unless it is no longer in it.
        if !package.iter().any(|tx| tx.compute_txid() == intent.goal)
            && let Some(last) = package.last()
        {
            intent.goal = last.compute_txid();
        }
        (intent.package, intent.fee, intent.vsize) = (package, fee, vsize);
        Ok(())
    }

    /// Follows one event and says what is due.
    pub fn apply(&mut self, event: &ChainEvent) -> Due {
        match event {
            ChainEvent::Connected { block, txs } => {
                self.tip_height = block.height;
                for (_, tx) in txs.iter() {
                    for intent in self.open.values_mut() {
                        intent.note_spends(tx, block.id());
                    }
                }
                let settled = self.settle();
                Due { submit: self.unmined(), settled }
            }
            ChainEvent::Disconnected { fork, .. } => {
                self.tip_height = fork.height;
                for intent in self.open.values_mut() {
                    intent.spent.retain(|_, (_, block)| block.height <= fork.height);
                }
                Due { submit: self.unmined(), settled: Vec::new() }
            }
            ChainEvent::Mempool(MempoolDelta::Removed { txid, because }) => {
                let confirmed = matches!(because, RemovedBecause::Confirmed(_));
                let lost = |intent: &Intent| {
                    !confirmed && intent.package.iter().any(|tx| tx.compute_txid() == *txid)
                };
                let lost = self.open.iter().filter(|(_, intent)| lost(intent));
                Due { submit: lost.map(|(id, _)| *id).collect(), settled: Vec::new() }
            }
            ChainEvent::Mempool(MempoolDelta::Snapshot(_) | MempoolDelta::Added { .. }) => {
                Due::default()
            }
            // Also after a reconnection.
            ChainEvent::Synced { .. } => Due { submit: self.unmined(), settled: Vec::new() },
        }
    }

    /// Those whose goal still has a coin that no block spends.
    fn unmined(&self) -> Vec<IntentId> {
        let open = self.open.iter().filter(|(_, intent)| !intent.all_spent());
        open.map(|(id, _)| *id).collect()
    }

    fn settle(&mut self) -> Vec<Settled> {
        let deep =
            |height: u32| self.tip_height.saturating_sub(height).saturating_add(1) >= SETTLED_DEPTH;
        let over = |intent: &Intent| {
            intent.all_spent() && intent.spent.values().all(|(_, block)| deep(block.height))
        };
        let settled: Vec<Settled> = (self.open.iter())
            .filter(|(_, intent)| over(intent))
            .map(|(id, intent)| Settled {
                id: *id,
                goal_mined: intent.spent.values().any(|(by, _)| *by == intent.goal),
            })
            .collect();
        for Settled { id, .. } in &settled {
            self.open.remove(id);
        }
        settled
    }
}

impl Intent {
    /// Blocks left, as a fee target: how urgent it is.
    pub fn target(&self, tip_height: u32) -> u16 {
        let left = self.deadline_height.saturating_sub(tip_height).clamp(1, TARGET_MAX);
        u16::try_from(left).unwrap_or(u16::MAX)
    }

    fn inputs(&self) -> impl Iterator<Item = OutPoint> {
        let txs = self.package.iter();
        txs.flat_map(|tx| &tx.input).map(|input| input.previous_output)
    }

    /// What the goal spends.
    fn coins(&self) -> impl Iterator<Item = OutPoint> {
        let goal = self.package.iter().filter(|tx| tx.compute_txid() == self.goal);
        goal.flat_map(|tx| &tx.input).map(|input| input.previous_output)
    }

    fn all_spent(&self) -> bool {
        let mut coins = self.coins().peekable();
        coins.peek().is_some() && coins.all(|coin| self.spent.contains_key(&coin))
    }

    fn note_spends(&mut self, tx: &Transaction, block: BlockId) {
        let coins: Vec<OutPoint> = self.coins().collect();
        for input in &tx.input {
            if coins.contains(&input.previous_output) {
                self.spent.insert(input.previous_output, (tx.compute_txid(), block));
            }
        }
    }
}

#[cfg(test)]
mod tests;
