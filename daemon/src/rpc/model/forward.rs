//! Payments of others: looking at them, holding them, what is asked of them.

use wire::id::{ChannelId, NodeId, PaymentHash, ShortChannelId};
use wire::units::{BlockHeight, Msat};

use super::UnixMillis;
use super::channel::ChannelRef;
use crate::edge::{Forward as Edge, Inbox};
use crate::switch::hold::{Ask, Held};
use crate::switch::policy::PolicyChange;

/// What is known of a channel that a forward came or went by, as long as it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// Its id.
    pub id: Option<ChannelId>,
    /// Its place in the chain.
    pub short_id: Option<ShortChannelId>,
    /// With whom.
    pub node: Option<NodeId>,
}

/// How far a forward has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardState {
    /// It waits for a program's word.
    Held,
    /// It is out over another channel, or about to be.
    InFlight,
    /// The preimage came back.
    Settled,
    /// A program took it with a preimage of its own.
    Taken,
    /// It was refused or came back.
    Failed(ForwardFailure),
}

/// Why a forward failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardFailure {
    /// We refused it with this code of BOLT 4.
    Refused(u16),
    /// Somebody behind us refused it; only the sender can read why.
    Beyond,
    /// The next node could not read the onion: its code.
    Malformed(u16),
    /// It came back on Layer 1.
    OnChain,
}

/// A payment of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Its place in the list.
    pub index: u64,
    /// How far it has come.
    pub state: ForwardState,
    /// The hash whose preimage claims it.
    pub hash: PaymentHash,
    /// The channel it came in by.
    pub incoming: Side,
    /// The number of the HTLC there.
    pub htlc: u64,
    /// The channel it went out by last.
    pub outgoing: Option<Side>,
    /// Where the sender wanted it to go.
    pub asked: ShortChannelId,
    /// What came in.
    pub amount_in: Msat,
    /// What was to go out.
    pub amount_out: Msat,
    /// The height at which the incoming HTLC expires.
    pub expiry_in: BlockHeight,
    /// The height at which the outgoing HTLC expires.
    pub expiry_out: BlockHeight,
    /// When it came.
    pub created: UnixMillis,
    /// The height then.
    pub created_height: BlockHeight,
    /// When it ended.
    pub ended: Option<UnixMillis>,
}

/// Which forwards are wanted; none set: all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardFilter {
    /// Those that wait for a word.
    pub held: bool,
    /// Those under way.
    pub in_flight: bool,
    /// Those that were settled.
    pub settled: bool,
    /// Those that a program took.
    pub taken: bool,
    /// Those that failed.
    pub failed: bool,
}

impl ForwardFilter {
    /// Whether a forward in this state is wanted.
    #[must_use]
    pub fn passes(&self, state: &ForwardState) -> bool {
        *self == Self::default()
            || match state {
                ForwardState::Held => self.held,
                ForwardState::InFlight => self.in_flight,
                ForwardState::Settled => self.settled,
                ForwardState::Taken => self.taken,
                ForwardState::Failed(_) => self.failed,
            }
    }
}

/// Asks a channel to ask for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetPolicy {
    /// Which.
    pub channel: ChannelRef,
    /// What changes.
    pub change: PolicyChange,
}

/// A program's way to what is held.
#[derive(Debug)]
pub struct Interception {
    /// Its number among all that ever listened.
    pub listener: u64,
    /// What is held.
    pub held: Inbox<Held>,
    /// Where words go.
    pub answers: Edge<Ask>,
}
