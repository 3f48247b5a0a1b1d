//! The chain as its users see it. `harness` knows the API, the cases do not.

mod chaos;
mod closing;
mod consensus;
mod crash;
mod durability;
pub(crate) mod harness;
mod htlcs;
mod lightning;
mod locks;
mod measure;
mod mempool;
mod mutations;
pub(crate) mod outputs;
mod packages;
mod property;
mod pruning;
mod reorg;
mod scripts;
mod signet;
mod stream;
mod zero_fee;
