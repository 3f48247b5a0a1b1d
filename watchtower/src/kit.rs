//! What a client hands over for a channel, and what a tower makes of it when a breach is seen. Pure.
//!
//! Not here: keeping it (`store`), building transactions that get mined (`respond`).

pub mod claim;
pub mod replica;
pub mod sealed;
pub mod template;
