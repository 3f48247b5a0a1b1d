//! A file that proves to anybody that a tower had promised and did not act.
//!
//! It holds everything, so that nobody has to be asked: the tower's receipt, the record and its path to the
//! root that was signed, what the session was opened with, block headers from the tower's own tip up to
//! the theft, the breach and the theft with their paths into two of those blocks. [`FraudProof::verify`]
//! recomputes all of it. The judge needs three things besides: the tower's key, whether those headers are
//! on the chain, and deletions that the tower can show ([`super::tombstone`]).
//!
//! What is proved: before the breach the tower had signed for a record; that record makes a justice
//! transaction whose every signature is good; the cheater's own output stood in a block for as long as its
//! delay; and then the cheater took it. What is not: that a miner would have taken the justice for what its
//! ladder pays ([`Guilt::feerate_max`] says what that was).
//!
//! Other files convict a tower of less: [`Exhibit`] is any of them.

mod chain;
mod exhibit;
mod file;
mod lost;
mod verify;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use chain::{ChainError, Headers, Mined};
pub use exhibit::Exhibit;
pub use file::{FILE_MAX, FileError};
pub use lost::{Loss, LostRecords, NoLoss};
pub use verify::{Guilt, Rejection, Verdict};

use bitcoin::BlockHash;
use secp256k1::PublicKey;

use super::mmr::Path;
use super::receipt::Receipt;
use super::tombstone::Tombstone;
use crate::message::Sealed;

/// The contents of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FraudProof {
    /// Hash of the first block of the chain it happened on.
    pub chain: BlockHash,
    /// The tower's key.
    pub tower: PublicKey,
    /// What the session was opened with: the template of a sealed kit, encoded.
    pub template: Vec<u8>,
    /// What the tower signed before the breach.
    pub receipt: Receipt,
    /// The record, as the tower had it.
    pub record: Sealed,
    /// Where the record is among those that the receipt is for; its index is the record's number.
    pub path: Path,
    /// From the tower's tip in the receipt up to the block of the theft.
    pub headers: Headers,
    /// The revoked commitment.
    pub breach: Mined,
    /// The transaction with which the cheater took its own output.
    pub theft: Mined,
    /// Deletions that the client signed, if the file is from somebody honest who has them.
    pub tombstones: Vec<Tombstone>,
}
