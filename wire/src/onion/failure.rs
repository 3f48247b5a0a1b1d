//! What a hop answers when a payment cannot go on, and how the answer travels back. BOLT 4 § Returning Errors.
//!
//! [`Failure`] is the message, [`ReturnPacket`] its encrypted form, [`read`] what the origin makes of it.
//!
//! Not here: the choice of a failure (`daemon::switch`), the proof of hold times (`attribution`).

mod message;
mod packet;
mod read;

#[cfg(test)]
mod tests;

pub use message::{ChannelUpdateBytes, Failure, code};
pub use packet::ReturnPacket;
pub use read::{Reading, Source, read};
