//! Streams of typed records (BOLT 1 § Type-Length-Value Format).
//!
//! A record carries its own length, so a value inside one needs none: [`Record`] is how a type looks
//! there. Types rise, lengths are exact, and an unknown even type spoils the whole stream.
//!
//! Not here: which records a message has; its declaration says ([`crate::message`]).

use bitcoin::{ScriptBuf, Txid};
use secp256k1::PublicKey;

use crate::codec::{BigSize, Decode, DecodeError, Encode, Reader, Tu16, Tu32, Tu64};
use crate::id::{
    ChannelId, NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId, Signature,
};
use crate::units::{BlockHeight, CltvDelta, FeeratePerKw, Msat, Sat};

/// A value that fills a TLV record: where it would need a length elsewhere, the record has it.
pub trait Record: Sized {
    /// Appends the value without its length.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads the value from a reader that ends where the record ends.
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// Says that types look inside a record as they look anywhere else.
macro_rules! records {
    ($($name:ty),* $(,)?) => { $(
        impl $crate::tlv::Record for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $crate::codec::Encode::encode(self, out);
            }

            fn take(r: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                <Self as $crate::codec::Decode>::decode(r)
            }
        }
    )* };
}
pub(crate) use records;

records! {
    (), u8, u16, u32, u64, i64, BigSize, Tu16, Tu32, Tu64, Msat, Sat, FeeratePerKw, BlockHeight, CltvDelta,
    ChannelId, ShortChannelId, PaymentHash, PaymentSecret, Preimage, NodeId, Signature, PublicKey, Txid,
}

impl<const N: usize> Record for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array()
    }
}

/// As many as the record holds, without a count.
impl<T: Encode + Decode> Record for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::encode_each(self, out);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode_rest(r)
    }
}

impl Record for ScriptBuf {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_bytes(r.rest().to_vec()))
    }
}

/// Appends the record of this type, or nothing if there is no value.
pub fn put<T: Record>(out: &mut Vec<u8>, kind: u64, value: Option<&T>) {
    if let Some(value) = value {
        put_with(out, kind, |out| value.put(out));
    }
}

/// Appends a record whose value `write` appends. The value is written in place, once.
pub fn put_with(out: &mut Vec<u8>, kind: u64, write: impl FnOnce(&mut Vec<u8>)) {
    BigSize(kind).encode(out);
    let at = out.len();
    out.push(0);
    let start = out.len();
    write(out);
    let length = BigSize::of_len(out.len().saturating_sub(start));
    match (u8::try_from(length.0), out.get_mut(at)) {
        (Ok(short @ ..=0xfc), Some(byte)) => *byte = short,
        _ => drop(out.splice(at..start, length.encoded())),
    }
}

/// Reads a stream to the end of `r`.
///
/// `known` gets each record's type and its value, and says whether it knows the type; if so it must
/// have read all of it.
pub fn each(
    r: &mut Reader<'_>,
    mut known: impl FnMut(u64, &mut Reader<'_>) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let mut least = Some(0);
    while !r.is_empty() {
        let BigSize(kind) = BigSize::decode(r)?;
        // BOLT 1: "if decoded `type`s are not strictly-increasing (including situations when two or
        // more occurrences of the same `type` are met): MUST fail to parse the `tlv_stream`."
        if least.is_none_or(|least| kind < least) {
            return Err(DecodeError::NotCanonical);
        }
        least = kind.checked_add(1);
        let BigSize(length) = BigSize::decode(r)?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
        let mut value = Reader::new(r.take(length)?);
        if known(kind, &mut value)? {
            // BOLT 1: "if `length` is not exactly equal to that required for the known encoding"
            value.end()?;
        } else if kind % 2 == 0 {
            return Err(DecodeError::UnknownEven(kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
