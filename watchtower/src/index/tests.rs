//! The index against a plain list.

use super::*;

fn hint(seed: u64) -> Hint {
    let mut bytes = [0; 16];
    // An odd factor is a permutation, so hints differ.
    bytes[..8].copy_from_slice(&seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Hint(bytes)
}

fn place(number: u32) -> Place {
    Place { part: number / 7, offset: number }
}

fn found(index: &Index, hint: Hint) -> Vec<Place> {
    index.find(Prefix::of(&hint)).collect()
}

#[test]
fn a_prefix_survives_its_stored_form() {
    for seed in 0..100 {
        let prefix = Prefix::of(&hint(seed));
        assert_eq!(Prefix::from_bytes(prefix.to_bytes()), prefix);
    }
}

#[test]
fn what_was_inserted_is_found_and_nothing_else() {
    let mut index = Index::default();
    for number in 0..5_000_u32 {
        index.insert(Prefix::of(&hint(u64::from(number))), place(number));
    }
    assert_eq!(index.len(), 5_000);
    for number in 0..5_000_u32 {
        assert_eq!(found(&index, hint(u64::from(number))), [place(number)]);
    }
    for number in 5_000..10_000_u64 {
        assert!(found(&index, hint(number)).is_empty());
    }
}

#[test]
fn one_hint_may_have_many_records_and_they_come_in_order() {
    let mut index = Index::default();
    for number in 0..300 {
        index.insert(Prefix::of(&hint(1)), place(number));
    }
    assert_eq!(found(&index, hint(1)), (0..300).map(place).collect::<Vec<_>>());
}

#[test]
fn more_buckets_change_no_answer() {
    let mut index = Index::default();
    for number in 0..2_000_u32 {
        index.insert(Prefix::of(&hint(u64::from(number))), place(number));
    }
    for bits in [18, 20, 22, 24] {
        index.spread();
        assert_eq!(index.bits, bits);
        for number in 0..2_000_u32 {
            assert_eq!(found(&index, hint(u64::from(number))), [place(number)]);
        }
    }
}

#[test]
fn what_is_not_kept_is_not_found_and_leaves_no_memory() {
    let mut index = Index::default();
    let before = index.bytes();
    for number in 0..20_000_u32 {
        index.insert(Prefix::of(&hint(u64::from(number))), place(number));
    }
    index.retain(|place| place.part < 10);
    assert_eq!(index.len(), 70);
    assert!(found(&index, hint(70)).is_empty());
    assert_eq!(found(&index, hint(69)), [place(69)]);
    index.retain(|_| false);
    assert_eq!((index.len(), index.bytes()), (0, before));
}

#[test]
fn a_record_takes_twelve_bytes() {
    assert_eq!(size_of::<Entry>(), 12);
}
