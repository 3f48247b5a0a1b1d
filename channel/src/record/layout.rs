//! Small shapes that several records share.

use bitcoin::Transaction;
use bitcoin::consensus::encode::{deserialize, serialize};
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::units::BlockHeight;

use crate::clock::{Clock, Moment, Side};
use crate::effect::{AbandonReason, CloseReason, Outcome, Spender};
use crate::event::Origin;
use crate::fact::{
    Add, AddIn, AddOut, CloseTerms, Removal, Signatures, TheirRemoval, TheySigned, Told, WeSigned,
};
use crate::fault::PeerFault;

/// Declares that a struct is its fields, one after the other.
macro_rules! fields {
    ($( $name:ident { $($field:ident),* $(,)? } )*) => { $(
        impl wire::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( wire::codec::Encode::encode(&self.$field, out); )*
            }
        }

        impl wire::codec::Decode for $name {
            fn decode(
                r: &mut wire::codec::Reader<'_>,
            ) -> Result<Self, wire::codec::DecodeError> {
                Ok(Self { $( $field: wire::codec::Decode::decode(r)?, )* })
            }
        }
    )* };
}

pub(super) use fields;

fields! {
    AddOut { add, origin }
    AddIn { add, overexposed }
    WeSigned { adds, feerate }
    TheySigned { adds, removals, feerate, signatures }
    Signatures { commitment, htlcs }
    CloseTerms { fee_sat, pays_us, pays_them }
}

/// The last byte says what follows it or holds besides: 1 a `path_key`, 2 `accountable`.
impl Encode for Add {
    fn encode(&self, out: &mut Vec<u8>) {
        self.id.encode(out);
        self.amount_msat.encode(out);
        self.payment_hash.encode(out);
        self.cltv_expiry.encode(out);
        self.onion.encode(out);
        out.push(u8::from(self.path_key.is_some()) | (u8::from(self.accountable) << 1));
        if let Some(path_key) = &self.path_key {
            path_key.encode(out);
        }
    }
}

impl Decode for Add {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (id, amount_msat) = (Decode::decode(r)?, Decode::decode(r)?);
        let (payment_hash, cltv_expiry) = (Decode::decode(r)?, Decode::decode(r)?);
        let onion = Decode::decode(r)?;
        let flags = u8::decode(r)?;
        if flags > 3 {
            return Err(DecodeError::Range);
        }
        let path_key = (flags & 1 == 1).then(|| Decode::decode(r)).transpose()?;
        let accountable = flags & 2 == 2;
        Ok(Self { id, amount_msat, payment_hash, cltv_expiry, onion, path_key, accountable })
    }
}

impl Encode for Side {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Us => 0,
            Self::Them => 1,
        });
    }
}

impl Decode for Side {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            0 => Ok(Self::Us),
            1 => Ok(Self::Them),
            _ => Err(DecodeError::Range),
        }
    }
}

impl Encode for Clock {
    fn encode(&self, out: &mut Vec<u8>) {
        self.proposer().encode(out);
        out.push(self.moment().code());
    }
}

impl Decode for Clock {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let proposer = Side::decode(r)?;
        let moment = Moment::from_code(u8::decode(r)?).ok_or(DecodeError::Range)?;
        Ok(Self::at(proposer, moment))
    }
}

impl Encode for Origin {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Payment { payment_id, part } => {
                out.push(0);
                payment_id.encode(out);
                part.encode(out);
            }
            Self::Forward { channel, htlc } => {
                out.push(1);
                channel.encode(out);
                htlc.encode(out);
            }
        }
    }
}

impl Decode for Origin {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            0 => Ok(Self::Payment { payment_id: Decode::decode(r)?, part: Decode::decode(r)? }),
            1 => Ok(Self::Forward { channel: Decode::decode(r)?, htlc: Decode::decode(r)? }),
            _ => Err(DecodeError::Range),
        }
    }
}

impl Encode for Removal {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fulfill { preimage, attribution } => {
                out.push(0);
                preimage.encode(out);
                attribution.encode(out);
            }
            Self::Fail { reason, attribution } => {
                out.push(1);
                reason.encode(out);
                attribution.encode(out);
            }
            Self::Malformed { sha256_of_onion, failure_code } => {
                out.push(2);
                sha256_of_onion.encode(out);
                failure_code.encode(out);
            }
        }
    }
}

impl Decode for Removal {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Fulfill { preimage: Decode::decode(r)?, attribution: Decode::decode(r)? },
            1 => Self::Fail { reason: Decode::decode(r)?, attribution: Decode::decode(r)? },
            2 => Self::Malformed {
                sha256_of_onion: Decode::decode(r)?,
                failure_code: Decode::decode(r)?,
            },
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for TheirRemoval {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fulfilled => out.push(0),
            Self::Failed { reason, attribution } => {
                out.push(1);
                reason.encode(out);
                attribution.encode(out);
            }
            Self::Malformed { sha256_of_onion, failure_code } => {
                out.push(2);
                sha256_of_onion.encode(out);
                failure_code.encode(out);
            }
        }
    }
}

