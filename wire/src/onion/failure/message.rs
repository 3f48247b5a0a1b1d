//! The failure codes and their data. BOLT 4 § Failure Messages.

use crate::codec::{BigSize, Decode as _, DecodeError, Encode as _, Reader};
use crate::onion::payload::PayloadFault;
use crate::onion::sphinx::{BadOnion, BadOnionKind};

/// The numbers on the wire.
pub mod code {
    /// The onion could not be parsed; sent by `update_fail_malformed_htlc` and put into words by the hop before.
    pub const BADONION: u16 = 0x8000;
    /// Do not try the same again.
    pub const PERM: u16 = 0x4000;
    /// The node, not a channel, is at fault.
    pub const NODE: u16 = 0x2000;
    /// A forwarding parameter of the channel was violated.
    pub const UPDATE: u16 = 0x1000;

    macro_rules! codes {
        ($($name:ident = $value:expr;)*) => { $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: u16 = $value;
        )* };
    }
    codes! {
        TEMPORARY_NODE_FAILURE = NODE | 2;
        PERMANENT_NODE_FAILURE = PERM | NODE | 2;
        REQUIRED_NODE_FEATURE_MISSING = PERM | NODE | 3;
        INVALID_ONION_VERSION = BADONION | PERM | 4;
        INVALID_ONION_HMAC = BADONION | PERM | 5;
        INVALID_ONION_KEY = BADONION | PERM | 6;
        TEMPORARY_CHANNEL_FAILURE = UPDATE | 7;
        PERMANENT_CHANNEL_FAILURE = PERM | 8;
        REQUIRED_CHANNEL_FEATURE_MISSING = PERM | 9;
        UNKNOWN_NEXT_PEER = PERM | 10;
        AMOUNT_BELOW_MINIMUM = UPDATE | 11;
        FEE_INSUFFICIENT = UPDATE | 12;
        INCORRECT_CLTV_EXPIRY = UPDATE | 13;
        EXPIRY_TOO_SOON = UPDATE | 14;
        INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS = PERM | 15;
        FINAL_INCORRECT_CLTV_EXPIRY = 18;
        FINAL_INCORRECT_HTLC_AMOUNT = 19;
        CHANNEL_DISABLED = UPDATE | 20;
        EXPIRY_TOO_FAR = 21;
        INVALID_ONION_PAYLOAD = PERM | 22;
        MPP_TIMEOUT = 23;
        INVALID_ONION_BLINDING = BADONION | PERM | 24;
    }
}

/// A `channel_update` in a failure, without the 2-byte message type; empty is none.
///
/// Good for a retry of this very payment only. It must never touch gossip: that would tell who paid.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChannelUpdateBytes(pub Vec<u8>);

/// The message type of `channel_update`, which some nodes put before it and some do not.
const CHANNEL_UPDATE_TYPE: [u8; 2] = [0x01, 0x02];

