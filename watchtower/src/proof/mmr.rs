//! One hash over all records of a session, that grows by one record at a time: a Merkle mountain range.
//!
//! The records, in order, are the leaves of a row of perfect trees whose sizes are the bits of their
//! number: 13 records are trees of 8, 4 and 1. Only the tops of the trees, the peaks, are needed to go
//! on, so a session with a million records has a state of at most 20 hashes. What a tower signs is the
//! root: all peaks and the number of leaves in one hash. That a record is among the leaves is shown with
//! one hash for every level of its tree and the other peaks ([`Path`]).
//!
//! Not here: who signs a root ([`super::receipt`]), where the records lie ([`crate::store`]).

mod path;

#[cfg(test)]
mod tests;

pub use path::{Path, PathError, path};

use bitcoin::hashes::{Hash as _, sha256};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::tagged::tagged;

/// A hash in the tree, or its root.
pub type Node = [u8; 32];

/// The leaf of a record: its number, its hint and the hash of its ciphertext.
pub fn leaf(seq: u32, hint: &[u8; 16], ciphertext: &[u8]) -> Node {
    leaf_hashed(seq, hint, sha256::Hash::hash(ciphertext).as_byte_array())
}

/// The same, for one who kept only the hash of the ciphertext.
pub fn leaf_hashed(seq: u32, hint: &[u8; 16], ciphertext_sha256: &[u8; 32]) -> Node {
    tagged("wt2/leaf", &[&seq.to_be_bytes(), hint, ciphertext_sha256])
}

/// Two trees of one size become one.
fn join(left: &Node, right: &Node) -> Node {
    tagged("wt2/node", &[left, right])
}

/// All peaks and the number of leaves in one hash.
fn bag(count: u32, peaks: &[Node]) -> Node {
    let peaks: Vec<&[u8]> = peaks.iter().map(<[u8; 32]>::as_slice).collect();
    let bagged = tagged("wt2/peaks", &peaks);
    tagged("wt2/root", &[&count.to_be_bytes(), &bagged])
}

/// A range, as its peaks: enough to append to it and to know its root.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mmr {
    count: u32,
    /// The tops of the trees, the largest first: one for each bit of `count`.
    peaks: Vec<Node>,
}

impl Mmr {
    /// A range of no leaves.
    pub const fn new() -> Self {
        Self { count: 0, peaks: Vec::new() }
    }

    /// The range of `count` leaves with these peaks, the largest tree's first.
    ///
    /// # Errors
    /// [`DecodeError::Range`] unless there are as many peaks as `count` has bits.
    pub fn resume(count: u32, peaks: Vec<Node>) -> Result<Self, DecodeError> {
        let expected = usize::try_from(count.count_ones()).map_err(|_| DecodeError::Range)?;
        if peaks.len() == expected { Ok(Self { count, peaks }) } else { Err(DecodeError::Range) }
    }

    /// How many leaves there are.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The tops of the trees, the largest first; never more than 32.
    pub fn peaks(&self) -> &[Node] {
        &self.peaks
    }

    /// All there is, in one hash; zeros if there is nothing.
    pub fn root(&self) -> Node {
        if self.count == 0 { [0; 32] } else { bag(self.count, &self.peaks) }
    }

    /// Adds a leaf; at most 31 hashes, two on average.
    ///
    /// A range that has `u32::MAX` leaves already stays as it is: session numbers end there.
    pub fn append(&mut self, leaf: Node) {
        self.append_with(leaf, |_, _, _| ());
    }

    /// Adds a leaf and tells of every two trees that became one: the place of the left one among the
    /// peaks, and both tops.
    fn append_with(&mut self, leaf: Node, mut joined: impl FnMut(usize, &Node, &Node)) {
        let Some(count) = self.count.checked_add(1) else { return };
        let mut top = leaf;
        for _ in 0..self.count.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            joined(self.peaks.len(), &left, &top);
            top = join(&left, &top);
        }
        self.peaks.push(top);
        self.count = count;
    }
}

impl Extend<Node> for Mmr {
    fn extend<T: IntoIterator<Item = Node>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.append(leaf));
    }
}

impl FromIterator<Node> for Mmr {
    fn from_iter<T: IntoIterator<Item = Node>>(leaves: T) -> Self {
        let mut range = Self::new();
        range.extend(leaves);
        range
    }
}

impl Encode for Mmr {
    /// `u32` count, then a peak for each of its bits: at most 1,028 bytes.
    fn encode(&self, out: &mut Vec<u8>) {
        self.count.encode(out);
        for peak in &self.peaks {
            out.extend_from_slice(peak);
        }
    }
}

impl Decode for Mmr {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u32::decode(r)?;
        let peaks = (0..count.count_ones()).map(|_| r.array()).collect::<Result<_, _>>()?;
        Self::resume(count, peaks)
    }
}
