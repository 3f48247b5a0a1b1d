//! Steps from every layout of the index to the present one, forward only.
//!
//! The list of steps is only ever appended to; the version of an index is how many of them it has
//! behind it. All missing steps and the new version go into one batch: a crash leaves the old layout
//! or the new one.

use crate::engine::{Batch, Engine, EngineError};
use crate::envelope;
use crate::index::OWN;

/// One step: reads the layout before it and writes into the batch what changes. A step sees what the
/// steps before it put into the batch only there, not in the engine.
pub type Step = fn(&dyn Engine, &mut Batch) -> Result<(), EngineError>;

/// Under which key the version stands.
const LAYOUT: [u8; 2] = [OWN, b'v'];
const KIND: u16 = 0x4d56;
const VERSION: u16 = 1;

/// Why an index stays in the layout it has.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer program laid it out. It must not be touched.
    #[error(
        "the index has layout {found}, this program knows up to {known}; use the newer program"
    )]
    Newer {
        /// The layout it has.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The number of the layout cannot be read.
    #[error("the number of the index layout is damaged")]
    Damaged,
    /// The engine's answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Brings an index to the layout behind the last of `steps`, and returns how many were taken.
pub fn run(engine: &dyn Engine, steps: &[Step]) -> Result<u32, MigrateError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let found = layout(engine)?;
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    if found == known {
        return Ok(0);
    }
    let mut batch = Batch::new();
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        step(engine, &mut batch)?;
    }
    let number =
        envelope::seal(KIND, VERSION, &known.to_be_bytes()).ok_or(MigrateError::Damaged)?;
    batch.put(LAYOUT.to_vec(), number)?;
    engine.apply(&batch)?;
    engine.sync()?;
    Ok(known.saturating_sub(found))
}

/// How many steps an index has behind it.
pub fn layout(engine: &dyn Engine) -> Result<u32, MigrateError> {
    let Some(bytes) = engine.get(&LAYOUT)? else { return Ok(0) };
    let (_, payload) = envelope::open(&bytes, KIND).map_err(|_| MigrateError::Damaged)?;
    payload.try_into().map(u32::from_be_bytes).map_err(|_| MigrateError::Damaged)
}

#[cfg(test)]
mod tests;
