//! Ways through the network, as they are asked for and shown.

use wire::id::{NodeId, ShortChannelId};
use wire::units::Msat;

/// To whom a way is looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A node.
    Node(NodeId),
    /// Whoever made this invoice.
    Invoice(String),
}

/// A way that is looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FindRoute {
    /// To whom.
    pub target: Target,
    /// How much, if no invoice says it.
    pub amount: Option<Msat>,
    /// The most to spend on fees; `None`: the node's policy.
    pub max_fee: Option<Msat>,
    /// The most parts; `None`: as for a payment.
    pub max_parts: Option<u16>,
}

/// A way that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteFound {
    /// Its parts, the greatest first.
    pub parts: Vec<PartFound>,
    /// What nodes on the way get.
    pub fee: Msat,
    /// How likely all parts pass at once, 0 to 1.
    pub probability: f64,
}

/// One part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PartFound {
    /// What arrives.
    pub delivered: Msat,
    /// How likely it passes, 0 to 1.
    pub probability: f64,
    /// Its HTLCs, ours first.
    pub hops: Vec<HopFound>,
    /// Blocks from now to the expiry of our own HTLC.
    pub cltv_delta: u32,
}

/// One HTLC of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HopFound {
    /// Who receives it.
    pub node: NodeId,
    /// Over which channel.
    pub channel: ShortChannelId,
    /// What it carries.
    pub amount: Msat,
    /// What the node before keeps.
    pub fee: Msat,
    /// Blocks that the node before asks for.
    pub cltv_delta: u32,
    /// How likely it finds the liquidity it needs, 0 to 1.
    pub probability: f64,
}

/// What HTLCs that nobody can settle found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Each of them, in the order of their ends.
    pub parts: Vec<ProbedPart>,
    /// What of the amount the payee was reached with.
    pub reached: Msat,
    /// What that would have cost.
    pub fee: Msat,
    /// Why nothing more was tried, if the payee was not reached with all of it.
    pub missed: Option<String>,
}

/// One HTLC of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbedPart {
    /// Its way.
    pub part: PartFound,
    /// What came back; `None` if nothing did in time.
    pub outcome: Option<ProbeOutcome>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// How far an HTLC of a probe got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProbeOutcome {
    /// To the payee.
    Reached,
    /// To the node that this many of its hops lead to, which failed it. 0: our own channel did.
    Failed {
        /// How many hops passed.
        hops: u32,
        /// What was said.
        words: String,
    },
    /// Somewhere: nobody can be told from what came back.
    Unreadable {
        /// What is known.
        words: String,
    },
}
