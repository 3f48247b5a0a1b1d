//! All headers ever seen, and which chain of them is best: most work, then first seen.

use crate::backend::{BlockId, BlockRef};
use crate::builtin::storage::Place;
use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many block times the median is taken of (BIP 113).
const MTP_SPAN: usize = 11;

/// A block with a known ancestry down to genesis.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: BlockRef,
    /// Work of the chain up to here.
    work: Work,
    /// Where its bytes are.
    pub(crate) place: Place,
    /// The how-manieth block ever seen; less where it was preferred.
    order: u64,
    /// It, or a block below it, breaks a rule or was ruled out by command.
    pub(crate) invalid: bool,
}

impl Node {
    /// Work of the chain up to here.
    pub(crate) const fn work(&self) -> Work {
        self.work
    }
}

/// Orders begin here; what is preferred later comes before it.
const FIRST_ORDER: u64 = 1 << 40;

/// The tree of blocks and its best chain.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<BlockHash, Node>,
    /// Blocks that may be the tip, best last.
    candidates: BTreeSet<(Work, Reverse<u64>, BlockHash)>,
    /// The chain that is followed, by height.
    active: Vec<BlockHash>,
    genesis: BlockRef,
    /// How often a block was preferred.
    preferred: u64,
}

impl Tree {
    pub(crate) fn new(genesis: Header, place: Place) -> Self {
        let hash = genesis.block_hash();
        let at = BlockRef { height: 0, hash, header: genesis, mtp: genesis.time };
        let node = Node { at, work: genesis.work(), place, order: FIRST_ORDER, invalid: false };
        let candidates = BTreeSet::from([(node.work, Reverse(FIRST_ORDER), hash)]);
        let nodes = BTreeMap::from([(hash, node)]);
        Self { nodes, candidates, active: vec![hash], genesis: at, preferred: 0 }
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<&Node> {
        self.nodes.get(hash)
    }

    /// How many blocks were ever seen.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.nodes.len()).unwrap_or(u64::MAX)
    }

    /// The last block of the followed chain.
    pub(crate) fn tip(&self) -> BlockRef {
        self.active.last().and_then(|hash| self.nodes.get(hash)).map_or(self.genesis, |n| n.at)
    }

    /// The followed chain's block at `height`.
    pub(crate) fn at(&self, height: u32) -> Option<BlockRef> {
        let hash = self.active.get(usize::try_from(height).ok()?)?;
        self.nodes.get(hash).map(|node| node.at)
    }

    /// Median time of the followed chain's block at `height`.
    pub(crate) fn mtp_at(&self, height: u32) -> u32 {
        self.at(height).map_or(0, |block| block.mtp)
    }

    /// Whether a block is on the followed chain.
    pub(crate) fn is_active(&self, block: BlockId) -> bool {
        self.at(block.height).is_some_and(|active| active.hash == block.hash)
    }

    /// Adds a block whose header was checked. `None` when its predecessor is unknown.
    pub(crate) fn insert(&mut self, header: Header, place: Place) -> Option<BlockRef> {
        let hash = header.block_hash();
        let previous = self.nodes.get(&header.prev_blockhash)?;
        let height = previous.at.height.checked_add(1)?;
        #[expect(clippy::arithmetic_side_effects, reason = "work is summed in 256 bits")]
        let (work, invalid) = (previous.work + header.work(), previous.invalid);
        let at = BlockRef { height, hash, header, mtp: self.median_time(&header) };
        let order = FIRST_ORDER.saturating_add(self.count());
        if !invalid {
            self.candidates.insert((work, Reverse(order), hash));
        }
        self.nodes.insert(hash, Node { at, work, place, order, invalid });
        Some(at)
    }

    fn median_time(&self, header: &Header) -> u32 {
        let mut times = vec![header.time];
        let mut previous = header.prev_blockhash;
        while let Some(node) = self.nodes.get(&previous).filter(|_| times.len() < MTP_SPAN) {
            times.push(node.at.header.time);
            previous = node.at.header.prev_blockhash;
        }
        times.sort_unstable();
        times.get(times.len() >> 1).copied().unwrap_or(header.time)
    }

