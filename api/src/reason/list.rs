//! Every reason of a refusal, declared once.
//!
//! A line is: name in Rust, name on the wire, canonical code, what became of the money, the cause and
//! the remedy in words for people.

use std::str::FromStr;

use thiserror::Error;
use tonic::Code;

use super::Money;

macro_rules! reasons {
    ($($name:ident $wire:literal $code:ident $money:ident $cause:literal $remedy:literal)*) => {
        /// Why a call was refused, or why a payment failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $cause] $name,)*
        }

        impl Reason {
            /// Every reason there is, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire, as `NO_ROUTE`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// The canonical status code that goes with it.
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// What a call refused for this reason means for the user's coins.
            pub const fn money(self) -> Money {
                match self { $(Self::$name => Money::$money,)* }
            }

            /// What happened, in one sentence.
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }

            /// What to do about it, in one sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

reasons! {
    // Who may call.
    TokenMissing "TOKEN_MISSING" Unauthenticated Untouched
        "The call came without a token."
        "Give a macaroon: the daemon writes admin.macaroon, readonly.macaroon and invoice.macaroon into its directory."
    TokenInvalid "TOKEN_INVALID" Unauthenticated Untouched
        "The token was not made by this daemon, or it was changed."
        "Use a macaroon out of this daemon's directory; those of another daemon or network do not fit."
    TokenExpired "TOKEN_EXPIRED" Unauthenticated Untouched
        "The token's time is over."
        "Use another macaroon, or check the clocks of both machines."
    TokenForbids "TOKEN_FORBIDS" PermissionDenied Untouched
        "The token does not allow this call."
        "Use a macaroon that allows it; admin.macaroon allows every call."
    TokenElsewhere "TOKEN_ELSEWHERE" PermissionDenied Untouched
        "The token is bound to another address than the one the call came from."
        "Call from the address that the token names, or use another macaroon."

    // What was asked.
    FieldMissing "FIELD_MISSING" InvalidArgument Untouched
        "A field that is needed was not set."
        "Set the field that metadata names."
    FieldInvalid "FIELD_INVALID" InvalidArgument Untouched
        "A field has a value that it cannot have."
        "Correct the field that metadata names."
    PageTokenInvalid "PAGE_TOKEN_INVALID" InvalidArgument Untouched
        "The page token was not given out for this list."
        "Start again without a page token."
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" AlreadyExists Untouched
        "The idempotency key was used before, for another request."
        "Use a new key for a new request, or the same body to repeat the old one."
    NotSupported "NOT_SUPPORTED" Unimplemented Untouched
        "This daemon cannot do that yet."
        "See Node.Info for what it can do."

    // The daemon itself.
    NodeStarting "NODE_STARTING" Unavailable Untouched
        "The daemon is still starting."
        "Try again in a moment."
    NodeStopping "NODE_STOPPING" Unavailable Unknown
        "The daemon is stopping."
        "Start it again and look at what became of the request before repeating it."
    Overloaded "OVERLOADED" ResourceExhausted Untouched
        "Too many requests wait already."
        "Try again in a moment."
    ChainUnavailable "CHAIN_UNAVAILABLE" Unavailable Untouched
        "The chain source does not answer."
        "Check that the chain server runs and can be reached; the daemon goes on trying."
    ChainBehind "CHAIN_BEHIND" FailedPrecondition Untouched
        "The node has not caught up with the chain yet."
        "Wait until status says that it is synced."
    StoreFailed "STORE_FAILED" Internal Unknown
        "The disk refused to take or to give data."
        "Check space and health of the disk, start the daemon again, and look before repeating the request."
    Internal "INTERNAL" Internal Unknown
        "Something went wrong inside the daemon."
        "Look at what became of the request before repeating it; the daemon's log says more."

    // The wallet.
    FundsInsufficient "FUNDS_INSUFFICIENT" FailedPrecondition Untouched
        "The wallet does not hold enough that can be spent."
        "Add coins, wait for confirmations, or ask for less."
    AmountTooSmall "AMOUNT_TOO_SMALL" InvalidArgument Untouched
        "The amount is smaller than can be sent."
        "Send at least the minimum that metadata names."
    AmountTooLarge "AMOUNT_TOO_LARGE" InvalidArgument Untouched
        "The amount is larger than can be sent."
        "Send at most the maximum that metadata names."
    AddressInvalid "ADDRESS_INVALID" InvalidArgument Untouched
        "That is not an address."
        "Copy the address again; its checksum says that it was changed."
    AddressWrongNetwork "ADDRESS_WRONG_NETWORK" InvalidArgument Untouched
        "The address is for another network."
        "Ask for an address of the network that this node is on."
    FeerateOutOfRange "FEERATE_OUT_OF_RANGE" InvalidArgument Untouched
        "The fee rate is too low to be relayed, or so high that it must be a mistake."
        "Leave the fee rate out, or give one in satoshi for each virtual byte."
    BroadcastRejected "BROADCAST_REJECTED" FailedPrecondition Untouched
        "The network did not take the transaction."
        "See the reject reason; the coins are free again."
    TransactionUnknown "TRANSACTION_UNKNOWN" NotFound Untouched
        "The wallet knows no such transaction."
        "See the list of the wallet's transactions, or name a channel."
    BumpRefused "BUMP_REFUSED" FailedPrecondition Untouched
        "The fee was not raised; what waits stays as it is."
        "See the message for what would do; most transactions confirm by themselves when fees fall."

    // Peers.
    TowerUnknown "TOWER_UNKNOWN" NotFound Untouched
        "No tower with this id is hired."
        "See viaduct tower list; viaduct tower add ID@HOST:PORT hires one."
    PeerUnknown "PEER_UNKNOWN" NotFound Untouched
        "No such peer is known."
        "See the list of peers, or connect to it with its address first."
    PeerIsUs "PEER_IS_US" InvalidArgument Untouched
        "That is this node itself."
        "Name another node."
    PeerUnreachable "PEER_UNREACHABLE" Unavailable Untouched
        "The peer could not be reached."
        "Check address and port, and that the peer runs; the daemon goes on trying."
    PeerHandshakeFailed "PEER_HANDSHAKE_FAILED" FailedPrecondition Untouched
        "Somebody answered at that address, but not with the key that was named."
        "Check the node id, and that the address belongs to it."
    PeerIncompatible "PEER_INCOMPATIBLE" FailedPrecondition Untouched
        "The peer requires what we do not speak, or is on another chain."
        "Check that both nodes are on the same network; else an update of one side is needed."
    PeerOffline "PEER_OFFLINE" FailedPrecondition Untouched
        "The peer is not connected."
        "Connect to it, or wait until it is back; the daemon goes on trying."
    PeerHasChannels "PEER_HAS_CHANNELS" FailedPrecondition Untouched
        "There are channels with this peer."
        "Close them first, or force the disconnection."

    // Channels.
    ChannelUnknown "CHANNEL_UNKNOWN" NotFound Untouched
        "No such channel is known."
        "See the list of channels."
    ChannelTooSmall "CHANNEL_TOO_SMALL" InvalidArgument Untouched
        "The channel would be too small to be of use."
        "Put in at least the minimum that metadata names."
    ChannelTooLarge "CHANNEL_TOO_LARGE" InvalidArgument Untouched
        "The channel would be larger than the peer or the protocol takes."
        "Put in at most the maximum that metadata names, or open more than one."
    ChannelOpenPending "CHANNEL_OPEN_PENDING" FailedPrecondition Untouched
        "A channel with this peer is being opened already."
        "Wait until it is funded, then open the next."
    ChannelRejected "CHANNEL_REJECTED" FailedPrecondition Untouched
        "The peer does not want this channel."
        "See its words; ask for other terms or another peer."
    ChannelOpenFailed "CHANNEL_OPEN_FAILED" Aborted Untouched
        "The opening ended before the funding transaction was broadcast."
        "The coins are free again; try again."
    ChannelNotOpen "CHANNEL_NOT_OPEN" FailedPrecondition Untouched
        "The channel is not open."
        "See its state: it is being opened, closing, or closed."
    ChannelClosed "CHANNEL_CLOSED" FailedPrecondition Untouched
        "The channel is closed already."
        "Nothing is left to do; see the list of closed channels."
    ChannelFrozen "CHANNEL_FROZEN" FailedPrecondition Untouched
        "The channel is frozen, because its books or its peer cannot be trusted."
        "See the node's health for what to do."
    CloseFailed "CLOSE_FAILED" Aborted Untouched
        "The peer did not agree to a closing transaction."
        "Try again, name another fee rate, or force the close."

    // Payments.
    InvoiceMalformed "INVOICE_MALFORMED" InvalidArgument Untouched
        "That is not an invoice, or it was changed."
        "Copy it again in full, or ask the payee for a new one."
    InvoiceExpired "INVOICE_EXPIRED" FailedPrecondition Untouched
        "The invoice has expired."
        "Ask the payee for a new one."
    InvoiceWrongNetwork "INVOICE_WRONG_NETWORK" InvalidArgument Untouched
        "The invoice is for another network."
        "Ask the payee for one on the network that this node is on."
    InvoiceFeaturesUnknown "INVOICE_FEATURES_UNKNOWN" FailedPrecondition Untouched
        "The invoice requires what this node does not speak."
        "Ask the payee for a plain invoice."
    InvoiceAmountMissing "INVOICE_AMOUNT_MISSING" InvalidArgument Untouched
        "The invoice leaves the amount to the payer, and none was given."
        "Say how much to pay."
    InvoiceAmountMismatch "INVOICE_AMOUNT_MISMATCH" InvalidArgument Untouched
        "The amount is not the one that the invoice asks for."
        "Leave the amount out, or ask the payee for another invoice."
    InvoiceOurs "INVOICE_OURS" InvalidArgument Untouched
        "The invoice is our own."
        "A node cannot pay itself."
    PaymentUnknown "PAYMENT_UNKNOWN" NotFound Untouched
        "No payment with this hash was ever started."
        "It is safe to pay."
    BalanceInsufficient "BALANCE_INSUFFICIENT" FailedPrecondition Untouched
        "No channel can send that much now."
        "Pay less, receive or open a channel first, or wait for payments in flight."
    NoRoute "NO_ROUTE" FailedPrecondition Untouched
        "There is no way to the payee."
        "Open a channel with the payee, or with a node that is connected to it."
    FeeLimitExceeded "FEE_LIMIT_EXCEEDED" FailedPrecondition Untouched
        "Every way to the payee costs more than the limit."
        "Allow a higher fee."
    RouteFailed "ROUTE_FAILED" Aborted Untouched
        "A node on the way could not forward the payment."
        "Try again later."
    PayeeRefused "PAYEE_REFUSED" FailedPrecondition Untouched
        "The payee does not take this payment: unknown, paid or expired invoice, or a wrong amount."
        "Ask the payee for a new invoice."
    PaymentTimedOut "PAYMENT_TIMED_OUT" DeadlineExceeded Untouched
        "No way worked within the time, and nothing is in flight any more."
        "Try again, with more time."
    PaymentExpired "PAYMENT_EXPIRED" Aborted Untouched
        "The payment was taken back on the chain after its deadline."
        "Ask the payee for a new invoice."

    // Invoices.
    InvoiceUnknown "INVOICE_UNKNOWN" NotFound Untouched
        "We never made such an invoice."
        "See the list of invoices."
    InvoicePaid "INVOICE_PAID" FailedPrecondition Untouched
        "The invoice is paid, or a payment for it has arrived."
        "Pay it back if it should not have been paid."
    InvoiceNotHeld "INVOICE_NOT_HELD" FailedPrecondition Untouched
        "Nothing is held for the invoice, so there is nothing to settle."
        "Watch it until it is held; only invoices that were made to be held wait for that."
    InvoiceExists "INVOICE_EXISTS" AlreadyExists Untouched
        "There was an invoice with this payment hash before."
        "Use a new preimage: who paid the other one knows this one."

    // Events.
    SubscriberTooSlow "SUBSCRIBER_TOO_SLOW" OutOfRange Untouched
        "Events were not read as fast as they came."
        "Subscribe again after the last event that was handled; nothing is lost."
    EventsPruned "EVENTS_PRUNED" OutOfRange Untouched
        "Events as old as that are not kept any more."
        "Read the current state, then subscribe after the sequence number that metadata names."

    // The backup.
    BackupUnusable "BACKUP_UNUSABLE" InvalidArgument Untouched
        "These bytes are no backup of this node, or none is there."
        "Use another copy, with the seed and the network it was made with."

    // The built-in chain.
    NotSandbox "NOT_SANDBOX" FailedPrecondition Untouched
        "This chain's blocks are not ours to make."
        "Use a node on the sandbox network."
    SandboxRefused "SANDBOX_REFUSED" FailedPrecondition Untouched
        "The sandbox does not do that as things stand."
        "See its words for what it can do."
    ReorgTooDeep "REORG_TOO_DEEP" InvalidArgument Untouched
        "There are not that many blocks to throw away."
        "Ask for fewer."
}

/// The name is none of the list; a newer server may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a reason that this version knows")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name).ok_or(UnknownReason)
    }
}
