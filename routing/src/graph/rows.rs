//! For each node the directions that lead to it, packed in one array, those that can be used first.

use super::topology::{Topology, at, small};
use super::update::{Direction, Policy};

/// A direction of a channel as a search from the recipient reads it: who forwards, at what price.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    /// The most that one HTLC may carry: `htlc_maximum_msat` or the capacity, the lesser.
    pub(crate) most: u64,
    /// The least that it may carry.
    pub(crate) least: u64,
    /// Millisatoshi that the channel holds, of both ends; `most` if nobody knows.
    pub(crate) capacity: u64,
    /// Who forwards.
    pub(crate) from: u32,
    /// The channel's number, twice, and the bit of the direction.
    pub(crate) edge: u32,
    pub(crate) fee_base: u32,
    pub(crate) fee_millionths: u32,
    pub(crate) cltv_delta: u16,
}

impl Lane {
    /// A direction with this policy.
    pub(crate) fn new(from: u32, edge: u32, policy: &Policy, most: u64, capacity: u64) -> Self {
        Self {
            most,
            least: policy.htlc_minimum.to_u64(),
            capacity,
            from,
            edge,
            fee_base: policy.fee_base_msat,
            fee_millionths: policy.fee_proportional_millionths,
            cltv_delta: policy.cltv_expiry_delta.to_u16(),
        }
    }

    /// What `from` takes for forwarding `amount`.
    pub(crate) fn fee(&self, amount: u64) -> u64 {
        super::update::fee(self.fee_base, self.fee_millionths, amount)
    }
}

/// The number of one direction of a channel.
pub(crate) fn edge_of(channel: u32, direction: Direction) -> u32 {
    channel << 1 | u32::from(direction.bit())
}

/// All lanes, grouped by the node they lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Where each node's row starts, and where the last one ends.
    starts: Vec<u32>,
    /// Where the part of each row ends that can be used.
    live: Vec<u32>,
    lanes: Vec<Lane>,
    /// Where each direction's lane is, by edge; `u32::MAX` if nowhere.
    slots: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Rows {
    /// Lays out all directions of a graph, also those that cannot be used now: they only have to be swapped
    /// forward when that changes.
    pub(crate) fn lay(topology: &Topology) -> Self {
        let nodes = topology.node_bound();
        let mut starts = vec![0_u32; nodes.saturating_add(1)];
        for (_, _, to) in topology.directions() {
            if let Some(count) = starts.get_mut(at(to).saturating_add(1)) {
                *count = count.saturating_add(1);
            }
        }
        let mut sum = 0_u32;
        for start in &mut starts {
            sum = sum.saturating_add(*start);
            *start = sum;
        }
        let mut rows = Self {
            live: starts.iter().take(nodes).copied().collect(),
            starts,
            lanes: vec![Lane::default(); at(sum)],
            slots: vec![NOWHERE; topology.channel_bound().saturating_mul(2)],
        };
        // Those that can be used from the front, the others from the back.
        let mut back: Vec<u32> = rows.starts.iter().skip(1).copied().collect();
        for (channel, direction, to) in topology.directions() {
            let edge = edge_of(channel, direction);
            let lane = topology.lane(channel, direction);
            let slot = if lane.is_some() {
                rows.live.get_mut(at(to)).map(|end| {
                    let slot = *end;
                    *end = end.saturating_add(1);
                    slot
                })
            } else {
                back.get_mut(at(to)).map(|end| {
                    *end = end.saturating_sub(1);
                    *end
                })
            };
            let Some(slot) = slot else { continue };
            if let Some(place) = rows.lanes.get_mut(at(slot)) {
                *place = lane.unwrap_or_else(|| Lane { edge, ..Lane::default() });
            }
            if let Some(place) = rows.slots.get_mut(at(edge)) {
                *place = slot;
            }
        }
        rows
    }

    /// A direction changed: `None` if it cannot be used any more.
    pub(crate) fn set(&mut self, edge: u32, lane: Option<Lane>) {
        let Some(slot) = self.slots.get(at(edge)).copied().filter(|slot| *slot != NOWHERE) else {
            return;
        };
        let row = self.starts.partition_point(|start| *start <= slot).saturating_sub(1);
        let Some(end) = self.live.get(row).copied() else { return };
        let (new_slot, new_end) = match (lane.is_some(), slot < end) {
            (true, true) | (false, false) => (slot, end),
            (true, false) => (end, end.saturating_add(1)),
            (false, true) => (end.saturating_sub(1), end.saturating_sub(1)),
        };
        if new_slot != slot {
            self.lanes.swap(at(slot), at(new_slot));
            let moved = self.lanes.get(at(slot)).map_or(NOWHERE, |lane| lane.edge);
            if let Some(place) = self.slots.get_mut(at(moved)) {
                *place = slot;
            }
            if let Some(place) = self.slots.get_mut(at(edge)) {
                *place = new_slot;
            }
        }
        if let Some(place) = self.lanes.get_mut(at(new_slot)) {
            *place = lane.unwrap_or_else(|| Lane { edge, ..Lane::default() });
        }
        if let Some(place) = self.live.get_mut(row) {
            *place = new_end;
        }
    }

    /// The directions that lead to a node and can be used.
    pub(crate) fn toward(&self, node: u32) -> &[Lane] {
        let (Some(start), Some(end)) = (self.starts.get(at(node)), self.live.get(at(node))) else {
            return &[];
        };
        self.lanes.get(at(*start)..at(*end)).unwrap_or_default()
    }

    /// Where a node's row starts: lanes have numbers of their own, their places.
    pub(crate) fn start_of(&self, node: u32) -> u32 {
        self.starts.get(at(node)).copied().unwrap_or_default()
    }

    /// A lane by its place.
    pub(crate) fn lane(&self, slot: u32) -> Option<&Lane> {
        self.lanes.get(at(slot))
    }

    /// Where a direction's lane is, if it can be used.
    pub(crate) fn place_of(&self, edge: u32) -> Option<u32> {
        let slot = self.slots.get(at(edge)).copied().filter(|slot| *slot != NOWHERE)?;
        let row = self.starts.partition_point(|start| *start <= slot).saturating_sub(1);
        self.live.get(row).filter(|end| slot < **end).map(|_| slot)
    }

    /// How many lanes there are, also those that cannot be used.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// How many numbers of directions are in use or were.
    pub(crate) fn edge_bound(&self) -> usize {
        self.slots.len()
    }

    /// How many numbers of nodes are in use or were.
    pub(crate) fn node_bound(&self) -> u32 {
        small(self.live.len())
    }

    /// Bytes of the arrays.
    pub(crate) fn memory_bytes(&self) -> usize {
        let words = [&self.starts, &self.live, &self.slots].map(Vec::capacity);
        let words: usize = words.iter().sum();
        words
            .saturating_mul(size_of::<u32>())
            .saturating_add(self.lanes.capacity().saturating_mul(size_of::<Lane>()))
    }
}
