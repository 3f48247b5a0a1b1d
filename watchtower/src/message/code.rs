//! How a tower answers: zero, or why not.

use core::fmt;

use wire::codec::{Decode, DecodeError, Encode, Reader};

/// A result code. 0 to 80 are LND's, from 90 on ours; an unknown one is a refusal for good.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(pub u16);

impl Code {
    /// Done.
    pub const OK: Self = Self(0);
    /// Not now: the same again later may work.
    pub const TEMPORARY: Self = Self(40);
    /// Never.
    pub const PERMANENT: Self = Self(50);
    /// No session under this key.
    pub const NO_SESSION: Self = Self(80);
    /// The session has no room left; renew it, or go elsewhere.
    pub const QUOTA: Self = Self(90);
    /// A checkpoint that is older than the one that is kept.
    pub const STALE_VERSION: Self = Self(91);
    /// The session ended: what it has is still watched for a while, nothing new is taken.
    pub const EXPIRED: Self = Self(92);
    /// A kit that this tower does not take, or not from this client.
    pub const UNKNOWN_KIT: Self = Self(93);
    /// Records are missing before this one; `expected_seq` says from where on.
    pub const GAP: Self = Self(94);
    /// The number is taken by a record with other bytes; the first one stays.
    pub const DIFFERS: Self = Self(95);
    /// Too fast; `retry_after_ms` says when it is welcome again.
    pub const RATE: Self = Self(96);

    /// Whether it says that all went well.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match *self {
            Self::OK => "done",
            Self::TEMPORARY => "not now",
            Self::PERMANENT => "never",
            Self::NO_SESSION => "no such session",
            Self::QUOTA => "the session is full",
            Self::STALE_VERSION => "a newer checkpoint is kept",
            Self::EXPIRED => "the session has expired",
            Self::UNKNOWN_KIT => "this kit is not taken",
            Self::GAP => "records before these are missing",
            Self::DIFFERS => "other bytes are kept under this number",
            Self::RATE => "too fast",
            Self(other) => return write!(f, "refused with code {other}"),
        };
        f.write_str(words)
    }
}

impl Encode for Code {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Code {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u16::decode(r).map(Self)
    }
}
