//! The backup of our channels.

use bitcoin::{Amount, OutPoint};
use wire::id::{ChannelId, NodeId};

use super::OrderKey;

/// What a backup says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContent {
    /// Its number.
    pub counter: u64,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
    /// Channels that the node had then.
    pub all: u32,
    /// Those it names.
    pub channels: Vec<BackupChannel>,
    /// Channels of this node that it does not name.
    pub missing: Vec<ChannelId>,
}

/// A channel in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupChannel {
    /// Its id.
    pub id: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// Where the peer was reached; may be empty.
    pub address: String,
    /// Where the coins are.
    pub funding: OutPoint,
    /// What it holds.
    pub capacity: Amount,
    /// Whether this node knows it.
    pub known: bool,
}

/// Where a backup comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupSource {
    /// A file's bytes.
    File(Vec<u8>),
    /// What connected peers gave back.
    Peers,
}

/// A wish to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreBackup {
    /// The user's name for it.
    pub key: Option<OrderKey>,
    /// From what.
    pub source: BackupSource,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRestored {
    /// The number of the backup.
    pub counter: u64,
    /// Channels that were made again.
    pub restored: Vec<BackupChannel>,
    /// Channels that were known.
    pub known: u32,
}
