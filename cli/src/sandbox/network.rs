//! What the sandbox and the demo need of running nodes. Whoever has the daemon as a library implements
//! it; everything else is done through the nodes' API.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::NodeState;

/// A network that is to be started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The chain's directory; it is there.
    pub chain_dir: PathBuf,
    /// The nodes, in order.
    pub nodes: Vec<NodePlan>,
    /// All nodes share the runtime they are started from: less of everything, but none can be killed alone.
    pub shared: bool,
    /// Where the chain is shown and served to others.
    pub doors: Doors,
}

/// Where the chain of a sandbox is shown to people and served to programs that know nothing of ours. Loopback only:
/// whoever reaches it can rewrite the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doors {
    /// Its pages.
    pub explorer: Option<SocketAddr>,
    /// Esplora's REST.
    pub esplora: Option<SocketAddr>,
    /// Bitcoin Core's JSON-RPC. Who may call says the cookie file in the chain's directory.
    pub rpc: Option<SocketAddr>,
}

/// A way to the chain that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorState {
    /// `explorer`, `esplora` or `rpc`.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The file that lets callers in, where one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<PathBuf>,
}

/// A node that is to be started.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Its name, which is also its alias.
    pub name: String,
    /// Its directory; it is there, and empty the first time.
    pub dir: PathBuf,
    /// Where its API listens.
    pub rpc: SocketAddr,
    /// Where it listens for peers.
    pub p2p: SocketAddr,
    /// What its keys are made of the first time; drawn if nothing is said.
    pub entropy: Option<[u8; 32]>,
    /// What it asks for each payment it forwards, in satoshi; the daemon's own fees if nothing is said.
    pub fee_sat: Option<u32>,
}

/// What a node knows of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Channels of which both ends have said what they ask for.
    pub channels: usize,
    /// Nodes that have said their name.
    pub nodes: usize,
}

/// A watchtower that runs in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TowerState {
    /// Its key: 33 bytes as hex.
    pub tower_id: String,
    /// Where it is: host:port.
    pub address: String,
}

/// Why a node or the chain did not start or stop.
#[derive(Debug)]
pub struct LaunchError {
    /// The chain, or the node's name.
    pub part: String,
    /// What happened.
    pub cause: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.cause)
    }
}

impl Error for LaunchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

/// Starts a chain and nodes in this process.
pub trait Launch {
    /// What runs then.
    type Network: Network;

    /// Starts the chain, then each node, and returns when each answers at its API. The nodes serve
    /// `Sandbox`, so that blocks can be made through them.
    fn launch(&self, plan: Plan) -> impl Future<Output = Result<Self::Network, LaunchError>>;
}

/// A chain and nodes that run in this process.
pub trait Network {
    /// The nodes, in the order of the plan.
    fn nodes(&self) -> Vec<NodeState>;

    /// The ways to the chain that are open; none unless the plan has some.
    fn doors(&self) -> Vec<DoorState> {
        Vec::new()
    }

    /// What each node that runs knows of the network.
    fn known(&self) -> Vec<Known>;

    /// Ends a node as SIGKILL would: nothing is written, said or waited for.
    fn kill(&mut self, name: &str) -> impl Future<Output = Result<(), LaunchError>>;

    /// Starts a node again that was killed, on the same directory and addresses.
    fn restart(&mut self, name: &str) -> impl Future<Output = Result<(), LaunchError>>;

    /// Starts a watchtower on the same chain, as `viaduct-tower` would run it, with its data in `dir`. It runs
    /// until the network stops.
    fn tower(&mut self, dir: &Path) -> impl Future<Output = Result<TowerState, LaunchError>>;

    /// Stops everything in order.
    fn stop(self) -> impl Future<Output = Result<(), LaunchError>>;
}
