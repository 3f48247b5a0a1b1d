//! Tests of `migrate`.

use super::*;
use crate::engine::MemoryEngine;

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
