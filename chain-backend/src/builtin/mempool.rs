//! Transactions that wait for a block, who stands on whom, and who spends what.
//!
//! Checks borrow the mempool; only a transaction that passed all of them changes it, and of a package only
//! when all of it did.

mod accept;
mod diagram;
mod favour;
mod limit;
mod package;
mod rate;
mod reorg;
mod replace;
mod topology;
mod truc;
#[cfg(test)]
mod whole;

use crate::backend::{BlockRef, MempoolDelta, RemovedBecause};
use crate::builtin::policy::Policy;
use crate::builtin::utxo::Coins;
use bitcoin::{Amount, Block, FeeRate, OutPoint, Transaction, Txid, Wtxid};
use limit::RollingMinimum;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use accept::{Admission, Admitted, Candidate};
pub(crate) use favour::Favoured;
pub(crate) use package::{Fate, Verdict};
pub(crate) use rate::Rate;

/// What the mempool needs to know of the chain it stands on.
pub(crate) struct ChainView<'a> {
    pub(crate) coins: &'a dyn Coins,
    pub(crate) tip: BlockRef,
    /// Median time of the best chain's block at a height.
    pub(crate) mtp_at: &'a dyn Fn(u32) -> u32,
    /// Whether a block of the best chain has a transaction.
    pub(crate) confirmed: &'a dyn Fn(&Txid) -> bool,
    /// Unix seconds.
    pub(crate) now: u32,
    /// The most the sender wants to pay.
    pub(crate) feerate_max: Option<FeeRate>,
}

impl ChainView<'_> {
    /// The height a waiting transaction would be mined at.
    pub(crate) fn next_height(&self) -> u32 {
        self.tip.height.saturating_add(1)
    }
}

/// A transaction that waits.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) wtxid: Wtxid,
    pub(crate) fee_sat: u64,
    pub(crate) vsize: u64,
    pub(crate) weight_wu: u64,
    pub(crate) sigop_cost: usize,
    /// When it came, Unix seconds.
    pub(crate) time: u32,
    /// The tip's height when it came.
    pub(crate) height: u32,
    /// The how-manieth that ever came.
    pub(crate) arrival: u64,
    /// Transactions of the mempool it spends from.
    pub(crate) parents: BTreeSet<Txid>,
    /// Transactions of the mempool that spend from it.
    pub(crate) children: BTreeSet<Txid>,
}

/// All that waits.
#[derive(Clone, Debug)]
pub(crate) struct Mempool {
    entries: BTreeMap<Txid, Entry>,
    wtxids: BTreeSet<Wtxid>,
    spends: BTreeMap<OutPoint, Txid>,
    size: u64,
    arrivals: u64,
    rolling: RollingMinimum,
    /// Set by hand: nothing that pays less waits, satoshi per 1000 virtual bytes.
    floor_sat_kvb: u64,
    policy: Policy,
    deltas: Vec<MempoolDelta>,
    /// What counts as if it paid more or less, waiting or not, satoshi.
    favours: BTreeMap<Txid, i64>,
}

impl Mempool {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            entries: BTreeMap::new(),
            wtxids: BTreeSet::new(),
            spends: BTreeMap::new(),
            size: 0,
            arrivals: 0,
            rolling: RollingMinimum::default(),
            floor_sat_kvb: 0,
            policy,
            deltas: Vec::new(),
            favours: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    /// Entries by txid.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Txid, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many ever came.
    pub(crate) const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// What it counts against its limit, bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a transaction with this very witness waits: then its scripts are good.
    pub(crate) fn has_wtxid(&self, wtxid: &Wtxid) -> bool {
        self.wtxids.contains(wtxid)
    }

    /// The transaction that spends an output.
    pub(crate) fn spender(&self, outpoint: &OutPoint) -> Option<&Txid> {
        self.spends.get(outpoint)
    }

    /// What changed since the last call, in order.
    pub(crate) fn drain_deltas(&mut self) -> Vec<MempoolDelta> {
        std::mem::take(&mut self.deltas)
    }

