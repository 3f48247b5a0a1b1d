//! Parts: everything that can flow is found, and nothing costs more than the best of all ways to split.

use super::*;
use proptest::prelude::*;

/// The most that flows from 0 to `last`, by filling any way again and again (Ford and Fulkerson), in whole units.
fn most_that_flows(channels: &[(u64, u8, u8, u64)], last: u8) -> u64 {
    let mut room: Vec<(u8, u8, u64)> = Vec::new();
    for (_, from, to, sat) in channels {
        room.push((*from, *to, *sat));
        room.push((*to, *from, 0));
    }
    let mut flows = 0;
    loop {
        let mut came: std::collections::BTreeMap<u8, usize> = [(0, usize::MAX)].into();
        let mut open = vec![0];
        while let Some(node) = open.pop() {
            for (place, (from, to, left)) in room.iter().enumerate() {
                if *from == node && *left > 0 && !came.contains_key(to) {
                    came.insert(*to, place);
                    open.push(*to);
                }
            }
        }
        if !came.contains_key(&last) {
            return flows;
        }
        let mut node = last;
        let mut way = Vec::new();
        while node != 0 {
            way.push(came[&node]);
            node = room[came[&node]].0;
        }
        let least = way.iter().map(|place| room[*place].2).min().unwrap();
        for place in way {
            room[place].2 -= least;
            room[place ^ 1].2 += least;
        }
        flows += least;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_can_flow_is_found_and_what_cannot_is_cut_at_exactly_that(seed: u64) {
        let mut dice = Dice(seed);
        let mut channels = Vec::new();
        for number in 1..=14 {
            let (a, b) = (dice.below(6) as u8, dice.below(6) as u8);
            if a != b {
                channels.push((number, a, b, 1_000 * (1 + dice.below(9))));
            }
        }
        let free = policy(0, 0, 1);
        let with: Vec<_> = channels.iter().map(|(n, a, b, sat)| (*n, *a, *b, *sat, free)).collect();
        let snapshot = graph(&with).snapshot();
        let most = most_that_flows(&channels, 5);
        let ask = |sat: u64| Request {
            max_parts: 32,
            ..Request::new(node(0), node(5), msat(sat * 1_000))
        };
        if most > 0 {
            let routes = flow(&snapshot, &Scorer::default(), &ask(most), 0);
            let routes = routes.map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(check(&snapshot, &ask(most), &routes), Ok(()));
        }
        let more = find(&snapshot, &Scorer::default(), &ask(most + 1), 0);
        match more {
            Err(NoRoute::Cut { can, .. }) => prop_assert!(can.to_u64() >= most * 1_000 && can.to_u64() < (most + 1) * 1_000),
            Err(NoRoute::UnknownDestination(_)) => prop_assert_eq!(most, 0),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn parts_cost_no_more_than_the_best_of_all_splits(seed: u64) {
        // Ways side by side, each a channel in and a channel out, with fees that grow with the amount alone.
        let mut dice = Dice(seed);
        let ways = 2 + dice.below(3);
        let mut channels = Vec::new();
        let mut offers = Vec::new();
        for way in 0..ways {
            let (middle, ppm) = (10 + way as u8, 100 * dice.below(60));
            let units = 1 + dice.below(6);
            channels.push((2 * way + 1, 0, middle, 100_000, policy(0, 0, 1)));
            let mut out = policy(0, u32::try_from(ppm).unwrap(), 1);
            out.htlc_maximum = msat(units * 1_000_000);
            channels.push((2 * way + 2, middle, 5, 100_000, out));
            offers.push((ppm, units));
        }
        let snapshot = graph(&channels).snapshot();
        let total: u64 = offers.iter().map(|(_, units)| units).sum();
        let wanted = 1 + dice.below(total);
        // The cheapest split takes the cheapest offers first.
        offers.sort_unstable();
        let (mut left, mut best) = (wanted, 0);
        for (ppm, units) in offers {
            let taken = left.min(units);
            best += taken * ppm;
            left -= taken;
        }
        let request = Request {
            max_parts: 8,
            fee_limit: msat(wanted * 1_000_000),
            ..Request::new(node(0), node(5), msat(wanted * 1_000_000))
        };
        let config = ScoreConfig {
            doubt_msat: 0, doubt_millionths: 0, hop_msat: 0, hop_millionths: 0, lock_billionths: 0,
            ..ScoreConfig::default()
        };
        let routes = flow(&snapshot, &Scorer::new(config), &request, 0).unwrap();
        prop_assert_eq!(check(&snapshot, &request, &routes), Ok(()));
        prop_assert!(routes.fee.to_u64() <= best, "{} above {best}", routes.fee);
    }
}
