//! What all facts add up to: sessions, segments, the place on the chain, breaches.
//!
//! A fold without any policy; a start, a snapshot and a crash at any moment come to the same. How far a
//! session has come is in it as of its last closed segment, and what the open one has is counted again from
//! the records themselves.
//!
//! Not here: who decides (`keeper`, `watch`), the records (`shelf`).

use std::collections::BTreeMap;

use bitcoin::OutPoint;
use chain_backend::{BlockId, Locator};
use channel::shachain::{RevealedSecrets, ShachainError};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::hint::Hint;
use crate::index::Place;
use crate::message::Sealed;
use crate::proof::mmr;
use crate::respond::book::Book;
use crate::respond::fact::ClaimFact;
use crate::store::fact::{Fact, Kit, Opening, Part, Progress, bytes, list, read_list, take};

/// First byte of a snapshot. Version 1 lacks what stands at its end now.
const VERSION: u8 = 2;

/// A client's session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// As it was opened, with what it was granted since.
    pub opening: Opening,
    /// How far it has come.
    pub progress: Progress,
    /// What a replica was told.
    pub told: Told,
    /// Records that are nobody's any more: first and last number, rising.
    pub forgotten: Vec<(u32, u32)>,
}

/// What a replica session was told, but the HTLCs: those are in the archive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// The secrets of revoked commitments.
    pub secrets: RevealedSecrets,
    /// How many HTLCs.
    pub htlcs: u64,
    /// Funding outputs beside those of the template.
    pub fundings: Vec<OutPoint>,
    /// What a valid commitment may show, under the tower's disk key; empty if that was never told.
    pub now: Vec<u8>,
}

/// A closed segment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Segment {
    /// Its length.
    pub bytes: u32,
    /// What it has of each session, gone ones included.
    pub parts: BTreeMap<u32, Part>,
}

/// Everything but the records.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    sessions: BTreeMap<u32, Session>,
    by_key: BTreeMap<[u8; 33], u32>,
    next_session: u32,
    segments: BTreeMap<u32, Segment>,
    /// The last segment that was ever closed.
    closed: Option<u32>,
    cursor: Option<Locator>,
    compared: Option<Place>,
    /// All breaches.
    pub book: Book,
}

