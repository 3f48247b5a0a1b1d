//! The wallet's file: all that bdk wants to know again, as JSON, replaced as a whole.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;

use bdk_wallet::ChangeSet;
use bdk_wallet::chain::Merge as _;
use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::{Keys, Purse, PurseError};

/// Blocks whose hashes are kept below the newest. A deeper reorganisation makes the wallet look further back.
const BLOCKS_KEPT: u32 = 288;
/// Without news the file is written every so many blocks.
const WRITE_EVERY: u32 = 144;

/// Requests that are remembered, to be answered the same when they come again.
const DONE_MAX: usize = 64;

/// Where it lies, and what it holds.
pub(super) struct File {
    /// `None` keeps nothing.
    path: Option<PathBuf>,
    sum: Sum,
}

/// What it holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Sum {
    wallet: ChangeSet,
    done: VecDeque<Done>,
}

/// A request that was answered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Done {
    key: String,
    pub(super) what: String,
    pub(super) answer: String,
}

impl File {
    /// Remembers the answer to a request.
    pub(super) fn done(&mut self, key: &str, what: &str, answer: &str) {
        if key.is_empty() {
            return;
        }
        if self.sum.done.len() >= DONE_MAX {
            self.sum.done.pop_front();
        }
        let [key, what, answer] = [key, what, answer].map(str::to_owned);
        self.sum.done.push_back(Done { key, what, answer });
    }

    pub(super) fn find(&self, key: &str) -> Option<&Done> {
        self.sum.done.iter().find(|done| done.key == key)
    }
}

/// The wallet of these keys as its file has it, or a new one.
pub(super) fn open(
    path: Option<PathBuf>,
    keys: &Keys,
) -> Result<(File, bdk_wallet::Wallet), PurseError> {
    let named = path.clone().unwrap_or_default();
    let foreign = || PurseError::Foreign { path: named.clone() };
    let kept = match path.as_ref().map(fs::read) {
        None => None,
        Some(Ok(bytes)) => {
            let sum: Sum = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
            Some(sum)
        }
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Some(Err(source)) => {
            return Err(PurseError::File { path: named, source });
        }
    };
    let Some(sum) = kept else {
        let made = bdk_wallet::Wallet::create(keys.external().clone(), keys.internal().clone());
        let mut bdk =
            made.network(keys.network()).create_wallet_no_persist().map_err(|_| foreign())?;
        let sum = Sum { wallet: bdk.take_staged().unwrap_or_default(), ..Sum::default() };
        return Ok((File { path, sum }, bdk));
    };
    let ours = (Some(keys.external()), Some(keys.internal()), Some(keys.network()));
    let wallet = &sum.wallet;
    let kept = (wallet.descriptor.as_ref(), wallet.change_descriptor.as_ref(), wallet.network);
    if kept != ours {
        return Err(foreign());
    }
    let loaded = bdk_wallet::Wallet::load().load_wallet_no_persist(wallet.clone());
    let bdk = loaded.ok().flatten().ok_or_else(foreign)?;
    Ok((File { path, sum }, bdk))
}

impl Purse {
    /// Writes what is new, if it is worth it: a block alone is found again.
    pub(super) fn keep_if_new(&mut self) -> Result<(), PurseError> {
        let height = self.bdk.latest_checkpoint().height();
        let old = height >= self.written_at.saturating_add(WRITE_EVERY);
        let blocks_only = self
            .bdk
            .staged()
            .is_none_or(|staged| staged.tx_graph.is_empty() && staged.indexer.is_empty());
        if blocks_only && !old { Ok(()) } else { self.keep() }
    }

    /// Begins anew from all that is kept but this transaction: bdk's books know no way to forget one.
    pub(super) fn begin_without(&mut self, txid: Txid) -> Result<(), PurseError> {
        self.keep()?;
        let sum = &mut self.file.sum.wallet;
        let graph = &mut sum.tx_graph;
        graph.txs.retain(|tx| tx.compute_txid() != txid);
        graph.anchors.retain(|(_, of)| *of != txid);
        for times in [&mut graph.last_seen, &mut graph.first_seen, &mut graph.last_evicted] {
            times.remove(&txid);
        }
        let loaded = bdk_wallet::Wallet::load().load_wallet_no_persist(sum.clone());
        let path = || self.file.path.clone().unwrap_or_default();
        self.bdk = loaded.ok().flatten().ok_or_else(|| PurseError::Foreign { path: path() })?;
        self.keep()
    }

    /// Writes everything, durable when it returns.
    pub(super) fn keep(&mut self) -> Result<(), PurseError> {
        if let Some(staged) = self.bdk.take_staged() {
            self.file.sum.wallet.merge(staged);
        }
        self.written_at = self.bdk.latest_checkpoint().height();
        let lowest = self.written_at.saturating_sub(BLOCKS_KEPT);
        let sum = &mut self.file.sum.wallet;
        let named: BTreeSet<u32> =
            sum.tx_graph.anchors.iter().map(|(anchor, _)| anchor.block_id.height).collect();
        sum.local_chain.blocks.retain(|height, hash| {
            *height == 0 || (hash.is_some() && (*height >= lowest || named.contains(height)))
        });
        let Some(path) = &self.file.path else { return Ok(()) };
        let failed = |source| PurseError::File { path: path.clone(), source };
        let bytes = serde_json::to_vec(&self.file.sum).map_err(|error| failed(error.into()))?;
        ::store::disk::put_at(path, &bytes).map_err(failed)
    }
}
