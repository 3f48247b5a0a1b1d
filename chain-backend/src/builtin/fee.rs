//! Fee estimates: what the mempool would fill the next blocks with, and what the last blocks took.
//!
//! What waits now is the better witness and is never underbid. The past only raises an estimate: all the way for the
//! cautious, half the way for the thrifty. Without either nobody knows, and that is the answer.

mod replay;
#[cfg(test)]
mod tests;

use crate::backend::FeeTable;
use crate::builtin::mempool::Mempool;
use crate::builtin::template::{Template, fill, linearise};
use bitcoin::{BlockHash, FeeRate};
use std::collections::{BTreeMap, VecDeque};

pub use replay::{FeeReplay, FeeReplayError, FeeStep};

/// The targets that are answered, blocks.
const TARGETS: [u16; 6] = [1, 2, 3, 6, 12, 144];
/// How many of the last blocks count.
pub(crate) const HISTORY_BLOCKS: usize = 144;
/// How many blocks are projected from the mempool.
const PROJECTED_BLOCKS: usize = 12;
/// Out of a hundred past waits, how many an estimate would have satisfied.
const SUCCESSES_PERCENT: u64 = 85;
/// What a wait counts for that ended with the newest block; each block before it counts for this many percent.
const NEWEST_WEIGHT: u64 = 1 << 20;
const DECAY_PERCENT: u64 = 98;
/// Own templates that are remembered.
const TEMPLATES_MAX: usize = 512;

/// How an estimate weighs what was against what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeeMode {
    /// As dear as the dearer of both: for whoever loses by waiting.
    #[default]
    Conservative,
    /// The past counts half.
    Economical,
}

/// What it took to get into a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The least that got in, satoshi per 1000 virtual bytes; zero when there was room left.
    pub(crate) needed_sat_kvb: u64,
    /// Whether anything in it paid.
    pub(crate) paid: bool,
}

/// What only this process knows of fees: its own templates, and answers set by hand.
#[derive(Debug, Default)]
pub(crate) struct FeeHistory {
    /// What blocks made here took, to the satoshi.
    templates: VecDeque<(BlockHash, Taken)>,
    /// Answers set by hand, by target.
    fixed: BTreeMap<u16, Option<FeeRate>>,
}

impl FeeHistory {
    /// A block was mined from this template.
    pub(crate) fn mined(&mut self, block: BlockHash, template: &Template) {
        let needed = template.lowest.filter(|_| template.full).map_or(0, |low| low.sat_kvb());
        let taken = Taken { needed_sat_kvb: needed, paid: template.fees_sat > 0 };
        self.templates.push_back((block, taken));
        if self.templates.len() > TEMPLATES_MAX {
            self.templates.pop_front();
        }
    }

    /// What a block took, if it was made here.
    pub(crate) fn taken(&self, block: BlockHash) -> Option<Taken> {
        self.templates.iter().rev().find(|(hash, _)| *hash == block).map(|(_, taken)| *taken)
    }

    /// Answers these from now on, whatever the mempool says; an empty table ends that.
    pub(crate) fn fix(&mut self, targets: BTreeMap<u16, Option<FeeRate>>) {
        self.fixed = targets;
    }

    /// What to pay; `past` are the last blocks, the oldest first.
    pub(crate) fn table(&self, mempool: &Mempool, past: &[Taken], mode: FeeMode) -> FeeTable {
        let policy = mempool.policy();
        let floor = mempool.min_sat_kvb();
        let known = mempool.has_floor() || mempool.len() > 0 || past.iter().any(|block| block.paid);
        let needed: Vec<u64> = past.iter().map(|block| block.needed_sat_kvb).collect();
        let estimates = estimates(&project(mempool), &needed, floor, mode);
        let mut targets: BTreeMap<u16, Option<FeeRate>> = (estimates.into_iter())
            .map(|(target, rate)| (target, known.then(|| per_kwu(rate))))
            .collect();
        if !self.fixed.is_empty() {
            targets.clone_from(&self.fixed);
        }
        FeeTable {
            targets,
            mempool_min: per_kwu(floor),
            relay_min: per_kwu(policy.min_relay_sat_kvb),
            incremental: per_kwu(policy.incremental_sat_kvb),
        }
    }
}

/// Estimates by target, satoshi per 1000 virtual bytes: never below `floor`, never more for a longer wait.
///
/// `projected` is what the next blocks will take by what waits now, `needed` what the last ones took, the oldest first.
fn estimates(projected: &[u64], needed: &[u64], floor: u64, mode: FeeMode) -> BTreeMap<u16, u64> {
    let (mut now, mut past) = (u64::MAX, u64::MAX);
    let mut answers = BTreeMap::new();
    let mut seen = 0;
    for target in TARGETS {
        let blocks = usize::from(target);
        // Beyond what is projected there is room.
        while seen < blocks {
            now = now.min(projected.get(seen).copied().unwrap_or(0));
            seen = seen.saturating_add(1);
        }
        past = past.min(past_of(needed, blocks));
        let raised = match mode {
            FeeMode::Conservative => past,
            FeeMode::Economical => now.midpoint(past),
        };
        answers.insert(target, now.max(raised).max(floor));
    }
    answers
}

/// What would have got in within `target` blocks most of the time, of late more than long ago.
fn past_of(needed: &[u64], target: usize) -> u64 {
    let mut weight = NEWEST_WEIGHT;
    let mut waits: Vec<(u64, u64)> = Vec::new();
    for wait in needed.windows(target.max(1)).rev() {
        waits.push((wait.iter().min().copied().unwrap_or(0), weight));
        weight = weight.saturating_mul(DECAY_PERCENT).div_euclid(100).max(1);
    }
    waits.sort_unstable();
    let all = waits.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
    let mut sum = 0_u64;
    let enough = waits.iter().find(|(_, weight)| {
        sum = sum.saturating_add(*weight);
        sum.saturating_mul(100) >= all.saturating_mul(SUCCESSES_PERCENT)
    });
    enough.map_or(0, |(rate, _)| *rate)
}

/// For each of the next blocks, a tenth more than the least that gets in; zero when there is room.
fn project(mempool: &Mempool) -> Vec<u64> {
    let mut chunks = linearise(mempool);
    let mut rates = Vec::new();
    while rates.len() < PROJECTED_BLOCKS && !chunks.is_empty() {
        let (template, rest) = fill(mempool, chunks);
        chunks = rest;
        let low = template.lowest.filter(|_| template.full).map_or(0, |low| low.sat_kvb());
        rates.push(low.saturating_mul(11).div_ceil(10));
        if template.txs.is_empty() {
            break;
        }
    }
    rates
}

/// Rounded up, so that a rate that is just enough stays enough.
pub(crate) fn per_kwu(rate_sat_kvb: u64) -> FeeRate {
    FeeRate::from_sat_per_kwu(rate_sat_kvb.div_ceil(4))
}