impl State {
    /// Follows one fact.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Opened(opening) => {
                self.next_session = self.next_session.max(opening.session.saturating_add(1));
                // A session of the same key that was never used makes room.
                if let Some(old) = self.by_key.insert(opening.key, opening.session) {
                    self.sessions.remove(&old);
                }
                let session = Session {
                    opening: opening.clone(),
                    progress: Progress::default(),
                    told: Told::default(),
                    forgotten: Vec::new(),
                };
                self.sessions.insert(opening.session, session);
            }
            Fact::Granted { session, quota_bytes, expiry_height } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.opening.quota_bytes = *quota_bytes;
                    session.opening.expiry_height = *expiry_height;
                }
            }
            Fact::Dropped { session } => {
                if let Some(gone) = self.sessions.remove(session) {
                    self.by_key.remove(&gone.opening.key);
                }
            }
            Fact::Closed { segment, bytes, parts, progress } => {
                let parts = parts.iter().copied().collect();
                self.segments.insert(*segment, Segment { bytes: *bytes, parts });
                self.closed = self.closed.max(Some(*segment));
                for (session, progress) in progress {
                    if let Some(session) = self.sessions.get_mut(session) {
                        session.progress = progress.clone();
                    }
                }
            }
            Fact::Rewritten { segment, bytes, parts } => {
                let parts = parts.iter().copied().collect();
                self.segments.insert(*segment, Segment { bytes: *bytes, parts });
            }
            Fact::Emptied { segment } => {
                self.segments.remove(segment);
            }
            Fact::BlockConnected { height, hash } => {
                let block = BlockId { height: *height, hash: *hash };
                match &mut self.cursor {
                    Some(cursor) => cursor.advance(block),
                    None => self.cursor = Some(Locator::at(block)),
                }
            }
            Fact::BlocksDisconnected { height, hash } => {
                if let Some(cursor) = &mut self.cursor {
                    cursor.rewind(BlockId { height: *height, hash: *hash });
                }
                self.book.apply(&ClaimFact::Rewound { height: *height });
            }
            Fact::Compared { place } => self.compared = Some(*place),
            Fact::Claim(claim) => self.book.apply(claim),
            Fact::Replica { session, first, secrets, chain, htlcs, fundings } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    // It was checked before it was written.
                    let _same = session.told.reveal(*first, secrets, chain);
                    session.told.htlcs = *htlcs;
                    session.told.fund(fundings);
                }
            }
            Fact::ReplicaNow { session, sealed } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.told.now.clone_from(sealed);
                }
            }
            Fact::Forgotten { session, first_seq, last_seq } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.forget(*first_seq, *last_seq);
                }
            }
        }
    }

    /// Counts a durable record of the open segment. `false` if it is not the next of its session: then it is
    /// nobody's.
    pub fn count(&mut self, session: u32, seq: u32, hint: &Hint, ciphertext: &[u8]) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else { return false };
        if session.progress.mmr.count() != seq {
            return false;
        }
        session.progress.add(hint, ciphertext);
        true
    }

    /// Sets how far a session has come, when its records are durable.
    pub(crate) fn come(&mut self, session: u32, progress: Progress) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.progress = progress;
        }
    }

    /// A session.
    pub fn session(&self, session: u32) -> Option<&Session> {
        self.sessions.get(&session)
    }

    /// The session of a key.
    pub fn session_of(&self, key: &[u8; 33]) -> Option<(u32, &Session)> {
        let session = *self.by_key.get(key)?;
        self.sessions.get(&session).map(|found| (session, found))
    }

    /// All sessions, by number.
    pub fn sessions(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.sessions.iter().map(|(number, session)| (*number, session))
    }

    /// The number of the next session.
    pub const fn next_session(&self) -> u32 {
        self.next_session
    }

    /// Closed segments, by number.
    pub fn segments(&self) -> impl Iterator<Item = (u32, &Segment)> {
        self.segments.iter().map(|(number, segment)| (*number, segment))
    }

    /// One of them.
    pub fn segment(&self, segment: u32) -> Option<&Segment> {
        self.segments.get(&segment)
    }

    /// The last segment that was ever closed.
    pub const fn last_closed(&self) -> Option<u32> {
        self.closed
    }

    /// Up to where the chain was looked at; `None` before the first block.
    pub const fn cursor(&self) -> Option<&Locator> {
        self.cursor.as_ref()
    }

    /// The last block that was looked at.
    pub fn tip(&self) -> Option<BlockId> {
        self.cursor.as_ref().map(Locator::tip)
    }

    /// Every record before this place was compared with the blocks of the ring.
    pub fn compared(&self) -> Place {
        self.compared.unwrap_or(Place { part: 0, offset: 0 })
    }

    /// Records of closed segments whose sessions are gone, in that segment, and all of it, in bytes.
    pub fn dead_bytes(&self, segment: &Segment) -> (u64, u64) {
        let (mut dead, mut all) = (0_u64, 0_u64);
        for (session, part) in &segment.parts {
            all = all.saturating_add(part.bytes);
            if !self.sessions.contains_key(session) {
                dead = dead.saturating_add(part.bytes);
            }
        }
        (dead, all)
    }

    /// The bytes of a snapshot.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.next_session.encode(&mut out);
        let sessions: Vec<(u32, Session)> =
            self.sessions.iter().map(|(number, session)| (*number, session.clone())).collect();
        list(&sessions, &mut out);
        let segments: Vec<(u32, Segment)> =
            self.segments.iter().map(|(number, segment)| (*number, segment.clone())).collect();
        list(&segments, &mut out);
        option(self.closed.as_ref(), &mut out);
        bytes(&self.cursor.as_ref().map(Locator::encode).unwrap_or_default(), &mut out);
        option(self.compared.as_ref(), &mut out);
        self.book.encode(&mut out);
        let told = self.sessions.iter().filter(|(_, session)| !session.told.now.is_empty());
        for (number, session) in told {
            number.encode(&mut out);
            bytes(&session.told.now, &mut out);
        }
        out
    }

    /// From a snapshot.
    ///
    /// # Errors
    /// If the bytes are not a snapshot of this version.
    pub fn decode(snapshot: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(snapshot);
        if !(1..=VERSION).contains(&u8::decode(&mut r)?) {
            return Err(DecodeError::Range);
        }
        let mut state = Self { next_session: u32::decode(&mut r)?, ..Self::default() };
        for (number, session) in read_list::<Session>(&mut r)? {
            state.by_key.insert(session.opening.key, number);
            state.sessions.insert(number, session);
        }
        state.segments = read_list::<Segment>(&mut r)?.into_iter().collect();
        state.closed = read_option(&mut r)?;
        let cursor = take(&mut r)?;
        if !cursor.is_empty() {
            state.cursor = Some(Locator::decode(cursor).map_err(|_| DecodeError::Range)?);
        }
        state.compared = read_option(&mut r)?;
        state.book = Book::decode(&mut r)?;
        while !r.is_empty() {
            let (number, now) = (u32::decode(&mut r)?, take(&mut r)?.to_vec());
            let session = state.sessions.get_mut(&number).ok_or(DecodeError::Range)?;
            session.told.now = now;
        }
        Ok(state)
    }
}

impl Progress {
    /// One record more.
    pub fn add(&mut self, hint: &Hint, ciphertext: &[u8]) {
        let seq = self.mmr.count();
        self.mmr.append(mmr::leaf(seq, &hint.0, ciphertext));
        self.used_bytes = self.used_bytes.saturating_add(weight(ciphertext));
    }

