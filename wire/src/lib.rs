//! Bytes both peers must agree on: units, identifiers, messages, noise, onions (BOLT 1, 4, 7, 8, 9).

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
