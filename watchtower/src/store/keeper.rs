//! The thread that owns everything on disk: records, journal, index, ring.
//!
//! It takes all orders that are there, writes the records of all of them with one sync, then the facts of
//! all of them with another, and only then answers. A record enters the index in the moment in which it is
//! compared with the blocks of the ring, and a block enters the ring in the moment in which it is compared
//! with the index; one thread does both, so no record misses its block, whichever comes first.
//!
//! Not here: how it is opened (`open`), deleting for good (`compact`); below: records (`take`), sessions
//! (`session`), the disk (`group`), questions (`look`).

mod group;
mod look;
mod session;
mod take;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::store::disk::Disk;
use ::store::journal::Journal;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::index::{Index, Place, Prefix};
use crate::message::Sealed;
use crate::store::beside;
use crate::store::fact::{Fact, Opening, Part, Progress};
use crate::store::order::{
    Answer, Figures, Heard, Lasting, Late, Mode, Order, Refused, Replicated, Standing,
};
use crate::store::replicas::{self, Fundings};
use crate::store::ring::{self, Ring};
use crate::store::seal::{Cleared, Durable};
use crate::store::shelf::Shelf;
use crate::store::state::State;

/// A group is not made longer than this: one slow sync would hold up all that follow.
const GROUP_BYTES: usize = 1 << 20;
/// Nor by more records.
const GROUP_RECORDS: u32 = 4_096;
/// A snapshot is made after so many bytes of journal.
const SNAPSHOT_BYTES: u64 = 16 << 20;

/// Files of the ring that are not needed go every so many blocks.
const RETIRE_EVERY: u32 = 144;

/// What a tower gives at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions.
    pub sessions: usize,
    /// Bytes of one session.
    pub quota_bytes: u64,
    /// Blocks for which a session takes records.
    pub blocks: u32,
    /// Blocks behind that for which it is still watched.
    pub grace_blocks: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 100_000, quota_bytes: 1 << 30, blocks: 52_560, grace_blocks: 2_016 }
    }
}

/// What the keeper tells without being asked.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    /// Rung when there is something late.
    pub(crate) late: Arc<tokio::sync::Notify>,
}

/// What waits for the disk.
enum Pending {
    Append {
        session: u32,
        first_seq: u32,
        progress: Progress,
        offsets: Vec<u32>,
        records: Vec<Sealed>,
        answer: Answer<Result<Durable<Standing>, Refused>>,
    },
    Open {
        opening: Opening,
        answer: Answer<Result<Durable<Standing>, Refused>>,
    },
    Note {
        fact: Fact,
        answer: Answer<Result<Durable<()>, Refused>>,
    },
    Settle {
        facts: Vec<Fact>,
        answer: Answer<Cleared>,
    },
    Tell {
        session: u32,
        facts: Vec<Fact>,
        answer: Lasting<Heard>,
    },
}

/// The thread.
pub(crate) struct Thread<D: Disk> {
    pub(crate) shelf: Shelf<D>,
    pub(crate) journal: Journal<D>,
    pub(crate) state: State,
    pub(crate) index: Index,
    pub(crate) ring: Ring,
    pub(crate) fundings: Fundings,
    pub(crate) late: VecDeque<Late>,
    pub(crate) parts: BTreeMap<u32, Part>,
    pub(crate) bell: Bell,
    pub(crate) limits: Limits,
    pub(crate) mode: Mode,
    pub(crate) figures: Figures,
    pub(crate) inbox: mpsc::Receiver<Order>,
    pending: Vec<Pending>,
    /// How far sessions will have come with what waits.
    staged: BTreeMap<u32, Progress>,
    /// Whether places are in use outside: then no segment is written anew.
    places_out: bool,
    compact_wanted: Vec<Answer<u32>>,
    /// Whether a block was looked at in this group.
    block_done: bool,
    /// Records there had been at the block before.
    records_then: u64,
    snapshot_at: u64,
    snapshot_busy: Arc<AtomicBool>,
}

/// What opening gives the thread.
pub(crate) struct Parts<D: Disk> {
    pub(crate) shelf: Shelf<D>,
    pub(crate) journal: Journal<D>,
    pub(crate) state: State,
    pub(crate) index: Index,
    pub(crate) ring: Ring,
    pub(crate) late: VecDeque<Late>,
    pub(crate) bell: Bell,
    pub(crate) limits: Limits,
    pub(crate) inbox: mpsc::Receiver<Order>,
}

impl<D: Disk> Thread<D> {
    pub(crate) fn new(parts: Parts<D>) -> Self {
        let fundings = Fundings::of(&parts.state);
        let mut late = parts.late;
        late.extend(fundings.all());
        let bytes = parts
            .state
            .segments()
            .fold(0_u64, |sum, (_, segment)| sum.saturating_add(u64::from(segment.bytes)));
        Self {
            shelf: parts.shelf,
            journal: parts.journal,
            state: parts.state,
            index: parts.index,
            ring: parts.ring,
            fundings,
            late,
            parts: BTreeMap::new(),
            bell: parts.bell,
            limits: parts.limits,
            mode: Mode::Open,
            figures: Figures { bytes, ..Figures::default() },
            inbox: parts.inbox,
            pending: Vec::new(),
            staged: BTreeMap::new(),
            places_out: false,
            compact_wanted: Vec::new(),
            block_done: false,
            records_then: 0,
            snapshot_at: SNAPSHOT_BYTES,
            snapshot_busy: Arc::default(),
        }
    }

