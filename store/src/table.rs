//! Typed keys and values over an engine's bytes.
//!
//! A key is a table's number and then fields of fixed width, big-endian, so that the order of the
//! bytes is the order of the keys. A value lies in an [`envelope`].
//!
//! ```
//! # use store::{engine::{Batch, MemoryEngine, Engine, Order}, table::{Table, Value}};
//! struct Label(String);
//!
//! impl Value for Label {
//!     const KIND: u16 = 7;
//!     const VERSION: u16 = 1;
//!     fn encode(&self, out: &mut Vec<u8>) { out.extend_from_slice(self.0.as_bytes()) }
//!     fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
//!         String::from_utf8(bytes.to_vec()).ok().map(Self)
//!     }
//! }
//!
//! /// When, and the how manyeth of that moment.
//! const LABELS: Table<(u64, u32), Label> = Table::new(1);
//!
//! let engine = MemoryEngine::new();
//! let mut batch = Batch::new();
//! for second in [3, 1, 2] {
//!     LABELS.put(&mut batch, &(second, 0), &Label(format!("second {second}")))?;
//! }
//! engine.apply(&batch)?;
//! let last = LABELS.page(&engine, None, Order::Descending, 1)?;
//! assert_eq!(last[0].0, (3, 0));
//! # Ok::<(), store::table::TableError>(())
//! ```

use std::marker::PhantomData;
use std::ops::Bound;

use crate::engine::{Batch, Engine, EngineError, Order};
use crate::envelope::{self, EnvelopeError};

/// Something that can be a key: its bytes are in the same order as its values.
pub trait Key: Sized {
    /// How many bytes it always has.
    const BYTES: usize;

    /// Puts exactly that many bytes behind what is in `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads exactly that many bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Something that can be stored. Every version that was ever released must decode for ever.
pub trait Value: Sized {
    /// Which kind of value it is: unique in the index.
    const KIND: u16;
    /// The version in which it is written now, from 1.
    const VERSION: u16;

    /// Puts its bytes behind what is in `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what was written in this version or an earlier one.
    fn decode(version: u16, bytes: &[u8]) -> Option<Self>;
}

/// Why a table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The engine's answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What is stored is not in its envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A value whose bytes are whole, but make no sense.
    #[error("a stored value of kind {kind}, version {version} cannot be read")]
    Value {
        /// Its kind.
        kind: u16,
        /// The version it was written in.
        version: u16,
    },
    /// A value that was written by a newer version of this program.
    #[error("a stored value of kind {kind} has version {version}, newer than this program")]
    Newer {
        /// Its kind.
        kind: u16,
        /// The version it was written in.
        version: u16,
    },
    /// A key that has the wrong length.
    #[error("a stored key of table {0} has the wrong length")]
    Key(u8),
}

/// A table: keys of one type, values of one type, and a number of its own.
#[derive(Debug)]
pub struct Table<K, V> {
    number: u8,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> Table<K, V> {
    /// The table with that number, unique in the index and from 1 on: 0 belongs to the index itself.
    ///
    /// # Panics
    /// With 0; in a constant this does not compile.
    pub const fn new(number: u8) -> Self {
        assert!(number > 0, "table 0 belongs to the index");
        Self { number, types: PhantomData }
    }

    /// The value under a key.
    pub fn get(&self, engine: &dyn Engine, key: &K) -> Result<Option<V>, TableError> {
        engine.get(&self.key(key))?.map(|bytes| value(&bytes)).transpose()
    }

    /// Puts a value under a key, with the batch.
    pub fn put(&self, batch: &mut Batch, key: &K, value: &V) -> Result<(), TableError> {
        let mut payload = Vec::new();
        value.encode(&mut payload);
        let sealed = envelope::seal(V::KIND, V::VERSION, &payload).ok_or(EnvelopeError::Length)?;
        Ok(batch.put(self.key(key), sealed)?)
    }

    /// Takes the value under a key away, with the batch.
    pub fn remove(&self, batch: &mut Batch, key: &K) {
        batch.remove(self.key(key));
    }

    /// At most `limit` entries between two keys.
    pub fn range(
        &self,
        engine: &dyn Engine,
        (from, to): (Bound<&K>, Bound<&K>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, TableError> {
        let first = [self.number];
        let behind = self.number.checked_add(1).map(|next| [next]);
        let from = from.map(|key| self.key(key));
        let to = to.map(|key| self.key(key));
        let from = match &from {
            Bound::Included(key) => Bound::Included(key.as_slice()),
            Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
            Bound::Unbounded => Bound::Included(first.as_slice()),
        };
        let to = match (&to, &behind) {
            (Bound::Included(key), _) => Bound::Included(key.as_slice()),
            (Bound::Excluded(key), _) => Bound::Excluded(key.as_slice()),
            (Bound::Unbounded, Some(behind)) => Bound::Excluded(behind.as_slice()),
            (Bound::Unbounded, None) => Bound::Unbounded,
        };
        let found = engine.range((from, to), order, limit)?;
        found.iter().map(|(key, bytes)| Ok((self.unkey(key)?, value(bytes)?))).collect()
    }

    /// The next at most `limit` entries behind `after`, or the first ones: page by page through the
    /// whole table, without holding anything in between.
    pub fn page(
        &self,
        engine: &dyn Engine,
        after: Option<&K>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, TableError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = match order {
            Order::Ascending => (start, Bound::Unbounded),
            Order::Descending => (Bound::Unbounded, start),
        };
        self.range(engine, bounds, order, limit)
    }

    fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(K::BYTES.saturating_add(1));
        bytes.push(self.number);
        key.encode(&mut bytes);
        bytes
    }

    fn unkey(&self, bytes: &[u8]) -> Result<K, TableError> {
        let key = bytes.strip_prefix(&[self.number]).filter(|key| key.len() == K::BYTES);
        key.and_then(K::decode).ok_or(TableError::Key(self.number))
    }
}

fn value<V: Value>(bytes: &[u8]) -> Result<V, TableError> {
    let (version, payload) = envelope::open(bytes, V::KIND)?;
    if version > V::VERSION {
        return Err(TableError::Newer { kind: V::KIND, version });
    }
    V::decode(version, payload).ok_or(TableError::Value { kind: V::KIND, version })
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Key for $number {
            const BYTES: usize = size_of::<$number>();

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_be_bytes)
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

impl<const N: usize> Key for [u8; N] {
    const BYTES: usize = N;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    const BYTES: usize = A::BYTES.saturating_add(B::BYTES);

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(A::BYTES)?;
        Some((A::decode(first)?, B::decode(second)?))
    }
}

#[cfg(test)]
mod tests;
