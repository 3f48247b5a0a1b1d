//! Onions: packets that each hop peels, and the failures that come back. BOLT 4.

pub mod attribution;
pub mod blind;
pub mod failure;
mod keys;
pub mod payload;
pub mod sphinx;

#[cfg(test)]
mod vectors;

pub use keys::SharedSecret;
