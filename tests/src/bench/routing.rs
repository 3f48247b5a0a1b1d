//! `bench routing`: ways through a graph of mainnet's size, ours and LDK's `find_route` in one run.
//!
//! The graph is read from a file (one row a channel direction, as in the header of [`network`]) or made up with the same
//! number of nodes and channels and a like spread of degrees. Both sides get the same channels, pairs, amounts and
//! fee limits, both score by probability and have learnt nothing; a pair's time is the median of its runs. Times are those
//! of the searching thread on its CPU (`--wall`: as the clock has them), so a busy machine does not blur them.

mod network;
mod peer;
mod proofs;

use super::figure::Figure;
use network::Network;
use peer::Peer;
use routing::check::check;
use routing::find;
use routing::graph::{Graph, Snapshot};
use routing::request::Request;
use routing::route::Routes;
use routing::score::Scorer;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wire::units::Msat;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a figure instead of tables.
    #[arg(long)]
    pub json: bool,
    /// The graph: CSV, or CSV that gzip packed. Made up unless told.
    #[arg(long)]
    pub graph: Option<PathBuf>,
    /// The pairs, as `pair,src,dst`. Drawn among nodes that reach each other unless told.
    #[arg(long)]
    pub pairs: Option<PathBuf>,
    /// Satoshi of a payment.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    pub amounts: Vec<u64>,
    /// Searches for each pair; the median counts.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Times as the clock has them, whatever else the machine does meanwhile.
    #[arg(long)]
    pub wall: bool,
    /// Leaves LDK out.
    #[arg(long)]
    pub alone: bool,
}

/// Measures by this thread's time on its CPU, or by the clock.
struct Stopwatch {
    clock: Instant,
    on_cpu: Option<Duration>,
}

impl Stopwatch {
    fn start(wall: bool) -> Self {
        let on_cpu = if wall { None } else { super::cost::thread_time() };
        Self { clock: Instant::now(), on_cpu }
    }

    fn stop_ms(self) -> f64 {
        let wall = self.clock.elapsed();
        let on_cpu = self.on_cpu.and_then(|start| super::cost::thread_time()?.checked_sub(start));
        on_cpu.unwrap_or(wall).as_secs_f64() * 1e3
    }
}

/// Who looks for a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finder {
    Ours,
    OnePath,
    Flow,
    Ldk,
    LdkOnePath,
}

impl Finder {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "viaduct",
            Self::OnePath => "viaduct_one_path",
            Self::Flow => "viaduct_flow",
            Self::Ldk => "ldk",
            Self::LdkOnePath => "ldk_one_path",
        }
    }
}

/// What a finder found for one pair.
#[derive(Clone, Copy, Debug)]
struct Found {
    fee_msat: u64,
    parts: usize,
}

/// One finder, one amount.
#[derive(Debug)]
struct Row {
    sat: u64,
    finder: Finder,
    /// Milliseconds of each pair.
    times: Vec<f64>,
    found: Vec<Option<Found>>,
}

/// Measures and tells.
///
/// # Panics
/// When a file cannot be read, or a route breaks its request.
pub fn run(arguments: &Arguments) {
    let network = arguments.graph.as_deref().map_or_else(Network::made_up, Network::read);
    let mut figures = Vec::new();
    let snapshot = build(&network, arguments.wall, &mut figures);
    let pairs = match &arguments.pairs {
        Some(path) => network::read_pairs(path),
        None => network.pairs(&snapshot, 200),
    };
    let peer = (!arguments.alone).then(|| Peer::build(&network, &mut figures));
    let mut finders = vec![Finder::Ours, Finder::OnePath, Finder::Flow];
    if peer.is_some() {
        finders.extend([Finder::Ldk, Finder::LdkOnePath]);
    }
    let mut rows = Vec::new();
    for &sat in &arguments.amounts {
        let mut cells: Vec<_> = finders
            .iter()
            .map(|&finder| Row { sat, finder, times: Vec::new(), found: Vec::new() })
            .collect();
        for &(payer, payee) in &pairs {
            // All finders look for a pair one after the other, so that what else the machine does hits all alike.
            for row in &mut cells {
                let of_ldk = |paths| peer.as_ref()?.find(payer, payee, sat, paths);
                let look = || match row.finder {
                    Finder::Ldk => of_ldk(10),
                    Finder::LdkOnePath => of_ldk(1),
                    Finder::Ours | Finder::OnePath | Finder::Flow => {
                        ours(&network, &snapshot, row.finder, payer, payee, sat)
                    }
                };
                let mut times = Vec::new();
                let mut found = None;
                for _ in 0..arguments.runs.max(1) {
                    let stopwatch = Stopwatch::start(arguments.wall);
                    found = look();
                    times.push(stopwatch.stop_ms());
                }
                row.times.push(super::figure::median(&times));
                row.found.push(found);
            }
        }
        rows.extend(cells);
    }
    figures.extend(rows.iter().flat_map(|row| of_row(row, &rows)));
    if arguments.json {
        figures.iter().for_each(|figure| println!("{}", figure.json()));
    } else {
        print!("{}", table(&figures, &rows));
    }
}

