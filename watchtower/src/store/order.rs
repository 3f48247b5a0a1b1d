//! What can be asked of the keeper, and what it answers.

use std::{fmt, io};

use bitcoin::{BlockHash, OutPoint};
use chain_backend::BlockId;
use tokio::sync::{mpsc, oneshot};

use crate::hint::Hint;
use crate::index::Place;
use crate::message::{HtlcAdd, ReplicaUpdate, Sealed};
use crate::store::fact::{Fact, Kit, Opening};
use crate::store::seal::{Cleared, Durable};
use crate::store::segment::Stored;
use crate::store::state::{Session, State, Told};

/// Orders that wait for the keeper; who sends more waits.
const QUEUE: usize = 1_024;

/// Why the keeper did not do it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// No session of that number or key.
    #[error("no such session")]
    NoSession,
    /// The session has another kit or template.
    #[error("the session was opened otherwise")]
    Otherwise,
    /// There would be too many sessions.
    #[error("too many sessions")]
    TooMany,
    /// It would store more than it may.
    #[error("the quota is used up")]
    Quota,
    /// Its time is over.
    #[error("the session has expired")]
    Expired,
    /// Records before these are missing.
    #[error("record {expected} is expected")]
    Gap {
        /// The number that is.
        expected: u32,
    },
    /// Other bytes are stored under that number.
    #[error("other bytes are stored under that number")]
    Differs,
    /// A checkpoint that is older than the one that is kept.
    #[error("a newer checkpoint is kept")]
    Stale,
    /// A record is longer than any may be, or there is none.
    #[error("a record is too long")]
    TooLong,
    /// Too much waits to be compared with recent blocks, or the tower takes nothing at present.
    #[error("not now")]
    Busy,
    /// The disk has no room.
    #[error("the disk is full")]
    Full,
    /// The disk failed: nothing is taken until the next start.
    #[error("the tower is read-only")]
    ReadOnly,
    /// The tower stops.
    #[error("the tower stops")]
    Stopped,
}

/// How a session stands, as far as the disk has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Its number.
    pub session: u32,
    /// Its client's key.
    pub key: [u8; 33],
    /// What its records are.
    pub kit: Kit,
    /// How many records the disk has: the number of the next.
    pub next_seq: u32,
    /// A root over them.
    pub root: [u8; 32],
    /// Bytes that count.
    pub used_bytes: u64,
    /// Bytes it may store.
    pub quota_bytes: u64,
    /// Until when it takes records.
    pub expiry_height: u32,
    /// The last block that was looked at.
    pub tip: BlockId,
}

impl Standing {
    pub(crate) fn of(number: u32, session: &Session, tip: Option<BlockId>) -> Self {
        let none = BlockId { height: 0, hash: <BlockHash as bitcoin::hashes::Hash>::all_zeros() };
        Self {
            session: number,
            key: session.opening.key,
            kit: session.opening.kit,
            next_seq: session.progress.next_seq(),
            root: session.progress.mmr.root(),
            used_bytes: session.progress.used_bytes,
            quota_bytes: session.opening.quota_bytes,
            expiry_height: session.opening.expiry_height,
            tip: tip.unwrap_or(none),
        }
    }
}

/// A transaction as the keeper sees it: how records find it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// Of its id.
    pub hint: Hint,
    /// What it spends.
    pub inputs: Vec<OutPoint>,
}

/// What may concern a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hit {
    /// The number of the transaction among those that were asked for.
    pub nth: usize,
    /// Records that may be for it.
    pub places: Vec<Place>,
    /// Replica sessions whose channel it spends.
    pub replicas: Vec<u32>,
}

/// What was learnt after the block had come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Late {
    /// A record that may be for a transaction of a recent block.
    Record {
        /// The record.
        place: Place,
        /// The block.
        block: BlockId,
    },
    /// A replica session that learnt something: one of its channels may be spent already.
    Replica {
        /// The session.
        session: u32,
        /// Its funding output.
        funding: OutPoint,
    },
}

/// A record with what is needed to make sense of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// It.
    pub stored: Stored,
    /// Its session.
    pub opening: Opening,
}

