//! Gossip: what is true of the network, what a peer may hear of it, and what to ask a peer. BOLT 7.
//!
//! A message goes through three gates. [`Book::weigh_channel`] and its sisters look at what costs nothing
//! and name the signatures that must hold; somebody with time to spare checks those ([`Proof::holds`]);
//! `admit` writes down what came through, and nothing gets in by another way. Between the second and the
//! third gate an announcement's funding output is looked up on Layer 1.
//!
//! Not here: bytes of messages (`wire::message`), files, sockets and the chain (the daemon), paths
//! (`graph`, `find`).

mod book;
mod check;
mod filter;
mod query;
mod sync;
#[cfg(test)]
mod tests;

pub use book::{
    Admitted, Book, Channel, Node, OfChannel, OfNode, OfUpdate, Place, Update, Weighed,
};
pub use check::{Proof, Reject, funding_script};
pub use filter::Filter;
pub use query::{SCIDS_A_REPLY, Wanted, range_replies, wanted};
pub use sync::{SCIDS_A_QUERY, Sync, SyncFault, live};

/// What is older than this, in seconds, is forgotten. BOLT 7 § Pruning the Network View: two weeks.
pub const STALE_SECS: u32 = 1_209_600;

/// How far ahead of our clock a timestamp may be, in seconds.
pub const FUTURE_SECS: u32 = 86_400;

/// Blocks after which a channel whose funding output is spent is forgotten. BOLT 7: a splice may follow.
pub const FORGET_BLOCKS: u32 = 72;

/// Confirmations before a channel may be announced. BOLT 7 § The `announcement_signatures` Message.
pub const ANNOUNCE_DEPTH: u32 = 6;
