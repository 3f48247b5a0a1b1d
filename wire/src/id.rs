//! Names of things: channels, payments, nodes, signatures as raw bytes (BOLT 1 § Fundamental Types).
//!
//! All are plain bytes in order of the wire, shown and parsed as hex; only [`ShortChannelId`] is a
//! number in three parts. A [`NodeId`] or [`Signature`] is *claimed* until it is turned into the type
//! of `secp256k1` that checked it.
//!
//! Not here: keys (`channel::keys`), transaction ids (`bitcoin::Txid`).

use core::fmt;
use core::str::FromStr;

use bitcoin::Txid;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::{DisplayHex, FromHex};
use secp256k1::{PublicKey, ecdsa};

use crate::codec::{Decode, DecodeError, Encode, Reader};

mod scid;
pub use scid::ShortChannelId;

/// Why a text does not name anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Not hex, or not as many bytes as the name has.
    #[error("expected {0} bytes as hex")]
    Hex(usize),
    /// Not `BLOCKxTRANSACTIONxOUTPUT` with parts in range.
    #[error("expected BLOCKxTRANSACTIONxOUTPUT, such as 539268x845x1")]
    ShortChannelId,
}

macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident($bytes:literal) )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The bytes in order of the wire.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0.as_hex(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                FromHex::from_hex(text).map(Self).map_err(|_| ParseError::Hex($bytes))
            }
        }

        impl From<[u8; $bytes]> for $name {
            fn from(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.array().map(Self)
            }
        }
    )* };
}

names! {
    /// A channel, from its funding outpoint (v1) or its revocation basepoints (v2); also a temporary
    /// one before those are known. BOLT 2 § Definition of `channel_id`.
    ChannelId(32)
    /// What unlocks an HTLC: the SHA256 of a [`Preimage`].
    PaymentHash(32)
    /// What proves that the payer read the invoice (BOLT 4, BOLT 11).
    PaymentSecret(32)
    /// The proof of a payment: whoever knows it may take the HTLC.
    Preimage(32)
    /// A node, as 33 bytes that claim to be a point.
    NodeId(33)
    /// An ECDSA signature in compact form, as 64 bytes that claim to be one.
    Signature(64)
}

impl ChannelId {
    /// All zero: in `error` and `warning`, every channel with the peer.
    pub const ALL: Self = Self([0; 32]);

    /// The id of a channel opened by `open_channel`: the last two bytes of the funding txid, as
    /// serialised, xor the index of the funding output.
    pub fn v1(funding_txid: &Txid, funding_output_index: u16) -> Self {
        let mut id = funding_txid.to_byte_array();
        let index = funding_output_index.to_be_bytes();
        for (byte, part) in id.iter_mut().rev().zip(index.iter().rev()) {
            *byte ^= part;
        }
        Self(id)
    }

    /// The id of a channel opened by `open_channel2`: the hash of both revocation basepoints, the
    /// lesser first.
    pub fn v2(one: &PublicKey, other: &PublicKey) -> Self {
        Self::of_points(one.serialize(), other.serialize())
    }

    /// The temporary id in `open_channel2`, with zeros for the basepoint that is not known yet.
    pub fn v2_temporary(opener: &PublicKey) -> Self {
        Self::of_points([0; 33], opener.serialize())
    }

    fn of_points(one: [u8; 33], other: [u8; 33]) -> Self {
        let (lesser, greater) = if one <= other { (one, other) } else { (other, one) };
        Self(sha256::Hash::hash(&[lesser, greater].concat()).to_byte_array())
    }
}

impl Preimage {
    /// The hash this is the preimage of.
    pub fn hash(&self) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(&self.0).to_byte_array())
    }
}

impl From<PublicKey> for NodeId {
    fn from(key: PublicKey) -> Self {
        Self(key.serialize())
    }
}

impl From<&PublicKey> for NodeId {
    fn from(key: &PublicKey) -> Self {
        Self(key.serialize())
    }
}

/// [`DecodeError::Point`] unless the bytes are a point on the curve.
impl TryFrom<NodeId> for PublicKey {
    type Error = DecodeError;

    fn try_from(node: NodeId) -> Result<Self, DecodeError> {
        Self::from_slice(&node.0).map_err(|_| DecodeError::Point)
    }
}

/// Half the order of the curve, the greatest S of a signature in its standard form.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

impl Signature {
    /// Whether S is in the lower half, as Bitcoin relays it; a high S makes a transaction that no
    /// node passes on, so channels refuse it (BOLT 2).
    pub fn is_low_s(&self) -> bool {
        self.0.last_chunk::<32>().is_some_and(|s| *s <= HALF_ORDER)
    }

    /// The signature with R and S checked to be numbers below the order and S to be low;
    /// [`DecodeError::Range`] otherwise.
    pub fn to_ecdsa_low_s(self) -> Result<ecdsa::Signature, DecodeError> {
        if self.is_low_s() { self.try_into() } else { Err(DecodeError::Range) }
    }
}

impl From<ecdsa::Signature> for Signature {
    fn from(signature: ecdsa::Signature) -> Self {
        Self(signature.serialize_compact())
    }
}

impl From<&ecdsa::Signature> for Signature {
    fn from(signature: &ecdsa::Signature) -> Self {
        Self(signature.serialize_compact())
    }
}

/// [`DecodeError::Range`] unless R and S are below the order of the curve. Says nothing of low S.
impl TryFrom<Signature> for ecdsa::Signature {
    type Error = DecodeError;

    fn try_from(signature: Signature) -> Result<Self, DecodeError> {
        Self::from_compact(&signature.0).map_err(|_| DecodeError::Range)
    }
}

#[cfg(test)]
mod tests;
