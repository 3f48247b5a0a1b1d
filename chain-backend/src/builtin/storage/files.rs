//! The files of one chain: `blk` (blocks), `rev` (undo data), `mark` (judgements), `mempool.dat`, `lock`.

use super::frames::{Family, Frames, Place, io, replace};
use super::{Found, Mark, StorageError};
use crate::builtin::utxo::Undo;
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    blocks: Frames,
    undo: Frames,
    marks: Frames,
    undo_places: HashMap<BlockHash, Place>,
    /// Held as long as the directory is ours.
    _lock: File,
}

/// Another chain's blocks would be taken for a write that never finished, and cut off.
fn check_owner(dir: &Path, blocks: &Path, magic: [u8; 4]) -> Result<(), StorageError> {
    use std::io::Read as _;
    let Ok(entries) = std::fs::read_dir(blocks) else { return Ok(()) };
    let Some(first) = entries.filter_map(Result::ok).map(|entry| entry.path()).min() else {
        return Ok(());
    };
    let mut bytes = Vec::new();
    let file = File::open(&first).map_err(|source| io(&first, source))?;
    file.take(4).read_to_end(&mut bytes).map_err(|source| io(&first, source))?;
    let is_blank = bytes.iter().all(|byte| *byte == 0);
    if is_blank || magic.starts_with(&bytes) {
        Ok(())
    } else {
        Err(StorageError::OtherChain(dir.to_path_buf()))
    }
}

impl Files {
    pub(super) fn open(
        dir: &Path,
        magic: [u8; 4],
        sync: bool,
    ) -> Result<(Self, Found), StorageError> {
        std::fs::create_dir_all(dir).map_err(|source| io(dir, source))?;
        let lock = lock(dir)?;
        let family = |dir, prefix, rebuildable| Family { dir, prefix, magic, sync, rebuildable };
        let (blk, rev, mark) = (dir.join("blk"), dir.join("rev"), dir.join("mark"));
        check_owner(dir, &blk, magic)?;
        let (blocks, found) = Frames::open(family(&blk, "blk", false), parse_block)?;
        let (undo, undo_found) =
            Frames::open(family(&rev, "rev", true), |bytes| Some(sealed(bytes)?.0))?;
        let (marks, mark_found) = Frames::open(family(&mark, "mark", false), parse_mark)?;
        let found =
            Found { blocks: found, marks: mark_found.into_iter().map(|(_, mark)| mark).collect() };
        let undo_places = undo_found.into_iter().map(|(place, hash)| (hash, place)).collect();
        let dir = dir.to_path_buf();
        Ok((Self { dir, blocks, undo, marks, undo_places, _lock: lock }, found))
    }

    pub(super) fn append_block(&mut self, block: &Block) -> Result<Place, StorageError> {
        self.blocks.append(&serialize(block), true)
    }

    pub(super) fn block(&self, hash: BlockHash, place: Place) -> Result<Block, StorageError> {
        let bytes = self.blocks.read(place)?;
        let block: Block = deserialize(&bytes).map_err(|_| StorageError::Missing(hash))?;
        if block.block_hash() == hash { Ok(block) } else { Err(StorageError::Missing(hash)) }
    }

    pub(super) fn append_undo(&mut self, hash: BlockHash, undo: &Undo) -> Result<(), StorageError> {
        if !self.undo_places.contains_key(&hash) {
            let place = self.undo.append(&seal(hash, &undo.encode()), false)?;
            self.undo_places.insert(hash, place);
        }
        Ok(())
    }

    pub(super) fn has_undo(&self, hash: &BlockHash) -> bool {
        self.undo_places.contains_key(hash)
    }

    pub(super) fn undo(&self, hash: BlockHash) -> Result<Undo, StorageError> {
        let place = self.undo_places.get(&hash).ok_or(StorageError::Missing(hash))?;
        let bytes = self.undo.read(*place)?;
        let (_, undo) = sealed(&bytes).ok_or(StorageError::Missing(hash))?;
        Undo::decode(undo).ok_or(StorageError::Missing(hash))
    }

    pub(super) fn mark(&mut self, mark: Mark, hash: BlockHash) -> Result<(), StorageError> {
        let kind = match mark {
            Mark::Invalid => 1,
            Mark::Reconsidered => 2,
        };
        self.marks.append(&seal(hash, &[kind]), true).map(drop)
    }

    pub(super) fn save_mempool(&self, txs: &[u8]) -> Result<(), StorageError> {
        replace(&self.dir.join("mempool.dat"), txs)
    }

    pub(super) fn take_mempool(&self) -> Result<Vec<u8>, StorageError> {
        let path = self.dir.join("mempool.dat");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(bytes),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(io(&path, source)),
        }
    }
}

/// One process at a time.
fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|source| io(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StorageError::Locked(dir.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => Err(io(&path, source)),
    }
}

/// The header of a block whose bytes are what its proof of work and merkle roots say.
fn parse_block(bytes: &[u8]) -> Option<Header> {
    let block: Block = deserialize(bytes).ok()?;
    let whole = block.header.target().is_met_by(block.block_hash())
        && block.check_merkle_root()
        && block.check_witness_commitment();
    whole.then_some(block.header)
}

fn parse_mark(bytes: &[u8]) -> Option<(Mark, BlockHash)> {
    let (hash, contents) = sealed(bytes)?;
    let mark = match contents {
        [1] => Mark::Invalid,
        [2] => Mark::Reconsidered,
        _ => return None,
    };
    Some((mark, hash))
}

/// The block a record is about, its contents, and a checksum over both.
fn seal(hash: BlockHash, contents: &[u8]) -> Vec<u8> {
    let mut bytes = hash.to_byte_array().to_vec();
    bytes.extend(contents);
    let checksum = sha256d::Hash::hash(&bytes);
    bytes.extend(checksum.to_byte_array());
    bytes
}

fn sealed(bytes: &[u8]) -> Option<(BlockHash, &[u8])> {
    let (body, checksum) = bytes.split_last_chunk::<32>()?;
    if sha256d::Hash::hash(body).to_byte_array() != *checksum {
        return None;
    }
    let (hash, contents) = body.split_first_chunk::<32>()?;
    Some((BlockHash::from_byte_array(*hash), contents))
}
