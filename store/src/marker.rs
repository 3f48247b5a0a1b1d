//! A small file that says: this node has had channels. Whoever finds it beside an empty journal must
//! not start, because a node that forgot its channels loses the money in them.
//!
//! It belongs outside the journal's directory, so that losing the one does not take the other along.

use crate::disk::{self, Disk, read_all};
use crate::envelope::{self, EnvelopeError};

/// The file name.
const NAME: &str = "channels-exist";
const KIND: u16 = 0x4d4b;
const VERSION: u16 = 1;
/// An identity key, compressed.
const NODE_ID_BYTES: usize = 33;

/// Why the marker forbids to start.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The marker says that there are channels, and there is no record of them.
    #[error(
        "this directory belongs to a node that has had channels, but its journal is empty or \
         missing; restore the journal. Starting without it could lose the money in the channels"
    )]
    JournalLost,
    /// The marker is that of another node.
    #[error("this directory belongs to another node; check the seed and the data directory")]
    OtherNode,
    /// The marker cannot be read as what it should be. It counts as there.
    #[error("the file {NAME} is damaged: {0}")]
    Damaged(#[from] EnvelopeError),
    /// Written by a newer version of this program.
    #[error("the file {NAME} has version {0}, newer than this program")]
    Newer(u16),
    /// The disk failed.
    #[error("the file {NAME}: {0}")]
    Disk(#[from] std::io::Error),
}

/// Says, durably, that this node has had channels. Before the first funding leaves.
pub fn set<D: Disk>(disk: &D, node_id: &[u8; NODE_ID_BYTES]) -> Result<(), MarkerError> {
    if read(disk)?.as_ref() == Some(node_id) {
        return Ok(());
    }
    let bytes = envelope::seal(KIND, VERSION, node_id).ok_or(EnvelopeError::Length)?;
    Ok(disk::put(disk, NAME, &[&bytes])?)
}

/// The node that has had channels here, if any. A marker that cannot be read is an error.
pub fn read<D: Disk>(disk: &D) -> Result<Option<[u8; NODE_ID_BYTES]>, MarkerError> {
    if !disk.exists(NAME)? {
        return Ok(None);
    }
    let bytes = read_all(disk, NAME)?;
    let (version, payload) = envelope::open(&bytes, KIND)?;
    if version > VERSION {
        return Err(MarkerError::Newer(version));
    }
    Ok(Some(payload.try_into().map_err(|_| EnvelopeError::Length)?))
}

/// Whether nobody but this node has had channels here.
pub fn check_owner<D: Disk>(disk: &D, node_id: &[u8; NODE_ID_BYTES]) -> Result<(), MarkerError> {
    match read(disk)? {
        Some(owner) if owner != *node_id => Err(MarkerError::OtherNode),
        Some(_) | None => Ok(()),
    }
}

/// Whether this node may start over a journal that ends with the record `last` (0: it is empty).
pub fn check<D: Disk>(
    disk: &D,
    node_id: &[u8; NODE_ID_BYTES],
    last: u64,
) -> Result<(), MarkerError> {
    match read(disk)? {
        None => Ok(()),
        Some(owner) if owner != *node_id => Err(MarkerError::OtherNode),
        Some(_) if last == 0 => Err(MarkerError::JournalLost),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
