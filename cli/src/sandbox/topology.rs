//! Who has channels with whom in a sandbox of many nodes.

use std::collections::BTreeSet;

use super::dice::Dice;

/// Channels that each newcomer opens in a Barabási–Albert network.
const NEWCOMER: usize = 2;

/// The shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Topology {
    /// Each with the next.
    Line,
    /// A line whose ends meet.
    Ring,
    /// Each with the first.
    Star,
    /// Barabási–Albert: each newcomer opens two channels, rather with those who have many; so a few become
    /// hubs, as on the real network.
    Ba,
}

impl Topology {
    /// Its name, as the command line knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Ring => "ring",
            Self::Star => "star",
            Self::Ba => "ba",
        }
    }

    /// The channels between so many nodes: who opens it, and with whom. Only `Ba` throws dice.
    pub fn channels(self, nodes: usize, seed: u64) -> Vec<(usize, usize)> {
        let line = (1..nodes).map(|node| (node.saturating_sub(1), node));
        match self {
            Self::Line => line.collect(),
            Self::Ring if nodes > 2 => line.chain([(nodes.saturating_sub(1), 0)]).collect(),
            Self::Ring => line.collect(),
            Self::Star => (1..nodes).map(|node| (node, 0)).collect(),
            Self::Ba => grown(nodes, seed),
        }
    }
}

fn grown(nodes: usize, seed: u64) -> Vec<(usize, usize)> {
    let mut dice = Dice::new(seed);
    let mut channels = Vec::new();
    // Every end of every channel: whoever has many is drawn often.
    let mut ends = vec![0];
    for newcomer in 1..nodes {
        let mut chosen = BTreeSet::new();
        while chosen.len() < NEWCOMER.min(newcomer) {
            if let Some(end) = ends.get(dice.place(ends.len())) {
                chosen.insert(*end);
            }
        }
        for other in chosen {
            channels.push((newcomer, other));
            ends.extend([newcomer, other]);
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many nodes can be reached from the first.
    fn reached(channels: &[(usize, usize)]) -> usize {
        let mut seen = BTreeSet::from([0]);
        loop {
            let before = seen.len();
            for (a, b) in channels {
                if seen.contains(a) || seen.contains(b) {
                    seen.extend([*a, *b]);
                }
            }
            if seen.len() == before {
                return before;
            }
        }
    }

    #[test]
    fn every_shape_joins_all_nodes_and_none_with_itself_or_twice() {
        for shape in [Topology::Line, Topology::Ring, Topology::Star, Topology::Ba] {
            for nodes in [2, 3, 4, 50] {
                let channels = shape.channels(nodes, 7);
                assert_eq!(reached(&channels), nodes, "{shape:?} of {nodes}");
                let pairs: BTreeSet<_> =
                    channels.iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
                assert_eq!(pairs.len(), channels.len(), "{shape:?} of {nodes}");
                assert!(channels.iter().all(|(a, b)| a != b));
            }
            assert_eq!(shape.channels(1, 7), []);
        }
    }

    #[test]
    fn lines_rings_and_stars_have_as_many_channels_as_they_must() {
        assert_eq!(Topology::Line.channels(50, 7).len(), 49);
        assert_eq!(Topology::Ring.channels(50, 7).len(), 50);
        assert_eq!(Topology::Star.channels(50, 7).len(), 49);
        assert_eq!(Topology::Ba.channels(50, 7).len(), 97);
    }

    #[test]
    fn a_grown_network_follows_its_seed_and_has_hubs() {
        let grown = |seed| Topology::Ba.channels(50, seed);
        assert_eq!(grown(7), grown(7));
        assert_ne!(grown(7), grown(8));
        let degree = |node| grown(7).iter().filter(|(a, b)| *a == node || *b == node).count();
        let most = (0..50).map(degree).max().unwrap();
        assert!(most >= 8, "the largest hub has {most} channels");
        assert!((2..50).all(|node| degree(node) >= 2));
    }
}
