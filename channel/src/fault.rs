//! Every rule a peer can break, and what we do about each. BOLT 2; BOLT 1 § The `error` and `warning`
//! Messages.
//!
//! Not here: what we refuse to ourselves (`refusal`).

use thiserror::Error;
use wire::id::ChannelId;
use wire::message::{Error as ErrorMessage, Message, Warning};

/// What we do about a broken rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reaction {
    /// Nothing: the message changes nothing.
    Ignore,
    /// Say so and close the connection; the channel lives and starts again from what was signed.
    Warn,
    /// Say so and close the channel: the peer may hold a state that we cannot trust.
    FailChannel,
}

/// A broken rule, by the section of BOLT 2 that states it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PeerFault {
    // § The `open_channel` Message, § The `accept_channel` Message
    /// A chain we are not on.
    #[error("unknown chain_hash")]
    UnknownChain,
    /// No `channel_type`, another than was asked for, or one we do not do.
    #[error("channel_type must be static_remotekey with anchors")]
    BadChannelType,
    /// Both sides can open with two funders, so this message is out of place.
    #[error("open_channel although dual_fund was negotiated")]
    DualFundNegotiated,
    /// `funding_satoshis` outside of what both accept.
    #[error("funding_satoshis is out of bounds")]
    BadFundingAmount,
    /// `push_msat` above the capacity.
    #[error("push_msat is more than the channel holds")]
    PushTooLarge,
    /// `dust_limit_satoshis` below 354 or above our bound.
    #[error("dust_limit_satoshis is out of bounds")]
    BadDustLimit,
    /// A reserve below either dust limit, or more of the channel than we lock up.
    #[error("channel_reserve_satoshis is out of bounds")]
    BadReserve,
    /// `to_self_delay` above our bound.
    #[error("to_self_delay is too long")]
    BadToSelfDelay,
    /// More than 483, or too few to be useful.
    #[error("max_accepted_htlcs is out of bounds")]
    BadMaxAcceptedHtlcs,
    /// `htlc_minimum_msat` that leaves the channel useless.
    #[error("htlc_minimum_msat is too large")]
    BadHtlcMinimum,
    /// `max_htlc_value_in_flight_msat` that leaves the channel useless.
    #[error("max_htlc_value_in_flight_msat is too small")]
    BadInFlightMaximum,
    /// A feerate that never confirms, or one that burns money.
    #[error("feerate_per_kw is out of bounds")]
    BadFeerate,
    /// The funder cannot pay for the first commitment.
    #[error("the funder cannot pay the fee of the first commitment")]
    CannotPayFirstFee,
    /// Nobody would have anything to spend.
    #[error("neither side would own more than its reserve")]
    NothingAboveReserve,
    /// `minimum_depth` above our bound.
    #[error("minimum_depth is too deep")]
    BadMinimumDepth,
    /// A `shutdown_scriptpubkey` that `shutdown` could not carry.
    #[error("the upfront shutdown script has none of the allowed forms")]
    BadUpfrontScript,
    /// `upfront_shutdown_script` was negotiated and is missing.
    #[error("upfront_shutdown_script is missing")]
    MissingUpfrontScript,
    /// Another channel's id.
    #[error("the channel_id is that of another channel")]
    WrongChannelId,
    /// The signature does not cover our first commitment.
    #[error("the signature does not cover the first commitment")]
    BadFirstSignature,
    /// The confirmed outpoint is not the channel's output.
    #[error("the funding output has another value or script")]
    WrongFundingOutput,

    // § Adding an HTLC
    /// "for the first HTLC it offers: MUST set `id` to 0", then one by one.
    #[error("HTLC ids must rise by one")]
    HtlcIdOutOfOrder,
    /// Nothing, or less than our `htlc_minimum_msat`.
    #[error("amount_msat is below htlc_minimum_msat")]
    HtlcTooSmall,
    /// More than our `max_accepted_htlcs`.
    #[error("more HTLCs than max_accepted_htlcs")]
    TooManyHtlcs,
    /// More than our `max_htlc_value_in_flight_msat`.
    #[error("more value than max_htlc_value_in_flight_msat")]
    TooMuchInFlight,
    /// More than reserve, fee and anchors leave.
    #[error("the sender cannot afford the HTLC")]
    CannotAffordHtlc,
    /// "sets `cltv_expiry` to greater or equal to 500000000"
    #[error("cltv_expiry is a time")]
    CltvIsATime,
    /// An add after `shutdown`.
    #[error("update_add_htlc after shutdown")]
    AddAfterShutdown,

    // § Removing an HTLC
    /// No such HTLC of ours is irrevocably committed, or it is being removed already.
    #[error("no such HTLC can be removed")]
    UnknownHtlc,
    /// The preimage is of another hash.
    #[error("payment_preimage does not hash to payment_hash")]
    WrongPreimage,
    /// `failure_code` without the BADONION bit.
    #[error("failure_code lacks BADONION")]
    NotBadOnion,

    // § Committing Updates So Far
    /// A signature although an earlier one has not led to anything new.
    #[error("commitment_signed carries no update")]
    EmptyCommitment,
    /// The signature does not cover our next commitment, or is high-S.
    #[error("the signature does not cover our next commitment")]
    BadCommitmentSignature,
    /// Not one signature for each HTLC output.
    #[error("num_htlcs differs from the HTLC outputs")]
    WrongHtlcSignatureCount,
    /// An HTLC signature does not cover its transaction, or is high-S.
    #[error("an HTLC signature does not cover its transaction")]
    BadHtlcSignature,
    /// A funding transaction that is not the channel's.
    #[error("commitment_signed for another funding transaction")]
    WrongFundingTxid,

    // § Completing the Transition to the Updated State
    /// Nothing of ours waits to be acknowledged.
    #[error("revoke_and_ack without commitment_signed")]
    UnexpectedRevocation,
    /// The secret is not the one behind the commitment point.
    #[error("per_commitment_secret does not match its point")]
    BadRevocationSecret,
    /// The secret is not from the tree of its predecessors.
    #[error("per_commitment_secret does not follow from the same seed")]
    UnrelatedSecret,

    // § Updating Fees
    /// From the side that does not pay.
    #[error("update_fee from the side that does not pay")]
    FeeFromNonFunder,
    /// Too low to relay or too high to be meant.
    #[error("update_fee is out of bounds")]
    FeeOutOfBounds,
    /// More than the funder has.
    #[error("the funder cannot pay that feerate")]
    CannotAffordFee,

    // § Closing Initiation, § Legacy Closing Negotiation
    /// `shutdown` with a script of none of the forms.
    #[error("the shutdown script has none of the allowed forms")]
    BadShutdownScript,
    /// `shutdown` with another script than was promised.
    #[error("the shutdown script is not the one promised at opening")]
    UpfrontScriptMismatch,
    /// `shutdown` while updates of the sender are pending, or a second one with another script.
    #[error("shutdown out of place")]
    UnexpectedShutdown,
    /// `closing_signed` before both sides are done.
    #[error("closing_signed out of place")]
    UnexpectedClosing,
    /// The signature covers neither variant of the closing transaction.
    #[error("the signature does not cover the closing transaction")]
    BadClosingSignature,
    /// The fee ranges have nothing in common.
    #[error("no fee is in both ranges")]
    NoCommonFee,
    /// A fee outside of what was agreed so far.
    #[error("fee_satoshis is not where it may be")]
    BadClosingFee,
    /// An output that nobody relays.
    #[error("a closing output is dust")]
    ClosingDust,

    // § Message Retransmission
    /// A second `channel_reestablish` on one connection, or one before there is anything to continue.
    #[error("channel_reestablish out of place")]
    UnexpectedReestablish,
    /// Something else before `channel_reestablish`.
    #[error("channel_reestablish must come first")]
    NotReestablished,
    /// "if `next_commitment_number` is zero: MUST immediately fail the channel"
    #[error("next_commitment_number is zero")]
    AskedToFail,
    /// A number that is neither the last nor the next.
    #[error("next_commitment_number is not ours")]
    BadCommitmentNumber,
    /// A number that is neither the last nor the next.
    #[error("next_revocation_number is not ours")]
    BadRevocationNumber,
    /// The peer's proof of what we revoked is no proof.
    #[error("your_last_per_commitment_secret is wrong")]
    BadLastSecret,

    /// A message that has no place in this phase.
    #[error("message out of place")]
    OutOfPlace,
    /// A message we never negotiated: quiescence, splicing, `closing_complete` and the like.
    #[error("message of a feature that was not negotiated")]
    NotNegotiated,
}

