//! What goes in and out of a node in plain words: orders (what a user asks) and snapshots (what a
//! user is shown). No protocol buffers here, so the node does not know how it is spoken to.
//!
//! Not here: the calls themselves ([`super::node_api`]), the refusals ([`super::refusal`]).

pub mod backup;
pub mod channel;
pub mod event;
pub mod forward;
pub mod graph;
pub mod invoice;
pub mod node;
pub mod page;
pub mod payment;
pub mod peer;
pub mod sandbox;
pub mod wallet;
pub mod why;

use core::pin::Pin;

use futures_util::Stream;

use super::refusal::Refusal;

/// A moment, in milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixMillis(pub u64);

/// A stream of full snapshots, each newer than the one before; the last one is final. It is fed
/// from durable state, so dropping it cancels nothing and a new one starts with the newest snapshot.
pub type Updates<T> = Pin<Box<dyn Stream<Item = Result<T, Refusal>> + Send + 'static>>;

/// The answer to an order that takes a while.
pub struct Started<T> {
    /// Whether this call started it. `false`: the same order was given before (same idempotency key,
    /// or the same payment hash) and the updates are of that one; nothing was done a second time.
    pub fresh: bool,
    /// What becomes of it, from its newest snapshot on.
    pub updates: Updates<T>,
}

impl<T> core::fmt::Debug for Started<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Started").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

/// The name a user gives to an order, so that giving it twice does it once. The node keeps it (with
/// the digest and what came of it) in the same journal record as the order's first fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    /// The user's word: 1 to 128 characters.
    pub word: String,
    /// SHA-256 of the rest of the request. Same word with another digest is
    /// [`Refusal::KeyReused`].
    pub digest: [u8; 32],
}
