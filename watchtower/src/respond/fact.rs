//! What the journal says of breaches: that there is one and what can be taken, what was sent, who got it.
//!
//! Not here: what these add up to (`book`), what is decided (`plan`).

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Txid};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::units::Sat;

use crate::kit::claim::Claim;
use crate::respond::topup::Added;

/// Who took an output.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Taker {
    /// A transaction of this tower.
    Us,
    /// One that pays the client, made by somebody else: another tower of the client, or the client.
    Other,
    /// The cheater.
    Them,
}

/// Something that is true from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClaimFact {
    /// A transaction has outputs that can be taken: a revoked commitment, or what was made of one.
    Found {
        /// It.
        source: Txid,
        /// What it spends: if another transaction does, it never happened.
        inputs: Vec<OutPoint>,
        /// Whose record showed it.
        session: u32,
        /// Which record.
        seq: u32,
        /// What can be taken.
        claims: Vec<Claim>,
    },
    /// It is in a block.
    Confirmed {
        /// It.
        source: Txid,
        /// The block's height.
        height: u32,
    },
    /// Another transaction in a block spends what it spends.
    Overtaken {
        /// It.
        source: Txid,
        /// The other.
        by: Txid,
        /// The block's height.
        height: u32,
    },
    /// Blocks above this height never happened.
    Rewound {
        /// The height.
        height: u32,
    },
    /// A transaction of ours is about to be handed in.
    Sent {
        /// It.
        txid: Txid,
        /// What of it is claimed.
        outpoints: Vec<OutPoint>,
        /// What it pays.
        fee: Sat,
        /// What it weighs.
        weight: u64,
        /// The height then.
        height: u32,
        /// A coin of the tower's own in it.
        added: Option<Added>,
    },
    /// An output was taken in a block.
    Taken {
        /// The output.
        outpoint: OutPoint,
        /// By this transaction.
        by: Txid,
        /// Whose it is.
        taker: Taker,
        /// The block's height.
        height: u32,
    },
    /// Everything of a transaction was decided a hundred blocks ago.
    Ended {
        /// It.
        source: Txid,
    },
    /// A record opened and could not be used.
    Useless {
        /// The transaction that opened it.
        source: Txid,
        /// Whose record.
        session: u32,
        /// Which.
        seq: u32,
        /// Why, for people.
        reason: String,
    },
}

impl Encode for ClaimFact {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Found { source, inputs, session, seq, claims } => {
                0_u8.encode(out);
                txid(source, out);
                inputs.encode(out);
                session.encode(out);
                seq.encode(out);
                claims.encode(out);
            }
            Self::Confirmed { source, height } => {
                1_u8.encode(out);
                txid(source, out);
                height.encode(out);
            }
            Self::Overtaken { source, by, height } => {
                2_u8.encode(out);
                txid(source, out);
                txid(by, out);
                height.encode(out);
            }
            Self::Rewound { height } => {
                3_u8.encode(out);
                height.encode(out);
            }
            Self::Sent { txid: id, outpoints, fee, weight, height, added } => {
                let kind: u8 = if added.is_some() { 8 } else { 4 };
                kind.encode(out);
                txid(id, out);
                outpoints.encode(out);
                fee.encode(out);
                weight.encode(out);
                height.encode(out);
                if let Some(added) = added {
                    added.encode(out);
                }
            }
            Self::Taken { outpoint, by, taker, height } => {
                5_u8.encode(out);
                outpoint.encode(out);
                txid(by, out);
                taker.encode(out);
                height.encode(out);
            }
            Self::Ended { source } => {
                6_u8.encode(out);
                txid(source, out);
            }
            Self::Useless { source, session, seq, reason } => {
                7_u8.encode(out);
                txid(source, out);
                session.encode(out);
                seq.encode(out);
                out.extend_from_slice(reason.as_bytes());
            }
        }
    }
}

impl Decode for ClaimFact {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Found {
                source: read_txid(r)?,
                inputs: Vec::decode(r)?,
                session: u32::decode(r)?,
                seq: u32::decode(r)?,
                claims: Vec::decode(r)?,
            },
            1 => Self::Confirmed { source: read_txid(r)?, height: u32::decode(r)? },
            2 => Self::Overtaken {
                source: read_txid(r)?,
                by: read_txid(r)?,
                height: u32::decode(r)?,
            },
            3 => Self::Rewound { height: u32::decode(r)? },
            kind @ (4 | 8) => Self::Sent {
                txid: read_txid(r)?,
                outpoints: Vec::decode(r)?,
                fee: Sat::decode(r)?,
                weight: u64::decode(r)?,
                height: u32::decode(r)?,
                added: if kind == 8 { Some(Added::decode(r)?) } else { None },
            },
            5 => Self::Taken {
                outpoint: OutPoint::decode(r)?,
                by: read_txid(r)?,
                taker: Taker::decode(r)?,
                height: u32::decode(r)?,
            },
            6 => Self::Ended { source: read_txid(r)? },
            7 => Self::Useless {
                source: read_txid(r)?,
                session: u32::decode(r)?,
                seq: u32::decode(r)?,
                reason: String::from_utf8_lossy(r.rest()).into_owned(),
            },
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Taker {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Us => 0_u8,
            Self::Other => 1,
            Self::Them => 2,
        }
        .encode(out);
    }
}

impl Decode for Taker {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Us,
            1 => Self::Other,
            2 => Self::Them,
            _ => return Err(DecodeError::Range),
        })
    }
}

/// As it lies in memory.
pub(crate) fn txid(txid: &Txid, out: &mut Vec<u8>) {
    out.extend_from_slice(txid.as_byte_array());
}

/// What [`txid`] wrote.
pub(crate) fn read_txid(r: &mut Reader<'_>) -> Result<Txid, DecodeError> {
    r.array().map(Txid::from_byte_array)
}
