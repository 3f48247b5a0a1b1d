//! One output that a breach lets us take: what to show, until when, at what price.
//!
//! A claim is plain data without any key, so it can be written down before anything is broadcast. What
//! answers it comes in three forms ([`Way`]): whole transactions that are signed already, pairs of an input
//! and an output that can be combined at will, and outputs that only the keys of a replica open.
//!
//! Not here: which transaction is sent when (`respond`).

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxIn, TxOut};
use secp256k1::PublicKey;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::units::{BlockHeight, FeeratePerKw, Sat};

/// What the output is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ClaimKind {
    /// The cheater's own balance.
    ToLocal,
    /// An HTLC that the cheater offered.
    OfferedHtlc,
    /// An HTLC that the cheater received: it can have it in the block after the breach.
    ReceivedHtlc,
    /// What the cheater made of an HTLC.
    SecondStage,
    /// Our own balance, on anybody's commitment.
    ToRemote,
}

/// By when the justice must be in a block.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Deadline {
    /// The output's own block plus so many, exclusive: then its other owner may spend it.
    After(u16),
    /// So high at the latest; from the block of this height on the other owner may spend it.
    At(BlockHeight),
    /// The other owner may spend it from the next block on.
    Race,
    /// Nobody else ever can.
    Never,
}

impl Deadline {
    /// The last height at which the justice is in time, for an output that was mined at `mined`.
    pub fn last_height(self, mined: BlockHeight) -> Option<BlockHeight> {
        match self {
            Self::After(blocks) => Some(mined.saturating_add(u32::from(blocks)).saturating_sub(1)),
            Self::At(height) => Some(height.saturating_sub(1).max(mined)),
            Self::Race => Some(mined),
            Self::Never => None,
        }
    }
}

/// A complete transaction at one price.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rung {
    /// What it pays per 1,000 weight units, by its real weight.
    pub feerate: FeeratePerKw,
    /// What it pays.
    pub fee: Sat,
    /// Whether anybody may add inputs and outputs behind the first, such as a fee input of the tower's.
    pub open: bool,
    /// The transaction. It may spend other outputs of the breach besides this claim's.
    pub tx: Transaction,
}

/// An input and the output at the same place, signed together and for nothing else
/// (`SIGHASH_SINGLE|ANYONECANPAY`): others may stand beside them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The input with its witness.
    pub input: TxIn,
    /// The output that must stand at the same place.
    pub output: TxOut,
    /// What both pay in a transaction of their own.
    pub feerate: FeeratePerKw,
    /// What both weigh, without the 42 weight units of the transaction around them.
    pub weight: u64,
    /// The version that the transaction must have.
    pub tx_version: u8,
}

/// By what right the keys of a replica open an output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// The commitment is revoked.
    Revoked,
    /// The peer offered it and here is the preimage, on the valid commitment of that point.
    Preimage([u8; 32], PublicKey),
    /// We offered it and it expires at that height, on the valid commitment of that point.
    Expired(BlockHeight, PublicKey),
}

/// An output that the keys of a replica open, whatever stands beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keyed {
    /// The number of the commitment.
    pub number: u64,
    /// Why it is ours.
    pub right: Right,
    /// What the input shows.
    pub witness_script: ScriptBuf,
    /// What the signed input weighs at most.
    pub input_weight: u64,
    /// Where the money goes.
    pub sweep_script: ScriptBuf,
}

/// How an output is taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// Transactions that are complete, cheapest first; at least one.
    Ladder(Vec<Rung>),
    /// An input and an output for a transaction that the tower makes.
    Pair(Box<Pair>),
    /// An input that the tower signs itself (`replica`).
    Keyed(Keyed),
}

/// One output that can be taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The output.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// Its script, as a signature of a neighbour may have to name it.
    pub script_pubkey: ScriptBuf,
    /// What it is.
    pub kind: ClaimKind,
    /// By when it has to be taken.
    pub deadline: Deadline,
    /// Blocks that must lie on top of the output's block, itself included, before it can be taken.
    pub csv: u16,
    /// How it is taken.
    pub way: Way,
}

impl Claim {
    /// The output as it stands in its transaction.
    pub fn txout(&self) -> TxOut {
        TxOut { value: self.value, script_pubkey: self.script_pubkey.clone() }
    }
}

/// What a transaction with one input of `input_weight` and one output to `script` weighs.
pub fn single_weight(input_weight: u64, script: &ScriptBuf) -> u64 {
    // Version, lock time and both counts are 10 bytes, marker and flag two weight units.
    42_u64.saturating_add(input_weight).saturating_add(output_weight(script))
}

/// What an output to `script` weighs.
pub fn output_weight(script: &ScriptBuf) -> u64 {
    let script = u64::try_from(script.len()).unwrap_or(u64::MAX);
    script.saturating_add(9).saturating_mul(4)
}

