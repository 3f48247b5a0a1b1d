//! Arrays behind an encoding byte (BOLT 7 § Query Messages).
//!
//! Only encoding 0, uncompressed, exists any more; zlib lets a small message ask for much memory.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::tlv::Record;

/// An `encoded_` array: an encoding byte 0, then the elements. In a message a `u16` length in bytes
/// goes before it; in a TLV record the record's length does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Encoded<T>(pub Vec<T>);

impl<T: Encode> Encode for Encoded<T> {
    /// Elements that no longer fit the 16 bits of the length are left out.
    fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0, 0]);
        let start = out.len();
        out.push(0);
        for item in &self.0 {
            let fits = out.len();
            item.encode(out);
            if u16::try_from(out.len().saturating_sub(start)).is_err() {
                out.truncate(fits);
                break;
            }
        }
        let length = u16::try_from(out.len().saturating_sub(start)).unwrap_or(u16::MAX);
        for (to, from) in out.iter_mut().skip(at).zip(length.to_be_bytes()) {
            *to = from;
        }
    }
}

impl<T: Decode> Decode for Encoded<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = u16::decode(r)?;
        elements(&mut Reader::new(r.take(usize::from(length))?))
    }
}

impl<T: Encode + Decode> Record for Encoded<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(0);
        T::encode_each(&self.0, out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        elements(r)
    }
}

fn elements<T: Decode>(r: &mut Reader<'_>) -> Result<Encoded<T>, DecodeError> {
    match u8::decode(r)? {
        0 => T::decode_rest(r).map(Encoded),
        // BOLT 7: "`1`: Previously used for zlib compression, this encoding MUST NOT be used."
        refused => Err(DecodeError::Encoding(refused)),
    }
}

#[cfg(test)]
impl<T: crate::sample::Sample> crate::sample::Sample for Encoded<T> {
    fn sample(seed: &mut crate::sample::Seed) -> Self {
        Self(Vec::sample(seed))
    }
}
