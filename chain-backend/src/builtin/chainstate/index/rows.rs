//! Sorted rows with a write-back cache in front: what changed lately is in memory, all else in the engine.
//!
//! Changes gather in the open group. A group is closed between two blocks only, handed to the writer
//! ([`super::writer`]), and read from memory until the engine has all of it. So memory holds three groups at most, and
//! whoever reads sees every change at once.
//! A read that fails is remembered, and answers as if there were nothing: nobody may act on what he read before he has
//! asked for [`Rows::fault`].

use super::writer::Writer;
use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use store::engine::{Engine, EngineError, Order, Pair};

/// Closed groups that may wait; then whoever closes one waits.
const CLOSED_MAX: usize = 2;
/// What a row takes in memory besides its bytes, about.
const ROW_BYTES: usize = 96;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `None` takes it away.
    pub(super) value: Option<Vec<u8>>,
    /// The engine never had it: if it goes again, nothing has to be written.
    fresh: bool,
}

/// Changes that lead from one block to another.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) changes: BTreeMap<Vec<u8>, Change>,
    /// What the engine says of itself while it has a part of them.
    pub(super) under_way: Vec<u8>,
    /// What it says when it has them all.
    pub(super) done: Vec<u8>,
}

/// All rows.
#[derive(Debug)]
pub(super) struct Rows {
    open: BTreeMap<Vec<u8>, Change>,
    /// What the open group takes, bytes.
    weight: usize,
    /// Oldest first.
    closed: VecDeque<Arc<Group>>,
    /// `None`: everything stays in memory.
    kept: Option<Kept>,
    fault: OnceCell<EngineError>,
}

#[derive(Debug)]
struct Kept {
    engine: Arc<dyn Engine>,
    writer: Writer,
}

/// Rows of the engine, backwards, read some at a time.
struct Backwards<'a> {
    kept: &'a Kept,
    prefix: &'a [u8],
    end: Vec<u8>,
    count: usize,
    ready: VecDeque<Pair>,
    is_over: bool,
}

impl<'a> Backwards<'a> {
    fn new(kept: &'a Kept, prefix: &'a [u8], end: &[u8], count: usize) -> Self {
        let (end, ready) = (end.to_vec(), VecDeque::new());
        Self { kept, prefix, end, count, ready, is_over: false }
    }

    /// The next key.
    fn peek(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        if self.ready.is_empty() && !self.is_over {
            let bounds = (Bound::Included(self.prefix), Bound::Excluded(self.end.as_slice()));
            let rows = self.kept.engine.range(bounds, Order::Descending, self.count)?;
            self.is_over = rows.len() < self.count;
            self.ready.extend(rows);
            if let Some((last, _)) = self.ready.back() {
                self.end.clone_from(last);
            }
        }
        Ok(self.ready.front().map(|(key, _)| key.clone()))
    }

    fn next(&mut self) -> Option<Pair> {
        self.ready.pop_front()
    }
}

impl Rows {
    /// In memory alone.
    pub(super) fn memory() -> Self {
        Self {
            open: BTreeMap::new(),
            weight: 0,
            closed: VecDeque::new(),
            kept: None,
            fault: OnceCell::new(),
        }
    }

    /// Over an engine that this writer fills.
    pub(super) fn over(engine: Arc<dyn Engine>, writer: Writer) -> Self {
        Self { kept: Some(Kept { engine, writer }), ..Self::memory() }
    }

    /// Whether rows survive.
    pub(super) const fn are_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// What went wrong first, if anything did.
    pub(super) fn fault(&self) -> Option<&EngineError> {
        self.fault.get()
    }

    fn note<T>(&self, result: Result<T, EngineError>) -> Option<T> {
        result.map_err(|error| self.fault.set(error)).ok()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let closed = self.closed.iter().rev().map(|group| &group.changes);
        let change = std::iter::once(&self.open).chain(closed).find_map(|rows| rows.get(key));
        match (change, &self.kept) {
            (Some(change), _) => change.value.clone(),
            (None, Some(kept)) => self.note(kept.engine.get(key)).flatten(),
            (None, None) => None,
        }
    }