/// Sessions that end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ends {
    /// Those that take records for two weeks more at most, and until which height.
    pub expiring: Vec<(u32, u32)>,
    /// Those whose grace is over, or that were opened and never used.
    pub over: Vec<u32>,
}

/// What a session wants to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    /// The key that its client proved to have.
    pub key: [u8; 33],
    /// What its records are.
    pub kit: Kit,
    /// What holds for all of them.
    pub template: Vec<u8>,
    /// Bytes it may store.
    pub quota_bytes: u64,
    /// Records it may store.
    pub quota_records: u32,
    /// For how many blocks from now it takes records.
    pub blocks: u32,
    /// Whether an empty session of the same key is replaced.
    pub replaces: bool,
}

/// How full the tower is, for people and metrics.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Records taken since the start.
    pub records: u64,
    /// Records that are indexed.
    pub indexed: u64,
    /// Groups made durable since the start.
    pub groups: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many segments are closed.
    pub segments: u64,
    /// How many sessions there are.
    pub sessions: u64,
    /// Memory of the index, in bytes.
    pub index_bytes: u64,
    /// Memory of the ring, in bytes.
    pub ring_bytes: u64,
    /// Blocks in the ring.
    pub ring_blocks: u64,
    /// Places looked at that had another hint.
    pub false_positives: u64,
    /// Segments that were written anew without being asked.
    pub compacted: u64,
    /// Whether records are taken.
    pub mode: Mode,
}

/// Whether records are taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// They are.
    #[default]
    Open,
    /// By order of the operator they are not.
    Draining,
    /// The disk is full; that may end.
    Full,
    /// The disk failed.
    ReadOnly,
}

/// How far a replica session has come, as far as the disk has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// How many commitments are revoked.
    pub count: u64,
    /// How many HTLCs it knows.
    pub htlcs: u64,
    /// The session.
    pub standing: Standing,
}

/// All that a replica session was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replicated {
    /// The session.
    pub opening: Opening,
    /// Secrets and funding outputs.
    pub told: Told,
    /// All HTLCs.
    pub htlcs: Vec<HtlcAdd>,
}

/// A reading that is still to be done.
pub(crate) struct Search(pub(crate) Box<dyn FnOnce() -> io::Result<Vec<Stored>> + Send>);

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Search")
    }
}

/// The answer to an order comes here; whoever does not wait for it need not.
pub(crate) type Answer<T> = oneshot::Sender<T>;

/// The answer to something that the disk must have first.
pub(crate) type Lasting<T> = Answer<Result<Durable<T>, Refused>>;

/// The version of a checkpoint that is kept, after one was offered.
type Kept = Result<Durable<u64>, (Refused, u64)>;

/// What the keeper is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Open { wish: Wish, answer: Lasting<Standing> },
    Append { session: u32, first_seq: u32, records: Vec<Sealed>, answer: Lasting<Standing> },
    Note { fact: Fact, answer: Lasting<()> },
    Settle { facts: Vec<Fact>, late_done: bool, answer: Answer<Cleared> },
    Standing { key: [u8; 33], answer: Answer<Option<(Durable<Standing>, Session)>> },
    Block { block: BlockId, before: BlockHash, txs: Vec<Sighting>, answer: Answer<Vec<Hit>> },
    Earlier { block: BlockId, txs: Vec<Sighting>, answer: Answer<Vec<Hit>> },
    Rewind { height: u32 },
    Match { txs: Vec<Sighting>, answer: Answer<Vec<Hit>> },
    Read { places: Vec<Place>, answer: Answer<Vec<Option<Found>>> },
    Late { count: usize, answer: Answer<Vec<Late>> },
    Wanted { answer: Answer<Option<BlockId>> },
    Ends { height: u32, answer: Answer<Ends> },
    Sessions { answer: Answer<Vec<(u32, Session)>> },
    Look { session: u32, first_seq: u32, last_seq: u32, answer: Answer<Search> },
    Tell { session: u32, update: Box<ReplicaUpdate>, now: Vec<u8>, answer: Lasting<Heard> },
    Replica { session: u32, answer: Answer<Option<Replicated>> },
    PutCheckpoint { session: u32, version: u64, bytes: Vec<u8>, answer: Answer<Kept> },
    Checkpoint { session: u32, answer: Answer<Result<(u64, Vec<u8>), Refused>> },
    Figures { answer: Answer<Figures> },
    State { answer: Answer<State> },
    Drain { drain: bool },
    Compact { answer: Answer<u32> },
}

