//! What survives a power cut: the journal, its snapshots, and the index behind it.
//!
//! The journal is the truth. A record counts once [`journal::Journal::sync`] has returned, and from
//! then on every opening hands it back, in order and without gaps. Snapshots let the old records go.
//! The index answers questions quickly; it holds nothing that the journal could not give again, so a
//! broken one is moved aside and filled anew.
//!
//! Read in this order: [`disk`] (what may fail), [`journal`] (what is promised), [`index`] (what is
//! merely convenient).
//!
//! Not here: what the bytes of a record mean (`daemon::fact`), and who may say that the disk has
//! caught up (`daemon::journal`).

pub mod archive;
pub mod disk;
pub mod engine;
pub mod envelope;
mod fields;
pub mod guard;
pub mod index;
pub mod journal;
pub mod marker;
pub mod migrate;
pub mod rows;
pub mod table;
