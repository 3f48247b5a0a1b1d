//! Arrays, counted lists and the rest of a message (BOLT 1 § Fundamental Types).

use super::{Decode, DecodeError, Encode, Reader};

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array()
    }
}

/// A `u16` count, then the elements; for bytes that is a `u16` length.
///
/// A list is cut after 65,535 elements, the most the count can say (and more than a message holds);
/// longer lists of our own records go into a [`Long`].
impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        let count = u16::try_from(self.len()).unwrap_or(u16::MAX);
        count.encode(out);
        T::encode_each(self.get(..usize::from(count)).unwrap_or(self), out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u16::decode(r)?;
        T::decode_each(r, usize::from(count))
    }
}

/// Everything up to the end of the message, as it came.
///
/// Messages that are signed and passed on keep their unknown tail in one of these: "the extension is
/// part of the signed bytes" (BOLT 1 § Appendix C).
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Rest(pub Vec<u8>);

impl Encode for Rest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Rest {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.rest().to_vec()))
    }
}

/// A list behind a `u32` count, for records on disk that may outgrow a message. Not a BOLT encoding.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Long<T>(pub Vec<T>);

impl<T: Encode> Encode for Long<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        count.encode(out);
        T::encode_each(&self.0, out);
    }
}

impl<T: Decode> Decode for Long<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::try_from(u32::decode(r)?).map_err(|_| DecodeError::Short)?;
        // Every element takes a byte at least, so a greater count is a lie.
        if count > r.len() {
            return Err(DecodeError::Short);
        }
        T::decode_each(r, count).map(Self)
    }
}