impl Encode for Claim {
    fn encode(&self, out: &mut Vec<u8>) {
        self.outpoint.encode(out);
        self.value.encode(out);
        self.script_pubkey.encode(out);
        let kind: u8 = match self.kind {
            ClaimKind::ToLocal => 0,
            ClaimKind::OfferedHtlc => 1,
            ClaimKind::ReceivedHtlc => 2,
            ClaimKind::SecondStage => 3,
            ClaimKind::ToRemote => 4,
        };
        kind.encode(out);
        self.deadline.encode(out);
        self.csv.encode(out);
        self.way.encode(out);
    }
}

impl Decode for Claim {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            outpoint: OutPoint::decode(r)?,
            value: Sat::decode(r)?,
            script_pubkey: ScriptBuf::decode(r)?,
            kind: match u8::decode(r)? {
                0 => ClaimKind::ToLocal,
                1 => ClaimKind::OfferedHtlc,
                2 => ClaimKind::ReceivedHtlc,
                3 => ClaimKind::SecondStage,
                4 => ClaimKind::ToRemote,
                _ => return Err(DecodeError::Range),
            },
            deadline: Deadline::decode(r)?,
            csv: u16::decode(r)?,
            way: Way::decode(r)?,
        })
    }
}

impl Encode for Deadline {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::After(blocks) => {
                0_u8.encode(out);
                blocks.encode(out);
            }
            Self::At(height) => {
                1_u8.encode(out);
                height.encode(out);
            }
            Self::Race => 2_u8.encode(out),
            Self::Never => 3_u8.encode(out),
        }
    }
}

impl Decode for Deadline {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::After(u16::decode(r)?),
            1 => Self::At(BlockHeight::decode(r)?),
            2 => Self::Race,
            3 => Self::Never,
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Way {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ladder(rungs) => {
                0_u8.encode(out);
                rungs.encode(out);
            }
            Self::Pair(pair) => {
                1_u8.encode(out);
                long(&serialize(&pair.input), out);
                long(&serialize(&pair.input.witness), out);
                long(&serialize(&pair.output), out);
                pair.feerate.encode(out);
                pair.weight.encode(out);
                pair.tx_version.encode(out);
            }
            Self::Keyed(keyed) => {
                keyed.right.encode(out);
                keyed.number.encode(out);
                keyed.witness_script.encode(out);
                keyed.input_weight.encode(out);
                keyed.sweep_script.encode(out);
            }
        }
    }
}

impl Decode for Way {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            0 => Self::Ladder(Vec::decode(r)?),
            1 => {
                let mut input: TxIn = bitcoin(r)?;
                input.witness = bitcoin(r)?;
                Self::Pair(Box::new(Pair {
                    input,
                    output: bitcoin(r)?,
                    feerate: FeeratePerKw::decode(r)?,
                    weight: u64::decode(r)?,
                    tx_version: u8::decode(r)?,
                }))
            }
            tag @ 2..=4 => Self::Keyed(Keyed {
                right: Right::decode(tag, r)?,
                number: u64::decode(r)?,
                witness_script: ScriptBuf::decode(r)?,
                input_weight: u64::decode(r)?,
                sweep_script: ScriptBuf::decode(r)?,
            }),
            _ => return Err(DecodeError::Range),
        })
    }
}

impl Encode for Rung {
    fn encode(&self, out: &mut Vec<u8>) {
        self.feerate.encode(out);
        self.fee.encode(out);
        self.open.encode(out);
        long(&serialize(&self.tx), out);
    }
}

impl Decode for Rung {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            feerate: FeeratePerKw::decode(r)?,
            fee: Sat::decode(r)?,
            open: bool::decode(r)?,
            tx: bitcoin(r)?,
        })
    }
}

impl Right {
    /// The tag of the way, and what belongs to it.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Revoked => 2_u8.encode(out),
            Self::Preimage(preimage, point) => {
                3_u8.encode(out);
                preimage.encode(out);
                point.encode(out);
            }
            Self::Expired(height, point) => {
                4_u8.encode(out);
                height.encode(out);
                point.encode(out);
            }
        }
    }

    fn decode(tag: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match tag {
            2 => Self::Revoked,
            3 => Self::Preimage(r.array()?, PublicKey::decode(r)?),
            4 => Self::Expired(BlockHeight::decode(r)?, PublicKey::decode(r)?),
            _ => return Err(DecodeError::Range),
        })
    }
}

/// A `u32` length, then the bytes.
fn long(bytes: &[u8], out: &mut Vec<u8>) {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).encode(out);
    out.extend_from_slice(bytes);
}

/// What [`long`] wrote, as a value of Bitcoin.
fn bitcoin<T: bitcoin::consensus::Decodable>(r: &mut Reader<'_>) -> Result<T, DecodeError> {
    let length = usize::try_from(u32::decode(r)?).map_err(|_| DecodeError::Short)?;
    deserialize(r.take(length)?).map_err(|_| DecodeError::Range)
}
