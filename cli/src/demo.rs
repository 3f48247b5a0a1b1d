//! The whole story in one process: a chain, three nodes in a line, payments from end to end both ways while
//! the one in the middle earns a fee and is killed once, closes; then another channel, with which one of
//! them cheats and loses all of it; the same while its victim sleeps, and a watchtower that takes it all for
//! the victim; and an account that adds up to the satoshi.
//!
//! Everything is done as a user would do it, through the nodes' API. Not here: the nodes themselves; they
//! come in through [`crate::sandbox::network::Launch`].

pub mod account;
mod ambush;
mod betrayal;
mod payments;
mod story;
mod theft;

pub use account::{Account, Betrayal};
pub use story::{Settings, Teller, tell};

use thiserror::Error;
use tonic::Status;

use crate::sandbox::SandboxError;

/// Why the story came to no end.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Chain or nodes did not start or stop.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A call was refused, or the connection broke for good.
    #[error("while {during}: {}", status.message())]
    Call {
        /// What was being done.
        during: &'static str,
        /// The answer.
        status: Box<Status>,
    },
    /// A stream ended before what was waited for.
    #[error("while {0}: the daemon ended the stream too early")]
    Cut(&'static str),
    /// It took too long.
    #[error("while {0}: it took too long")]
    TooLong(&'static str),
}

/// Names what was being done when a call fails.
pub(crate) trait During<T> {
    /// Adds it.
    fn during(self, what: &'static str) -> Result<T, DemoError>;
}

impl<T> During<T> for Result<T, Status> {
    fn during(self, during: &'static str) -> Result<T, DemoError> {
        self.map_err(|status| DemoError::Call { during, status: Box::new(status) })
    }
}
