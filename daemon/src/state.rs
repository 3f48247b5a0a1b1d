//! The state of a node: a fold over the facts of its journal.
//!
//! The same fold runs at start, from the last snapshot on, and in the background, to make the next
//! snapshot. It decides nothing.
//!
//! Not here: what tasks keep beside it (links, timers, who watches what).

pub(crate) mod rows;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use chain_backend::backend::Locator;
use channel::Channel;
use channel::record::RecordError;
use channel::seal::Lsn;
use wire::id::NodeId;
use wire::units::BlockHeight;

use crate::fact::{
    ChannelBorn, ChannelIndex, Fact, FactError, IntentMade, OrderKept, PeerKept, SweepMade, facts,
};
use crate::payments::received::{Asked, AskedBook, AskedEnd};
use crate::payments::sent::SentBook;
use crate::switch::book::Forwards;
use crate::tower::Book;
use crate::wallet;
use crate::why::Stories;
use crate::why::story::ENDED;

pub use rows::RowError;
pub use snapshot::SnapshotError;

/// How long an ended payment or invoice is remembered here after nobody can pay it any more, in
/// milliseconds.
const REMEMBERED_MS: u64 = 3_600_000;

/// How long an idempotency key is remembered, in milliseconds: a day.
const ORDERS_REMEMBERED_MS: u64 = 86_400_000;

/// A channel and how it came to be.
#[derive(Debug)]
pub struct Kept {
    /// Its birth.
    pub born: ChannelBorn,
    /// Its state, once its first record was read.
    pub channel: Option<Channel>,
}

/// Everything the journal says.
#[derive(Debug, Default)]
pub struct State {
    /// Channels, by index.
    pub channels: BTreeMap<ChannelIndex, Kept>,
    /// Payments we owe.
    pub sent: SentBook,
    /// Payments we ask for.
    pub asked: AskedBook,
    /// The wallet's own fold.
    pub wallet: wallet::Replay,
    /// Up to where the chain was acted upon.
    pub chain_at: Option<Vec<u8>>,
    /// Peers whose connection is kept up, in the order they came.
    pub peers: BTreeMap<NodeId, (u64, PeerKept)>,
    /// Requests that were carried out, by idempotency key.
    pub orders: BTreeMap<String, OrderKept>,
    /// Transactions that are not deep in the chain.
    pub intents: BTreeMap<Txid, IntentMade>,
    /// Sweeps among them: what they take and pay.
    pub sweeps: BTreeMap<Txid, SweepMade>,
    /// Forwards, onions that went on, and what channels ask for.
    pub forwards: Forwards,
    /// The index the next channel gets.
    pub next_channel: u64,
    /// What happened to channels, for people.
    pub stories: Stories,
    /// Towers that watch for us, and how far each came.
    pub towers: Book,
    /// How channels with some peers are closed alone, as `crate::policy::number`.
    pub force_close: BTreeMap<NodeId, u8>,
    /// Peers whose fundings are trusted before they are in a block.
    pub trusted: BTreeSet<NodeId>,
    /// The number of the newest backup.
    pub backup: u64,
    /// Whether a record behind the snapshot says that a channel cheats.
    pub cheats: bool,
}

/// Why the journal cannot be folded. The node must not start on it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A fact does not decode.
    #[error("record {at}: {source}")]
    Fact {
        /// The journal position.
        at: u64,
        /// What is wrong.
        source: FactError,
    },
    /// A channel's record does not decode, or does not follow from those before.
    #[error("record {at} of channel {channel}: {source}")]
    Channel {
        /// The journal position.
        at: u64,
        /// The channel's index.
        channel: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// The wallet's record does not decode.
    #[error("record {at} of the wallet: {source}")]
    Wallet {
        /// The journal position.
        at: u64,
        /// What is wrong.
        source: wallet::RecordError,
    },
    /// The snapshot does not decode.
    #[error("the snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
}

impl State {
    /// Takes a record in.
    ///
    /// # Errors
    /// [`StateError`]; the record's checksum was right, so this is a newer version or a bug.
    pub fn apply(&mut self, at: Lsn, record: &[u8]) -> Result<(), StateError> {
        let facts = facts(record).map_err(|source| StateError::Fact { at: at.0, source })?;
        facts.into_iter().try_for_each(|fact| self.apply_fact(at, fact))
    }

