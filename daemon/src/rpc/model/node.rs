//! The node as a whole.

use bitcoin::{BlockHash, Network};
use wire::feature::Features;
use wire::id::NodeId;
use wire::units::BlockHeight;

use super::UnixMillis;
use crate::switch::book::Sums;

/// The end of the best chain as the node has processed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
    /// The time in its header, seconds since 1970.
    pub header_time: u32,
}

/// A snapshot of the node.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Who it is: its identity key.
    pub node: NodeId,
    /// What it calls itself.
    pub alias: String,
    /// Where it runs.
    pub network: Network,
    /// Whether the built-in chain is mined by this node (the Sandbox service is there).
    pub sandbox: bool,
    /// Its version, as in `Cargo.toml`.
    pub version: &'static str,
    /// What it says in `init` (BOLT 9).
    pub features: Features,
    /// Where peers reach it: `host:port`.
    pub addresses: Vec<String>,
    /// Up to where it has processed the chain.
    pub tip: Tip,
    /// Whether that is all there is.
    pub synced: bool,
    /// Connected peers.
    pub peers: u32,
    /// Channels that can pay.
    pub channels_open: u32,
    /// Channels on their way to it.
    pub channels_opening: u32,
    /// Channels whose data may be stale.
    pub channels_quarantined: u32,
    /// Channels on their way out, until their last output is ours again.
    pub channels_closing: u32,
    /// When this process started.
    pub started: UnixMillis,
    /// The newest event (see [`super::event::Event::seq`]).
    pub last_event: u64,
    /// What payments of others add up to that passed here.
    pub forwarded: Sums,
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing to do.
    Ok,
    /// Works, but somebody should look.
    Degraded,
    /// Does not work.
    Failed,
}

/// One part of the node and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPart {
    /// `journal`, `index`, `chain`, `wallet`, `peers`, `channels` or `backup`.
    pub name: &'static str,
    /// How it is.
    pub state: Health,
    /// What was seen, in one line.
    pub detail: String,
    /// What to do about it; empty when nothing.
    pub remedy: &'static str,
}
