//! Bytes to values and back, without ever reading past the end (BOLT 1 § Fundamental Types).
//!
//! A reader is a cursor over borrowed bytes; every list it makes is bounded by the bytes that are
//! left, so a short message cannot ask for much memory.
//!
//! Not here: TLV records ([`crate::tlv`]), messages ([`crate::message`]).

mod bitcoin;
mod int;
mod list;
mod record;

pub use int::{BigSize, Tu16, Tu32, Tu64};
pub use list::{Long, Rest};

/// Why bytes are not what they claim to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Short,
    /// A field is complete and bytes are left over, or a record is longer than its type allows.
    #[error("bytes are left over")]
    Long,
    /// A number is not in its shortest form, or TLV types do not rise.
    #[error("not the canonical form")]
    NotCanonical,
    /// An even TLV type that we do not know.
    #[error("unknown even TLV type {0}")]
    UnknownEven(u64),
    /// An even message type that we do not know.
    #[error("unknown even message type {0}")]
    UnknownEvenType(u16),
    /// A value outside its domain, such as more than 21 million bitcoin.
    #[error("value out of range")]
    Range,
    /// 33 bytes that are not a point on the curve.
    #[error("not a point on the curve")]
    Point,
    /// An array in an encoding that must not be used, such as zlib (1).
    #[error("array encoding {0} is refused")]
    Encoding(u8),
}

/// A cursor that cannot read past its end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes, or [`DecodeError::Short`].
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next `N` bytes by value, or [`DecodeError::Short`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    /// Everything that is left; the reader is empty afterwards.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.0;
        self.0 = &[];
        rest
    }

    /// Everything that is left, without taking it.
    pub const fn peek(&self) -> &'a [u8] {
        self.0
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// [`DecodeError::Long`] unless everything was read.
    pub const fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Long) }
    }
}

/// Writes itself.
pub trait Encode {
    /// Appends the wire form.
    fn encode(&self, out: &mut Vec<u8>);

    /// Appends the wire forms of all, one after the other. Bytes override it with one copy.
    fn encode_each(items: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        for item in items {
            item.encode(out);
        }
    }

    /// The wire form alone.
    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Reads itself.
pub trait Decode: Sized {
    /// Takes the wire form off the front.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Takes `count` of them. Reserves no more memory than the bytes left can account for.
    fn decode_each(r: &mut Reader<'_>, count: usize) -> Result<Vec<Self>, DecodeError> {
        let room = r.len().checked_div(size_of::<Self>()).unwrap_or(0);
        let mut items = Vec::with_capacity(count.min(room));
        for _ in 0..count {
            items.push(Self::decode(r)?);
        }
        Ok(items)
    }

    /// Takes as many as there are bytes for; a part of one at the end is an error.
    fn decode_rest(r: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut items = Vec::with_capacity(r.len().checked_div(size_of::<Self>()).unwrap_or(0));
        while !r.is_empty() {
            let before = r.len();
            items.push(Self::decode(r)?);
            if r.len() == before {
                // An element of no bytes would fill memory forever.
                return Err(DecodeError::Long);
            }
        }
        Ok(items)
    }

    /// The value that is exactly these bytes; [`DecodeError::Long`] if some are left.
    fn decode_exact(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode(&mut r)?;
        r.end()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
