//! The truth of the graph: nodes and channels in a `petgraph` graph, found by id.

use std::collections::BTreeMap;

use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableUnGraph};
use petgraph::visit::{
    EdgeIndexable as _, EdgeRef as _, IntoEdgeReferences as _, NodeIndexable as _,
};
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::Sat;

use super::rows::{Lane, edge_of};
use super::update::{ChannelAnnounced, Direction, NodeAnnounced, Policy, Rejected};
use super::{CHANNELS_MAX, NODES_MAX, most};

/// The most different sets of features; mainnet has some hundreds.
const FEATURE_SETS_MAX: usize = 4_096;
/// Longer vectors are cut: bits that far up mean nothing to us.
const FEATURE_BYTES_MAX: usize = 64;

/// A number as a place in an array.
pub(crate) fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A place in an array as a number; arrays here are bounded far below `u32::MAX`.
pub(crate) fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) told: Option<Told>,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) timestamp: u32,
    pub(super) features: u16,
    pub(super) alias: [u8; 32],
    pub(super) color: [u8; 3],
}

/// A channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) scid: ShortChannelId,
    pub(super) capacity: Option<Sat>,
    pub(super) features: u16,
    pub(super) policies: [Option<Policy>; 2],
}

impl Channel {
    const fn policy(&self, direction: Direction) -> Option<&Policy> {
        let [lesser, greater] = &self.policies;
        match direction {
            Direction::FromLesser => lesser.as_ref(),
            Direction::FromGreater => greater.as_ref(),
        }
    }
}

/// Nodes and channels; features are kept once each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    pub(super) net: StableUnGraph<Node, Channel, u32>,
    pub(super) nodes: BTreeMap<NodeId, u32>,
    pub(super) channels: BTreeMap<ShortChannelId, u32>,
    pub(super) features: Vec<FeatureSet>,
}

/// A set of features that several have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FeatureSet {
    pub(super) set: Features,
    /// Whether it demands what we do not know: then we must not route through.
    pub(super) unknown: bool,
}

/// A channel, to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct ChannelView<'a> {
    /// Where its funding output is.
    pub scid: ShortChannelId,
    /// Both ends, the lesser id first.
    pub nodes: [NodeId; 2],
    /// The value of the funding output, if Layer 1 could tell.
    pub capacity: Option<Sat>,
    /// What its announcement says.
    pub features: &'a Features,
    /// How each end forwards, as far as it said.
    pub policies: [Option<&'a Policy>; 2],
}

impl<'a> ChannelView<'a> {
    /// How one end forwards.
    pub const fn policy(&self, direction: Direction) -> Option<&'a Policy> {
        let [lesser, greater] = self.policies;
        match direction {
            Direction::FromLesser => lesser,
            Direction::FromGreater => greater,
        }
    }

    /// Who forwards in a direction, and to whom.
    pub const fn ends(&self, direction: Direction) -> (NodeId, NodeId) {
        let [lesser, greater] = self.nodes;
        match direction {
            Direction::FromLesser => (lesser, greater),
            Direction::FromGreater => (greater, lesser),
        }
    }
}

/// A node, to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// Who.
    pub id: NodeId,
    /// How many channels it has.
    pub channels: usize,
    /// Seconds since 1970 when it described itself, if it did.
    pub timestamp: Option<u32>,
    /// What it can do, if it said.
    pub features: Option<&'a Features>,
    /// What it calls itself, as bytes.
    pub alias: Option<&'a [u8; 32]>,
    /// Its colour: red, green, blue.
    pub color: Option<[u8; 3]>,
}

impl Topology {
    pub(crate) fn find(&self, scid: ShortChannelId) -> Option<u32> {
        self.channels.get(&scid).copied()
    }

    /// The number of a node.
    pub(crate) fn find_node(&self, id: &NodeId) -> Option<u32> {
        self.nodes.get(id).copied()
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.net.node_weight(NodeIndex::from(node))
    }

    /// The id of a node.
    pub(crate) fn node_id(&self, node: u32) -> Option<NodeId> {
        self.node(node).map(|node| node.id)
    }

    /// The features a node announced.
    pub(crate) fn node_features(&self, node: u32) -> Option<&Features> {
        self.node(node)?.told.as_ref().and_then(|told| self.features_of(told.features))
    }

    fn channel(&self, channel: u32) -> Option<&Channel> {
        self.net.edge_weight(EdgeIndex::from(channel))
    }

    /// The id of a channel.
    pub(crate) fn scid(&self, channel: u32) -> Option<ShortChannelId> {
        self.channel(channel).map(|channel| channel.scid)
    }

    pub(super) fn has_channel(&self, channel: &ChannelAnnounced) -> bool {
        self.view(channel.scid).is_some_and(|known| known.nodes == channel.nodes)
    }

