//! Towers that punish for us while we sleep: which there are, what each was told, what is at risk.
//!
//! What a tower is told follows from the journal alone: every state that the peer revoked is a row of the
//! channel (`channel::revoked`), so nothing that a crash could lose stands between a revocation and its
//! record. A task a channel and tower (`upload`) reads rows, makes records and sends them; how far it came
//! is a fact now and then, and what was sent since is made again, byte for byte the same.
//!
//! Not here: records and their keys (`watchtower::kit`), the other end (`watchtower::ingest`).

mod assign;
mod book;
mod delete;
mod replica;
mod revoked;
mod rows;
mod sealed;
mod shown;
mod task;
mod upload;

pub use book::{Book, Kept};
pub use revoked::Revoked;
pub use shown::{Coverage, OnLag, Session, Standing, Tower};
pub use task::{ASKS, Ask, Manner, Start, Towers};
