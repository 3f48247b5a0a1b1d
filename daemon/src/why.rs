//! Why: what made a channel close or a payment fail, told from the journal.
//!
//! A channel's [`story::Story`] is a fold over facts: compact milestones with the number of the record they
//! come from, the height and the time at which they were decided. It is kept with the state, so a snapshot
//! does not forget why a channel closed, and lies in the index for whoever asks. Nothing is decided by it.
//!
//! Bounds: a story keeps its beginning and its latest milestones and counts what it leaves out between them;
//! of channels that are over the latest stories stay in the state, all of them in the index until that
//! is filled anew.
//!
//! Not here: the facts (`crate::fact`), how the chain looks to clients (`crate::rpc`).

pub mod milestone;
pub mod payment;
pub mod rows;
pub mod story;
pub mod tell;

#[cfg(test)]
mod tests;

pub use milestone::{Milestone, What};
pub use story::{Stories, Story};
