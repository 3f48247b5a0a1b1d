//! That a tower does not have what it signed for: its receipt, the question, its signed answer, and the records
//! that the answer should have been over, each with its path to the root of the receipt.
//!
//! The answer has no date. Until the height to which the receipt promises to watch the tower cannot have let
//! go of the session, so the file convicts if somebody saw it before that height ([`Loss::until`]).

use secp256k1::PublicKey;
use thiserror::Error;
use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::message::Sealed;
use crate::proof::audit::{Answer, AuditFault, CHALLENGE_MAX, Challenge, Record};
use crate::proof::mmr::{self, Path, PathError};
use crate::proof::receipt::Receipt;
use crate::proof::tombstone::Tombstone;

/// The contents of such a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LostRecords {
    /// The tower's key.
    pub tower: PublicKey,
    /// What it signed for.
    pub receipt: Receipt,
    /// What it was asked.
    pub challenge: Challenge,
    /// What it answered.
    pub answer: Answer,
    /// The records that it was asked for, in the order of the challenge, each with its place.
    pub records: Vec<(Sealed, Path)>,
}

/// What was proved, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The tower's key.
    pub tower: PublicKey,
    /// The key of the session.
    pub session: PublicKey,
    /// Records that it signed for.
    pub signed: u32,
    /// Records that it was asked for, of which at least one is lost.
    pub asked: usize,
    /// The height that it had seen when it signed.
    pub receipt_height: u32,
    /// The last height at which it promised to watch.
    pub until: u32,
}

/// Why a file proves nothing against the tower.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NoLoss {
    /// The tower's key did not sign the receipt.
    #[error("the receipt is not signed by this tower")]
    NotSigned,
    /// It was asked for what it had not signed for, or nothing.
    #[error("the tower was not asked for records that it had signed for")]
    Unfair,
    /// There are other records in the file than it was asked for.
    #[error("the file has other records than the tower was asked for")]
    OtherRecords,
    /// A path is none.
    #[error("the path to a record is malformed: {0}")]
    BadPath(#[from] PathError),
    /// A path leads to another root.
    #[error("record {seq} is not among those that the tower signed for")]
    NotInRange {
        /// Its number.
        seq: u32,
    },
    /// The client itself had it deleted.
    #[error("the client had record {seq} deleted")]
    Deleted {
        /// Its number.
        seq: u32,
    },
    /// The tower's key did not sign the answer.
    #[error("the answer is not signed by this tower")]
    NotAnswered,
    /// The answer is over these records.
    #[error("the tower has the records: its answer is right")]
    Has,
}

impl LostRecords {
    /// Recomputes everything. `rebuttals` are deletions that the tower shows in its defence.
    ///
    /// # Errors
    /// [`NoLoss`], why the tower is not to blame.
    pub fn verify(&self, rebuttals: &[Tombstone]) -> Result<Loss, NoLoss> {
        let ack = &self.receipt.ack;
        let session = self.receipt.session.key;
        if !self.receipt.is_signed_by(&self.tower) {
            return Err(NoLoss::NotSigned);
        }
        if !self.challenge.is_fair(ack.durable_seq) {
            return Err(NoLoss::Unfair);
        }
        if self.records.len() != self.challenge.seqs.len() {
            return Err(NoLoss::OtherRecords);
        }
        for (seq, (record, path)) in self.challenge.seqs.iter().zip(&self.records) {
            let seq = *seq;
            if path.index != seq || path.count != ack.durable_seq {
                return Err(NoLoss::OtherRecords);
            }
            let leaf = mmr::leaf(seq, &record.hint.0, &record.ciphertext);
            if path.root(&leaf)? != ack.root {
                return Err(NoLoss::NotInRange { seq });
            }
            if rebuttals.iter().any(|stone| stone.excuses(&session, seq)) {
                return Err(NoLoss::Deleted { seq });
            }
        }
        let records = self.challenge.seqs.iter().zip(&self.records);
        let records = records.map(|(seq, (record, _))| Record {
            seq: *seq,
            hint: &record.hint.0,
            ciphertext: &record.ciphertext,
        });
        match self.answer.check(&self.tower, &session, &self.challenge, records) {
            Ok(()) => Err(NoLoss::Has),
            Err(AuditFault::WrongSignature) => Err(NoLoss::NotAnswered),
            Err(AuditFault::Lost) => Ok(Loss {
                tower: self.tower,
                session,
                signed: ack.durable_seq,
                asked: self.challenge.seqs.len(),
                receipt_height: ack.height,
                until: ack.expiry,
            }),
        }
    }
}

impl Encode for LostRecords {
    fn encode(&self, out: &mut Vec<u8>) {
        self.tower.encode(out);
        self.receipt.encode(out);
        out.extend_from_slice(&self.challenge.nonce);
        out.extend_from_slice(&self.answer.digest);
        out.extend_from_slice(&self.answer.signature);
        u32::try_from(self.records.len()).unwrap_or(u32::MAX).encode(out);
        for (record, path) in &self.records {
            record.encode(out);
            path.encode(out);
        }
    }
}

impl Decode for LostRecords {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (tower, receipt) = (PublicKey::decode(r)?, Receipt::decode(r)?);
        let nonce = r.array()?;
        let answer = Answer { digest: r.array()?, signature: r.array()? };
        let count = usize::try_from(u32::decode(r)?).map_err(|_| DecodeError::Range)?;
        if count > CHALLENGE_MAX {
            return Err(DecodeError::Range);
        }
        let records: Vec<(Sealed, Path)> = (0..count)
            .map(|_| Ok((Sealed::decode(r)?, Path::decode(r)?)))
            .collect::<Result<_, DecodeError>>()?;
        // What was asked for is what is there: the places say it.
        let seqs = records.iter().map(|(_, path)| path.index).collect();
        Ok(Self { tower, receipt, challenge: Challenge { nonce, seqs }, answer, records })
    }
}

#[cfg(test)]
mod tests;