    fn apply_fact(&mut self, at: Lsn, fact: Fact) -> Result<(), StateError> {
        self.sent.apply(at, &fact);
        self.asked.apply(at, &fact);
        let _told = self.stories.apply(at, &fact);
        self.forwards.apply(at, &fact);
        self.towers.apply(&fact);
        match fact {
            Fact::Channel { index, record } => self.apply_channel(at, index, &record)?,
            Fact::ChannelBorn(born) => {
                self.next_channel = self.next_channel.max(born.index.saturating_add(1));
                self.channels.insert(ChannelIndex(born.index), Kept { born, channel: None });
            }
            Fact::ChannelGone(index) => {
                self.channels.remove(&index);
            }
            Fact::ChannelRolledBack { index, state } => self.roll_back(at, index, &state)?,
            Fact::Wallet(bytes) => self
                .wallet
                .apply(&bytes)
                .map_err(|source| StateError::Wallet { at: at.0, source })?,
            Fact::ChainAt(cursor) => self.chain_at = Some(cursor),
            Fact::PeerKept(kept) => {
                let place = self.peers.get(&kept.node).map_or(at.0, |(place, _)| *place);
                self.peers.insert(kept.node, (place, kept));
            }
            Fact::PeerDropped(node) => {
                self.peers.remove(&node);
            }
            Fact::OrderKept(kept) => {
                self.orders.insert(kept.word.0.clone(), kept);
            }
            Fact::IntentMade(made) => {
                self.intents.insert(made.txid(), made);
            }
            Fact::IntentDone(txid) => {
                self.intents.remove(&txid);
                self.sweeps.remove(&txid);
            }
            Fact::SweepMade(made) => {
                self.sweeps.insert(made.txid, made);
            }
            Fact::BackupMade(counter) => self.backup = self.backup.max(counter),
            Fact::BackupTaken(taken) => {
                self.backup = self.backup.max(taken.counter);
                self.next_channel = self.next_channel.max(taken.next_channel);
            }
            Fact::InvoiceMade(_)
            | Fact::InvoiceSettled(_)
            | Fact::InvoiceCancelled(_)
            | Fact::InvoiceHeld(_)
            | Fact::PreimageGiven(_)
            | Fact::ForwardWord(_)
            | Fact::PaymentStarted(_)
            | Fact::PaymentTried(_)
            | Fact::PaymentEnded(_)
            | Fact::ForwardTaken(_)
            | Fact::ForwardEnded(_)
            | Fact::PolicySet(_)
            | Fact::ForwardsBefore(_)
            | Fact::AttemptFailed(_)
            | Fact::RouteTaken(_)
            | Fact::PaymentMeans(_)
            | Fact::NoWayLeft(_)
            | Fact::PartHeld(_)
            | Fact::Moment(_)
            | Fact::StoryKept(_)
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
            | Fact::CheckpointMade(_) => {}
            Fact::FundingTrusted(set) => {
                match set.trusted {
                    true => self.trusted.insert(set.node),
                    false => self.trusted.remove(&set.node),
                };
            }
            Fact::ForceCloseSet(set) => {
                match set.policy {
                    Some(policy) => self.force_close.insert(set.node, policy),
                    None => self.force_close.remove(&set.node),
                };
            }
        }
        Ok(())
    }

    fn roll_back(&mut self, at: Lsn, index: ChannelIndex, state: &[u8]) -> Result<(), StateError> {
        let error = |source| StateError::Channel { at: at.0, channel: index.0, source };
        let kept = self.channels.get_mut(&index).ok_or_else(|| error(RecordError::Beginning))?;
        kept.channel = Some(Channel::decode_snapshot(state).map_err(error)?);
        self.cheats = true;
        Ok(())
    }

    fn apply_channel(
        &mut self,
        at: Lsn,
        index: ChannelIndex,
        record: &[u8],
    ) -> Result<(), StateError> {
        let error = |source| StateError::Channel { at: at.0, channel: index.0, source };
        let kept = self.channels.get_mut(&index).ok_or_else(|| error(RecordError::Beginning))?;
        match &mut kept.channel {
            Some(channel) => channel.replay(record).map_err(error),
            None => {
                kept.channel = Some(Channel::restore(record).map_err(error)?);
                Ok(())
            }
        }
    }

    /// Up to where the chain was acted upon.
    fn height(&self) -> Option<BlockHeight> {
        let cursor = Locator::decode(self.chain_at.as_ref()?).ok()?;
        Some(BlockHeight(cursor.tip().height))
    }

    /// Drops what nobody can ask for any more, so that the state stays small: ended payments and
    /// invoices some time after they expired, old idempotency keys.
    pub fn forget(&mut self, now_ms: u64) {
        let past = |expires_ms: u64| expires_ms.saturating_add(REMEMBERED_MS) < now_ms;
        self.sent.forget(|sent| past(sent.started.expires_ms));
        if let Some(height) = self.height() {
            self.forwards.onions.forget(height);
        }
        let channels = &self.channels;
        self.forwards.words.retain(|(channel, htlc)| has_htlc(channels, channel, htlc));
        self.asked.forget(|asked| {
            let open = asked.is_held() || is_being_settled(asked, channels);
            past(asked.made.expires_ms) && !open
        });
        self.stories.forget(ENDED);
        self.orders.retain(|_, kept| kept.at_ms.saturating_add(ORDERS_REMEMBERED_MS) >= now_ms);
    }
}

/// Whether a channel still holds an HTLC that this invoice's preimage is owed to.
fn is_being_settled(asked: &Asked, channels: &BTreeMap<ChannelIndex, Kept>) -> bool {
    let Some(AskedEnd::Settled(settled)) = &asked.end else { return false };
    settled.parts.iter().any(|(channel, htlc)| has_htlc(channels, *channel, *htlc))
}

/// Whether a channel still has this HTLC of its peer's.
fn has_htlc(channels: &BTreeMap<ChannelIndex, Kept>, channel: u64, htlc: u64) -> bool {
    let kept = channels.get(&ChannelIndex(channel));
    let state = kept.and_then(|kept| kept.channel.as_ref()).and_then(Channel::state);
    state.is_some_and(|state| state.ledger.htlc(channel::clock::Side::Them, htlc).is_some())
}
