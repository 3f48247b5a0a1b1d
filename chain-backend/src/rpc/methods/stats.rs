//! `getblockstats`: figures of one block, amounts in satoshi.

use crate::backend::ChainBackend;
use crate::rpc::error::RpcError;
use crate::rpc::request::{Args, hash, wrong_type};
use crate::rpc::{Answer, Node, answer};
use bitcoin::{Block, BlockHash, Transaction, TxOut};
use serde_json::{Map, Value, json};

/// What an output takes in the coin set beside itself, bytes: its outpoint, its height, a flag.
const UTXO_OVERHEAD: i64 = 41;
/// Which parts of the block's weight the feerates are told for, percent.
const PERCENTILES: [u64; 5] = [10, 25, 50, 75, 90];

pub(super) async fn block_stats(node: &Node, args: &Args) -> Answer {
    let at = super::blocks::standing(node, hash_of(node, args).await?).await?.at;
    let block = node.chain.block(at.hash).await?;
    let spent = super::blocks::spent(node, &block).await?;
    let subsidy = node.chain.ask(move |chain| chain.subsidy_sat(at.height)).await?;
    let stats = Stats::of(&block, spent, at.height);
    let mut shown = stats.shown(&block);
    shown.insert("blockhash".to_owned(), json!(at.hash));
    shown.insert("height".to_owned(), json!(at.height));
    shown.insert("mediantime".to_owned(), json!(at.mtp));
    shown.insert("subsidy".to_owned(), json!(subsidy));
    let Some(wanted) = args.get(1).and_then(Value::as_array).filter(|wanted| !wanted.is_empty())
    else {
        return answer(&shown);
    };
    let mut chosen = Map::new();
    for name in wanted {
        let name = name.as_str().ok_or_else(|| wrong_type("stats", "string"))?;
        let unknown = || RpcError::parameter(format!("Invalid selected statistic '{name}'"));
        let value = shown.get(name).ok_or_else(unknown)?;
        chosen.insert(name.to_owned(), value.clone());
    }
    answer(&chosen)
}

/// A height or a hash.
async fn hash_of(node: &Node, args: &Args) -> Result<BlockHash, RpcError> {
    let wanted = args.need(0, "hash_or_height")?;
    if let Some(text) = wanted.as_str() {
        return hash(text, "hash_or_height");
    }
    let height = args.number(0, "hash_or_height")?;
    if height < 0 {
        return Err(RpcError::parameter(format!("Target block height {height} is negative")));
    }
    let tip = node.chain.tip().await?.height;
    let above =
        || RpcError::parameter(format!("Target block height {height} after current tip {tip}"));
    let height = u32::try_from(height).map_err(|_| above())?;
    Ok(node.chain.header_at(height).await.map_err(|_| above())?.hash)
}

/// Sums over the transactions but the coinbase, where nothing else is said.
#[derive(Debug, Default)]
struct Stats {
    /// Of the coinbase as well.
    outputs: i64,
    /// Of the coinbase as well.
    kept_outputs: i64,
    inputs: i64,
    total_out: u64,
    sizes: Vec<u64>,
    weight: u64,
    segwit: (u64, u64, u64),
    fees: Vec<u64>,
    /// With the weight that paid them.
    rates: Vec<(u64, u64)>,
    set_size: i64,
    set_size_kept: i64,
}

impl Stats {
    fn of(block: &Block, spent: Vec<Option<Vec<TxOut>>>, height: u32) -> Self {
        let mut stats = Self::default();
        for (tx, spent) in block.txdata.iter().zip(spent) {
            stats.count_outputs(tx, height);
            if !tx.is_coinbase() {
                stats.count(tx, &spent.unwrap_or_default());
            }
        }
        stats.sizes.sort_unstable();
        stats.fees.sort_unstable();
        stats.rates.sort_unstable();
        stats
    }

    fn count_outputs(&mut self, tx: &Transaction, height: u32) {
        for output in &tx.output {
            self.outputs = self.outputs.saturating_add(1);
            self.set_size = self.set_size.saturating_add(set_size(output));
            // Nobody can spend what the genesis block pays.
            if height > 0 && !output.script_pubkey.is_op_return() {
                self.kept_outputs = self.kept_outputs.saturating_add(1);
                self.set_size_kept = self.set_size_kept.saturating_add(set_size(output));
            }
        }
    }

