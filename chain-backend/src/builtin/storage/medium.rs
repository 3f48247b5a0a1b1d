//! What blocks, undo data and judgements are kept on: files, or nothing but memory.

use super::{Ends, Found, Mark, Place, StorageError};
use crate::builtin::utxo::Undo;
use bitcoin::{Block, BlockHash};
use std::fmt::Debug;
use std::sync::Arc;

/// Keeps what cannot be made again, in the order it came.
pub(super) trait Medium: Debug + Send {
    /// Whether everything up to there is still as it was when it was written.
    fn reaches(&self, ends: Ends) -> Result<bool, StorageError>;
    /// What was written behind `from`, and every judgement. Nothing is appended before.
    fn scan(&mut self, from: Ends) -> Result<Found, StorageError>;
    /// How far the files go.
    fn ends(&self) -> Ends;
    /// Writes a block; when this returns the disk has it.
    fn append_block(&mut self, block: &Arc<Block>) -> Result<Place, StorageError>;
    /// Reads a block back.
    fn block(&self, hash: BlockHash, place: Place) -> Result<Arc<Block>, StorageError>;
    /// Writes how to take a block back. A power cut may lose it; then it is made again.
    fn append_undo(&mut self, hash: BlockHash, undo: &Undo) -> Result<Place, StorageError>;
    /// Reads how to take a block back.
    fn undo(&self, hash: BlockHash, place: Place) -> Result<Undo, StorageError>;
    /// Records a judgement; when this returns the disk has it.
    fn mark(&mut self, mark: Mark, hash: BlockHash) -> Result<(), StorageError>;
    /// Makes everything durable.
    fn sync(&mut self) -> Result<(), StorageError>;
    /// Drops the files below these numbers.
    fn drop_below(&mut self, blocks: u32, undo: u32) -> Result<(), StorageError>;
    /// The numbers of the first files that are still there: blocks, undo data.
    fn first(&self) -> (u32, u32);
    /// Replaces a file beside the others by these parts, durably; not at all if one of them is an error.
    fn put(&mut self, name: &str, parts: &mut Parts<'_>) -> Result<(), StorageError>;
    /// At most so many bytes of a file beside the others, from an offset on; none when there is no such file.
    fn get(&self, name: &str, offset: u64, bytes: usize) -> Result<Vec<u8>, StorageError>;
}

/// What a file is made of, one after the other.
pub(crate) type Parts<'a> = dyn Iterator<Item = Result<Vec<u8>, StorageError>> + 'a;

/// Nothing survives: for tests and throw-away networks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    blocks: Vec<Arc<Block>>,
    undo: Vec<Undo>,
}

impl Medium for Memory {
    fn reaches(&self, _: Ends) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn scan(&mut self, _: Ends) -> Result<Found, StorageError> {
        Ok(Found::default())
    }

    fn ends(&self) -> Ends {
        Ends::default()
    }

    fn append_block(&mut self, block: &Arc<Block>) -> Result<Place, StorageError> {
        self.blocks.push(Arc::clone(block));
        Ok(Place::memory(self.blocks.len().saturating_sub(1)))
    }

    fn block(&self, hash: BlockHash, place: Place) -> Result<Arc<Block>, StorageError> {
        self.blocks.get(place.in_memory()).cloned().ok_or(StorageError::Missing(hash))
    }

    fn append_undo(&mut self, _: BlockHash, undo: &Undo) -> Result<Place, StorageError> {
        self.undo.push(undo.clone());
        Ok(Place::memory(self.undo.len().saturating_sub(1)))
    }

    fn undo(&self, hash: BlockHash, place: Place) -> Result<Undo, StorageError> {
        self.undo.get(place.in_memory()).cloned().ok_or(StorageError::Missing(hash))
    }

    fn mark(&mut self, _: Mark, _: BlockHash) -> Result<(), StorageError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn drop_below(&mut self, _: u32, _: u32) -> Result<(), StorageError> {
        Ok(())
    }

    fn first(&self) -> (u32, u32) {
        (0, 0)
    }

    fn put(&mut self, _: &str, _: &mut Parts<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn get(&self, _: &str, _: u64, _: usize) -> Result<Vec<u8>, StorageError> {
        Ok(Vec::new())
    }
}
