//! Tests of `index`.

mod churn;
mod damage;

use std::collections::BTreeMap;
use std::ops::Bound;

use super::*;
use crate::engine::Order;

/// What an index holds, without its own keys.
pub(super) fn content(engine: &dyn Engine) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, EngineError> {
    let from = Bound::Included([1].as_slice());
    let found = engine.range((from, Bound::Unbounded), Order::Ascending, usize::MAX)?;
    Ok(found.into_iter().collect())
}

/// What the record `seq` changes: some of fifty keys.
pub(super) fn change(seq: u64) -> Batch {
    let mut batch = Batch::new();
    for key in 0..3 {
        let key = vec![1, (seq.wrapping_mul(31).wrapping_add(key * 17) % 50) as u8];
        let fill = vec![seq as u8; 20 + (seq % 900) as usize];
        batch.put(key, [seq.to_be_bytes().to_vec(), fill].concat()).unwrap();
    }
    batch.remove(vec![1, (seq % 50) as u8]);
    batch
}

/// What the records up to `seq` leave.
pub(super) fn model(seq: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut index = Index::memory();
    (1..=seq).for_each(|seq| index.apply(seq, change(seq)).unwrap());
    content(&*index.reader()).unwrap()
}

#[test]
fn an_index_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (mut index, reached) = Index::open(directory.path()).unwrap();
    assert_eq!(reached, 0);
    (1..=40).for_each(|seq| index.apply(seq, change(seq)).unwrap());
    index.apply(12, change(99)).unwrap();
    let note = directory.path().join("open-since-boot");
    assert!(note.exists());
    index.close().unwrap();
    assert!(!note.exists(), "after a clean stop a power cut does no harm");
    assert!(matches!(index.apply(41, change(41)), Err(EngineError::Closed)));
    drop(index);
    let (index, reached) = Index::open(directory.path()).unwrap();
    assert_eq!((reached, content(&*index.reader()).unwrap()), (40, model(40)));
}

#[test]
fn a_second_opening_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Index::open(directory.path()).unwrap();
    let error = Index::open(directory.path()).map(|_| ()).unwrap_err();
    let busy = matches!(&error, EngineError::Io(e) if e.kind() == std::io::ErrorKind::ResourceBusy);
    assert!(busy, "{error}");
    drop(first);
    Index::open(directory.path()).unwrap();
}

#[test]
fn a_reset_index_is_empty_and_the_old_one_is_gone_after_two_openings() {
    let directory = tempfile::tempdir().unwrap();
    let (mut index, _) = Index::open(directory.path()).unwrap();
    for _ in 0..4 {
        index.apply(1, change(1)).unwrap();
        index.reset().unwrap();
        assert_eq!((index.reached(), content(&*index.reader()).unwrap()), (0, model(0)));
    }
    drop(index);
    drop(Index::open(directory.path()).unwrap());
    let count = std::fs::read_dir(directory.path()).unwrap();
    let generations = count.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("generation-")
    });
    assert_eq!(generations.count(), 2);
}

#[test]
fn an_index_that_was_open_when_the_power_failed_is_filled_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (mut index, _) = Index::open(directory.path()).unwrap();
    index.apply(1, change(1)).unwrap();
    drop(index);
    let note = directory.path().join("open-since-boot");
    // The process was killed and the system ran on: believed.
    assert!(note.exists());
    assert_eq!(Index::open(directory.path()).unwrap().1, 1);
    // Another boot: not believed.
    std::fs::write(&note, "an earlier boot").unwrap();
    assert_eq!(Index::open(directory.path()).unwrap().1, 0);
}

/// An engine that fails once.
#[derive(Debug, Default)]
struct Failing(MemoryEngine, std::sync::atomic::AtomicBool);

impl Engine for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.get(key)
    }

    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<crate::engine::Pair>, EngineError> {
        self.0.range(bounds, order, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        if self.1.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::Error::other("as planned").into());
        }
        self.0.apply(batch)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.0.sync()
    }
}

#[test]
fn an_index_that_failed_once_leaves_no_record_out() {
    let engine = Arc::new(Failing::default());
    let mut index = Index { engine: engine.clone(), ..Index::memory() };
    index.apply(1, change(1)).unwrap();
    engine.1.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(index.apply(2, change(2)), Err(EngineError::Io(_))));
    assert!(matches!(index.apply(3, change(3)), Err(EngineError::Closed)));
    assert!(matches!(index.close(), Err(EngineError::Closed)));
    assert_eq!((index.reached(), reached(&*engine).unwrap()), (1, 1));
    assert_eq!(content(&*engine).unwrap(), model(1));
}
