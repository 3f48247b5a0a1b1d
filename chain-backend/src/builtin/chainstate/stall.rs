//! Standing still: no new blocks, or readers that hear nothing, for a time or until it is taken back.
//!
//! The time is counted in naps of the chain's own thread, so that no clock is asked.

use super::{ChainError, Chainstate};
use crate::sandbox::Stall;
use std::time::Duration;

/// Whether and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalled {
    how: Stall,
    /// What is left of it; `None`: until it is taken back.
    left: Option<Duration>,
}

impl Chainstate {
    /// Stands still from now on, or goes on.
    pub(crate) fn set_stall(&mut self, how: Stall, time: Option<Duration>) {
        self.stall = Stalled { how, left: time };
    }

    /// Whether readers hear nothing.
    pub(crate) fn is_silent(&self) -> bool {
        self.stall.how == Stall::Readers
    }

    /// Whether it stands still for a time that runs out.
    pub(crate) fn is_stalled_for_a_time(&self) -> bool {
        self.stall.how != Stall::No && self.stall.left.is_some()
    }

    /// So much of that time is over.
    pub(crate) fn pass(&mut self, nap: Duration) {
        let Some(left) = self.stall.left else { return };
        self.stall.left = Some(left.saturating_sub(nap));
        if left <= nap {
            self.stall = Stalled::default();
        }
    }

    /// Nobody makes blocks on a chain that stands still.
    pub(super) fn check_moving(&self) -> Result<(), ChainError> {
        if self.stall.how == Stall::Blocks { Err(ChainError::StandsStill) } else { Ok(()) }
    }
}
