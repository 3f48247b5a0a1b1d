//! The public channels and their nodes, dense and cheap to copy (BOLT 7).
//!
//! The truth is a `petgraph` [`StableGraph`](petgraph::stable_graph::StableGraph): an edge a channel, with the
//! policies of both directions, and indices that stay when others go. Beside it lie rows: for each node the
//! directions that lead to it, packed, those that can be used first. Searches read rows alone. Both are
//! behind an `Arc`, so a snapshot costs nothing until the graph changes under it.
//!
//! Not here: who may say what about a channel (verification), addresses of nodes, unannounced channels (they
//! come with a [`Request`](crate::request::Request)).

mod bytes;
mod rows;
mod topology;
mod update;
mod visit;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use wire::id::{NodeId, ShortChannelId};
use wire::units::{Msat, Sat};

pub use bytes::LoadError;
pub use topology::{ChannelView, NodeView};
pub use update::{
    Applied, ChannelAnnounced, Direction, GraphUpdate, NodeAnnounced, Policy, Rejected,
};
pub use visit::{Inward, LaneRef, Lanes, Payers, Seen};

pub(crate) use rows::{Lane, Rows, edge_of};
pub(crate) use topology::{Topology, at, small};

/// The most channels that are kept; mainnet has about 50,000.
pub const CHANNELS_MAX: usize = 1 << 20;
/// The most nodes that are kept.
pub const NODES_MAX: usize = 1 << 20;

/// The graph that takes updates. One task owns it; others get [`Snapshot`]s.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    topology: Arc<Topology>,
    rows: Arc<Rows>,
    /// Channels came or nodes came: rows must be laid out again.
    rows_behind: bool,
    /// How often anything changed.
    generation: u64,
    /// How often the numbers of channels changed.
    layout: u64,
}

/// A graph as it was at one moment. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    topology: Arc<Topology>,
    rows: Arc<Rows>,
    generation: u64,
    layout: u64,
}

impl Graph {
    /// No channels, no nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has been verified. Stale and repeated news are not errors: [`Applied::Nothing`].
    ///
    /// # Errors
    /// [`Rejected`] if it does not fit what is known; nothing has changed then.
    pub fn apply(&mut self, update: &GraphUpdate) -> Result<Applied, Rejected> {
        let applied = match update {
            GraphUpdate::ChannelAnnounced(channel) => {
                if self.topology.has_channel(channel) {
                    return Ok(Applied::Nothing);
                }
                Arc::make_mut(&mut self.topology).announce(channel)?;
                self.rows_behind = true;
                self.layout = self.layout.wrapping_add(1);
                Applied::Changed
            }
            GraphUpdate::ChannelUpdated { scid, direction, policy } => {
                self.topology.admits(*scid, *direction, policy)?;
                if self.topology.is_older(*scid, *direction, policy.timestamp) {
                    return Ok(Applied::Nothing);
                }
                let channel =
                    Arc::make_mut(&mut self.topology).update(*scid, *direction, policy)?;
                if !self.rows_behind {
                    let lane = self.topology.lane(channel, *direction);
                    Arc::make_mut(&mut self.rows).set(edge_of(channel, *direction), lane);
                }
                Applied::Changed
            }
            GraphUpdate::NodeAnnounced(node) => {
                let was = self.topology.admits_node(node)?;
                if was.is_some_and(|timestamp| timestamp >= node.timestamp) {
                    return Ok(Applied::Nothing);
                }
                let crossing_changed = Arc::make_mut(&mut self.topology).describe(node)?;
                self.rows_behind |= crossing_changed;
                Applied::Changed
            }
            GraphUpdate::ChannelRemoved(scid) => {
                if self.topology.find(*scid).is_none() {
                    return Ok(Applied::Nothing);
                }
                let gone = Arc::make_mut(&mut self.topology).remove(*scid);
                if let Some(gone) = gone.filter(|_| !self.rows_behind) {
                    let rows = Arc::make_mut(&mut self.rows);
                    rows.set(edge_of(gone, Direction::FromLesser), None);
                    rows.set(edge_of(gone, Direction::FromGreater), None);
                }
                // The number of a channel that is gone is given to the next: it must get a lane of its own.
                self.layout = self.layout.wrapping_add(1);
                Applied::Changed
            }
        };
        self.generation = self.generation.wrapping_add(1);
        Ok(applied)
    }