    fn count(&mut self, tx: &Transaction, spent: &[TxOut]) {
        let sum = |outputs: &[TxOut]| {
            outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        };
        let (size, weight) = (number(tx.total_size()), tx.weight().to_wu());
        let fee = sum(spent).saturating_sub(sum(&tx.output));
        self.inputs = self.inputs.saturating_add(signed(tx.input.len()));
        self.total_out = self.total_out.saturating_add(sum(&tx.output));
        self.sizes.push(size);
        self.weight = self.weight.saturating_add(weight);
        if tx.input.iter().any(|input| !input.witness.is_empty()) {
            let (count, sizes, weights) = self.segwit;
            self.segwit = (
                count.saturating_add(1),
                sizes.saturating_add(size),
                weights.saturating_add(weight),
            );
        }
        self.fees.push(fee);
        self.rates.push((fee.saturating_mul(4).checked_div(weight).unwrap_or(0), weight));
        for output in spent {
            self.set_size = self.set_size.saturating_sub(set_size(output));
            self.set_size_kept = self.set_size_kept.saturating_sub(set_size(output));
        }
    }

    fn shown(&self, block: &Block) -> Map<String, Value> {
        let total = |values: &[u64]| values.iter().fold(0_u64, |sum, one| sum.saturating_add(*one));
        let (fees, sizes) = (total(&self.fees), total(&self.sizes));
        let count = number(self.sizes.len());
        let average = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
        let rate = |place: Option<&(u64, u64)>| place.map_or(0, |(rate, _)| *rate);
        let (segwit, segwit_size, segwit_weight) = self.segwit;
        let Value::Object(shown) = json!({
            "avgfee": average(fees, count),
            "avgfeerate": average(fees.saturating_mul(4), self.weight),
            "avgtxsize": average(sizes, count),
            "feerate_percentiles": percentiles(&self.rates, self.weight),
            "ins": self.inputs,
            "maxfee": self.fees.last().copied().unwrap_or(0),
            "maxfeerate": rate(self.rates.last()),
            "maxtxsize": self.sizes.last().copied().unwrap_or(0),
            "medianfee": median(&self.fees),
            "mediantxsize": median(&self.sizes),
            "minfee": self.fees.first().copied().unwrap_or(0),
            "minfeerate": rate(self.rates.first()),
            "mintxsize": self.sizes.first().copied().unwrap_or(0),
            "outs": self.outputs,
            "swtotal_size": segwit_size,
            "swtotal_weight": segwit_weight,
            "swtxs": segwit,
            "time": block.header.time,
            "total_out": self.total_out,
            "total_size": sizes,
            "total_weight": self.weight,
            "totalfee": fees,
            "txs": block.txdata.len(),
            "utxo_increase": self.outputs.saturating_sub(self.inputs),
            "utxo_size_inc": self.set_size,
            "utxo_increase_actual": self.kept_outputs.saturating_sub(self.inputs),
            "utxo_size_inc_actual": self.set_size_kept,
        }) else {
            return Map::new();
        };
        shown
    }
}

/// What an output takes in the coin set, bytes.
fn set_size(output: &TxOut) -> i64 {
    signed(output.size()).saturating_add(UTXO_OVERHEAD)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The middle of sorted values, rounded down.
fn median(sorted: &[u64]) -> u64 {
    let middle = sorted.len() >> 1;
    let high = sorted.get(middle).copied().unwrap_or(0);
    if sorted.len() & 1 == 1 {
        return high;
    }
    let low = middle.checked_sub(1).and_then(|place| sorted.get(place)).copied().unwrap_or(0);
    low.midpoint(high)
}

/// The feerates that so many percent of the weight paid at most.
fn percentiles(sorted: &[(u64, u64)], weight: u64) -> [u64; 5] {
    let last = sorted.last().map_or(0, |(rate, _)| *rate);
    PERCENTILES.map(|percent| {
        let mut sum = 0_u64;
        let found = sorted.iter().find(|(_, weight_of)| {
            sum = sum.saturating_add(*weight_of);
            sum.saturating_mul(100) >= weight.saturating_mul(percent)
        });
        found.map_or(last, |(rate, _)| *rate)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_bitcoin_cores() {
        assert_eq!([median(&[]), median(&[3]), median(&[1, 4]), median(&[1, 2, 9])], [0, 3, 2, 2]);
        // `CalculatePercentilesByWeight` in its tests: 200 of rate 1 and weight 1.
        let ones: Vec<(u64, u64)> =
            (0..100).map(|_| (1, 1)).chain((0..100).map(|_| (2, 1))).collect();
        assert_eq!(percentiles(&ones, 200), [1, 1, 1, 2, 2]);
        assert_eq!(
            percentiles(&[(1, 9), (2, 16), (4, 50), (5, 10), (9, 15)], 100),
            [2, 2, 4, 4, 9]
        );
        assert_eq!(percentiles(&[], 0), [0; 5]);
    }
}
