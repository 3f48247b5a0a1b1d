//! Figures, asked for with `VIADUCT_MEASURE=1` and `--nocapture`.

use super::harness::{Bench, COIN, child, miner, options, out};
use crate::builtin::chainstate::Chainstate;
use bitcoin::Transaction;
use std::time::Instant;

#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and tells")]
fn blocks_and_transactions_per_second() {
    if std::env::var_os("VIADUCT_MEASURE").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(Some(dir.path()));
    let start = Instant::now();
    bench.mine(9_890);
    println!("mine, connect, write 9890 empty blocks: {:.2} s", start.elapsed().as_secs_f64());
    drop(bench);
    let start = Instant::now();
    let chain = Chainstate::open(&options(Some(dir.path()))).unwrap();
    let height = chain.tip().height;
    println!("reopen {height} blocks: {:.3} s", start.elapsed().as_secs_f64());

    let mut source = Bench::new();
    let fans: Vec<Transaction> =
        (0..2).map(|_| source.pay(vec![out(COIN / 100, miner()); 1_000], 40_000)).collect();
    for fan in &fans {
        source.submit(fan).unwrap();
        source.mine(1);
    }
    let base: Vec<_> = (1..=source.chain.tip().height)
        .map(|height| {
            let hash = source.chain.header_at(height).unwrap().hash;
            source.chain.block(hash).unwrap()
        })
        .collect();
    let kids: Vec<Transaction> = (0..1_000)
        .flat_map(|vout| fans.iter().map(move |fan| child(fan, &[vout], 500)).collect::<Vec<_>>())
        .collect();
    let start = Instant::now();
    let mut submitted = 0;
    for kid in &kids {
        submitted += u32::from(source.submit(kid).is_ok());
    }
    println!(
        "mempool took {submitted} of 2000 transactions: {:.0} tx/s",
        f64::from(submitted) / start.elapsed().as_secs_f64()
    );
    // Blocks of 2000 by hand: every input's signature is checked.
    let order = crate::builtin::mine::Order {
        previous: source.chain.tip(),
        txs: &kids.iter().cloned().map(std::sync::Arc::new).collect::<Vec<_>>(),
        fees_sat: 0,
        script: &miner(),
        now: super::harness::START,
        extra: 1,
        bits: crate::builtin::params::Params::regtest().bits,
    };
    let big = crate::builtin::mine::make_block(&order, &crate::builtin::params::Params::regtest());
    let dir = tempfile::tempdir().unwrap();
    let mut durable = options(Some(dir.path()));
    durable.sync = true;
    let mut target = Chainstate::open(&durable).unwrap();
    let start = Instant::now();
    for block in &base {
        target.submit_block((**block).clone()).unwrap();
    }
    println!(
        "connect {} small blocks, synced: {:.0} blocks/s",
        base.len(),
        base.len() as f64 / start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    target.submit_block(big.unwrap()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "connect a block of 2000 transactions, synced: {seconds:.3} s, {:.0} tx/s",
        2_000.0 / seconds
    );
}
