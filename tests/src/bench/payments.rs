//! `bench payments`: payments a second over one channel, ours and LDK's in turns, and the floor.
//!
//! Both nodes of a rig run in this process on a multi-thread runtime with a worker a core, and talk over
//! loopback TCP. Every cell (amount, window) gets fresh nodes; within a cell the rigs take turns, so that
//! what else the machine does hits all alike. A rig's first, unmeasured batch tells how many payments fill
//! the time of a sample.

mod report;

use super::floor::Primitives;
use super::ldk_rig::LdkRig;
use super::our_rig::OurRig;
use super::rig::{PaymentRig, Sample};
use crate::ldk::StoreKind;
use std::path::{Path, PathBuf};

/// The most payments in one sample.
const COUNT_MAX: usize = 30_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a figure instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Seconds of one sample.
    #[arg(long, default_value_t = 2)]
    pub seconds: u64,
    /// Samples of each rig in each cell.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Payments in flight, one cell each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 483])]
    pub windows: Vec<usize>,
    /// Satoshi of a payment, one cell each; 10 is dust, 10000 is not.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 10])]
    pub amounts: Vec<u64>,
    /// Which rigs take part.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Kind::ALL)]
    pub rigs: Vec<Kind>,
    /// Where the stores live; a temporary directory unless told.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// The kinds of rigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Viaduct with its journal.
    Viaduct,
    /// LDK with its own `FilesystemStore`.
    LdkFiles,
    /// LDK over one append-only file.
    LdkLog,
}

impl Kind {
    /// All of them, in the order of turns.
    pub const ALL: [Self; 3] = [Self::Viaduct, Self::LdkFiles, Self::LdkLog];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viaduct => "viaduct",
            Self::LdkFiles => "ldk_files",
            Self::LdkLog => "ldk_log",
        }
    }

    async fn start(self, dir: &Path) -> Box<dyn PaymentRig> {
        match self {
            Self::Viaduct => Box::new(OurRig::start(dir).await),
            Self::LdkFiles => Box::new(LdkRig::start(StoreKind::Files, dir).await),
            Self::LdkLog => Box::new(LdkRig::start(StoreKind::Log, dir).await),
        }
    }

    /// Three nodes in a line.
    pub(super) async fn start_line(self, dir: &Path) -> Box<dyn PaymentRig> {
        match self {
            Self::Viaduct => Box::new(OurRig::start_line(dir).await),
            Self::LdkFiles => Box::new(LdkRig::start_line(StoreKind::Files, dir).await),
            Self::LdkLog => Box::new(LdkRig::start_line(StoreKind::Log, dir).await),
        }
    }
}

/// One amount, one window: what each rig reached.
#[derive(Clone, Debug)]
struct Cell {
    sat: u64,
    window: usize,
    samples: Vec<(Kind, Vec<Sample>)>,
}

/// Measures and tells.
///
/// # Panics
/// When a rig fails.
pub fn run(arguments: &Arguments) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let primitives = Primitives::measure(&dir);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut cells = Vec::new();
    for &sat in &arguments.amounts {
        for &window in &arguments.windows {
            if !arguments.json {
                eprintln!("measuring {sat} sat, {window} in flight ...");
            }
            cells.push(runtime.block_on(measure(arguments, sat, window, &dir)));
        }
    }
    if arguments.json {
        report::figures(&cells, &primitives)
            .iter()
            .for_each(|figure| println!("{}", figure.json()));
    } else {
        print!("{}", report::tables(&cells, &primitives));
    }
}

async fn measure(arguments: &Arguments, sat: u64, window: usize, dir: &Path) -> Cell {
    let mut rigs = Vec::new();
    for &kind in &arguments.rigs {
        let dir = dir.join(format!("{}-{sat}-{window}", kind.name()));
        std::fs::create_dir_all(&dir).expect("a directory for the rig");
        let mut rig = kind.start(&dir).await;
        let trial = rig.pay_batch((4 * window).clamp(20, 1_000), window, sat * 1_000).await;
        let count = (trial.rate() * arguments.seconds as f64) as usize;
        rigs.push((kind, rig, count.clamp(2 * window, COUNT_MAX), Vec::new()));
    }
    for _ in 0..arguments.runs {
        for (_, rig, count, samples) in &mut rigs {
            samples.push(rig.pay_batch(*count, window, sat * 1_000).await);
        }
    }
    let mut samples = Vec::new();
    for (kind, rig, _, taken) in rigs {
        rig.stop().await;
        samples.push((kind, taken));
    }
    Cell { sat, window, samples }
}
