//! A milestone in the life of a channel, and its bytes.

use bitcoin::{OutPoint, Txid};
use channel::effect::{AbandonReason, CloseReason, Spender};
use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::fact::Text;

/// One thing that happened to a channel and matters for how it ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Milestone {
    /// The journal record it comes from.
    pub seq: u64,
    /// When that was decided, Unix milliseconds; 0 if the record does not say. For people alone.
    pub at_ms: u64,
    /// The height of the best chain at which it was decided; 0 if that is not known.
    pub height: u32,
    /// The force-close policy in force, as [`crate::policy::number`]; 0 if that is not known.
    pub policy: u8,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// Both first commitments were signed.
    Created,
    /// The funding transaction is in a block.
    Confirmed {
        /// The block.
        height: u32,
    },
    /// A reorganisation took it out.
    Unconfirmed,
    /// We said `shutdown`.
    WeShutdown {
        /// Whether it was our idea.
        asked: bool,
    },
    /// The peer said `shutdown`.
    TheyShutdown,
    /// Both signed a closing transaction, the last of so many.
    Agreed {
        /// What it pays, satoshi.
        fee_sat: u64,
    },
    /// The peer sent an `error`.
    PeerError(Text),
    /// We close alone.
    Failing(CloseReason),
    /// The peer proved that our data is stale.
    DataLoss {
        /// The commitment number the peer proved.
        theirs: u64,
    },
    /// The books did not balance or the signer failed.
    Frozen,
    /// A backup is all that is left of the channel.
    Restored,
    /// The data may be an older copy: nothing is signed or broadcast.
    Quarantined,
    /// It is not.
    Vouched {
        /// A human said so, not the peer's numbers.
        by_us: bool,
    },
    /// The archive was asked for the HTLCs of a revoked commitment.
    Remembered {
        /// How many of them it knew.
        htlcs: u32,
    },
    /// A close was due and did not happen by itself.
    HeldBack {
        /// Why it was due.
        reason: CloseReason,
        /// Whether the policy kept it back; else it costs more than it saves.
        by_policy: bool,
        /// What the close would cost, satoshi.
        cost_sat: u64,
        /// What it would save, satoshi.
        saves_sat: u64,
        /// The height before which it has to be in a block.
        before: Option<u32>,
    },
    /// A transaction was signed and handed to the miners.
    Sent {
        /// The newest of them.
        txid: Txid,
        /// What it is for.
        label: Text,
        /// How many were, each in place of the one before or beside it.
        times: u32,
    },
    /// The funding output is spent in a block.
    Spent {
        /// By this transaction.
        txid: Txid,
        /// What that is.
        by: Option<Spender>,
        /// What it pays to the miners, satoshi.
        fee_sat: u64,
        /// The block.
        height: u32,
    },
    /// A reorganisation undid that.
    Unspent,
    /// Outputs that matter to us were spent in a block by one transaction.
    Taken {
        /// The transaction.
        txid: Txid,
        /// Whether it is ours.
        ours: bool,
        /// How many outputs.
        outputs: u32,
        /// What they held, satoshi, as far as it is known.
        value_sat: u64,
        /// What it pays to the miners, satoshi, if only outputs of the channel go into it.
        fee_sat: Option<u64>,
        /// What it brings to our wallet, satoshi, if that is known.
        home_sat: Option<u64>,
        /// The block.
        height: u32,
    },
    /// A reorganisation undid the spend of an output.
    Untaken {
        /// The output.
        outpoint: OutPoint,
    },
    /// An HTLC of ours ended on Layer 1.
    HtlcEnded {
        /// Our `id` of it.
        htlc: u64,
        /// Whether the peer took it by its preimage.
        paid: bool,
    },
    /// Every output is resolved for good.
    Closed,
    /// The channel never came to be.
    Abandoned(AbandonReason),
}

impl Encode for Milestone {
    fn encode(&self, out: &mut Vec<u8>) {
        self.seq.encode(out);
        self.at_ms.encode(out);
        self.height.encode(out);
        self.policy.encode(out);
        self.what.encode(out);
    }
}

impl Decode for Milestone {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            seq: Decode::decode(r)?,
            at_ms: Decode::decode(r)?,
            height: Decode::decode(r)?,
            policy: Decode::decode(r)?,
            what: Decode::decode(r)?,
        })
    }
}

