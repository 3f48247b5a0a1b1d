//! Channels that end in every way there is, with HTLCs in flight, crashes, reorganisations and high fees.
//!
//! BOLT 5 by its sections, with both roles and at low and high feerates where nothing else is said:
//!
//! - Failing a Channel, Mutual Close: `matrix` (together); whichever close was signed: `channel/src/world/closes.rs`;
//!   data that is old: `it/nodes/restored`
//! - Local Commitment, Local and Remote Offers: `matrix` (alone: each HTLC from either side, dust, preimage known or not)
//! - Remote Commitment, Local and Remote Offers: `matrix` (alone, alone in the dark); HTLCs that it lacks, and those of a
//!   commitment that was never acknowledged: `it/rubbish/closers`; with LDK: `it/interop/{disputes, expires}`
//! - Revoked Transaction Close: `matrix` (revoked, in the dark), `breach`; second stages of the thief by timeout: `breach`,
//!   by preimage: `it/disputes_cheat`; 966 HTLCs: `daemon/src/sweeper/tests.rs`, `channel/src/onchain/tests/justice.rs`
//! - Generation of HTLC Transactions, weights: `it/claims`
//! - General Requirements, a spend that nobody knows: `channel/src/world/onchain.rs`; the mempool: `channel/src/world/disputes.rs`

mod blocks;
mod breach;
pub(crate) mod catalogue;
mod crowd;
mod kills;
mod matrix;
mod scenario;

/// `RUST_LOG` says what nodes tell meanwhile.
fn logged() {
    let _already = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}
