//! Every reason the node says no to its user, with the numbers that explain it.
//! BOLT: none; this is our side of the counter.
//!
//! A refusal always answers three questions: what happened, did money move, what to do now.
//! Nothing has changed when a refusal is returned, unless its reason says `Money::Unknown`.
//!
//! Not here: faults of a peer (`channel::PeerFault`), why a payment that was sent failed
//! ([`super::model::payment::PaymentFailure`]), the public list of reasons (`api::reason`).

mod detail;
mod table;

pub use detail::{BumpNo, Grouped, Noun, Shortage, Unreachable, Unready};

use crate::backup::BackupFault;
use bitcoin::{Amount, Network};
use wire::id::{ChannelId, NodeId, PaymentHash};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

/// The node's no. Every variant carries the numbers that explain it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // ---- the request itself
    /// A field makes no sense.
    #[error("{field}: {why}")]
    Malformed {
        /// The field, as named in the protocol buffer.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field, as named in the protocol buffer.
        field: &'static str,
    },
    /// A number is out of its range.
    #[error("{field} is {given}, but must lie between {min} and {max} {unit}")]
    OutOfRange {
        /// The field, as named in the protocol buffer.
        field: &'static str,
        /// What was asked.
        given: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
        /// The unit of the three numbers.
        unit: &'static str,
    },
    /// A page token that was not given out for this list.
    #[error("the page token was not given out for this list")]
    BadPageToken,
    /// This daemon cannot do that yet.
    #[error("{what} is not supported by this daemon yet")]
    NotSupported {
        /// What was asked.
        what: &'static str,
    },
    /// Nothing has that identifier.
    #[error("no {} {id}", .kind.word())]
    NotFound {
        /// What was looked for.
        kind: Noun,
        /// As it was asked for.
        id: String,
    },
    /// The same idempotency key came before, with another request.
    #[error("idempotency key {key} was used before for another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// Bytes that are no backup of this node.
    #[error("this backup cannot be used: {fault}")]
    BadBackup {
        /// Why not.
        fault: BackupFault,
    },
    /// Only where this node mines the built-in chain itself.
    #[error(
        "the Sandbox service exists on the sandbox network only, and this node runs on {network}"
    )]
    NotSandbox {
        /// Where the node runs.
        network: Network,
    },
    /// The built-in chain, or a node on it, does not do that as things stand.
    #[error("{why}")]
    Sandbox {
        /// Why not, and what it can do.
        why: String,
    },
    /// The stream would have to start at an event that does not exist yet.
    #[error("after_seq is {asked}, but the last event is {last}")]
    EventsAhead {
        /// The sequence number asked for.
        asked: u64,
        /// The newest there is.
        last: u64,
    },
    /// The stream would have to start at an event that is not kept any more.
    #[error("after_seq is {asked}, but the oldest event that is kept is {first}")]
    EventsPruned {
        /// The sequence number asked for.
        asked: u64,
        /// The oldest there is.
        first: u64,
    },
    /// The reader of a stream did not keep up; it can go on after `last_sent`.
    #[error("the reader did not keep up; subscribe again after event {last_sent}")]
    TooSlow {
        /// The last event that was handed over.
        last_sent: u64,
    },

    // ---- the node's own state
    /// Not up yet, or going down.
    #[error("the node is {}", .state.words())]
    NotReady {
        /// What it is busy with.
        state: Unready,
    },
    /// A queue is full.
    #[error("{queue} is full ({limit} waiting)")]
    Busy {
        /// Which queue.
        queue: &'static str,
        /// How many may wait there.
        limit: u32,
    },
    /// Layer 1 does not answer.
    #[error("the chain does not answer; last block {height}")]
    ChainUnavailable {
        /// The last block we know.
        height: BlockHeight,
    },
    /// The chain refused a transaction of ours.
    #[error("the chain refused transaction {txid}: {why}")]
    BroadcastRefused {
        /// The transaction.
        txid: bitcoin::Txid,
        /// The chain's reject word.
        why: String,
    },
    /// The fee of a transaction was not raised.
    #[error("the fee of {target} was not raised: {why}")]
    BumpRefused {
        /// A transaction or a channel.
        target: String,
        /// Why.
        why: BumpNo,
    },
    /// The disk failed; the node stops, and what was asked may or may not have happened.
    #[error("the store failed and the node is stopping")]
    StoreFailed,
    /// The task that should answer has ended, or dropped the question.
    #[error("the node did not answer; what was asked may or may not have happened")]
    NoAnswer,

    // ---- peers
    /// The id is our own.
    #[error("{what} is this node itself")]
    Ourselves {
        /// What names us.
        what: &'static str,
    },
    /// It could not be reached.
    #[error("cannot reach {node} at {address}: {}", .why.words())]
    PeerUnreachable {
        /// The peer.
        node: NodeId,
        /// Where it was tried; empty if no address is known.
        address: String,
        /// What went wrong.
        why: Unreachable,
    },
    /// No connection with it now.
    #[error("{node} is not connected")]
    PeerNotConnected {
        /// The peer.
        node: NodeId,
    },
    /// It went away in the middle.
    #[error("{node} went away before it was done")]
    PeerWentAway {
        /// The peer.
        node: NodeId,
    },
    /// Channels hang on the connection.
    #[error("{channels} channels with {node} need this connection")]
    PeerHasChannels {
        /// The peer.
        node: NodeId,
        /// How many of its channels are not closed.
        channels: u32,
    },

    // ---- the wallet
    /// Not enough coins.
    #[error("{0}")]
    ShortOfFunds(Shortage),
    /// The output would be dust.
    #[error("{} is below the dust limit of {}", Grouped(*.amount), Grouped(*.dust))]
    BelowDust {
        /// What was asked.
        amount: Amount,
        /// The least that the network relays to such an address.
        dust: Amount,
    },
    /// Not an address (its checksum says so).
    #[error("{address} is not an address")]
    BadAddress {
        /// As it was given.
        address: String,
    },
    /// An address of another network.
    #[error("{address} is not an address of {network}")]
    AddressWrongNetwork {
        /// As it was given.
        address: String,
        /// Where this node runs.
        network: Network,
    },
    /// A feerate nobody can mean.
    #[error("feerate {} sat per 1000 weight is outside {} to {}", .given.0, .min.0, .max.0)]
    FeerateOutOfRange {
        /// What was asked.
        given: FeeratePerKw,
        /// The least.
        min: FeeratePerKw,
        /// The most.
        max: FeeratePerKw,
    },
    /// The wallet met something its own books say cannot be; nothing was signed.
    #[error("the wallet's books disagree ({what}); nothing was signed")]
    WalletInconsistent {
        /// Where.
        what: &'static str,
    },

    // ---- channels
    /// A channel smaller than our policy or the peer's.
    #[error("a channel of {} is too small: at least {}", Grouped(*.amount), Grouped(*.min))]
    FundingTooSmall {
        /// What was asked.
        amount: Amount,
        /// The least.
        min: Amount,
    },
    /// A channel larger than the protocol allows without large channels (BOLT 2).
    #[error("a channel of {} is too large: at most {}", Grouped(*.amount), Grouped(*.max))]
    FundingTooLarge {
        /// What was asked.
        amount: Amount,
        /// The most.
        max: Amount,
    },
    /// More is given away than we may.
    #[error("push of {} msat is more than the {} msat that can be given", .push.to_u64(), .max.to_u64())]
    PushTooLarge {
        /// What was asked.
        push: Msat,
        /// The most.
        max: Msat,
    },
    /// One open at a time with a peer, when we fund (most peers allow no more).
    #[error("a channel with {node} is being opened already: {channel}")]
    OpenInFlight {
        /// The peer.
        node: NodeId,
        /// The channel that is being opened (its temporary id, maybe).
        channel: ChannelId,
    },
    /// A limit of ours on channels is reached.
    #[error("{count} channels exist with it, and the limit is {limit}")]
    TooManyChannels {
        /// How many there are.
        count: u32,
        /// How many there may be.
        limit: u32,
    },
    /// The peer does not want the channel, in its own words.
    #[error("{node} refused the channel: {said}")]
    OpenRefused {
        /// The peer.
        node: NodeId,
        /// What it wrote (untrusted text, already made printable).
        said: String,
    },
    /// We did not like the peer's terms, or it broke the protocol (BOLT 2).
    #[error("the open with {node} failed: {why}")]
    OpenFailed {
        /// The peer.
        node: NodeId,
        /// The fault, as its own description.
        why: String,
    },
    /// The channel is in a phase in which this cannot be done.
    #[error("channel {channel} is {phase}, so this cannot be done now")]
    WrongPhase {
        /// The channel.
        channel: ChannelId,
        /// The word for its phase.
        phase: &'static str,
        /// Whether that phase is the last one: closed or failed.
        ended: bool,
    },
    /// The channel's books or its peer cannot be trusted: it signs nothing any more.
    #[error("channel {channel} is frozen: {why}")]
    ChannelFrozen {
        /// The channel.
        channel: ChannelId,
        /// Why, in one line.
        why: String,
    },
    /// The peer and we did not agree on a closing transaction.
    #[error("the close of {channel} failed: {why}")]
    CloseFailed {
        /// The channel.
        channel: ChannelId,
        /// Why, in one line.
        why: String,
    },
    /// A cooperative close needs the peer.
    #[error("{node} is offline, and a cooperative close needs it")]
    CloseNeedsPeer {
        /// The peer.
        node: NodeId,
        /// The channel.
        channel: ChannelId,
        /// How many blocks our money would be locked by a force close.
        to_self_delay: u16,
    },

    // ---- invoices and payments
    /// Not a BOLT 11 invoice, or tampered with (checksum, signature).
    #[error("not a valid invoice: {why}")]
    BadInvoice {
        /// What is wrong.
        why: &'static str,
    },
    /// The invoice of another network.
    #[error("the invoice is for {invoice}, and this node runs on {ours}")]
    InvoiceWrongNetwork {
        /// The invoice's network, or `an unknown network`.
        invoice: &'static str,
        /// Ours.
        ours: Network,
    },
    /// Too late.
    #[error("the invoice expired {seconds_ago} s ago")]
    InvoiceExpired {
        /// For how long.
        seconds_ago: u64,
    },
    /// The invoice leaves the amount to the payer, who gave none.
    #[error("the invoice has no amount: give one")]
    AmountMissing,
    /// The invoice has an amount and the payer gave another.
    #[error("the invoice asks for {} msat, and {} msat were given", .invoice.to_u64(), .given.to_u64())]
    AmountMismatch {
        /// The invoice's amount.
        invoice: Msat,
        /// The payer's.
        given: Msat,
    },
    /// The invoice demands a feature that we lack (BOLT 9, BOLT 11).
    #[error("the invoice demands feature {bit}, which this node does not have")]
    InvoiceFeature {
        /// The feature bit.
        bit: u16,
    },
    /// We made that invoice ourselves.
    #[error("the invoice {hash} is our own: a node cannot pay itself")]
    InvoiceOurs {
        /// Its payment hash.
        hash: PaymentHash,
    },
    /// There is no way to the payee.
    #[error("no route to {payee} over our {channels} open channels: {why}")]
    NoRoute {
        /// The payee.
        payee: NodeId,
        /// How many channels were looked at.
        channels: u32,
        /// What stands in the way, as the router names it.
        why: String,
    },
    /// There is a way, but not enough money on our side of it.
    #[error(
        "{} msat needed, and the most that can be sent to {payee} now is {} msat",
        .need.to_u64(), .can_send.to_u64()
    )]
    ShortOfCapacity {
        /// The payee.
        payee: NodeId,
        /// What the payment needs, fees included.
        need: Msat,
        /// What can be sent in one go.
        can_send: Msat,
    },
    /// The fee would exceed the payer's limit.
    #[error("the fee would be {} msat, over the limit of {} msat", .fee.to_u64(), .limit.to_u64())]
    FeeOverLimit {
        /// The cheapest way's fee.
        fee: Msat,
        /// The limit.
        limit: Msat,
    },
    /// The invoice is past the point where that can be done.
    #[error("invoice {hash} is {state}, so this cannot be done")]
    InvoiceState {
        /// The invoice.
        hash: PaymentHash,
        /// The word for its state.
        state: &'static str,
    },
    /// Nothing is held for the invoice.
    #[error("invoice {hash} is {state}, not held: there is nothing to settle")]
    InvoiceNotHeld {
        /// The invoice.
        hash: PaymentHash,
        /// The word for its state.
        state: &'static str,
    },
    /// There was one with this hash before.
    #[error("there was an invoice with payment hash {hash} before")]
    InvoiceExists {
        /// The hash.
        hash: PaymentHash,
    },
    /// The chain is not that long.
    #[error("cannot replace {depth} blocks: the chain has {height}")]
    ReorgTooDeep {
        /// What was asked.
        depth: u32,
        /// The height of the best block.
        height: BlockHeight,
    },
}
