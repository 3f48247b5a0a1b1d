//! The first message both ways, LND's `Init` (600) with records of ours behind it.
//!
//! LND ignores bytes behind the chain hash, so its clients and ours say the same message.

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::tlv::{self, Record};

/// The feature bit that says that messages 620 to 641 are understood.
pub const FEATURE_WT2_OPTIONAL: usize = 21;

/// The feature bit that asks for them.
pub const FEATURE_WT2_REQUIRED: usize = 20;

/// The most bytes of features that are read.
const FEATURES_MAX: usize = 64;

/// Who speaks, on which chain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Init {
    /// Feature bits, big-endian as in the BOLTs: bit 0 is the lowest of the last byte.
    pub features: Vec<u8>,
    /// The hash of the chain's first block, as it lies in memory.
    pub chain_hash: [u8; 32],
    /// What the tower takes; from a tower only.
    pub caps: Option<Caps>,
    /// What the tower gives; from a tower only.
    pub offer: Option<Offer>,
}

/// What a tower takes in one go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caps {
    /// Bit 0: replica kits, for this client. The rest is zero.
    pub flags: u32,
    /// Records in one message.
    pub max_batch: u16,
    /// Bytes of one record, hint and ciphertext.
    pub max_record: u32,
}

/// What a tower gives a session that asks for no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offer {
    /// Bytes of records.
    pub bytes_quota: u32,
    /// Blocks for which it takes records.
    pub max_blocks: u32,
    /// Blocks behind that for which it still punishes.
    pub grace_blocks: u32,
}

impl Init {
    /// The type number.
    pub const NUMBER: u16 = 600;

    /// Whether feature `bit` is set.
    pub fn has(&self, bit: usize) -> bool {
        let byte = self.features.iter().rev().nth(bit / 8);
        byte.is_some_and(|byte| byte.checked_shr(shift(bit)).is_some_and(|high| high & 1 == 1))
    }

    /// Sets feature `bit`. A bit beyond what is read (512) is left alone.
    pub fn set(&mut self, bit: usize) {
        let place = bit / 8;
        if place >= FEATURES_MAX {
            return;
        }
        while self.features.len() <= place {
            self.features.insert(0, 0);
        }
        if let Some(byte) = self.features.iter_mut().rev().nth(place) {
            *byte |= 1_u8.checked_shl(shift(bit)).unwrap_or(0);
        }
    }

    /// Type and body, ready for a frame.
    pub fn encode_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        Self::NUMBER.encode(&mut out);
        self.encode(&mut out);
        out
    }

    /// Reads type and body; any other message is an error.
    pub fn decode_frame(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        match u16::decode(&mut r)? {
            Self::NUMBER => Self::decode(&mut r),
            other => Err(DecodeError::UnknownEvenType(other)),
        }
    }
}

/// The place of a bit in its byte.
fn shift(bit: usize) -> u32 {
    u32::try_from(bit % 8).unwrap_or(0)
}

impl Encode for Init {
    fn encode(&self, out: &mut Vec<u8>) {
        self.features.encode(out);
        self.chain_hash.encode(out);
        tlv::put(out, 1, self.caps.as_ref());
        tlv::put(out, 3, self.offer.as_ref());
    }
}

impl Decode for Init {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let features = Vec::<u8>::decode(r)?;
        if features.len() > FEATURES_MAX {
            return Err(DecodeError::Range);
        }
        let chain_hash = r.array()?;
        let (mut caps, mut offer) = (None, None);
        tlv::each(r, |kind, value| match kind {
            1 => {
                caps = Some(Caps::take(value)?);
                Ok(true)
            }
            3 => {
                offer = Some(Offer::take(value)?);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(Self { features, chain_hash, caps, offer })
    }
}

impl Record for Caps {
    fn put(&self, out: &mut Vec<u8>) {
        self.flags.encode(out);
        self.max_batch.encode(out);
        self.max_record.encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { flags: u32::decode(r)?, max_batch: u16::decode(r)?, max_record: u32::decode(r)? })
    }
}

impl Record for Offer {
    fn put(&self, out: &mut Vec<u8>) {
        self.bytes_quota.encode(out);
        self.max_blocks.encode(out);
        self.grace_blocks.encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes_quota: u32::decode(r)?,
            max_blocks: u32::decode(r)?,
            grace_blocks: u32::decode(r)?,
        })
    }
}
