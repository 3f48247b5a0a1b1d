//! What LND's clients speak: wtwire messages 601 to 607, its blobs, its justice transactions.
//!
//! A node that runs LND can use our tower, and our node can use LND's. Everything here is pure: bytes in,
//! bytes and decisions out. All of LND's blob types but the one with a reward are served: legacy,
//! anchors, and both kinds of taproot channels; what it asks its tower to take is `to_local` and
//! `to_remote` at one price that was fixed when the state was revoked.
//!
//! Not here: `Init` (600), which is the same for both kinds of clients ([`crate::message`]); sockets and
//! disks ([`crate::ingest`], [`crate::store`]).

pub mod blob;
pub mod justice;
pub mod script;
pub mod session;
pub mod uploader;
pub mod wire;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