    /// The number of the next record.
    pub const fn next_seq(&self) -> u32 {
        self.mmr.count()
    }
}

/// What a record counts for, in bytes.
pub fn counts_for(record: &Sealed) -> u64 {
    weight(&record.ciphertext)
}

fn weight(ciphertext: &[u8]) -> u64 {
    u64::try_from(ciphertext.len()).unwrap_or(u64::MAX).saturating_add(16)
}

impl Session {
    /// Whether records are still taken at this height.
    pub const fn is_open(&self, height: u32) -> bool {
        height <= self.opening.expiry_height
    }

    /// Whether anything was ever stored in it.
    pub const fn is_used(&self) -> bool {
        self.progress.next_seq() > 0
            || self.told.secrets.count() > 0
            || self.told.htlcs > 0
            || !self.told.now.is_empty()
    }

    /// Whether it is one of the given kit.
    pub fn is(&self, kit: Kit) -> bool {
        self.opening.kit == kit
    }
}

impl Session {
    /// Whether its client needs this record no more.
    pub fn has_forgotten(&self, seq: u32) -> bool {
        self.forgotten.iter().any(|(first, last)| *first <= seq && seq <= *last)
    }

    fn forget(&mut self, first: u32, last: u32) {
        self.forgotten.push((first, last));
        self.forgotten.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in self.forgotten.drain(..) {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        self.forgotten = merged;
    }
}

impl Told {
    /// Takes more secrets: in a row, or all in one.
    ///
    /// # Errors
    /// If they do not fit those that are known.
    pub fn reveal(
        &mut self,
        first: u64,
        secrets: &[[u8; 32]],
        chain: &[u8],
    ) -> Result<(), ShachainError> {
        let mut next = self.secrets.clone();
        if !chain.is_empty() {
            let said = RevealedSecrets::from_bytes(chain)?;
            let both = next.count().min(said.count());
            let last = both.saturating_sub(1);
            if both > 0 && next.secret(last) != said.secret(last) {
                return Err(ShachainError::Unrelated { number: last });
            }
            next = if said.count() > next.count() { said } else { next };
        }
        for (number, secret) in (first..).zip(secrets) {
            match next.secret(number) {
                Some(known) if known == *secret => {}
                Some(_) => return Err(ShachainError::Unrelated { number }),
                None => next.insert(number, *secret)?,
            }
        }
        self.secrets = next;
        Ok(())
    }

    fn fund(&mut self, fundings: &[OutPoint]) {
        for funding in fundings {
            if !self.fundings.contains(funding) {
                self.fundings.push(*funding);
            }
        }
    }
}

impl Encode for Session {
    fn encode(&self, out: &mut Vec<u8>) {
        self.opening.encode(out);
        self.progress.encode(out);
        bytes(&self.told.secrets.to_bytes(), out);
        self.told.htlcs.encode(out);
        self.told.fundings.encode(out);
        list(&self.forgotten, out);
    }
}

impl Decode for Session {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (opening, progress) = (Opening::decode(r)?, Progress::decode(r)?);
        let secrets = RevealedSecrets::from_bytes(take(r)?).map_err(|_| DecodeError::Range)?;
        let (htlcs, fundings) = (u64::decode(r)?, Vec::decode(r)?);
        let told = Told { secrets, htlcs, fundings, now: Vec::new() };
        Ok(Self { opening, progress, told, forgotten: read_list(r)? })
    }
}

impl Encode for Segment {
    fn encode(&self, out: &mut Vec<u8>) {
        self.bytes.encode(out);
        let parts: Vec<(u32, Part)> =
            self.parts.iter().map(|(session, part)| (*session, *part)).collect();
        list(&parts, out);
    }
}

impl Decode for Segment {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { bytes: u32::decode(r)?, parts: read_list(r)?.into_iter().collect() })
    }
}

fn option<T: Encode>(value: Option<&T>, out: &mut Vec<u8>) {
    match value {
        None => 0_u8.encode(out),
        Some(value) => {
            1_u8.encode(out);
            value.encode(out);
        }
    }
}

fn read_option<T: Decode>(r: &mut Reader<'_>) -> Result<Option<T>, DecodeError> {
    match u8::decode(r)? {
        0 => Ok(None),
        1 => T::decode(r).map(Some),
        _ => Err(DecodeError::Range),
    }
}

/// Adds a record to what a segment has of its session.
pub(crate) fn add_part(parts: &mut BTreeMap<u32, Part>, session: u32, seq: u32, ciphertext: &[u8]) {
    let none = Part { records: 0, bytes: 0, first_seq: seq, last_seq: seq };
    let part = parts.entry(session).or_insert(none);
    part.records = part.records.saturating_add(1);
    part.bytes = part.bytes.saturating_add(weight(ciphertext));
    part.first_seq = part.first_seq.min(seq);
    part.last_seq = part.last_seq.max(seq);
}
