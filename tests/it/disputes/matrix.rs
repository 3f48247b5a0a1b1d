//! All ways a channel can end, times all that can go wrong: a slice of them in every run, all on demand.
//!
//! `VIADUCT_DISPUTE_SEEDS=0..420` plays all of them, `7..8` one, again. Not here: a death at each single write (`disputes/kills`).

use std::ops::Range;
use std::time::Duration;

use viaduct_tests::dispute::Who;

use super::scenario::{EVERY_HTLC, End, Scenario, Trouble};

/// What can go wrong.
const TROUBLES: [Trouble; 7] = [
    Trouble::Crashes { who: Who::Fundee, records: 1 },
    Trouble::Reorgs { depth: 3 },
    Trouble::Crashes { who: Who::Funder, records: 2 },
    Trouble::Reorgs { depth: 20 },
    Trouble::None,
    Trouble::Reorgs { depth: 1 },
    Trouble::Reorgs { depth: 6 },
];

/// All there are: ends, sides, troubles, fees, and three sets of HTLCs.
const ALL: u64 = 5 * 2 * 7 * 2 * 3;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(400);

/// The scenario of a seed. Neighbours differ in everything: the bounds have no common factor but for the
/// sides and fees, which are turned on the way.
fn scenario(seed: u64) -> Scenario {
    let pick = |bound: u64| seed % bound;
    let end = End::ALL[pick(5) as usize];
    let trouble = TROUBLES[pick(7) as usize];
    let by = if (seed / 105) % 2 == seed % 2 { Who::Funder } else { Who::Fundee };
    let spike = (seed / 210) % 2 == (seed / 2) % 2;
    let htlcs = match pick(3) {
        0 => EVERY_HTLC.to_vec(),
        1 => EVERY_HTLC.into_iter().filter(|(from, ..)| *from == by).collect(),
        _ => EVERY_HTLC.into_iter().filter(|(from, ..)| *from != by).collect(),
    };
    Scenario { end, by, htlcs, spike, trouble }
}

async fn play(seeds: Range<u64>) {
    for seed in seeds {
        let scenario = scenario(seed % ALL);
        println!("{seed}: {scenario:?}");
        let account = tokio::time::timeout(LIMIT, scenario.play()).await;
        println!("{seed}: {:?}", account.expect("it ends in time"));
    }
}

/// The seeds of a slice, or those the environment wants (in one test then).
fn wanted(slice: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("VIADUCT_DISPUTE_SEEDS") else { return slice };
    if slice.start > 0 {
        return 0..0;
    }
    let (from, to) = text.split_once("..").unwrap_or(("0", &text));
    let number = |text: &str| text.parse().expect("a number or a range of numbers");
    number(from)..number(to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_gives_everybody_what_is_his_whatever_goes_wrong_first_slice() {
    super::logged();
    play(wanted(0..7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_gives_everybody_what_is_his_whatever_goes_wrong_second_slice() {
    super::logged();
    play(wanted(109..115)).await;
}
