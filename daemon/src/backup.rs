//! What brings the money in channels home when everything but the 24 words is gone: a small encrypted file
//! that names every channel, written at every open and close, and kept by peers too.
//!
//! From it a channel is restored as one that asks its peer to close (`channel::Channel::lost`). It holds no
//! state of a channel, so an old one is never dangerous, only incomplete.
//!
//! Not here: restored channels (`channels::registry`), how they behave (`channel`), users' calls (`rpc`).

pub mod content;
pub mod envelope;
pub mod files;
pub mod shelf;
mod task;
mod traffic;

#[cfg(test)]
mod tests;

pub use content::{Backup, Entry};
pub use envelope::BackupFault;
pub use task::{ASKS, Ahead, Ask, FROM_CHANNELS, FromChannel, Keeper, Start, Status};