fn build(network: &Network, wall: bool, figures: &mut Vec<Figure>) -> Snapshot {
    let before = resident_mib();
    let stopwatch = Stopwatch::start(wall);
    let mut graph = Graph::new();
    for update in network.updates() {
        graph.apply(&update).expect("the network is in order");
    }
    let mut add = |name: &str, unit, value| {
        figures.push(Figure::alone(format!("routing.graph.{name}"), unit, vec![value]));
    };
    let snapshot = graph.snapshot();
    add("build", "ms", stopwatch.stop_ms());
    add("resident", "MiB", resident_mib() - before);
    add("memory", "MiB", snapshot.memory_bytes() as f64 / f64::from(1 << 20));
    let stopwatch = Stopwatch::start(wall);
    let bytes = graph.encode();
    add("write", "ms", stopwatch.stop_ms());
    add("file", "MiB", bytes.len() as f64 / f64::from(1 << 20));
    let loads: Vec<_> = (0..5)
        .map(|_| {
            let stopwatch = Stopwatch::start(wall);
            let loaded = Graph::decode(&bytes).expect("our own bytes");
            assert_eq!(loaded.channel_count(), graph.channel_count());
            stopwatch.stop_ms()
        })
        .collect();
    figures.push(Figure::alone("routing.graph.load".into(), "ms", loads));
    add_petgraph(&snapshot, network, wall, figures);
    proofs::add(wall, figures);
    snapshot
}

/// `petgraph`'s own Dijkstra over the same graph, whole, by fees alone: what a search costs without packed labels.
fn add_petgraph(snapshot: &Snapshot, network: &Network, wall: bool, figures: &mut Vec<Figure>) {
    let inward = snapshot.inward();
    let payee = inward.index(&network.id(0)).expect("the first node has channels");
    let times = (0..5)
        .map(|_| {
            let stopwatch = Stopwatch::start(wall);
            let costs = petgraph_costs(inward, payee);
            assert!(costs > 1);
            stopwatch.stop_ms()
        })
        .collect();
    figures.push(Figure::alone("routing.petgraph_dijkstra".into(), "ms", times));
}

fn petgraph_costs(inward: routing::graph::Inward<'_>, payee: u32) -> usize {
    petgraph::algo::dijkstra(inward, payee, None, |lane| lane.fee_msat(100_000_000)).len()
}

fn request(network: &Network, payer: u32, payee: u32, sat: u64) -> Request {
    let amount = Msat::new(sat * 1_000).expect("an amount");
    Request::new(network.id(payer), network.id(payee), amount)
}

fn ours(
    network: &Network,
    snapshot: &Snapshot,
    finder: Finder,
    payer: u32,
    payee: u32,
    sat: u64,
) -> Option<Found> {
    let mut request = request(network, payer, payee, sat);
    if finder != Finder::OnePath {
        request.max_parts = 10;
    }
    let scorer = Scorer::default();
    let look = if finder == Finder::Flow { find::flow } else { find::find };
    let routes = look(snapshot, &scorer, &request, 0);
    routes.ok().map(|routes| found(snapshot, &request, &routes))
}

fn found(snapshot: &Snapshot, request: &Request, routes: &Routes) -> Found {
    debug_assert_eq!(check(snapshot, request, routes), Ok(()));
    Found { fee_msat: routes.fee.to_u64(), parts: routes.parts.len() }
}

