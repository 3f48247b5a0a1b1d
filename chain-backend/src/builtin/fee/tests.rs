//! What every estimate keeps to, whatever waits and whatever was.

use super::*;
use crate::builtin::mempool::Mempool;
use crate::builtin::policy::Policy;
use bitcoin::hashes::Hash as _;
use proptest::prelude::*;

fn rates() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(prop_oneof![Just(0), 1_000_u64..500_000], 0..160)
}

proptest! {
    #[test]
    fn an_estimate_keeps_to_its_bounds(mut projected in rates(), needed in rates(), floor in 100_u64..50_000) {
        projected.truncate(PROJECTED_BLOCKS);
        let of = |mode| estimates(&projected, &needed, floor, mode);
        let (cautious, thrifty) = (of(FeeMode::Conservative), of(FeeMode::Economical));
        let highest = projected.iter().chain(&needed).copied().max().unwrap_or(0).max(floor);
        for (target, dear) in &cautious {
            let cheap = thrifty[target];
            prop_assert!(floor <= cheap && cheap <= *dear && *dear <= highest);
            // What waits now is not underbid by anybody.
            let blocks = usize::from(*target);
            let now = (0..blocks).map(|place| projected.get(place).copied().unwrap_or(0)).min().unwrap();
            prop_assert!(cheap >= now);
        }
        for table in [&cautious, &thrifty] {
            let rates: Vec<u64> = table.values().copied().collect();
            prop_assert!(rates.is_sorted_by(|one, later| one >= later), "who waits longer pays no more");
        }
    }

    #[test]
    fn what_happened_long_ago_counts_less(dear in 10_000_u64..90_000, cheap in 1_000_u64..9_000, run in 20_usize..70) {
        let rising = [vec![cheap; run], vec![dear; run]].concat();
        let falling = [vec![dear; run], vec![cheap; run]].concat();
        prop_assert!(past_of(&rising, 1) >= past_of(&falling, 1));
        let calm = [vec![dear; 20], vec![cheap; 124]].concat();
        prop_assert_eq!(past_of(&calm, 1), cheap, "a rush that is over is forgotten within a day");
    }
}

#[test]
fn where_nothing_is_known_nothing_is_told() {
    let mempool = Mempool::new(Policy::default());
    let mut fees = FeeHistory::default();
    let idle = [Taken { needed_sat_kvb: 0, paid: false }; 20];
    for mode in [FeeMode::Conservative, FeeMode::Economical] {
        let table = fees.table(&mempool, &idle, mode);
        assert!(table.targets.values().all(Option::is_none));
    }
    let paid = [Taken { needed_sat_kvb: 0, paid: true }];
    let table = fees.table(&mempool, &paid, FeeMode::Conservative);
    assert!(table.targets.values().all(|rate| *rate == Some(table.floor())));
    // By hand: just what was said, also that nobody knows.
    fees.fix([(3, FeeRate::from_sat_per_vb(9)), (12, None)].into());
    let table = fees.table(&mempool, &[], FeeMode::Economical);
    assert_eq!(
        [table.estimate(3), table.estimate(6), table.estimate(12)],
        [FeeRate::from_sat_per_vb(9), FeeRate::from_sat_per_vb(9), None]
    );
    fees.fix(BTreeMap::new());
    assert_eq!(fees.table(&mempool, &idle, FeeMode::Economical).estimate(3), None);
}

#[test]
fn own_templates_are_remembered_and_forgotten() {
    let mut fees = FeeHistory::default();
    let hash = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        BlockHash::from_byte_array(bytes)
    };
    for number in 0..2_000 {
        fees.mined(hash(number), &Template { fees_sat: 5, ..Template::default() });
    }
    assert_eq!(fees.taken(hash(1_999)), Some(Taken { needed_sat_kvb: 0, paid: true }));
    assert_eq!((fees.taken(hash(0)), fees.templates.len()), (None, TEMPLATES_MAX));
}

/// A market: each block takes the ten best of what waits; so many come before each.
fn rush() -> Vec<Vec<u64>> {
    let phases: [(usize, &[(usize, u64)]); 4] = [
        (6, &[(3, 1_000), (2, 5_000)]),
        (6, &[(8, 3_000), (8, 20_000), (6, 60_000)]),
        (10, &[(6, 4_000), (6, 30_000), (8, 90_000)]),
        (60, &[(2, 1_500), (3, 6_000)]),
    ];
    let mut arrivals = Vec::new();
    for (blocks, groups) in phases {
        for block in 0..blocks {
            let one = groups.iter().flat_map(|(count, rate)| {
                (0..*count)
                    .map(move |place| rate * (100 + (block * 7 + place * 13) as u64 % 40) / 100)
            });
            arrivals.push(one.collect());
        }
    }
    arrivals
}

