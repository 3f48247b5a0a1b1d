//! That a leaf is in a range, shown with one hash for each level above it.

use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::{Mmr, Node, bag, join};

/// What stands beside a leaf on its way to the root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path {
    /// The leaf's place, from 0.
    pub index: u32,
    /// How many leaves the range had.
    pub count: u32,
    /// The other half at each level, from the leaf up to the top of its tree.
    pub siblings: Vec<Node>,
    /// The tops of all other trees, the largest first.
    pub others: Vec<Node>,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PathError {
    /// There is no such leaf.
    #[error("leaf {index} of a range of {count}")]
    NoSuchLeaf {
        /// The place that was asked for.
        index: u32,
        /// How many leaves there are.
        count: u32,
    },
    /// More or fewer hashes than the place in a range of this size takes.
    #[error("the path has not as many hashes as its place needs")]
    Shape,
}

/// Where leaf `index` of `count` lies: which tree, from the largest, and its place and height in it.
fn place(index: u32, count: u32) -> Result<(usize, u32, u32), PathError> {
    let mut rest = index;
    let heights = (0..u32::BITS).rev().filter(|height| count >> height & 1 == 1);
    for (tree, height) in heights.enumerate() {
        // `height` is below 32, so the tree's size fits.
        let size = 1_u32.wrapping_shl(height);
        match rest.checked_sub(size) {
            None => return Ok((tree, rest, height)),
            Some(beyond) => rest = beyond,
        }
    }
    Err(PathError::NoSuchLeaf { index, count })
}

impl Path {
    /// The root of the range that has `leaf` at this place.
    ///
    /// # Errors
    /// [`PathError`] if the path has not the shape that its place and count demand.
    pub fn root(&self, leaf: &Node) -> Result<Node, PathError> {
        let (tree, inside, height) = place(self.index, self.count)?;
        let levels = usize::try_from(height).map_err(|_| PathError::Shape)?;
        let trees = usize::try_from(self.count.count_ones()).map_err(|_| PathError::Shape)?;
        if self.siblings.len() != levels || self.others.len().checked_add(1) != Some(trees) {
            return Err(PathError::Shape);
        }
        let mut top = *leaf;
        for (level, sibling) in (0_u32..).zip(&self.siblings) {
            top = if inside >> level & 1 == 0 { join(&top, sibling) } else { join(sibling, &top) };
        }
        let mut peaks = self.others.clone();
        peaks.insert(tree, top);
        Ok(bag(self.count, &peaks))
    }
}

/// The path of leaf `index` among these, in one pass that keeps only peaks: the leaves may come from a
/// disk, computed again as they are read.
///
/// # Errors
/// [`PathError::NoSuchLeaf`] when there are not as many.
pub fn path(index: u32, leaves: impl IntoIterator<Item = Node>) -> Result<Path, PathError> {
    let mut range = Mmr::new();
    let mut siblings = Vec::new();
    // Where among the peaks the tree with our leaf is.
    let mut ours = None;
    for leaf in leaves {
        let first = range.count() == index;
        // The tree that the new leaf is the last of holds ours, too.
        let mut inside = first;
        range.append_with(leaf, |place, left, right| {
            if inside {
                siblings.push(*left);
            } else if ours == Some(place) {
                siblings.push(*right);
                inside = true;
            }
        });
        if inside {
            ours = range.peaks().len().checked_sub(1);
        }
    }
    let count = range.count();
    let missing = PathError::NoSuchLeaf { index, count };
    let tree = ours.ok_or(missing)?;
    let mut others = range.peaks().to_vec();
    if tree < others.len() {
        others.remove(tree);
    }
    Ok(Path { index, count, siblings, others })
}

impl Encode for Path {
    /// `u32` index, `u32` count, then siblings and other peaks, whose numbers follow from the two.
    fn encode(&self, out: &mut Vec<u8>) {
        self.index.encode(out);
        self.count.encode(out);
        for node in self.siblings.iter().chain(&self.others) {
            out.extend_from_slice(node);
        }
    }
}

impl Decode for Path {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (index, count) = (u32::decode(r)?, u32::decode(r)?);
        let (_, _, height) = place(index, count).map_err(|_| DecodeError::Range)?;
        let siblings = (0..height).map(|_| r.array()).collect::<Result<_, _>>()?;
        let others = (1..count.count_ones()).map(|_| r.array()).collect::<Result<_, _>>()?;
        Ok(Self { index, count, siblings, others })
    }
}
