//! The gRPC face of the node: parse, ask, answer. Nothing is decided here.
//!
//! One file a service, each with its own translation between plain words ([`model`]) and protocol
//! buffers. A refusal becomes a status in one place (`refusal::table`).
//!
//! Not here: what the node does with an order (`crate::node`), the messages themselves (`api`).

pub mod model;
pub mod node_api;
pub mod refusal;
pub mod server;

mod admit;
mod parse;
mod stream;

mod backup;
mod channels;
mod events;
mod forwards;
mod graph;
mod invoices;
mod node;
mod payments;
mod sandbox;
mod towers;
mod wallet;
mod why;

pub(crate) use graph::alias;

#[cfg(test)]
mod tests;

use tokio_util::sync::CancellationToken;

use crate::config::Network;
use model::UnixMillis;

pub use node_api::NodeApi;
pub use refusal::Refusal;

/// A node with its gRPC face on. Every service is implemented for it, in its own file.
#[derive(Clone)]
pub struct Rpc<N> {
    node: N,
    world: World,
}

impl<N> core::fmt::Debug for Rpc<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rpc").field("world", &self.world).finish_non_exhaustive()
    }
}

/// What the face knows by itself.
#[derive(Debug, Clone)]
pub struct World {
    /// The network, for addresses and names.
    pub network: Network,
    /// What time it is.
    pub now: fn() -> UnixMillis,
    /// When this is cancelled, every stream ends, so that the server can stop.
    pub stop: CancellationToken,
}

impl<N: NodeApi> Rpc<N> {
    /// Puts the face on.
    #[must_use]
    pub const fn new(node: N, world: World) -> Self {
        Self { node, world }
    }
}
