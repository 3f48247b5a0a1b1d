//! What a miner takes first: groups of transactions by what they pay together, so that a child pays for
//! its parent.

use crate::builtin::mempool::{Entry, Mempool, Rate};
use bitcoin::{Transaction, Txid};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the coinbase and header may take of a block, weight units.
const RESERVED_WEIGHT: u64 = 8_000;
/// What the coinbase may take of a block's signature operations.
const RESERVED_SIGOPS: usize = 400;

/// Transactions that go into a block together, parents first.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) txids: Vec<Txid>,
    pub(crate) rate: Rate,
    pub(crate) weight_wu: u64,
    sigop_cost: usize,
}

/// The mempool as chunks, best first. A chunk's ancestors are in it or before it.
pub(crate) fn linearise(mempool: &Mempool) -> Vec<Chunk> {
    let mut waiting: BTreeMap<Txid, Group> =
        mempool.iter().map(|(txid, entry)| (*txid, Group::of(mempool, *txid, entry))).collect();
    let mut queue: BTreeSet<(Rate, Reverse<u64>, Txid)> =
        waiting.iter().map(|(txid, group)| group.key(*txid)).collect();
    let mut chunks = Vec::with_capacity(waiting.len());
    while let Some((_, _, txid)) = queue.pop_last() {
        let Some(group) = waiting.remove(&txid) else { continue };
        let chunk = group.chunk(mempool);
        for taken in &chunk.txids {
            if let Some(group) = waiting.remove(taken) {
                queue.remove(&group.key(*taken));
            }
        }
        for descendant in mempool.descendants(&chunk.txids) {
            let Some(group) = waiting.get_mut(&descendant) else { continue };
            queue.remove(&group.key(descendant));
            group.shed(&chunk.txids, mempool);
            queue.insert(group.key(descendant));
        }
        chunks.push(chunk);
    }
    chunks
}

/// A transaction with all its ancestors that are not placed yet.
struct Group {
    members: BTreeSet<Txid>,
    arrival: u64,
    fee_sat: u64,
    vsize: u64,
}

impl Group {
    fn of(mempool: &Mempool, txid: Txid, entry: &Entry) -> Self {
        let members = mempool.ancestors(&[txid]);
        let mut group = Self { members, arrival: entry.arrival, fee_sat: 0, vsize: 0 };
        let entries = group.members.iter().filter_map(|txid| Some((txid, mempool.get(txid)?)));
        for (txid, entry) in entries {
            group.fee_sat = group.fee_sat.saturating_add(mempool.counted_sat(txid, entry));
            group.vsize = group.vsize.saturating_add(entry.vsize);
        }
        group
    }

    fn key(&self, txid: Txid) -> (Rate, Reverse<u64>, Txid) {
        (Rate { fee_sat: self.fee_sat, vsize: self.vsize }, Reverse(self.arrival), txid)
    }

    fn shed(&mut self, placed: &[Txid], mempool: &Mempool) {
        for txid in placed {
            if let Some(entry) = self.members.take(txid).and_then(|txid| mempool.get(&txid)) {
                let counted_sat = mempool.counted_sat(txid, entry);
                self.fee_sat = self.fee_sat.saturating_sub(counted_sat);
                self.vsize = self.vsize.saturating_sub(entry.vsize);
            }
        }
    }

    fn chunk(self, mempool: &Mempool) -> Chunk {
        let mut order: Vec<(usize, u64, Txid)> = (self.members.iter())
            .filter_map(|txid| {
                let depth = mempool.ancestors(&[*txid]).len();
                Some((depth, mempool.get(txid)?.arrival, *txid))
            })
            .collect();
        order.sort_unstable();
        let entries = || self.members.iter().filter_map(|txid| mempool.get(txid));
        Chunk {
            txids: order.into_iter().map(|(_, _, txid)| txid).collect(),
            rate: Rate { fee_sat: self.fee_sat, vsize: self.vsize },
            weight_wu: entries().fold(0, |sum, entry| sum.saturating_add(entry.weight_wu)),
            sigop_cost: entries().fold(0, |sum, entry| sum.saturating_add(entry.sigop_cost)),
        }
    }
}

/// One block's worth of a mempool.
#[derive(Debug, Default)]
pub(crate) struct Template {
    pub(crate) txs: Vec<Arc<Transaction>>,
    pub(crate) fees_sat: u64,
    /// The least any chunk in it counts for; `None` when it is empty.
    pub(crate) lowest: Option<Rate>,
    /// Whether something had to stay outside.
    pub(crate) full: bool,
}

/// Fills a block from the best chunks and answers it with what is left over.
pub(crate) fn fill(mempool: &Mempool, chunks: Vec<Chunk>) -> (Template, Vec<Chunk>) {
    use crate::builtin::params::{BLOCK_SIGOPS_MAX, BLOCK_WEIGHT_MAX};
    let mut weight_left = BLOCK_WEIGHT_MAX.saturating_sub(RESERVED_WEIGHT);
    let mut sigops_left = BLOCK_SIGOPS_MAX.saturating_sub(RESERVED_SIGOPS);
    let mut template = Template::default();
    let mut left_over = Vec::new();
    let mut outside: BTreeSet<Txid> = BTreeSet::new();
    for chunk in chunks {
        let orphaned = chunk.txids.iter().filter_map(|txid| mempool.get(txid)).any(|entry| {
            // A parent that did not fit keeps its children out.
            !outside.is_disjoint(&entry.parents)
        });
        if orphaned || chunk.weight_wu > weight_left || chunk.sigop_cost > sigops_left {
            outside.extend(&chunk.txids);
            template.full = true;
            left_over.push(chunk);
            continue;
        }
        weight_left = weight_left.saturating_sub(chunk.weight_wu);
        sigops_left = sigops_left.saturating_sub(chunk.sigop_cost);
        template.lowest = Some(template.lowest.map_or(chunk.rate, |low| low.min(chunk.rate)));
        for entry in chunk.txids.iter().filter_map(|txid| mempool.get(txid)) {
            // What it really pays, whatever it counts for.
            template.fees_sat = template.fees_sat.saturating_add(entry.fee_sat);
            template.txs.push(Arc::clone(&entry.tx));
        }
    }
    (template, left_over)
}
