//! `bench chain`: how fast the built-in chain connects blocks, finds coins, reorganises and starts, and how much it
//! keeps.
//!
//! Blocks are made by one chain in memory and handed to another on a real disk, where each is synced before the next:
//! every signature of them is checked there, none was seen before.

mod report;
mod source;

use super::cost::cpu_time;
use super::figure::Figure;
use bitcoin::{Block, OutPoint};
use chain_backend::{BuiltinChain, ChainBackend, Options, Reorg, Sandbox};
use source::Source;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Blocks with nothing but a coinbase.
    #[arg(long, default_value_t = 10_000)]
    pub blocks: u32,
    /// Blocks that are full of payments; all of them are reorganised at the end.
    #[arg(long, default_value_t = 100)]
    pub full_blocks: u32,
    /// Payments of a full block, one signature each.
    #[arg(long, default_value_t = 2_000)]
    pub transactions: u32,
    /// Coins that are looked up.
    #[arg(long, default_value_t = 20_000)]
    pub lookups: usize,
    /// How often a start is measured.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Threads that check signatures.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Where the chain lies; a temporary directory unless told.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Measures and tells.
///
/// # Panics
/// When the chain fails.
pub fn run(arguments: &Arguments) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global().expect("threads");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let say = |what: &str| {
        if !arguments.json {
            eprintln!("measuring {what} ...");
        }
    };
    say("empty blocks");
    let mut figures = runtime.block_on(empty(arguments, &dir.join("empty")));
    say("full blocks");
    figures.extend(runtime.block_on(full(arguments, &dir.join("full"))));
    if arguments.json {
        figures.iter().for_each(|figure: &Figure| println!("{}", figure.json()));
    } else {
        print!("{}", report::table(&figures));
    }
}

/// A durable chain in a directory.
fn open(dir: &Path, change: impl Fn(&mut Options)) -> BuiltinChain {
    let mut options = Options::directory(dir, source::now);
    change(&mut options);
    BuiltinChain::open(&options).expect("a chain")
}

fn alone(name: &str, unit: &'static str, samples: Vec<f64>) -> Figure {
    Figure::alone(format!("chain.{name}"), unit, samples)
}

/// Hands blocks in, one after the other; seconds each.
async fn connect(chain: &BuiltinChain, blocks: &[Arc<Block>]) -> Vec<f64> {
    let mut samples = Vec::with_capacity(blocks.len());
    for block in blocks {
        let block = Block::clone(block);
        let start = Instant::now();
        assert!(chain.submit_block(block).await.expect("a good block"), "connected");
        samples.push(start.elapsed().as_secs_f64());
    }
    samples
}

/// Seconds of some starts, each of what the process before left.
async fn starts(runs: usize, dir: &Path, killed: bool, reindex: bool) -> Vec<f64> {
    let mut samples = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let chain = open(dir, |options| options.reindex = reindex);
        samples.push(start.elapsed().as_secs_f64());
        if killed {
            chain.abandon().await;
        } else {
            chain.stop().await;
        }
    }
    samples
}

async fn empty(arguments: &Arguments, dir: &Path) -> Vec<Figure> {
    let source = Source::new();
    source.mine(arguments.blocks).await;
    let blocks = source.blocks(1).await;
    let chain = open(dir, |_| {});
    let samples = connect(&chain, &blocks).await;
    let rates = samples.chunks(1_000).map(|some| count(some.len()) / some.iter().sum::<f64>());
    let mut figures = vec![alone("empty.rate", "blocks/s", rates.collect())];
    // What a process that is killed here leaves.
    chain.abandon().await;
    let runs = arguments.runs;
    figures.push(alone("start.killed", "s", starts(1, dir, false, false).await));
    figures.push(alone("start.stopped", "s", starts(runs, dir, false, false).await));
    figures.push(alone("start.reindex", "s", starts(runs, dir, false, true).await));
    figures
}

async fn full(arguments: &Arguments, dir: &Path) -> Vec<Figure> {
    let mut source = Source::new();
    source.fan(arguments.transactions).await;
    let first = source.height().await.saturating_add(1);
    for _ in 0..arguments.full_blocks {
        source.pay_all().await;
    }
    let chain = open(dir, |_| {});
    connect(&chain, &source.blocks_until(first).await).await;
    let before = sizes(dir);
    let blocks = source.blocks(first).await;
    let cpu = cpu_time();
    let samples = connect(&chain, &blocks).await;
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64() / count(blocks.len());
    let payments = f64::from(arguments.transactions);
    let rates = samples.iter().map(|seconds| payments / seconds).collect();
    let mut figures = vec![
        alone("full.rate", "tx/s", rates),
        alone("full.block", "s", samples),
        alone("full.block.cpu", "s", vec![cpu]),
    ];
    chain.stop().await;
    let after = sizes(dir);
    let each = |bytes: u64| {
        vec![count(usize::try_from(bytes).unwrap_or(0)) / (payments * count(blocks.len()))]
    };
    figures.push(alone("disk.blocks", "B/tx", each(after.0.saturating_sub(before.0))));
    figures.push(alone("disk.index", "B/tx", each(after.1.saturating_sub(before.1))));
    figures.push(alone("full.start", "s", starts(arguments.runs, dir, false, false).await));
    let chain = open(dir, |_| {});
    figures.push(lookups(&chain, source.coins(), arguments.lookups).await);
    let script = source::script();
    let (left_out, forget, depth) = (BTreeSet::new(), false, arguments.full_blocks);
    let start = Instant::now();
    let reorg = Reorg { depth, left_out, forget, script };
    chain.reorganise(reorg).await.expect("a reorganisation");
    figures.push(alone("reorg", "s", vec![start.elapsed().as_secs_f64()]));
    chain.abandon().await;
    figures.push(alone("full.start.killed", "s", starts(1, dir, false, false).await));
    figures.push(alone("full.reindex", "s", starts(1, dir, false, true).await));
    figures
}

/// Coins by outpoint, in no order, asked through the chain's handle one after the other: microseconds each.
async fn lookups(chain: &BuiltinChain, coins: &[OutPoint], count_max: usize) -> Figure {
    let mut samples = Vec::new();
    // A stride that shares no factor with most lengths visits all of them.
    let order = (0..count_max.min(coins.len())).map(|at| coins[at * 7_919 % coins.len()]);
    let order: Vec<OutPoint> = order.collect();
    for some in order.chunks(1_000) {
        let start = Instant::now();
        for coin in some {
            assert!(chain.txout(*coin).await.expect("an answer").is_some(), "a coin");
        }
        samples.push(start.elapsed().as_secs_f64() * 1e6 / count(some.len()));
    }
    alone("coin", "us", samples)
}

/// Bytes of the files of blocks, and of the index.
fn sizes(dir: &Path) -> (u64, u64) {
    fn size(path: &Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(path) else {
            // Sparse files count as what they take.
            use std::os::unix::fs::MetadataExt;
            return std::fs::metadata(path).map_or(0, |meta| meta.blocks() * 512);
        };
        entries.filter_map(Result::ok).map(|entry| size(&entry.path())).sum()
    }
    (size(&dir.join("blk")) + size(&dir.join("rev")), size(&dir.join("index")))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
const fn count(number: usize) -> f64 {
    number as f64
}
