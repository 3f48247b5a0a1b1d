//! The index: what users ask about, in an order that answers quickly, filled from the journal.
//!
//! It carries the sequence number of the last record it has seen, in the same batch as what that
//! record changed. If it is missing, broken, or cannot be trusted after a power cut, it begins empty
//! again and has reached 0: whoever opened it feeds it from the snapshot and the records.
//!
//! ```
//! # use store::{engine::Batch, index::Index};
//! let mut index = Index::memory();
//! let mut batch = Batch::new();
//! batch.put(vec![1, 42], b"settled".to_vec())?;
//! index.apply(7, batch)?;
//! assert_eq!(index.reached(), 7);
//! # Ok::<(), store::engine::EngineError>(())
//! ```
//!
//! Not here: which facts go under which keys (`daemon`), and typed access to them ([`crate::table`]).

mod place;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::engine::{Batch, Engine, EngineError, MemoryEngine};
use crate::envelope;
use place::Place;

/// Keys that begin with this byte belong to the index itself; tables begin with 1.
pub(crate) const OWN: u8 = 0;
/// Under which key the last record stands.
const REACHED: [u8; 2] = [OWN, b'r'];
const REACHED_KIND: u16 = 0x4958;
const REACHED_VERSION: u16 = 1;

/// After so many bytes of changes the engine has to catch up with the disk: it cannot use its space
/// again before, and would grow as long as the disk is slow.
const BEHIND_BYTES_MAX: usize = 8 << 20;

/// The index, for the one who fills it.
#[derive(Debug)]
pub struct Index {
    engine: Arc<dyn Engine>,
    /// Where it lies; `None` in memory.
    place: Option<Place>,
    reached: u64,
    /// Bytes applied since the last sync.
    behind: usize,
    /// Closed, or failed: nothing more is applied.
    closed: bool,
}

impl Index {
    /// Opens the index in a directory of its own and says which record it has reached; 0 means that
    /// it is empty and has to be filled from the beginning.
    ///
    /// A broken index is left aside and an empty one begun. Errors are those of the disk, and
    /// `ResourceBusy` if another process has it open.
    pub fn open(directory: &Path) -> Result<(Self, u64), EngineError> {
        let mut place = Place::take(directory)?;
        let opened = place.open().and_then(|engine| {
            let reached = reached(&*engine)?;
            Ok((engine, reached))
        });
        let (engine, reached) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "index left aside, to be filled anew");
                (place.begin_anew()?, 0)
            }
        };
        Ok((Self { engine, place: Some(place), reached, behind: 0, closed: false }, reached))
    }

    /// An index in memory, empty.
    pub fn memory() -> Self {
        Self {
            engine: Arc::new(MemoryEngine::new()),
            place: None,
            reached: 0,
            behind: 0,
            closed: false,
        }
    }

    /// The last record it has seen.
    pub const fn reached(&self) -> u64 {
        self.reached
    }

    /// For readers, on any thread. After [`Self::reset`] they need a new one.
    pub fn reader(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.engine)
    }

    /// Applies what the records behind [`Self::reached`] up to `seq` changed, all of them: whoever opens
    /// the index first gives it what it has missed. A batch that was applied before is skipped.
    ///
    /// After an error nothing more is applied (`Closed`), so that no record is ever left out: the next
    /// opening goes on where this one failed.
    pub fn apply(&mut self, seq: u64, mut batch: Batch) -> Result<(), EngineError> {
        if self.closed {
            return Err(EngineError::Closed);
        }
        if seq <= self.reached {
            return Ok(());
        }
        let value = envelope::seal(REACHED_KIND, REACHED_VERSION, &seq.to_be_bytes());
        self.closed = true;
        batch.put(REACHED.to_vec(), value.unwrap_or_default())?;
        self.engine.apply(&batch)?;
        self.reached = seq;
        self.behind = self.behind.saturating_add(batch.bytes());
        if self.behind > BEHIND_BYTES_MAX {
            self.behind = 0;
            self.engine.sync()?;
        }
        self.closed = false;
        Ok(())
    }

    /// Leaves everything aside and begins empty, with 0 reached.
    pub fn reset(&mut self) -> Result<(), EngineError> {
        self.engine = match &mut self.place {
            Some(place) => place.begin_anew()?,
            None => Arc::new(MemoryEngine::new()),
        };
        self.reached = 0;
        self.behind = 0;
        self.closed = false;
        Ok(())
    }

    /// Asks for everything to be on the disk when this returns.
    pub fn sync(&self) -> Result<(), EngineError> {
        self.engine.sync()
    }

    /// Makes everything durable and says so on the disk: the next opening trusts the index even
    /// after a power cut. Nothing can be applied afterwards. After an earlier error it is `Closed`, and
    /// the disk says nothing.
    pub fn close(&mut self) -> Result<(), EngineError> {
        if self.closed {
            return Err(EngineError::Closed);
        }
        self.engine.sync()?;
        self.closed = true;
        self.place.as_mut().map_or(Ok(()), Place::say_closed)
    }
}

/// The last record that an engine has seen; 0 in an empty one.
fn reached(engine: &dyn Engine) -> Result<u64, EngineError> {
    use crate::engine::Breakage;
    let Some(bytes) = engine.get(&REACHED)? else { return Ok(0) };
    let corrupt = EngineError::Broken(Breakage::Corrupt);
    let Ok((_, payload)) = envelope::open(&bytes, REACHED_KIND) else { return Err(corrupt) };
    payload.try_into().map(u64::from_be_bytes).map_err(|_| corrupt)
}
