//! Peers: who we talk to.

use wire::feature::Features;
use wire::id::NodeId;

use super::UnixMillis;
use crate::policy::ForceClosePolicy;

/// Asks for a connection that is kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectPeer {
    /// Who.
    pub node: NodeId,
    /// Where: `host:port`. `None`: where it was last.
    pub address: Option<String>,
    /// How long the call waits, in milliseconds; the node goes on trying after it.
    pub timeout_ms: u32,
}

/// Asks for the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectPeer {
    /// Who.
    pub node: NodeId,
    /// Also when channels need the connection (they come back at the next reconnection).
    pub force: bool,
}

/// A peer we are connected with, or want to be.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its position in the list: rises by the time it was first met.
    pub index: u64,
    /// Who.
    pub node: NodeId,
    /// What it calls itself; empty if that is not known.
    pub alias: String,
    /// Where: `host:port`.
    pub address: String,
    /// Whether the connection stands and `init` was exchanged.
    pub connected: bool,
    /// Whether it came to us.
    pub inbound: bool,
    /// What it said in `init`; `None` before that.
    pub features: Option<Features>,
    /// How many channels we have with it that are not closed.
    pub channels: u32,
    /// The last ping's round trip, in milliseconds.
    pub ping_ms: Option<u32>,
    /// Since when it is connected.
    pub connected_at: Option<UnixMillis>,
    /// Why the last attempt or connection ended, in one line; empty when none did.
    pub last_error: String,
    /// How channels with it are closed alone, if not as the node's setting says.
    pub force_close: Option<ForceClosePolicy>,
    /// Whether channels that it funds are used before their funding is in a block.
    pub trust_funding: bool,
}

/// What is to be another for channels with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerPolicyChange {
    /// When they are closed alone; of `None`: as the node's setting says.
    pub force_close: Option<Option<ForceClosePolicy>>,
    /// Whether they are used before the funding that the peer made is in a block.
    pub trust_funding: Option<bool>,
}

/// What holds for channels with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPolicy {
    /// When they are closed alone.
    pub force_close: ForceClosePolicy,
    /// Whether that is the peer's own; else it is the node's setting.
    pub own: bool,
    /// Whether they are used before the funding that the peer made is in a block.
    pub trust_funding: bool,
}

/// A connection that stands.
#[derive(Debug, Clone)]
pub struct Connected {
    /// With whom.
    pub peer: Peer,
    /// Whether it stood before the call.
    pub before: bool,
}
