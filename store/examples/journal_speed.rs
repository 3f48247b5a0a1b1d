//! How many groups and records a second the journal makes durable on this disk:
//! `cargo run --release -p viaduct-store --example journal_speed -- [DIRECTORY] [SECONDS]`.
//!
//! Each line is the median of five runs with segments of 64 MiB, beside the disk alone: a write of the
//! same bytes and an fdatasync, into a file that was filled with zeros before.

#![expect(clippy::print_stdout, reason = "a program whose output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use store::disk::RealDisk;
use store::journal::{Options, Recovery};

const RUNS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let span = Duration::try_from_secs_f64(seconds)?;
    println!("bytes  group  groups/s  records/s  disk alone  p99 µs  written/record");
    for payload in [256, 1_024] {
        for group in [1, 16, 64, 512] {
            let mut runs = Vec::new();
            let mut alone = Vec::new();
            for _ in 0..RUNS {
                let directory = tempfile::tempdir_in(&base)?;
                runs.push(journal(directory.path(), payload, group, span)?);
                let bytes = group.saturating_mul(payload.saturating_add(32));
                alone.push(disk_alone(&directory.path().join("alone"), bytes, span)?);
            }
            runs.sort_by_key(|run| run.groups);
            alone.sort_unstable();
            let Some(median) = runs.get(RUNS.div_euclid(2)) else { continue };
            let groups = per_second(median.groups, span);
            let records = groups.saturating_mul(group);
            let alone = per_second(alone.get(RUNS.div_euclid(2)).copied().unwrap_or(0), span);
            let (p99, written) = (median.p99_us, median.written);
            println!(
                "{payload:5}  {group:5}  {groups:8}  {records:9}  {alone:10}  {p99:6}  {written:14}"
            );
        }
    }
    Ok(())
}

struct Run {
    groups: usize,
    p99_us: u128,
    /// Bytes a record, zeros ahead included.
    written: u64,
}

/// Appends groups until the time is over.
fn journal(directory: &Path, payload: usize, group: usize, span: Duration) -> Outcome<Run> {
    let disk = RealDisk::open(directory.join("journal"))?;
    let (mut journal, _) = Recovery::start(disk, Options::new(1))?.finish()?;
    let payload = vec![0x5a; payload];
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < span {
        let begun = Instant::now();
        for _ in 0..group {
            journal.append(&payload)?;
        }
        journal.sync()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let worst = times.len().saturating_mul(99).div_euclid(100);
    let stats = journal.stats();
    let written = stats.written_bytes.saturating_add(stats.ahead_bytes);
    Ok(Run {
        groups: times.len(),
        p99_us: times.get(worst).map_or(0, Duration::as_micros),
        written: written.checked_div(stats.records).unwrap_or(0),
    })
}

/// What the disk does with the same bytes and nothing around them.
fn disk_alone(path: &Path, bytes: usize, span: Duration) -> Outcome<usize> {
    const FILLED: usize = 64 << 20;
    let file = File::create_new(path)?;
    file.write_all_at(&vec![0; FILLED], 0)?;
    file.sync_all()?;
    let group = vec![0x5a; bytes];
    let (mut count, mut offset) = (0_usize, 0_usize);
    let start = Instant::now();
    while start.elapsed() < span {
        if offset.saturating_add(bytes) > FILLED {
            offset = 0;
        }
        file.write_all_at(&group, u64::try_from(offset)?)?;
        file.sync_data()?;
        offset = offset.saturating_add(bytes);
        count = count.saturating_add(1);
    }
    Ok(count)
}

fn per_second(count: usize, span: Duration) -> usize {
    let ms = usize::try_from(span.as_millis()).unwrap_or(usize::MAX);
    count.saturating_mul(1_000).checked_div(ms).unwrap_or(0)
}
