//! The files of one chain: `blk` (blocks), `rev` (undo data), `mark` (judgements), some small ones, `lock`.

use super::frames::{Family, Frames, Place, io};
use super::medium::{Medium, Parts};
use super::{Ends, Found, Mark, StorageError};
use crate::builtin::utxo::Undo;
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::disk::{Disk, DiskFile, LockError, RealDisk};

/// Where the files lie, and how they are written.
#[derive(Clone, Debug)]
pub(crate) struct Site<D> {
    /// Their directory, for messages.
    pub(crate) dir: PathBuf,
    /// Small files and the lock.
    pub(crate) root: D,
    pub(crate) blk: D,
    pub(crate) rev: D,
    pub(crate) mark: D,
    /// Marks each frame.
    pub(crate) magic: [u8; 4],
    /// Off trades the crash rule for speed.
    pub(crate) sync: bool,
    /// A file takes no further block once it is this long, bytes.
    pub(crate) file_bytes_max: u64,
}

impl Site<RealDisk> {
    /// In a directory of the operating system, made if it is missing.
    pub(crate) fn open(
        dir: &Path,
        (magic, sync, file_bytes_max): ([u8; 4], bool, u64),
    ) -> Result<Self, StorageError> {
        let disk = |dir: PathBuf| RealDisk::open(&dir).map_err(|source| io(&dir, source));
        Ok(Self {
            dir: dir.to_path_buf(),
            root: disk(dir.to_path_buf())?,
            blk: disk(dir.join("blk"))?,
            rev: disk(dir.join("rev"))?,
            mark: disk(dir.join("mark"))?,
            magic,
            sync,
            file_bytes_max,
        })
    }
}

#[derive(Debug)]
pub(super) struct Files<D: Disk> {
    dir: PathBuf,
    root: D,
    blocks: Frames<D>,
    undo: Frames<D>,
    marks: Frames<D>,
    /// Held as long as the directory is ours.
    _lock: D::Lock,
}

impl<D: Disk> Files<D> {
    pub(super) fn open(site: Site<D>) -> Result<Self, StorageError> {
        let Site { dir, root, blk, rev, mark, magic, sync, file_bytes_max } = site;
        let lock = root.lock("lock").map_err(|error| match error {
            LockError::Held { .. } => StorageError::Locked(dir.clone()),
            LockError::Io(source) => io(&dir.join("lock"), source),
        })?;
        let family = |disk, prefix, rebuildable| Family {
            disk,
            dir: dir.join(prefix),
            prefix,
            magic,
            sync,
            rebuildable,
            file_bytes_max,
        };
        let blocks = Frames::open(family(blk, "blk", false))?;
        // Another chain's blocks would be taken for a write that never finished, and cut off.
        if blocks.are_foreign()? {
            return Err(StorageError::OtherChain(dir));
        }
        let undo = Frames::open(family(rev, "rev", true))?;
        let marks = Frames::open(family(mark, "mark", false))?;
        Ok(Self { dir, root, blocks, undo, marks, _lock: lock })
    }
}

impl<D: Disk> Medium for Files<D> {
    fn reaches(&self, ends: Ends) -> Result<bool, StorageError> {
        Ok(self.blocks.reaches(ends.blocks)? && self.undo.reaches(ends.undo)?)
    }

    fn scan(&mut self, from: Ends) -> Result<Found, StorageError> {
        let blocks = self.blocks.scan(from.blocks, parse_block)?;
        let undo = self.undo.scan(from.undo, |bytes| Some(sealed(bytes)?.0))?;
        let marks = self.marks.scan(super::End::default(), parse_mark)?;
        let marks = marks.into_iter().map(|(_, mark)| mark).collect();
        Ok(Found { blocks, undo, marks })
    }

    fn ends(&self) -> Ends {
        Ends { blocks: self.blocks.end(), undo: self.undo.end() }
    }

    fn append_block(&mut self, block: &Arc<Block>) -> Result<Place, StorageError> {
        self.blocks.append(&serialize(block.as_ref()), true)
    }

    fn block(&self, hash: BlockHash, place: Place) -> Result<Arc<Block>, StorageError> {
        let bytes = self.blocks.read(place)?.ok_or(StorageError::Pruned(hash))?;
        let block: Block = deserialize(&bytes).map_err(|_| StorageError::Missing(hash))?;
        let whole = block.block_hash() == hash && block.check_merkle_root();
        if whole { Ok(Arc::new(block)) } else { Err(StorageError::Missing(hash)) }
    }

    fn append_undo(&mut self, hash: BlockHash, undo: &Undo) -> Result<Place, StorageError> {
        self.undo.append(&seal(hash, &undo.encode()), false)
    }

    fn undo(&self, hash: BlockHash, place: Place) -> Result<Undo, StorageError> {
        let bytes = self.undo.read(place)?.ok_or(StorageError::Pruned(hash))?;
        let found = sealed(&bytes).filter(|(of, _)| *of == hash);
        let (_, undo) = found.ok_or(StorageError::Missing(hash))?;
        Undo::decode(undo).ok_or(StorageError::Missing(hash))
    }

    fn mark(&mut self, mark: Mark, hash: BlockHash) -> Result<(), StorageError> {
        let kind = match mark {
            Mark::Invalid => 1,
            Mark::Reconsidered => 2,
        };
        self.marks.append(&seal(hash, &[kind]), true).map(drop)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.blocks.sync()?;
        self.undo.sync()
    }

    fn drop_below(&mut self, blocks: u32, undo: u32) -> Result<(), StorageError> {
        self.blocks.drop_below(blocks)?;
        self.undo.drop_below(undo)
    }

    fn first(&self) -> (u32, u32) {
        (self.blocks.first(), self.undo.first())
    }

    fn put(&mut self, name: &str, parts: &mut Parts<'_>) -> Result<(), StorageError> {
        let aside = format!("{name}.new");
        let failed = |source| io(&self.dir.join(&aside), source);
        if self.root.exists(&aside).map_err(failed)? {
            self.root.remove(&aside).map_err(failed)?;
        }
        let mut file = self.root.create(&aside).map_err(failed)?;
        let mut offset = 0_u64;
        for part in parts {
            let part = part?;
            file.write_at(offset, &part).map_err(failed)?;
            offset = offset.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        file.sync_data().map_err(failed)?;
        self.root.rename(&aside, name).map_err(failed)?;
        self.root.sync_dir().map_err(failed)
    }

    fn get(&self, name: &str, offset: u64, bytes: usize) -> Result<Vec<u8>, StorageError> {
        let read = || -> std::io::Result<Vec<u8>> {
            let file = self.root.open(name)?;
            let left = usize::try_from(file.size()?.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut buffer = vec![0; bytes.min(left)];
            let count = file.read_at(offset, &mut buffer)?;
            buffer.truncate(count);
            Ok(buffer)
        };
        match read() {
            Ok(bytes) => Ok(bytes),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(io(&self.dir.join(name), source)),
        }
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
