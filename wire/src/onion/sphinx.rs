//! Packets that show each hop its own payload and nothing else. BOLT 4 § Packet Structure.
//!
//! `build` wraps, `peel` unwraps one layer. Both are pure functions of their arguments, so many can run at once.
//!
//! Not here: what a payload says (`payload`), what comes back (`failure`), blinded routes (`blind`).

mod build;
mod peel;

#[cfg(test)]
mod tests;

pub use build::{BuildFault, Hop, MessageSize, build_message, build_payment, shared_secrets};
pub use peel::{BadOnion, BadOnionKind, PeelFault, Peeled, peel_message, peel_payment};

/// Bytes of version, key and HMAC around the payloads.
const ENVELOPE_LEN: usize = 66;
/// Bytes of the payloads of a payment.
const PAYMENT_PAYLOADS_LEN: usize = 1_300;
/// Bytes of an HMAC.
const HMAC_LEN: usize = 32;
