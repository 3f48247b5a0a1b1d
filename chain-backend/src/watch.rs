//! What somebody waits for on the chain, as states and not as events.
//!
//! A fold over [`ChainEvent`]: no clock, no task, no disk. Its owner stores it with [`Watch::encode`] in
//! the same commit as its cursor and everything that followed from a change. Depths are told, thresholds
//! are not known here.
//! Not here: fetching old blocks for a subject that is older than its registration (`backfill`).

mod backfill;
mod record;

use crate::backend::{BlockId, ChainEvent, Locator, MempoolDelta, Txs};
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use backfill::backfill;
pub use record::RecordError;

/// Beyond this depth no change is told any more: BOLT 5 calls it irrevocable.
pub const DEPTH_TOLD_MAX: u32 = 100;
/// Transactions remembered for one subject. Only a script can have more than two.
const SIGHTINGS_MAX: usize = 1_000;

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// This transaction.
    Tx(Txid),
    /// Whatever spends this output.
    Spend(OutPoint),
    /// Whatever pays this script.
    Script(ScriptBuf),
}

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing on the best chain, nothing in the mempool.
    Unseen,
    /// A transaction of the mempool.
    Mempool {
        /// It.
        tx: Arc<Transaction>,
    },
    /// A transaction in a block.
    Confirmed {
        /// It.
        tx: Arc<Transaction>,
        /// Its block.
        block: BlockId,
        /// Its index in the block.
        index: u32,
        /// How many blocks have it: 1 in the tip.
        depth: u32,
    },
    /// Another transaction in a block spends a coin of it. Only for [`Subject::Tx`] whose inputs are known.
    Conflicted {
        /// The other transaction.
        by: Txid,
        /// How many blocks have that.
        depth: u32,
    },
}

/// A subject whose state is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The subject.
    pub subject: Subject,
    /// Its state now.
    pub state: State,
}

/// A subject to add, as from [`Watch::apply`]'s callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The subject.
    pub subject: Subject,
    /// No block below this height can have it.
    pub birth_height: u32,
    /// For [`Subject::Tx`]: what it spends, if known, so that a conflict is noticed.
    pub inputs: Vec<OutPoint>,
}

