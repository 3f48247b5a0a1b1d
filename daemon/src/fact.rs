//! What the journal says: facts, never inputs.
//!
//! One journal record is one or more facts that become true together. Replay folds them into a
//! [`crate::state::State`] and runs no policy, so a new version reads an old log.
//!
//! A fact is `kind: u8, version: u8, length: u32, body`. The layout of a released version never
//! changes; a new field means a new version beside it.
//!
//! Not here: what a channel writes into its own record (`channel::record`), checksums and positions
//! (`store::journal`).

mod body;
mod forward;
mod hold;
mod route;
mod tower;

pub use body::{
    AttemptFailed, BackupTaken, ChannelBorn, ForceCloseSet, FundingTrusted, IntentMade,
    InvoiceCancelled, InvoiceMade, InvoiceSettled, Moment, MomentKind, OrderKept, PaymentEnded,
    PaymentStarted, PaymentTried, PeerKept, SweepMade, Text,
};

pub use route::{HopTaken, NoWayLeft, PartHeld, PaymentMeans, RouteTaken};

pub use forward::{
    ForwardEnd, ForwardEnded, ForwardTaken, ForwardWord, ForwardsBefore, OnionTaken, PolicySet,
    Word,
};

pub use hold::{CancelReason, InvoiceCancelledV1, InvoiceHeld, InvoiceMadeV1, PreimageGiven};

pub use tower::{
    DrillBegun, DrillEnded, DrillFunded, DrillStaged, TowerAt, TowerAudited, TowerFaulted,
    TowerKept, TowerOver, TowerSession,
};

use bitcoin::Txid;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::NodeId;

/// A position that names a channel for good: ids change while a channel is opened, this does not. Keys
/// are derived from it, so it is never used twice.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelIndex(pub u64);

/// One thing that is true from now on.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A channel's own facts, in the channel's own encoding.
    Channel {
        /// Whose.
        index: ChannelIndex,
        /// `channel::Fact`s.
        record: Vec<u8>,
    },
    /// A channel was given its index.
    ChannelBorn(ChannelBorn),
    /// A channel is over and nothing of it is needed any more.
    ChannelGone(ChannelIndex),
    /// The wallet changed, in the wallet's own encoding.
    Wallet(Vec<u8>),
    /// Every block up to this cursor has been acted upon (`chain_backend::Locator`).
    ChainAt(Vec<u8>),
    /// A connection to this peer is to be kept up.
    PeerKept(PeerKept),
    /// It no longer is.
    PeerDropped(NodeId),
    /// We ask for a payment.
    InvoiceMade(InvoiceMade),
    /// All parts of it are here, and their preimage may be shown.
    InvoiceSettled(InvoiceSettled),
    /// Nobody can pay it any more.
    InvoiceCancelled(InvoiceCancelled),
    /// All parts of it are here, and wait for a word.
    InvoiceHeld(InvoiceHeld),
    /// The preimage of an invoice that was made without it.
    PreimageGiven(PreimageGiven),
    /// We owe a payment.
    PaymentStarted(PaymentStarted),
    /// A part of it was handed to a channel.
    PaymentTried(PaymentTried),
    /// It arrived, or it cannot arrive any more.
    PaymentEnded(PaymentEnded),
    /// A request with an idempotency key was carried out.
    OrderKept(OrderKept),
    /// This transaction is to be brought to the miners.
    IntentMade(IntentMade),
    /// It is deep in the chain, or can never be.
    IntentDone(Txid),
    /// A backup of this number may be anywhere from now on.
    BackupMade(u64),
    /// Channels were restored from a backup.
    BackupTaken(BackupTaken),
    /// When and how a step of a channel was decided.
    Moment(Moment),
    /// How channels with a peer are closed alone.
    ForceCloseSet(ForceCloseSet),
    /// Whether a peer's fundings are trusted before they are in a block.
    FundingTrusted(FundingTrusted),
    /// A channel's story so far (`crate::why::Story`): in snapshots alone.
    StoryKept(Vec<u8>),
    /// A part of a payment failed.
    AttemptFailed(AttemptFailed),
    /// The way that a part takes.
    RouteTaken(RouteTaken),
    /// What a payment may do.
    PaymentMeans(PaymentMeans),
    /// No way was left for a payment.
    NoWayLeft(NoWayLeft),
    /// How long nodes held a part.
    PartHeld(PartHeld),
    /// An HTLC is to go on.
    ForwardTaken(ForwardTaken),
    /// What went on has its outcome.
    ForwardEnded(ForwardEnded),
    /// A program said what is to become of an HTLC that it held.
    ForwardWord(ForwardWord),
    /// A channel asks for something else of those who forward over it.
    PolicySet(PolicySet),
    /// What remains of forwards that ended before a snapshot.
    ForwardsBefore(ForwardsBefore),
    /// On the sandbox: a channel goes back to a state that it has revoked, to cheat with it.
    ChannelRolledBack {
        /// Whose.
        index: ChannelIndex,
        /// The channel from now on, as in a snapshot.
        state: Vec<u8>,
    },
    /// What an intent that is a sweep takes and pays; over with its intent.
    SweepMade(SweepMade),
    /// A tower is to watch for us.
    TowerKept(TowerKept),
    /// It no longer is.
    TowerDropped(NodeId),
    /// A session with a tower is about to be opened.
    TowerSession(TowerSession),
    /// A session came so far.
    TowerAt(Box<TowerAt>),
    /// A session is over.
    TowerOver(TowerOver),
    /// A tower broke its word.
    TowerFaulted(TowerFaulted),
    /// A drill begins.
    DrillBegun(Box<DrillBegun>),
    /// A drill's coins leave the wallet.
    DrillFunded(DrillFunded),
    /// A drill's breach may go out.
    DrillStaged(DrillStaged),
    /// A drill is over.
    DrillEnded(DrillEnded),
    /// A tower was asked for records that it had signed for.
    TowerAudited(TowerAudited),
    /// A checkpoint of this version may be with any tower from now on.
    CheckpointMade(u64),
}

