//! How a channel lies on the disk: facts in the journal, whole states in snapshots.
//!
//! A record is a list of facts, each behind its number and its length. A number that this build does not
//! know is an error if it is even and skipped if it is odd, so an older build reads what a newer one
//! only annotated. Everything read is bounded by the bytes that are there.
//!
//! Not here: checksums and positions (the journal).

mod fact;
mod layout;
mod snapshot;
mod terms;

use thiserror::Error;
use wire::codec::{BigSize, Decode, DecodeError, Encode, Reader};

use crate::fact::Fact;

pub(crate) use snapshot::{decode_state, encode_state};

/// Why stored bytes are no channel.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RecordError {
    /// The bytes are not in the form they were written in.
    #[error("damaged record: {0}")]
    Damaged(#[from] DecodeError),
    /// Written by a newer build.
    #[error("record of an unknown kind or version {0}")]
    Newer(u64),
    /// The first fact of a channel is how it was created, and no other is.
    #[error("facts without a beginning")]
    Beginning,
    /// Facts that cannot follow one another.
    #[error("facts out of order")]
    Order,
}

/// Appends one fact.
pub(crate) fn put(fact: &Fact, record: &mut Vec<u8>) {
    let mut body = Vec::new();
    let number = fact::encode(fact, &mut body);
    BigSize(number).encode(record);
    BigSize::of_len(body.len()).encode(record);
    record.append(&mut body);
}

/// The facts of one record, in order.
///
/// Errors if the bytes are damaged or a fact of a newer build cannot be left out.
pub fn facts(record: &[u8]) -> Result<Vec<Fact>, RecordError> {
    let mut r = Reader::new(record);
    let mut facts = Vec::new();
    while !r.is_empty() {
        let number = BigSize::decode(&mut r)?.0;
        let length = BigSize::decode(&mut r)?.0;
        let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
        let mut body = Reader::new(r.take(length)?);
        match fact::decode(number, &mut body)? {
            Some(fact) => {
                body.end()?;
                facts.push(fact);
            }
            None if number % 2 == 1 => {}
            None => return Err(RecordError::Newer(number)),
        }
    }
    Ok(facts)
}

/// Whether a record says more than a turn of the commitment dance: something that people are told.
/// Reads numbers and lengths alone; bytes that are no record tell nothing.
pub fn tells(record: &[u8]) -> bool {
    let mut r = Reader::new(record);
    while !r.is_empty() {
        let Ok(BigSize(number)) = BigSize::decode(&mut r) else { return false };
        let Ok(BigSize(length)) = BigSize::decode(&mut r) else { return false };
        if fact::tells(number) {
            return true;
        }
        let Ok(length) = usize::try_from(length) else { return false };
        if r.take(length).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests;
