//! Small networks for tests: nodes by number, channels by a line each, and random ones from a seed.

use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId};
use wire::units::{CltvDelta, Msat, Sat};

use crate::graph::{ChannelAnnounced, Direction, Graph, GraphUpdate, Policy};

pub(crate) fn node(number: u8) -> NodeId {
    let mut id = [number; 33];
    id[0] = 2;
    NodeId(id)
}

pub(crate) fn msat(raw: u64) -> Msat {
    Msat::new(raw).expect("an amount")
}

pub(crate) fn scid(number: u64) -> ShortChannelId {
    ShortChannelId::from_u64(number << 16)
}

/// A policy that lets everything through.
pub(crate) fn policy(base: u32, millionths: u32, delta: u16) -> Policy {
    Policy {
        timestamp: 1,
        enabled: true,
        cltv_expiry_delta: CltvDelta(delta),
        htlc_minimum: Msat::ZERO,
        htlc_maximum: Msat::MAX,
        fee_base_msat: base,
        fee_proportional_millionths: millionths,
    }
}

pub(crate) fn announced(number: u64, a: u8, b: u8, sat: u64) -> GraphUpdate {
    GraphUpdate::ChannelAnnounced(ChannelAnnounced {
        scid: scid(number),
        nodes: [node(a.min(b)), node(a.max(b))],
        capacity: Some(Sat::from_sat(sat)),
        features: Features::empty(),
    })
}

pub(crate) fn updated(number: u64, from: u8, to: u8, policy: Policy) -> GraphUpdate {
    let direction = Direction::between(&node(from), &node(to));
    GraphUpdate::ChannelUpdated { scid: scid(number), direction, policy }
}

/// Channels `(id, from, to, capacity in sat, policy of from)`, open in that direction only.
pub(crate) fn graph(channels: &[(u64, u8, u8, u64, Policy)]) -> Graph {
    let mut graph = Graph::new();
    for &(number, from, to, sat, policy) in channels {
        graph.apply(&announced(number, from, to, sat)).expect("announced");
        graph.apply(&updated(number, from, to, policy)).expect("updated");
    }
    graph
}

/// splitmix64, so that a seed is a network.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A random network of so many nodes and channels, with limits that bite at about `sat`.
pub(crate) fn random(dice: &mut Dice, nodes: u8, channels: u64, sat: u64) -> Graph {
    let mut graph = Graph::new();
    for number in 1..=channels {
        let a = u8::try_from(dice.below(u64::from(nodes))).expect("small");
        let b = u8::try_from(dice.below(u64::from(nodes))).expect("small");
        if a == b {
            continue;
        }
        let capacity = 1 + dice.below(3 * sat);
        graph.apply(&announced(number, a, b, capacity)).expect("announced");
        for (from, to) in [(a, b), (b, a)] {
            if dice.below(5) == 0 {
                continue;
            }
            let maximum = 1_000 * (1 + dice.below(capacity));
            let minimum = if dice.below(4) == 0 { dice.below(maximum / 2 + 1) } else { 1 };
            let policy = Policy {
                timestamp: 1,
                enabled: dice.below(10) > 0,
                cltv_expiry_delta: CltvDelta(u16::try_from(dice.below(150)).expect("small")),
                htlc_minimum: msat(minimum.min(maximum)),
                htlc_maximum: msat(maximum),
                fee_base_msat: u32::try_from(dice.below(2_000)).expect("small"),
                fee_proportional_millionths: u32::try_from(dice.below(5_000)).expect("small"),
            };
            graph.apply(&updated(number, from, to, policy)).expect("updated");
        }
    }
    graph
}
