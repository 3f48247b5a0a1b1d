//! The chain as one value: blocks, coins, mempool, and what happened. One thread owns it.
//!
//! Not here: rules (`verify`, `policy`), who asks (`builtin`).

mod activate;
mod index;
mod make;
mod open;
mod outcome;
mod prune;
mod query;
#[cfg(test)]
mod record;
mod scripts;
mod shown;
mod stall;
mod sums;

use crate::backend::{BlockRef, Package};
use crate::builtin::fee::FeeHistory;
use crate::builtin::log::{Happening, Log};
use crate::builtin::mempool::{ChainView, Mempool, Verdict};
use crate::builtin::params::Params;
use crate::builtin::policy::Policy;
use crate::builtin::reject::Reject;
use crate::builtin::signet::{Rules, SignetError};
use crate::builtin::storage::{Mark, Storage, StorageError};
use crate::builtin::tree::Tree;
use crate::builtin::verify::block::{Place, check_block, check_contents, check_header};
use bitcoin::{Block, BlockHash, CompactTarget, FeeRate, ScriptBuf, Transaction, Txid};
use index::key::Seen;
use prune::Pruning;
use stall::Stalled;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use index::Index;
pub(crate) use index::{ScriptHash, ScriptSums, script_hash};
#[cfg(test)]
pub(crate) use index::{Sums, shelf::Shelf};
pub(crate) use make::Unworked;
pub use prune::ReaderPlace;
pub(crate) use scripts::Whole;
pub(crate) use shown::{Standing, Waiting};
pub(crate) use sums::{BlockSums, Together};

#[cfg(test)]
pub(crate) type Derived = (Sums, Vec<(Vec<u8>, Vec<u8>)>);

/// The file with the mempool of the last orderly stop.
const MEMPOOL: &str = "mempool.dat";

/// How a chain is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where blocks are kept; `None` keeps nothing.
    pub dir: Option<PathBuf>,
    /// The clock, Unix seconds.
    pub now: fn() -> u32,
    /// Whether each block is synced to the disk before anybody hears of it. Off only where losing the
    /// chain does not matter.
    pub sync: bool,
    /// What the mempool takes.
    pub policy: Policy,
    /// Whose rules and genesis block.
    pub rules: Rules,
    /// Makes the index anew from the blocks.
    pub reindex: bool,
    /// Drops block files that nobody needs any more.
    pub prune: bool,
    /// Makes scripts something that can be looked up from the start, not only when somebody first asks: after pruning they
    /// could not be.
    pub scripts: bool,
    /// How much memory the index may take, bytes, about: what is not in it is read from the disk.
    pub cache_bytes: usize,
    /// A block file takes no further block once it is this long, bytes.
    pub file_bytes_max: u64,
}

impl Options {
    /// Keeps nothing.
    pub fn memory(now: fn() -> u32) -> Self {
        Self {
            dir: None,
            now,
            sync: false,
            policy: Policy::default(),
            rules: Rules::Regtest,
            reindex: false,
            prune: false,
            scripts: false,
            cache_bytes: 64 << 20,
            file_bytes_max: 128 << 20,
        }
    }

    /// Keeps everything in a directory, each block synced.
    pub fn directory(dir: &Path, now: fn() -> u32) -> Self {
        Self { dir: Some(dir.to_path_buf()), sync: true, ..Self::memory(now) }
    }
}

