//! When this node closes a channel alone without being told to, for the whole node and peer by peer; and whose
//! fundings are as good as confirmed.
//!
//! Not here: what an HTLC near its end is worth (`channel`), who asks for a change (`rpc`).

use std::collections::{BTreeMap, BTreeSet};

use wire::id::NodeId;

pub use channel::env::ForceClosePolicy;

/// A policy as it is stored: a number that never changes its meaning.
pub const fn number(policy: ForceClosePolicy) -> u8 {
    match policy {
        ForceClosePolicy::Automatic => 1,
        ForceClosePolicy::WhenMoneyAtRisk => 2,
        ForceClosePolicy::Ask => 3,
    }
}

/// Reads [`number`].
pub const fn of_number(number: u8) -> Option<ForceClosePolicy> {
    match number {
        1 => Some(ForceClosePolicy::Automatic),
        2 => Some(ForceClosePolicy::WhenMoneyAtRisk),
        3 => Some(ForceClosePolicy::Ask),
        _ => None,
    }
}

/// A policy as people write it.
pub const fn word(policy: ForceClosePolicy) -> &'static str {
    match policy {
        ForceClosePolicy::Automatic => "automatic",
        ForceClosePolicy::WhenMoneyAtRisk => "when-money-at-risk",
        ForceClosePolicy::Ask => "ask",
    }
}

/// Reads [`word`].
pub fn of_word(text: &str) -> Option<ForceClosePolicy> {
    [ForceClosePolicy::Automatic, ForceClosePolicy::WhenMoneyAtRisk, ForceClosePolicy::Ask]
        .into_iter()
        .find(|policy| word(*policy) == text)
}

/// What holds for which peer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policies {
    /// For the whole node.
    pub node: ForceClosePolicy,
    /// For peers with one of their own.
    pub peers: BTreeMap<NodeId, ForceClosePolicy>,
    /// Peers whose channels are used before their funding is in a block. A human trusts them; no setting
    /// does.
    pub trusted: BTreeSet<NodeId>,
}

impl Policies {
    /// The node's setting, and what the journal says of peers.
    pub fn of(
        node: ForceClosePolicy,
        kept: &BTreeMap<NodeId, u8>,
        trusted: BTreeSet<NodeId>,
    ) -> Self {
        let peers = kept.iter().filter_map(|(peer, kept)| Some((*peer, of_number(*kept)?)));
        Self { node, peers: peers.collect(), trusted }
    }

    /// For channels with this peer.
    pub fn with(&self, peer: NodeId) -> ForceClosePolicy {
        self.peers.get(&peer).copied().unwrap_or(self.node)
    }

    /// Whether what this peer funds is used before it is in a block.
    pub fn trusts(&self, peer: NodeId) -> bool {
        self.trusted.contains(&peer)
    }
}
