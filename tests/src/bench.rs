//! Benchmarks: what is measured, how it is told.

pub mod chain;
pub mod cost;
pub mod disputes;
pub mod figure;
pub mod floor;
pub mod forwarding;
pub mod ldk_rig;
pub mod our_rig;
pub mod payments;
pub mod rig;
pub mod routing;
pub mod tower;
