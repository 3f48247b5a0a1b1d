//! Any file that convicts a tower: of a theft that it let happen, of records that it lost, of receipts that
//! contradict.

use wire::codec::{Decode, DecodeError, Encode, Reader};

use super::file::{FileError, VERSION_ANY, VERSION_THEFT, body, file};
use super::{FraudProof, LostRecords};
use crate::proof::check::Evidence;

/// What a file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exhibit {
    /// It had promised to punish, could, and did not.
    Theft(Box<FraudProof>),
    /// It answered an audit with a wrong hash over its own name.
    Lost(Box<LostRecords>),
    /// It signed two receipts that cannot both be true; [`Evidence::convicts`] judges.
    Receipts(Box<Evidence>),
}

impl Exhibit {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Theft(proof) => return proof.to_bytes(),
            Self::Lost(lost) => {
                1_u8.encode(&mut out);
                lost.encode(&mut out);
            }
            Self::Receipts(evidence) => {
                2_u8.encode(&mut out);
                evidence.encode(&mut out);
            }
        }
        file(VERSION_ANY, &out)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`]; a file that reads well is not yet a proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let (version, contents) = body(bytes, &[VERSION_THEFT, VERSION_ANY])?;
        if version == VERSION_THEFT {
            return Ok(Self::Theft(Box::new(FraudProof::decode_exact(contents)?)));
        }
        let mut r = Reader::new(contents);
        match u8::decode(&mut r)? {
            1 => Ok(Self::Lost(Box::new(LostRecords::decode_exact(r.rest())?))),
            2 => Ok(Self::Receipts(Box::new(Evidence::decode_exact(r.rest())?))),
            _ => Err(DecodeError::Range.into()),
        }
    }
}
