//! The bodies of facts about HTLCs that go on, version 1.
//!
//! A circuit itself is not among them: the outgoing HTLC carries it. These say what users are told, which
//! onions were taken, and what each channel asks for.

use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::id::{PaymentHash, Preimage, ShortChannelId};
use wire::units::{BlockHeight, Msat};

use super::body::bodies;
use crate::switch::policy::ForwardPolicy;

bodies! {
    /// An HTLC is to go on: it is held for somebody's word, or handed to a channel, or refused in the same
    /// record.
    ForwardTaken {
        /// The index of the channel it came in by.
        channel: u64,
        /// The peer's id of it there.
        htlc: u64,
        /// The hash whose preimage claims it.
        payment_hash: PaymentHash,
        /// What came in.
        amount: Msat,
        /// The height at which the peer can take it back.
        cltv_expiry: BlockHeight,
        /// Where the sender wants it to go.
        next: ShortChannelId,
        /// What is to go out.
        forwarded: Msat,
        /// The height at which we can take that back.
        outgoing_expiry: BlockHeight,
        /// What tells its onion from every other.
        onion: [u8; 16],
        /// Whether it waits for somebody's word.
        held: bool,
        /// The index of the channel it was handed to.
        out: Option<u64>,
        /// The best chain's height.
        height: BlockHeight,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// What went on has its outcome, and the incoming side is about to be told.
    ForwardEnded {
        /// The index of the channel it came in by.
        channel: u64,
        /// The peer's id of it there.
        htlc: u64,
        /// How.
        end: ForwardEnd,
        /// The best chain's height.
        height: BlockHeight,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A program said what is to become of an HTLC that it held: it is not asked again.
    ForwardWord {
        /// The index of the channel it came in by.
        channel: u64,
        /// The peer's id of it there.
        htlc: u64,
        /// What it said.
        word: Word,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// What a channel asks of those who forward over it changed.
    PolicySet {
        /// The channel's index.
        channel: u64,
        /// What was in force until now.
        before: ForwardPolicy,
        /// What is from now on.
        policy: ForwardPolicy,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// An onion that was taken once.
    OnionTaken {
        /// What tells it from every other.
        onion: [u8; 16],
        /// The index of the channel it came in by.
        channel: u64,
        /// The peer's id of its HTLC there.
        htlc: u64,
        /// From this height on it is of no use to anybody.
        until: BlockHeight,
    }

    /// What remains of forwards that ended: sums, and onions that must not come again. Only in snapshots.
    ForwardsBefore {
        /// How many were settled.
        settled: u64,
        /// How many were not.
        failed: u64,
        /// What went out with those that were settled, in msat.
        forwarded_msat: u64,
        /// What they left here, in msat.
        fees_msat: u64,
        /// Onions.
        onions: Long<OnionTaken>,
    }
}

/// What a program said of an HTLC that it held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// It may go on, by the usual rules.
    Accept,
    /// Give it back with this code of BOLT 4.
    Fail(u16),
    /// Take it with this preimage.
    Settle(Preimage),
}

impl Encode for Word {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accept => 0_u8.encode(out),
            Self::Fail(code) => {
                1_u8.encode(out);
                code.encode(out);
            }
            Self::Settle(preimage) => {
                2_u8.encode(out);
                preimage.encode(out);
            }
        }
    }
}

impl Decode for Word {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Accept,
            1 => Self::Fail(Decode::decode(r)?),
            2 => Self::Settle(Decode::decode(r)?),
            _ => return Err(DecodeError::Range),
        })
    }
}

/// How a forward ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForwardEnd {
    /// The preimage came back.
    Settled,
    /// Somebody with a preimage of his own ended it here.
    SettledHere,
    /// We refused it with this code of BOLT 4.
    Refused(u16),
    /// Somebody behind us refused it, in words for the sender alone.
    FailedBeyond,
    /// The next node could not read the onion: its code.
    Malformed(u16),
    /// It came back on Layer 1.
    TimedOut,
}

impl Encode for ForwardEnd {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, code): (u8, u16) = match self {
            Self::Settled => (0, 0),
            Self::SettledHere => (1, 0),
            Self::Refused(code) => (2, *code),
            Self::FailedBeyond => (3, 0),
            Self::Malformed(code) => (4, *code),
            Self::TimedOut => (5, 0),
        };
        kind.encode(out);
        code.encode(out);
    }
}

impl Decode for ForwardEnd {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, code) = (u8::decode(r)?, u16::decode(r)?);
        Ok(match kind {
            0 => Self::Settled,
            1 => Self::SettledHere,
            2 => Self::Refused(code),
            3 => Self::FailedBeyond,
            4 => Self::Malformed(code),
            5 => Self::TimedOut,
            _ => return Err(DecodeError::Range),
        })
    }
}
