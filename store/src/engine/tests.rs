//! Every engine is the same sorted map.

use proptest::prelude::*;

use super::*;

type Ask = (Vec<u8>, Option<Vec<u8>>);

fn same(engines: &[&dyn Engine], batches: &[Vec<Ask>], (from, to): (&[u8], &[u8])) {
    let mut model = BTreeMap::new();
    for changes in batches {
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key.clone(), value.clone()).unwrap(),
                None => batch.remove(key.clone()),
            }
        }
        for (key, value) in batch.changes() {
            match value {
                Some(value) => model.insert(key.to_vec(), value.to_vec()),
                None => model.remove(key),
            };
        }
        engines.iter().for_each(|engine| engine.apply(&batch).unwrap());
    }
    for engine in engines {
        let unbounded = (Bound::Unbounded, Bound::Unbounded);
        let all = engine.range(unbounded, Order::Ascending, usize::MAX).unwrap();
        assert!(all.iter().map(|(k, v)| (k, v)).eq(&model));
        let last = engine.range(unbounded, Order::Descending, 3).unwrap();
        assert!(last.iter().map(|(k, v)| (k, v)).eq(model.iter().rev().take(3)));
        let bounds = (Bound::Excluded(from), Bound::Included(to));
        let found = engine.range(bounds, Order::Ascending, 10).unwrap();
        let expected =
            model.iter().filter(|(k, _)| k.as_slice() > from && k.as_slice() <= to).take(10);
        assert!(found.iter().map(|(k, v)| (k, v)).eq(expected));
        assert_eq!(engine.get(from).unwrap().as_ref(), model.get(from));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_engines_agree_with_a_sorted_map(
        batches in prop::collection::vec(
            prop::collection::vec(
                (prop::collection::vec(0..4_u8, 0..4),
                 prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..30))), 0..12), 0..8),
        from in prop::collection::vec(0..4_u8, 0..4),
        to in prop::collection::vec(0..4_u8, 0..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let sled = SledEngine::open(directory.path()).unwrap();
        same(&[&MemoryEngine::new(), &sled], &batches, (&from, &to));
    }
}

#[test]
fn values_at_the_limit_stay_in_the_log_and_one_above_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = SledEngine::open(directory.path()).unwrap();
    for round in 0..12_u8 {
        let mut batch = Batch::new();
        for key in 0..60_u8 {
            let key = [vec![1, key.wrapping_mul(round)], vec![0; MAX_KEY_BYTES - 2]].concat();
            batch.put(key, vec![round; MAX_VALUE_BYTES]).unwrap();
        }
        for refused in [
            batch.put(vec![2], vec![0; MAX_VALUE_BYTES + 1]),
            batch.put(vec![2; MAX_KEY_BYTES + 1], vec![]),
        ] {
            assert!(matches!(refused, Err(EngineError::TooLarge { .. })));
        }
        engine.apply(&batch).unwrap();
        engine.sync().unwrap();
    }
    let blobs = std::fs::read_dir(directory.path().join("blobs")).unwrap().count();
    assert_eq!(blobs, 0, "files that sled never syncs");
}
