//! Events: what happened, numbered in order, durable, never dropped.

use bitcoin::{Amount, BlockHash, Txid};
use wire::units::BlockHeight;

use super::UnixMillis;
use super::channel::Channel;
use super::invoice::Invoice;
use super::payment::Payment;
use super::peer::Peer;

/// The families a subscriber can choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A peer came or went.
    Peer,
    /// A channel changed its phase or link.
    Channel,
    /// A payment of ours changed its status.
    Payment,
    /// An invoice of ours changed its state.
    Invoice,
    /// A transaction of our wallet came, confirmed, or was thrown back.
    Wallet,
    /// The best chain grew or was reorganised.
    Block,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Happened {
    /// A peer came or went; the snapshot is of that moment.
    Peer(Box<Peer>),
    /// A channel changed; the snapshot is of that moment.
    Channel(Box<Channel>),
    /// A payment changed; the snapshot is of that moment.
    Payment(Box<Payment>),
    /// An invoice changed; the snapshot is of that moment.
    Invoice(Box<Invoice>),
    /// Coins came or went.
    Wallet {
        /// The transaction that did it.
        txid: Txid,
        /// What came to our addresses, change included.
        received: Amount,
        /// What left our addresses, fee and change included.
        sent: Amount,
        /// The block it is in; `None`: in the mempool, or thrown back to it by a reorganisation.
        height: Option<BlockHeight>,
    },
    /// A block joined the best chain.
    BlockConnected {
        /// Its height.
        height: BlockHeight,
        /// Its hash.
        hash: BlockHash,
    },
    /// A block left the best chain.
    BlockDisconnected {
        /// Its height.
        height: BlockHeight,
        /// Its hash.
        hash: BlockHash,
    },
}

impl Happened {
    /// Its family.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Peer(_) => EventKind::Peer,
            Self::Channel(_) => EventKind::Channel,
            Self::Payment(_) => EventKind::Payment,
            Self::Invoice(_) => EventKind::Invoice,
            Self::Wallet { .. } => EventKind::Wallet,
            Self::BlockConnected { .. } | Self::BlockDisconnected { .. } => EventKind::Block,
        }
    }
}

/// An event with its place in the log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from 1, always larger than that of the event before, the same after a restart.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// What.
    pub what: Happened,
}

/// Asks for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Start with the event after this one; 0: from the first. `None`: only what is new.
    pub after_seq: Option<u64>,
    /// Only these families; empty: all.
    pub kinds: Vec<EventKind>,
}

impl Subscribe {
    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}
