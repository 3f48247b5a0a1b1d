//! wtwire messages 601 to 607, as LND has them (`watchtower/wtwire`).
//!
//! Integers are big-endian, byte strings have a length as Bitcoin's transactions do. LND ignores bytes
//! behind a message, so we do, too.

use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::hint::Hint;
use crate::message::Code;

/// The session exists, and records were taken in it.
pub const ALREADY_EXISTS: Code = Code(60);
/// The tower does not take so many updates, or none.
pub const REJECT_MAX_UPDATES: Code = Code(61);
/// The tower wants another reward.
pub const REJECT_REWARD: Code = Code(62);
/// The tower does not take so low a sweep feerate.
pub const REJECT_SWEEP_FEERATE: Code = Code(63);
/// The tower does not know this type of blob, or does not take it.
pub const REJECT_BLOB_TYPE: Code = Code(64);
/// The client has seen less than it said it had.
pub const CLIENT_BEHIND: Code = Code(70);
/// The session has no number left.
pub const MAX_UPDATES_EXCEEDED: Code = Code(71);
/// The number is neither the last nor the next.
pub const OUT_OF_ORDER: Code = Code(72);

/// The longest byte string of a message.
const STRING_MAX: usize = 65_535;

/// A request for a session: how its blobs look and what justice pays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CreateSession {
    /// Which blobs the session has.
    pub blob_type: u16,
    /// How many updates it has room for; LND asks for 1,024.
    pub max_updates: u16,
    /// Satoshis of a reward, before the rate.
    pub reward_base: u32,
    /// Millionths of what is swept.
    pub reward_rate: u32,
    /// What justice pays, in satoshis per 1,000 weight units.
    pub sweep_feerate: u64,
}

/// One revoked state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateUpdate {
    /// Its number, from 1.
    pub seq_num: u16,
    /// The highest number the client knows to be stored.
    pub last_applied: u16,
    /// Whether the client hangs up after the answer.
    pub is_complete: bool,
    /// By what to find it.
    pub hint: Hint,
    /// Nonce, ciphertext and tag.
    pub encrypted_blob: Vec<u8>,
}

/// A message of LND's but `Init`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// 601: something went wrong that has no answer of its own.
    Error {
        /// Why.
        code: Code,
        /// For people.
        data: Vec<u8>,
    },
    /// 602.
    CreateSession(CreateSession),
    /// 603.
    CreateSessionReply {
        /// Whether there is a session now.
        code: Code,
        /// The last number stored, if it existed.
        last_applied: u16,
        /// The script for the tower's reward, or nothing.
        data: Vec<u8>,
    },
    /// 604.
    StateUpdate(StateUpdate),
    /// 605.
    StateUpdateReply {
        /// Whether it is stored.
        code: Code,
        /// The last number stored.
        last_applied: u16,
    },
    /// 606: deletes the session of this connection's key.
    DeleteSession,
    /// 607.
    DeleteSessionReply {
        /// Whether it is gone.
        code: Code,
    },
}

impl Message {
    /// The type number.
    pub const fn number(&self) -> u16 {
        match self {
            Self::Error { .. } => 601,
            Self::CreateSession(_) => 602,
            Self::CreateSessionReply { .. } => 603,
            Self::StateUpdate(_) => 604,
            Self::StateUpdateReply { .. } => 605,
            Self::DeleteSession => 606,
            Self::DeleteSessionReply { .. } => 607,
        }
    }

    /// Whether a frame begins with the number of one of these.
    pub fn is_one(frame: &[u8]) -> bool {
        u16::decode(&mut Reader::new(frame)).is_ok_and(|number| (601..=607).contains(&number))
    }

    /// Type and body, ready for a frame.
    pub fn encode_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        self.number().encode(&mut out);
        match self {
            Self::Error { code, data } => {
                code.encode(&mut out);
                put_string(data, &mut out);
            }
            Self::CreateSession(create) => create.encode(&mut out),
            Self::CreateSessionReply { code, last_applied, data } => {
                code.encode(&mut out);
                last_applied.encode(&mut out);
                put_string(data, &mut out);
            }
            Self::StateUpdate(update) => update.encode(&mut out),
            Self::StateUpdateReply { code, last_applied } => {
                code.encode(&mut out);
                last_applied.encode(&mut out);
            }
            Self::DeleteSession => {}
            Self::DeleteSessionReply { code } => code.encode(&mut out),
        }
        out
    }

    /// Reads type and body.
    ///
    /// # Errors
    /// [`DecodeError::UnknownEvenType`] for every number that is none of these: LND knows no odd ones.
    pub fn decode_frame(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let r = &mut reader;
        Ok(match u16::decode(r)? {
            601 => Self::Error { code: Code::decode(r)?, data: take_string(r)? },
            602 => Self::CreateSession(CreateSession::decode(r)?),
            603 => Self::CreateSessionReply {
                code: Code::decode(r)?,
                last_applied: u16::decode(r)?,
                data: take_string(r)?,
            },
            604 => Self::StateUpdate(StateUpdate::decode(r)?),
            605 => Self::StateUpdateReply { code: Code::decode(r)?, last_applied: u16::decode(r)? },
            606 => Self::DeleteSession,
            607 => Self::DeleteSessionReply { code: Code::decode(r)? },
            other => return Err(DecodeError::UnknownEvenType(other)),
        })
    }
}

impl Encode for CreateSession {
    fn encode(&self, out: &mut Vec<u8>) {
        self.blob_type.encode(out);
        self.max_updates.encode(out);
        self.reward_base.encode(out);
        self.reward_rate.encode(out);
        self.sweep_feerate.encode(out);
    }
}

impl Decode for CreateSession {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            blob_type: u16::decode(r)?,
            max_updates: u16::decode(r)?,
            reward_base: u32::decode(r)?,
            reward_rate: u32::decode(r)?,
            sweep_feerate: u64::decode(r)?,
        })
    }
}

impl Encode for StateUpdate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.seq_num.encode(out);
        self.last_applied.encode(out);
        u8::from(self.is_complete).encode(out);
        out.extend_from_slice(&self.hint.0);
        put_string(&self.encrypted_blob, out);
    }
}

impl Decode for StateUpdate {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            seq_num: u16::decode(r)?,
            last_applied: u16::decode(r)?,
            // LND looks for exactly 1.
            is_complete: u8::decode(r)? == 1,
            hint: Hint(r.array()?),
            encrypted_blob: take_string(r)?,
        })
    }
}

/// A length of one, three or five bytes, least significant first, and the bytes.
fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    let length = bytes.len().min(STRING_MAX);
    match u16::try_from(length).unwrap_or(u16::MAX) {
        short @ 0..=0xfc => out.extend(short.to_le_bytes().first()),
        long => {
            out.push(0xfd);
            out.extend(long.to_le_bytes());
        }
    }
    out.extend(bytes.iter().take(length));
}

fn take_string(r: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let length = match u8::decode(r)? {
        short @ 0..=0xfc => usize::from(short),
        0xfd => {
            let long = u16::from_le_bytes(r.array()?);
            if long < 0xfd {
                return Err(DecodeError::NotCanonical);
            }
            usize::from(long)
        }
        // No frame holds so much.
        0xfe | 0xff => return Err(DecodeError::Range),
    };
    Ok(r.take(length)?.to_vec())
}
