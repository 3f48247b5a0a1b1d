//! The witness scripts of a channel's outputs (BOLT 3), known by their shape.

use bitcoin::opcodes::all as op;
use bitcoin::script::Instruction;
use bitcoin::{Opcode, Script};

/// What an output of a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explorer) enum Part {
    /// The 2-of-2 that holds a channel's money.
    Funding,
    /// What its owner gets after a delay, and the other at once if it was revoked: `to_local`, or the end of an HTLC.
    Delayed {
        /// Blocks.
        delay: i64,
    },
    /// What the other side of a commitment gets, a block later.
    ToRemote,
    /// A key's anchor.
    Anchor,
    /// Anybody's anchor (pay to anchor).
    OpenAnchor,
    /// An HTLC that the commitment's owner offered.
    Offered,
    /// An HTLC that the commitment's owner received.
    Received {
        /// The height from which the other takes it back.
        expiry: i64,
    },
}

/// A piece of a script.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Op(Opcode),
    /// A compressed key.
    Key,
    /// A hash of 20 bytes.
    Hash,
    /// This number.
    Is(i64),
    /// Any number, which is told.
    Number,
}

use Piece::{Hash, Is, Key, Number, Op};

const FUNDING: &[Piece] = &[Is(2), Key, Key, Is(2), Op(op::OP_CHECKMULTISIG)];
const DELAYED: &[Piece] = &[
    Op(op::OP_IF),
    Key,
    Op(op::OP_ELSE),
    Number,
    Op(op::OP_CSV),
    Op(op::OP_DROP),
    Key,
    Op(op::OP_ENDIF),
    Op(op::OP_CHECKSIG),
];
const TO_REMOTE: &[Piece] = &[Key, Op(op::OP_CHECKSIGVERIFY), Is(1), Op(op::OP_CSV)];
const ANCHOR: &[Piece] = &[
    Key,
    Op(op::OP_CHECKSIG),
    Op(op::OP_IFDUP),
    Op(op::OP_NOTIF),
    Is(16),
    Op(op::OP_CSV),
    Op(op::OP_ENDIF),
];
const HTLC: &[Piece] = &[
    Op(op::OP_DUP),
    Op(op::OP_HASH160),
    Hash,
    Op(op::OP_EQUAL),
    Op(op::OP_IF),
    Op(op::OP_CHECKSIG),
    Op(op::OP_ELSE),
    Key,
    Op(op::OP_SWAP),
    Op(op::OP_SIZE),
    Is(32),
    Op(op::OP_EQUAL),
];
const OFFERED: &[Piece] = &[
    Op(op::OP_NOTIF),
    Op(op::OP_DROP),
    Is(2),
    Op(op::OP_SWAP),
    Key,
    Is(2),
    Op(op::OP_CHECKMULTISIG),
    Op(op::OP_ELSE),
    Op(op::OP_HASH160),
    Hash,
    Op(op::OP_EQUALVERIFY),
    Op(op::OP_CHECKSIG),
    Op(op::OP_ENDIF),
];
const RECEIVED: &[Piece] = &[
    Op(op::OP_IF),
    Op(op::OP_HASH160),
    Hash,
    Op(op::OP_EQUALVERIFY),
    Is(2),
    Op(op::OP_SWAP),
    Key,
    Is(2),
    Op(op::OP_CHECKMULTISIG),
    Op(op::OP_ELSE),
    Op(op::OP_DROP),
    Number,
    Op(op::OP_CLTV),
    Op(op::OP_DROP),
    Op(op::OP_CHECKSIG),
    Op(op::OP_ENDIF),
];
/// With anchors nobody takes an HTLC in the block of its commitment.
const A_BLOCK_LATER: &[Piece] = &[Is(1), Op(op::OP_CSV), Op(op::OP_DROP)];
const END: &[Piece] = &[Op(op::OP_ENDIF)];

/// The longest script that is looked at, bytes: an HTLC takes 143.
const SIZE_MAX: usize = 200;

impl Part {
    /// What an output with this witness script is.
    pub(in crate::explorer) fn of(script: &Script) -> Option<Self> {
        if script.len() > SIZE_MAX {
            return None;
        }
        let shape = |pieces: &[&[Piece]]| numbers(script, pieces);
        let first = |numbers: Vec<i64>| numbers.first().copied().unwrap_or(0);
        if shape(&[FUNDING]).is_some() {
            return Some(Self::Funding);
        }
        if let Some(found) = shape(&[DELAYED]) {
            return Some(Self::Delayed { delay: first(found) });
        }
        if shape(&[TO_REMOTE]).is_some() {
            return Some(Self::ToRemote);
        }
        if shape(&[ANCHOR]).is_some() {
            return Some(Self::Anchor);
        }
        let either =
            |kind| shape(&[HTLC, kind, END]).or_else(|| shape(&[HTLC, kind, A_BLOCK_LATER, END]));
        if either(OFFERED).is_some() {
            return Some(Self::Offered);
        }
        either(RECEIVED).map(|found| Self::Received { expiry: first(found) })
    }
}

/// The numbers in a script of this shape; `None` where it has another.
fn numbers(script: &Script, shape: &[&[Piece]]) -> Option<Vec<i64>> {
    let mut found = Vec::new();
    let mut parts = script.instructions();
    for piece in shape.iter().copied().flatten() {
        let part = parts.next()?.ok()?;
        let fits = match (piece, part) {
            (Op(wanted), Instruction::Op(there)) => *wanted == there,
            (Key, Instruction::PushBytes(bytes)) => bytes.len() == 33,
            (Hash, Instruction::PushBytes(bytes)) => bytes.len() == 20,
            (Is(wanted), part) => number(part) == Some(*wanted),
            (Number, part) => {
                found.push(number(part)?);
                true
            }
            (Op(_) | Key | Hash, Instruction::Op(_) | Instruction::PushBytes(_)) => false,
        };
        if !fits {
            return None;
        }
    }
    parts.next().is_none().then_some(found)
}

fn number(part: Instruction<'_>) -> Option<i64> {
    match part {
        Instruction::PushBytes(bytes) if bytes.is_empty() => Some(0),
        // A height or a delay takes four bytes at most.
        Instruction::PushBytes(bytes) if bytes.len() <= 4 => {
            bitcoin::script::read_scriptint(bytes.as_bytes()).ok()
        }
        Instruction::PushBytes(_) => None,
        Instruction::Op(code) => {
            let small = code.to_u8().checked_sub(0x50).filter(|small| (1..=16).contains(small));
            small.map(i64::from)
        }
    }
}