    pub(super) fn announce(&mut self, channel: &ChannelAnnounced) -> Result<(), Rejected> {
        let [lesser, greater] = channel.nodes;
        if lesser >= greater {
            return Err(Rejected::Ends);
        }
        if self.find(channel.scid).is_some() {
            return Err(Rejected::Conflict(channel.scid));
        }
        if self.channels.len() >= CHANNELS_MAX || self.nodes.len().saturating_add(2) > NODES_MAX {
            return Err(Rejected::Full);
        }
        let features = self.intern(&channel.features).ok_or(Rejected::Full)?;
        let (a, b) = (self.node_or_new(lesser), self.node_or_new(greater));
        let weight = Channel {
            scid: channel.scid,
            capacity: channel.capacity,
            features,
            policies: [None, None],
        };
        let number = self.net.add_edge(NodeIndex::from(a), NodeIndex::from(b), weight);
        self.channels.insert(channel.scid, small(number.index()));
        Ok(())
    }

    fn node_or_new(&mut self, id: NodeId) -> u32 {
        *self
            .nodes
            .entry(id)
            .or_insert_with(|| small(self.net.add_node(Node { id, told: None }).index()))
    }

    pub(super) fn intern(&mut self, features: &Features) -> Option<u16> {
        let bytes = features.as_bytes();
        let skip = bytes.len().saturating_sub(FEATURE_BYTES_MAX);
        let set = Features::from_wire(bytes.get(skip..).unwrap_or_default().to_vec());
        // What is cut off counts as well: an even bit there is a demand that we do not know.
        self.intern_set(FeatureSet { set, unknown: features.unknown_even().is_some() })
    }

    /// The place of a set among those that are known; `None` if there are too many.
    pub(super) fn intern_set(&mut self, set: FeatureSet) -> Option<u16> {
        let known = self.features.iter().position(|known| *known == set);
        let place = known.or_else(|| {
            if self.features.len() >= FEATURE_SETS_MAX {
                return None;
            }
            self.features.push(set);
            self.features.len().checked_sub(1)
        })?;
        u16::try_from(place).ok()
    }

    fn features_of(&self, place: u16) -> Option<&Features> {
        self.features.get(usize::from(place)).map(|known| &known.set)
    }

    fn demands_unknown(&self, place: u16) -> bool {
        self.features.get(usize::from(place)).is_some_and(|known| known.unknown)
    }

    /// Whether an update fits.
    pub(super) fn admits(
        &self,
        scid: ShortChannelId,
        _direction: Direction,
        policy: &Policy,
    ) -> Result<(), Rejected> {
        if self.find(scid).is_none() {
            return Err(Rejected::UnknownChannel(scid));
        }
        if policy.htlc_maximum < policy.htlc_minimum { Err(Rejected::Limits) } else { Ok(()) }
    }

    pub(super) fn is_older(
        &self,
        scid: ShortChannelId,
        direction: Direction,
        timestamp: u32,
    ) -> bool {
        self.find(scid)
            .and_then(|channel| self.channel(channel)?.policy(direction))
            .is_some_and(|known| known.timestamp >= timestamp)
    }

    pub(super) fn update(
        &mut self,
        scid: ShortChannelId,
        direction: Direction,
        policy: &Policy,
    ) -> Result<u32, Rejected> {
        let number = self.find(scid).ok_or(Rejected::UnknownChannel(scid))?;
        let channel = self.net.edge_weight_mut(EdgeIndex::from(number));
        let channel = channel.ok_or(Rejected::UnknownChannel(scid))?;
        let [lesser, greater] = &mut channel.policies;
        match direction {
            Direction::FromLesser => *lesser = Some(*policy),
            Direction::FromGreater => *greater = Some(*policy),
        }
        Ok(number)
    }

    /// The timestamp of what the node said before.
    pub(super) fn admits_node(&self, node: &NodeAnnounced) -> Result<Option<u32>, Rejected> {
        let number = self.find_node(&node.id).ok_or(Rejected::UnknownNode(node.id))?;
        Ok(self.node(number).and_then(|known| known.told.as_ref()).map(|told| told.timestamp))
    }

    /// Whether it changed that payments may go through the node.
    pub(super) fn describe(&mut self, node: &NodeAnnounced) -> Result<bool, Rejected> {
        let number = self.find_node(&node.id).ok_or(Rejected::UnknownNode(node.id))?;
        let before = self.is_closed(number);
        let features = self.intern(&node.features).ok_or(Rejected::Full)?;
        let told =
            Told { timestamp: node.timestamp, features, alias: node.alias, color: node.color };
        if let Some(known) = self.net.node_weight_mut(NodeIndex::from(number)) {
            known.told = Some(told);
        }
        Ok(before != self.is_closed(number))
    }

    /// Whether nothing may go through a node, because it demands what we do not know.
    pub(crate) fn is_closed(&self, node: u32) -> bool {
        self.node(node)
            .and_then(|node| node.told.as_ref())
            .is_some_and(|told| self.demands_unknown(told.features))
    }

