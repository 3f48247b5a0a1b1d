//! What makes a group of orders durable: records with one sync, facts with another, then all the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::store::disk::Disk;

use crate::index::Place;
use crate::store::compact;
use crate::store::fact::{self, Fact};
use crate::store::keeper::{Pending, SNAPSHOT_BYTES, Thread};
use crate::store::order::{Answer, Heard, Mode, Refused, Standing};
use crate::store::seal::{Cleared, Durable};
use crate::store::shelf::ShelfError;

impl<D: Disk> Thread<D> {
    /// Queues facts for the journal; `false` if it is of no more use.
    pub(super) fn write(&mut self, facts: &[Fact]) -> bool {
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

    pub(super) fn settle(
        &mut self,
        mut facts: Vec<Fact>,
        late_done: bool,
        answer: Answer<Cleared>,
    ) {
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
        if self.mode == Mode::ReadOnly {
            for answer in std::mem::take(&mut self.compact_wanted) {
                let _gone = answer.send(0);
            }
        } else if !self.places_out && self.late.is_empty() {
            self.make_room();
        }
    }

    /// Writes segments anew: all that are due by order, one after a quiet block.
    fn make_room(&mut self) {
        let block_done = std::mem::take(&mut self.block_done);
        if !self.compact_wanted.is_empty() {
            let done = compact::compact(self, usize::MAX);
            for answer in std::mem::take(&mut self.compact_wanted) {
                let _gone = answer.send(done);
            }
        } else if block_done {
            let is_quiet = self.records_then == self.figures.records;
            self.records_then = self.figures.records;
            if is_quiet || self.mode == Mode::Full {
                let done = compact::compact(self, 1);
                self.figures.compacted = self.figures.compacted.saturating_add(u64::from(done));
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
            Pending::Tell { session, facts, answer } => {
                let mut heard = Err(Refused::ReadOnly);
                if written {
                    facts.iter().for_each(|fact| self.note(fact));
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
                self.block_done |= facts.iter().any(|f| matches!(f, Fact::BlockConnected { .. }));
                facts.iter().for_each(|fact| self.state.apply(fact));
                let _gone = answer.send(Cleared::attest(written));
            }
        }
    }

    /// A fact of a session, and what the thread keeps beside the state.
    pub(super) fn note(&mut self, fact: &Fact) {
        let late = self.fundings.follow(&mut self.state, fact);
        if !late.is_empty() {
            self.late.extend(late);
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
}