impl Decode for TheirRemoval {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Fulfilled,
            1 => Self::Failed { reason: Decode::decode(r)?, attribution: Decode::decode(r)? },
            2 => Self::Malformed {
                sha256_of_onion: Decode::decode(r)?,
                failure_code: Decode::decode(r)?,
            },
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Outcome {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fulfilled { preimage, attribution } => {
                out.push(0);
                preimage.encode(out);
                attribution.encode(out);
            }
            Self::Failed { reason, attribution } => {
                out.push(1);
                reason.encode(out);
                attribution.encode(out);
            }
            Self::Malformed { sha256_of_onion, failure_code } => {
                out.push(2);
                sha256_of_onion.encode(out);
                failure_code.encode(out);
            }
            Self::TimedOut => out.push(3),
            Self::Unsent => out.push(4),
        }
    }
}

impl Decode for Outcome {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Fulfilled { preimage: Decode::decode(r)?, attribution: Decode::decode(r)? },
            1 => Self::Failed { reason: Decode::decode(r)?, attribution: Decode::decode(r)? },
            2 => Self::Malformed {
                sha256_of_onion: Decode::decode(r)?,
                failure_code: Decode::decode(r)?,
            },
            3 => Self::TimedOut,
            4 => Self::Unsent,
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for PeerFault {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
    }
}

impl Decode for PeerFault {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_code(u8::decode(r)?).ok_or(DecodeError::Range)
    }
}

impl Encode for CloseReason {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Asked => out.push(0),
            Self::Fault(fault) => {
                out.push(1);
                fault.encode(out);
            }
            Self::PeerError => out.push(2),
            Self::HtlcDeadline { offered_by_us, htlc, cltv_expiry } => {
                out.push(3);
                offered_by_us.encode(out);
                htlc.encode(out);
                cltv_expiry.encode(out);
            }
            Self::FundingConflict { by, lost } => {
                out.push(4);
                by.encode(out);
                lost.encode(out);
            }
            Self::FundingNeverCame { lost } => {
                out.push(5);
                lost.encode(out);
            }
        }
    }
}

impl Decode for CloseReason {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Asked,
            1 => Self::Fault(Decode::decode(r)?),
            2 => Self::PeerError,
            3 => Self::HtlcDeadline {
                offered_by_us: Decode::decode(r)?,
                htlc: Decode::decode(r)?,
                cltv_expiry: BlockHeight::decode(r)?,
            },
            4 => Self::FundingConflict { by: Decode::decode(r)?, lost: Decode::decode(r)? },
            5 => Self::FundingNeverCame { lost: Decode::decode(r)? },
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for AbandonReason {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Disconnected => out.push(0),
            Self::Fault(fault) => {
                out.push(1);
                fault.encode(out);
            }
            Self::PeerError { text } => {
                out.push(2);
                text.as_bytes().to_vec().encode(out);
            }
            Self::FundingFailed => out.push(3),
            Self::Asked => out.push(4),
            Self::NeverFunded => out.push(5),
        }
    }
}

impl Decode for AbandonReason {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Disconnected,
            1 => Self::Fault(Decode::decode(r)?),
            2 => Self::PeerError {
                text: String::from_utf8(Decode::decode(r)?).map_err(|_| DecodeError::Range)?,
            },
            3 => Self::FundingFailed,
            4 => Self::Asked,
            5 => Self::NeverFunded,
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Spender {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::MutualClose => 0,
            Self::OurCommitment => 1,
            Self::TheirCommitment => 2,
            Self::RevokedCommitment => 3,
            Self::FutureCommitment => 4,
            Self::Unknown => 5,
        });
    }
}

impl Decode for Spender {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::MutualClose,
            1 => Self::OurCommitment,
            2 => Self::TheirCommitment,
            3 => Self::RevokedCommitment,
            4 => Self::FutureCommitment,
            5 => Self::Unknown,
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Told {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::PeerError(text) => {
                out.push(0);
                text.as_bytes().to_vec().encode(out);
            }
            Self::SpentBy(by) => {
                out.push(1);
                by.encode(out);
            }
        }
    }
}

impl Decode for Told {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::PeerError(
                String::from_utf8(Decode::decode(r)?).map_err(|_| DecodeError::Range)?,
            ),
            1 => Self::SpentBy(Decode::decode(r)?),
            _ => return Err(DecodeError::Range),
        })
    }
}

/// A transaction in its consensus form, behind its length.
pub(super) fn put_tx(tx: &Transaction, out: &mut Vec<u8>) {
    Long(serialize(tx)).encode(out);
}

/// Reads what [`put_tx`] wrote.
pub(super) fn take_tx(r: &mut Reader<'_>) -> Result<Transaction, DecodeError> {
    deserialize(&Long::<u8>::decode(r)?.0).map_err(|_| DecodeError::Range)
}
