//! What happened lately, in order. A reader that falls further behind than this is told from the blocks
//! themselves: nothing is ever dropped, and no queue grows.

use crate::backend::{BlockId, MempoolDelta};
use std::collections::VecDeque;

/// How many happenings are remembered.
const KEPT: usize = 4_096;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Connected(BlockId),
    Disconnected { fork: BlockId, gone: Vec<BlockId> },
    Mempool(MempoolDelta),
}

/// The last happenings, each with a number that never comes again.
#[derive(Debug, Default)]
pub(crate) struct Log {
    first: u64,
    kept: VecDeque<Happening>,
}

impl Log {
    pub(crate) fn push(&mut self, happening: Happening) {
        self.kept.push_back(happening);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
            self.first = self.first.saturating_add(1);
        }
    }

    /// The number of the next happening.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    /// What happened from number `from` on; `None` when that is forgotten.
    pub(crate) fn since(&self, from: u64) -> Option<impl Iterator<Item = &Happening>> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.kept.iter().skip(skip))
    }
}
