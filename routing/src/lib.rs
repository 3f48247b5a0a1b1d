//! What we know of the network and the way through it (BOLT 4, 7, 11).
//!
//! [`gossip`] decides what to believe; a [`graph::Graph`] takes what was believed and gives
//! [`graph::Snapshot`]s; [`find::find`] looks for parts of a payment in a snapshot, with what a
//! [`score::Scorer`] has learnt. Everything here is a pure function of its arguments: time comes in as
//! seconds, and nothing is random.
//!
//! Not here: onions (`wire::onion`), attempts and their facts (`daemon::payments`).

pub mod check;
pub mod find;
pub mod gossip;
pub mod graph;
pub mod request;
pub mod route;
pub mod score;
#[cfg(test)]
mod world;
