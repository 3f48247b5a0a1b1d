//! Blocks that are added to a payee's expiry, as if the way went on behind it, so that nodes before it cannot count how
//! far they are from its end. BOLT 7 § Recommendations for Routing.
//!
//! Pure: the graph and the dice are arguments. The dice follow from the payment's hash and our key, so all its tries
//! have the same shadow, and it is the same after a restart.

use routing::graph::{Direction, Snapshot};
use wire::id::NodeId;

/// How far the shadow reaches at most, in channels.
const STEPS_MAX: u8 = 3;

/// How many blocks it adds at most: what three nodes ask for that ask for a day.
pub(super) const BLOCKS_MAX: u32 = 432;

/// What a node of which nothing is known would ask for.
const USUAL_DELTA: u32 = 40;

/// How many channels of a node are looked at.
const CHANNELS_MAX: usize = 256;

/// A random walk that begins at the payee: what its nodes ask for, in blocks.
pub(super) fn blocks(graph: &Snapshot, payee: NodeId, dice: &[u8; 32]) -> u32 {
    let [steps, throws @ ..] = dice;
    let steps = steps.checked_rem(STEPS_MAX).unwrap_or(0).saturating_add(1);
    let (mut node, mut sum) = (payee, 0_u32);
    for throw in throws.chunks_exact(4).take(usize::from(steps)) {
        let throw = throw.try_into().map_or(0, u32::from_be_bytes);
        let (delta, next) = step(graph, node, throw).unwrap_or((USUAL_DELTA, node));
        sum = sum.saturating_add(delta);
        node = next;
    }
    sum.min(BLOCKS_MAX)
}

/// One of a node's channels that can be used, by a throw of the dice: what the node asks for there, and who is behind.
fn step(graph: &Snapshot, node: NodeId, throw: u32) -> Option<(u32, NodeId)> {
    let ways: Vec<_> = graph
        .channels_of(node)
        .take(CHANNELS_MAX)
        .filter_map(|channel| {
            let [one, two] = channel.nodes;
            let next = if one == node { two } else { one };
            let policy = channel.policy(Direction::between(&node, &next))?;
            policy.enabled.then(|| (u32::from(policy.cltv_expiry_delta.to_u16()), next))
        })
        .collect();
    let place = usize::try_from(throw).ok()?.checked_rem(ways.len())?;
    ways.get(place).copied()
}

#[cfg(test)]
mod tests {
    use routing::graph::{ChannelAnnounced, Graph, GraphUpdate, Policy};
    use wire::feature::Features;
    use wire::id::ShortChannelId;
    use wire::units::{CltvDelta, Msat, Sat};

    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 33])
    }

    /// A line of four nodes that ask for 10, 20 and 300 blocks to the right, and for nothing to the left.
    fn line() -> Snapshot {
        let mut graph = Graph::new();
        for (number, delta) in [(1_u8, 10), (2, 20), (3, 300)] {
            let (from, to) = (node(number), node(number + 1));
            let scid = ShortChannelId::from_u64(u64::from(number));
            let announced = ChannelAnnounced {
                scid,
                nodes: [from, to],
                capacity: Some(Sat::from_sat(1_000)),
                features: Features::empty(),
            };
            graph.apply(&GraphUpdate::ChannelAnnounced(announced)).unwrap();
            let policy = Policy {
                timestamp: 1,
                enabled: true,
                cltv_expiry_delta: CltvDelta(delta),
                htlc_minimum: Msat::new(1).unwrap(),
                htlc_maximum: Msat::new(900_000).unwrap(),
                fee_base_msat: 0,
                fee_proportional_millionths: 0,
            };
            let direction = Direction::between(&from, &to);
            graph.apply(&GraphUpdate::ChannelUpdated { scid, direction, policy }).unwrap();
        }
        graph.snapshot()
    }

    #[test]
    fn the_shadow_is_a_walk_from_the_payee_by_what_nodes_ask_for() {
        let graph = line();
        let dice = |steps: u8| {
            let mut dice = [9; 32];
            dice[0] = steps;
            dice
        };
        assert_eq!(blocks(&graph, node(1), &dice(0)), 10);
        assert_eq!(blocks(&graph, node(1), &dice(1)), 30);
        assert_eq!(blocks(&graph, node(1), &dice(2)), 330);
        assert_eq!(blocks(&graph, node(1), &dice(2)), 330, "the same each time");
        // Where nothing is known, or the way ends, it is what is usual.
        assert_eq!(blocks(&graph, node(3), &dice(1)), 340);
        assert_eq!(blocks(&graph, node(9), &dice(2)), 120);
        assert_eq!(blocks(&Snapshot::default(), node(1), &dice(0)), USUAL_DELTA);
    }

    #[test]
    fn no_shadow_is_longer_than_three_days() {
        let graph = line();
        for throw in 0..=255_u8 {
            assert!((10..=BLOCKS_MAX).contains(&blocks(&graph, node(throw % 5), &[throw; 32])));
        }
    }
}
