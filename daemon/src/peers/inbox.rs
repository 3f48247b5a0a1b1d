//! What the task hears: wishes of users, words of connections, and what it starts with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use wire::id::NodeId;

use crate::fact::PeerKept;
use crate::identity::Identity;
use crate::journal::Writer;
use crate::payments::Reply;
use crate::peers::connection::Readers;
use crate::peers::handshake::{ConnectionFault, Greeted};
use crate::policy::Policies;
use crate::rpc::model::peer::{Peer, PeerPolicyChange};
use crate::tasks::Tasks;

/// One wish of a user.
#[derive(Debug)]
pub enum Ask {
    /// Connect, and stay connected.
    Connect {
        /// Whom.
        node: NodeId,
        /// Where, if not where it was last.
        address: Option<String>,
        /// Answered when the connection stands: whether it stood before.
        reply: Reply<bool>,
    },
    /// Call, for ever, until the connection stands, and stay connected. For peers that need not be there yet.
    Keep {
        /// Whom.
        node: NodeId,
        /// Where.
        address: String,
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Hang up and do not call again.
    Disconnect {
        /// Whom.
        node: NodeId,
        /// Even if channels need it.
        force: bool,
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Change what holds for channels with a peer.
    Policy {
        /// With whom.
        node: NodeId,
        /// What.
        change: PeerPolicyChange,
        /// Answered when it is durable, and in force.
        reply: Reply<()>,
    },
    /// All peers.
    List {
        /// Answered at once.
        reply: oneshot::Sender<Vec<Peer>>,
    },
}

/// What connections say to the supervisor.
#[derive(Debug)]
pub enum FromConnection {
    /// `init` was exchanged.
    Greeted {
        /// The connection.
        greeted: Box<Greeted>,
        /// Where it leads.
        address: String,
        /// From where, if the peer called.
        caller: Option<IpAddr>,
    },
    /// A call did not come about.
    NotReached {
        /// Whom we called.
        node: NodeId,
        /// Where.
        address: String,
        /// Why.
        fault: ConnectionFault,
    },
    /// A connection ended.
    Ended {
        /// With whom.
        node: NodeId,
        /// Which.
        generation: u64,
        /// Why.
        fault: ConnectionFault,
    },
    /// A stranger's handshake came to nothing.
    Rejected {
        /// From where it called.
        caller: IpAddr,
    },
}

/// Bounds on strangers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections that others began: peers we have no channel with and that no user asked for.
    pub inbound_max: u32,
    /// Handshakes under way that others began.
    pub handshakes_max: u32,
}

/// What the task starts with.
#[derive(Debug)]
pub struct Start {
    /// Our key.
    pub us: Arc<Identity>,
    /// The genesis hash of our chain.
    pub chain: [u8; 32],
    /// Peers as the journal has them.
    pub kept: BTreeMap<NodeId, (u64, PeerKept)>,
    /// The way into the journal.
    pub writer: Writer,
    /// Where connections lead.
    pub readers: Readers,
    /// When channels are closed alone, for all who must know.
    pub force_close: watch::Sender<Policies>,
    /// The tree of tasks.
    pub tasks: Tasks,
    /// Bounds on strangers.
    pub limits: Limits,
}
