//! BOLT 4 § Test Vector (Returning success), and faults of our own.

use super::*;
use crate::onion::sphinx::shared_secrets;
use crate::onion::vectors::{array, json, list, point, secret};
use proptest::prelude::*;

fn secrets(count: u8) -> Vec<SharedSecret> {
    (1..=count).map(|byte| SharedSecret::new([byte; 32])).collect()
}

fn hold_time(hop: usize) -> HoldTime {
    HoldTime(u32::try_from(hop).unwrap() + 1)
}

/// From the last hop to the first.
fn fulfilled(secrets: &[SharedSecret]) -> AttributionData {
    let (last, before) = secrets.split_last().unwrap();
    let start = fulfil(None, last, hold_time(before.len()));
    before
        .iter()
        .enumerate()
        .rev()
        .fold(start, |data, (hop, secret)| fulfil(Some(&data), secret, hold_time(hop)))
}

#[test]
fn bolt_4_returning_success_vector() {
    let test = json(include_str!("../../../vectors/bolt04/attribution-test.json"));
    let nodes: Vec<_> = list(&test["pubkeys"]).iter().map(point).collect();
    let secrets = shared_secrets(&secret(&test["session_key"]), &nodes).unwrap();
    let mut data: Option<AttributionData> = None;
    for (step, expected) in list(&test["success"]).iter().enumerate() {
        let hop = 4 - step;
        // The text numbers hold times from the first hop; its bytes number them from the last.
        let made = fulfil(data.as_ref(), &secrets[hop], hold_time(step));
        assert!(made == AttributionData::from(array(expected)), "hop {hop}");
        data = Some(made);
    }
    assert_eq!(read_fulfilled(&data.unwrap(), &secrets), [5, 4, 3, 2, 1].map(HoldTime));
}

#[test]
fn the_triangle_has_210_cells() {
    let mut seen: Vec<_> =
        (0..20).flat_map(|row| (0..20 - row).map(move |left| cell(row, left).unwrap())).collect();
    // BOLT 4: "`hmac_0_2` | `hmac_0_1`| `hmac_0_0`| `hmac_1_1`| `hmac_1_0`| `hmac_2_0`": rows in order, most hops first.
    assert_eq!(
        (cell(0, 19), cell(0, 0), cell(1, 18), cell(19, 0)),
        (Some(0), Some(19), Some(20), Some(209))
    );
    seen.sort_unstable();
    assert_eq!(seen, (0..210).collect::<Vec<_>>());
    for outside in [(0, 20), (1, 19), (19, 1), (20, 0), (usize::MAX, 0)] {
        assert_eq!(cell(outside.0, outside.1), None);
    }
}

#[test]
fn twenty_hops_are_proven_and_more_are_not() {
    for hops in [1, 2, 19, 20] {
        let secrets = secrets(hops);
        let expected: Vec<_> = (0..secrets.len()).map(hold_time).collect();
        assert_eq!(read_fulfilled(&fulfilled(&secrets), &secrets), expected);
    }
    let secrets = secrets(21);
    assert_eq!(read_fulfilled(&fulfilled(&secrets), &secrets), []);
}

#[test]
fn a_changed_hold_time_is_seen_from_there_on() {
    let secrets = secrets(6);
    for liar in 0..6 {
        let data = secrets[liar..].split_last().map(|_| fulfilled(&secrets[liar..])).unwrap();
        let mut bytes = *data.0;
        // The slot of the hop behind the liar, or its own if it is the last.
        bytes[4] ^= 1;
        let data = (0..liar).rev().fold(AttributionData::from(bytes), |data, hop| {
            fulfil(Some(&data), &secrets[hop], hold_time(hop))
        });
        let proven = read_fulfilled(&data, &secrets);
        assert_eq!(proven.len(), if liar == 5 { 6 } else { liar }, "liar {liar}");
    }
}

#[test]
fn hold_times_count_tenths_of_a_second() {
    assert_eq!(HoldTime::from_millis(399), HoldTime(3));
    assert_eq!(HoldTime(3).as_millis(), 300);
    assert_eq!(HoldTime::from_millis(u64::MAX), HoldTime(u32::MAX));
}

#[test]
fn shifting_back_restores_all_but_the_longest_route() {
    let mut block = Block::from_wire(&fulfilled(&secrets(3)));
    let before = block.clone();
    block.shift();
    block.unshift();
    for row in 0..20 {
        for left in 0..20 - row {
            let kept = if left == 19 - row { [0; 4] } else { before.hmac(row, left) };
            assert_eq!(block.hmac(row, left), kept, "{row} {left}");
        }
    }
    assert_eq!(block.hold_times[..76], before.hold_times[..76]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_changed_bit_shortens_the_trail_or_is_not_read(at in 0..920_usize, bit in 0..8_u8) {
        let secrets = secrets(4);
        let mut bytes = *fulfilled(&secrets).0;
        bytes[at] ^= 1 << bit;
        let proven = read_fulfilled(&AttributionData::from(bytes), &secrets);
        let expected: Vec<_> = (0..4).map(hold_time).collect();
        prop_assert!(expected.starts_with(&proven));
    }
}
