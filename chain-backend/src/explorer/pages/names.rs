//! What kinds and parts are called, in a word and in a sentence.

use crate::explorer::html::Html;
use crate::explorer::life::{Format, Kind, Life, Part, Way};
use crate::explorer::words::grouped;
use bitcoin::hex::DisplayHex as _;

/// A word for a kind, and its colour's class.
fn word(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Coinbase => ("new coins", "pill"),
        Kind::Commitment(Format::Legacy) => ("commitment · legacy", "pill force"),
        Kind::Commitment(Format::Anchors) => ("commitment · anchors", "pill force"),
        Kind::Commitment(Format::ZeroFee) => ("commitment · zero-fee", "pill force"),
        Kind::Close => ("cooperative close", "pill close"),
        Kind::Splice => ("splice, perhaps", "pill open"),
        Kind::Penalty => ("penalty", "pill bad"),
        Kind::HtlcSuccess => ("HTLC-success", "pill htlc"),
        Kind::HtlcTimeout => ("HTLC-timeout", "pill htlc"),
        Kind::HtlcClaim => ("HTLC claimed", "pill htlc"),
        Kind::HtlcRefund => ("HTLC taken back", "pill htlc"),
        Kind::DelayedSweep => ("delayed sweep", "pill sweep"),
        Kind::BalanceSweep => ("balance sweep", "pill sweep"),
        Kind::AnchorSweep => ("anchor sweep", "pill sweep"),
        Kind::Funding => ("channel funding", "pill open"),
        Kind::PerhapsFunding => ("funding, perhaps", "pill open"),
        Kind::Payment => ("payment", "pill"),
    }
}

/// What it means, for who has not read BOLT 3.
pub(super) const fn sentence(kind: Kind) -> &'static str {
    match kind {
        Kind::Coinbase => "A block's miner takes its new coins and all fees in it.",
        Kind::Commitment(Format::Legacy) => {
            "One side closed its channel alone. The fee was agreed on beforehand, and nobody can raise it."
        }
        Kind::Commitment(Format::Anchors) => {
            "One side closed its channel alone. Either side can raise the fee by spending its anchor."
        }
        Kind::Commitment(Format::ZeroFee) => {
            "One side closed its channel alone. It pays nothing itself: whoever spends the anchor that is anybody's pays for both."
        }
        Kind::Close => {
            "Both sides closed their channel together; each got what was its own at once."
        }
        Kind::Splice => {
            "A channel's money is spent together with other coins: to make the channel larger or smaller, perhaps."
        }
        Kind::Penalty => {
            "Somebody published a revoked state of a channel, and the other side took the money with the revocation's secret."
        }
        Kind::HtlcSuccess => {
            "A payment in flight was claimed with its preimage by the side that closed the channel."
        }
        Kind::HtlcTimeout => {
            "A payment in flight ran out, and the side that closed the channel takes it back."
        }
        Kind::HtlcClaim => {
            "A payment in flight was claimed with its preimage, from the other side's commitment."
        }
        Kind::HtlcRefund => {
            "A payment in flight ran out and was taken back, from the other side's commitment."
        }
        Kind::DelayedSweep => {
            "The side that closed the channel collects its money: the delay in which it could be contested is over."
        }
        Kind::BalanceSweep => "The side that did not close the channel collects its balance.",
        Kind::AnchorSweep => {
            "An anchor is spent: to pay for the commitment it belongs to, or to tidy up."
        }
        Kind::Funding => {
            "A channel was opened: the money lies in an output that both sides have to sign for."
        }
        Kind::PerhapsFunding => {
            "It pays a script's hash. What the script is shows only when it is spent: the money of a channel, perhaps."
        }
        Kind::Payment => "Nothing of a channel, as far as its scripts tell.",
    }
}

/// All that a transaction is.
pub(super) fn pills(html: &mut Html, life: &Life) {
    for kind in &life.kinds {
        let (word, class) = word(*kind);
        html.span(class, word);
    }
}

/// What an output is.
pub(super) fn part(part: Part) -> String {
    match part {
        Part::Funding => "channel funding, 2 of 2".to_owned(),
        Part::Delayed { delay } => {
            format!("its owner's after {} blocks", grouped(u64::try_from(delay).unwrap_or(0)))
        }
        Part::ToRemote => "the other side's balance".to_owned(),
        Part::Anchor => "anchor".to_owned(),
        Part::OpenAnchor => "anchor, anybody's".to_owned(),
        Part::Offered => "HTLC offered".to_owned(),
        Part::Received { expiry } => {
            format!("HTLC received, expires at {}", grouped(u64::try_from(expiry).unwrap_or(0)))
        }
    }
}

/// How it is spent.
pub(super) fn way(way: Way) -> String {
    match way {
        Way::Together => "both signed".to_owned(),
        Way::Delay => "after the delay".to_owned(),
        Way::Revocation => "with the revocation's secret".to_owned(),
        Way::Preimage(preimage) => format!("with the preimage {}", preimage.to_lower_hex_string()),
        Way::SuccessStage(preimage) => {
            format!("HTLC-success, with the preimage {}", preimage.to_lower_hex_string())
        }
        Way::Timeout => "after its expiry".to_owned(),
        Way::TimeoutStage => "HTLC-timeout, after its expiry".to_owned(),
        Way::Key => "by its key".to_owned(),
        Way::Anybody => "by anybody".to_owned(),
    }
}
