//! What a transaction is in the life of a payment channel, told from the shapes of what it spends and makes.
//!
//! An output that pays a script's hash shows its script only when it is spent. So a funding output that nobody has spent
//! is a guess, and is called one.
//! Not here: the same with a channel's own keys, which know for sure (`channel::onchain`).

mod script;
#[cfg(test)]
mod tests;

use bitcoin::{Transaction, TxIn, TxOut, Witness};
pub(super) use script::Part;

/// How an output of a channel is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Both sides signed.
    Together,
    /// Its delay is over.
    Delay,
    /// The other side has the secret of a revoked commitment.
    Revocation,
    /// By the payment's preimage, by whom the HTLC was offered to.
    Preimage([u8; 32]),
    /// Back to the payer, directly.
    Timeout,
    /// By the preimage, through the transaction both sides signed beforehand (HTLC-success).
    SuccessStage([u8; 32]),
    /// Back to the payer, through the transaction both sides signed beforehand (HTLC-timeout).
    TimeoutStage,
    /// By its key alone.
    Key,
    /// By anybody.
    Anybody,
}

/// How a commitment's fee can be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    /// Not at all: the fee was agreed on beforehand.
    Legacy,
    /// By an anchor of either side's key.
    Anchors,
    /// By an anchor that is anybody's; it pays nothing itself.
    ZeroFee,
}

/// What a transaction is. Of several at once, the first in this order gives it its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Coinbase,
    Commitment(Format),
    Close,
    /// The funding output is spent together with others, into another one.
    Splice,
    Penalty,
    HtlcSuccess,
    HtlcTimeout,
    HtlcClaim,
    HtlcRefund,
    DelayedSweep,
    BalanceSweep,
    AnchorSweep,
    Funding,
    /// Pays a script's hash that nobody has spent yet: a channel's opening, perhaps.
    PerhapsFunding,
    Payment,
}

/// What is known of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// All that it is, the most telling first; never empty.
    pub(super) kinds: Vec<Kind>,
    /// What each input spends of a channel, and how.
    pub(super) inputs: Vec<Option<(Part, Way)>>,
    /// What each output is to a channel.
    pub(super) outputs: Vec<Option<Part>>,
}

/// The amount of an anchor, satoshi (BOLT 3).
const ANCHOR_SAT: u64 = 330;
/// Pay to anchor: `OP_1 <4e73>`.
const OPEN_ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];

impl Life {
    /// `spent` are the outputs that the inputs spend, as far as known; `revealed` says what outputs turned out to be
    /// when they were spent.
    pub(super) fn of(tx: &Transaction, spent: &[TxOut], revealed: &[Option<Part>]) -> Self {
        let inputs: Vec<_> = (tx.input.iter().enumerate())
            .map(|(place, input)| spend(input, spent.get(place)))
            .collect();
        let mut outputs: Vec<Option<Part>> = (tx.output.iter().enumerate())
            .map(|(place, output)| {
                let open = output.script_pubkey.as_bytes() == OPEN_ANCHOR;
                let revealed = revealed.get(place).copied().flatten();
                if open { Some(Part::OpenAnchor) } else { revealed }
            })
            .collect();
        let mut kinds: Vec<Kind> = inputs.iter().copied().flatten().filter_map(kind).collect();
        if tx.is_coinbase() {
            kinds.push(Kind::Coinbase);
        }
        if inputs.iter().any(|input| matches!(input, Some((Part::Funding, _)))) {
            let last = last_of_channel(tx);
            if matches!(last, Kind::Commitment(_)) {
                name_anchors(tx, &mut outputs);
            }
            kinds.push(last);
        } else if outputs.contains(&Some(Part::Funding)) {
            kinds.push(Kind::Funding);
        } else if kinds.is_empty() && has_unknown_script(tx, &outputs) {
            kinds.push(Kind::PerhapsFunding);
        }
        if kinds.is_empty() {
            kinds.push(Kind::Payment);
        }
        kinds.sort_unstable();
        kinds.dedup();
        Self { kinds, inputs, outputs }
    }

    /// What gives it its name.
    pub(super) fn name(&self) -> Kind {
        self.kinds.first().copied().unwrap_or(Kind::Payment)
    }
}