    /// Takes a channel out, and its ends if they have no other.
    pub(super) fn remove(&mut self, scid: ShortChannelId) -> Option<u32> {
        let number = self.channels.remove(&scid)?;
        let edge = EdgeIndex::from(number);
        let ends = self.net.edge_endpoints(edge);
        self.net.remove_edge(edge);
        for end in ends.into_iter().flat_map(|(a, b)| [a, b]) {
            if self.net.edges(end).next().is_none()
                && let Some(gone) = self.net.remove_node(end)
            {
                self.nodes.remove(&gone.id);
            }
        }
        Some(number)
    }

    /// All directions: channel, direction, the node it leads to.
    pub(super) fn directions(&self) -> impl Iterator<Item = (u32, Direction, u32)> {
        self.net.edge_references().flat_map(|edge| {
            let number = small(edge.id().index());
            let (lesser, greater) = (small(edge.source().index()), small(edge.target().index()));
            [(number, Direction::FromLesser, greater), (number, Direction::FromGreater, lesser)]
        })
    }

    /// A direction as searches read it; `None` if it cannot be used.
    pub(super) fn lane(&self, number: u32, direction: Direction) -> Option<Lane> {
        let channel = self.channel(number)?;
        let (lesser, greater) = self.net.edge_endpoints(EdgeIndex::from(number))?;
        let from = match direction {
            Direction::FromLesser => lesser,
            Direction::FromGreater => greater,
        };
        let policy = channel.policy(direction).filter(|policy| policy.enabled)?;
        // BOLT 7: "if there is an unknown even bit in the `features` field: MUST NOT attempt to route
        // messages through the channel." and the same of nodes.
        if self.demands_unknown(channel.features) || self.is_closed(small(from.index())) {
            return None;
        }
        let most = most(policy.htlc_maximum, channel.capacity);
        let capacity = channel
            .capacity
            .map_or_else(|| most.to_u64(), |sat| sat.to_sat().saturating_mul(1_000));
        let edge = edge_of(number, direction);
        Some(Lane::new(small(from.index()), edge, policy, most.to_u64(), capacity))
    }

    pub(super) fn view(&self, scid: ShortChannelId) -> Option<ChannelView<'_>> {
        self.view_of(self.find(scid)?)
    }

    fn view_of(&self, number: u32) -> Option<ChannelView<'_>> {
        let channel = self.channel(number)?;
        let (lesser, greater) = self.net.edge_endpoints(EdgeIndex::from(number))?;
        let [one, other] = &channel.policies;
        Some(ChannelView {
            scid: channel.scid,
            nodes: [self.net.node_weight(lesser)?.id, self.net.node_weight(greater)?.id],
            capacity: channel.capacity,
            features: self.features_of(channel.features)?,
            policies: [one.as_ref(), other.as_ref()],
        })
    }

    pub(super) fn views_from(&self, from: ShortChannelId) -> impl Iterator<Item = ChannelView<'_>> {
        self.channels.range(from..).filter_map(|(_, number)| self.view_of(*number))
    }

    /// The numbers of a node's channels.
    pub(crate) fn numbers_of(&self, node: u32) -> impl Iterator<Item = u32> {
        self.net.edges(NodeIndex::from(node)).map(|edge| small(edge.id().index()))
    }

    pub(super) fn channels_of(&self, id: NodeId) -> impl Iterator<Item = ChannelView<'_>> {
        self.find_node(&id)
            .into_iter()
            .flat_map(|node| self.net.edges(NodeIndex::from(node)))
            .filter_map(|edge| self.view_of(small(edge.id().index())))
    }

    pub(super) fn node_view(&self, id: NodeId) -> Option<NodeView<'_>> {
        let number = self.find_node(&id)?;
        let told = self.node(number)?.told.as_ref();
        Some(NodeView {
            id,
            channels: self.net.edges(NodeIndex::from(number)).count(),
            timestamp: told.map(|told| told.timestamp),
            features: told.and_then(|told| self.features_of(told.features)),
            alias: told.map(|told| &told.alias),
            color: told.map(|told| told.color),
        })
    }

    pub(super) fn nodes_from(&self, from: NodeId) -> impl Iterator<Item = NodeView<'_>> {
        self.nodes.range(from..).filter_map(|(id, _)| self.node_view(*id))
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Above the numbers of all nodes.
    pub(super) fn node_bound(&self) -> usize {
        self.net.node_bound()
    }

    /// Above the numbers of all channels.
    pub(crate) fn channel_bound(&self) -> usize {
        self.net.edge_bound()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // petgraph keeps two links and two ends beside each channel, two links beside each node.
        let (nodes, channels) = self.net.capacity();
        let nodes = nodes.saturating_mul(size_of::<Option<Node>>().saturating_add(8));
        let channels = channels.saturating_mul(size_of::<Option<Channel>>().saturating_add(16));
        let maps = [
            self.nodes.len().saturating_mul(size_of::<NodeId>().saturating_add(4)),
            self.channels.len().saturating_mul(12),
        ];
        let maps: usize = maps.iter().map(|bytes| bytes.saturating_mul(4) / 3).sum();
        let features = self.features.len().saturating_mul(64);
        [nodes, channels, maps, features].iter().sum()
    }
}
