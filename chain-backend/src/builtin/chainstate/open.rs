//! A start: what the index says, what the block files have behind that, and from there to the best chain.
//!
//! The index is believed as far as it says, if the files still go that far. One that is not is made anew from the
//! blocks; nothing is lost by that but time.

use super::index::key::Seen;
use super::index::shelf::{Directory, Shelf};
use super::index::{Index, Reached, Sums, Towards, read_seen};
use super::prune::{self, Pruning};
use super::{ChainError, Chainstate, Options};
use crate::backend::BlockRef;
use crate::builtin::fee::FeeHistory;
use crate::builtin::log::Log;
use crate::builtin::mempool::Mempool;
use crate::builtin::params::Params;
use crate::builtin::storage::{Ends, Found, Mark, Site, Storage, StorageError};
use crate::builtin::tree::Tree;
use bitcoin::BlockHash;
use std::sync::Arc;
use store::engine::EngineError;

/// Begins the index on a shelf.
pub(crate) type Begin = fn(Box<dyn Shelf>, Reached, usize) -> std::io::Result<Index>;

/// What is known before the block files are looked at.
#[derive(Debug)]
struct Known {
    reached: Reached,
    /// The blocks of the files up to there, in the order they came.
    seen: Vec<Seen>,
}

impl Chainstate {
    /// Opens the files, if any, and goes on to the best chain in them.
    pub(crate) fn open(options: &Options) -> Result<Self, ChainError> {
        let params = Params::of(&options.rules);
        let Some(dir) = &options.dir else {
            let known = Known::nothing(&params);
            let (mut storage, index) = (Storage::memory(), Index::memory(known.reached));
            let tree = planted(options, &params, &mut storage, &known, Found::default())?;
            return Self::start(options, params, (tree, storage, index), known.reached);
        };
        let files = (params.magic, options.sync, options.file_bytes_max);
        let storage = Storage::open(Site::open(dir, files)?)?;
        let shelf = Directory::open(&dir.join("index")).map_err(broken)?;
        Self::on(options, storage, Box::new(shelf), Index::behind)
    }

    /// On these media.
    pub(crate) fn on(
        options: &Options,
        mut storage: Storage,
        mut shelf: Box<dyn Shelf>,
        begin: Begin,
    ) -> Result<Self, ChainError> {
        let params = Params::of(&options.rules);
        let mut believed =
            if options.reindex { None } else { believed(&storage, &*shelf, &params)? };
        let (known, tree) = loop {
            let known = match believed.take() {
                Some(known) => known,
                None => made_anew(options, &params, &storage, &mut *shelf)?,
            };
            let found = storage.scan(known.reached.ends)?;
            let tree = planted(options, &params, &mut storage, &known, found)?;
            if has_way(&tree, &storage, &known.reached) {
                break (known, tree);
            }
            tracing::warn!("the index knows blocks that the files do not have");
        };
        let index = begin(shelf, known.reached, options.cache_bytes).map_err(ChainError::Thread)?;
        Self::start(options, params, (tree, storage, index), known.reached)
    }

    /// From where the index stands to the best chain.
    fn start(
        options: &Options,
        params: Params,
        (tree, storage, index): (Tree, Storage, Index),
        reached: Reached,
    ) -> Result<Self, ChainError> {
        let mut state = Self {
            pruning: Pruning::open(options.prune, &storage, (options.now)())?,
            params,
            tree,
            index,
            storage,
            mempool: Mempool::new(options.policy.clone()),
            log: Log::default(),
            fees: FeeHistory::default(),
            clock: options.now,
            fixed_now: None,
            stall: super::Stalled::default(),
            sums: super::sums::Sums::new(),
            forgotten: std::collections::BTreeSet::new(),
            scripts: super::scripts::Waiting::default(),
            #[cfg(test)]
            record: super::record::Record::default(),
        };
        let tip = state.block_ref(reached.tip).ok_or(StorageError::Orphan(reached.tip))?;
        state.tree.follow(tip);
        if let Some(towards) = reached.towards {
            state.finish(tip, towards)?;
        }
        for hash in state.unnoted(reached.ends) {
            state.note(hash);
        }
        state.index.stand(state.tree.tip().hash, state.storage.ends());
        state.activate_best()?;
        if options.scripts {
            state.begin_scripts()?;
        }
        state.check_signer()?;
        state.load_mempool()?;
        state.log = Log::default();
        Ok(state)
    }

    /// Goes the way that a crash interrupted. Some of its rows are written, and writing them again changes nothing: so
    /// nothing is read here.
    fn finish(&mut self, tip: BlockRef, towards: Towards) -> Result<(), ChainError> {
        let end = self.block_ref(towards.tip).ok_or(StorageError::Orphan(towards.tip))?;
        let fork = self.tree.fork(tip, end);
        for block in self.tree.above(fork, tip) {
            let (contents, undo) = self.block_and_undo(block)?;
            self.index.disconnect(&contents, block.height, &undo);
        }
        for block in self.tree.above(fork, end).into_iter().rev() {
            let (contents, undo) = self.block_and_undo(block)?;
            self.index.connect(&contents, block.height, &undo);
        }
        self.tree.follow(end);
        while self.index.scripts() < towards.scripts {
            let next = self.index.scripts().map_or(0, |reached| reached.saturating_add(1));
            self.index.begin_scripts();
            if next == 0 {
                continue;
            }
            let block = self.tree.at(next).ok_or(StorageError::Orphan(end.hash))?;
            let (contents, undo) = self.block_and_undo(block)?;
            self.index.fill_scripts(&contents, block.height, &undo);
        }
        // All of it is one group, so another crash on the way changes nothing either.
        self.index.flush_at(end.hash)?;
        Ok(())
    }

