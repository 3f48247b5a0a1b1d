//! The graph as bytes, to be stored and loaded: sorted, without indices that mean nothing elsewhere.
//!
//! Layout 1, numbers big-endian: version (1 byte), sets of features (count and vectors), nodes by rising id (count,
//! then id, flag and what it told), channels by rising id (count, then id, both ends as places in the list of
//! nodes, capacity, features, a bit a policy, policies). A checksum is the store's affair.

use petgraph::stable_graph::NodeIndex;
use wire::codec::{Decode as _, DecodeError, Encode as _, Reader};
use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat, Sat};

use super::topology::{Channel, FeatureSet, Node, Told, Topology, at, small};
use super::update::Policy;
use super::{CHANNELS_MAX, NODES_MAX};

const VERSION: u8 = 1;

/// Why bytes are no graph.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Written by another version.
    #[error("version {0} of the graph's layout is not known")]
    Version(u8),
    /// Damaged.
    #[error("not a graph: {0}")]
    Bytes(#[from] DecodeError),
    /// Ids that do not rise, places that are not there, or more than may be kept.
    #[error("not a graph: its parts do not fit together")]
    Parts,
}

pub(super) fn encode(topology: &Topology) -> Vec<u8> {
    let mut out = vec![VERSION];
    small(topology.features.len()).encode(&mut out);
    for known in &topology.features {
        known.unknown.encode(&mut out);
        known.set.encode(&mut out);
    }
    small(topology.nodes.len()).encode(&mut out);
    let mut places = vec![0_u32; topology.node_bound()];
    for (place, (id, number)) in (0_u32..).zip(&topology.nodes) {
        if let Some(known) = places.get_mut(at(*number)) {
            *known = place;
        }
        id.encode(&mut out);
        let told = topology.net.node_weight(NodeIndex::from(*number));
        let told = told.and_then(|node| node.told.as_ref());
        told.is_some().encode(&mut out);
        if let Some(told) = told {
            told.timestamp.encode(&mut out);
            told.features.encode(&mut out);
            told.alias.encode(&mut out);
            told.color.encode(&mut out);
        }
    }
    small(topology.channels.len()).encode(&mut out);
    for number in topology.channels.values() {
        let edge = (*number).into();
        let Some(channel) = topology.net.edge_weight(edge) else { continue };
        let Some((lesser, greater)) = topology.net.edge_endpoints(edge) else { continue };
        channel.scid.encode(&mut out);
        for end in [lesser, greater] {
            places.get(end.index()).copied().unwrap_or_default().encode(&mut out);
        }
        channel.capacity.map_or(u64::MAX, Sat::to_sat).encode(&mut out);
        channel.features.encode(&mut out);
        let [one, other] = &channel.policies;
        let flags = u8::from(one.is_some()) | u8::from(other.is_some()) << 1;
        flags.encode(&mut out);
        for policy in [one, other].into_iter().flatten() {
            put_policy(policy, &mut out);
        }
    }
    out
}

fn put_policy(policy: &Policy, out: &mut Vec<u8>) {
    policy.timestamp.encode(out);
    policy.enabled.encode(out);
    policy.cltv_expiry_delta.to_u16().encode(out);
    policy.htlc_minimum.encode(out);
    policy.htlc_maximum.encode(out);
    policy.fee_base_msat.encode(out);
    policy.fee_proportional_millionths.encode(out);
}

fn take_policy(r: &mut Reader<'_>) -> Result<Policy, LoadError> {
    let policy = Policy {
        timestamp: u32::decode(r)?,
        enabled: bool::decode(r)?,
        cltv_expiry_delta: CltvDelta(u16::decode(r)?),
        htlc_minimum: Msat::decode(r)?,
        htlc_maximum: Msat::decode(r)?,
        fee_base_msat: u32::decode(r)?,
        fee_proportional_millionths: u32::decode(r)?,
    };
    if policy.htlc_minimum > policy.htlc_maximum { Err(LoadError::Parts) } else { Ok(policy) }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Topology, LoadError> {
    let mut r = Reader::new(bytes);
    let version = u8::decode(&mut r)?;
    if version != VERSION {
        return Err(LoadError::Version(version));
    }
    let mut topology = Topology::default();
    for place in 0..u32::decode(&mut r)? {
        let unknown = bool::decode(&mut r)?;
        let set = Features::decode(&mut r)?;
        if topology.intern_set(FeatureSet { set, unknown }).map(u32::from) != Some(place) {
            return Err(LoadError::Parts);
        }
    }
    let sets = topology.features.len();
    let fits = |features: u16| usize::from(features) < sets;
    // A node takes 34 bytes or more, a channel 27 or more: a short file cannot ask for much memory.
    let nodes = at(u32::decode(&mut r)?);
    if nodes > NODES_MAX || nodes > r.len() / 34 {
        return Err(LoadError::Parts);
    }
    let mut ids: Vec<(NodeId, u32)> = Vec::with_capacity(nodes);
    topology.net.reserve_nodes(nodes);
    for _ in 0..nodes {
        let id = NodeId::decode(&mut r)?;
        if ids.last().is_some_and(|(last, _)| *last >= id) {
            return Err(LoadError::Parts);
        }
        let told = if bool::decode(&mut r)? { Some(take_told(&mut r, fits)?) } else { None };
        ids.push((id, small(topology.net.add_node(Node { id, told }).index())));
    }
    topology.nodes = ids.into_iter().collect();
    let channels = at(u32::decode(&mut r)?);
    if channels > CHANNELS_MAX || channels > r.len() / 27 {
        return Err(LoadError::Parts);
    }
    let mut ids: Vec<(ShortChannelId, u32)> = Vec::with_capacity(channels);
    topology.net.reserve_edges(channels);
    for _ in 0..channels {
        let scid = ShortChannelId::decode(&mut r)?;
        let (lesser, greater) = (u32::decode(&mut r)?, u32::decode(&mut r)?);
        // Nodes lie in the order of their ids, so places are in order where ids are.
        if ids.last().is_some_and(|(last, _)| *last >= scid)
            || lesser >= greater
            || at(greater) >= nodes
        {
            return Err(LoadError::Parts);
        }
        let capacity = u64::decode(&mut r)?;
        let capacity = if capacity == u64::MAX { None } else { Some(Sat::from_sat(capacity)) };
        let features = u16::decode(&mut r)?;
        if !fits(features) || capacity.is_some_and(|sat| sat > Sat::MAX_MONEY) {
            return Err(LoadError::Parts);
        }
        let flags = u8::decode(&mut r)?;
        let one = if flags & 1 == 0 { None } else { Some(take_policy(&mut r)?) };
        let other = if flags & 2 == 0 { None } else { Some(take_policy(&mut r)?) };
        let channel = Channel { scid, capacity, features, policies: [one, other] };
        let edge = topology.net.add_edge(lesser.into(), greater.into(), channel);
        ids.push((scid, small(edge.index())));
    }
    r.end()?;
    topology.channels = ids.into_iter().collect();
    Ok(topology)
}

fn take_told(r: &mut Reader<'_>, fits: impl Fn(u16) -> bool) -> Result<Told, LoadError> {
    let told = Told {
        timestamp: u32::decode(r)?,
        features: u16::decode(r)?,
        alias: r.array()?,
        color: r.array()?,
    };
    if fits(told.features) { Ok(told) } else { Err(LoadError::Parts) }
}
