//! What the tower's journal says: sessions, closed segments, the place on the chain, what came of breaches.
//!
//! A record is one or more facts that become true together; each is kind, version, length, body, in the order
//! of the wire. Kinds and versions are never used again; one of a newer build stops an older one.
//!
//! Not here: the records of clients (`segment`), what facts add up to (`state`).

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::index::Place;
use crate::proof::mmr::Mmr;
use crate::respond::fact::ClaimFact;

/// What kind of session it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kit {
    /// Records that only a breach opens; ours.
    Sealed,
    /// Keys of a client that trusts this tower.
    Replica,
    /// Records in LND's layout.
    Lnd,
}

impl Kit {
    /// Its number, the same as on the wire where it is there.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sealed => 1,
            Self::Replica => 2,
            Self::Lnd => 3,
        }
    }

    /// The kit of that number.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sealed),
            2 => Some(Self::Replica),
            3 => Some(Self::Lnd),
            _ => None,
        }
    }
}

/// A session as it begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// Its number in this tower, never used twice.
    pub session: u32,
    /// The key that its client proves to have.
    pub key: [u8; 33],
    /// What its records are.
    pub kit: Kit,
    /// What holds for all its records, as the client sent it.
    pub template: Vec<u8>,
    /// Bytes it may store.
    pub quota_bytes: u64,
    /// Records it may store.
    pub quota_records: u32,
    /// The height until which it takes records.
    pub expiry_height: u32,
    /// The height at which it was opened.
    pub opened_height: u32,
}

/// What a closed segment has of one session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// How many records.
    pub records: u32,
    /// The bytes of their hints and sealed content.
    pub bytes: u64,
    /// The least sequence number.
    pub first_seq: u32,
    /// The greatest.
    pub last_seq: u32,
}

/// How far a session has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes of hints and sealed content that were ever taken.
    pub used_bytes: u64,
    /// A root over all of them; its count is the next sequence number.
    pub mmr: Mmr,
}

/// Something that is true from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// A session begins.
    Opened(Opening),
    /// It may do more, or less.
    Granted {
        /// Which.
        session: u32,
        /// Bytes it may store.
        quota_bytes: u64,
        /// Until when.
        expiry_height: u32,
    },
    /// Its client took it back, or its time is over: its records are nobody's.
    Dropped {
        /// Which.
        session: u32,
    },
    /// A segment is closed, its hints are listed, and this is how far its sessions have come.
    Closed {
        /// The segment.
        segment: u32,
        /// Its length.
        bytes: u32,
        /// What it has of each session.
        parts: Vec<(u32, Part)>,
        /// How far each of those has come.
        progress: Vec<(u32, Progress)>,
    },
    /// A segment was written anew without the records of sessions that are gone.
    Rewritten {
        /// The segment.
        segment: u32,
        /// Its length.
        bytes: u32,
        /// What it has of each session.
        parts: Vec<(u32, Part)>,
    },
    /// A segment has no records any more; its files go.
    Emptied {
        /// The segment.
        segment: u32,
    },
    /// Everything up to this block was looked at.
    BlockConnected {
        /// Its height.
        height: u32,
        /// Its hash.
        hash: BlockHash,
    },
    /// Everything above this block never happened.
    BlocksDisconnected {
        /// Its height.
        height: u32,
        /// Its hash.
        hash: BlockHash,
    },
    /// Every record before this place was compared with the blocks of the ring.
    Compared {
        /// The place.
        place: Place,
    },
    /// What came of a breach.
    Claim(ClaimFact),
    /// A replica session was told of revoked states. Its HTLCs are in the archive already.
    Replica {
        /// Which.
        session: u32,
        /// The number of the first of `secrets`.
        first: u64,
        /// Secrets in a row.
        secrets: Vec<[u8; 32]>,
        /// All secrets in one, or nothing.
        chain: Vec<u8>,
        /// How many HTLCs it has in all.
        htlcs: u64,
        /// Funding outputs that are new.
        fundings: Vec<OutPoint>,
    },
    /// A replica session learnt what a valid commitment may show; it stands for what was there before.
    ReplicaNow {
        /// Which.
        session: u32,
        /// What, under the tower's disk key.
        sealed: Vec<u8>,
    },
    /// Records whose client needs them no more.
    Forgotten {
        /// The session.
        session: u32,
        /// The first.
        first_seq: u32,
        /// The last, included.
        last_seq: u32,
    },
}

