//! From refusals to what clients see: reason, words and numbers, in this one place.

use core::time::Duration;

use api::reason::{Reason, Refused};
use tonic::Status;

use super::{BumpNo, Noun, Refusal, Shortage, Unreachable, Unready};

/// When to come back after a queue was full or the node was starting.
const SOON: Duration = Duration::from_millis(500);

impl Refusal {
    /// The reason out of the public list; it knows the status code and the remedy.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } | Self::OutOfRange { .. } | Self::EventsAhead { .. } => {
                Reason::FieldInvalid
            }
            Self::Missing { .. } => Reason::FieldMissing,
            Self::BadPageToken => Reason::PageTokenInvalid,
            Self::NotSupported { .. } => Reason::NotSupported,
            Self::NotFound { kind: Noun::Peer, .. } => Reason::PeerUnknown,
            Self::NotFound { kind: Noun::Tower, .. } => Reason::TowerUnknown,
            Self::NotFound { kind: Noun::Channel, .. } => Reason::ChannelUnknown,
            Self::NotFound { kind: Noun::Payment, .. } => Reason::PaymentUnknown,
            Self::NotFound { kind: Noun::Invoice, .. } => Reason::InvoiceUnknown,
            Self::KeyReused { .. } => Reason::IdempotencyKeyReused,
            Self::BadBackup { .. } => Reason::BackupUnusable,
            Self::NotSandbox { .. } => Reason::NotSandbox,
            Self::Sandbox { .. } => Reason::SandboxRefused,
            Self::EventsPruned { .. } => Reason::EventsPruned,
            Self::TooSlow { .. } => Reason::SubscriberTooSlow,
            Self::NotReady { state: Unready::Starting } => Reason::NodeStarting,
            Self::NotReady { state: Unready::Syncing | Unready::Quarantined } => {
                Reason::ChainBehind
            }
            Self::NotReady { state: Unready::Stopping } => Reason::NodeStopping,
            Self::Busy { .. } => Reason::Overloaded,
            Self::ChainUnavailable { .. } => Reason::ChainUnavailable,
            Self::BroadcastRefused { .. } => Reason::BroadcastRejected,
            Self::BumpRefused { why: BumpNo::Unknown, .. } => Reason::TransactionUnknown,
            Self::BumpRefused { why: BumpNo::Short { .. }, .. } => Reason::FundsInsufficient,
            Self::BumpRefused { .. } => Reason::BumpRefused,
            Self::StoreFailed => Reason::StoreFailed,
            Self::NoAnswer | Self::WalletInconsistent { .. } => Reason::Internal,
            Self::Ourselves { .. } => Reason::PeerIsUs,
            Self::PeerUnreachable { why: Unreachable::WrongKey, .. } => Reason::PeerHandshakeFailed,
            Self::PeerUnreachable { why: Unreachable::Incompatible, .. } => {
                Reason::PeerIncompatible
            }
            Self::PeerUnreachable { .. } => Reason::PeerUnreachable,
            Self::PeerNotConnected { .. }
            | Self::PeerWentAway { .. }
            | Self::CloseNeedsPeer { .. } => Reason::PeerOffline,
            Self::PeerHasChannels { .. } => Reason::PeerHasChannels,
            Self::ShortOfFunds(_) => Reason::FundsInsufficient,
            Self::BelowDust { .. } => Reason::AmountTooSmall,
            Self::PushTooLarge { .. } => Reason::AmountTooLarge,
            Self::BadAddress { .. } => Reason::AddressInvalid,
            Self::AddressWrongNetwork { .. } => Reason::AddressWrongNetwork,
            Self::FeerateOutOfRange { .. } => Reason::FeerateOutOfRange,
            Self::FundingTooSmall { .. } => Reason::ChannelTooSmall,
            Self::FundingTooLarge { .. } => Reason::ChannelTooLarge,
            Self::OpenInFlight { .. } => Reason::ChannelOpenPending,
            Self::TooManyChannels { .. } | Self::OpenRefused { .. } => Reason::ChannelRejected,
            Self::OpenFailed { .. } => Reason::ChannelOpenFailed,
            Self::WrongPhase { ended: false, .. } => Reason::ChannelNotOpen,
            Self::WrongPhase { ended: true, .. } => Reason::ChannelClosed,
            Self::ChannelFrozen { .. } => Reason::ChannelFrozen,
            Self::CloseFailed { .. } => Reason::CloseFailed,
            Self::BadInvoice { .. } => Reason::InvoiceMalformed,
            Self::InvoiceWrongNetwork { .. } => Reason::InvoiceWrongNetwork,
            Self::InvoiceExpired { .. } => Reason::InvoiceExpired,
            Self::InvoiceFeature { .. } => Reason::InvoiceFeaturesUnknown,
            Self::AmountMissing => Reason::InvoiceAmountMissing,
            Self::AmountMismatch { .. } => Reason::InvoiceAmountMismatch,
            Self::InvoiceOurs { .. } => Reason::InvoiceOurs,
            Self::NoRoute { .. } => Reason::NoRoute,
            Self::ShortOfCapacity { .. } => Reason::BalanceInsufficient,
            Self::FeeOverLimit { .. } => Reason::FeeLimitExceeded,
            Self::InvoiceState { .. } => Reason::InvoicePaid,
            Self::InvoiceNotHeld { .. } => Reason::InvoiceNotHeld,
            Self::InvoiceExists { .. } => Reason::InvoiceExists,
            Self::ReorgTooDeep { .. } => Reason::ReorgTooDeep,
        }
    }

    /// The numbers and names for programs. What is in the words only is left out.
    fn numbers(&self, refused: Refused) -> Refused {
        match self {
            Self::Malformed { field, .. } | Self::Missing { field } => refused.with("field", field),
            Self::OutOfRange { field, given, min, max, unit } => refused
                .with("field", field)
                .with("given", given)
                .with("min", min)
                .with("max", max)
                .with("unit", unit),
            Self::EventsAhead { asked, last } => {
                refused.with("field", "after_seq").with("given", asked).with("last_seq", last)
            }
            Self::EventsPruned { first, .. } => refused.with("first_seq", first),
            Self::TooSlow { last_sent } => refused.with("last_seq", last_sent),
            Self::NotFound { id, .. } => refused.with("id", id),
            Self::KeyReused { key } => refused.with("idempotency_key", key),
            Self::BadBackup { fault } => refused.with("fault", fault),
            Self::NotSandbox { network } => refused.with("network", network),
            Self::Busy { limit, .. } => refused.with("limit", limit).retry_after(SOON),
            Self::NotReady { state: Unready::Starting } => refused.retry_after(SOON),
            Self::ChainUnavailable { height } => refused.with("height", height.0),
            Self::BroadcastRefused { txid, why } => {
                refused.with("txid", txid).with("reject_reason", why)
            }
            Self::BumpRefused { target, why } => {
                let refused = refused.with("target", target);
                match why {
                    BumpNo::Short { missing } => refused.with("missing_sat", missing.to_sat()),
                    BumpNo::TooDear { cost } => refused.with("cost_sat", cost.to_sat()),
                    BumpNo::PaysTooLittle { needed } => refused.with("needed_sat", needed.to_sat()),
                    BumpNo::AboveMax { max } => refused.with("max_sat_per_kw", max.0),
                    BumpNo::Unknown
                    | BumpNo::Mined
                    | BumpNo::NothingWaits
                    | BumpNo::PaysAsMuch
                    | BumpNo::Past
                    | BumpNo::NoOutput
                    | BumpNo::Refused { .. } => refused,
                }
            }
            Self::PeerUnreachable { node, address, .. } => {
                refused.with("node_id", node).with("address", address)
            }
            Self::PeerNotConnected { node }
            | Self::PeerWentAway { node }
            | Self::OpenRefused { node, .. }
            | Self::OpenFailed { node, .. } => refused.with("node_id", node),
            Self::PeerHasChannels { node, channels } => {
                refused.with("node_id", node).with("channels", channels)
            }
            Self::ShortOfFunds(shortage) => shortage.numbers(refused),
            Self::BelowDust { amount, dust } => {
                refused.with("given_sat", amount.to_sat()).with("min_sat", dust.to_sat())
            }
            Self::FundingTooSmall { amount, min } => {
                refused.with("given_sat", amount.to_sat()).with("min_sat", min.to_sat())
            }
            Self::FundingTooLarge { amount, max } => {
                refused.with("given_sat", amount.to_sat()).with("max_sat", max.to_sat())
            }
            Self::PushTooLarge { push, max } => {
                refused.with("given_msat", push.to_u64()).with("max_msat", max.to_u64())
            }
            Self::AddressWrongNetwork { network, .. } => refused.with("network", network),
            Self::FeerateOutOfRange { given, min, max } => refused
                .with("given_sat_per_kw", given.0)
                .with("min_sat_per_kw", min.0)
                .with("max_sat_per_kw", max.0),
            Self::OpenInFlight { node, channel } => {
                refused.with("node_id", node).with("channel_id", channel)
            }
            Self::TooManyChannels { count, limit } => {
                refused.with("channels", count).with("limit", limit)
            }
            Self::WrongPhase { channel, phase, .. } => {
                refused.with("channel_id", channel).with("state", phase)
            }
            Self::ChannelFrozen { channel, .. } | Self::CloseFailed { channel, .. } => {
                refused.with("channel_id", channel)
            }
            Self::CloseNeedsPeer { node, channel, to_self_delay } => refused
                .with("node_id", node)
                .with("channel_id", channel)
                .with("force_close_delay_blocks", to_self_delay),
            Self::InvoiceWrongNetwork { invoice, ours } => {
                refused.with("invoice_network", invoice).with("network", ours)
            }
            Self::InvoiceExpired { seconds_ago } => refused.with("seconds_ago", seconds_ago),
            Self::AmountMismatch { invoice, given } => {
                refused.with("invoice_msat", invoice.to_u64()).with("given_msat", given.to_u64())
            }
            Self::InvoiceFeature { bit } => refused.with("feature", bit),
            Self::InvoiceOurs { hash } | Self::InvoiceExists { hash } => {
                refused.with("payment_hash", hash)
            }
            Self::NoRoute { payee, channels, why } => {
                refused.with("node_id", payee).with("channels", channels).with("why", why)
            }
            Self::ShortOfCapacity { payee, need, can_send } => refused
                .with("node_id", payee)
                .with("need_msat", need.to_u64())
                .with("can_send_msat", can_send.to_u64()),
            Self::FeeOverLimit { fee, limit } => {
                refused.with("fee_msat", fee.to_u64()).with("limit_msat", limit.to_u64())
            }
            Self::InvoiceState { hash, state } | Self::InvoiceNotHeld { hash, state } => {
                refused.with("payment_hash", hash).with("state", state)
            }
            Self::ReorgTooDeep { height, .. } => refused.with("height", height.0),
            Self::BadPageToken
            | Self::Sandbox { .. }
            | Self::NotSupported { .. }
            | Self::NotReady { .. }
            | Self::StoreFailed
            | Self::NoAnswer
            | Self::Ourselves { .. }
            | Self::WalletInconsistent { .. }
            | Self::BadAddress { .. }
            | Self::BadInvoice { .. }
            | Self::AmountMissing => refused,
        }
    }

    /// The refusal in the form that clients read.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.numbers(Refused::new(self.reason()).because(self.to_string()))
    }
}

impl Shortage {
    fn numbers(&self, refused: Refused) -> Refused {
        refused
            .with("missing_sat", self.missing().to_sat())
            .with("need_sat", self.need.to_sat())
            .with("spendable_sat", self.spendable.to_sat())
            .with("reserved_for_anchors_sat", self.reserved_for_anchors.to_sat())
            .with("promised_sat", self.promised.to_sat())
            .with("unconfirmed_sat", self.unconfirmed.to_sat())
            .with("immature_sat", self.immature.to_sat())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.refused().into()
    }
}
