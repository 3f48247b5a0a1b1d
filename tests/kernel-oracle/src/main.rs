//! Bitcoin Core's kernel judges the blocks of our tests again.
//!
//! `viaduct-kernel-oracle replay DIR` reads what the unit tests of `chain-backend` wrote there (run them with
//! `VIADUCT_BLOCK_LOG=DIR`), hands every block to a chain of the kernel's, and compares verdicts, tips and the
//! final coins. `viaduct-kernel-oracle bench DIR` says how long the kernel takes for the blocks in the files of a
//! chain of ours, such as the one that `bench chain --dir` leaves.

mod coins;
mod frames;
mod judge;
mod log;

use judge::Judge;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["replay", dir] => replay(Path::new(dir)),
        ["bench", dir] => bench(Path::new(dir)),
        _ => Err("usage: viaduct-kernel-oracle replay DIR | bench DIR".into()),
    }
}

/// What was compared.
#[derive(Default)]
struct Tally {
    chains: usize,
    valid: usize,
    invalid: usize,
    by_clock: usize,
    coins: usize,
}

fn replay(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "blocks") {
            files.push(path);
        }
    }
    files.sort();
    let (mut tally, mut differences) = (Tally::default(), Vec::new());
    for file in &files {
        compare(file, &mut tally, &mut differences)?;
    }
    println!(
        "{} chains: {} valid and {} invalid blocks judged alike or listed below, {} left out because the \
         kernel has another clock; {} coins compared",
        tally.chains, tally.valid, tally.invalid, tally.by_clock, tally.coins
    );
    for difference in &differences {
        println!("{difference}");
    }
    if tally.chains == 0 {
        return Err("nothing to compare".into());
    }
    if differences.is_empty() { Ok(()) } else { Err("the kernel says otherwise".into()) }
}

fn compare(
    file: &Path,
    tally: &mut Tally,
    differences: &mut Vec<String>,
) -> Result<(), Box<dyn Error>> {
    let judge = Judge::new()?;
    let mut last = None;
    for (number, line) in log::read(file)?.into_iter().enumerate() {
        let line = line?;
        // Tests set the clock of our chain; the kernel has that of the machine.
        if line.word == "time-too-new" {
            tally.by_clock += 1;
            continue;
        }
        let theirs = judge.judge(&line.block)?;
        let ours = line.is_valid();
        *(if ours { &mut tally.valid } else { &mut tally.invalid }) += 1;
        let at = || format!("{}:{}", file.display(), number + 1);
        if ours != theirs {
            differences.push(format!("{}: {} here, kernel: {theirs}", at(), line.word));
        }
        let tip = judge.tip();
        if tip != (line.height, line.tip.clone()) {
            differences.push(format!(
                "{}: tip {} {}, kernel: {tip:?}",
                at(),
                line.height,
                line.tip
            ));
        }
        last = Some(line);
    }
    if let Some(last) = last {
        tally.chains += 1;
        let (count, hash) = coins::of(&judge)?;
        tally.coins += count;
        if hash != last.coins {
            differences.push(format!("{}: coins {}, kernel: {hash}", file.display(), last.coins));
        }
    }
    Ok(())
}

fn bench(dir: &Path) -> Result<(), Box<dyn Error>> {
    let blocks = frames::read(dir)?;
    let judge = Judge::new()?;
    let (mut seconds, mut txs, mut largest) = (0.0, 0, (0, 0.0));
    for block in &blocks {
        let count = bitcoin::consensus::encode::deserialize::<bitcoin::Block>(block)?.txdata.len();
        let start = Instant::now();
        judge.judge(block)?;
        let took = start.elapsed().as_secs_f64();
        seconds += took;
        txs += count;
        if count > largest.0 {
            largest = (count, took);
        }
    }
    println!(
        "kernel: {} blocks, {txs} transactions in {seconds:.3} s ({:.0} blocks/s); the largest, of {} \
         transactions, in {:.3} s; its tip is at {}",
        blocks.len(),
        blocks.len() as f64 / seconds,
        largest.0,
        largest.1,
        judge.tip().0
    );
    Ok(())
}
