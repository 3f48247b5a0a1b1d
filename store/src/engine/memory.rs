//! An engine in memory, for tests and for simulated nodes.

use std::collections::BTreeMap;
use std::ops::Bound;
#[expect(clippy::disallowed_types, reason = "readers share the map with the one who fills it")]
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Engine, EngineError, Order, Pair};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A sorted map in memory. What it holds is gone with it.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    #[expect(clippy::disallowed_types, reason = "see above")]
    map: RwLock<Map>,
}

impl MemoryEngine {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.read().get(key).cloned())
    }

    fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        limit: usize,
    ) -> Result<Vec<Pair>, EngineError> {
        if empty(bounds) {
            return Ok(Vec::new());
        }
        let map = self.read();
        let found = map.range::<[u8], _>(bounds).map(|(key, value)| (key.clone(), value.clone()));
        Ok(match order {
            Order::Ascending => found.take(limit).collect(),
            Order::Descending => found.rev().take(limit).collect(),
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.changes() {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Whether no key can lie between the bounds; maps panic when asked for such a range.
pub(super) fn empty(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
    }
}
