//! Foreign peers: LDK over real TCP, on blocks of the built-in chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "helpers of tests"
)]

mod blinded;
mod closes;
mod disputes;
mod expires;
mod gossip;
mod keeps;
mod kinds;
mod ldk_alone;
mod network;
mod pays;
mod stops;
mod table;
mod unconfirmed;
