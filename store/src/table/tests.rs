//! Tests of `table`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::MemoryEngine;

#[derive(Clone, Debug, Eq, PartialEq)]
struct Note(Vec<u8>);

impl Value for Note {
    const KIND: u16 = 9;
    const VERSION: u16 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(version: u16, bytes: &[u8]) -> Option<Self> {
        // Version 1 had its bytes the other way round.
        let bytes = bytes.iter().copied();
        Some(Self(if version == 1 { bytes.rev().collect() } else { bytes.collect() }))
    }
}

type Notes = Table<(u64, [u8; 2]), Note>;
const NOTES: Notes = Table::new(255);
const OTHERS: Notes = Table::new(254);

fn stored(bytes: Vec<u8>) -> Result<Option<Note>, TableError> {
    let engine = MemoryEngine::new();
    let mut batch = Batch::new();
    batch.put(NOTES.key(&(1, *b"ab")), bytes)?;
    engine.apply(&batch)?;
    NOTES.get(&engine, &(1, *b"ab"))
}

#[test]
fn older_versions_are_read_newer_and_foreign_ones_refused() {
    let seal = |kind, version| envelope::seal(kind, version, b"abc").unwrap();
    assert_eq!(stored(seal(9, 1)).unwrap(), Some(Note(b"cba".to_vec())));
    assert_eq!(stored(seal(9, 2)).unwrap(), Some(Note(b"abc".to_vec())));
    assert!(matches!(stored(seal(9, 3)), Err(TableError::Newer { kind: 9, version: 3 })));
    let foreign = EnvelopeError::Kind { wanted: 9, found: 8 };
    assert!(matches!(stored(seal(8, 2)), Err(TableError::Envelope(error)) if error == foreign));
}

#[test]
fn any_flipped_bit_of_a_stored_value_is_noticed() {
    let sealed = envelope::seal(9, 2, b"some money").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut bytes = sealed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(stored(bytes).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(stored(sealed[..length].to_vec()).is_err(), "cut to {length}");
    }
}

#[test]
fn the_envelope_of_version_1_is_read_for_ever() {
    let bytes = [
        0x1c, 0xdd, 0x63, 0x59, 0x07, 0x00, 0x01, 0x00, 0x07, 0x00, 0x00, 0x00, b's', b'e', b't',
        b't', b'l', b'e', b'd',
    ];
    assert_eq!(envelope::open(&bytes, 7), Ok((1, b"settled".as_slice())));
    assert_eq!(envelope::seal(7, 1, b"settled").unwrap(), bytes);
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let mut batch = Batch::new();
    let error = NOTES.put(&mut batch, &(1, *b"ab"), &Note(vec![0; 16 << 10])).unwrap_err();
    assert!(matches!(error, TableError::Engine(EngineError::TooLarge { .. })));
    assert!(batch.is_empty());
}

proptest! {
    #[test]
    fn pages_in_both_orders_give_every_entry_once_and_sorted(
        entries in prop::collection::btree_map(
            (any::<u64>(), any::<[u8; 2]>()), prop::collection::vec(any::<u8>(), 0..40), 0..60),
        limit in 1..9_usize,
        descending in any::<bool>(),
    ) {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for (key, bytes) in &entries {
            NOTES.put(&mut batch, key, &Note(bytes.clone())).unwrap();
            OTHERS.put(&mut batch, key, &Note(vec![])).unwrap();
        }
        engine.apply(&batch).unwrap();
        let order = if descending { Order::Descending } else { Order::Ascending };
        let mut found = Vec::new();
        loop {
            let after = found.last().map(|(key, _): &(_, Note)| *key);
            let page = NOTES.page(&engine, after.as_ref(), order, limit).unwrap();
            prop_assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let mut expected: Vec<_> = entries.into_iter().map(|(key, bytes)| (key, Note(bytes))).collect();
        if descending {
            expected.reverse();
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_range_is_what_a_sorted_map_says(
        keys in prop::collection::btree_set(0..50_u64, 0..30), from in 0..50_u64, to in 0..50_u64,
    ) {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        let mut map = BTreeMap::new();
        for key in keys {
            NOTES.put(&mut batch, &(key, [0; 2]), &Note(vec![])).unwrap();
            map.insert(key, ());
        }
        engine.apply(&batch).unwrap();
        let bounds = (Bound::Included(&(from, [0; 2])), Bound::Excluded(&(to, [0; 2])));
        let found = NOTES.range(&engine, bounds, Order::Ascending, 100).unwrap();
        let found: Vec<u64> = found.into_iter().map(|((key, _), _)| key).collect();
        let expected: Vec<u64> = map.keys().copied().filter(|key| (from..to).contains(key)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn taking_any_bytes_out_of_an_envelope_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = envelope::open(&bytes, 7);
    }
}