    /// Until the last handle is gone.
    pub(crate) fn run(mut self) {
        if !self.late.is_empty() {
            self.bell.late.notify_one();
        }
        while let Some(order) = self.inbox.blocking_recv() {
            self.take(order);
            while self.shelf.waiting_bytes() < GROUP_BYTES
                && self.shelf.waiting_records() < GROUP_RECORDS
            {
                match self.inbox.try_recv() {
                    Ok(order) => self.take(order),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.flush();
        }
        // A closed segment of the journal cannot be taken for one whose last write was torn.
        if self.mode != Mode::ReadOnly {
            let _at_the_end = self.journal.rotate();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Open { wish, answer } => self.open(wish, answer),
            Order::Append { session, first_seq, records, answer } => {
                self.append(session, first_seq, records, answer);
            }
            Order::Note { fact, answer } => {
                if self.write(std::slice::from_ref(&fact)) {
                    self.pending.push(Pending::Note { fact, answer });
                } else {
                    let _gone = answer.send(Err(Refused::ReadOnly));
                }
            }
            Order::Settle { facts, late_done, answer } => self.settle(facts, late_done, answer),
            Order::Standing { key, answer } => {
                let tip = self.state.tip();
                let found = self.state.session_of(&key);
                let _gone =
                    answer.send(found.map(|(number, s)| {
                        (Durable::attest(Standing::of(number, s, tip)), s.clone())
                    }));
            }
            Order::Block { block, before, txs, answer } => {
                let prefixes: Vec<Prefix> = txs.iter().map(|tx| Prefix::of(&tx.hint)).collect();
                if let Err(error) = ring::append(self.shelf.disk(), block, before, &prefixes) {
                    tracing::warn!(%error, "a block is not in the ring's files");
                }
                self.ring.push(block, prefixes);
                if block.height.is_multiple_of(RETIRE_EVERY) {
                    let first = self.ring.first().map_or(0, |first| first.height);
                    if let Err(error) = ring::retire(self.shelf.disk(), first) {
                        tracing::warn!(%error, "old blocks of the ring stay on the disk");
                    }
                }
                let hits = self.hits(&txs, Place { part: 0, offset: 0 });
                for hit in hits.iter().filter(|hit| !hit.replicas.is_empty()) {
                    let tx = txs.get(hit.nth);
                    self.fundings.spent(tx.map_or(&[][..], |tx| tx.inputs.as_slice()));
                }
                self.places_out |= !hits.is_empty();
                let _gone = answer.send(hits);
            }
            Order::Earlier { block, txs, answer } => {
                let hits = self.hits(&txs, self.state.compared());
                self.ring.push_front(block, txs.iter().map(|tx| Prefix::of(&tx.hint)));
                self.places_out |= !hits.is_empty();
                let _gone = answer.send(hits);
            }
            Order::Rewind { height } => self.ring.rewind(height),
            Order::Match { txs, answer } => {
                let hits = self.hits(&txs, Place { part: 0, offset: 0 });
                self.places_out |= !hits.is_empty();
                let _gone = answer.send(hits);
            }
            Order::Read { places, answer } => {
                let _gone = answer.send(self.read(&places));
            }
            Order::Late { count, answer } => {
                let count = count.min(self.late.len());
                let taken: Vec<Late> = self.late.drain(..count).collect();
                self.places_out |= !taken.is_empty();
                let _gone = answer.send(taken);
            }
            Order::Wanted { answer } => {
                let first = self.ring.first().filter(|first| first.height > 0);
                let _gone = answer.send(first.filter(|_| self.ring.has_room()));
            }
            Order::Ends { height, answer } => {
                let _gone = answer.send(self.ends(height));
            }
            Order::Sessions { answer } => {
                let all = self.state.sessions().map(|(number, s)| (number, s.clone()));
                let _gone = answer.send(all.collect());
            }
            Order::Look { session, first_seq, last_seq, answer } => {
                let parts = self.segments_with(session, first_seq, last_seq);
                let seqs = (first_seq, last_seq);
                let search = beside::search(self.shelf.disk().clone(), parts, session, seqs);
                let _gone = answer.send(search);
            }
            Order::Tell { session, update, now, answer } => {
                self.tell(session, *update, now, answer);
            }
            Order::Replica { session, answer } => {
                let found = self.state.session(session);
                let _gone = answer.send(found.map(|found| Replicated {
                    opening: found.opening.clone(),
                    told: found.told.clone(),
                    htlcs: replicas::htlcs(self.shelf.disk(), session, found.told.htlcs),
                }));
            }
            Order::PutCheckpoint { session, version, bytes, answer } => {
                let put = match self.mode {
                    Mode::ReadOnly => Err((Refused::ReadOnly, 0)),
                    Mode::Open | Mode::Draining | Mode::Full => {
                        beside::put_checkpoint(self.shelf.disk(), session, version, &bytes)
                    }
                };
                let _gone = answer.send(put.map(Durable::attest));
            }
            Order::Checkpoint { session, answer } => {
                let found = beside::checkpoint(self.shelf.disk(), session);
                let _gone = answer.send(found.map_err(|_| Refused::ReadOnly));
            }
            Order::Figures { answer } => {
                let _gone = answer.send(self.count());
            }
            Order::State { answer } => {
                let _gone = answer.send(self.state.clone());
            }
            Order::Drain { drain } => {
                self.mode = match (self.mode, drain) {
                    (Mode::ReadOnly, _) => Mode::ReadOnly,
                    (_, true) => Mode::Draining,
                    (_, false) => Mode::Open,
                };
            }
            Order::Compact { answer } => {
                self.compact_wanted.push(answer);
            }
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
