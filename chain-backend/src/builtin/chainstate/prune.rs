//! Dropping old blocks: whole files whose every block is 288 below the tip, and that every reader who is kept has.
//!
//! What the dropped blocks came to is written down first (`base`): the rows of the index at the tip. An index that has to
//! be made anew begins with them.
//! Not here: a reader's own place, which it says itself ([`Chainstate::keep_reader`]).

mod readers;

use super::index::shelf::Shelf;
use super::{ChainError, Chainstate};
use crate::builtin::storage::{Storage, StorageError};
use bitcoin::hashes::{Hash, sha256};
use readers::Readers;
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::engine::Batch;

pub use readers::ReaderPlace;

/// The file with what the dropped blocks came to.
pub(super) const BASE: &str = "base.dat";
/// So many blocks are always kept: a reorganisation may take them back.
const KEPT_BLOCKS: u32 = 288;
/// It is looked for something to drop when so many blocks came.
const LOOK_BLOCKS: u32 = 144;
/// Keys that begin so belong to the engine.
const OWN: u8 = 0;

/// What may be dropped, and who still needs what.
#[derive(Debug, Default)]
pub(super) struct Pruning {
    on: bool,
    readers: Readers,
    /// Height and file when it was last looked for something to drop.
    looked: (u32, u32),
}

impl Pruning {
    pub(super) fn open(on: bool, storage: &Storage, now: u32) -> Result<Self, StorageError> {
        Ok(Self { on, readers: Readers::open(storage, now)?, looked: (0, 0) })
    }
}

impl Chainstate {
    /// Keeps the blocks above `height` for the reader of this name, until it says a greater one, is forgotten, or says
    /// nothing for long.
    pub(crate) fn keep_reader(&mut self, name: &str, height: u32) -> Result<(), ChainError> {
        let (now, tip) = (self.now(), self.tip().height);
        let before = self.pruning.readers.last().map(|(_, last)| last);
        self.pruning.readers.say(name, height, now, &mut self.storage)?;
        let held = before.is_some_and(|before| before < tip.saturating_sub(KEPT_BLOCKS));
        if held && self.pruning.readers.last().map(|(_, last)| last) > before {
            self.pruning.looked = (0, 0);
        }
        self.prune_if_due()
    }

    /// Keeps nothing for that reader any more; answers whether it was known.
    pub(crate) fn forget_reader(&mut self, name: &str) -> Result<bool, ChainError> {
        let known = self.pruning.readers.forget(name, &mut self.storage)?;
        self.pruning.looked = (0, 0);
        self.prune_if_due()?;
        Ok(known)
    }

    /// The readers that are kept, and what each said last.
    pub(crate) fn readers(&self) -> BTreeMap<String, ReaderPlace> {
        self.pruning.readers.all().clone()
    }

    /// Drops the files whose blocks are all at `height` or below.
    pub(crate) fn prune(&mut self, height: u32) -> Result<(), ChainError> {
        let kept = self.tip().height.saturating_sub(KEPT_BLOCKS);
        let now = self.now();
        self.pruning.readers.expire(now);
        if let Some(last) = self.index.scripts().filter(|last| height > *last) {
            let needed_by = "to look up scripts they are needed".to_owned();
            return Err(ChainError::Needed { height, needed: last.saturating_add(1), needed_by });
        }
        let reader = self.pruning.readers.last().filter(|(_, last)| *last < height.min(kept));
        let (last, needed_by) = match reader {
            Some((name, last)) => (last, format!("reader {name} needs them")),
            None => (kept, format!("a reorganisation may need the last {KEPT_BLOCKS}")),
        };
        if height > last {
            let needed = last.saturating_add(1);
            return Err(ChainError::Needed { height, needed, needed_by });
        }
        self.drop_files(height)
    }