/// Version of every body that has no newer one.
const V1: u8 = 1;

/// Version of bodies that were changed once.
const V2: u8 = 2;

/// The newest version of a kind: the one that is written.
const fn newest(kind: u8) -> u8 {
    match kind {
        8 | 10 => V2,
        _ => V1,
    }
}

impl Fact {
    const fn kind(&self) -> u8 {
        match self {
            Self::Channel { .. } => 1,
            Self::ChannelBorn(_) => 2,
            Self::ChannelGone(_) => 3,
            Self::Wallet(_) => 4,
            Self::ChainAt(_) => 5,
            Self::PeerKept(_) => 6,
            Self::PeerDropped(_) => 7,
            Self::InvoiceMade(_) => 8,
            Self::InvoiceSettled(_) => 9,
            Self::InvoiceCancelled(_) => 10,
            Self::PaymentStarted(_) => 11,
            Self::PaymentTried(_) => 12,
            Self::PaymentEnded(_) => 13,
            Self::OrderKept(_) => 14,
            Self::IntentMade(_) => 15,
            Self::IntentDone(_) => 16,
            Self::BackupMade(_) => 28,
            Self::BackupTaken(_) => 29,
            Self::Moment(_) => 32,
            Self::ForceCloseSet(_) => 33,
            Self::FundingTrusted(_) => 45,
            Self::StoryKept(_) => 34,
            Self::AttemptFailed(_) => 35,
            Self::RouteTaken(_) => 46,
            Self::PaymentMeans(_) => 47,
            Self::NoWayLeft(_) => 48,
            Self::InvoiceHeld(_) => 49,
            Self::ForwardWord(_) => 50,
            Self::PreimageGiven(_) => 51,
            Self::PartHeld(_) => 53,
            Self::ForwardTaken(_) => 38,
            Self::ForwardEnded(_) => 39,
            Self::PolicySet(_) => 40,
            Self::ForwardsBefore(_) => 41,
            Self::ChannelRolledBack { .. } => 36,
            Self::SweepMade(_) => 21,
            Self::TowerKept(_) => 54,
            Self::TowerDropped(_) => 55,
            Self::TowerSession(_) => 56,
            Self::TowerAt(_) => 57,
            Self::TowerOver(_) => 58,
            Self::TowerFaulted(_) => 59,
            Self::DrillBegun(_) => 60,
            Self::DrillFunded(_) => 61,
            Self::DrillStaged(_) => 62,
            Self::DrillEnded(_) => 63,
            Self::TowerAudited(_) => 64,
            Self::CheckpointMade(_) => 65,
        }
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.kind(), newest(self.kind())]);
        let at = out.len();
        out.extend([0; 4]);
        let body = out.len();
        self.encode_body(out);
        let length = u32::try_from(out.len().saturating_sub(body)).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(at..body) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Channel { index, record } => {
                index.0.encode(out);
                out.extend_from_slice(record);
            }
            Self::ChannelBorn(body) => body.encode(out),
            Self::ChannelGone(index) => index.0.encode(out),
            Self::Wallet(bytes) | Self::ChainAt(bytes) | Self::StoryKept(bytes) => {
                out.extend_from_slice(bytes);
            }
            Self::PeerKept(body) => body.encode(out),
            Self::PeerDropped(node) => node.encode(out),
            Self::InvoiceMade(body) => body.encode(out),
            Self::InvoiceSettled(body) => body.encode(out),
            Self::InvoiceCancelled(body) => body.encode(out),
            Self::PaymentStarted(body) => body.encode(out),
            Self::PaymentTried(body) => body.encode(out),
            Self::PaymentEnded(body) => body.encode(out),
            Self::OrderKept(body) => body.encode(out),
            Self::IntentMade(body) => body.encode(out),
            Self::IntentDone(txid) => txid.encode(out),
            Self::BackupMade(counter) => counter.encode(out),
            Self::BackupTaken(body) => body.encode(out),
            Self::Moment(body) => body.encode(out),
            Self::ForceCloseSet(body) => body.encode(out),
            Self::FundingTrusted(body) => body.encode(out),
            Self::AttemptFailed(body) => body.encode(out),
            Self::RouteTaken(body) => body.encode(out),
            Self::PaymentMeans(body) => body.encode(out),
            Self::NoWayLeft(body) => body.encode(out),
            Self::InvoiceHeld(body) => body.encode(out),
            Self::ForwardWord(body) => body.encode(out),
            Self::PreimageGiven(body) => body.encode(out),
            Self::PartHeld(body) => body.encode(out),
            Self::ForwardTaken(body) => body.encode(out),
            Self::ForwardEnded(body) => body.encode(out),
            Self::PolicySet(body) => body.encode(out),
            Self::ForwardsBefore(body) => body.encode(out),
            Self::ChannelRolledBack { index, state } => {
                index.0.encode(out);
                out.extend_from_slice(state);
            }
            Self::SweepMade(body) => body.encode(out),
            Self::TowerKept(body) => body.encode(out),
            Self::TowerDropped(tower) => tower.encode(out),
            Self::TowerSession(body) => body.encode(out),
            Self::TowerAt(body) => body.encode(out),
            Self::TowerOver(body) => body.encode(out),
            Self::TowerFaulted(body) => body.encode(out),
            Self::DrillBegun(body) => body.encode(out),
            Self::DrillFunded(body) => body.encode(out),
            Self::DrillStaged(body) => body.encode(out),
            Self::DrillEnded(body) => body.encode(out),
            Self::TowerAudited(body) => body.encode(out),
            Self::CheckpointMade(version) => version.encode(out),
        }
    }

    /// Takes one fact off the front.
    fn decode(r: &mut Reader<'_>) -> Result<Self, FactError> {
        let [kind, version] = r.array()?;
        if version == 0 || version > newest(kind) {
            return Err(FactError::Version { kind, version });
        }
        let length = u32::from_be_bytes(r.array()?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
        let mut body = Reader::new(r.take(length)?);
        let fact = if version == newest(kind) {
            Self::decode_body(kind, &mut body)?
        } else {
            Self::decode_older(kind, version, &mut body)?
        };
        body.end()?;
        Ok(fact)
    }

    /// Bodies that were written by older builds.
    fn decode_older(kind: u8, version: u8, r: &mut Reader<'_>) -> Result<Self, FactError> {
        Ok(match (kind, version) {
            (8, V1) => Self::InvoiceMade(InvoiceMadeV1::decode(r)?.into()),
            (10, V1) => Self::InvoiceCancelled(InvoiceCancelledV1::decode(r)?.into()),
            _ => return Err(FactError::Version { kind, version }),
        })
    }

    fn decode_body(kind: u8, r: &mut Reader<'_>) -> Result<Self, FactError> {
        Ok(match kind {
            1 => {
                let index = ChannelIndex(u64::decode(r)?);
                Self::Channel { index, record: r.rest().to_vec() }
            }
            2 => Self::ChannelBorn(Decode::decode(r)?),
            3 => Self::ChannelGone(ChannelIndex(u64::decode(r)?)),
            4 => Self::Wallet(r.rest().to_vec()),
            5 => Self::ChainAt(r.rest().to_vec()),
            6 => Self::PeerKept(Decode::decode(r)?),
            7 => Self::PeerDropped(Decode::decode(r)?),
            8 => Self::InvoiceMade(Decode::decode(r)?),
            9 => Self::InvoiceSettled(Decode::decode(r)?),
            10 => Self::InvoiceCancelled(Decode::decode(r)?),
            11 => Self::PaymentStarted(Decode::decode(r)?),
            12 => Self::PaymentTried(Decode::decode(r)?),
            13 => Self::PaymentEnded(Decode::decode(r)?),
            14 => Self::OrderKept(Decode::decode(r)?),
            15 => Self::IntentMade(Decode::decode(r)?),
            16 => Self::IntentDone(Decode::decode(r)?),
            28 => Self::BackupMade(Decode::decode(r)?),
            29 => Self::BackupTaken(Decode::decode(r)?),
            32 => Self::Moment(Decode::decode(r)?),
            33 => Self::ForceCloseSet(Decode::decode(r)?),
            45 => Self::FundingTrusted(Decode::decode(r)?),
            34 => Self::StoryKept(r.rest().to_vec()),
            35 => Self::AttemptFailed(Decode::decode(r)?),
            46 => Self::RouteTaken(Decode::decode(r)?),
            47 => Self::PaymentMeans(Decode::decode(r)?),
            48 => Self::NoWayLeft(Decode::decode(r)?),
            49 => Self::InvoiceHeld(Decode::decode(r)?),
            50 => Self::ForwardWord(Decode::decode(r)?),
            51 => Self::PreimageGiven(Decode::decode(r)?),
            53 => Self::PartHeld(Decode::decode(r)?),
            38 => Self::ForwardTaken(Decode::decode(r)?),
            39 => Self::ForwardEnded(Decode::decode(r)?),
            40 => Self::PolicySet(Decode::decode(r)?),
            41 => Self::ForwardsBefore(Decode::decode(r)?),
            36 => {
                let index = ChannelIndex(u64::decode(r)?);
                Self::ChannelRolledBack { index, state: r.rest().to_vec() }
            }
            20 => Self::SweepMade(SweepMade::decode_unordered(r)?),
            21 => Self::SweepMade(Decode::decode(r)?),
            54 => Self::TowerKept(Decode::decode(r)?),
            55 => Self::TowerDropped(Decode::decode(r)?),
            56 => Self::TowerSession(Decode::decode(r)?),
            57 => Self::TowerAt(Decode::decode(r)?),
            58 => Self::TowerOver(Decode::decode(r)?),
            59 => Self::TowerFaulted(Decode::decode(r)?),
            60 => Self::DrillBegun(Decode::decode(r)?),
            61 => Self::DrillFunded(Decode::decode(r)?),
            62 => Self::DrillStaged(Decode::decode(r)?),
            63 => Self::DrillEnded(Decode::decode(r)?),
            64 => Self::TowerAudited(Decode::decode(r)?),
            65 => Self::CheckpointMade(Decode::decode(r)?),
            kind => return Err(FactError::Kind(kind)),
        })
    }
}