    /// At most `limit` rows whose keys begin so, in their order, behind the key `after`.
    pub(super) fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut changes: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        let closed = self.closed.iter().map(|group| &group.changes);
        for rows in closed.chain(std::iter::once(&self.open)) {
            let found = rows.range::<[u8], _>((from, Bound::Unbounded));
            let found = found.take_while(|(key, _)| key.starts_with(prefix));
            changes.extend(found.map(|(key, change)| (key.as_slice(), change.value.as_deref())));
        }
        let hidden = changes.len();
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        if let Some(kept) = &self.kept {
            let bounds = (from, Bound::Unbounded);
            let stored = kept.engine.range(bounds, Order::Ascending, limit.saturating_add(hidden));
            let stored = self.note(stored).unwrap_or_default().into_iter();
            rows.extend(stored.take_while(|(key, _)| key.starts_with(prefix)));
        }
        for (key, value) in changes {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
        rows.into_iter().take(limit).collect()
    }

    /// At most `limit` rows whose keys begin so, backwards from the one before the key `end`, which begins so too.
    pub(super) fn page_back(
        &self,
        prefix: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        if !end.starts_with(prefix) {
            return found;
        }
        let bounds = (Bound::Included(prefix), Bound::Excluded(end));
        // The newest first: of those that know a row it says what it is.
        let closed = self.closed.iter().rev().map(|group| &group.changes);
        let layers = std::iter::once(&self.open).chain(closed);
        let mut layers: Vec<_> =
            layers.map(|rows| rows.range::<[u8], _>(bounds).rev().peekable()).collect();
        let mut stored = self.kept.as_ref().map(|kept| Backwards::new(kept, prefix, end, limit));
        while found.len() < limit {
            let changed = layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key));
            let changed = changed.max();
            let below = stored.as_mut().and_then(|stored| self.note(stored.peek()).flatten());
            let Some(key) = changed.max(below.as_ref()).cloned() else { break };
            let mut value = None;
            for layer in &mut layers {
                if let Some((_, change)) = layer.next_if(|(other, _)| **other == key) {
                    value.get_or_insert_with(|| change.value.clone());
                }
            }
            if below.is_some_and(|below| below == key) {
                let row = stored.as_mut().and_then(Backwards::next);
                value.get_or_insert_with(|| row.map(|(_, value)| value));
            }
            found.extend(value.flatten().map(|value| (key, value)));
        }
        found
    }

    /// Puts a row in place of the one that may be there.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value), false);
    }

    /// Puts a row where none is.
    pub(super) fn put_new(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value), true);
    }

    /// Takes a row away.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        let never_kept =
            self.open.get(&key).map_or_else(|| !self.are_kept(), |change| change.fresh);
        if never_kept {
            self.open.remove(&key);
        } else {
            self.change(key, None, false);
        }
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, fresh: bool) {
        let bytes = key.len().saturating_add(value.as_ref().map_or(0, Vec::len));
        self.weight = self.weight.saturating_add(bytes).saturating_add(ROW_BYTES);
        match self.open.get_mut(&key) {
            Some(change) => change.value = value,
            None => {
                let fresh = fresh || !self.are_kept();
                self.open.insert(key, Change { value, fresh });
            }
        }
    }

    /// What the open group takes, bytes.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Hands the open group over. Waits while the writer is two groups behind.
    pub(super) fn close_group(&mut self, under_way: Vec<u8>, done: Vec<u8>) {
        let Some(kept) = &mut self.kept else { return };
        let changes = std::mem::take(&mut self.open);
        self.weight = 0;
        let group = Arc::new(Group { changes, under_way, done });
        self.closed.push_back(Arc::clone(&group));
        let handed = kept.writer.take(group);
        self.note(handed);
        self.settle(CLOSED_MAX);
    }

    /// Lets groups go that the engine has; waits until at most so many are left.
    pub(super) fn settle(&mut self, left: usize) {
        let Some(kept) = &mut self.kept else { return };
        while !self.closed.is_empty() && self.fault.get().is_none() {
            match kept.writer.written(self.closed.len() > left) {
                Ok(true) => drop(self.closed.pop_front()),
                Ok(false) => break,
                Err(error) => drop(self.fault.set(error)),
            }
        }
    }

    /// Stops the writer; everything it was given is durable then, and says so. Call [`Rows::settle`] before.
    pub(super) fn close(&mut self) {
        if let Some(kept) = &mut self.kept
            && self.fault.get().is_none()
        {
            let closed = kept.writer.close();
            self.note(closed);
        }
    }
}
