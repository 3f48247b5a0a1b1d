//! What a tower promised, as bytes anybody can check: ranges over records, receipts, audits, proofs of
//! fault.
//!
//! A tower that is paid and silent looks like one that is paid and awake. So it signs what it has
//! ([`receipt`] over [`mmr`]), its client looks at each signature ([`check`]) and asks for records at
//! random ([`audit`]) and for an answer to a breach of its own making ([`drill`]), and whoever was robbed all the same has a file that proves it to strangers
//! ([`fraud`]), unless the client itself had the record deleted ([`tombstone`]). All of it is pure.

pub mod audit;
pub mod check;
pub mod drill;
pub mod fraud;
pub mod mmr;
pub mod receipt;
pub mod tagged;
pub mod tombstone;
