//! The transactions of recent blocks, forty bits each: what records that come late are compared with.
//!
//! In memory as an index (12 bytes a transaction), on disk as files that are never synced: each entry has a
//! checksum and the block before it, so that what a crash tore or a reorganisation left over is not taken,
//! and what is missing is asked of the chain again.
//!
//! Memory on a full chain: 2,016 blocks of 4,000 transactions, 8 million entries, about 110 MB.
//!
//! Not here: asking the chain (`watch`), comparing (`keeper`).

use std::collections::VecDeque;
use std::io;

use ::store::disk::{Disk, DiskFile};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use chain_backend::BlockId;

use crate::index::{Index, Place, Prefix};

/// The least number of blocks that are kept: two weeks.
pub(crate) const BLOCKS_MIN: u32 = 2_016;
/// Blocks a file has.
const BLOCKS_PER_FILE: u32 = 144;
const FILE: &str = "blocks-";
const HEAD_BYTES: usize = 76;

/// Recent blocks.
#[derive(Debug)]
pub(crate) struct Ring {
    keep: u32,
    index: Index,
    /// Height by height.
    blocks: VecDeque<BlockId>,
    /// Blocks that left since their entries were looked for.
    stale: u32,
}

impl Ring {
    /// Empty; keeps so many blocks.
    pub(crate) fn new(keep: u32) -> Self {
        Self { keep, index: Index::default(), blocks: VecDeque::new(), stale: 0 }
    }

    /// The newest block.
    pub(crate) fn tip(&self) -> Option<BlockId> {
        self.blocks.back().copied()
    }

    /// The oldest block.
    pub(crate) fn first(&self) -> Option<BlockId> {
        self.blocks.front().copied()
    }

    /// Whether older blocks would be kept, if there were any.
    pub(crate) fn has_room(&self) -> bool {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX) < self.keep
    }

    /// The block of that height.
    pub(crate) fn block(&self, height: u32) -> Option<BlockId> {
        let first = self.blocks.front()?.height;
        self.blocks.get(usize::try_from(height.checked_sub(first)?).ok()?).copied()
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes().saturating_add(self.blocks.len().saturating_mul(size_of::<BlockId>()))
    }

    /// Takes in the block above the newest. Another height makes it the only one.
    pub(crate) fn push(&mut self, block: BlockId, prefixes: impl IntoIterator<Item = Prefix>) {
        let next = self.tip().map(|tip| tip.height.saturating_add(1));
        if next.is_some_and(|next| next != block.height) {
            *self = Self::new(self.keep);
        }
        self.blocks.push_back(block);
        self.add(block.height, prefixes);
        while u32::try_from(self.blocks.len()).unwrap_or(u32::MAX) > self.keep {
            self.blocks.pop_front();
            self.stale = self.stale.saturating_add(1);
        }
        if self.stale >= BLOCKS_PER_FILE {
            self.sweep();
        }
    }

    /// Takes in the block below the oldest; ignores any other.
    pub(crate) fn push_front(
        &mut self,
        block: BlockId,
        prefixes: impl IntoIterator<Item = Prefix>,
    ) {
        let below = self.first().and_then(|first| first.height.checked_sub(1));
        if below == Some(block.height) && self.has_room() {
            self.blocks.push_front(block);
            self.add(block.height, prefixes);
        }
    }

    /// Forgets blocks above `height`.
    pub(crate) fn rewind(&mut self, height: u32) {
        let before = self.blocks.len();
        while self.blocks.back().is_some_and(|block| block.height > height) {
            self.blocks.pop_back();
        }
        if self.blocks.len() != before {
            self.sweep();
        }
    }

    /// Transactions that may have this hint: the block, and their number in it.
    pub(crate) fn find(&self, prefix: Prefix) -> impl Iterator<Item = Place> + '_ {
        let kept = self.first().map(|b| b.height)..=self.tip().map(|b| b.height);
        self.index.find(prefix).filter(move |place| kept.contains(&Some(place.part)))
    }

    fn add(&mut self, height: u32, prefixes: impl IntoIterator<Item = Prefix>) {
        for (offset, prefix) in (0_u32..).zip(prefixes) {
            self.index.insert(prefix, Place { part: height, offset });
        }
    }

    fn sweep(&mut self) {
        let first = self.first().map_or(u32::MAX, |block| block.height);
        let last = self.tip().map_or(0, |block| block.height);
        self.index.retain(|place| first <= place.part && place.part <= last);
        self.stale = 0;
    }
}

