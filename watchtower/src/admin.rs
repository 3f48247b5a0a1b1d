//! The administration: gRPC over TLS with macaroons, as a node's; and metrics for Prometheus.
//!
//! Not here: what clients of the tower say (`ingest`), the contract (`api/proto/tower.proto`).

pub mod metrics;
mod serve;
mod show;
mod trial;

use std::net::SocketAddr;

use bitcoin::Network;
use secp256k1::PublicKey;
use tokio::sync::watch;

use crate::ingest::Guests;
use crate::store::Keeper;
use crate::watch::View;

pub use serve::{AdminError, Bound, bind};

/// What the administration knows of a tower.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The tower's key.
    pub key: PublicKey,
    /// Its network.
    pub network: Network,
    /// Where it hears clients.
    pub listen: Option<SocketAddr>,
    /// Its keeper.
    pub keeper: Keeper,
    /// How the watching stands.
    pub view: View,
    /// Who is connected.
    pub guests: watch::Receiver<Guests>,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> u64,
}
