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

/// One line a rule: its number in records, its name, what follows, and what the peer is told.
macro_rules! faults {
    ($( $(#[$doc:meta])* $code:literal $name:ident $reaction:ident $text:literal, )*) => {
        /// A broken rule, by the section of BOLT 2 that states it.
        #[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
        pub enum PeerFault {
            $( $(#[$doc])* #[error($text)] $name, )*
        }

        impl PeerFault {
            /// What follows.
            ///
            /// Where BOLT 2 leaves the choice between a warning and an error, a peer whose data may
            /// differ from ours gets the error, and what a new connection heals gets the warning.
            pub const fn reaction(self) -> Reaction {
                match self { $( Self::$name => Reaction::$reaction, )* }
            }

            /// The number that stands for it in records; never reused.
            pub const fn code(self) -> u8 {
                match self { $( Self::$name => $code, )* }
            }

            /// What a record's number stands for.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $( $code => Some(Self::$name), )* _ => None }
            }

            /// Every rule there is.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];
        }
    };
}

faults! {
    // § The `open_channel` Message, § The `accept_channel` Message
    /// A chain we are not on.
    1 UnknownChain FailChannel "unknown chain_hash",
    /// No `channel_type`, another than was asked for, or one we do not do.
    2 BadChannelType FailChannel "channel_type must be static_remotekey with anchors, with or without scid_alias and zeroconf",
    /// Both sides can open with two funders, so this message is out of place.
    3 DualFundNegotiated FailChannel "open_channel although dual_fund was negotiated",
    /// `funding_satoshis` outside of what both accept.
    4 BadFundingAmount FailChannel "funding_satoshis is out of bounds",
    /// `push_msat` above the capacity.
    5 PushTooLarge FailChannel "push_msat is more than the channel holds",
    /// `dust_limit_satoshis` below 354 or above our bound.
    6 BadDustLimit FailChannel "dust_limit_satoshis is out of bounds",
    /// A reserve below either dust limit, or more of the channel than we lock up.
    7 BadReserve FailChannel "channel_reserve_satoshis is out of bounds",
    /// `to_self_delay` above our bound.
    8 BadToSelfDelay FailChannel "to_self_delay is too long",
    /// More than 483, or too few to be useful.
    9 BadMaxAcceptedHtlcs FailChannel "max_accepted_htlcs is out of bounds",
    /// `htlc_minimum_msat` that leaves the channel useless.
    10 BadHtlcMinimum FailChannel "htlc_minimum_msat is too large",
    /// `max_htlc_value_in_flight_msat` that leaves the channel useless.
    11 BadInFlightMaximum FailChannel "max_htlc_value_in_flight_msat is too small",
    /// A feerate that never confirms, or one that burns money.
    12 BadFeerate FailChannel "feerate_per_kw is out of bounds",
    /// The funder cannot pay for the first commitment.
    13 CannotPayFirstFee FailChannel "the funder cannot pay the fee of the first commitment",
    /// Nobody would have anything to spend.
    14 NothingAboveReserve FailChannel "neither side would own more than its reserve",
    /// `minimum_depth` above our bound.
    15 BadMinimumDepth FailChannel "minimum_depth is too deep",
    /// A `shutdown_scriptpubkey` that `shutdown` could not carry.
    16 BadUpfrontScript FailChannel "the upfront shutdown script has none of the allowed forms",
    /// `upfront_shutdown_script` was negotiated and is missing.
    17 MissingUpfrontScript FailChannel "upfront_shutdown_script is missing",
    /// Another channel's id.
    18 WrongChannelId FailChannel "the channel_id is that of another channel",
    /// The signature does not cover our first commitment.
    19 BadFirstSignature FailChannel "the signature does not cover the first commitment",
    /// `option_scid_alias` hides a channel that `announce_channel` shows.
    58 AnnouncedAlias FailChannel "a channel with option_scid_alias cannot be announced",
    /// `option_zeroconf` from a peer whose funding nobody here trusts.
    59 UntrustedFunding FailChannel "zero-conf channels are only taken from peers that our operator trusts",
    /// The confirmed outpoint is not the channel's output.
    20 WrongFundingOutput FailChannel "the funding output has another value or script",

    // § Adding an HTLC
    /// "for the first HTLC it offers: MUST set `id` to 0", then one by one.
    21 HtlcIdOutOfOrder Warn "HTLC ids must rise by one",
    /// Nothing, or less than our `htlc_minimum_msat`.
    22 HtlcTooSmall Warn "amount_msat is below htlc_minimum_msat",
    /// More than our `max_accepted_htlcs`.
    23 TooManyHtlcs Warn "more HTLCs than max_accepted_htlcs",
    /// More than our `max_htlc_value_in_flight_msat`.
    24 TooMuchInFlight Warn "more value than max_htlc_value_in_flight_msat",
    /// More than reserve, fee and anchors leave.
    25 CannotAffordHtlc Warn "the sender cannot afford the HTLC",
    /// "sets `cltv_expiry` to greater or equal to 500000000"
    26 CltvIsATime Warn "cltv_expiry is a time",
    /// An add after `shutdown`.
    27 AddAfterShutdown Warn "update_add_htlc after shutdown",

    // § Removing an HTLC
    /// No such HTLC of ours is irrevocably committed, or it is being removed already.
    28 UnknownHtlc Warn "no such HTLC can be removed",
    /// The preimage is of another hash.
    29 WrongPreimage FailChannel "payment_preimage does not hash to payment_hash",
    /// `failure_code` without the BADONION bit.
    30 NotBadOnion Warn "failure_code lacks BADONION",

    // § Committing Updates So Far
    /// The signature does not cover our next commitment, or is high-S.
    32 BadCommitmentSignature FailChannel "the signature does not cover our next commitment",
    /// Not one signature for each HTLC output.
    33 WrongHtlcSignatureCount FailChannel "num_htlcs differs from the HTLC outputs",
    /// An HTLC signature does not cover its transaction, or is high-S.
    34 BadHtlcSignature FailChannel "an HTLC signature does not cover its transaction",
    /// A funding transaction that is not the channel's.
    35 WrongFundingTxid Ignore "commitment_signed for another funding transaction",

    // § Completing the Transition to the Updated State
    /// Nothing of ours waits to be acknowledged.
    36 UnexpectedRevocation FailChannel "revoke_and_ack without commitment_signed",
    /// The secret is not the one behind the commitment point.
    37 BadRevocationSecret FailChannel "per_commitment_secret does not match its point",
    /// The secret is not from the tree of its predecessors.
    38 UnrelatedSecret FailChannel "per_commitment_secret does not follow from the same seed",

    // § Updating Fees
    /// From the side that does not pay.
    39 FeeFromNonFunder FailChannel "update_fee from the side that does not pay",
    /// Too low to relay or too high to be meant.
    40 FeeOutOfBounds Warn "update_fee is out of bounds",
    /// More than the funder has.
    41 CannotAffordFee FailChannel "the funder cannot pay that feerate",

    // § Closing Initiation, § Legacy Closing Negotiation
    /// `shutdown` with a script of none of the forms.
    42 BadShutdownScript Warn "the shutdown script has none of the allowed forms",
    /// `shutdown` with another script than was promised.
    43 UpfrontScriptMismatch Warn "the shutdown script is not the one promised at opening",
    /// `shutdown` while updates of the sender are pending, or a second one with another script.
    44 UnexpectedShutdown Warn "shutdown out of place",
    /// `closing_signed` before both sides are done.
    45 UnexpectedClosing Warn "closing_signed out of place",
    /// The signature covers neither variant of the closing transaction.
    46 BadClosingSignature FailChannel "the signature does not cover the closing transaction",
    /// The fee ranges have nothing in common.
    47 NoCommonFee Warn "no fee is in both ranges",
    /// A fee outside of what was agreed so far.
    48 BadClosingFee FailChannel "fee_satoshis is not where it may be",
    /// One more closing transaction than we keep signatures of.
    49 TooManyCloses Warn "too many closing transactions are signed already",

    // § Message Retransmission
    /// A second `channel_reestablish` on one connection, or one before there is anything to continue.
    50 UnexpectedReestablish Warn "channel_reestablish out of place",
    /// Something else before `channel_reestablish`.
    51 NotReestablished Warn "channel_reestablish must come first",
    /// "if `next_commitment_number` is zero: MUST immediately fail the channel"
    52 AskedToFail FailChannel "next_commitment_number is zero",
    /// A number that is neither the last nor the next.
    53 BadCommitmentNumber FailChannel "next_commitment_number is not ours",
    /// A number that is neither the last nor the next.
    54 BadRevocationNumber FailChannel "next_revocation_number is not ours",
    /// The peer's proof of what we revoked is no proof.
    55 BadLastSecret FailChannel "your_last_per_commitment_secret is wrong",

    /// A message that has no place in this phase.
    56 OutOfPlace Warn "message out of place",
    /// A message we never negotiated: quiescence, splicing, `closing_complete` and the like.
    57 NotNegotiated Warn "message of a feature that was not negotiated",
}

impl PeerFault {
    /// The `error` that says so, for a channel that ends by it.
    pub fn to_error(self, channel_id: ChannelId) -> Message {
        ErrorMessage { channel_id, data: self.to_string().into_bytes() }.into()
    }

    /// The `warning` that says so.
    pub fn to_warning(self, channel_id: ChannelId) -> Message {
        Warning { channel_id, data: self.to_string().into_bytes() }.into()
    }
}

#[cfg(test)]
mod tests;
