//! The thread that owns everything on disk: records, journal, index, ring.
//!
//! It takes all orders that are there, writes the records of all of them with one sync, then the facts of
//! all of them with another, and only then answers. A record enters the index in the moment in which it is
//! compared with the blocks of the ring, and a block enters the ring in the moment in which it is compared
//! with the index; one thread does both, so no record misses its block, whichever comes first.
//!
//! Not here: how it is opened (`open`), deleting for good (`compact`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::store::disk::Disk;
use ::store::journal::Journal;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::index::{Index, Place, Prefix};
use crate::message::{ReplicaUpdate, Sealed};
use crate::store::beside;
use crate::store::compact;
use crate::store::fact::{self, Fact, Kit, Opening, Part, Progress};
use crate::store::order::{
    Answer, Ends, Figures, Found, Heard, Hit, Lasting, Late, Mode, Order, Refused, Replicated,
    Sighting, Standing, Wish,
};
use crate::store::replicas::{self, Fundings};
use crate::store::ring::{self, Ring};
use crate::store::seal::{Cleared, Durable};
use crate::store::segment::SEALED_MAX;
use crate::store::shelf::{self, Shelf, ShelfError};
use crate::store::state::{State, add_part, counts_for};

/// A group is not made longer than this: one slow sync would hold up all that follow.
const GROUP_BYTES: usize = 1 << 20;
/// Nor by more records.
const GROUP_RECORDS: u32 = 4_096;
/// Records that wait to be compared with recent blocks; above it none are taken.
const LATE_MAX: usize = 65_536;
/// A snapshot is made after so many bytes of journal.
const SNAPSHOT_BYTES: u64 = 16 << 20;