/// Why a hop did not forward or accept an HTLC. Amounts are raw: they are another node's words, not money.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// NODE|2: something is wrong for now.
    TemporaryNodeFailure,
    /// PERM|NODE|2: something is wrong for good.
    PermanentNodeFailure,
    /// PERM|NODE|3: the node requires a feature that the onion does not use.
    RequiredNodeFeatureMissing,
    /// BADONION|PERM|4: the onion's version byte.
    InvalidOnionVersion {
        /// SHA-256 of the onion as received.
        sha256_of_onion: [u8; 32],
    },
    /// BADONION|PERM|5: the onion's HMAC.
    InvalidOnionHmac {
        /// SHA-256 of the onion as received.
        sha256_of_onion: [u8; 32],
    },
    /// BADONION|PERM|6: the onion's ephemeral key.
    InvalidOnionKey {
        /// SHA-256 of the onion as received.
        sha256_of_onion: [u8; 32],
    },
    /// UPDATE|7: the outgoing channel cannot take the HTLC now.
    TemporaryChannelFailure {
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// PERM|8: the outgoing channel takes no HTLC any more.
    PermanentChannelFailure,
    /// PERM|9: the outgoing channel requires a feature that the onion does not use.
    RequiredChannelFeatureMissing,
    /// PERM|10: no channel has this `short_channel_id`.
    UnknownNextPeer,
    /// UPDATE|11: below `htlc_minimum_msat` of the outgoing channel.
    AmountBelowMinimum {
        /// The outgoing amount, in msat.
        htlc_msat: u64,
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// UPDATE|12: the fee is too low.
    FeeInsufficient {
        /// The incoming amount, in msat.
        htlc_msat: u64,
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// UPDATE|13: incoming and outgoing expiry are too close.
    IncorrectCltvExpiry {
        /// The outgoing expiry, a block height.
        cltv_expiry: u32,
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// UPDATE|14: the expiry is too near the present.
    ExpiryTooSoon {
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// PERM|15: unknown hash, wrong secret, too little, or too near the expiry: all that a recipient says.
    IncorrectOrUnknownPaymentDetails {
        /// The amount of the HTLC, in msat.
        htlc_msat: u64,
        /// The recipient's best block height.
        height: u32,
    },
    /// 18: the HTLC expires before what the onion says.
    FinalIncorrectCltvExpiry {
        /// The expiry of the HTLC, a block height.
        cltv_expiry: u32,
    },
    /// 19: the HTLC brings less than what the onion says.
    FinalIncorrectHtlcAmount {
        /// The amount of the HTLC, in msat.
        incoming_htlc_amt: u64,
    },
    /// UPDATE|20: the outgoing channel is disabled.
    ChannelDisabled {
        /// No flag is defined; zero.
        disabled_flags: u16,
        /// Of the outgoing channel, or empty.
        channel_update: ChannelUpdateBytes,
    },
    /// 21: the expiry is more than 2016 blocks away.
    ExpiryTooFar,
    /// PERM|22: the payload of the onion.
    InvalidOnionPayload {
        /// Type of the field at fault.
        kind: u64,
        /// Where the field starts in the payload.
        offset: u16,
    },
    /// 23: the other parts did not arrive in time.
    MppTimeout,
    /// BADONION|PERM|24: anything inside a blinded route.
    InvalidOnionBlinding {
        /// SHA-256 of the onion as received, or zero.
        sha256_of_onion: [u8; 32],
    },
    /// A code that is not defined (any more), or whose data is too short. The flags of the code still hold.
    Unknown {
        /// The code.
        code: u16,
        /// Everything behind it.
        data: Vec<u8>,
    },
}

impl Failure {
    /// The code on the wire; see [`code`] for its flags.
    pub const fn code(&self) -> u16 {
        match self {
            Self::TemporaryNodeFailure => code::TEMPORARY_NODE_FAILURE,
            Self::PermanentNodeFailure => code::PERMANENT_NODE_FAILURE,
            Self::RequiredNodeFeatureMissing => code::REQUIRED_NODE_FEATURE_MISSING,
            Self::InvalidOnionVersion { .. } => code::INVALID_ONION_VERSION,
            Self::InvalidOnionHmac { .. } => code::INVALID_ONION_HMAC,
            Self::InvalidOnionKey { .. } => code::INVALID_ONION_KEY,
            Self::TemporaryChannelFailure { .. } => code::TEMPORARY_CHANNEL_FAILURE,
            Self::PermanentChannelFailure => code::PERMANENT_CHANNEL_FAILURE,
            Self::RequiredChannelFeatureMissing => code::REQUIRED_CHANNEL_FEATURE_MISSING,
            Self::UnknownNextPeer => code::UNKNOWN_NEXT_PEER,
            Self::AmountBelowMinimum { .. } => code::AMOUNT_BELOW_MINIMUM,
            Self::FeeInsufficient { .. } => code::FEE_INSUFFICIENT,
            Self::IncorrectCltvExpiry { .. } => code::INCORRECT_CLTV_EXPIRY,
            Self::ExpiryTooSoon { .. } => code::EXPIRY_TOO_SOON,
            Self::IncorrectOrUnknownPaymentDetails { .. } => {
                code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS
            }
            Self::FinalIncorrectCltvExpiry { .. } => code::FINAL_INCORRECT_CLTV_EXPIRY,
            Self::FinalIncorrectHtlcAmount { .. } => code::FINAL_INCORRECT_HTLC_AMOUNT,
            Self::ChannelDisabled { .. } => code::CHANNEL_DISABLED,
            Self::ExpiryTooFar => code::EXPIRY_TOO_FAR,
            Self::InvalidOnionPayload { .. } => code::INVALID_ONION_PAYLOAD,
            Self::MppTimeout => code::MPP_TIMEOUT,
            Self::InvalidOnionBlinding { .. } => code::INVALID_ONION_BLINDING,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Whether trying the same again is pointless.
    pub const fn is_permanent(&self) -> bool {
        self.code() & code::PERM != 0
    }

    /// Whether the node as a whole is at fault.
    pub const fn is_node(&self) -> bool {
        self.code() & code::NODE != 0
    }

    /// The failure for what a peer answered by `update_fail_malformed_htlc`; `None` if the code lacks BADONION,
    /// which is that peer's fault (BOLT 2 § Removing an HTLC).
    pub fn from_malformed(failure_code: u16, sha256_of_onion: [u8; 32]) -> Option<Self> {
        (failure_code & code::BADONION != 0)
            .then(|| Self::from_parts(failure_code, &sha256_of_onion))
    }

    /// The wire form: code and data.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.code().encode(&mut out);
        match self {
            Self::TemporaryNodeFailure
            | Self::PermanentNodeFailure
            | Self::RequiredNodeFeatureMissing
            | Self::PermanentChannelFailure
            | Self::RequiredChannelFeatureMissing
            | Self::UnknownNextPeer
            | Self::ExpiryTooFar
            | Self::MppTimeout => {}
            Self::InvalidOnionVersion { sha256_of_onion }
            | Self::InvalidOnionHmac { sha256_of_onion }
            | Self::InvalidOnionKey { sha256_of_onion }
            | Self::InvalidOnionBlinding { sha256_of_onion } => {
                out.extend_from_slice(sha256_of_onion);
            }
            Self::TemporaryChannelFailure { channel_update }
            | Self::ExpiryTooSoon { channel_update } => put_update(&mut out, channel_update),
            Self::AmountBelowMinimum { htlc_msat, channel_update }
            | Self::FeeInsufficient { htlc_msat, channel_update } => {
                htlc_msat.encode(&mut out);
                put_update(&mut out, channel_update);
            }
            Self::IncorrectCltvExpiry { cltv_expiry, channel_update } => {
                cltv_expiry.encode(&mut out);
                put_update(&mut out, channel_update);
            }
            Self::IncorrectOrUnknownPaymentDetails { htlc_msat, height } => {
                htlc_msat.encode(&mut out);
                height.encode(&mut out);
            }
            Self::FinalIncorrectCltvExpiry { cltv_expiry } => cltv_expiry.encode(&mut out),
            Self::FinalIncorrectHtlcAmount { incoming_htlc_amt } => {
                incoming_htlc_amt.encode(&mut out);
            }
            Self::ChannelDisabled { disabled_flags, channel_update } => {
                disabled_flags.encode(&mut out);
                put_update(&mut out, channel_update);
            }
            Self::InvalidOnionPayload { kind, offset } => {
                BigSize(*kind).encode(&mut out);
                offset.encode(&mut out);
            }
            Self::Unknown { data, .. } => out.extend_from_slice(data),
        }
        out
    }

    /// Reads a failure message; `None` if there is not even a code.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (code, data) = bytes.split_first_chunk()?;
        Some(Self::from_parts(u16::from_be_bytes(*code), data))
    }

    // BOLT 4: "MUST ignore any extra bytes in `failuremsg`."
    fn from_parts(code: u16, data: &[u8]) -> Self {
        Self::known(code, &mut Reader::new(data))
            .ok()
            .flatten()
            .unwrap_or_else(|| Self::Unknown { code, data: data.to_vec() })
    }

    fn known(code: u16, r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match code {
            code::TEMPORARY_NODE_FAILURE => Self::TemporaryNodeFailure,
            code::PERMANENT_NODE_FAILURE => Self::PermanentNodeFailure,
            code::REQUIRED_NODE_FEATURE_MISSING => Self::RequiredNodeFeatureMissing,
            code::INVALID_ONION_VERSION => {
                Self::InvalidOnionVersion { sha256_of_onion: r.array()? }
            }
            code::INVALID_ONION_HMAC => Self::InvalidOnionHmac { sha256_of_onion: r.array()? },
            code::INVALID_ONION_KEY => Self::InvalidOnionKey { sha256_of_onion: r.array()? },
            code::TEMPORARY_CHANNEL_FAILURE => {
                Self::TemporaryChannelFailure { channel_update: take_update(r)? }
            }
            code::PERMANENT_CHANNEL_FAILURE => Self::PermanentChannelFailure,
            code::REQUIRED_CHANNEL_FEATURE_MISSING => Self::RequiredChannelFeatureMissing,
            code::UNKNOWN_NEXT_PEER => Self::UnknownNextPeer,
            code::AMOUNT_BELOW_MINIMUM => Self::AmountBelowMinimum {
                htlc_msat: u64::decode(r)?,
                channel_update: take_update(r)?,
            },
            code::FEE_INSUFFICIENT => Self::FeeInsufficient {
                htlc_msat: u64::decode(r)?,
                channel_update: take_update(r)?,
            },
            code::INCORRECT_CLTV_EXPIRY => Self::IncorrectCltvExpiry {
                cltv_expiry: u32::decode(r)?,
                channel_update: take_update(r)?,
            },
            code::EXPIRY_TOO_SOON => Self::ExpiryTooSoon { channel_update: take_update(r)? },
            code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS => Self::IncorrectOrUnknownPaymentDetails {
                htlc_msat: u64::decode(r)?,
                height: u32::decode(r)?,
            },
            code::FINAL_INCORRECT_CLTV_EXPIRY => {
                Self::FinalIncorrectCltvExpiry { cltv_expiry: u32::decode(r)? }
            }
            code::FINAL_INCORRECT_HTLC_AMOUNT => {
                Self::FinalIncorrectHtlcAmount { incoming_htlc_amt: u64::decode(r)? }
            }
            code::CHANNEL_DISABLED => Self::ChannelDisabled {
                disabled_flags: u16::decode(r)?,
                channel_update: take_update(r)?,
            },
            code::EXPIRY_TOO_FAR => Self::ExpiryTooFar,
            code::INVALID_ONION_PAYLOAD => {
                Self::InvalidOnionPayload { kind: BigSize::decode(r)?.0, offset: u16::decode(r)? }
            }
            code::MPP_TIMEOUT => Self::MppTimeout,
            code::INVALID_ONION_BLINDING => {
                Self::InvalidOnionBlinding { sha256_of_onion: r.array()? }
            }
            _ => return Ok(None),
        }))
    }
}

impl From<BadOnion> for Failure {
    fn from(bad: BadOnion) -> Self {
        let sha256_of_onion = bad.sha256_of_onion;
        match bad.kind {
            BadOnionKind::InvalidOnionVersion => Self::InvalidOnionVersion { sha256_of_onion },
            BadOnionKind::InvalidOnionHmac => Self::InvalidOnionHmac { sha256_of_onion },
            BadOnionKind::InvalidOnionKey => Self::InvalidOnionKey { sha256_of_onion },
            BadOnionKind::InvalidOnionBlinding => Self::InvalidOnionBlinding { sha256_of_onion },
        }
    }
}

impl From<PayloadFault> for Failure {
    /// Of a payload outside blinded routes; inside one, answer [`Self::InvalidOnionBlinding`].
    fn from(fault: PayloadFault) -> Self {
        Self::InvalidOnionPayload { kind: fault.kind, offset: fault.offset }
    }
}

/// Length, type, update; or length zero.
fn put_update(out: &mut Vec<u8>, update: &ChannelUpdateBytes) {
    let typed = update.0.len().checked_add(CHANNEL_UPDATE_TYPE.len());
    let length = typed.and_then(|length| u16::try_from(length).ok()).unwrap_or(0);
    if update.0.is_empty() || length == 0 {
        out.extend_from_slice(&[0, 0]);
        return;
    }
    length.encode(out);
    out.extend_from_slice(&CHANNEL_UPDATE_TYPE);
    out.extend_from_slice(&update.0);
}

fn take_update(r: &mut Reader<'_>) -> Result<ChannelUpdateBytes, DecodeError> {
    let length = u16::decode(r)?;
    let bytes = r.take(usize::from(length))?;
    let update = bytes.strip_prefix(&CHANNEL_UPDATE_TYPE).unwrap_or(bytes);
    Ok(ChannelUpdateBytes(update.to_vec()))
}
