//! Records that are taken: which of them are new, how far their session comes with them, and what they are
//! compared with once the disk has them.

use ::store::disk::Disk;

use crate::index::{Place, Prefix};
use crate::message::Sealed;
use crate::store::fact::{Kit, Progress};
use crate::store::keeper::{Pending, Thread, count};
use crate::store::order::{Answer, Late, Mode, Refused, Standing};
use crate::store::seal::Durable;
use crate::store::segment::SEALED_MAX;
use crate::store::state::{add_part, counts_for};

/// Records that wait to be compared with recent blocks; above it none are taken.
const LATE_MAX: usize = 65_536;

impl<D: Disk> Thread<D> {
    pub(super) fn append(
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

    /// Durable records enter the index and are compared with recent blocks.
    pub(super) fn enter(
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
}