/// Percentiles of times, how many were found, what they cost.
fn of_row(row: &Row, rows: &[Row]) -> Vec<Figure> {
    let place = format!("routing.{}sat.{}", row.sat, row.finder.name());
    let mut figures = Vec::new();
    let peer = match row.finder {
        Finder::Ours | Finder::Flow => Some(Finder::Ldk),
        Finder::OnePath => Some(Finder::LdkOnePath),
        Finder::Ldk | Finder::LdkOnePath => None,
    };
    let peer = rows.iter().find(|other| other.sat == row.sat && Some(other.finder) == peer);
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)] {
        let mut figure =
            Figure::alone(format!("{place}.{name}"), "ms", vec![percentile(&row.times, share)]);
        figure.peer = peer.map(|peer| vec![percentile(&peer.times, share)]);
        figures.push(figure);
    }
    // Without the pairs that are refused at a glance, because an end's channels are too narrow.
    let ways = row.times.iter().zip(&row.found).filter(|(_, found)| found.is_some());
    let ways: Vec<f64> = ways.map(|(time, _)| *time).collect();
    if !ways.is_empty() {
        let mut figure =
            Figure::alone(format!("{place}.p50_found"), "ms", vec![percentile(&ways, 0.5)]);
        figure.peer = peer.map(|peer| {
            let ways = peer.times.iter().zip(&peer.found).filter(|(_, found)| found.is_some());
            let ways: Vec<f64> = ways.map(|(time, _)| *time).collect();
            vec![if ways.is_empty() { f64::NAN } else { percentile(&ways, 0.5) }]
        });
        figures.push(figure);
    }
    let found: Vec<_> = row.found.iter().flatten().collect();
    let mut add = |name: &str, unit, value| {
        figures.push(Figure::alone(format!("{place}.{name}"), unit, vec![value]));
    };
    add("found", "pairs", found.len() as f64);
    if !found.is_empty() {
        let ppm = |found: &&Found| found.fee_msat as f64 * 1e3 / row.sat as f64;
        add("fee", "ppm", super::figure::median(&found.iter().map(ppm).collect::<Vec<_>>()));
        let parts: Vec<_> = found.iter().map(|found| found.parts as f64).collect();
        add("parts", "parts", parts.iter().sum::<f64>() / parts.len() as f64);
        // Over pairs that both found, so that nobody is cheaper for finding less.
        if let Some(peer) = peer {
            let both: Vec<_> = row
                .found
                .iter()
                .zip(&peer.found)
                .filter_map(|(ours, theirs)| {
                    Some((ours.as_ref()?.fee_msat, theirs.as_ref()?.fee_msat))
                })
                .collect();
            let (ours, theirs) =
                both.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            if theirs > 0 {
                add("fees_to_ldk", "ratio", ours as f64 / theirs as f64);
            }
        }
    }
    figures
}

fn percentile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    sorted[place - 1]
}

fn table(figures: &[Figure], rows: &[Row]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for figure in figures.iter().filter(|figure| !figure.name.contains("sat.")) {
        let _ = writeln!(out, "{:<32} {} {}", figure.name, figure.spread(), figure.unit);
    }
    let _ = writeln!(
        out,
        "\n{:>9}  {:<17} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>9} {:>6} {:>9}",
        "sat",
        "finder",
        "p50 ms",
        "p95",
        "p99",
        "max",
        "p50 found",
        "found",
        "fee ppm",
        "parts",
        "to LDK"
    );
    for row in rows {
        let place = format!("routing.{}sat.{}.", row.sat, row.finder.name());
        let of = |name: &str| figures.iter().find(|figure| figure.name == format!("{place}{name}"));
        let value = |name: &str| of(name).map_or(f64::NAN, Figure::median);
        let ratio = of("p50_found").and_then(Figure::ratio);
        let ratio = ratio.map_or_else(String::new, |ratio| format!("1/{:.0}", 1.0 / ratio));
        let _ = writeln!(
            out,
            "{:>9}  {:<17} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>9.3} {:>6} {:>9.0} {:>6.2} {:>9}",
            row.sat,
            row.finder.name(),
            value("p50"),
            value("p95"),
            value("p99"),
            value("max"),
            value("p50_found"),
            value("found"),
            value("fee"),
            value("parts"),
            ratio
        );
    }
    out
}

/// What the process holds of the machine's memory, MiB; 0 where the system does not say.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1_024.0
}
