//! A node dies at each single moment of its journal while a channel ends, and every satoshi comes home.
//!
//! A record has two moments: the first is before it is written, the second when it is durable and nobody has heard
//! of it. A cell is an end, who closes, the fees, a set of HTLCs, and who dies; its moments are played one after the
//! other until a run ends before the next one came. CI plays a slice. `VIADUCT_DISPUTE_KILLS=0..120` plays all
//! moments of all cells, `7..8` those of one; with `VIADUCT_DISPUTE_KILLS_AT=31..34` these moments of each alone;
//! `VIADUCT_DISPUTE_KILLS_STRIDE=25` lets the node die again 25 moments after each start, so that as many runs cover a cell.

use std::ops::Range;
use std::time::{Duration, Instant};

use viaduct_tests::dispute::Who;

use super::scenario::{EVERY_HTLC, End, Scenario, Trouble};

/// Ends, sides, fees, sets of HTLCs, and who dies.
const CELLS: u64 = 5 * 2 * 2 * 3 * 2;

/// How long a run may take that starts a node once.
const LIMIT: Duration = Duration::from_secs(400);

/// So many moments no run has.
const MOMENTS_MAX: u64 = 4_000;

fn scenario(cell: u64, moment: u64, again: Option<u64>) -> Scenario {
    let side = |bit: u64| if bit.is_multiple_of(2) { Who::Funder } else { Who::Fundee };
    let end = End::ALL[(cell % 5) as usize];
    let by = side(cell / 15);
    let htlcs = match cell % 3 {
        0 => EVERY_HTLC.to_vec(),
        1 => EVERY_HTLC.into_iter().filter(|(from, ..)| *from == by).collect(),
        _ => EVERY_HTLC.into_iter().filter(|(from, ..)| *from != by).collect(),
    };
    let spike = (cell / 30) % 2 == 1;
    let trouble = Trouble::KillAt { who: side(cell / 60), moment, again };
    Scenario { end, by, htlcs, spike, trouble }
}

/// Plays one moment of a cell; whether it came.
async fn dies(cell: u64, moment: u64, again: Option<u64>) -> bool {
    let scenario = scenario(cell % CELLS, moment, again);
    println!("{cell} at {moment}: {scenario:?}");
    let start = Instant::now();
    let limit = if again.is_some() { 3 * LIMIT } else { LIMIT };
    let played = tokio::time::timeout(limit, scenario.play_counting()).await;
    let (account, deaths) = played.expect("it ends in time");
    println!("{cell} at {moment}: {:?}, deaths {deaths:?}, {account:?}", start.elapsed());
    deaths != [0; 2]
}

/// These moments of every cell, or all until one does not come.
async fn all(cells: Range<u64>, moments: Range<u64>, stride: Option<u64>) {
    for cell in cells {
        let mut moment = moments.start;
        let end = moments.end.min(stride.map_or(u64::MAX, |stride| moment + stride));
        while moment < end && dies(cell, moment, stride).await {
            moment += 1;
        }
        println!("{cell}: moments {}..{moment} of at most {end} are played", moments.start);
        assert!(moment < MOMENTS_MAX, "it writes for ever");
    }
}

/// A range from the environment.
fn told(name: &str) -> Option<Range<u64>> {
    std::env::var(name).ok().map(|text| range(&text))
}

fn range(text: &str) -> Range<u64> {
    let (from, to) = text.split_once("..").expect("a range");
    let number = |text: &str| -> u64 { text.parse().expect("a number") };
    number(from)..number(to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_write_of_any_end_costs_nobody_anything() {
    super::logged();
    if let Some(cells) = told("VIADUCT_DISPUTE_KILLS") {
        let moments = told("VIADUCT_DISPUTE_KILLS_AT").unwrap_or(1..MOMENTS_MAX);
        let stride = std::env::var("VIADUCT_DISPUTE_KILLS_STRIDE").ok();
        let stride = stride.map(|text| text.parse().expect("a number"));
        return all(cells, moments, stride).await;
    }
    // A slice: each end once, both sides, and moments of the beginning, where most is decided.
    for (cell, moment) in [(0, 7), (76, 4), (47, 12), (18, 9), (109, 20)] {
        assert!(dies(cell, moment, None).await, "it lives on");
    }
}
