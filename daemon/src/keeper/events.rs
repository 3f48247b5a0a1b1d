//! Which facts are events, and how they lie in the index.
//!
//! An event's number is the journal position of its record and a place in it, so it rises for ever and
//! comes out the same when the index is filled again. A row says what it is about; what a reader sees is
//! looked up when it reads.

use channel::seal::Lsn;
use store::engine::Batch;
use store::table::{Table, TableError, Value};
use wire::codec::{Decode, Encode, Reader};
use wire::id::{NodeId, PaymentHash};

use crate::clock::now_ms;
use crate::fact::{Fact, facts};

/// Events by number.
pub const EVENTS: Table<u64, EventRow> = Table::new(1);

/// What an event is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A peer was kept or dropped.
    Peer(NodeId),
    /// A channel came to another point of its life.
    Channel(u64),
    /// A payment began or ended.
    Payment(PaymentHash),
    /// An invoice was made, held, paid or taken back.
    Invoice(PaymentHash),
    /// A transaction of ours was handed to the miners, or is deep.
    Wallet([u8; 32]),
    /// The best chain has another tip.
    Block {
        /// Its height.
        height: u32,
        /// Its hash, in internal byte order.
        hash: [u8; 32],
    },
}

/// One event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRow {
    /// When it was indexed, Unix milliseconds.
    pub at_ms: u64,
    /// What it is about.
    pub subject: Subject,
}

impl Value for EventRow {
    const KIND: u16 = 0x4556;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        self.at_ms.encode(out);
        match &self.subject {
            Subject::Peer(node) => {
                1_u8.encode(out);
                node.encode(out);
            }
            Subject::Channel(index) => {
                2_u8.encode(out);
                index.encode(out);
            }
            Subject::Payment(hash) => {
                3_u8.encode(out);
                hash.encode(out);
            }
            Subject::Invoice(hash) => {
                4_u8.encode(out);
                hash.encode(out);
            }
            Subject::Wallet(txid) => {
                5_u8.encode(out);
                txid.encode(out);
            }
            Subject::Block { height, hash } => {
                6_u8.encode(out);
                height.encode(out);
                hash.encode(out);
            }
        }
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let at_ms = u64::decode(&mut r).ok()?;
        let subject = match u8::decode(&mut r).ok()? {
            1 => Subject::Peer(NodeId::decode(&mut r).ok()?),
            2 => Subject::Channel(u64::decode(&mut r).ok()?),
            3 => Subject::Payment(PaymentHash::decode(&mut r).ok()?),
            4 => Subject::Invoice(PaymentHash::decode(&mut r).ok()?),
            5 => Subject::Wallet(r.array().ok()?),
            6 => Subject::Block { height: u32::decode(&mut r).ok()?, hash: r.array().ok()? },
            _ => return None,
        };
        r.end().ok()?;
        Some(Self { at_ms, subject })
    }
}

/// Bits of an event's number that count within a record.
const WITHIN: u32 = 8;

/// The number of the `place`th event of the record at `at`.
pub(super) fn number(at: Lsn, place: usize) -> u64 {
    let place = u64::try_from(place).unwrap_or(u64::MAX).min((1 << WITHIN) - 1);
    (at.0 << WITHIN) | place
}

/// The facts of a record, if it may say more than a step of a channel's dance.
pub(super) fn facts_worth_a_row(record: &[u8]) -> Option<Vec<Fact>> {
    // A record that does not decode stops the node at its next start, where it can say so.
    if is_only_a_quiet_channel(record) { None } else { facts(record).ok() }
}

/// Adds what facts mean to the batch.
pub(super) fn index(batch: &mut Batch, at: Lsn, facts: &[Fact]) -> Result<(), TableError> {
    let at_ms = now_ms();
    for (place, subject) in facts.iter().filter_map(subject).enumerate() {
        EVENTS.put(batch, &number(at, place), &EventRow { at_ms, subject })?;
    }
    Ok(())
}

/// The steps of the commitment dance are no events, and there are many of them: seen without reading
/// them whole.
fn is_only_a_quiet_channel(record: &[u8]) -> bool {
    let mut r = Reader::new(record);
    let head = (|| {
        let [kind, _] = r.array::<2>().ok()?;
        let length = u32::from_be_bytes(r.array().ok()?);
        let length = usize::try_from(length).ok()?;
        let mut body = Reader::new(r.take(length).ok()?);
        body.take(8).ok()?;
        (kind == 1 && r.is_empty()).then(|| body.rest())
    })();
    head.is_some_and(|facts| !channel::record::tells(facts))
}

fn subject(fact: &Fact) -> Option<Subject> {
    match fact {
        Fact::Channel { index, record } => {
            channel::record::tells(record).then_some(Subject::Channel(index.0))
        }
        Fact::ChannelRolledBack { index, .. } => Some(Subject::Channel(index.0)),
        Fact::PeerKept(kept) => Some(Subject::Peer(kept.node)),
        Fact::PeerDropped(node) => Some(Subject::Peer(*node)),
        Fact::InvoiceMade(made) => Some(Subject::Invoice(made.payment_hash)),
        Fact::InvoiceHeld(held) => Some(Subject::Invoice(held.payment_hash)),
        Fact::InvoiceSettled(settled) => Some(Subject::Invoice(settled.payment_hash)),
        Fact::InvoiceCancelled(cancelled) => Some(Subject::Invoice(cancelled.payment_hash)),
        Fact::PaymentStarted(started) => Some(Subject::Payment(started.payment_hash)),
        Fact::PaymentEnded(ended) => Some(Subject::Payment(ended.payment_hash)),
        Fact::IntentMade(made) => {
            Some(Subject::Wallet(bitcoin::hashes::Hash::to_byte_array(made.txid())))
        }
        Fact::ChainAt(cursor) => {
            let tip = chain_backend::backend::Locator::decode(cursor).ok()?.tip();
            let hash = bitcoin::hashes::Hash::to_byte_array(tip.hash);
            Some(Subject::Block { height: tip.height, hash })
        }
        Fact::ChannelBorn(_)
        | Fact::ChannelGone(_)
        | Fact::Wallet(_)
        | Fact::PaymentTried(_)
        | Fact::OrderKept(_)
        | Fact::IntentDone(_)
        | Fact::Moment(_)
        | Fact::ForceCloseSet(_)
        | Fact::FundingTrusted(_)
        | Fact::StoryKept(_)
        | Fact::AttemptFailed(_)
        | Fact::RouteTaken(_)
        | Fact::PaymentMeans(_)
        | Fact::NoWayLeft(_)
        | Fact::PartHeld(_)
        | Fact::ForwardTaken(_)
        | Fact::ForwardEnded(_)
        | Fact::ForwardWord(_)
        | Fact::PreimageGiven(_)
        | Fact::PolicySet(_)
        | Fact::ForwardsBefore(_)
        | Fact::BackupMade(_)
        | Fact::BackupTaken(_)
        | Fact::SweepMade(_)
        | Fact::TowerKept(_)
        | Fact::TowerDropped(_)
        | Fact::TowerSession(_)
        | Fact::TowerAt(_)
        | Fact::TowerOver(_)
        | Fact::TowerFaulted(_)
        | Fact::DrillBegun(_)
        | Fact::DrillFunded(_)
        | Fact::DrillStaged(_)
        | Fact::DrillEnded(_)
        | Fact::TowerAudited(_)
        | Fact::CheckpointMade(_) => None,
    }
}