    /// All transactions, parents before children.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Transaction>> {
        let mut order: Vec<(usize, u64, &Arc<Transaction>)> = (self.entries.iter())
            .map(|(txid, entry)| (self.ancestors(&[*txid]).len(), entry.arrival, &entry.tx))
            .collect();
        order.sort_unstable_by_key(|(depth, arrival, _)| (*depth, *arrival));
        order.into_iter().map(|(_, _, tx)| Arc::clone(tx)).collect()
    }

    /// Takes in what passed all checks.
    fn insert(&mut self, candidate: Candidate, (time, height): (u32, u32)) {
        let Candidate { tx, txid, wtxid, fee_sat, vsize, weight_wu, sigop_cost, .. } = candidate;
        // Those of its package came in just before it.
        let parents: BTreeSet<Txid> = (tx.input.iter().map(|input| input.previous_output.txid))
            .filter(|parent| self.entries.contains_key(parent))
            .collect();
        for input in &tx.input {
            self.spends.insert(input.previous_output, txid);
        }
        for parent in &parents {
            if let Some(entry) = self.entries.get_mut(parent) {
                entry.children.insert(txid);
            }
        }
        // After a reorganisation a parent may come in behind its children.
        let outputs = OutPoint::new(txid, 0)..=OutPoint::new(txid, u32::MAX);
        let children: BTreeSet<Txid> =
            self.spends.range(outputs).map(|(_, child)| *child).collect();
        for child in &children {
            if let Some(entry) = self.entries.get_mut(child) {
                entry.parents.insert(txid);
            }
        }
        self.size = self.size.saturating_add(size_of(&tx));
        self.wtxids.insert(wtxid);
        self.arrivals = self.arrivals.saturating_add(1);
        let fee = Amount::from_sat(fee_sat);
        self.deltas.push(MempoolDelta::Added { tx: Arc::clone(&tx), fee });
        let arrival = self.arrivals;
        let entry = Entry {
            tx,
            wtxid,
            fee_sat,
            vsize,
            weight_wu,
            sigop_cost,
            time,
            height,
            arrival,
            parents,
            children,
        };
        self.entries.insert(txid, entry);
    }

    /// Takes one out; what stands on it stays.
    fn remove(&mut self, txid: &Txid, because: RemovedBecause) {
        let Some(entry) = self.entries.remove(txid) else { return };
        for input in &entry.tx.input {
            self.spends.remove(&input.previous_output);
        }
        for parent in &entry.parents {
            if let Some(parent) = self.entries.get_mut(parent) {
                parent.children.remove(txid);
            }
        }
        for child in &entry.children {
            if let Some(child) = self.entries.get_mut(child) {
                child.parents.remove(txid);
            }
        }
        self.wtxids.remove(&entry.wtxid);
        self.size = self.size.saturating_sub(size_of(&entry.tx));
        self.deltas.push(MempoolDelta::Removed { txid: *txid, because });
    }

    /// Takes one out with all that stands on it, youngest first.
    pub(crate) fn remove_with_descendants(&mut self, txid: &Txid, because: RemovedBecause) {
        let mut going: Vec<(u64, Txid)> = (self.descendants(&[*txid]).into_iter())
            .filter_map(|txid| Some((self.entries.get(&txid)?.arrival, txid)))
            .collect();
        going.sort_unstable();
        for (_, txid) in going.into_iter().rev() {
            self.remove(&txid, because);
        }
    }

    /// A block came: its transactions leave, and so does what spends the same coins otherwise.
    pub(crate) fn remove_for_block(&mut self, block: &Block, now: u32) {
        let hash = block.block_hash();
        for tx in block.txdata.iter().filter(|tx| !tx.is_coinbase()) {
            let txid = tx.compute_txid();
            self.remove(&txid, RemovedBecause::Confirmed(hash));
            self.favours.remove(&txid);
            for input in &tx.input {
                if let Some(rival) = self.spends.get(&input.previous_output).copied() {
                    self.remove_with_descendants(&rival, RemovedBecause::Conflicted { by: txid });
                }
            }
        }
        self.rolling.block_came(now);
    }
}

/// What an entry counts against the size limit, bytes.
fn size_of(tx: &Transaction) -> u64 {
    const BOOKKEEPING: u64 = 400;
    u64::try_from(tx.total_size()).unwrap_or(u64::MAX).saturating_add(BOOKKEEPING)
}
