//! Whole Viaduct nodes in one process, on the built-in chain: crashes, refusals, closes, reorganisations.

mod again;
mod backup;
mod birth;
mod closes;
mod core;
mod crash;
mod esplora;
mod funding;
pub(crate) mod pair;
mod refusals;
pub(crate) mod restored;
mod startup;
mod twice;
mod unconfirmed;
mod why;
