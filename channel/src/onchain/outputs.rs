//! Each output of a close as people see it: what it is, who has it, from when, until when, what comes home.
//!
//! Not here: how it is found (`walk`), how it is spent (`tx::spend`).

use bitcoin::{OutPoint, Transaction, Txid, Witness};
use wire::id::PaymentHash;
use wire::units::{BlockHeight, Sat};

use super::HtlcName;
use crate::clock::Side;

/// An output of a close, or of a transaction made from one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputView {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is.
    pub what: What,
    /// What it holds.
    pub value: Sat,
    /// Who has it, or may have it.
    pub state: OutputState,
    /// The height by which it must be spent, because from the next block on it may be lost.
    pub deadline: Option<BlockHeight>,
    /// What its claim costs alone at the present feerate; nothing if none is to be made.
    pub cost: Sat,
    /// What of it comes home: value less cost while it can be claimed, the value once we took it, and
    /// nothing if it is the peer's or goes on into a second stage that has a view of its own.
    pub expected: Sat,
}

/// What an output is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// The balance of this side.
    Balance(Side),
    /// The anchor of this side.
    Anchor(Side),
    /// An HTLC.
    Htlc {
        /// Who offered it, and its number.
        name: HtlcName,
        /// The hash whose preimage takes it.
        payment_hash: PaymentHash,
        /// The height from which its offerer may take it back.
        cltv_expiry: BlockHeight,
    },
    /// An HTLC that was settled long ago, on a revoked commitment.
    Settled {
        /// Who offered it.
        by: Side,
        /// The height from which its offerer may take it back.
        cltv_expiry: BlockHeight,
    },
    /// What an HTLC transaction made of an HTLC.
    SecondStage {
        /// Which, if it is known.
        htlc: Option<HtlcName>,
    },
    /// None that we know: an HTLC of long ago, or anything on a transaction that we do not know.
    Unknown,
}

/// Who has an output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutputState {
    /// The peer's alone; nobody waits for it.
    Theirs,
    /// Not ours so far: a preimage, or what the peer makes of it, may change that.
    Unresolved,
    /// Ours, in a block of this height at the earliest.
    Waits {
        /// That height.
        until: BlockHeight,
    },
    /// Ours, in the next block.
    Claimable,
    /// We took it.
    Claimed {
        /// In this transaction.
        txid: Txid,
        /// In this block.
        height: BlockHeight,
    },
    /// The peer took it.
    Taken {
        /// In this transaction.
        txid: Txid,
        /// In this block.
        height: BlockHeight,
    },
    /// Taken so deep that nothing changes it any more.
    Irrevocable {
        /// By this side.
        by: Side,
        /// In this transaction.
        txid: Txid,
        /// In this block.
        height: BlockHeight,
    },
}

impl OutputState {
    /// Whether we took it, for good or not.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Claimed { .. } | Self::Irrevocable { by: Side::Us, .. })
    }

    /// Whether it can be ours and was not taken.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Waits { .. } | Self::Claimable)
    }
}

/// Who spent an output of a commitment of `owner`, or of a second stage of one. The branches of its
/// scripts belong to one side each, so the form of the witness tells.
pub(super) fn taker(owner: Side, what: What, outpoint: OutPoint, tx: &Transaction) -> Side {
    let witness = (tx.input.iter())
        .find(|input| input.previous_output == outpoint)
        .map_or_else(Witness::new, |input| input.witness.clone());
    match what {
        What::Balance(side) if side != owner => side,
        // `<sig> <> <script>` after the delay, `<sig> 1 <script>` for a penalty.
        What::Balance(_) | What::SecondStage { .. } => {
            if witness.second_to_last().is_none_or(<[u8]>::is_empty) { owner } else { !owner }
        }
        // After 16 blocks anybody may take an anchor, with an empty signature.
        What::Anchor(side) if witness.nth(0).is_some_and(|first| !first.is_empty()) => side,
        What::Anchor(_) | What::Unknown => Side::Them,
        // An HTLC transaction of the owner's has five elements; the other side spends directly with three.
        What::Htlc { .. } | What::Settled { .. } => {
            if witness.len() == 5 {
                owner
            } else {
                !owner
            }
        }
    }
}