impl Encode for What {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Created => out.push(1),
            Self::Confirmed { height } => {
                out.push(2);
                height.encode(out);
            }
            Self::Unconfirmed => out.push(3),
            Self::WeShutdown { asked } => {
                out.push(4);
                asked.encode(out);
            }
            Self::TheyShutdown => out.push(5),
            Self::Agreed { fee_sat } => {
                out.push(6);
                fee_sat.encode(out);
            }
            Self::PeerError(text) => {
                out.push(7);
                text.encode(out);
            }
            Self::Failing(reason) => {
                out.push(8);
                reason.encode(out);
            }
            Self::DataLoss { theirs } => {
                out.push(9);
                theirs.encode(out);
            }
            Self::Frozen => out.push(10),
            Self::Restored => out.push(20),
            Self::Quarantined => out.push(21),
            Self::Vouched { by_us } => {
                out.push(22);
                by_us.encode(out);
            }
            Self::Remembered { htlcs } => {
                out.push(23);
                htlcs.encode(out);
            }
            Self::HeldBack { reason, by_policy, cost_sat, saves_sat, before } => {
                out.push(11);
                reason.encode(out);
                by_policy.encode(out);
                cost_sat.encode(out);
                saves_sat.encode(out);
                before.encode(out);
            }
            Self::Sent { txid, label, times } => {
                out.push(12);
                txid.encode(out);
                label.encode(out);
                times.encode(out);
            }
            Self::Spent { txid, by, fee_sat, height } => {
                out.push(13);
                txid.encode(out);
                by.encode(out);
                fee_sat.encode(out);
                height.encode(out);
            }
            Self::Unspent => out.push(14),
            Self::Taken { txid, ours, outputs, value_sat, fee_sat, home_sat, height } => {
                out.push(15);
                txid.encode(out);
                ours.encode(out);
                outputs.encode(out);
                value_sat.encode(out);
                fee_sat.encode(out);
                home_sat.encode(out);
                height.encode(out);
            }
            Self::Untaken { outpoint } => {
                out.push(16);
                outpoint.encode(out);
            }
            Self::HtlcEnded { htlc, paid } => {
                out.push(17);
                htlc.encode(out);
                paid.encode(out);
            }
            Self::Closed => out.push(18),
            Self::Abandoned(reason) => {
                out.push(19);
                reason.encode(out);
            }
        }
    }
}

impl Decode for What {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            1 => Self::Created,
            2 => Self::Confirmed { height: Decode::decode(r)? },
            3 => Self::Unconfirmed,
            4 => Self::WeShutdown { asked: Decode::decode(r)? },
            5 => Self::TheyShutdown,
            6 => Self::Agreed { fee_sat: Decode::decode(r)? },
            7 => Self::PeerError(Decode::decode(r)?),
            8 => Self::Failing(Decode::decode(r)?),
            9 => Self::DataLoss { theirs: Decode::decode(r)? },
            10 => Self::Frozen,
            11 => Self::HeldBack {
                reason: Decode::decode(r)?,
                by_policy: Decode::decode(r)?,
                cost_sat: Decode::decode(r)?,
                saves_sat: Decode::decode(r)?,
                before: Decode::decode(r)?,
            },
            12 => Self::Sent {
                txid: Decode::decode(r)?,
                label: Decode::decode(r)?,
                times: Decode::decode(r)?,
            },
            13 => Self::Spent {
                txid: Decode::decode(r)?,
                by: Decode::decode(r)?,
                fee_sat: Decode::decode(r)?,
                height: Decode::decode(r)?,
            },
            14 => Self::Unspent,
            15 => Self::Taken {
                txid: Decode::decode(r)?,
                ours: Decode::decode(r)?,
                outputs: Decode::decode(r)?,
                value_sat: Decode::decode(r)?,
                fee_sat: Decode::decode(r)?,
                home_sat: Decode::decode(r)?,
                height: Decode::decode(r)?,
            },
            16 => Self::Untaken { outpoint: Decode::decode(r)? },
            17 => Self::HtlcEnded { htlc: Decode::decode(r)?, paid: Decode::decode(r)? },
            18 => Self::Closed,
            19 => Self::Abandoned(Decode::decode(r)?),
            20 => Self::Restored,
            21 => Self::Quarantined,
            22 => Self::Vouched { by_us: Decode::decode(r)? },
            23 => Self::Remembered { htlcs: Decode::decode(r)? },
            _ => return Err(DecodeError::Range),
        })
    }
}
