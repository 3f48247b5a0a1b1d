//! Towers that punish for us while we sleep: which there are, what each was told, what is at risk.
//!
//! What a tower is told follows from the journal alone: every state that the peer revoked is a row of the
//! channel (`channel::revoked`), so nothing that a crash could lose stands between a revocation and its
//! record. A task a channel and tower (`upload`) reads rows, makes records and sends them; how far it came
//! is a fact now and then, and what was sent since is made again, byte for byte the same.
//!
//! Not here: records and their keys (`watchtower::kit`), the other end (`watchtower::ingest`).

mod assign;
mod audit;
mod book;
mod checkpoint;
mod delete;
mod drill;
mod guardian;
mod keep;
mod lease;
mod proof;
mod remake;
mod replica;
mod revoked;
mod rows;
mod sealed;
mod shown;
mod task;
mod theft;
mod upload;

pub use book::{Book, Drilled, Kept};
pub use checkpoint::Position;
pub use guardian::ask_before_start;
pub use proof::NoProof;
pub use remake::NoRemake;
pub use revoked::{Now, Revoked};
pub use shown::{
    Audit, AuditEnd, CheckpointShown, Coverage, Drill, DrillStage, DrillTower, OnLag, Session,
    Standing, Tower, Verdict,
};
pub use task::{ASKS, Ask, Manner, Start, Towers};
