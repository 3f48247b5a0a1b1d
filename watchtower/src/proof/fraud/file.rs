//! The bytes of the file: a line that says what it is, a version, the parts, a checksum over everything.
//!
//! All integers are big-endian. A file is at most [`FILE_MAX`] long; nothing in it asks for more memory
//! than it has bytes.

use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{BlockHash, Transaction};
use secp256k1::PublicKey;
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::{FraudProof, Headers, Mined};
use crate::message::Sealed;
use crate::proof::mmr::Path;
use crate::proof::receipt::Receipt;
use crate::proof::tombstone::Tombstone;

/// What every file begins with, so that a person who looks at it knows.
const HEAD: &[u8] = b"viaduct watchtower fraud proof\n";

/// A theft, and nothing else.
pub(super) const VERSION_THEFT: u16 = 1;

/// What the first byte of the contents says.
pub(super) const VERSION_ANY: u16 = 2;

/// Bytes of the checksum: SHA256.
const CHECKSUM: usize = 32;

/// The longest file: some seven years of headers, and two transactions.
pub const FILE_MAX: usize = 32 * 1024 * 1024;

/// Deletions that one file may hold.
const TOMBSTONES_MAX: usize = 1_000;

/// Why bytes are no such file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FileError {
    /// It does not begin as one.
    #[error("this is no fraud proof")]
    NotAProof,
    /// Longer than any.
    #[error("{0} bytes are more than a fraud proof has")]
    TooLong(usize),
    /// A later build's.
    #[error("a fraud proof of version {0}, which this build does not know")]
    Version(u16),
    /// A byte was changed on the way.
    #[error("the checksum is wrong: the file is damaged")]
    Checksum,
    /// The checksum is right and the parts are not.
    #[error("the contents are malformed: {0}")]
    Malformed(#[from] DecodeError),
}

/// A file of that version around these contents.
pub(super) fn file(version: u16, contents: &[u8]) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    version.encode(&mut out);
    out.extend_from_slice(contents);
    let checksum = sha256::Hash::hash(&out);
    out.extend_from_slice(checksum.as_byte_array());
    out
}

/// The version of a file and its contents, which are whole; only of those versions.
pub(super) fn body<'a>(bytes: &'a [u8], known: &[u16]) -> Result<(u16, &'a [u8]), FileError> {
    if bytes.len() > FILE_MAX {
        return Err(FileError::TooLong(bytes.len()));
    }
    let body = bytes.strip_prefix(HEAD).ok_or(FileError::NotAProof)?;
    let mut r = Reader::new(body);
    let version = u16::decode(&mut r)?;
    if !known.contains(&version) {
        return Err(FileError::Version(version));
    }
    let (whole, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(FileError::Checksum)?;
    if sha256::Hash::hash(whole).as_byte_array() != checksum {
        return Err(FileError::Checksum);
    }
    let contents = r.rest();
    let contents = contents.split_last_chunk::<CHECKSUM>().ok_or(FileError::Checksum)?.0;
    Ok((version, contents))
}

impl FraudProof {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        file(VERSION_THEFT, &self.encoded())
    }

    /// Reads a file about a theft.
    ///
    /// # Errors
    /// [`FileError`]; a file that reads well is not yet a proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let (_, contents) = body(bytes, &[VERSION_THEFT])?;
        Ok(Self::decode_exact(contents)?)
    }
}

impl Encode for FraudProof {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.chain.as_byte_array());
        self.tower.encode(out);
        long(&self.template, out);
        self.receipt.encode(out);
        self.record.encode(out);
        self.path.encode(out);
        self.headers.encode(out);
        self.breach.encode(out);
        self.theft.encode(out);
        count(self.tombstones.len(), out);
        self.tombstones.iter().for_each(|stone| stone.encode(out));
    }
}

impl Decode for FraudProof {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain: BlockHash::from_byte_array(r.array()?),
            tower: PublicKey::decode(r)?,
            template: take_long(r)?.to_vec(),
            receipt: Receipt::decode(r)?,
            record: Sealed::decode(r)?,
            path: Path::decode(r)?,
            headers: Headers::decode(r)?,
            breach: Mined::decode(r)?,
            theft: Mined::decode(r)?,
            tombstones: {
                let count = take_count(r)?;
                if count > TOMBSTONES_MAX {
                    return Err(DecodeError::Range);
                }
                Tombstone::decode_each(r, count)?
            },
        })
    }
}

impl Encode for Headers {
    fn encode(&self, out: &mut Vec<u8>) {
        self.first_height.encode(out);
        count(self.headers.len(), out);
        self.headers.iter().for_each(|header| out.extend(serialize(header)));
    }
}

impl Decode for Headers {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first_height = u32::decode(r)?;
        let bytes = take_count(r)?.checked_mul(Header::SIZE).ok_or(DecodeError::Range)?;
        let headers = r.take(bytes)?.chunks(Header::SIZE);
        let headers = headers
            .map(|bytes| deserialize(bytes).map_err(|_| DecodeError::Range))
            .collect::<Result<Vec<Header>, _>>()?;
        Ok(Self { first_height, headers })
    }
}

impl Encode for Mined {
    fn encode(&self, out: &mut Vec<u8>) {
        long(&serialize(&self.tx), out);
        self.height.encode(out);
        self.index.encode(out);
        count(self.siblings.len(), out);
        self.siblings.iter().for_each(|sibling| out.extend_from_slice(sibling));
    }
}

impl Decode for Mined {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tx: Transaction = deserialize(take_long(r)?).map_err(|_| DecodeError::Range)?;
        let (height, index) = (u32::decode(r)?, u32::decode(r)?);
        let siblings = take_count(r)?;
        let bytes = siblings.checked_mul(32).ok_or(DecodeError::Range)?;
        let (siblings, _) = r.take(bytes)?.as_chunks::<32>();
        Ok(Self { tx, height, index, siblings: siblings.to_vec() })
    }
}

fn count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).encode(out);
}

fn take_count(r: &mut Reader<'_>) -> Result<usize, DecodeError> {
    usize::try_from(u32::decode(r)?).map_err(|_| DecodeError::Range)
}

fn long(bytes: &[u8], out: &mut Vec<u8>) {
    count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn take_long<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = take_count(r)?;
    r.take(length)
}
