//! Bytes both peers must agree on: units, identifiers, messages, noise, onions (BOLT 1, 4, 7, 8, 9).
//!
//! Everything here is a pure function of its arguments and stands any input: bytes come in, values or a
//! [`codec::DecodeError`] come out. A message is declared once ([`message`]); its struct, codec, number
//! and round-trip test follow from that.
//!
//! Not here: sockets and clocks (`daemon`), keys at rest (`daemon::seed`), rules of a channel (`channel`).

#[macro_use]
mod declare;
#[cfg(test)]
mod sample;

pub mod codec;
pub mod feature;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod message;
pub mod noise;
pub mod onion;
pub mod tlv;
pub mod units;
