//! Harness: nodes, chains and peers for the integration tests and benchmarks.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness, not a daemon"
)]

pub mod bench;
pub mod dispute;
pub mod layer1;
pub mod ldk;
pub mod ours;
pub mod until;