/// Why the built-in chain refused.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A rule says no.
    #[error("{0}")]
    Rejected(#[from] Reject),
    /// Its files cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No such block, or not on the best chain.
    #[error("no such block on the best chain: {0}")]
    UnknownBlock(BlockHash),
    /// Blocks that somebody still needs cannot be pruned.
    #[error("blocks up to height {height} cannot be pruned: {needed_by} from height {needed} on")]
    Needed {
        /// The last block that was to go.
        height: u32,
        /// The first block that is needed.
        needed: u32,
        /// By whom, in words.
        needed_by: String,
    },
    /// A name of a reader that cannot be: empty, too long, or one too many.
    #[error("readers are kept by names of at most {0} letters, and at most {1} of them")]
    ReaderName(usize, usize),
    /// A reorganisation deeper than the chain.
    #[error("cannot reorganise {depth} blocks: the chain is only {height} high")]
    TooDeep {
        /// Blocks to replace.
        depth: u32,
        /// Height of the tip.
        height: u32,
    },
    /// Asked for more at once than is allowed.
    #[error("at most {0} blocks at once")]
    TooMany(u32),
    /// A signet that cannot be, or whose blocks others make.
    #[error(transparent)]
    Signet(#[from] SignetError),
    /// Whoever has the key of this signet makes its blocks.
    #[error("no block can be made here: only who holds the key of this signet can")]
    NotTheSigner,
    /// Nobody makes blocks now.
    #[error("the chain stands still: no block is made until that is over")]
    StandsStill,
    /// The chain has been stopped.
    #[error("the chain is stopped")]
    Stopped,
    /// Its thread cannot be started.
    #[error("the chain's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// What became of a block that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOutcome {
    /// It is the tip, or on the way to it.
    Connected,
    /// It is valid as far as checked, on a branch with less work.
    Aside,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Chainstate {
    params: Params,
    tree: Tree,
    index: Index,
    storage: Storage,
    mempool: Mempool,
    log: Log,
    fees: FeeHistory,
    clock: fn() -> u32,
    /// Set by hand, instead of the clock.
    fixed_now: Option<u32>,
    stall: Stalled,
    /// Figures of single blocks that somebody asked for.
    sums: sums::Sums,
    /// What does not wait again when a reorganisation takes it out of its block.
    forgotten: BTreeSet<Txid>,
    /// What those of the mempool do to scripts.
    scripts: scripts::Waiting,
    pruning: Pruning,
    #[cfg(test)]
    record: record::Record,
}

impl Chainstate {
    pub(crate) const fn params(&self) -> &Params {
        &self.params
    }

    /// What opens each block of this signet; `None` on regtest.
    pub(crate) fn challenge(&self) -> Option<ScriptBuf> {
        self.params.signet.as_ref().map(|signet| signet.challenge.clone())
    }

    /// The difficulty of the block on `previous`.
    pub(crate) fn next_bits(&self, previous: &BlockRef) -> CompactTarget {
        self.params.next_bits(previous, |height| self.tree.ancestor(*previous, height))
    }

    /// Unix seconds, by the clock or as set.
    pub(crate) fn now(&self) -> u32 {
        self.fixed_now.unwrap_or_else(self.clock)
    }

    /// Stops or frees the clock.
    pub(crate) fn set_now(&mut self, now: Option<u32>) {
        self.fixed_now = now;
    }

    /// Takes a block in, whoever made it.
    pub(crate) fn submit_block(&mut self, block: Block) -> Result<BlockOutcome, ChainError> {
        #[cfg(test)]
        let copy = block.clone();
        let outcome = self.take_block(block);
        #[cfg(test)]
        self.record(&copy, &outcome);
        outcome
    }

    fn take_block(&mut self, block: Block) -> Result<BlockOutcome, ChainError> {
        check_block(&block, &self.params)?;
        let hash = block.block_hash();
        if let Some(node) = self.tree.get(&hash) {
            return Err(
                if node.invalid { Reject::DuplicateInvalid } else { Reject::Duplicate }.into()
            );
        }
        let previous = (self.tree.get(&block.header.prev_blockhash))
            .ok_or(ChainError::Rejected(Reject::PrevBlockNotFound))?;
        if previous.invalid {
            return Err(Reject::BadPrevBlock.into());
        }
        let at = previous.at;
        let place = Place { height: at.height.saturating_add(1), previous_mtp: at.mtp };
        let bits = self.next_bits(&at);
        check_header(&block.header, place, self.now(), bits)?;
        check_contents(&block, place)?;
        let header = block.header;
        let stored = self.storage.append(&Arc::new(block))?;
        if let Some(at) = self.tree.insert(header, stored) {
            self.note(at.hash);
        }
        if let Some((failed, word)) = self.activate_best()?
            && failed == hash
        {
            return Err(word.into());
        }
        let connected = self.block_ref(hash).is_some_and(|block| self.tree.is_active(block.id()));
        Ok(if connected { BlockOutcome::Connected } else { BlockOutcome::Aside })
    }

    /// Takes a package into the mempool. Nobody pays more than `feerate_max`.
    pub(crate) fn submit(
        &mut self,
        package: &Package,
        feerate_max: Option<FeeRate>,
    ) -> Result<(), Reject> {
        let mut mempool = std::mem::replace(&mut self.mempool, Mempool::new(Policy::default()));
        let result =
            self.with_view(feerate_max, |view| mempool.accept_package(package.txs(), view));
        self.mempool = mempool;
        self.tell_mempool();
        result
    }

    /// Takes a package into the mempool and tells what became of each; `submitpackage`.
    pub(crate) fn submit_package(
        &mut self,
        package: &Package,
        feerate_max: Option<FeeRate>,
    ) -> Verdict {
        let mut mempool = std::mem::replace(&mut self.mempool, Mempool::new(Policy::default()));
        let verdict =
            self.with_view(feerate_max, |view| mempool.submit_package(package.txs(), view));
        self.mempool = mempool;
        self.tell_mempool();
        verdict
    }

    /// What [`Chainstate::submit`] would answer.
    pub(crate) fn test(&self, package: &Package) -> Result<(), Reject> {
        let mut trial = self.mempool.clone();
        self.with_view(None, |view| trial.accept_package(package.txs(), view))
    }

    /// Throws a transaction and all that stands on it out of the mempool.
    pub(crate) fn evict(&mut self, txid: &Txid) -> bool {
        let known = self.mempool.get(txid).is_some();
        self.mempool.remove_with_descendants(txid, crate::RemovedBecause::Evicted);
        // What a child paid for may be below the floor without it.
        let now = self.now();
        self.mempool.limit(now);
        self.tell_mempool();
        known
    }

    /// The least the mempool takes, whatever else it would.
    pub(crate) fn set_floor(&mut self, floor: Option<FeeRate>) {
        let sat_kvb = floor.map_or(0, |rate| rate.to_sat_per_kwu().saturating_mul(4));
        let now = self.now();
        self.mempool.set_floor(sat_kvb, now);
        self.tell_mempool();
    }

    /// Rules a block and all above it out.
    pub(crate) fn invalidate(&mut self, hash: BlockHash) -> Result<(), ChainError> {
        #[cfg(test)]
        self.end_record();
        let known = self.tree.get(&hash).filter(|node| node.at.height > 0);
        known.ok_or(ChainError::UnknownBlock(hash))?;
        self.storage.mark(Mark::Invalid, hash)?;
        self.tree.set_invalid(&hash, true);
        self.activate_best().map(drop)
    }

    /// Lets a block that was ruled out, and all above it, back in.
    pub(crate) fn reconsider(&mut self, hash: BlockHash) -> Result<(), ChainError> {
        #[cfg(test)]
        self.end_record();
        self.tree.get(&hash).ok_or(ChainError::UnknownBlock(hash))?;
        self.storage.mark(Mark::Reconsidered, hash)?;
        self.tree.set_invalid(&hash, false);
        self.activate_best().map(drop)
    }

    /// Lends a view of the chain to the mempool's rules.
    fn with_view<T>(
        &self,
        feerate_max: Option<FeeRate>,
        work: impl FnOnce(&ChainView<'_>) -> T,
    ) -> T {
        work(&ChainView {
            coins: &self.index,
            tip: self.tree.tip(),
            mtp_at: &|height| self.tree.mtp_at(height),
            confirmed: &|txid| self.index.tx(txid).is_some(),
            now: self.now(),
            feerate_max,
        })
    }

    /// Writes down what changed in the mempool.
    fn tell_mempool(&mut self) {
        for delta in self.mempool.drain_deltas() {
            self.log.push(Happening::Mempool(delta));
        }
    }

    /// The mempool of the last orderly stop, as far as it still holds.
    fn load_mempool(&mut self) -> Result<(), ChainError> {
        use bitcoin::consensus::encode::Decodable;
        let bytes = self.storage.get(MEMPOOL)?;
        let mut rest = bytes.as_slice();
        while let Ok(tx) = Transaction::consensus_decode(&mut rest) {
            // What no longer holds is gone, as after any expiry.
            let _ = self.submit(&Package::single(tx), None);
        }
        Ok(())
    }

    /// An orderly stop: keeps the mempool for the next start, and lets the index catch up.
    pub(crate) fn save(&mut self) -> Result<(), StorageError> {
        let txs = self.mempool.snapshot();
        let bytes: Vec<u8> =
            txs.iter().flat_map(|tx| bitcoin::consensus::serialize(tx.as_ref())).collect();
        self.storage.put(MEMPOOL, &mut std::iter::once(Ok(bytes)))?;
        // The index will be believed: so what it points at has to be there.
        self.storage.sync()?;
        self.index.close()
    }

    /// Whether everything that was read from the index is to be believed.
    pub(crate) fn check_index(&self) -> Result<(), StorageError> {
        self.index.whole()
    }

    /// Writes down for the index where a block and its undo data are.
    fn note(&mut self, hash: BlockHash) {
        let Some(node) = self.tree.get(&hash) else { return };
        let undo = self.storage.undo_place(&hash);
        let seen = Seen { header: node.at.header, place: node.place, undo };
        self.index.note(&node.at, &seen);
    }

    pub(crate) fn tip(&self) -> BlockRef {
        self.tree.tip()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// All that was derived from the blocks: sums, and rows but those of block files.
    #[cfg(test)]
    pub(crate) fn derived(&self) -> Derived {
        let (mut rows, mut after) = (Vec::new(), vec![0, u8::MAX]);
        loop {
            let page = self.index.rows_after(Some(&after));
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            rows.extend(page);
        }
        self.index.whole().unwrap();
        rows.retain(|(key, _)| !matches!(key[0], b'h' | b'm'));
        (self.index.sums(), rows)
    }

    /// The height up to which scripts can be looked up.
    #[cfg(test)]
    pub(crate) fn scripts_reach(&self) -> Option<u32> {
        self.index.scripts()
    }

    /// Whether mempool and coins agree with each other.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.with_view(None, |view| self.mempool.check_whole(view));
    }
}