impl PeerFault {
    /// The one table that decides.
    ///
    /// Where BOLT 2 leaves the choice between a warning and an error, a peer whose data may differ from
    /// ours gets the error, and everything that a new connection heals gets the warning.
    pub const fn reaction(self) -> Reaction {
        match self {
            Self::UnknownChain
            | Self::BadChannelType
            | Self::DualFundNegotiated
            | Self::BadFundingAmount
            | Self::PushTooLarge
            | Self::BadDustLimit
            | Self::BadReserve
            | Self::BadToSelfDelay
            | Self::BadMaxAcceptedHtlcs
            | Self::BadHtlcMinimum
            | Self::BadInFlightMaximum
            | Self::BadFeerate
            | Self::CannotPayFirstFee
            | Self::NothingAboveReserve
            | Self::BadMinimumDepth
            | Self::BadUpfrontScript
            | Self::MissingUpfrontScript
            | Self::WrongChannelId
            | Self::BadFirstSignature
            | Self::WrongFundingOutput
            | Self::BadCommitmentSignature
            | Self::WrongHtlcSignatureCount
            | Self::BadHtlcSignature
            | Self::UnexpectedRevocation
            | Self::BadRevocationSecret
            | Self::UnrelatedSecret
            | Self::WrongPreimage
            | Self::FeeFromNonFunder
            | Self::CannotAffordFee
            | Self::BadClosingSignature
            | Self::BadClosingFee
            | Self::ClosingDust
            | Self::AskedToFail
            | Self::BadCommitmentNumber
            | Self::BadRevocationNumber
            | Self::BadLastSecret => Reaction::FailChannel,
            Self::HtlcIdOutOfOrder
            | Self::HtlcTooSmall
            | Self::TooManyHtlcs
            | Self::TooMuchInFlight
            | Self::CannotAffordHtlc
            | Self::CltvIsATime
            | Self::AddAfterShutdown
            | Self::UnknownHtlc
            | Self::NotBadOnion
            | Self::EmptyCommitment
            | Self::FeeOutOfBounds
            | Self::BadShutdownScript
            | Self::UpfrontScriptMismatch
            | Self::UnexpectedShutdown
            | Self::UnexpectedClosing
            | Self::NoCommonFee
            | Self::NotReestablished
            | Self::UnexpectedReestablish
            | Self::OutOfPlace
            | Self::NotNegotiated => Reaction::Warn,
            Self::WrongFundingTxid => Reaction::Ignore,
        }
    }

    /// The `error` that says so, for a channel that ends by it.
    pub fn to_error(self, channel_id: ChannelId) -> Message {
        Message::Error(ErrorMessage { channel_id, data: self.to_string().into_bytes() })
    }

    /// The `warning` that says so.
    pub fn to_warning(self, channel_id: ChannelId) -> Message {
        Message::Warning(Warning { channel_id, data: self.to_string().into_bytes() })
    }
}
