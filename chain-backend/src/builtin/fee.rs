//! Fee estimates: what the mempool would fill the next blocks with, and what the last blocks took.

use crate::backend::FeeTable;
use crate::builtin::mempool::Mempool;
use crate::builtin::template::{Template, fill, linearise};
use bitcoin::FeeRate;
use std::collections::{BTreeMap, VecDeque};

/// The targets that are answered, blocks.
const TARGETS: [u16; 6] = [1, 2, 3, 6, 12, 144];
/// How many of the last blocks are remembered.
const HISTORY_BLOCKS: usize = 144;
/// How many blocks are projected from the mempool.
const PROJECTED_BLOCKS: usize = 12;
/// Out of a hundred past waits, how many an estimate would have satisfied.
const SUCCESSES_PERCENT: usize = 85;

/// What it took to get into the last blocks.
#[derive(Debug, Default)]
pub(crate) struct FeeHistory {
    /// For each block, oldest first: the least that got in, satoshi per 1000 virtual bytes; zero when
    /// there was room left.
    needed: VecDeque<u64>,
    /// How many of them had a transaction that pays.
    with_payers: VecDeque<bool>,
    /// Answers set by hand, by target.
    fixed: BTreeMap<u16, Option<FeeRate>>,
}

impl FeeHistory {
    /// A block was mined from this template.
    pub(crate) fn mined(&mut self, template: &Template) {
        let needed = template.lowest.filter(|_| template.full).map_or(0, |low| low.sat_kvb());
        self.needed.push_back(needed);
        self.with_payers.push_back(template.fees_sat > 0);
        while self.needed.len() > HISTORY_BLOCKS {
            self.needed.pop_front();
            self.with_payers.pop_front();
        }
    }

    /// Answers these from now on, whatever the mempool says; an empty table ends that.
    pub(crate) fn fix(&mut self, targets: BTreeMap<u16, Option<FeeRate>>) {
        self.fixed = targets;
    }

    pub(crate) fn table(&self, mempool: &Mempool) -> FeeTable {
        let policy = mempool.policy();
        let floor = mempool.min_sat_kvb();
        let evidence = mempool.has_floor() || mempool.len() > 0 || self.with_payers.contains(&true);
        let mut targets: BTreeMap<u16, Option<FeeRate>> = BTreeMap::new();
        let projected = project(mempool);
        for target in TARGETS {
            let blocks = usize::from(target);
            let now = projected.get(blocks.saturating_sub(1)).copied().unwrap_or(0);
            let rate = now.max(self.past(blocks)).max(floor);
            targets.insert(target, evidence.then(|| per_kwu(rate)));
        }
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

    /// What would have got in within `target` blocks most of the time.
    fn past(&self, target: usize) -> u64 {
        let needed: Vec<u64> = self.needed.iter().copied().collect();
        let mut waits: Vec<u64> =
            needed.windows(target).filter_map(|wait| wait.iter().min().copied()).collect();
        waits.sort_unstable();
        let at = waits.len().saturating_mul(SUCCESSES_PERCENT).div_ceil(100).saturating_sub(1);
        waits.get(at).copied().unwrap_or(0)
    }
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