    /// Drops what may be dropped, when some blocks came since the last look.
    pub(super) fn prune_if_due(&mut self) -> Result<(), ChainError> {
        let at = (self.tip().height, self.storage.ends().blocks.file);
        let (height, file) = self.pruning.looked;
        let due = at.1 != file || at.0.abs_diff(height) >= LOOK_BLOCKS;
        if !self.pruning.on || !due {
            return Ok(());
        }
        self.pruning.looked = at;
        let kept = at.0.saturating_sub(KEPT_BLOCKS);
        let now = self.now();
        self.pruning.readers.expire(now);
        let limit = self.pruning.readers.last().map_or(kept, |(_, last)| last.min(kept));
        let scripts = self.index.scripts().unwrap_or(u32::MAX);
        self.drop_files(limit.min(scripts))
    }

    fn drop_files(&mut self, height: u32) -> Result<(), ChainError> {
        let ends = self.storage.ends();
        let mut needed = (ends.blocks.file, ends.undo.file);
        for node in self.tree.iter().filter(|node| node.at.height > height) {
            needed.0 = needed.0.min(node.place.file);
            if let Some(undo) = self.storage.undo_place(&node.at.hash) {
                needed.1 = needed.1.min(undo.file);
            }
        }
        let first = self.storage.first();
        if needed.0 <= first.0 {
            return Ok(());
        }
        self.index.flush()?;
        self.storage.sync()?;
        self.save_base()?;
        self.storage.drop_below(needed.0, needed.1)?;
        tracing::info!(height, files = needed.0.abs_diff(first.0), "blocks were pruned");
        Ok(())
    }

    /// Writes all rows of the index down.
    fn save_base(&mut self) -> Result<(), StorageError> {
        let index = &self.index;
        let mut after: Option<Vec<u8>> = Some(vec![OWN, u8::MAX]);
        let mut parts = std::iter::from_fn(|| {
            let last = after.take()?;
            let rows = index.rows_after(Some(&last));
            after = rows.last().map(|(key, _)| key.clone());
            // The last part is empty.
            Some(index.whole().map(|()| sealed(&rows)))
        });
        self.storage.put(BASE, &mut parts)
    }
}

/// Fills an empty shelf from the base; whether there is one.
pub(super) fn load_base(storage: &Storage, shelf: &mut dyn Shelf) -> Result<bool, StorageError> {
    let broken = |error: store::engine::EngineError| StorageError::Index(error.to_string());
    let mut offset = 0_u64;
    // What says that the rows are whole comes last.
    let mut whole: Option<(Vec<u8>, Vec<u8>)> = None;
    loop {
        let head = storage.get_part(BASE, offset, 36)?;
        if head.is_empty() && offset == 0 {
            return Ok(false);
        }
        let damaged = || StorageError::Base(PathBuf::from(BASE));
        let (length, digest) = head.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length);
        let bytes = usize::try_from(length).map_err(|_| damaged())?;
        let contents = storage.get_part(BASE, offset.saturating_add(36), bytes)?;
        if sha256::Hash::hash(&contents).as_byte_array().as_slice() != digest {
            return Err(damaged());
        }
        offset = offset.saturating_add(36).saturating_add(u64::from(length));
        let mut batch = Batch::new();
        let mut rest = contents.as_slice();
        while let Some((key, value)) = take_row(&mut rest) {
            if key == super::index::reached_key() {
                whole = Some((key, value));
            } else {
                batch.put(key, value).map_err(broken)?;
            }
        }
        if contents.is_empty() {
            let (key, value) = whole.ok_or_else(damaged)?;
            batch.put(key, value).map_err(broken)?;
            shelf.apply(batch).map_err(broken)?;
            return Ok(true);
        }
        shelf.apply(batch).map_err(broken)?;
    }
}

/// Rows as bytes, with their length and a checksum in front.
fn sealed(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut contents = Vec::new();
    for bytes in rows.iter().flat_map(|(key, value)| [key, value]) {
        contents.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        contents.extend(bytes);
    }
    let mut part = u32::try_from(contents.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    part.extend(sha256::Hash::hash(&contents).to_byte_array());
    part.extend(contents);
    part
}

fn take_row(rest: &mut &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut take = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (bytes, behind) = behind.split_at_checked(length)?;
        *rest = behind;
        Some(bytes.to_vec())
    };
    Some((take()?, take()?))
}
