//! `bench tower`: what a watchtower stores, how fast it is durable, how fast it finds a breach.
//!
//! The store is the tower's own on a real disk. Records have the bytes of a real one (a commitment without
//! HTLCs, two prices) under random hints. What other towers reach is printed beside it from notes: those
//! figures were measured elsewhere, on another day, and say so.

mod loopback;
mod payments;
mod replica;
mod report;
mod shelf;

use super::figure::Figure;
use std::path::PathBuf;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a figure instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Records that the tower has when it is asked, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000, 10_000_000])]
    pub records: Vec<u64>,
    /// Seconds of each measurement of speed.
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Transactions of a block that is compared.
    #[arg(long, default_value_t = 5_000)]
    pub transactions: usize,
    /// Blocks that are caught up with, of 3,000 transactions each.
    #[arg(long, default_value_t = 1_000)]
    pub blocks: u32,
    /// Payments in flight while a client uploads to two towers, one cell each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 483])]
    pub windows: Vec<usize>,
    /// What to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Part::ALL)]
    pub parts: Vec<Part>,
    /// Where the store lives; a temporary directory unless told.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Bytes of a record.
    Bytes,
    /// The store alone: rate and waits.
    Store,
    /// The whole way over loopback.
    Loopback,
    /// A tower with many records.
    Full,
    /// Payments of a client beside its uploads.
    Payments,
}

impl Part {
    /// All of them, in this order.
    pub const ALL: [Self; 5] =
        [Self::Bytes, Self::Store, Self::Loopback, Self::Full, Self::Payments];
}

/// Measures and tells.
///
/// # Panics
/// When the store fails.
pub fn run(arguments: &Arguments) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let say = |what: &str| {
        if !arguments.json {
            eprintln!("measuring {what} ...");
        }
    };
    let mut figures = Vec::new();
    for part in &arguments.parts {
        match part {
            Part::Bytes => {
                figures.extend(shelf::sizes());
                figures.extend(runtime.block_on(replica::sizes(&dir.join("replica"))));
            }
            Part::Store => {
                say("the store");
                figures.extend(runtime.block_on(shelf::speed(arguments, &dir.join("speed"))));
            }
            Part::Loopback => {
                say("a tower on loopback");
                let dir = dir.join("loopback");
                figures.extend(runtime.block_on(loopback::speed(arguments, &dir)));
            }
            Part::Full => {
                for &records in &arguments.records {
                    say(&format!("{records} records"));
                    let dir = dir.join(format!("full-{records}"));
                    figures.extend(runtime.block_on(shelf::full(arguments, records, &dir)));
                    std::fs::remove_dir_all(&dir).expect("our own directory");
                }
            }
            Part::Payments => {
                say("payments beside uploads");
                let dir = dir.join("payments");
                figures.extend(runtime.block_on(payments::effect(arguments, &dir)));
            }
        }
    }
    if arguments.json {
        figures.iter().for_each(|figure: &Figure| println!("{}", figure.json()));
    } else {
        print!("{}", report::table(&figures));
    }
}
