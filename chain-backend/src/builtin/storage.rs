//! What survives: blocks in Bitcoin Core's framing, undo data, and which blocks are ruled out. All else follows from
//! them (`chainstate/index`).
//!
//! A block is on the disk before it can become the tip, so a tip that was told to anybody is found again
//! after a crash. One frame at a time is written and synced: damage at the very end of the last file is a
//! write that never finished and is cut off; damage anywhere else is refused.
//! Not here: what a block means (`chainstate`).

mod files;
mod frames;
mod medium;

use crate::builtin::utxo::Undo;
use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};
use files::Files;
use medium::{Medium, Memory, Parts};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use store::disk::Disk;

pub(crate) use files::Site;
pub(crate) use frames::{End, Place};

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
    /// A file is missing between others.
    #[error(
        "{0} is missing: restore it from a copy, or move the directory away to start a new chain"
    )]
    Gap(PathBuf),
    /// A block whose predecessor is missing from the files.
    #[error("block {0} is stored but not the block before it: files are missing")]
    Orphan(BlockHash),
    /// A block or its undo data is not where it was written.
    #[error("the data of block {0} is damaged or gone")]
    Missing(BlockHash),
    /// A block or its undo data was dropped by pruning.
    #[error("block {0} was pruned: its data is not kept any more")]
    Pruned(BlockHash),
    /// An earlier write or sync failed: what the disk holds is unknown until the next start.
    #[error("an earlier write failed; restart the chain server")]
    Poisoned,
    /// The directory belongs to a chain with another genesis block.
    #[error("{0} holds another chain")]
    OtherChain(PathBuf),
    /// What was derived from the blocks cannot be read or written. The blocks are whole.
    #[error(
        "the index of the chain is broken ({0}); start again with --reindex to make it anew from the blocks"
    )]
    Index(String),
    /// Blocks were pruned, and what was kept in their place does not fit the blocks that are left.
    #[error(
        "{0} is damaged or does not fit the block files, and older blocks were pruned: restore the directory from a copy, or move it away to start a new chain"
    )]
    Base(PathBuf),
}

/// A judgement on a block that must outlive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Invalid,
    Reconsidered,
}

/// How far the files of blocks and of undo data go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) blocks: End,
    pub(crate) undo: End,
}

/// What was found at start, in the order it was written.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blocks: Vec<(Place, Header)>,
    pub(crate) undo: Vec<(Place, BlockHash)>,
    pub(crate) marks: Vec<(Mark, BlockHash)>,
}

/// Where blocks and undo data are.
#[derive(Debug)]
pub(crate) struct Storage {
    medium: Box<dyn Medium>,
    /// Where the undo data of each block is.
    undo: BTreeMap<BlockHash, Place>,
    cache: VecDeque<(BlockHash, Arc<Block>)>,
}

impl Storage {
    /// Nothing survives: for tests and throw-away networks.
    pub(crate) fn memory() -> Self {
        Self::on(Box::new(Memory::default()))
    }

    /// Opens or makes the files. What is in them is not looked at before [`Storage::scan`].
    pub(crate) fn open<D: Disk>(site: Site<D>) -> Result<Self, StorageError>
    where
        D::File: Sync,
    {
        Ok(Self::on(Box::new(Files::open(site)?)))
    }

    fn on(medium: Box<dyn Medium>) -> Self {
        Self { medium, undo: BTreeMap::new(), cache: VecDeque::new() }
    }

    /// Whether the files still go as far as they once did.
    pub(crate) fn reaches(&self, ends: Ends) -> Result<bool, StorageError> {
        self.medium.reaches(ends)
    }

    /// What was written behind `from`, and every judgement.
    pub(crate) fn scan(&mut self, from: Ends) -> Result<Found, StorageError> {
        let found = self.medium.scan(from)?;
        self.undo.extend(found.undo.iter().map(|(place, hash)| (*hash, *place)));
        Ok(found)
    }

    /// How far the files go.
    pub(crate) fn ends(&self) -> Ends {
        self.medium.ends()
    }

    /// Writes a block; when this returns the disk has it.
    pub(crate) fn append(&mut self, block: &Arc<Block>) -> Result<Place, StorageError> {
        let place = self.medium.append_block(block)?;
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
        let block = self.medium.block(hash, place)?;
        self.remember(hash, &block);
        Ok(block)
    }

    fn remember(&mut self, hash: BlockHash, block: &Arc<Block>) {
        if self.cache.len() >= CACHE_BLOCKS {
            self.cache.pop_front();
        }
        self.cache.push_back((hash, Arc::clone(block)));
    }

    /// Writes how to take a block back. Made again if a crash loses it.
    pub(crate) fn append_undo(
        &mut self,
        hash: BlockHash,
        undo: &Undo,
    ) -> Result<Place, StorageError> {
        let place = self.medium.append_undo(hash, undo)?;
        self.undo.insert(hash, place);
        Ok(place)
    }

    /// The index says where the undo data of a block is.
    pub(crate) fn undo_is_at(&mut self, hash: BlockHash, place: Place) {
        self.undo.insert(hash, place);
    }

    /// Where the undo data of a block is. A block that has some was connected once: it keeps the rules.
    pub(crate) fn undo_place(&self, hash: &BlockHash) -> Option<Place> {
        self.undo.get(hash).copied()
    }

    /// How to take a block back.
    pub(crate) fn undo(&self, hash: BlockHash) -> Result<Undo, StorageError> {
        let place = self.undo_place(&hash).ok_or(StorageError::Missing(hash))?;
        self.medium.undo(hash, place)
    }

    /// Records a judgement.
    pub(crate) fn mark(&mut self, mark: Mark, hash: BlockHash) -> Result<(), StorageError> {
        self.medium.mark(mark, hash)
    }

    /// Makes everything durable, undo data as well.
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        self.medium.sync()
    }

    /// Drops whole files of blocks and undo data below these numbers.
    pub(crate) fn drop_below(&mut self, blocks: u32, undo: u32) -> Result<(), StorageError> {
        self.medium.drop_below(blocks, undo)
    }

    /// The numbers of the first files that are still there: blocks, undo data.
    pub(crate) fn first(&self) -> (u32, u32) {
        self.medium.first()
    }

    /// Replaces a file beside the blocks: whole or not at all, durable when this returns.
    pub(crate) fn put(&mut self, name: &str, parts: &mut Parts<'_>) -> Result<(), StorageError> {
        self.medium.put(name, parts)
    }

    /// A file beside the blocks; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, StorageError> {
        self.medium.get(name, 0, usize::MAX)
    }

    /// At most so many bytes of a file beside the blocks, from an offset on.
    pub(crate) fn get_part(
        &self,
        name: &str,
        offset: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, StorageError> {
        self.medium.get(name, offset, bytes)
    }
}
