//! Peers that break every rule: a node drops them, tells why, and goes on with everybody else.

mod closers;
mod forgotten;
mod held;
mod rogue;
pub(crate) mod stranger;
mod strangers;
mod thieves;
