//! Blobs that we keep for peers. BOLT 1 § Peer Storage.
//!
//! A file for each peer, written aside, synced and renamed before it counts as kept: what we took is given
//! back after a crash. They are no part of the journal, for a peer may replace its blob every minute, and no
//! money of ours hangs on them. A damaged file is as if there were none.
//!
//! Not here: who may store, and how often (`traffic`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use store::disk::{self, Disk as _, RealDisk};
use store::envelope;
use wire::id::NodeId;
use wire::units::BlockHeight;

use super::envelope::BLOB_LEN_MAX;

const KIND: u16 = 0x5053;
const VERSION: u16 = 1;
const ENDING: &str = ".blob";

/// Peers for whom something is kept at one time, at most: 64 MiB in all.
pub const PEERS_MAX: usize = 1_024;

/// How long a blob is kept after the last channel with its owner is over. BOLT 1: "SHOULD wait at least
/// 2016 blocks before deleting the `blob`."
const KEPT_BLOCKS: u32 = 2_016;

/// All blobs.
#[derive(Clone, Debug)]
pub struct Shelf {
    disk: RealDisk,
    /// For whom there is a blob, and since which height there is no channel with them.
    kept: BTreeMap<NodeId, Option<BlockHeight>>,
}

impl Shelf {
    /// Opens the directory, making it if it is missing. Files that are no blobs are left alone.
    ///
    /// # Errors
    /// If it cannot be made or listed.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let disk = RealDisk::open(directory)?;
        let mut kept = BTreeMap::new();
        for name in disk.list()? {
            if let Some(node) = owner(&name)
                && let Ok(Some((since, _))) = read(&disk, node)
            {
                kept.insert(node, since);
            }
        }
        Ok(Self { disk, kept })
    }

    /// For whom something is kept.
    pub fn owners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.kept.keys().copied()
    }

    /// Keeps a blob in place of the one before; durable when it returns. Whether there was room.
    ///
    /// # Errors
    /// If the disk failed: the one before is still kept.
    pub fn put(&mut self, node: NodeId, blob: &[u8]) -> io::Result<bool> {
        let room = self.kept.contains_key(&node) || self.kept.len() < PEERS_MAX;
        if !room || blob.len() > BLOB_LEN_MAX {
            return Ok(false);
        }
        write(&self.disk, node, None, blob)?;
        self.kept.insert(node, None);
        Ok(true)
    }

    /// What is kept for a peer.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn get(&self, node: NodeId) -> io::Result<Option<Vec<u8>>> {
        if !self.kept.contains_key(&node) {
            return Ok(None);
        }
        Ok(read(&self.disk, node)?.map(|(_, blob)| blob))
    }

    /// Notes with whom there are channels, and drops what was kept for long enough after the last.
    ///
    /// # Errors
    /// If the disk failed; asked again, it is tried again.
    pub fn tidy(&mut self, with: &BTreeSet<NodeId>, height: BlockHeight) -> io::Result<()> {
        for node in self.owners().collect::<Vec<_>>() {
            let since = self.kept.get(&node).copied().flatten();
            match (with.contains(&node), since) {
                (true, None) => {}
                (true, Some(_)) => self.mark(node, None)?,
                (false, None) => self.mark(node, Some(height))?,
                (false, Some(since)) if since.saturating_add(KEPT_BLOCKS) <= height => {
                    self.disk.remove(&name(node))?;
                    self.disk.sync_dir()?;
                    self.kept.remove(&node);
                }
                (false, Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Whether [`Self::tidy`] would change anything.
    #[must_use]
    pub fn is_untidy(&self, with: &BTreeSet<NodeId>, height: BlockHeight) -> bool {
        self.kept.iter().any(|(node, since)| match (with.contains(node), since) {
            (true, since) => since.is_some(),
            (false, since) => since.is_none_or(|since| since.saturating_add(KEPT_BLOCKS) <= height),
        })
    }

    fn mark(&mut self, node: NodeId, since: Option<BlockHeight>) -> io::Result<()> {
        match read(&self.disk, node)? {
            Some((_, blob)) => {
                write(&self.disk, node, since, &blob)?;
                self.kept.insert(node, since);
            }
            None => {
                self.kept.remove(&node);
            }
        }
        Ok(())
    }
}

fn name(node: NodeId) -> String {
    format!("{node}{ENDING}")
}

fn owner(name: &str) -> Option<NodeId> {
    name.strip_suffix(ENDING)?.parse().ok()
}

fn write(disk: &RealDisk, node: NodeId, since: Option<BlockHeight>, blob: &[u8]) -> io::Result<()> {
    let since = since.map_or(u32::MAX, |height| height.0).to_le_bytes();
    let payload = [since.as_slice(), blob].concat();
    let bytes = envelope::seal(KIND, VERSION, &payload).ok_or(io::ErrorKind::FileTooLarge)?;
    disk::put(disk, &name(node), &[&bytes])
}

/// A blob and the height it was marked with; `None` for a file that is damaged, or gone.
fn read(disk: &RealDisk, node: NodeId) -> io::Result<Option<(Option<BlockHeight>, Vec<u8>)>> {
    let name = name(node);
    if !disk.exists(&name)? {
        return Ok(None);
    }
    let bytes = disk::read_all(disk, &name)?;
    let blob = envelope::open(&bytes, KIND).ok().filter(|(version, _)| *version == VERSION);
    Ok(blob.and_then(|(_, payload)| {
        let (since, blob) = payload.split_first_chunk::<4>()?;
        let since = u32::from_le_bytes(*since);
        Some(((since != u32::MAX).then_some(BlockHeight(since)), blob.to_vec()))
    }))
}