    /// Blocks in the files behind what the index has seen.
    fn unnoted(&self, ends: Ends) -> Vec<BlockHash> {
        let is_new = |hash: &BlockHash| {
            let undo = self.storage.undo_place(hash);
            undo.is_some_and(|undo| !ends.undo.is_behind(undo))
        };
        let nodes = self
            .tree
            .iter()
            .filter(|node| !ends.blocks.is_behind(node.place) || is_new(&node.at.hash));
        nodes.map(|node| node.at.hash).collect()
    }
}

impl Known {
    fn nothing(params: &Params) -> Self {
        let tip = params.genesis.block_hash();
        let (ends, sums) = (Ends::default(), Sums::default());
        Self {
            reached: Reached { tip, towards: None, ends, sums, scripts: None },
            seen: Vec::new(),
        }
    }

    /// What the index says; `None` if it is empty or of another layout.
    fn read(shelf: &dyn Shelf) -> Result<Option<Self>, EngineError> {
        let engine = shelf.reader();
        let Some(reached) = Reached::read(&*engine)? else { return Ok(None) };
        let mut seen = read_seen(&*engine)?;
        // Those behind are found in the files.
        seen.retain(|seen| reached.ends.blocks.is_behind(seen.place));
        seen.sort_unstable_by_key(|seen| seen.place);
        for seen in &mut seen {
            seen.undo = seen.undo.filter(|undo| reached.ends.undo.is_behind(*undo));
        }
        Ok(Some(Self { reached, seen }))
    }
}

/// The index, if it is to be believed.
fn believed(
    storage: &Storage,
    shelf: &dyn Shelf,
    params: &Params,
) -> Result<Option<Known>, StorageError> {
    let known = match Known::read(shelf) {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(%error, "the index of the chain is broken");
            None
        }
    };
    let Some(known) = known else { return Ok(None) };
    let genesis = known.seen.first().is_some_and(|seen| seen.header == params.genesis.header);
    if genesis && storage.reaches(known.reached.ends)? {
        return Ok(Some(known));
    }
    tracing::warn!("the index of the chain does not fit the block files");
    Ok(None)
}

/// An empty index, or after pruning one with what the pruned blocks came to.
fn made_anew(
    options: &Options,
    params: &Params,
    storage: &Storage,
    shelf: &mut dyn Shelf,
) -> Result<Known, ChainError> {
    tracing::info!("making the index of the chain from its blocks");
    shelf.reset().map_err(broken)?;
    if !prune::load_base(storage, shelf)? {
        return if storage.first().0 == 0 {
            Ok(Known::nothing(params))
        } else {
            Err(base_missing(options).into())
        };
    }
    let known = Known::read(shelf).map_err(broken)?;
    let known = known.filter(|known| storage.reaches(known.reached.ends).unwrap_or(false));
    known.ok_or_else(|| base_missing(options).into())
}

fn base_missing(options: &Options) -> StorageError {
    StorageError::Base(options.dir.clone().unwrap_or_default().join(prune::BASE))
}

/// The tree of all blocks that are known or found.
fn planted(
    options: &Options,
    params: &Params,
    storage: &mut Storage,
    known: &Known,
    found: Found,
) -> Result<Tree, ChainError> {
    for seen in &known.seen {
        if let Some(undo) = seen.undo {
            storage.undo_is_at(seen.header.block_hash(), undo);
        }
    }
    let known = known.seen.iter().map(|seen| (seen.place, seen.header));
    let mut blocks = known.chain(found.blocks);
    let place = match blocks.next() {
        None => storage.append(&Arc::new(params.genesis.clone()))?,
        Some((place, header)) if header == params.genesis.header => place,
        Some(_) => {
            return Err(StorageError::OtherChain(options.dir.clone().unwrap_or_default()).into());
        }
    };
    let mut tree = Tree::new(params.genesis.header, place);
    for (place, header) in blocks {
        let hash = header.block_hash();
        if tree.get(&hash).is_none() {
            tree.insert(header, place).ok_or(StorageError::Orphan(hash))?;
        }
    }
    for (mark, hash) in found.marks {
        tree.set_invalid(&hash, mark == Mark::Invalid);
    }
    Ok(tree)
}

/// Whether the files have the block at which the index stands, and the way on which it was.
fn has_way(tree: &Tree, storage: &Storage, reached: &Reached) -> bool {
    let Some(tip) = tree.get(&reached.tip).map(|node| node.at) else { return false };
    let Some(towards) = reached.towards else { return true };
    let Some(end) = tree.get(&towards.tip).map(|node| node.at) else { return false };
    let fork = tree.fork(tip, end);
    let below = towards.scripts.filter(|scripts| Some(*scripts) != reached.scripts);
    let below = below.and_then(|_| tree.ancestor(end, reached.scripts.unwrap_or(0)));
    let scripts = below.map(|below| tree.above(below, end)).unwrap_or_default();
    let way = tree.above(fork, tip).into_iter().chain(tree.above(fork, end));
    let mut way = way.chain(scripts.into_iter().filter(|at| Some(at.height) <= towards.scripts));
    way.all(|block| storage.undo_place(&block.hash).is_some())
}

fn broken(error: EngineError) -> StorageError {
    StorageError::Index(error.to_string())
}