/// Files of the ring that are not needed go every so many blocks.
const RETIRE_EVERY: u32 = 144;
/// A session without any record is forgotten after so many blocks.
const UNUSED_BLOCKS: u32 = 144;
/// Who ends within so many blocks is said.
const EXPIRING_BLOCKS: u32 = 2_016;

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
        fact: Fact,
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
            Order::Tell { session, update, answer } => self.tell(session, *update, answer),
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

    /// Whether the ring has every block that it ever will have.
    fn ring_is_whole(&self) -> bool {
        self.ring.first().is_some_and(|first| first.height == 0 || !self.ring.has_room())
    }

    /// Queues facts for the journal; `false` if it is of no more use.
    fn write(&mut self, facts: &[Fact]) -> bool {
        if self.mode == Mode::ReadOnly {
            return false;
        }
        match self.journal.append(&fact::encode(facts)) {
            Ok(_) => true,
            Err(error) => {
                self.stop_writing(&error);
                false
            }
        }
    }

    pub(crate) fn stop_writing(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.mode != Mode::ReadOnly {
            tracing::error!(error, "the tower takes nothing any more; it still watches");
        }
        self.mode = Mode::ReadOnly;
    }

    fn settle(&mut self, mut facts: Vec<Fact>, late_done: bool, answer: Answer<Cleared>) {
        if late_done {
            self.places_out = false;
        }
        let end = self.shelf.end();
        if late_done && self.ring_is_whole() && self.late.is_empty() && self.state.compared() < end
        {
            facts.push(Fact::Compared { place: end });
        }
        if !facts.is_empty() && !self.write(&facts) {
            // What is not written is found again from the place on the chain, which is not written either.
            facts.iter().for_each(|fact| self.state.apply(fact));
            let _gone = answer.send(Cleared::attest(false));
            return;
        }
        self.pending.push(Pending::Settle { facts, answer });
    }

    fn open(&mut self, wish: Wish, answer: Answer<Result<Durable<Standing>, Refused>>) {
        let refuse = match self.opening(wish) {
            Ok(Ok(standing)) => Ok(Durable::attest(standing)),
            Ok(Err(opening)) => {
                if self.write(&[Fact::Opened(opening.clone())]) {
                    self.pending.push(Pending::Open { opening, answer });
                    // The next order may be for it.
                    self.flush();
                    return;
                }
                Err(Refused::ReadOnly)
            }
            Err(refused) => Err(refused),
        };
        let _gone = answer.send(refuse);
    }

    /// The session there is, or the one to be opened.
    fn opening(&self, wish: Wish) -> Result<Result<Standing, Opening>, Refused> {
        let tip = self.state.tip();
        if let Some((number, session)) = self.state.session_of(&wish.key) {
            let same = session.opening.kit == wish.kit && session.opening.template == wish.template;
            if same {
                return Ok(Ok(Standing::of(number, session, tip)));
            }
            if !wish.replaces || session.is_used() {
                return Err(Refused::Otherwise);
            }
        }
        if self.mode != Mode::Open {
            return Err(if self.mode == Mode::ReadOnly {
                Refused::ReadOnly
            } else {
                Refused::Busy
            });
        }
        if self.state.sessions().count() >= self.limits.sessions {
            return Err(Refused::TooMany);
        }
        let height = tip.map_or(0, |tip| tip.height);
        Ok(Err(Opening {
            session: self.state.next_session(),
            key: wish.key,
            kit: wish.kit,
            template: wish.template,
            quota_bytes: wish.quota_bytes.min(self.limits.quota_bytes),
            quota_records: wish.quota_records,
            expiry_height: height.saturating_add(wish.blocks.min(self.limits.blocks)),
            opened_height: height,
        }))
    }

    fn append(
        &mut self,
        session: u32,
        first_seq: u32,
        mut records: Vec<Sealed>,
        answer: Answer<Result<Durable<Standing>, Refused>>,
    ) {
        match self.stage(session, first_seq, &mut records) {
            Ok(Some(progress)) => {
                let first_seq = progress.next_seq().saturating_sub(count(records.len()));
                let offsets = self.shelf.stage(session, first_seq, &records);
                self.staged.insert(session, progress.clone());
                let append =
                    Pending::Append { session, first_seq, progress, offsets, records, answer };
                self.pending.push(append);
            }
            Ok(None) => {
                let tip = self.state.tip();
                let found = self.state.session(session).ok_or(Refused::NoSession);
                let standing = found.map(|s| Durable::attest(Standing::of(session, s, tip)));
                let _gone = answer.send(standing);
            }
            Err(refused) => {
                let _gone = answer.send(Err(refused));
            }
        }
    }

    /// How far the session will have come with these records, without those that the disk has already;
    /// `None` if it has them all.
    fn stage(
        &mut self,
        session: u32,
        first_seq: u32,
        records: &mut Vec<Sealed>,
    ) -> Result<Option<Progress>, Refused> {
        match self.mode {
            Mode::Open | Mode::Full => {}
            Mode::Draining => return Err(Refused::Busy),
            Mode::ReadOnly => return Err(Refused::ReadOnly),
        }
        let mut next = self.progress(session)?.next_seq();
        if first_seq > next {
            return Err(Refused::Gap { expected: next });
        }
        if records.iter().any(|record| record.ciphertext.len() > SEALED_MAX) {
            return Err(Refused::TooLong);
        }
        if first_seq < next {
            // What is sent again may still wait itself.
            self.flush();
            next = self.progress(session)?.next_seq();
            if first_seq > next {
                return Err(Refused::Gap { expected: next });
            }
            let known = usize::try_from(next.saturating_sub(first_seq)).unwrap_or(usize::MAX);
            for (seq, record) in (first_seq..).zip(records.iter().take(known)) {
                if !self.has(session, seq, record) {
                    return Err(Refused::Differs);
                }
            }
            records.drain(..known.min(records.len()));
        }
        if records.is_empty() {
            return Ok(None);
        }
        if self.late.len() >= LATE_MAX {
            return Err(Refused::Busy);
        }
        let mut progress = self.progress(session)?.clone();
        let Some(found) = self.state.session(session) else { return Err(Refused::NoSession) };
        if !found.is_open(self.state.tip().map_or(0, |tip| tip.height)) {
            return Err(Refused::Expired);
        }
        let more = records.iter().fold(0_u64, |sum, r| sum.saturating_add(counts_for(r)));
        let full = progress.used_bytes.saturating_add(more) > found.opening.quota_bytes
            || next.saturating_add(count(records.len())) > found.opening.quota_records;
        if full || found.is(Kit::Replica) {
            return Err(Refused::Quota);
        }
        for record in records.iter() {
            progress.add(&record.hint, &record.ciphertext);
        }
        Ok(Some(progress))
    }

    /// HTLCs into the archive first, then the fact that counts them.
    fn tell(
        &mut self,
        session: u32,
        update: ReplicaUpdate,
        answer: Answer<Result<Durable<Heard>, Refused>>,
    ) {
        match self.telling(session, update) {
            Ok(fact) if self.write(std::slice::from_ref(&fact)) => {
                self.pending.push(Pending::Tell { session, fact, answer });
                // The next update is measured against this one.
                self.flush();
            }
            Ok(_) => {
                let _gone = answer.send(Err(Refused::ReadOnly));
            }
            Err(refused) => {
                let _gone = answer.send(Err(refused));
            }
        }
    }

    fn telling(&self, session: u32, update: ReplicaUpdate) -> Result<Fact, Refused> {
        match self.mode {
            Mode::Open | Mode::Full => {}
            Mode::Draining => return Err(Refused::Busy),
            Mode::ReadOnly => return Err(Refused::ReadOnly),
        }
        let found = self.state.session(session).ok_or(Refused::NoSession)?;
        if !found.is(Kit::Replica) {
            return Err(Refused::Otherwise);
        }
        if !found.is_open(self.state.tip().map_or(0, |tip| tip.height)) {
            return Err(Refused::Expired);
        }
        let ReplicaUpdate { first, secrets, chain, first_htlc, htlcs, fundings } = update;
        let mut told = found.told.clone();
        told.reveal(first, &secrets, &chain).map_err(|_| Refused::Differs)?;
        if first_htlc > told.htlcs {
            let expected = u32::try_from(told.htlcs).unwrap_or(u32::MAX);
            return Err(Refused::Gap { expected });
        }
        let known = usize::try_from(told.htlcs.saturating_sub(first_htlc)).unwrap_or(usize::MAX);
        let new = htlcs.get(known..).unwrap_or_default();
        let more = u64::try_from(new.len()).unwrap_or(u64::MAX);
        let all = told.htlcs.saturating_add(more);
        if all.saturating_mul(replicas::HTLC_BYTES) > found.opening.quota_bytes
            || told.fundings.len().saturating_add(fundings.len()) > replicas::FUNDINGS_MAX
        {
            return Err(Refused::Quota);
        }
        if !new.is_empty() {
            replicas::archive(self.shelf.disk(), session, told.htlcs, new).map_err(|error| {
                if shelf::is_full(&error) { Refused::Full } else { Refused::ReadOnly }
            })?;
        }
        Ok(Fact::Replica { session, first, secrets, chain, htlcs: all, fundings })
    }

    /// How far a session has come, with what waits.
    fn progress(&self, session: u32) -> Result<&Progress, Refused> {
        let known = self.state.session(session).ok_or(Refused::NoSession)?;
        Ok(self.staged.get(&session).unwrap_or(&known.progress))
    }

    /// Whether the disk has this record under this number.
    fn has(&self, session: u32, seq: u32, record: &Sealed) -> bool {
        let places: Vec<Place> = self.index.find(Prefix::of(&record.hint)).collect();
        // A page at a time: many records may have the same hint.
        places.chunks(256).any(|places| {
            let stored = self.shelf.read(places).unwrap_or_default();
            stored.iter().flatten().any(|stored| {
                (stored.session, stored.seq) == (session, seq) && stored.sealed == *record
            })
        })
    }

    /// Makes everything durable that waits, then answers.
    pub(crate) fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.staged.clear();
        let base = match self.shelf.sync() {
            Ok(base) => {
                if base.is_some() {
                    self.figures.groups = self.figures.groups.saturating_add(1);
                    self.mode = if self.mode == Mode::Full { Mode::Open } else { self.mode };
                }
                Ok(base)
            }
            Err(ShelfError::Full) => {
                tracing::warn!("the disk is full: no records are taken until there is room");
                self.mode = if self.mode == Mode::Open { Mode::Full } else { self.mode };
                Err(Refused::Full)
            }
            Err(error) => {
                self.stop_writing(&error);
                Err(Refused::ReadOnly)
            }
        };
        if self.journal.queued_bytes() > 0
            && let Err(error) = self.journal.sync()
        {
            self.stop_writing(&error);
        }
        for waited in pending {
            self.arrive(waited, base);
        }
        self.after_group();
        if !self.compact_wanted.is_empty() && !self.places_out && self.late.is_empty() {
            let done = compact::compact(self);
            for answer in std::mem::take(&mut self.compact_wanted) {
                let _gone = answer.send(done);
            }
        }
    }

    fn arrive(&mut self, waited: Pending, base: Result<Option<Place>, Refused>) {
        let written = self.mode != Mode::ReadOnly;
        match waited {
            Pending::Append { session, first_seq, progress, offsets, records, answer } => {
                let arrived =
                    base.and_then(|base| base.ok_or(Refused::ReadOnly)).and_then(|base| {
                        self.enter(base, (session, first_seq), &offsets, &records);
                        self.state.come(session, progress);
                        let tip = self.state.tip();
                        let found = self.state.session(session).ok_or(Refused::NoSession)?;
                        Ok(Durable::attest(Standing::of(session, found, tip)))
                    });
                let _gone = answer.send(arrived);
            }
            Pending::Open { opening, answer } => {
                let number = opening.session;
                let mut opened = Err(Refused::ReadOnly);
                if written {
                    self.note(&Fact::Opened(opening));
                    let tip = self.state.tip();
                    let found = self.state.session(number).ok_or(Refused::NoSession);
                    opened = found.map(|s| Durable::attest(Standing::of(number, s, tip)));
                }
                let _gone = answer.send(opened);
            }
            Pending::Note { fact, answer } => {
                let noted = if written {
                    self.note(&fact);
                    Ok(Durable::attest(()))
                } else {
                    Err(Refused::ReadOnly)
                };
                let _gone = answer.send(noted);
            }
            Pending::Tell { session, fact, answer } => {
                let mut heard = Err(Refused::ReadOnly);
                if written {
                    self.note(&fact);
                    let tip = self.state.tip();
                    let found = self.state.session(session).ok_or(Refused::NoSession);
                    heard = found.map(|found| {
                        Durable::attest(Heard {
                            count: found.told.secrets.count(),
                            htlcs: found.told.htlcs,
                            standing: Standing::of(session, found, tip),
                        })
                    });
                }
                let _gone = answer.send(heard);
            }
            Pending::Settle { facts, answer } => {
                facts.iter().for_each(|fact| self.state.apply(fact));
                let _gone = answer.send(Cleared::attest(written));
            }
        }
    }

    /// A fact of a session, and what the thread keeps beside the state.
    fn note(&mut self, fact: &Fact) {
        let late = self.fundings.follow(&mut self.state, fact);
        if !late.is_empty() {
            self.late.extend(late);
            self.bell.late.notify_one();
        }
    }

    /// Durable records enter the index and are compared with recent blocks.
    fn enter(
        &mut self,
        base: Place,
        (session, first_seq): (u32, u32),
        offsets: &[u32],
        records: &[Sealed],
    ) {
        let mut is_late = false;
        for ((offset, record), seq) in offsets.iter().zip(records).zip(first_seq..) {
            let place = Place { part: base.part, offset: base.offset.saturating_add(*offset) };
            let prefix = Prefix::of(&record.hint);
            self.index.insert(prefix, place);
            self.shelf.list(prefix, place);
            add_part(&mut self.parts, session, seq, &record.ciphertext);
            for seen in self.ring.find(prefix) {
                if let Some(block) = self.ring.block(seen.part) {
                    self.late.push_back(Late::Record { place, block });
                    is_late = true;
                }
            }
        }
        self.figures.records = self.figures.records.saturating_add(u64::from(count(records.len())));
        if is_late {
            self.bell.late.notify_one();
        }
    }

    /// Closes a long segment, makes a snapshot of a long journal.
    fn after_group(&mut self) {
        if self.mode == Mode::ReadOnly {
            return;
        }
        if self.shelf.is_long() {
            self.close_segment();
        }
        if self.journal.stats().written_bytes >= self.snapshot_at
            && !self.snapshot_busy.swap(true, Ordering::SeqCst)
        {
            self.snapshot_at = self.journal.stats().written_bytes.saturating_add(SNAPSHOT_BYTES);
            if let Err(error) = self.snapshot() {
                self.stop_writing(&error);
            }
        }
    }

    /// Closes the open segment, if there is one, with how far its sessions have come.
    pub(crate) fn close_segment(&mut self) {
        let closed = match self.shelf.close() {
            Ok(Some(closed)) => closed,
            Ok(None) => return,
            Err(error) => {
                // It stays open and grows; the list is made another time.
                tracing::warn!(%error, "a segment is not closed yet");
                return;
            }
        };
        let parts = std::mem::take(&mut self.parts);
        let progress = parts.keys().filter_map(|session| {
            self.state.session(*session).map(|found| (*session, found.progress.clone()))
        });
        let fact = Fact::Closed {
            segment: closed.number,
            bytes: closed.bytes,
            progress: progress.collect(),
            parts: parts.into_iter().collect(),
        };
        self.figures.bytes = self.figures.bytes.saturating_add(u64::from(closed.bytes));
        self.record(&[fact]);
    }

    /// Makes facts of the keeper's own true at once; whether the disk has them.
    pub(crate) fn record(&mut self, facts: &[Fact]) -> bool {
        if !self.write(facts) {
            return false;
        }
        if let Err(error) = self.journal.sync() {
            self.stop_writing(&error);
            return false;
        }
        facts.iter().for_each(|fact| self.state.apply(fact));
        true
    }

    fn snapshot(&mut self) -> Result<(), ::store::journal::JournalError> {
        let upto = self.journal.rotate()?;
        let (history, bytes) = (self.journal.history(), self.state.encode());
        let busy = Arc::clone(&self.snapshot_busy);
        let work = move || {
            let written = history.write_snapshot(upto, &bytes).and_then(|()| history.retire());
            if let Err(error) = written {
                // The journal still has everything.
                tracing::warn!(%error, "no snapshot was made");
            }
            busy.store(false, Ordering::SeqCst);
        };
        let spawned = std::thread::Builder::new().name("tower-snapshot".to_owned()).spawn(work);
        if spawned.is_err() {
            self.snapshot_busy.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// What may concern these transactions, among records from a place on.
    fn hits(&self, txs: &[Sighting], from: Place) -> Vec<Hit> {
        let hit = |(nth, tx): (usize, &Sighting)| {
            let places: Vec<Place> =
                self.index.find(Prefix::of(&tx.hint)).filter(|place| *place >= from).collect();
            let replicas: Vec<u32> = if self.fundings.is_empty() {
                Vec::new()
            } else {
                tx.inputs.iter().filter_map(|input| self.fundings.session(input)).collect()
            };
            let none = places.is_empty() && replicas.is_empty();
            (!none).then_some(Hit { nth, places, replicas })
        };
        txs.iter().enumerate().filter_map(hit).collect()
    }

    fn read(&self, places: &[Place]) -> Vec<Option<Found>> {
        let read = match self.shelf.read(places) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "records cannot be read");
                Vec::new()
            }
        };
        let mut read = read.into_iter();
        let next = |_: &Place| {
            let stored = read.next().flatten()?;
            let session = self.state.session(stored.session)?;
            if session.has_forgotten(stored.seq) {
                return None;
            }
            let opening = session.opening.clone();
            Some(Found { stored, opening })
        };
        places.iter().map(next).collect()
    }

    fn segments_with(&self, session: u32, first_seq: u32, last_seq: u32) -> Vec<(u32, u32)> {
        let overlaps = |part: &Part| part.first_seq <= last_seq && first_seq <= part.last_seq;
        let closed = self
            .state
            .segments()
            .filter(|(_, segment)| segment.parts.get(&session).is_some_and(overlaps));
        let mut found: Vec<(u32, u32)> =
            closed.map(|(number, segment)| (number, segment.bytes)).collect();
        if self.parts.get(&session).is_some_and(overlaps) {
            let end = self.shelf.end();
            found.push((end.part, end.offset));
        }
        found
    }

    fn ends(&self, height: u32) -> Ends {
        let grace = self.limits.grace_blocks;
        let mut ends = Ends::default();
        for (number, session) in self.state.sessions() {
            let (opening, expiry) = (&session.opening, session.opening.expiry_height);
            let unused = !session.is_used();
            if height > expiry.saturating_add(grace)
                || (unused && height > opening.opened_height.saturating_add(UNUSED_BLOCKS))
            {
                ends.over.push(number);
            } else if height <= expiry && expiry <= height.saturating_add(EXPIRING_BLOCKS) {
                ends.expiring.push((number, expiry));
            }
        }
        ends
    }

    fn count(&self) -> Figures {
        let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let ring_blocks = match (self.ring.first(), self.ring.tip()) {
            (Some(first), Some(tip)) => {
                u64::from(tip.height.saturating_sub(first.height).saturating_add(1))
            }
            _ => 0,
        };
        Figures {
            indexed: size(self.index.len()),
            bytes: self.figures.bytes.saturating_add(u64::from(self.shelf.end().offset)),
            segments: size(self.state.segments().count()),
            sessions: size(self.state.sessions().count()),
            index_bytes: size(self.index.bytes()),
            ring_bytes: size(self.ring.bytes()),
            ring_blocks,
            mode: self.mode,
            ..self.figures.clone()
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
