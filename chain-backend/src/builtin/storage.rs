//! What survives: blocks in Bitcoin Core's framing, undo data, and which blocks are ruled out. Coins and
//! indexes are rebuilt from them at start.
//!
//! A block is on the disk before it can become the tip, so a tip that was told to anybody is found again
//! after a crash. One frame at a time is written and synced: damage at the very end of the last file is a
//! write that never finished and is cut off; damage anywhere else is refused.
//! Not here: what a block means (`chainstate`).

mod files;
mod frames;

use crate::builtin::utxo::Undo;
use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};
use files::Files;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use frames::Place;

/// How many recently used blocks stay in memory.
const CACHE_BLOCKS: usize = 64;

/// Why the chain's own data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process holds the directory.
    #[error("{0} is in use by another chain server; stop that one or choose another --dir")]
    Locked(PathBuf),
    /// The system refused a read or a write.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bytes before the end of the data are not what was written.
    #[error(
        "{path} is damaged at byte {offset}, before its end: restore it from a copy, or move the directory away to start a new chain"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// A block whose predecessor is missing from the files.
    #[error("block {0} is stored but not the block before it: files are missing")]
    Orphan(BlockHash),
    /// A block or its undo data is gone from where it was.
    #[error("the data of block {0} cannot be found")]
    Missing(BlockHash),
    /// An earlier write or sync failed: what the disk holds is unknown until the next start.
    #[error("an earlier write failed; restart the chain server")]
    Poisoned,
    /// The directory belongs to a chain with another genesis block.
    #[error("{0} holds another chain")]
    OtherChain(PathBuf),
}

/// A judgement on a block that must outlive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Invalid,
    Reconsidered,
}

/// What was found at start, in the order it was written.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blocks: Vec<(Place, Header)>,
    pub(crate) marks: Vec<(Mark, BlockHash)>,
}

/// Where blocks and undo data are.
#[derive(Debug)]
pub(crate) struct Storage {
    medium: Medium,
    cache: VecDeque<(BlockHash, Arc<Block>)>,
}

#[derive(Debug)]
enum Medium {
    Memory { blocks: Vec<Arc<Block>>, undo: BTreeMap<BlockHash, Undo> },
    Files(Box<Files>),
}

impl Storage {
    /// Nothing survives: for tests and throw-away networks.
    pub(crate) fn memory() -> Self {
        let medium = Medium::Memory { blocks: Vec::new(), undo: BTreeMap::new() };
        Self { medium, cache: VecDeque::new() }
    }

    /// Opens or makes the files in `dir`. `sync` off trades the crash rule for speed.
    pub(crate) fn open(
        dir: &Path,
        magic: [u8; 4],
        sync: bool,
    ) -> Result<(Self, Found), StorageError> {
        let (files, found) = Files::open(dir, magic, sync)?;
        Ok((Self { medium: Medium::Files(Box::new(files)), cache: VecDeque::new() }, found))
    }

    /// Writes a block; when this returns the disk has it.
    pub(crate) fn append(&mut self, block: &Arc<Block>) -> Result<Place, StorageError> {
        let place = match &mut self.medium {
            Medium::Memory { blocks, .. } => {
                blocks.push(Arc::clone(block));
                Place::memory(blocks.len().saturating_sub(1))
            }
            Medium::Files(files) => files.append_block(block)?,
        };
        self.remember(block.block_hash(), block);
        Ok(place)
    }

    /// Reads a block back.
    pub(crate) fn block(
        &mut self,
        hash: BlockHash,
        place: Place,
    ) -> Result<Arc<Block>, StorageError> {
        if let Some((_, block)) = self.cache.iter().find(|(cached, _)| *cached == hash) {
            return Ok(Arc::clone(block));
        }
        let block = match &self.medium {
            Medium::Memory { blocks, .. } => {
                blocks.get(place.in_memory()).cloned().ok_or(StorageError::Missing(hash))?
            }
            Medium::Files(files) => Arc::new(files.block(hash, place)?),
        };
        self.remember(hash, &block);
        Ok(block)
    }

    fn remember(&mut self, hash: BlockHash, block: &Arc<Block>) {
        if self.cache.len() >= CACHE_BLOCKS {
            self.cache.pop_front();
        }
        self.cache.push_back((hash, Arc::clone(block)));
    }

    /// Writes how to take a block back. Rebuilt at start if a crash loses it.
    pub(crate) fn append_undo(&mut self, hash: BlockHash, undo: &Undo) -> Result<(), StorageError> {
        match &mut self.medium {
            Medium::Memory { undo: all, .. } => {
                all.insert(hash, undo.clone());
                Ok(())
            }
            Medium::Files(files) => files.append_undo(hash, undo),
        }
    }

    /// Whether a block was once connected: then its scripts are known to be good.
    pub(crate) fn has_undo(&self, hash: &BlockHash) -> bool {
        match &self.medium {
            Medium::Memory { undo, .. } => undo.contains_key(hash),
            Medium::Files(files) => files.has_undo(hash),
        }
    }

    /// How to take a block back.
    pub(crate) fn undo(&self, hash: BlockHash) -> Result<Undo, StorageError> {
        match &self.medium {
            Medium::Memory { undo, .. } => {
                undo.get(&hash).cloned().ok_or(StorageError::Missing(hash))
            }
            Medium::Files(files) => files.undo(hash),
        }
    }

    /// Records a judgement.
    pub(crate) fn mark(&mut self, mark: Mark, hash: BlockHash) -> Result<(), StorageError> {
        match &mut self.medium {
            Medium::Memory { .. } => Ok(()),
            Medium::Files(files) => files.mark(mark, hash),
        }
    }

    /// Keeps the mempool for the next start.
    pub(crate) fn save_mempool(&self, txs: &[u8]) -> Result<(), StorageError> {
        match &self.medium {
            Medium::Memory { .. } => Ok(()),
            Medium::Files(files) => files.save_mempool(txs),
        }
    }

    /// The mempool of the last orderly stop, once.
    pub(crate) fn take_mempool(&self) -> Result<Vec<u8>, StorageError> {
        match &self.medium {
            Medium::Memory { .. } => Ok(Vec::new()),
            Medium::Files(files) => files.take_mempool(),
        }
    }
}
