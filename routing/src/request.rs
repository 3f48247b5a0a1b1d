//! What a payment asks for: amounts, limits, what to avoid, and the channels that gossip does not know.
//!
//! Not here: who pays whom for what (`daemon::payments`), what is known of others' balances
//! ([`crate::score`]).

use std::collections::BTreeSet;

use wire::feature::Feature;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat};

use crate::graph::Direction;

/// The most forwarding nodes and recipient together that an onion is made for.
pub const HOPS_MAX: u8 = 20;
/// The furthest expiry that nodes accept, in blocks from now. BOLT 4 § `max_htlc_cltv`.
pub const CLTV_LIMIT: u32 = 2_016;
/// Bytes of all payloads of an onion. BOLT 4 § Packet Structure.
pub const PAYLOADS_MAX: u16 = 1_300;
/// Bytes of the recipient's payload, its length and its HMAC, with a payment secret and no metadata.
pub const FINAL_PAYLOAD_LEN: u16 = 96;
/// The most parts that any payment is cut into.
pub const PARTS_MAX: u16 = 64;
/// The most own channels, hints, tails, things to avoid, and amounts in flight that are looked at, each.
pub const ITEMS_MAX: usize = 16_384;

/// A payment that needs a way. Start from [`Request::new`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Who pays.
    pub payer: NodeId,
    /// Who is paid. Not looked at if there are blinded tails.
    pub payee: NodeId,
    /// What arrives, of all parts together; above zero.
    pub amount: Msat,
    /// Blocks from now to the last HTLC's expiry, with any grace or random offset. A blinded tail's own delta comes
    /// on top.
    pub final_cltv_delta: u32,
    /// The most that all forwarding nodes may take together.
    pub fee_limit: Msat,
    /// The most blocks from now to the first HTLC's expiry.
    pub cltv_limit: u32,
    /// The most parts, 1 to [`PARTS_MAX`]. 1 unless the recipient takes `basic_mpp`.
    pub max_parts: u16,
    /// The most hops of a part, 1 to [`HOPS_MAX`].
    pub max_hops: u8,
    /// What each forwarding node must have announced.
    pub hop_features: Vec<Feature>,
    /// Bytes of the recipient's payload with its length prefix and its HMAC.
    pub final_payload_len: u16,
    /// The payer's channels as they are; `None` to go by the announced ones, as if we were that node's adviser.
    pub own_channels: Option<Vec<OwnChannel>>,
    /// Ways to the payee that are not announced, each from a public node. BOLT 11, field `r`.
    pub hints: Vec<Vec<HintHop>>,
    /// Blinded routes to the payee. If there are any, all parts end in one of them.
    pub tails: Vec<BlindedTail>,
    /// Nodes that may not forward.
    pub avoid_nodes: BTreeSet<NodeId>,
    /// Channels that may not be used, in one direction or in both.
    pub avoid_channels: BTreeSet<(ShortChannelId, Option<Direction>)>,
    /// What our own unfinished attempts hold in others' channels.
    pub in_flight: Vec<InFlight>,
}

impl Request {
    /// One part with default limits: fee 1 % and 50 sat, 2,016 blocks, 20 hops.
    pub fn new(payer: NodeId, payee: NodeId, amount: Msat) -> Self {
        let fee_limit = (amount.to_u64() / 100).saturating_add(50_000);
        Self {
            payer,
            payee,
            amount,
            final_cltv_delta: 18,
            fee_limit: Msat::new(fee_limit).unwrap_or(Msat::MAX),
            cltv_limit: CLTV_LIMIT,
            max_parts: 1,
            max_hops: HOPS_MAX,
            hop_features: Vec::new(),
            final_payload_len: FINAL_PAYLOAD_LEN,
            own_channels: None,
            hints: Vec::new(),
            tails: Vec::new(),
            avoid_nodes: BTreeSet::new(),
            avoid_channels: BTreeSet::new(),
            in_flight: Vec::new(),
        }
    }
}

/// One of our channels that is up, as it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OwnChannel {
    /// The peer at its other end.
    pub peer: NodeId,
    /// What we call it: its id, or an alias of it.
    pub scid: ShortChannelId,
    /// The least that can be offered.
    pub least: Msat,
    /// The most that can be offered now, of all parts together.
    pub most: Msat,
}

/// A hop of a route hint: `node` forwards over `scid` to the next one's node, or to the payee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HintHop {
    /// Who forwards.
    pub node: NodeId,
    /// Over which channel.
    pub scid: ShortChannelId,
    /// Millisatoshi for each HTLC.
    pub fee_base_msat: u32,
    /// Millionths of the amount forwarded.
    pub fee_proportional_millionths: u32,
    /// Blocks between both expiries.
    pub cltv_expiry_delta: CltvDelta,
    /// The least that passes, if somebody said so.
    pub htlc_minimum: Msat,
    /// The most that passes; [`Msat::MAX`] if nobody said.
    pub htlc_maximum: Msat,
}

/// A blinded route as its sender sees it. BOLT 4 § Route Blinding, BOLT 12 `blinded_payinfo`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlindedTail {
    /// The node it starts at.
    pub introduction: NodeId,
    /// Millisatoshi for each HTLC, of all its hops.
    pub fee_base_msat: u32,
    /// Millionths of what arrives, of all its hops.
    pub fee_proportional_millionths: u32,
    /// Blocks from the introduction node's expiry to the last, with the recipient's own.
    pub cltv_expiry_delta: CltvDelta,
    /// The least that passes.
    pub htlc_minimum: Msat,
    /// The most that passes.
    pub htlc_maximum: Msat,
    /// How many hops it has after the introduction node.
    pub hops: u8,
    /// Bytes of the payloads of all its nodes, with their length prefixes and HMACs.
    pub payloads_len: u16,
}

/// What an unfinished attempt of ours holds in somebody's channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InFlight {
    /// The channel.
    pub scid: ShortChannelId,
    /// The way the HTLC goes.
    pub direction: Direction,
    /// Its amount there.
    pub amount: Msat,
}
