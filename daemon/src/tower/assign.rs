//! Which towers watch a channel: the same few as long as they answer, others as soon as they do not.

use bitcoin::hashes::{Hash as _, sha256};
use wire::id::NodeId;

use crate::fact::ChannelIndex;

/// `copies` towers for a channel: every channel has an order of towers of its own, so that all get about as
/// many, and a new tower moves only its share. Those that do not `fit` are kept, and others take over.
pub(super) fn assign(
    channel: ChannelIndex,
    towers: &[NodeId],
    copies: usize,
    fit: impl Fn(&NodeId) -> bool,
) -> Vec<NodeId> {
    let mut order: Vec<_> = (towers.iter())
        .map(|tower| {
            let key = [&tower.0[..], &channel.0.to_be_bytes()].concat();
            (sha256::Hash::hash(&key).to_byte_array(), *tower)
        })
        .collect();
    order.sort_unstable();
    let mut fitting = 0_usize;
    let mut chosen = Vec::new();
    for (_, tower) in order {
        if fitting >= copies.max(1) {
            break;
        }
        fitting = fitting.saturating_add(usize::from(fit(&tower)));
        chosen.push(tower);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towers() -> Vec<NodeId> {
        (0..6).map(|n| NodeId([n; 33])).collect()
    }

    #[test]
    fn a_channel_keeps_its_towers_and_gets_another_for_each_that_does_not_answer() {
        let channel = ChannelIndex(7);
        let two = assign(channel, &towers(), 2, |_| true);
        assert_eq!(two.len(), 2);
        assert_eq!(assign(channel, &towers(), 2, |_| true), two);
        let three = assign(channel, &towers(), 2, |tower| *tower != two[0]);
        assert_eq!((three.len(), &three[..2]), (3, &two[..]), "the absent one is kept");
        assert_eq!(assign(channel, &towers(), 9, |_| true).len(), 6, "there are no more");
        assert_eq!(assign(channel, &[], 2, |_| true), []);
    }

    #[test]
    fn channels_are_shared_out_and_a_new_tower_takes_only_its_share() {
        let shares = |towers: &[NodeId]| -> Vec<NodeId> {
            (0..600).map(|n| assign(ChannelIndex(n), towers, 1, |_| true)[0]).collect()
        };
        let (five, six) = (shares(&towers()[..5]), shares(&towers()));
        let moved = five.iter().zip(&six).filter(|(a, b)| a != b).count();
        assert!((60..140).contains(&moved), "{moved} of 600 moved");
        assert!(five.iter().zip(&six).all(|(a, b)| a == b || *b == towers()[5]));
    }
}
