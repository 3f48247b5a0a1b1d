//! What lies beside the records: checkpoints, a file each, and records read in the order of their numbers.

use std::io;

use ::store::disk::Disk;

use crate::message::Sealed;
use crate::store::order::{Refused, Search};
use crate::store::segment::{self, Head, Stored};
use crate::store::shelf;

const CHECKPOINT: &str = "checkpoint-";

/// Reads records of a session out of these segments, each up to so many bytes, when it is told to.
pub(crate) fn search<D: Disk>(
    disk: D,
    parts: Vec<(u32, u32)>,
    session: u32,
    (first, last): (u32, u32),
) -> Search {
    Search(Box::new(move || {
        let mut found = Vec::new();
        for (number, upto) in parts {
            let bytes = ::store::disk::read_all(&disk, &shelf::name(number))?;
            let Some(head) = Head::decode(&bytes) else { continue };
            let mut at = u32::try_from(segment::HEAD_BYTES).unwrap_or(u32::MAX);
            while at < upto {
                let Some((body, next)) = segment::group_at(&bytes, at, head.salt) else { break };
                let ours = segment::records(body, at).filter(|walked| {
                    walked.session == session && (first..=last).contains(&walked.seq)
                });
                found.extend(ours.map(|walked| Stored {
                    session,
                    seq: walked.seq,
                    sealed: Sealed { hint: walked.hint, ciphertext: walked.bytes.to_vec() },
                }));
                at = next;
            }
        }
        found.sort_by_key(|stored| stored.seq);
        Ok(found)
    }))
}

/// Keeps a checkpoint in place of a lower one, durable when it returns. The version that is kept then.
pub(crate) fn put_checkpoint<D: Disk>(
    disk: &D,
    session: u32,
    version: u64,
    bytes: &[u8],
) -> Result<u64, (Refused, u64)> {
    let (kept, old) = checkpoint(disk, session).map_err(|_| (Refused::ReadOnly, 0))?;
    if version < kept || (version == kept && old != bytes) {
        return Err((Refused::Stale, kept));
    }
    let head = version.to_be_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), bytes).to_be_bytes();
    ::store::disk::put(disk, &name(session), &[&crc, &head, bytes]).map_err(|error| {
        let refused = if shelf::is_full(&error) { Refused::Full } else { Refused::ReadOnly };
        (refused, kept)
    })?;
    Ok(version)
}

/// The checkpoint of a session; version 0 if there is none, or only a damaged one.
pub(crate) fn checkpoint<D: Disk>(disk: &D, session: u32) -> io::Result<(u64, Vec<u8>)> {
    if !disk.exists(&name(session))? {
        return Ok((0, Vec::new()));
    }
    let bytes = ::store::disk::read_all(disk, &name(session))?;
    Ok(parse(&bytes).unwrap_or_else(|| {
        tracing::error!(session, "a checkpoint is damaged");
        (0, Vec::new())
    }))
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (crc, covered) = bytes.split_first_chunk::<4>()?;
    if crc32c::crc32c(covered).to_be_bytes() != *crc {
        return None;
    }
    let (version, content) = covered.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*version), content.to_vec()))
}

fn name(session: u32) -> String {
    format!("{CHECKPOINT}{session:010}")
}
