//! Everything that waits: tasks, peers, the journal thread, payments, the wallet, gRPC.

pub mod backup;
pub mod boot;
pub mod channels;
pub mod clock;
pub mod config;
pub mod datadir;
pub mod edge;
pub mod fact;
pub mod gossip;
pub mod identity;
pub mod journal;
pub mod keeper;
pub mod layer1;
pub mod logging;
pub mod node;
pub mod payments;
pub mod peers;
pub mod policy;
pub mod rpc;
pub mod seed;
pub mod state;
pub mod switch;
pub mod tasks;
pub mod wallet;
pub mod why;
