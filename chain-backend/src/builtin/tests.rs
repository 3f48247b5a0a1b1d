//! The chain as its users see it. `harness` knows the API, the cases do not.

mod chaos;
mod consensus;
mod crash;
mod durability;
pub(crate) mod harness;
mod lightning;
mod locks;
mod measure;
mod mempool;
mod property;
mod pruning;
mod reorg;
mod signet;
mod stream;
