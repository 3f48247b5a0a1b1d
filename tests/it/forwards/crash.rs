//! The node in the middle dropped in the middle of forwards, again and again: none is lost, none is doubled.

use std::time::{Duration, Instant};

use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::node_api::NodeApi as _;

use super::line::{DELTA, Line, fee};
use crate::nodes::pair::in_time;

/// Crashes of one story, unless `VIADUCT_CRASHES` says otherwise.
const CRASHES: u64 = 40;

/// After so long nothing more is written.
const QUIET: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c31_crashes_with_forwards_in_flight_lose_nothing_and_double_nothing() {
    in_time(story()).await;
}

async fn story() {
    let crashes = std::env::var("VIADUCT_CRASHES").ok().and_then(|text| text.parse().ok());
    let mut line = Line::start().await;
    let before = line.bobs_msat().await;
    let (mut begun, mut settled, mut fees, mut arrived) = (0, 0, 0, 0);
    for round in 0..crashes.unwrap_or(CRASHES) {
        let mut hashes = Vec::new();
        let wanted = line.bob.journal_stats().records + round;
        for number in 0..6 {
            // Dust among them.
            let msat = [200_000, 1_000_000, 3_000_000][number % 3] + round * 7 + number as u64;
            let via = line.via(fee(msat), DELTA).await;
            hashes.push((msat, line.begin(msat, via).await));
            begun += 1;
        }
        // From nothing written to all written, so that every record of bob's is once the last.
        let patience = Instant::now();
        while line.bob.journal_stats().records < wanted && patience.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        line.bob = line.bob.crash_and_restart().await;
        line.alice.connect(line.bob.id(), line.bob.address()).await;
        line.bob.connect(line.carol.id(), line.carol.address()).await;
        line.alice.usable(line.first).await;
        line.bob.usable(line.second).await;
        for (msat, hash) in hashes {
            let status = line.alice.outcome(hash).await;
            let succeeded = matches!(status, PaymentStatus::Succeeded { .. });
            let received = line.carol.settled(hash).await;
            assert_eq!(received, succeeded.then_some(msat), "crash {round}: {status:?}");
            if succeeded {
                settled += 1;
                fees += fee(msat);
                arrived += msat;
            }
        }
        line.quiet().await;
        assert_eq!(line.bobs_msat().await, before + fees, "crash {round}");
        let ended = |all: &[daemon::rpc::model::forward::Forward]| {
            all.iter().all(|one| one.ended.is_some())
        };
        line.told("every forward to end", ended).await;
        let sums = line.bob.handle().info().await.expect("answers").forwarded;
        assert_eq!(
            (sums.settled, sums.fees_msat, sums.forwarded_msat),
            (settled, fees, arrived),
            "crash {round}"
        );
    }
    println!("{settled} forwards settled of {begun}, {fees} msat earned");
}