/// Why a record of the journal cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FactError {
    /// The bytes are not facts.
    #[error("a record of the journal cannot be read: {0}")]
    Bytes(#[from] DecodeError),
    /// A kind or version of a newer build.
    #[error("a record of the journal has fact {kind} version {version}, newer than this program")]
    Newer {
        /// The kind.
        kind: u8,
        /// The version.
        version: u8,
    },
}

const VERSION: u8 = 1;

/// The bytes of one record.
pub fn encode(facts: &[Fact]) -> Vec<u8> {
    let mut out = Vec::new();
    for fact in facts {
        let (kind, body) = body(fact);
        kind.encode(&mut out);
        VERSION.encode(&mut out);
        bytes(&body, &mut out);
    }
    out
}

/// The facts of one record.
///
/// # Errors
/// [`FactError`]: the journal is of a newer build, or not a tower's.
pub fn decode(record: &[u8]) -> Result<Vec<Fact>, FactError> {
    let mut r = Reader::new(record);
    let mut facts = Vec::new();
    while !r.is_empty() {
        let (kind, version) = (u8::decode(&mut r)?, u8::decode(&mut r)?);
        let body = take(&mut r)?;
        if version != VERSION {
            return Err(FactError::Newer { kind, version });
        }
        let mut body = Reader::new(body);
        let fact = read(kind, &mut body)?.ok_or(FactError::Newer { kind, version })?;
        body.end()?;
        facts.push(fact);
    }
    Ok(facts)
}

fn body(fact: &Fact) -> (u8, Vec<u8>) {
    let mut out = Vec::new();
    let kind = match fact {
        Fact::Opened(opening) => {
            opening.encode(&mut out);
            1
        }
        Fact::Granted { session, quota_bytes, expiry_height } => {
            session.encode(&mut out);
            quota_bytes.encode(&mut out);
            expiry_height.encode(&mut out);
            2
        }
        Fact::Dropped { session } => {
            session.encode(&mut out);
            3
        }
        Fact::Closed { segment, bytes, parts, progress } => {
            segment.encode(&mut out);
            bytes.encode(&mut out);
            list(parts, &mut out);
            list(progress, &mut out);
            4
        }
        Fact::Rewritten { segment, bytes, parts } => {
            segment.encode(&mut out);
            bytes.encode(&mut out);
            list(parts, &mut out);
            5
        }
        Fact::Emptied { segment } => {
            segment.encode(&mut out);
            6
        }
        Fact::BlockConnected { height, hash } => {
            height.encode(&mut out);
            out.extend_from_slice(hash.as_byte_array());
            7
        }
        Fact::BlocksDisconnected { height, hash } => {
            height.encode(&mut out);
            out.extend_from_slice(hash.as_byte_array());
            8
        }
        Fact::Compared { place } => {
            place.encode(&mut out);
            9
        }
        Fact::Claim(claim) => {
            claim.encode(&mut out);
            10
        }
        Fact::Replica { session, first, secrets, chain, htlcs, fundings } => {
            session.encode(&mut out);
            first.encode(&mut out);
            secrets.encode(&mut out);
            chain.encode(&mut out);
            htlcs.encode(&mut out);
            fundings.encode(&mut out);
            11
        }
        Fact::Forgotten { session, first_seq, last_seq } => {
            session.encode(&mut out);
            first_seq.encode(&mut out);
            last_seq.encode(&mut out);
            12
        }
        Fact::ReplicaNow { session, sealed } => {
            session.encode(&mut out);
            bytes(sealed, &mut out);
            13
        }
    };
    (kind, out)
}

