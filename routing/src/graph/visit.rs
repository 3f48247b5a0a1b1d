//! A snapshot as `petgraph`'s algorithms see it: every edge turned round, from payee to payer.

use std::slice::Iter;

use petgraph::visit::{
    Data, EdgeRef, GraphBase, GraphRef, IntoEdgeReferences, IntoEdges, IntoNeighbors,
    IntoNodeIdentifiers, NodeCount, NodeIndexable, VisitMap, Visitable,
};

use super::rows::Lane;
use super::topology::{at, small};
use super::{Direction, Snapshot};
use wire::id::ShortChannelId;

/// The directions that can be used now, against the flow of money. Node indices are a snapshot's own.
#[derive(Clone, Copy, Debug)]
pub struct Inward<'a> {
    snapshot: &'a Snapshot,
}

/// One direction of a channel, for an algorithm.
#[derive(Clone, Copy, Debug)]
pub struct LaneRef<'a> {
    lane: &'a Lane,
    to: u32,
    snapshot: &'a Snapshot,
}

impl<'a> LaneRef<'a> {
    /// The channel.
    pub fn scid(&self) -> Option<ShortChannelId> {
        self.snapshot.topology().scid(self.lane.edge >> 1)
    }

    /// Which way money goes.
    pub const fn direction(&self) -> Direction {
        Direction::from_bit(self.lane.edge & 1 == 1)
    }

    /// What is taken for forwarding `msat`; stays at `u64::MAX`.
    pub fn fee_msat(&self, msat: u64) -> u64 {
        self.lane.fee(msat)
    }

    /// The least and the most that one HTLC may carry, in millisatoshi.
    pub const fn limits_msat(&self) -> (u64, u64) {
        (self.lane.least, self.lane.most)
    }
}

impl<'a> Inward<'a> {
    pub(super) const fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot }
    }

    /// The index of a node.
    pub fn index(&self, id: &wire::id::NodeId) -> Option<u32> {
        self.snapshot.topology().find_node(id)
    }
}

/// The edges out of one node of [`Inward`], or all.
#[derive(Clone, Debug)]
pub struct Lanes<'a> {
    snapshot: &'a Snapshot,
    node: u32,
    row: Iter<'a, Lane>,
    /// Nodes whose rows come after this one.
    more: std::ops::Range<u32>,
}

impl<'a> Iterator for Lanes<'a> {
    type Item = LaneRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(lane) = self.row.next() {
                return Some(LaneRef { lane, to: self.node, snapshot: self.snapshot });
            }
            self.node = self.more.next()?;
            self.row = self.snapshot.rows().toward(self.node).iter();
        }
    }
}

/// The neighbours of one node of [`Inward`].
#[derive(Clone, Debug)]
pub struct Payers<'a>(Iter<'a, Lane>);

impl Iterator for Payers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0.next().map(|lane| lane.from)
    }
}

impl GraphBase for Inward<'_> {
    type NodeId = u32;
    type EdgeId = u32;
}

impl GraphRef for Inward<'_> {}

impl<'a> EdgeRef for LaneRef<'a> {
    type NodeId = u32;
    type EdgeId = u32;
    type Weight = Self;

    fn source(&self) -> u32 {
        self.to
    }

    fn target(&self) -> u32 {
        self.lane.from
    }

    fn weight(&self) -> &Self {
        self
    }

    fn id(&self) -> u32 {
        self.lane.edge
    }
}

impl<'a> Data for Inward<'a> {
    type NodeWeight = ();
    type EdgeWeight = LaneRef<'a>;
}

impl<'a> IntoNeighbors for Inward<'a> {
    type Neighbors = Payers<'a>;

    fn neighbors(self, node: u32) -> Payers<'a> {
        Payers(self.snapshot.rows().toward(node).iter())
    }
}

impl<'a> IntoEdgeReferences for Inward<'a> {
    type EdgeRef = LaneRef<'a>;
    type EdgeReferences = Lanes<'a>;

    fn edge_references(self) -> Lanes<'a> {
        let more = 0..self.snapshot.rows().node_bound();
        Lanes { snapshot: self.snapshot, node: 0, row: Iter::default(), more }
    }
}

impl<'a> IntoEdges for Inward<'a> {
    type Edges = Lanes<'a>;

    fn edges(self, node: u32) -> Lanes<'a> {
        let row = self.snapshot.rows().toward(node).iter();
        Lanes { snapshot: self.snapshot, node, row, more: 0..0 }
    }
}

impl NodeIndexable for Inward<'_> {
    fn node_bound(&self) -> usize {
        at(self.snapshot.rows().node_bound())
    }

    fn to_index(&self, node: u32) -> usize {
        at(node)
    }

    fn from_index(&self, place: usize) -> u32 {
        small(place)
    }
}

impl NodeCount for Inward<'_> {
    fn node_count(&self) -> usize {
        self.snapshot.node_count()
    }
}

impl IntoNodeIdentifiers for Inward<'_> {
    type NodeIdentifiers = std::ops::Range<u32>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        0..self.snapshot.rows().node_bound()
    }
}

/// Which nodes an algorithm has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<bool>);

impl VisitMap<u32> for Seen {
    fn visit(&mut self, node: u32) -> bool {
        self.0.get_mut(at(node)).is_some_and(|seen| !std::mem::replace(seen, true))
    }

    fn is_visited(&self, node: &u32) -> bool {
        self.0.get(at(*node)).copied().unwrap_or(true)
    }

    fn unvisit(&mut self, node: u32) -> bool {
        self.0.get_mut(at(node)).is_some_and(std::mem::take)
    }
}

impl Visitable for Inward<'_> {
    type Map = Seen;

    fn visit_map(&self) -> Seen {
        Seen(vec![false; self.node_bound()])
    }

    fn reset_map(&self, map: &mut Seen) {
        map.0.clear();
        map.0.resize(self.node_bound(), false);
    }
}