#[test]
fn whoever_pays_the_estimate_gets_in_in_time_even_in_a_rush() {
    let arrivals = rush();
    let (mut waiting, mut needed): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut tries: BTreeMap<u16, (u32, u32)> = BTreeMap::new();
    for (at, arrived) in arrivals.iter().enumerate() {
        waiting.extend(arrived);
        waiting.sort_unstable_by(|one, other| other.cmp(one));
        let full = waiting.chunks(10).map(|block| block.len() == 10).collect::<Vec<_>>();
        let projected: Vec<u64> = (waiting.chunks(10).zip(1..).take(PROJECTED_BLOCKS))
            .map(
                |(block, next)| {
                    if next < full.len() { block[block.len() - 1] * 11 / 10 } else { 0 }
                },
            )
            .collect();
        for (target, rate) in estimates(&projected, &needed, 1_000, FeeMode::Conservative) {
            if at + usize::from(target) > arrivals.len() {
                continue;
            }
            let (good, all) = tries.entry(target).or_default();
            *all += 1;
            *good += u32::from(gets_in(&waiting, &arrivals[at + 1..], rate, target));
        }
        let taken: Vec<u64> = waiting.drain(..waiting.len().min(10)).collect();
        needed.push(if waiting.is_empty() { 0 } else { taken[9] });
    }
    assert!(tries.len() >= 5);
    for (target, (good, all)) in tries {
        assert!(good * 100 >= all * 75, "{target} blocks: {good} of {all}");
    }
}

fn gets_in(waiting: &[u64], coming: &[Vec<u64>], rate: u64, target: u16) -> bool {
    let mut waiting = waiting.to_vec();
    for next in 0..usize::from(target) {
        if waiting.iter().filter(|other| **other >= rate).count() < 10 {
            return true;
        }
        waiting.drain(..10);
        waiting.extend(coming.get(next).into_iter().flatten());
        waiting.sort_unstable_by(|one, other| other.cmp(one));
    }
    false
}

#[test]
fn a_rush_is_replayed_block_by_block_and_ends() {
    let spike = FeeReplay::spike();
    assert_eq!(spike.blocks(), 151);
    let first = |blocks: u32| spike.at(blocks).and_then(|step| step.targets[&1]);
    let all: Vec<FeeRate> = (0..spike.blocks()).map_while(first).collect();
    assert_eq!(all.len(), 151);
    let peak = all.iter().max().unwrap();
    assert_eq!(*peak, FeeRate::from_sat_per_vb(420).unwrap());
    let (up, down) = all.split_at(all.iter().position(|rate| rate == peak).unwrap());
    assert!(up.is_sorted() && down.is_sorted_by(|one, later| one >= later));
    assert!(spike.at(151).is_none());
    for step in (0..151).filter_map(|blocks| spike.at(blocks)) {
        let rates: Vec<_> = step.targets.values().flatten().collect();
        assert!(rates.is_sorted_by(|one, later| one >= later) && step.floor.is_some());
    }
}

#[test]
fn a_script_is_read_with_its_gaps_and_a_bad_line_is_named() {
    let text = "# calm\n2 1=5 6=-  # nobody knows\n\n1 2=7 floor=3\n";
    let replay: FeeReplay = text.parse().unwrap();
    assert_eq!(replay.at(1).unwrap().targets[&6], None);
    assert_eq!(replay.at(2).unwrap().floor, FeeRate::from_sat_per_vb(3));
    assert_eq!((replay.at(3), replay.blocks()), (None, 3));
    for (text, line, word) in [
        ("x 1=5", 1, "x"),
        ("\n0 1=5", 2, "0"),
        ("1", 1, "1"),
        ("1 1", 1, "1"),
        ("1 0=5", 1, "0=5"),
        ("1 1=0", 1, "1=0"),
        ("1 2000=5", 1, "2000=5"),
        ("1 1=5 floor=x", 1, "floor=x"),
        ("1 1=99999999999999999999", 1, "1=99999999999999999999"),
    ] {
        let error = text.parse::<FeeReplay>().unwrap_err();
        assert_eq!((error.line, error.word.as_str()), (line, word), "{text}");
    }
}
