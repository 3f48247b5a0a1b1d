//! Programs of others on our chain, as they are released: they find their own money there and open, pay and close.
//!
//! Not here: LDK as the peer alone, on our own backend (`tests/it/interop`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "tests state what must hold, and end when it does not"
)]

mod bdk;
mod ldk_node;
mod typed;
mod world;
