//! Real processes from the built programs: `viaduct-chain`, `viaductd` and `viaduct`, killed and started.

mod demo;
mod disk;
mod flood;
mod money;
mod network;
pub(crate) mod programs;
mod refusals;
mod signet;
