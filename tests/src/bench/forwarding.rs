//! `bench forwarding`: payments a second over two hops, ours and LDK's in turns.
//!
//! Three nodes in a line, all in this process on a multi-thread runtime with a worker a core, over loopback
//! TCP, each with a durable store. The payer knows the way, so nobody searches: what is measured is that an
//! HTLC goes on and its proof comes back. As in `bench payments` every cell gets fresh nodes and the rigs
//! take turns.

use super::figure::{Figure, median};
use super::payments::Kind;
use super::rig::Sample;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The most payments in one sample.
const COUNT_MAX: usize = 20_000;

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
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 200])]
    pub windows: Vec<usize>,
    /// Satoshi that arrive, one cell each.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000])]
    pub amounts: Vec<u64>,
    /// Which rigs take part.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Kind::ALL)]
    pub rigs: Vec<Kind>,
    /// Where the stores live; a temporary directory unless told.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// One amount, one window: what each rig reached.
struct Cell {
    sat: u64,
    window: usize,
    samples: Vec<(Kind, Vec<Sample>)>,
}

impl Cell {
    fn of(&self, kind: Kind, what: impl Fn(&Sample) -> f64) -> Option<Vec<f64>> {
        let (_, samples) = self.samples.iter().find(|(of, _)| *of == kind)?;
        Some(samples.iter().map(what).collect())
    }

    /// Ours against a peer's.
    fn compared(&self, peer: Kind) -> Option<Figure> {
        let name =
            format!("forwarding.{}sat.w{}.viaduct_against_{}", self.sat, self.window, peer.name());
        let (ours, theirs) = (self.of(Kind::Viaduct, Sample::rate)?, self.of(peer, Sample::rate)?);
        Some(Figure { name, unit: "payments/s", samples: ours, peer: Some(theirs) })
    }
}

/// Measures and tells.
///
/// # Panics
/// When a rig fails.
pub fn run(arguments: &Arguments) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
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
        figures(&cells).iter().for_each(|figure| println!("{}", figure.json()));
    } else {
        print!("{}", tables(&cells));
    }
}

async fn measure(arguments: &Arguments, sat: u64, window: usize, dir: &Path) -> Cell {
    let mut rigs = Vec::new();
    for &kind in &arguments.rigs {
        let dir = dir.join(format!("forwarding-{}-{sat}-{window}", kind.name()));
        std::fs::create_dir_all(&dir).expect("a directory for the rig");
        let mut rig = kind.start_line(&dir).await;
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

fn figures(cells: &[Cell]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for cell in cells {
        for (kind, _) in &cell.samples {
            let mut add = |what: &str, unit, each: fn(&Sample) -> f64| {
                let name =
                    format!("forwarding.{}sat.w{}.{}.{what}", cell.sat, cell.window, kind.name());
                let samples = cell.of(*kind, each).unwrap_or_default();
                figures.push(Figure::alone(name, unit, samples));
            };
            add("rate", "payments/s", Sample::rate);
            add("cpu", "ms/payment", |sample| sample.each(sample.cpu_ms));
            add("syncs", "syncs/payment", |sample| sample.each(sample.syncs as f64));
            add("written", "bytes/payment", |sample| sample.each(sample.bytes as f64));
        }
        figures.extend(
            [Kind::LdkFiles, Kind::LdkLog].into_iter().filter_map(|peer| cell.compared(peer)),
        );
    }
    figures
}

fn tables(cells: &[Cell]) -> String {
    let mut text = String::from("payments/s over two hops: min / median / max\n");
    for cell in cells {
        writeln!(text, "\n{} sat, {} in flight", cell.sat, cell.window).expect("a string");
        for (kind, _) in &cell.samples {
            let of = |each: fn(&Sample) -> f64| median(&cell.of(*kind, each).unwrap_or_default());
            let rates = cell.of(*kind, Sample::rate).unwrap_or_default();
            writeln!(
                text,
                "  {:<10} {:>24}   cpu {:.2} ms, syncs {:.2}, written {:.0} B a payment",
                kind.name(),
                Figure::alone(String::new(), "", rates).spread(),
                of(|sample| sample.each(sample.cpu_ms)),
                of(|sample| sample.each(sample.syncs as f64)),
                of(|sample| sample.each(sample.bytes as f64)),
            )
            .expect("a string");
        }
        for peer in [Kind::LdkFiles, Kind::LdkLog] {
            if let Some(ratio) = cell.compared(peer).and_then(|figure| figure.ratio()) {
                writeln!(text, "  {ratio:.2} times {}", peer.name()).expect("a string");
            }
        }
    }
    text
}