/// Writes a block behind the others of its file, for the next start. Never synced.
pub(crate) fn append<D: Disk>(
    disk: &D,
    block: BlockId,
    before: BlockHash,
    prefixes: &[Prefix],
) -> io::Result<()> {
    let name = file_name(block.height);
    let is_new = !disk.exists(&name)?;
    let mut file = if is_new { disk.create(&name)? } else { disk.open(&name)? };
    let mut entry =
        Vec::with_capacity(prefixes.len().saturating_mul(Prefix::BYTES).saturating_add(HEAD_BYTES));
    entry.extend_from_slice(&block.height.to_le_bytes());
    entry.extend_from_slice(block.hash.as_byte_array());
    entry.extend_from_slice(before.as_byte_array());
    entry.extend_from_slice(&u32::try_from(prefixes.len()).unwrap_or(u32::MAX).to_le_bytes());
    for prefix in prefixes {
        entry.extend_from_slice(&prefix.to_bytes());
    }
    let crc = crc32c::crc32c(&entry).to_le_bytes();
    let end = file.size()?;
    file.write_at(end, &[&crc[..], &entry].concat())
}

/// Takes away files all of whose blocks are below `height`.
pub(crate) fn retire<D: Disk>(disk: &D, height: u32) -> io::Result<()> {
    let oldest = height.div_euclid(BLOCKS_PER_FILE);
    for (number, name) in files(disk)? {
        if number < oldest {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// What the files have of the chain that ends in `tip`; empty if `tip` is not among it.
pub(crate) fn load<D: Disk>(disk: &D, keep: u32, tip: BlockId) -> io::Result<Ring> {
    let mut ring = Ring::new(keep);
    for (_, name) in files(disk)? {
        let bytes = ::store::disk::read_all(disk, &name)?;
        let mut rest = bytes.as_slice();
        while let Some((entry, behind)) = parse(rest) {
            rest = behind;
            take(&mut ring, entry);
        }
        if !rest.is_empty() {
            // What is written behind a torn entry would never be read; its blocks are asked for again.
            disk.remove(&name)?;
        }
    }
    ring.rewind(tip.height);
    if ring.tip() == Some(tip) { Ok(ring) } else { Ok(Ring::new(keep)) }
}

struct Entry<'a> {
    block: BlockId,
    before: BlockHash,
    prefixes: &'a [[u8; Prefix::BYTES]],
}

fn take(ring: &mut Ring, entry: Entry<'_>) {
    let Entry { block, before, prefixes } = entry;
    let below = block.height.checked_sub(1).and_then(|height| ring.block(height));
    let fits = below.is_some_and(|below| below.hash == before);
    // Another branch, whose own beginning is to come or was left out.
    if !fits && ring.tip().is_some_and(|tip| tip.height >= block.height) {
        return;
    }
    if fits {
        ring.rewind(block.height.saturating_sub(1));
    }
    ring.push(block, prefixes.iter().map(|prefix| Prefix::from_bytes(*prefix)));
}

fn parse(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (crc, covered) = bytes.split_first_chunk::<4>()?;
    let (height, rest) = covered.split_first_chunk::<4>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let (before, rest) = rest.split_first_chunk::<32>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let length = count.checked_mul(Prefix::BYTES)?;
    let (prefixes, behind) = rest.split_at_checked(length)?;
    let whole = covered.get(..length.checked_add(72)?)?;
    if crc32c::crc32c(whole).to_le_bytes() != *crc {
        return None;
    }
    let block =
        BlockId { height: u32::from_le_bytes(*height), hash: BlockHash::from_byte_array(*hash) };
    let before = BlockHash::from_byte_array(*before);
    let (prefixes, _) = prefixes.as_chunks();
    Some((Entry { block, before, prefixes }, behind))
}

fn file_name(height: u32) -> String {
    format!("{FILE}{:010}", height.div_euclid(BLOCKS_PER_FILE))
}

fn files<D: Disk>(disk: &D) -> io::Result<Vec<(u32, String)>> {
    let names = disk.list()?.into_iter();
    Ok(names.filter_map(|name| Some((name.strip_prefix(FILE)?.parse().ok()?, name))).collect())
}