    /// The graph as it is now, for searches on any thread. Lays rows out again if channels came since the
    /// last one (some milliseconds for a whole mainnet), else costs nothing.
    pub fn snapshot(&mut self) -> Snapshot {
        if self.rows_behind {
            self.rows = Arc::new(Rows::lay(&self.topology));
            self.rows_behind = false;
        }
        Snapshot {
            topology: Arc::clone(&self.topology),
            rows: Arc::clone(&self.rows),
            generation: self.generation,
            layout: self.layout,
        }
    }

    /// A channel by its id.
    pub fn channel(&self, scid: ShortChannelId) -> Option<ChannelView<'_>> {
        self.topology.view(scid)
    }

    /// A node by its id.
    pub fn node(&self, id: NodeId) -> Option<NodeView<'_>> {
        self.topology.node_view(id)
    }

    /// All channels, ids rising, from `from` on.
    pub fn channels_from(&self, from: ShortChannelId) -> impl Iterator<Item = ChannelView<'_>> {
        self.topology.views_from(from)
    }

    /// How many channels there are.
    pub fn channel_count(&self) -> usize {
        self.topology.channel_count()
    }

    /// How many nodes have a channel.
    pub fn node_count(&self) -> usize {
        self.topology.node_count()
    }

    /// How often this graph has changed.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Every channel and every node that is known, as bytes: ids, capacities, features, policies, names.
    pub fn encode(&self) -> Vec<u8> {
        bytes::encode(&self.topology)
    }

    /// The graph of [`Self::encode`].
    ///
    /// # Errors
    /// [`LoadError`]: gossip has to be asked for again.
    pub fn decode(encoded: &[u8]) -> Result<Self, LoadError> {
        let topology = bytes::decode(encoded)?;
        let mut graph = Self { topology: Arc::new(topology), rows_behind: true, ..Self::default() };
        graph.snapshot();
        Ok(graph)
    }
}

impl Snapshot {
    /// Which change of the graph this is.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The same with what fits of `updates`: for one payment that knows more than gossip. Costs a copy.
    pub fn amended(&self, updates: impl IntoIterator<Item = GraphUpdate>) -> Self {
        let mut graph = Graph {
            topology: Arc::clone(&self.topology),
            rows: Arc::clone(&self.rows),
            rows_behind: false,
            generation: self.generation,
            layout: self.layout,
        };
        for update in updates {
            // What is older or unknown says nothing that could be used.
            let _fits = graph.apply(&update);
        }
        graph.snapshot()
    }

    /// A channel by its id.
    pub fn channel(&self, scid: ShortChannelId) -> Option<ChannelView<'_>> {
        self.topology.view(scid)
    }

    /// A node by its id.
    pub fn node(&self, id: NodeId) -> Option<NodeView<'_>> {
        self.topology.node_view(id)
    }

    /// All channels, ids rising, from `from` on.
    pub fn channels_from(&self, from: ShortChannelId) -> impl Iterator<Item = ChannelView<'_>> {
        self.topology.views_from(from)
    }

    /// All nodes, ids rising, from `from` on.
    pub fn nodes_from(&self, from: NodeId) -> impl Iterator<Item = NodeView<'_>> {
        self.topology.nodes_from(from)
    }

    /// The channels of a node, in no order.
    pub fn channels_of(&self, id: NodeId) -> impl Iterator<Item = ChannelView<'_>> {
        self.topology.channels_of(id)
    }

    /// How many channels there are.
    pub fn channel_count(&self) -> usize {
        self.topology.channel_count()
    }

    /// How many nodes have a channel.
    pub fn node_count(&self) -> usize {
        self.topology.node_count()
    }

    /// The sum of all capacities that are known.
    pub fn capacity(&self) -> Sat {
        self.channels_from(ShortChannelId::from_u64(0))
            .filter_map(|channel| channel.capacity)
            .fold(Sat::ZERO, |sum, one| sum.checked_add(one).unwrap_or(Sat::MAX_MONEY))
    }

    /// About how many bytes of memory it takes, by the sizes of its parts; maps count as three quarters full.
    pub fn memory_bytes(&self) -> usize {
        self.topology.memory_bytes().saturating_add(self.rows.memory_bytes())
    }

    /// The same graph for `petgraph`'s algorithms, every edge turned round: from payee to payer.
    pub const fn inward(&self) -> Inward<'_> {
        Inward::new(self)
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(crate) const fn layout(&self) -> u64 {
        self.layout
    }
}

/// What a direction can carry in one HTLC: its `htlc_maximum_msat`, and never more than the channel holds.
pub(crate) fn most(maximum: Msat, capacity: Option<Sat>) -> Msat {
    capacity.and_then(Msat::from_sat).map_or(maximum, |capacity| capacity.min(maximum))
}
