//! Everything that waits: tasks, peers, the journal thread, payments, the wallet, gRPC.

pub mod config;
pub mod datadir;
pub mod rpc;
pub mod seed;
pub mod wallet;
