//! The one integration binary: whole nodes, real processes, foreign peers, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests state what must hold, and end when it does not"
)]

mod claims;
mod corpus;
mod disputes;
mod disputes_cheat;
mod forwards;
mod gossip;
mod interop;
mod nodes;
mod over;
mod payments_network;
mod processes;
mod rubbish;
mod signet;
mod storm;
mod sweeps;
mod tidy;
mod tower;
