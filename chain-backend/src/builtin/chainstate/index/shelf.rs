//! Where the rows lie: the project's index over sled, in a directory of its own.
//!
//! It is made with the first rows that come. A short chain never needs one: its blocks are read in no time.

use std::fmt::Debug;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use store::engine::{Batch, Engine, EngineError, Order, Pair};
use store::index::Index;

/// An engine that can be filled, and begun anew when it is not to be believed.
pub(crate) trait Shelf: Debug + Send {
    /// For reading. After [`Shelf::reset`] one needs a new one.
    fn reader(&self) -> Arc<dyn Engine>;
    /// All changes or, after an error or a crash, none. In order: no later batch outlives an earlier one.
    fn apply(&mut self, batch: Batch) -> Result<(), EngineError>;
    /// Begins empty.
    fn reset(&mut self) -> Result<(), EngineError>;
    /// Makes everything durable, and says so. A shelf that was not closed is empty after a power cut.
    fn close(&mut self) -> Result<(), EngineError>;
}

/// In a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// `None` as long as there is nothing to keep.
    index: Option<Index>,
    /// How many batches it has seen.
    batches: u64,
    reader: Arc<Later>,
}

impl Directory {
    /// Opens it if it is there. One that is broken, or was open when power failed, is left aside, and an empty one
    /// begun.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let (path, reader) = (path.to_path_buf(), Arc::new(Later::default()));
        let mut shelf = Self { path, index: None, batches: 0, reader };
        if shelf.path.try_exists()? {
            shelf.make()?;
        }
        Ok(shelf)
    }

    fn make(&mut self) -> Result<&mut Index, EngineError> {
        let index = match self.index.take() {
            Some(index) => index,
            None => {
                let (index, batches) = Index::open(&self.path)?;
                self.batches = batches;
                // It is set once: whoever reads already reads there.
                let _ = self.reader.engine.set(index.reader());
                index
            }
        };
        Ok(self.index.insert(index))
    }
}

impl Shelf for Directory {
    fn reader(&self) -> Arc<dyn Engine> {
        Arc::<Later>::clone(&self.reader)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), EngineError> {
        self.make()?;
        self.batches = self.batches.saturating_add(1);
        let batches = self.batches;
        self.make()?.apply(batches, batch)
    }

    fn reset(&mut self) -> Result<(), EngineError> {
        self.reader = Arc::new(Later::default());
        self.batches = 0;
        if let Some(index) = &mut self.index {
            index.reset()?;
            let _ = self.reader.engine.set(index.reader());
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), EngineError> {
        self.index.as_mut().map_or(Ok(()), Index::close)
    }
}

/// An engine that may come later; it is empty until then.
#[derive(Debug, Default)]
struct Later {
    engine: OnceLock<Arc<dyn Engine>>,
}

impl Engine for Later {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine.get().map_or(Ok(None), |engine| engine.get(key))
    }

    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Pair>, EngineError> {
        let engine = self.engine.get();
        engine.map_or(Ok(Vec::new()), |engine| engine.range(bounds, order, limit))
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.engine.get().map_or(Err(EngineError::Closed), |engine| engine.apply(batch))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.engine.get().map_or(Ok(()), |engine| engine.sync())
    }
}
