//! What it costs a payer to upload every state that is revoked to two towers: two pairs of nodes take turns, one
//! with towers and one without.
//!
//! The towers share this machine. Their threads are named, so what they use is told apart from what the client does.

use super::Arguments;
use crate::bench::cost::cpu_time_of;
use crate::bench::figure::Figure;
use crate::bench::our_rig::OurRig;
use crate::bench::rig::{PaymentRig as _, Sample};
use daemon::rpc::node_api::NodeApi as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use watchtower::settings::Settings;
use watchtower::tower::{self, Running};
use wire::id::NodeId;

/// Satoshi of a payment: no dust, so each has an output of its own and a signature for it.
const SAT: u64 = 10_000;
/// Threads of towers begin so.
const TOWER: &str = "tower";
/// Towers that are hired.
const TOWERS: usize = 2;
/// The most payments in one sample.
const COUNT_MAX: usize = 30_000;
/// How long towers may take to catch up before the next sample.
const PATIENCE: Duration = Duration::from_secs(300);

/// Towers on a runtime of their own.
struct Towers {
    runtime: Runtime,
    running: Vec<Running>,
}

impl Towers {
    async fn start(dir: &Path, rig: &OurRig) -> Self {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(TOWERS).thread_name(TOWER).enable_all();
        let runtime = builder.build().expect("a runtime");
        let mut running = Vec::new();
        for number in 0..TOWERS {
            let mut settings = Settings::usual(&dir.join(format!("tower-{number}")));
            settings.listen = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
            settings.admin = None;
            let chain = vec![rig.layer1().backend()];
            let start =
                async move { tower::start(&settings, chain, super::loopback::now_ms).await };
            let tower = runtime.spawn(start).await.expect("no panic").expect("a tower");
            let address = tower.listen.expect("it listens").to_string();
            let id = NodeId(tower.key.serialize());
            rig.payer().handle().add_tower(id, address, false).await.expect("hired");
            running.push(tower);
        }
        Self { runtime, running }
    }

    async fn stop(self) {
        for tower in self.running {
            self.runtime.spawn(tower.stop()).await.expect("it stops");
        }
        self.runtime.shutdown_background();
    }
}

/// Waits until both towers have every state; how many were missing at first.
async fn caught_up(rig: &OurRig) -> u64 {
    let (begin, mut first) = (Instant::now(), None);
    loop {
        let (channels, _) = rig.payer().handle().tower_coverage().await.expect("coverage");
        let missing = channels.iter().map(|channel| channel.missing_copies).sum();
        let first = *first.get_or_insert(missing);
        if missing == 0 {
            return first;
        }
        assert!(begin.elapsed() < PATIENCE, "{missing} states are missing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was measured of one pair of nodes.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    cpu_ms: Vec<f64>,
    towers_ms: Vec<f64>,
}

impl Side {
    fn add(&mut self, sample: &Sample, towers: Duration) {
        let towers_ms = towers.as_secs_f64() * 1e3;
        self.rates.push(sample.rate());
        self.cpu_ms.push(sample.each(sample.cpu_ms - towers_ms));
        self.towers_ms.push(sample.each(towers_ms));
    }
}

/// Payments a second, and processor time of a payment without that of the towers, with and without them.
pub(super) async fn effect(arguments: &Arguments, dir: &Path) -> Vec<Figure> {
    let mut figures = Vec::new();
    for &window in &arguments.windows {
        let dir = |name: &str| {
            let dir = dir.join(format!("{name}-{window}"));
            std::fs::create_dir_all(&dir).expect("a directory for the rig");
            dir
        };
        let mut plain = OurRig::start(&dir("plain")).await;
        let mut watched = OurRig::start(&dir("watched")).await;
        let towers = Towers::start(&dir("towers"), &watched).await;
        // Both do the same before it counts: journals, threads and graphs are warm.
        let trial = (4 * window).clamp(20, 1_000);
        let first = plain.pay_batch(trial, window, SAT * 1_000).await;
        let _warm = watched.pay_batch(trial, window, SAT * 1_000).await;
        let count = (first.rate() * arguments.seconds as f64) as usize;
        let count = count.clamp(2 * window, COUNT_MAX);
        let (mut without, mut with, mut lags) = (Side::default(), Side::default(), Vec::new());
        for _ in 0..arguments.runs.max(1) {
            caught_up(&watched).await;
            without.add(&plain.pay_batch(count, window, SAT * 1_000).await, Duration::ZERO);
            let before = cpu_time_of(TOWER);
            let sample = watched.pay_batch(count, window, SAT * 1_000).await;
            with.add(&sample, cpu_time_of(TOWER).saturating_sub(before));
            lags.push(caught_up(&watched).await as f64);
        }
        towers.stop().await;
        Box::new(plain).stop().await;
        Box::new(watched).stop().await;
        let name = |what: &str| format!("tower.payments.w{window}.{what}");
        let (rates, cpu) = (Some(without.rates), Some(without.cpu_ms));
        figures.extend([
            Figure { name: name("rate"), unit: "1/s", samples: with.rates, peer: rates },
            Figure { name: name("client_cpu"), unit: "ms", samples: with.cpu_ms, peer: cpu },
            Figure::alone(name("towers_cpu"), "ms", with.towers_ms),
            Figure::alone(name("lag"), "states", lags),
        ]);
    }
    figures
}