/// The way to the keeper.
#[derive(Clone, Debug)]
pub struct Keeper {
    orders: mpsc::Sender<Order>,
}

/// A way, and where its orders come out.
pub(crate) fn way() -> (Keeper, mpsc::Receiver<Order>) {
    let (orders, inbox) = mpsc::channel(QUEUE);
    (Keeper { orders }, inbox)
}

impl Keeper {
    async fn ask<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, Refused> {
        let (answer, hear) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| Refused::Stopped)?;
        hear.await.map_err(|_| Refused::Stopped)
    }

    /// Opens the session of a key, or finds it as it is.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn open(&self, wish: Wish) -> Result<Durable<Standing>, Refused> {
        self.ask(|answer| Order::Open { wish, answer }).await?
    }

    /// Stores records of a session. Returns as soon as they wait for the disk, so that more can follow; the
    /// receiver answers when the disk has them.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn append(
        &self,
        session: u32,
        first_seq: u32,
        records: Vec<Sealed>,
    ) -> Result<oneshot::Receiver<Result<Durable<Standing>, Refused>>, Refused> {
        let (answer, hear) = oneshot::channel();
        let order = Order::Append { session, first_seq, records, answer };
        self.orders.send(order).await.map_err(|_| Refused::Stopped)?;
        Ok(hear)
    }

    /// Makes a fact of a session true.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn note(&self, fact: Fact) -> Result<Durable<()>, Refused> {
        self.ask(|answer| Order::Note { fact, answer }).await?
    }

    /// Writes what was seen and decided, in one record. `late_done`: nothing that was taken by
    /// [`Self::late`] is still to be looked at.
    ///
    /// # Errors
    /// [`Refused::Stopped`]. A failing disk is none: see [`Cleared`].
    pub async fn settle(&self, facts: Vec<Fact>, late_done: bool) -> Result<Cleared, Refused> {
        self.ask(|answer| Order::Settle { facts, late_done, answer }).await
    }

    /// How the session of a key stands.
    ///
    /// # Errors
    /// [`Refused::NoSession`], [`Refused::Stopped`].
    pub async fn standing(&self, key: [u8; 33]) -> Result<(Durable<Standing>, Session), Refused> {
        self.ask(|answer| Order::Standing { key, answer }).await?.ok_or(Refused::NoSession)
    }

    /// Takes a new block into the ring and says what may concern its transactions.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn block(
        &self,
        block: BlockId,
        before: BlockHash,
        txs: Vec<Sighting>,
    ) -> Result<Vec<Hit>, Refused> {
        self.ask(|answer| Order::Block { block, before, txs, answer }).await
    }

    /// Takes the block below the oldest into the ring, and says which records that were never compared with
    /// it may concern its transactions.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn earlier(&self, block: BlockId, txs: Vec<Sighting>) -> Result<Vec<Hit>, Refused> {
        self.ask(|answer| Order::Earlier { block, txs, answer }).await
    }

    /// Takes blocks above this height out of the ring.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn rewind(&self, height: u32) -> Result<(), Refused> {
        self.orders.send(Order::Rewind { height }).await.map_err(|_| Refused::Stopped)
    }

    /// Says what may concern these transactions, and keeps nothing.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn matches(&self, txs: Vec<Sighting>) -> Result<Vec<Hit>, Refused> {
        self.ask(|answer| Order::Match { txs, answer }).await
    }

    /// Reads records; `None` for one that is gone, or whose session is.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn read(&self, places: Vec<Place>) -> Result<Vec<Option<Found>>, Refused> {
        self.ask(|answer| Order::Read { places, answer }).await
    }

    /// Takes some of what was learnt after its block had come.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn late(&self, count: usize) -> Result<Vec<Late>, Refused> {
        self.ask(|answer| Order::Late { count, answer }).await
    }

    /// The oldest block of the ring, if the ring has room for those below it.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn wanted(&self) -> Result<Option<BlockId>, Refused> {
        self.ask(|answer| Order::Wanted { answer }).await
    }

    /// The sessions that end about this height.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn ends(&self, height: u32) -> Result<Ends, Refused> {
        self.ask(|answer| Order::Ends { height, answer }).await
    }

    /// All sessions.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn sessions(&self) -> Result<Vec<(u32, Session)>, Refused> {
        self.ask(|answer| Order::Sessions { answer }).await
    }

    /// Reads the records of a session between two numbers, both included, in order. The reading goes on on a
    /// thread of its own, and holds nobody up.
    ///
    /// # Errors
    /// [`Refused::Stopped`]; [`Refused::ReadOnly`] if the disk does not give them.
    pub async fn records(
        &self,
        session: u32,
        first_seq: u32,
        last_seq: u32,
    ) -> Result<Vec<Stored>, Refused> {
        let search =
            self.ask(|answer| Order::Look { session, first_seq, last_seq, answer }).await?;
        let found = tokio::task::spawn_blocking(move || (search.0)()).await;
        found.map_err(|_| Refused::Stopped)?.map_err(|_| Refused::ReadOnly)
    }

    /// Tells a replica session of revoked states, and with `now`, under the disk key, of what is valid; empty
    /// bytes leave that as it is. What `update` says of it is not looked at.
    ///
    /// # Errors
    /// [`Refused::Gap`] with the number of HTLCs if some are missing, [`Refused::Differs`] for secrets that do
    /// not fit, and others.
    pub async fn tell(
        &self,
        session: u32,
        update: ReplicaUpdate,
        now: Vec<u8>,
    ) -> Result<Durable<Heard>, Refused> {
        let update = Box::new(update);
        self.ask(|answer| Order::Tell { session, update, now, answer }).await?
    }

    /// All that a replica session was told.
    ///
    /// # Errors
    /// [`Refused::NoSession`], [`Refused::Stopped`].
    pub async fn replica(&self, session: u32) -> Result<Replicated, Refused> {
        self.ask(|answer| Order::Replica { session, answer }).await?.ok_or(Refused::NoSession)
    }

    /// Keeps a checkpoint of a session in place of a lower one.
    ///
    /// # Errors
    /// [`Refused`], and the version that is kept.
    pub async fn put_checkpoint(
        &self,
        session: u32,
        version: u64,
        bytes: Vec<u8>,
    ) -> Result<Durable<u64>, (Refused, u64)> {
        let order = |answer| Order::PutCheckpoint { session, version, bytes, answer };
        self.ask(order).await.unwrap_or(Err((Refused::Stopped, 0)))
    }

    /// The checkpoint of a session; version 0 if there is none.
    ///
    /// # Errors
    /// [`Refused::ReadOnly`] if the disk does not give it, [`Refused::Stopped`].
    pub async fn checkpoint(&self, session: u32) -> Result<(u64, Vec<u8>), Refused> {
        self.ask(|answer| Order::Checkpoint { session, answer }).await?
    }

    /// How full it is.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn figures(&self) -> Result<Figures, Refused> {
        self.ask(|answer| Order::Figures { answer }).await
    }

    /// A copy of everything but the records.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn state(&self) -> Result<State, Refused> {
        self.ask(|answer| Order::State { answer }).await
    }

    /// Takes no more records, or takes them again.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn drain(&self, drain: bool) -> Result<(), Refused> {
        self.orders.send(Order::Drain { drain }).await.map_err(|_| Refused::Stopped)
    }

    /// Writes segments anew of which more than half belongs to nobody. Says how many.
    ///
    /// # Errors
    /// [`Refused::Stopped`].
    pub async fn compact(&self) -> Result<u32, Refused> {
        self.ask(|answer| Order::Compact { answer }).await
    }
}
