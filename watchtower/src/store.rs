//! What a tower keeps, and in which order it becomes durable.
//!
//! Records of clients lie in segments that are only ever appended to ([`segment`], [`shelf`]); everything
//! else is a fact of a journal (`store::journal`) and a state that follows from it ([`fact`], [`state`]). One
//! thread owns all of it ([`keeper`]); others hold a [`Keeper`] and get a [`Durable`] from it, which is the
//! only thing a receipt can be signed over.
//!
//! Read in this order: [`seal`], [`order`], [`keeper`], [`open`].
//!
//! Not here: what a record means (`kit`, `lnd`), what came of a breach (`respond`).

mod beside;
mod compact;
pub mod fact;
pub mod keeper;
pub mod open;
pub mod order;
mod replicas;
mod ring;
pub mod seal;
pub mod segment;
mod shelf;
pub mod state;
pub mod vault;

pub use fact::{Fact, Kit, Opening};
pub use keeper::{Bell, Limits};
pub use open::{Disks, OpenError, Opened, Options, Report, open};
pub use order::{
    Ends, Figures, Found, Heard, Hit, Keeper, Late, Mode, Refused, Replicated, Sighting, Standing,
    Wish,
};
pub(crate) use ring::BLOCKS_MIN as RING_BLOCKS_MIN;
pub use seal::{Cleared, Durable};
pub use segment::Stored;
pub use shelf::ShelfError;
pub use state::State;
pub use vault::DiskKey;

#[cfg(test)]
mod tests;