    /// The block that should be the tip.
    pub(crate) fn best(&self) -> BlockRef {
        let best = self.candidates.last().and_then(|(_, _, hash)| self.nodes.get(hash));
        best.map_or(self.genesis, |node| node.at)
    }

    /// The block at `height` on the branch that ends in `end`.
    pub(crate) fn ancestor(&self, end: BlockRef, height: u32) -> Option<BlockRef> {
        let mut at = end;
        while at.height > height {
            at = self.nodes.get(&at.header.prev_blockhash)?.at;
        }
        (at.height == height).then_some(at)
    }

    /// The blocks that no other stands on, and whether they are ruled out.
    pub(crate) fn ends(&self) -> Vec<(BlockRef, bool)> {
        let parents: BTreeSet<BlockHash> =
            self.nodes.values().map(|node| node.at.header.prev_blockhash).collect();
        let ends = self.nodes.values().filter(|node| !parents.contains(&node.at.hash));
        ends.map(|node| (node.at, node.invalid)).collect()
    }

    /// The last common block of two.
    pub(crate) fn fork(&self, one: BlockRef, other: BlockRef) -> BlockRef {
        let (mut one, mut other) = (one, other);
        while one.hash != other.hash {
            let higher = if one.height >= other.height { &mut one } else { &mut other };
            let Some(node) = self.nodes.get(&higher.header.prev_blockhash) else {
                return self.genesis;
            };
            *higher = node.at;
        }
        one
    }

    /// The blocks above `fork` up to `end`, highest first.
    pub(crate) fn above(&self, fork: BlockRef, end: BlockRef) -> Vec<BlockRef> {
        let mut blocks = Vec::new();
        let mut at = end;
        while at.height > fork.height {
            blocks.push(at);
            let Some(node) = self.nodes.get(&at.header.prev_blockhash) else { break };
            at = node.at;
        }
        blocks
    }

    /// Follows the chain up to `tip` from now on.
    pub(crate) fn follow(&mut self, tip: BlockRef) {
        let above = self.above(self.genesis, tip).into_iter().rev();
        self.active = std::iter::once(self.genesis).chain(above).map(|block| block.hash).collect();
    }

    /// All blocks ever seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The followed chain grew by `block`, whose predecessor was the tip.
    pub(crate) fn push_active(&mut self, block: BlockHash) {
        self.active.push(block);
    }

    /// The followed chain lost its tip.
    pub(crate) fn pop_active(&mut self) {
        if self.active.len() > 1 {
            self.active.pop();
        }
    }

    /// From now on a block counts as seen before all others of its work; the last one preferred is the first.
    pub(crate) fn prefer(&mut self, hash: &BlockHash) {
        let Some(node) = self.nodes.get_mut(hash) else { return };
        let old = (node.work, Reverse(node.order), *hash);
        self.preferred = self.preferred.saturating_add(1);
        node.order = FIRST_ORDER.saturating_sub(self.preferred);
        if self.candidates.remove(&old) {
            self.candidates.insert((node.work, Reverse(node.order), *hash));
        }
    }

    /// Rules a block and all above it out, or lets them back in.
    pub(crate) fn set_invalid(&mut self, root: &BlockHash, invalid: bool) {
        let mut marked = BTreeSet::from([*root]);
        let mut by_height: Vec<(u32, BlockHash, BlockHash)> = (self.nodes.values())
            .map(|node| (node.at.height, node.at.hash, node.at.header.prev_blockhash))
            .collect();
        by_height.sort_unstable_by_key(|(height, ..)| *height);
        for (_, hash, previous) in by_height {
            if marked.contains(&previous) {
                marked.insert(hash);
            }
        }
        for hash in &marked {
            let Some(node) = self.nodes.get_mut(hash) else { continue };
            node.invalid = invalid;
            let candidate = (node.work, Reverse(node.order), *hash);
            if invalid {
                self.candidates.remove(&candidate);
            } else {
                self.candidates.insert(candidate);
            }
        }
    }
}
