//! A consumer's place on a chain: recent block hashes densely, older ones ever sparser.
//!
//! With it a backend finds the fork point even when the consumer's last block is no longer on the best
//! chain, or when the backend itself lost blocks.

use crate::backend::{BlockId, BlockRef};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Network};

/// How many of the newest blocks are all kept.
const DENSE: u32 = 12;
/// The most entries a locator can have: 12, then at most 12 per doubling of a 32-bit height.
const ENTRIES_MAX: usize = 400;
/// First byte of the encoding.
const VERSION: u8 = 1;

/// A cursor. Store it in the same commit as the effects of the event that moved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// Highest first; never empty; the last one is the oldest known ancestor.
    entries: Vec<BlockId>,
}

/// Bytes that are not a locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocatorError {
    /// Shorter or longer than its count says, or a count out of range.
    #[error("a chain cursor of the wrong length")]
    Length,
    /// Written by a version this build does not know.
    #[error("a chain cursor of unknown version {0}")]
    Version(u8),
    /// Heights do not go down.
    #[error("a chain cursor whose heights do not descend")]
    Order,
}

impl Locator {
    /// Before everything: the first event is block 1.
    pub fn genesis(network: Network) -> Self {
        let hash = bitcoin::constants::genesis_block(network).block_hash();
        Self { entries: vec![BlockId { height: 0, hash }] }
    }

    /// A place of which only one block is known.
    pub fn at(block: BlockId) -> Self {
        Self { entries: vec![block] }
    }

    /// The last block the consumer has.
    pub fn tip(&self) -> BlockId {
        self.entries
            .first()
            .copied()
            .unwrap_or_else(|| BlockId { height: 0, hash: BlockHash::all_zeros() })
    }

    /// Known blocks, highest first.
    pub fn entries(&self) -> &[BlockId] {
        &self.entries
    }

    /// Moves to the next block after [`crate::ChainEvent::Connected`].
    pub fn advance(&mut self, block: BlockId) {
        self.entries.retain(|entry| entry.height < block.height);
        self.entries.insert(0, block);
        let oldest = self.entries.last().map(|entry| entry.height);
        self.entries
            .retain(|entry| Some(entry.height) == oldest || kept(entry.height, block.height));
    }

    /// Moves back after [`crate::ChainEvent::Disconnected`].
    pub fn rewind(&mut self, fork: BlockId) {
        self.entries.retain(|entry| entry.height < fork.height);
        self.entries.insert(0, fork);
    }

    /// Follows an event; mempool news, `Synced` and `Away` move nothing.
    pub fn follow(&mut self, event: &crate::ChainEvent) {
        match event {
            crate::ChainEvent::Connected { block, .. } => self.advance(BlockRef::id(block)),
            crate::ChainEvent::Disconnected { fork, .. } => self.rewind(BlockRef::id(fork)),
            crate::ChainEvent::Mempool(_)
            | crate::ChainEvent::Synced { .. }
            | crate::ChainEvent::Away { .. } => {}
        }
    }

    /// Bytes to store: version, count, then height and hash of each entry.
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        let mut bytes = vec![VERSION];
        bytes.extend(count.to_be_bytes());
        for entry in &self.entries {
            bytes.extend(entry.height.to_be_bytes());
            bytes.extend(entry.hash.to_byte_array());
        }
        bytes
    }

    /// Reads [`Locator::encode`].
    ///
    /// # Errors
    /// [`LocatorError`]; the input may come from a disk or a peer.
    pub fn decode(bytes: &[u8]) -> Result<Self, LocatorError> {
        let (version, rest) = bytes.split_first().ok_or(LocatorError::Length)?;
        if *version != VERSION {
            return Err(LocatorError::Version(*version));
        }
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(LocatorError::Length)?;
        let count = usize::from(u16::from_be_bytes(*count));
        let (entries, rest) = rest.as_chunks::<36>();
        if !rest.is_empty() || entries.len() != count {
            return Err(LocatorError::Length);
        }
        let entries = entries.iter().filter_map(|entry| {
            let (height, rest) = entry.split_first_chunk::<4>()?;
            let hash = BlockHash::from_byte_array(*rest.first_chunk::<32>()?);
            Some(BlockId { height: u32::from_be_bytes(*height), hash })
        });
        Self::from_entries(entries.collect())
    }

    /// From blocks of one chain, highest first.
    ///
    /// # Errors
    /// [`LocatorError::Length`] when there is none or far too many, [`LocatorError::Order`] when heights
    /// do not descend.
    pub fn from_entries(entries: Vec<BlockId>) -> Result<Self, LocatorError> {
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            return Err(LocatorError::Length);
        }
        if entries.iter().zip(entries.iter().skip(1)).any(|(high, low)| high.height <= low.height) {
            return Err(LocatorError::Order);
        }
        Ok(Self { entries })
    }
}

/// Whether a block stays in the locator of a chain that is `tip` high. What is dropped once is never
/// wanted again, because the spacing only grows with distance.
fn kept(height: u32, tip: u32) -> bool {
    let distance = tip.saturating_sub(height);
    let spacing = distance.checked_div(DENSE).unwrap_or(0);
    let spacing = if spacing == 0 { 1 } else { 1_u32 << spacing.ilog2() };
    height.checked_rem(spacing) == Some(0)
}

#[cfg(test)]
mod tests;