fn read(kind: u8, r: &mut Reader<'_>) -> Result<Option<Fact>, DecodeError> {
    Ok(Some(match kind {
        1 => Fact::Opened(Opening::decode(r)?),
        2 => Fact::Granted {
            session: u32::decode(r)?,
            quota_bytes: u64::decode(r)?,
            expiry_height: u32::decode(r)?,
        },
        3 => Fact::Dropped { session: u32::decode(r)? },
        4 => Fact::Closed {
            segment: u32::decode(r)?,
            bytes: u32::decode(r)?,
            parts: read_list(r)?,
            progress: read_list(r)?,
        },
        5 => Fact::Rewritten {
            segment: u32::decode(r)?,
            bytes: u32::decode(r)?,
            parts: read_list(r)?,
        },
        6 => Fact::Emptied { segment: u32::decode(r)? },
        7 => Fact::BlockConnected { height: u32::decode(r)?, hash: hash(r)? },
        8 => Fact::BlocksDisconnected { height: u32::decode(r)?, hash: hash(r)? },
        9 => Fact::Compared { place: Place::decode(r)? },
        10 => Fact::Claim(ClaimFact::decode(r)?),
        11 => Fact::Replica {
            session: u32::decode(r)?,
            first: u64::decode(r)?,
            secrets: Vec::decode(r)?,
            chain: Vec::decode(r)?,
            htlcs: u64::decode(r)?,
            fundings: Vec::decode(r)?,
        },
        12 => Fact::Forgotten {
            session: u32::decode(r)?,
            first_seq: u32::decode(r)?,
            last_seq: u32::decode(r)?,
        },
        13 => Fact::ReplicaNow { session: u32::decode(r)?, sealed: take(r)?.to_vec() },
        _ => return Ok(None),
    }))
}

fn hash(r: &mut Reader<'_>) -> Result<BlockHash, DecodeError> {
    r.array().map(BlockHash::from_byte_array)
}

/// Length in four bytes, then the bytes.
pub(crate) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).encode(out);
    out.extend_from_slice(bytes);
}

/// What [`bytes`] wrote.
pub(crate) fn take<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = usize::try_from(u32::decode(r)?).map_err(|_| DecodeError::Range)?;
    r.take(length)
}

/// Pairs of a session and what belongs to it, counted in four bytes.
pub(crate) fn list<T: Encode>(items: &[(u32, T)], out: &mut Vec<u8>) {
    u32::try_from(items.len()).unwrap_or(u32::MAX).encode(out);
    for (session, item) in items {
        session.encode(out);
        item.encode(out);
    }
}

/// What [`list`] wrote.
pub(crate) fn read_list<T: Decode>(r: &mut Reader<'_>) -> Result<Vec<(u32, T)>, DecodeError> {
    let count = u32::decode(r)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push((u32::decode(r)?, T::decode(r)?));
    }
    Ok(items)
}

impl Encode for Opening {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.key);
        self.kit.number().encode(out);
        bytes(&self.template, out);
        self.quota_bytes.encode(out);
        self.quota_records.encode(out);
        self.expiry_height.encode(out);
        self.opened_height.encode(out);
    }
}

impl Decode for Opening {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: u32::decode(r)?,
            key: r.array()?,
            kit: Kit::of(u8::decode(r)?).ok_or(DecodeError::Range)?,
            template: take(r)?.to_vec(),
            quota_bytes: u64::decode(r)?,
            quota_records: u32::decode(r)?,
            expiry_height: u32::decode(r)?,
            opened_height: u32::decode(r)?,
        })
    }
}

impl Encode for Part {
    fn encode(&self, out: &mut Vec<u8>) {
        self.records.encode(out);
        self.bytes.encode(out);
        self.first_seq.encode(out);
        self.last_seq.encode(out);
    }
}

impl Decode for Part {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            records: u32::decode(r)?,
            bytes: u64::decode(r)?,
            first_seq: u32::decode(r)?,
            last_seq: u32::decode(r)?,
        })
    }
}

impl Encode for Progress {
    fn encode(&self, out: &mut Vec<u8>) {
        self.used_bytes.encode(out);
        self.mmr.encode(out);
    }
}

impl Decode for Progress {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { used_bytes: u64::decode(r)?, mmr: Mmr::decode(r)? })
    }
}

impl Encode for Place {
    fn encode(&self, out: &mut Vec<u8>) {
        self.part.encode(out);
        self.offset.encode(out);
    }
}

impl Decode for Place {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { part: u32::decode(r)?, offset: u32::decode(r)? })
    }
}