/// What a spent output turned out to be, by the witness that spends it.
pub(super) fn revealed(output: &TxOut, witness: &Witness) -> Option<Part> {
    let script = bitcoin::Script::from_bytes(witness.last()?);
    // The hash says that it is the script; else it could be anything.
    if output.script_pubkey.is_p2wsh() && script.to_p2wsh() == output.script_pubkey {
        Part::of(script)
    } else {
        None
    }
}

fn spend(input: &TxIn, spent: Option<&TxOut>) -> Option<(Part, Way)> {
    let output = spent?;
    if output.script_pubkey.as_bytes() == OPEN_ANCHOR {
        return Some((Part::OpenAnchor, Way::Anybody));
    }
    let part = revealed(output, &input.witness)?;
    let items: Vec<&[u8]> = input.witness.iter().collect();
    let preimage = |item: &[u8]| <[u8; 32]>::try_from(item).ok();
    let way = match (part, items.as_slice()) {
        (Part::Funding, _) => Way::Together,
        (Part::Delayed { .. }, [_, [], _]) => Way::Delay,
        (Part::Delayed { .. }, [_, [1], _]) => Way::Revocation,
        (Part::Anchor, [[], _]) => Way::Anybody,
        (Part::Anchor | Part::ToRemote, [_, _]) => Way::Key,
        (Part::Offered | Part::Received { .. }, [_, key, _]) if key.len() == 33 => Way::Revocation,
        (Part::Offered, [[], _, _, [], _]) => Way::TimeoutStage,
        (Part::Offered, [_, item, _]) => Way::Preimage(preimage(item)?),
        (Part::Received { .. }, [[], _, _, item, _]) => Way::SuccessStage(preimage(item)?),
        (Part::Received { .. }, [_, [], _]) => Way::Timeout,
        _ => return None,
    };
    Some((part, way))
}

/// What spending a part that way is. The funding output's spends need the whole transaction.
fn kind((part, way): (Part, Way)) -> Option<Kind> {
    Some(match (part, way) {
        (_, Way::Revocation) => Kind::Penalty,
        (_, Way::SuccessStage(_)) => Kind::HtlcSuccess,
        (_, Way::TimeoutStage) => Kind::HtlcTimeout,
        (_, Way::Preimage(_)) => Kind::HtlcClaim,
        (_, Way::Timeout) => Kind::HtlcRefund,
        (_, Way::Delay) => Kind::DelayedSweep,
        (Part::Anchor | Part::OpenAnchor, _) => Kind::AnchorSweep,
        (_, Way::Key) => Kind::BalanceSweep,
        (_, Way::Together | Way::Anybody) => return None,
    })
}

/// What a transaction that spends a funding output is.
fn last_of_channel(tx: &Transaction) -> Kind {
    let [input] = tx.input.as_slice() else { return Kind::Splice };
    // BOLT 3: "locktime: upper 8 bits are 0x20", and "sequence: upper 8 bits are 0x80".
    let has_number = tx.lock_time.to_consensus_u32() >> 24 == 0x20
        && input.sequence.to_consensus_u32() >> 24 == 0x80;
    if !has_number {
        return Kind::Close;
    }
    let any = |is: &dyn Fn(&TxOut) -> bool| tx.output.iter().any(is);
    if any(&|output| output.script_pubkey.as_bytes() == OPEN_ANCHOR) {
        Kind::Commitment(Format::ZeroFee)
    } else if any(&is_anchor) {
        Kind::Commitment(Format::Anchors)
    } else {
        Kind::Commitment(Format::Legacy)
    }
}

fn is_anchor(output: &TxOut) -> bool {
    output.script_pubkey.is_p2wsh() && output.value.to_sat() == ANCHOR_SAT
}

/// The anchors of a commitment need no spend to be known: their amount is always the same.
fn name_anchors(tx: &Transaction, outputs: &mut [Option<Part>]) {
    for (output, part) in tx.output.iter().zip(outputs) {
        if is_anchor(output) && part.is_none() {
            *part = Some(Part::Anchor);
        }
    }
}

fn has_unknown_script(tx: &Transaction, outputs: &[Option<Part>]) -> bool {
    let mut outputs = tx.output.iter().zip(outputs);
    !tx.is_coinbase()
        && outputs.any(|(output, part)| part.is_none() && output.script_pubkey.is_p2wsh())
}
