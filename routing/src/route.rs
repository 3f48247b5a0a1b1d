//! What a search finds: parts, each a route with the exact amount and expiry of every HTLC.

use wire::id::{NodeId, ShortChannelId};
use wire::units::Msat;

use crate::graph::Direction;

/// All parts of a payment. Together they deliver exactly what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// One or more, the greatest first.
    pub parts: Vec<Route>,
    /// What all forwarding nodes take together.
    pub fee: Msat,
    /// How likely it is that every HTLC finds the liquidity it needs, 0 to 1, if channels fail independently.
    pub probability: f64,
    /// What the search minimised: fees, and what failing, waiting and every hop are worth, in millisatoshi.
    pub cost_msat: u64,
}

/// One part.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The HTLCs of this part, ours first. Never empty.
    pub hops: Vec<Hop>,
    /// Which blinded tail of the request goes on from the last hop.
    pub tail: Option<usize>,
    /// What arrives at the recipient.
    pub delivered: Msat,
    /// How likely it is that every HTLC of this part finds the liquidity it needs.
    pub probability: f64,
}

impl Route {
    /// What our own HTLC must carry.
    pub fn sent(&self) -> Msat {
        self.hops.first().map_or(Msat::ZERO, |hop| hop.amount)
    }

    /// What forwarding nodes take of this part.
    pub fn fee(&self) -> Msat {
        self.sent().checked_sub(self.delivered).unwrap_or(Msat::ZERO)
    }

    /// Blocks from now to the expiry of our own HTLC.
    pub fn cltv_delta(&self) -> u32 {
        self.hops.first().map_or(0, |hop| hop.cltv_delta)
    }
}

/// One HTLC of a route. What its receiver's onion says is the next hop's amount, expiry and channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hop {
    /// Who receives it.
    pub node: NodeId,
    /// Over which channel.
    pub channel: ShortChannelId,
    /// How that channel is known.
    pub via: Via,
    /// The HTLC's amount.
    pub amount: Msat,
    /// The HTLC's expiry, in blocks from now.
    pub cltv_delta: u32,
    /// How likely it finds the liquidity it needs, 0 to 1.
    pub probability: f64,
}

/// How a channel of a route is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Via {
    /// One of ours: its place in [`Request::own_channels`](crate::request::Request::own_channels).
    Own(usize),
    /// Announced.
    Public(Direction),
    /// A hint: which one, and which of its hops.
    Hint(usize, usize),
}
