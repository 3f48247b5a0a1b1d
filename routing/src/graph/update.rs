//! What changes the graph: announcements that somebody else has verified (BOLT 7).

use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat, Sat};

/// Which end of a channel forwards. BOLT 7 § The `channel_update` Message, bit `direction`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// `node_id_1`, whose id is the lesser, forwards; the bit is 0.
    FromLesser,
    /// `node_id_2` forwards; the bit is 1.
    FromGreater,
}

impl Direction {
    /// Both, the lesser first.
    pub const BOTH: [Self; 2] = [Self::FromLesser, Self::FromGreater];

    /// From the bit in `channel_flags`.
    pub const fn from_bit(bit: bool) -> Self {
        if bit { Self::FromGreater } else { Self::FromLesser }
    }

    /// The bit in `channel_flags`.
    pub const fn bit(self) -> bool {
        matches!(self, Self::FromGreater)
    }

    /// The direction in which `from` forwards to `to`.
    pub fn between(from: &NodeId, to: &NodeId) -> Self {
        Self::from_bit(from > to)
    }

    /// The way back.
    pub const fn reverse(self) -> Self {
        Self::from_bit(!self.bit())
    }
}

/// A channel as its `channel_announcement` and its funding output show it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelAnnounced {
    /// Where its funding output is.
    pub scid: ShortChannelId,
    /// Both ends, the lesser id first.
    pub nodes: [NodeId; 2],
    /// The value of the funding output; `None` if Layer 1 could not tell.
    pub capacity: Option<Sat>,
    /// What the announcement says. A channel with an even bit that we do not know is kept and never used.
    pub features: Features,
}

/// How one end forwards over a channel: its `channel_update`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Seconds since 1970, as the node says.
    pub timestamp: u32,
    /// Whether the bit `disable` is clear.
    pub enabled: bool,
    /// Blocks between the expiries of the incoming and the outgoing HTLC.
    pub cltv_expiry_delta: CltvDelta,
    /// The least that is forwarded.
    pub htlc_minimum: Msat,
    /// The most that is forwarded in one HTLC.
    pub htlc_maximum: Msat,
    /// Millisatoshi for each HTLC.
    pub fee_base_msat: u32,
    /// Millionths of the amount forwarded.
    pub fee_proportional_millionths: u32,
}

impl Policy {
    /// What is taken for forwarding `amount`; stays at `u64::MAX`.
    pub fn fee(&self, amount: Msat) -> u64 {
        fee(self.fee_base_msat, self.fee_proportional_millionths, amount.to_u64())
    }
}

/// `base + amount * millionths / 1000000`, rounded down; stays at `u64::MAX`. BOLT 7 § HTLC Fees.
pub(crate) fn fee(base: u32, millionths: u32, amount: u64) -> u64 {
    // BOLT 7: "fee_base_msat + ( amount_to_forward * fee_proportional_millionths / 1000000 )"
    let share = amount.checked_mul(u64::from(millionths)).map_or_else(
        || {
            let share = u128::from(amount).saturating_mul(u128::from(millionths)) / 1_000_000;
            u64::try_from(share).unwrap_or(u64::MAX)
        },
        |product| product / 1_000_000,
    );
    share.saturating_add(u64::from(base))
}

/// A node as its `node_announcement` shows it, but for its addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeAnnounced {
    /// Who.
    pub id: NodeId,
    /// Seconds since 1970, as the node says.
    pub timestamp: u32,
    /// What it can do.
    pub features: Features,
    /// What it calls itself, as bytes; nothing says that they are text.
    pub alias: [u8; 32],
    /// Its colour: red, green, blue.
    pub color: [u8; 3],
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GraphUpdate {
    /// A channel exists; its ends exist with it.
    ChannelAnnounced(ChannelAnnounced),
    /// One end says how it forwards. News that are not newer than what is known change nothing.
    ChannelUpdated {
        /// Which channel.
        scid: ShortChannelId,
        /// Which end.
        direction: Direction,
        /// How.
        policy: Policy,
    },
    /// A node describes itself.
    NodeAnnounced(NodeAnnounced),
    /// A channel is gone (spent, or pruned); ends without another channel go with it.
    ChannelRemoved(ShortChannelId),
}

/// What an update did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// The graph is another one now.
    Changed,
    /// It was known, or something newer is.
    Nothing,
}

/// Why an update does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// An update of a channel that is not in the graph.
    #[error("channel {0:?} is not known")]
    UnknownChannel(ShortChannelId),
    /// A description of a node without a channel.
    #[error("node {0} has no channel")]
    UnknownNode(NodeId),
    /// Both ends are the same, or not in order.
    #[error("the ends of a channel are not in order")]
    Ends,
    /// A channel of the same place and other ends is known.
    #[error("another channel {0:?} is known")]
    Conflict(ShortChannelId),
    /// `htlc_maximum_msat` is below `htlc_minimum_msat`.
    #[error("the greatest amount is below the least")]
    Limits,
    /// The graph is as large as it may get, or has too many sets of features.
    #[error("the graph is full")]
    Full,
}
