//! Opaque blocks inside messages: onions and attribution data (BOLT 4).
//!
//! They are boxed, so that a message is cheap to move whatever it carries. Not here: what is in them
//! ([`crate::onion`]).

use core::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader};

macro_rules! packets {
    ($( $(#[$doc:meta])* $name:ident($bytes:literal) )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Eq, PartialEq)]
        pub struct $name(pub Box<[u8; $bytes]>);

        impl $name {
            /// How many bytes it has.
            pub const LEN: usize = $bytes;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// Its size and its first bytes: all of them would drown a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes, "), self.0.len())?;
                for byte in self.0.iter().take(8) {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("..)")
            }
        }

        impl From<[u8; $bytes]> for $name {
            fn from(bytes: [u8; $bytes]) -> Self {
                Self(Box::new(bytes))
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_slice());
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.array().map(Self::from)
            }
        }

        crate::tlv::records!($name);
    )* };
}

packets! {
    /// The onion of a payment: version, ephemeral key, 1,300 bytes of payloads, HMAC. BOLT 4 § Packet Structure.
    OnionPacket(1366)
    /// Twenty hold times (`u32`, in units of 100 ms) and 210 HMACs of 4 bytes. BOLT 4 § Returning Errors.
    AttributionData(920)
}
