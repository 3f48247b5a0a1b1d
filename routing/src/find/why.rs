//! Why there is no route: the constraint, by name and with its numbers.

use wire::id::{NodeId, ShortChannelId};
use wire::units::Msat;

use super::field::Field;
use crate::graph::Direction;

/// Why no route obeys a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoute {
    /// The amount is zero.
    #[error("there is nothing to send")]
    NothingToSend,
    /// Payer and payee are the same.
    #[error("payer and payee are the same node")]
    ToSelf,
    /// Hops, parts, or the number of things in the request are outside what is looked at.
    #[error("the request asks for more than is looked at")]
    OutOfRange,
    /// No channel of the payee is known, and there is no hint.
    #[error("no channel of node {0} is known")]
    UnknownDestination(NodeId),
    /// Channels that stand between payer and payee cannot carry the amount together, in any number of parts.
    #[error("{place} can carry {can}, and {need} is needed")]
    Cut {
        /// Where the cut is.
        place: Where,
        /// What goes over it at most, by what is known.
        can: Msat,
        /// What has to.
        need: Msat,
        /// How many channels it has.
        count: usize,
        /// The widest of them, 16 at most.
        channels: Vec<CutChannel>,
    },
    /// The amount does not fit into so many parts; `can` does.
    #[error("{parts} parts can carry {can}, and {need} is needed")]
    Parts {
        /// The most parts that were allowed.
        parts: u16,
        /// What was found for so many.
        can: Msat,
        /// What is asked for.
        need: Msat,
    },
    /// The cheapest way takes more than the fee limit.
    #[error("the cheapest way costs {cheapest} of fees, and the limit is {limit}")]
    FeeLimit {
        /// What the cheapest way that was found takes.
        cheapest: Msat,
        /// What was allowed.
        limit: Msat,
    },
    /// The way with the nearest expiry is beyond the limit.
    #[error("the nearest expiry is {least} blocks away, and the limit is {limit}")]
    CltvLimit {
        /// Blocks of the way with the fewest that was found.
        least: u32,
        /// What was allowed.
        limit: u32,
    },
    /// The shortest way has too many hops, or its onion is too long.
    #[error("the shortest way has {least} hops, and {limit} are allowed or fit the onion")]
    TooFar {
        /// Hops of the shortest way that was found.
        least: usize,
        /// What was allowed.
        limit: u8,
    },
    /// A channel on every way wants more than the amount.
    #[error("{amount} is below what channels on the way forward at least: {least}")]
    BelowMinimum {
        /// What is asked for.
        amount: Msat,
        /// The least that a way was found for.
        least: Msat,
    },
    /// There is a way, over nodes or channels that are to be avoided or lack a feature.
    #[error("every way leads over nodes or channels that are avoided or lack a feature")]
    Avoided,
    /// There are ways for less, and several limits together leave none for this amount.
    #[error("no way obeys all limits together")]
    Limits,
}

/// Where a cut is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Where {
    /// The payer's own channels.
    Payer,
    /// The channels into the payee.
    Payee,
    /// Somewhere between.
    Between,
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Payer => "our own channels",
            Self::Payee => "the channels into the payee",
            Self::Between => "the channels between us and the payee",
        })
    }
}

/// A channel of a cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CutChannel {
    /// Which; `None` for a blinded tail.
    pub channel: Option<ShortChannelId>,
    /// Which way; `None` for one that is not announced.
    pub direction: Option<Direction>,
    /// What it carries at most, by what is known.
    pub can: Msat,
}

/// The constraint that left no route.
pub(super) fn explain(_field: &Field<'_>) -> NoRoute {
    NoRoute::Limits
}