/// Why a record is not what this version writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FactError {
    /// Written by a newer version: this one must not run on it.
    #[error("fact of kind {0} is unknown: the data was written by a newer version")]
    Kind(u8),
    /// Written by a newer version: this one must not run on it.
    #[error("fact of kind {kind} has version {version}: the data was written by a newer version")]
    Version {
        /// Which kind.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// The body does not decode.
    #[error("a fact does not decode: {0}")]
    Body(#[from] DecodeError),
}

/// The bytes of a record in which `facts` become true together.
pub fn record(facts: &[Fact]) -> Vec<u8> {
    let mut out = Vec::new();
    for fact in facts {
        fact.encode(&mut out);
    }
    out
}

/// The record of one channel step: no copy of the channel's bytes but this one. Empty stays empty.
pub fn channel_record(index: ChannelIndex, record: &[u8]) -> Vec<u8> {
    if record.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(record.len().saturating_add(14));
    out.extend([1, V1]);
    let length = u32::try_from(record.len().saturating_add(8)).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(index.0.to_be_bytes());
    out.extend_from_slice(record);
    out
}

/// Reads a record back.
///
/// # Errors
/// [`FactError`]: the journal's checksum was right, so this is a version or a bug, never a torn write.
pub fn facts(record: &[u8]) -> Result<Vec<Fact>, FactError> {
    let mut r = Reader::new(record);
    let mut facts = Vec::new();
    while !r.is_empty() {
        facts.push(Fact::decode(&mut r)?);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests;
