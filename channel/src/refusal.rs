//! Every reason to say no to ourselves. The channel is as it was before the command.
//!
//! Not here: rules the peer broke (`fault`).

use bitcoin::Amount;
use thiserror::Error;
use wire::units::{BlockHeight, FeeratePerKw, Msat};

/// A command that was not carried out.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// `channel_ready` was not exchanged yet.
    #[error("the channel is not open yet")]
    NotReady,
    /// The peer is away or `channel_reestablish` is not done.
    #[error("the peer is not connected")]
    NotConnected,
    /// `shutdown` was sent or received, or the channel is on Layer 1.
    #[error("the channel is closing")]
    Closing,
    /// The channel is frozen: its books do not balance or its data is stale.
    #[error("the channel is frozen")]
    Frozen,
    /// A `shutdown` has to wait for updates that are not signed yet; say it again.
    #[error("the channel has nothing to close")]
    NothingToClose,
    /// BOLT 2 § Adding an HTLC: "MUST offer `amount_msat` greater than 0".
    #[error("{amount} is below the peer's smallest HTLC, {minimum}")]
    BelowMinimum {
        /// The amount asked for.
        amount: Msat,
        /// The peer's `htlc_minimum_msat`, or what dust exposure leaves.
        minimum: Msat,
    },
    /// Reserve, fees, anchors and the fee spike buffer come first.
    #[error("{amount} is more than the {available} that can be sent")]
    InsufficientBalance {
        /// The amount asked for.
        amount: Msat,
        /// The most that can be sent now.
        available: Msat,
    },
    /// The peer funds the channel and could not pay for another output.
    #[error("the peer cannot pay the fee of one more HTLC")]
    PeerCannotPayFee,
    /// The peer's `max_accepted_htlcs`.
    #[error("the peer takes at most {limit} HTLCs at once")]
    TooManyHtlcs {
        /// The limit.
        limit: u16,
    },
    /// The peer's `max_htlc_value_in_flight_msat`.
    #[error("the peer takes at most {limit_msat} msat in flight")]
    TooMuchInFlight {
        /// The limit.
        limit_msat: u64,
    },
    /// Our bound on value that a close would burn.
    #[error("trimmed HTLCs would exceed {limit_msat} msat")]
    DustExposure {
        /// The limit.
        limit_msat: u64,
    },
    /// The expiry is in the past, too far ahead, or a time.
    #[error("the expiry {cltv_expiry} is not a usable height")]
    BadExpiry {
        /// The expiry asked for.
        cltv_expiry: BlockHeight,
    },
    /// No such incoming HTLC is irrevocably committed.
    #[error("no incoming HTLC {htlc} is committed")]
    UnknownHtlc {
        /// The `id` asked for.
        htlc: u64,
    },
    /// The HTLC is being removed already, perhaps otherwise.
    #[error("HTLC {htlc} is already being removed")]
    AlreadyRemoved {
        /// The `id` asked for.
        htlc: u64,
    },
    /// The preimage is of another hash.
    #[error("the preimage does not match HTLC {htlc}")]
    WrongPreimage {
        /// The `id` asked for.
        htlc: u64,
    },
    /// The failure is not one that BOLT 2 lets us send.
    #[error("the failure is not well-formed")]
    BadFailure,
    /// Only the funder sets the feerate.
    #[error("only the funder sets the feerate")]
    NotFunder,
    /// The feerate is outside of the policy.
    #[error("the feerate {feerate} is out of bounds")]
    BadFeerate {
        /// The feerate asked for.
        feerate: FeeratePerKw,
    },
    /// We cannot pay that feerate.
    #[error("the balance does not pay for the feerate {feerate}")]
    CannotAffordFee {
        /// The feerate asked for.
        feerate: FeeratePerKw,
    },
    /// The script is none that `shutdown` may carry.
    #[error("a channel cannot close to that script")]
    BadScript,
    /// The channel could not be opened with these terms.
    #[error("cannot open: {0}")]
    BadTerms(BadTerms),
    /// The open did not come about.
    #[error("the channel was not opened: {0:?}")]
    NotOpened(crate::effect::AbandonReason),
    /// The transaction does not have the output that was asked for.
    #[error("the funding transaction lacks the channel's output")]
    BadFunding,
    /// Our own commitment may not be broadcast: it may be stale, and nobody has refuted it yet.
    #[error("our data may be stale: nothing is broadcast before the peer's numbers were compared")]
    Quarantined,
    /// Our own commitment may not be broadcast: the peer proved it is stale.
    #[error("our data is stale; only the peer can close")]
    Stale,
}

/// What is wrong with the terms of an open.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BadTerms {
    /// The peer lacks a feature without which we open nothing.
    #[error("the peer lacks anchors or static_remotekey")]
    MissingFeature,
    /// The peer does not do the kind of channel that is asked for.
    #[error(
        "the peer does not offer option_scid_alias or option_zeroconf, which this channel needs"
    )]
    KindNotOffered,
    /// Its place in the chain cannot be told and hidden.
    #[error("a channel that is named by its alias alone cannot be announced")]
    AnnouncedAlias,
    /// At or above 2^24 sat without `option_support_large_channel`, or above all bitcoin.
    #[error("the capacity {capacity} is too large")]
    TooLarge {
        /// The capacity asked for.
        capacity: Amount,
    },
    /// Below what leaves anything to spend.
    #[error("the capacity {capacity} is too small")]
    TooSmall {
        /// The capacity asked for.
        capacity: Amount,
    },
    /// More is pushed than is there, or the rest does not pay the fee.
    #[error("the push leaves too little for the fee")]
    CannotAffordFee,
    /// Our own limits contradict each other or BOLT 2.
    #[error("our limits contradict each other")]
    BadParams,
    /// The signer has no keys for this channel.
    #[error("the signer failed")]
    Signer,
}