/// All that is waited for, and the place up to which the chain was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    cursor: Locator,
    subjects: BTreeMap<Subject, Watched>,
    /// Which subjects wait for a spend of an outpoint, as a spend or as a conflict.
    by_input: BTreeMap<OutPoint, BTreeSet<Subject>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Watched {
    birth_height: u32,
    inputs: Vec<OutPoint>,
    waiting: BTreeMap<Txid, Arc<Transaction>>,
    mined: BTreeMap<Txid, Mined>,
    rival: Option<(Txid, BlockId)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mined {
    tx: Arc<Transaction>,
    block: BlockId,
    index: u32,
}

impl Watch {
    /// Waits for nothing yet, from a place on.
    pub const fn new(cursor: Locator) -> Self {
        Self { cursor, subjects: BTreeMap::new(), by_input: BTreeMap::new() }
    }

    /// Up to where the chain was read: where to subscribe again.
    pub const fn cursor(&self) -> &Locator {
        &self.cursor
    }

    /// Subjects, in order.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.keys()
    }

    /// Waits for one more. If its birth lies at or below the cursor, blocks that were read already may
    /// have it: call [`backfill`] next.
    pub fn register(&mut self, registration: Registration) {
        let Registration { subject, birth_height, inputs } = registration;
        let spends = match &subject {
            Subject::Spend(outpoint) => vec![*outpoint],
            Subject::Tx(_) => inputs.clone(),
            Subject::Script(_) => Vec::new(),
        };
        for outpoint in spends {
            self.by_input.entry(outpoint).or_default().insert(subject.clone());
        }
        let watched = self.subjects.entry(subject).or_default();
        watched.birth_height = birth_height;
        if watched.inputs.is_empty() {
            watched.inputs = inputs;
        }
    }

    /// Waits no longer.
    pub fn forget(&mut self, subject: &Subject) {
        self.subjects.remove(subject);
        for subjects in self.by_input.values_mut() {
            subjects.remove(subject);
        }
        self.by_input.retain(|_, subjects| !subjects.is_empty());
    }

    /// What is known of a subject; `Unseen` for one that nobody waits for.
    pub fn state(&self, subject: &Subject) -> State {
        self.subjects.get(subject).map_or(State::Unseen, |watched| watched.state(self.height()))
    }

    /// Follows one event and answers what changed. `more` may add subjects when it sees a change; the same
    /// block is then read for them too, so that a spend right behind its coin is not missed.
    pub fn apply(
        &mut self,
        event: &ChainEvent,
        more: &mut dyn FnMut(&Change) -> Vec<Registration>,
    ) -> Vec<Change> {
        let before = self.states();
        self.cursor.follow(event);
        match event {
            ChainEvent::Connected { block, txs } => self.read_block(block.id(), txs, &before, more),
            ChainEvent::Disconnected { fork, .. } => {
                for watched in self.subjects.values_mut() {
                    watched.cut(fork.height);
                }
            }
            ChainEvent::Mempool(delta) => self.read_mempool(delta),
            ChainEvent::Synced { .. } => {}
        }
        self.changes(&before)
    }

    fn height(&self) -> u32 {
        self.cursor.tip().height
    }

    fn states(&self) -> BTreeMap<Subject, State> {
        let height = self.height();
        self.subjects.iter().map(|(subject, w)| (subject.clone(), w.state(height))).collect()
    }

    fn changes(&self, before: &BTreeMap<Subject, State>) -> Vec<Change> {
        let height = self.height();
        let state = |(subject, watched): (&Subject, &Watched)| {
            let state = watched.state(height);
            let old = before.get(subject).unwrap_or(&State::Unseen);
            let news = *old != state && !(old.is_settled() && state.is_settled());
            news.then(|| Change { subject: subject.clone(), state })
        };
        self.subjects.iter().filter_map(state).collect()
    }

    /// Reads a block until no new subject comes out of it.
    fn read_block(
        &mut self,
        block: BlockId,
        txs: &Txs,
        before: &BTreeMap<Subject, State>,
        more: &mut dyn FnMut(&Change) -> Vec<Registration>,
    ) {
        let mut told: BTreeSet<Subject> = BTreeSet::new();
        loop {
            for (index, tx) in txs.iter() {
                self.sight(tx, Some((block, index)));
            }
            let news: Vec<Change> = (self.changes(before).into_iter())
                .filter(|change| told.insert(change.subject.clone()))
                .collect();
            let added: Vec<Registration> =
                news.iter().flat_map(&mut *more).filter(|r| !self.knows(&r.subject)).collect();
            if added.is_empty() {
                break;
            }
            for registration in added {
                self.register(registration);
            }
        }
    }

    fn knows(&self, subject: &Subject) -> bool {
        self.subjects.contains_key(subject)
    }

    fn read_mempool(&mut self, delta: &MempoolDelta) {
        match delta {
            MempoolDelta::Snapshot(txs) => {
                for watched in self.subjects.values_mut() {
                    watched.waiting.clear();
                }
                for tx in txs {
                    self.sight(tx, None);
                }
            }
            MempoolDelta::Added { tx, .. } => self.sight(tx, None),
            MempoolDelta::Removed { txid, .. } => {
                for watched in self.subjects.values_mut() {
                    watched.waiting.remove(txid);
                }
            }
        }
    }

    /// Notes a transaction for every subject it concerns.
    fn sight(&mut self, tx: &Transaction, mined: Option<(BlockId, u32)>) {
        let txid = tx.compute_txid();
        let mut concerned: BTreeSet<Subject> = BTreeSet::from([Subject::Tx(txid)]);
        for input in &tx.input {
            concerned
                .extend(self.by_input.get(&input.previous_output).into_iter().flatten().cloned());
        }
        let scripts = tx.output.iter().map(|output| Subject::Script(output.script_pubkey.clone()));
        concerned.extend(scripts.filter(|script| self.subjects.contains_key(script)));
        let shared = std::cell::OnceCell::new();
        for subject in concerned {
            let Some(watched) = self.subjects.get_mut(&subject) else { continue };
            let is_rival = matches!(subject, Subject::Tx(wanted) if wanted != txid);
            let shared = Arc::clone(shared.get_or_init(|| Arc::new(tx.clone())));
            watched.note(txid, shared, mined, is_rival);
        }
    }
}

impl State {
    /// So deep that no further change is told.
    const fn is_settled(&self) -> bool {
        match self {
            Self::Confirmed { depth, .. } | Self::Conflicted { depth, .. } => {
                *depth > DEPTH_TOLD_MAX
            }
            Self::Unseen | Self::Mempool { .. } => false,
        }
    }
}

impl Watched {
    fn state(&self, tip_height: u32) -> State {
        let depth = |block: BlockId| tip_height.saturating_sub(block.height).saturating_add(1);
        let first = self.mined.values().min_by_key(|mined| (mined.block.height, mined.index));
        if let Some(Mined { tx, block, index }) = first {
            let tx = Arc::clone(tx);
            return State::Confirmed { tx, block: *block, index: *index, depth: depth(*block) };
        }
        if let Some((by, block)) = self.rival {
            return State::Conflicted { by, depth: depth(block) };
        }
        match self.waiting.values().next() {
            Some(tx) => State::Mempool { tx: Arc::clone(tx) },
            None => State::Unseen,
        }
    }

    fn note(
        &mut self,
        txid: Txid,
        tx: Arc<Transaction>,
        mined: Option<(BlockId, u32)>,
        is_rival: bool,
    ) {
        match mined {
            Some((block, _)) if is_rival => self.rival = Some((txid, block)),
            Some((block, index)) => {
                self.waiting.remove(&txid);
                if self.mined.len() < SIGHTINGS_MAX {
                    self.mined.insert(txid, Mined { tx, block, index });
                }
            }
            None if is_rival => {}
            None => {
                if self.waiting.len() < SIGHTINGS_MAX && !self.mined.contains_key(&txid) {
                    self.waiting.insert(txid, tx);
                }
            }
        }
    }

    /// Blocks above `height` never happened.
    fn cut(&mut self, height: u32) {
        self.mined.retain(|_, mined| mined.block.height <= height);
        self.rival = self.rival.filter(|(_, block)| block.height <= height);
    }
}

#[cfg(test)]
mod tests;
