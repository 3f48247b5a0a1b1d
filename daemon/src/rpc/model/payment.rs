//! Payments we send. Their status is derived from HTLCs, never stored beside them.

use wire::id::{ChannelId, NodeId, PaymentHash, Preimage, ShortChannelId};
use wire::units::{BlockHeight, Msat};

use super::{OrderKey, UnixMillis};

/// Asks for a payment. The default idempotency key is the payment hash: paying an invoice twice
/// pays it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOrder {
    /// So that it is sent once; `None`: the payment hash does it.
    pub key: Option<OrderKey>,
    /// The BOLT 11 invoice as the user gave it.
    pub invoice: String,
    /// The amount, if the invoice leaves it open.
    pub amount: Option<Msat>,
    /// The most to spend on fees; `None`: the node's policy.
    pub max_fee: Option<Msat>,
    /// Stop trying new ways after so long, in milliseconds. HTLCs in flight go on.
    pub timeout_ms: u32,
}

/// Asks for a payment without an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spontaneous {
    /// So that it is sent once; `None`: it is a payment of its own.
    pub key: Option<OrderKey>,
    /// To whom.
    pub payee: NodeId,
    /// How much.
    pub amount: Msat,
    /// The most to spend on fees; `None`: the node's policy.
    pub max_fee: Option<Msat>,
    /// Stop trying new ways after so long, in milliseconds.
    pub timeout_ms: u32,
}

/// Why a payment that was sent did not arrive. Nothing of it is in flight any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentFailure {
    /// The payee does not know the payment, or not this amount (BOLT 4,
    /// `incorrect_or_unknown_payment_details`).
    UnknownByPayee {
        /// The chain height the payee reported.
        height: Option<BlockHeight>,
    },
    /// The payee gave up waiting for the rest (BOLT 4, `mpp_timeout`).
    PayeeTimedOut,
    /// A node on the way failed it with this code (BOLT 4, failure messages).
    FailedOnTheWay {
        /// The failure code.
        code: u16,
        /// Who sent it.
        by: NodeId,
    },
    /// The failure could not be read: somebody on the way garbled it.
    Unreadable,
    /// No way was left to try.
    NoRoute,
    /// Not enough on our side when it came to it.
    ShortOfCapacity,
    /// The time for trying was over.
    TimedOut,
    /// The HTLC timed out on the chain.
    ExpiredOnChain,
    /// The channel ended before the HTLC was signed by both.
    ChannelClosed,
    /// The node was told to stop, or crashed, before anything left.
    NeverSent,
}

/// The state of a payment. `Succeeded` and `Failed` are final and rest on proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentStatus {
    /// On its way: it may still arrive.
    InFlight,
    /// Arrived.
    Succeeded {
        /// The proof.
        preimage: Preimage,
    },
    /// Did not arrive, and cannot any more.
    Failed(PaymentFailure),
}

/// How one attempt fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// Offered to our peer.
    InFlight,
    /// Its preimage came back.
    Settled,
    /// Came back.
    Failed(PaymentFailure),
}

/// One step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The node it leads to.
    pub node: NodeId,
    /// The channel it uses, by id when that is ours.
    pub channel: Option<ChannelId>,
    /// That channel's place in the chain, once it has one.
    pub short_id: Option<ShortChannelId>,
    /// What arrives at that node.
    pub amount: Msat,
    /// What the node before it keeps.
    pub fee: Msat,
    /// How long that node held it, as far as it proved that, in milliseconds: steps of 100.
    pub held_ms: Option<u64>,
}

/// One HTLC of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number within the payment, from 0.
    pub part: u32,
    /// How it fares.
    pub state: AttemptState,
    /// What it brings to the payee.
    pub amount: Msat,
    /// What it pays on the way.
    pub fee: Msat,
    /// The way, payee last.
    pub hops: Vec<Hop>,
    /// When it left.
    pub sent: UnixMillis,
    /// When it ended.
    pub ended: Option<UnixMillis>,
}

/// A snapshot of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its position in the list, rising, never re-used.
    pub index: u64,
    /// Its id.
    pub hash: PaymentHash,
    /// How it stands.
    pub status: PaymentStatus,
    /// To whom.
    pub payee: NodeId,
    /// How much arrives.
    pub amount: Msat,
    /// What the attempts that are settled or in flight pay in fees.
    pub fee: Msat,
    /// The most that may be spent on fees.
    pub fee_limit: Msat,
    /// The invoice.
    pub invoice: String,
    /// The invoice's description, if it has one.
    pub description: Option<String>,
    /// Every attempt so far, oldest first.
    pub attempts: Vec<Attempt>,
    /// When it was asked for.
    pub created: UnixMillis,
    /// When it ended.
    pub ended: Option<UnixMillis>,
    /// What stood in its way, in words, if it failed.
    pub reason: Option<String>,
}

impl Payment {
    /// Whether the snapshot is the last one.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self.status, PaymentStatus::InFlight)
    }
}

/// Which payments to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaymentFilter {
    /// Those on their way.
    pub in_flight: bool,
    /// Those that arrived.
    pub succeeded: bool,
    /// Those that failed.
    pub failed: bool,
}

impl PaymentFilter {
    /// Whether a payment passes; a filter that names nothing lets everything pass.
    #[must_use]
    pub const fn passes(&self, status: &PaymentStatus) -> bool {
        let all = !self.in_flight && !self.succeeded && !self.failed;
        all || match status {
            PaymentStatus::InFlight => self.in_flight,
            PaymentStatus::Succeeded { .. } => self.succeeded,
            PaymentStatus::Failed(_) => self.failed,
        }
    }
}
