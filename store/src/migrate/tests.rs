//! Tests of `migrate`.

use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::engine::{MemoryEngine, Order, Pair};

/// A disk whose program is killed at one of its calls.
#[derive(Debug)]
struct Killed {
    inside: MemoryEngine,
    calls_left: AtomicU32,
}

impl Killed {
    fn lives(&self) -> Result<(), EngineError> {
        let one_less = |left: u32| left.checked_sub(1);
        let left = self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        left.map(drop).map_err(|_| EngineError::Closed)
    }
}

impl Engine for Killed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.lives()?;
        self.inside.get(key)
    }

    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Pair>, EngineError> {
        self.lives()?;
        self.inside.range(bounds, order, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.lives()?;
        self.inside.apply(batch)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.lives()?;
        self.inside.sync()
    }
}

fn first(_: &dyn Engine, batch: &mut Batch) -> Result<(), EngineError> {
    batch.put(vec![1, 1], b"old".to_vec())
}

fn second(engine: &dyn Engine, batch: &mut Batch) -> Result<(), EngineError> {
    let old = engine.get(&[1, 1])?.unwrap_or_else(|| b"fresh".to_vec());
    batch.remove(vec![1, 1]);
    batch.put(vec![2, 1], old)
}

fn failing(_: &dyn Engine, batch: &mut Batch) -> Result<(), EngineError> {
    batch.put(vec![3, 3], vec![])?;
    Err(EngineError::Closed)
}

#[test]
fn each_step_is_taken_once_and_in_order() {
    let engine = MemoryEngine::new();
    assert_eq!(run(&engine, &[first]).unwrap(), 1);
    assert_eq!(run(&engine, &[first]).unwrap(), 0);
    assert_eq!(run(&engine, &[first, second]).unwrap(), 1);
    assert_eq!(engine.get(&[2, 1]).unwrap(), Some(b"old".to_vec()));
    assert_eq!((engine.get(&[1, 1]).unwrap(), layout(&engine).unwrap()), (None, 2));
}

#[test]
fn a_newer_layout_is_refused_and_left_alone() {
    let engine = MemoryEngine::new();
    run(&engine, &[first, second]).unwrap();
    let refused = run(&engine, &[first]);
    assert!(matches!(refused, Err(MigrateError::Newer { found: 2, known: 1 })));
    assert_eq!(layout(&engine).unwrap(), 2);
}

#[test]
fn a_step_that_fails_leaves_the_old_layout() {
    let engine = MemoryEngine::new();
    run(&engine, &[first]).unwrap();
    assert!(run(&engine, &[first, second, failing]).is_err());
    assert_eq!(layout(&engine).unwrap(), 1);
    assert_eq!(engine.get(&[1, 1]).unwrap(), Some(b"old".to_vec()));
    assert_eq!(engine.get(&[2, 1]).unwrap(), None);
}

#[test]
fn a_damaged_number_is_an_error() {
    let engine = MemoryEngine::new();
    let mut batch = Batch::new();
    batch.put(LAYOUT.to_vec(), b"nonsense".to_vec()).unwrap();
    engine.apply(&batch).unwrap();
    assert!(matches!(run(&engine, &[first]), Err(MigrateError::Damaged)));
}

#[test]
fn c44_a_kill_at_any_call_of_a_migration_leaves_the_old_layout_or_the_new_one() {
    for calls in 0.. {
        let inside = MemoryEngine::new();
        run(&inside, &[first]).unwrap();
        let killed = Killed { inside, calls_left: AtomicU32::new(calls) };
        let lived = run(&killed, &[first, second]).is_ok();
        let engine = killed.inside;
        let (old, new) = (engine.get(&[1, 1]).unwrap(), engine.get(&[2, 1]).unwrap());
        match layout(&engine).unwrap() {
            1 => assert_eq!((old.as_deref(), new), (Some(&b"old"[..]), None), "{calls}"),
            2 => assert_eq!((old, new.as_deref()), (None, Some(&b"old"[..])), "{calls}"),
            other => panic!("layout {other} after {calls} calls"),
        }
        // The next start finishes it, or has nothing to do.
        run(&engine, &[first, second]).unwrap();
        assert_eq!(engine.get(&[2, 1]).unwrap(), Some(b"old".to_vec()));
        if lived {
            assert!(calls >= 4, "it was killed at several calls: {calls}");
            return;
        }
    }
}
