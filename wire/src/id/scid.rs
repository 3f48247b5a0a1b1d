//! Where a funding output is in the chain (BOLT 7 § Definition of `short_channel_id`).

use core::fmt;
use core::str::FromStr;

use super::ParseError;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::units::BlockHeight;

/// Block, transaction and output in one number; also an alias, then without any such meaning.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShortChannelId(u64);

impl ShortChannelId {
    /// The most that the block and the transaction may be: 24 bits each.
    const PART_MAX: u32 = 0xff_ffff;

    /// The number as it is, for aliases and the codec.
    pub const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// The number as it is.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// `None` if the block or the transaction needs more than 24 bits.
    pub fn from_parts(block: BlockHeight, transaction: u32, output: u16) -> Option<Self> {
        if block.0 > Self::PART_MAX || transaction > Self::PART_MAX {
            return None;
        }
        Some(Self(u64::from(block.0) << 40 | u64::from(transaction) << 16 | u64::from(output)))
    }

    /// The block that holds the funding transaction.
    pub const fn block(self) -> BlockHeight {
        let [a, b, c, ..] = self.0.to_be_bytes();
        BlockHeight(u32::from_be_bytes([0, a, b, c]))
    }

    /// The place of the funding transaction in its block; the coinbase is 0.
    pub const fn transaction(self) -> u32 {
        let [_, _, _, a, b, c, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([0, a, b, c])
    }

    /// The place of the funding output in its transaction.
    pub const fn output(self) -> u16 {
        let [.., a, b] = self.0.to_be_bytes();
        u16::from_be_bytes([a, b])
    }
}

impl fmt::Display for ShortChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.block(), self.transaction(), self.output())
    }
}

impl fmt::Debug for ShortChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortChannelId({self})")
    }
}

impl FromStr for ShortChannelId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parts = text.split('x').map(decimal);
        let (Some(Some(block)), Some(Some(transaction)), Some(Some(output)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseError::ShortChannelId);
        };
        u16::try_from(output)
            .ok()
            .and_then(|output| Self::from_parts(BlockHeight(block), transaction, output))
            .ok_or(ParseError::ShortChannelId)
    }
}

/// Digits only: the parser of the standard library would let a plus sign through.
fn decimal(part: &str) -> Option<u32> {
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
}

impl Encode for ShortChannelId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for ShortChannelId {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u64::decode(r).map(Self)
    }
}
