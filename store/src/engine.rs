//! Sorted keys and values: what the index needs of a database, and nothing more.
//!
//! Not here: durability. An engine may lose what it was not asked to [`Engine::sync`], it may lose
//! everything; the journal is what counts.

mod memory;
mod sled;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

pub use self::memory::MemoryEngine;
pub use self::sled::SledEngine;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest value, in bytes. Above this the engine would keep it in a file of its own, which it
/// never syncs.
pub const MAX_VALUE_BYTES: usize = 16 << 10;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A sorted map from bytes to bytes.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The value under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// At most `limit` pairs between two keys, in that order.
    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Pair>, EngineError>;

    /// Applies all changes or, after an error or a crash, none.
    fn apply(&self, batch: &Batch) -> Result<(), EngineError>;

    /// Asks for everything to be on the disk when this returns.
    fn sync(&self) -> Result<(), EngineError>;
}

/// In which direction a range is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// The smallest key first.
    #[default]
    Ascending,
    /// The largest key first.
    Descending,
}

/// Changes that happen together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under a key, in place of every earlier change of it. Fails with `TooLarge` above
    /// [`MAX_KEY_BYTES`] or [`MAX_VALUE_BYTES`].
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), EngineError> {
        for (bytes, limit) in [(key.len(), MAX_KEY_BYTES), (value.len(), MAX_VALUE_BYTES)] {
            if bytes > limit {
                return Err(EngineError::TooLarge { bytes, limit });
            }
        }
        self.changes.insert(key, Some(value));
        Ok(())
    }

    /// Takes the value under a key away, in place of every earlier change of it.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// Each changed key once, with its new value or `None`.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// How long all keys and values are together.
    pub fn bytes(&self) -> usize {
        let lengths = self
            .changes()
            .map(|(key, value)| key.len().saturating_add(value.map_or(0, <[u8]>::len)));
        lengths.fold(0, usize::saturating_add)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A key or value is longer than it may be. Nothing changed.
    #[error("{bytes} bytes are more than the {limit} that fit")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// What is stored cannot be trusted any more: fill the index anew.
    #[error("the index is broken: {0}")]
    Broken(Breakage),
    /// The disk failed.
    #[error("the index: {0}")]
    Io(#[from] std::io::Error),
    /// It was closed before.
    #[error("the index is closed")]
    Closed,
}

/// How an engine broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Breakage {
    /// It read something that it had not written.
    #[error("stored data is corrupt")]
    Corrupt,
    /// It panicked.
    #[error("the engine failed an assertion of its own")]
    Panicked,
    /// Power failed while it was open, and it does not survive that.
    #[error("power failed while it was open")]
    PowerCut,
    /// It ran into something it calls a bug or does not support.
    #[error("the engine met a state it does not know")]
    Unknown,
}
