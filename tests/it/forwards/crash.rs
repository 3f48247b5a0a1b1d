//! The node in the middle dropped in the middle of forwards, again and again: none is lost, none is doubled.

use std::time::{Duration, Instant};

use daemon::rpc::model::forward::Forward;
use daemon::rpc::model::payment::PaymentStatus;
use daemon::rpc::model::peer::ConnectPeer;
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

/// Moments of bob's journal at which he dies in a forward, and at which he dies again while he recovers.
const DEATHS: [(u64, u64); 7] = [(1, 0), (3, 1), (5, 2), (7, 5), (9, 3), (12, 1), (15, 4)];

/// What the channels, the forward and the payment say of one HTLC comes from one disk: they cannot be of different ages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c37_a_death_at_a_write_and_another_while_it_recovers_leave_nothing_apart() {
    in_time(async {
        let mut line = Line::start().await;
        let (mut bobs, mut settled) = (line.bobs_msat().await, 0);
        for (number, (first, second)) in (0..).zip(DEATHS) {
            let msat = 2_000_000 + number;
            line.alice.usable(line.first).await;
            line.bob.usable(line.second).await;
            let via = line.via(fee(msat), DELTA).await;
            line.bob.fail_at_moment(first);
            let hash = line.begin(msat, via).await;
            die(&line).await;
            line.bob = line.bob.crash_and_restart().await;
            line.bob.fail_at_moment(second);
            meet(&line).await;
            die(&line).await;
            line.bob = line.bob.crash_and_restart().await;
            meet(&line).await;
            let status = line.alice.outcome(hash).await;
            let succeeded = matches!(status, PaymentStatus::Succeeded { .. });
            assert_eq!(line.carol.settled(hash).await, succeeded.then_some(msat), "{status:?}");
            line.quiet().await;
            if succeeded {
                bobs += fee(msat);
                settled += 1;
            }
            assert_eq!(line.bobs_msat().await, bobs, "deaths at {first} and {second}");
            let ended = |all: &[Forward]| all.iter().all(|one| one.ended.is_some());
            line.told("every forward to end", ended).await;
            let sums = line.bob.handle().info().await.expect("answers").forwarded;
            assert_eq!(sums.settled, settled, "deaths at {first} and {second}");
        }
        assert!(settled > 0, "some came through");
    })
    .await;
}

/// Waits until bob dies, or writes nothing more.
async fn die(line: &Line) {
    let (mut last, mut since) = (line.bob.journal_stats().records, Instant::now());
    while !line.bob.has_failed() && since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = line.bob.journal_stats().records;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// Bob's neighbours find him again; he may die of that.
async fn meet(line: &Line) {
    let connect = |node: wire::id::NodeId, address: std::net::SocketAddr| ConnectPeer {
        node,
        address: Some(address.to_string()),
        timeout_ms: 3_000,
    };
    let (bob, carol) = (&line.bob, &line.carol);
    let _dead = line.alice.handle().connect_peer(connect(bob.id(), bob.address())).await;
    let _dead = bob.handle().connect_peer(connect(carol.id(), carol.address())).await;
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
        let ended = |all: &[Forward]| all.iter().all(|one| one.ended.is_some());
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
