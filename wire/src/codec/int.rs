//! Integers: fixed, BigSize and truncated (BOLT 1 § Fundamental Types, § Appendix A).

use super::{Decode, DecodeError, Encode, Reader};
use crate::units::{BlockHeight, CltvDelta, FeeratePerKw, Msat, Sat};

macro_rules! fixed {
    ($($int:ty),*) => { $(
        impl Encode for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }

        impl Decode for $int {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.array().map(Self::from_be_bytes)
            }
        }
    )* };
}

fixed!(u16, u32, u64, i8, i16, i32, i64);

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn encode_each(items: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }
}

impl Decode for u8 {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array().map(|[byte]| byte)
    }

    fn decode_each(r: &mut Reader<'_>, count: usize) -> Result<Vec<Self>, DecodeError> {
        r.take(count).map(<[Self]>::to_vec)
    }

    fn decode_rest(r: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        Ok(r.rest().to_vec())
    }
}

macro_rules! wrapped {
    ($($name:ident($int:ty)),*) => { $(
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                <$int>::decode(r).map(Self)
            }
        }
    )* };
}

wrapped!(FeeratePerKw(u32), BlockHeight(u32), CltvDelta(u16));

impl Encode for Msat {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_u64().encode(out);
    }
}

impl Decode for Msat {
    // BOLT 1: "milli-satoshi amounts MUST be at most `0x1d24b2dfac520000`"
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(u64::decode(r)?).ok_or(DecodeError::Range)
    }
}

impl Encode for Sat {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_sat().encode(out);
    }
}

impl Decode for Sat {
    // BOLT 1: "satoshi amounts MUST be at most `0x000775f05a074000`"
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let amount = Self::from_sat(u64::decode(r)?);
        if amount <= Self::MAX_MONEY { Ok(amount) } else { Err(DecodeError::Range) }
    }
}

/// An unsigned integer in 1, 3, 5 or 9 bytes; only the shortest form is read.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BigSize(pub u64);

impl BigSize {
    /// A length in memory; `usize` never exceeds `u64` where this runs.
    pub fn of_len(len: usize) -> Self {
        Self(u64::try_from(len).unwrap_or(u64::MAX))
    }

    /// The bytes of the shortest form: how many of the returned nine are used, and they.
    fn shortest(self) -> ([u8; 9], usize) {
        let [a, b, c, d, e, f, g, h] = self.0.to_be_bytes();
        match self.0 {
            0..=0xfc => ([h, 0, 0, 0, 0, 0, 0, 0, 0], 1),
            0xfd..=0xffff => ([0xfd, g, h, 0, 0, 0, 0, 0, 0], 3),
            0x1_0000..=0xffff_ffff => ([0xfe, e, f, g, h, 0, 0, 0, 0], 5),
            0x1_0000_0000.. => ([0xff, a, b, c, d, e, f, g, h], 9),
        }
    }
}

impl Encode for BigSize {
    fn encode(&self, out: &mut Vec<u8>) {
        let (bytes, used) = self.shortest();
        out.extend(bytes.iter().take(used));
    }
}

impl Decode for BigSize {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (value, least) = match u8::decode(r)? {
            0xfd => (u64::from(u16::decode(r)?), 0xfd),
            0xfe => (u64::from(u32::decode(r)?), 0x1_0000),
            0xff => (u64::decode(r)?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least { Err(DecodeError::NotCanonical) } else { Ok(Self(value)) }
    }
}

macro_rules! truncated {
    ($($(#[$doc:meta])* $name:ident($int:ty, $bytes:literal)),*) => { $(
        $(#[$doc])*
        ///
        /// Leading zero bytes are left out, zero is no bytes at all; so it takes everything that is
        /// left and stands only at the end of a TLV record.
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub $int);

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(self.0.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
            }
        }

        impl Decode for $name {
            // BOLT 1: "Leading zeros in truncated integers MUST be omitted"
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let bytes = r.rest();
                if bytes.len() > $bytes {
                    return Err(DecodeError::Long);
                }
                if bytes.first() == Some(&0) {
                    return Err(DecodeError::NotCanonical);
                }
                let mut wide = [0; $bytes];
                for (to, from) in wide.iter_mut().rev().zip(bytes.iter().rev()) {
                    *to = *from;
                }
                Ok(Self(<$int>::from_be_bytes(wide)))
            }
        }
    )* };
}

truncated!(
    /// A truncated integer of 0 to 2 bytes.
    Tu16(u16, 2),
    /// A truncated integer of 0 to 4 bytes.
    Tu32(u32, 4),
    /// A truncated integer of 0 to 8 bytes.
    Tu64(u64, 8)
);
