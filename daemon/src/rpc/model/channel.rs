//! Channels: opening, looking at, closing them.

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use channel::Kind;
use wire::id::{ChannelId, NodeId, PaymentHash, ShortChannelId};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use super::wallet::Coins;
use super::{OrderKey, UnixMillis};

/// Asks for a channel (BOLT 2, channel establishment v1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenChannel {
    /// So that it is opened once.
    pub key: Option<OrderKey>,
    /// With whom.
    pub node: NodeId,
    /// Where it is, if we are not connected: `host:port`.
    pub address: Option<String>,
    /// How much we put in. `All`: everything spendable, less fee and anchor reserve.
    pub coins: Coins,
    /// How much of it is theirs from the start: a gift.
    pub push: Msat,
    /// The funding transaction's feerate; `None`: our estimate.
    pub feerate: Option<FeeratePerKw>,
    /// How many blocks the peer waits for its coins when it forces the close; `None`: our policy.
    pub to_self_delay: Option<u16>,
    /// Whether the network may be told of it (BOLT 7).
    pub announce: bool,
    /// Which kind of channel is wanted.
    pub kind: Kind,
}

/// What an open would cost; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPlan {
    /// What the channel would hold.
    pub capacity: Amount,
    /// What the miners would get.
    pub funding_fee: Amount,
    /// What the wallet could spend afterwards.
    pub spendable_after: Amount,
}

/// How a user names a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelRef {
    /// By its channel id, final or temporary.
    Id(ChannelId),
    /// By its place in the chain.
    Short(ShortChannelId),
}

/// How a channel should end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseHow {
    /// Together with the peer: one transaction, no delay.
    Cooperative {
        /// Where our money goes; `None`: to our wallet.
        to: Option<ScriptBuf>,
        /// Its feerate; `None`: our estimate.
        feerate: Option<FeeratePerKw>,
    },
    /// Without the peer: our newest commitment goes to the chain; our money is locked meanwhile.
    Force,
}

/// Asks for the end of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseChannel {
    /// So that it is asked once.
    pub key: Option<OrderKey>,
    /// Which.
    pub channel: ChannelRef,
    /// How.
    pub how: CloseHow,
}

/// Where a channel is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelPhase {
    /// Agreeing on terms and first signatures; no transaction is out.
    Negotiating,
    /// Both hold a signed commitment; the funding transaction is not out yet.
    Negotiated,
    /// The funding transaction is out and waits for blocks.
    AwaitingDepth,
    /// Deep enough for us; the peer's `channel_ready` is missing.
    AwaitingPeer,
    /// Payments flow (when the link is up).
    Open,
    /// `shutdown` was said: HTLCs drain, then the closing fee is agreed.
    ShuttingDown,
    /// A transaction that spends the funding output is out; see [`Channel::closing`].
    Closing,
    /// Over, every output is at its destination.
    Closed,
    /// Never came to be: no money was locked, or all of it is back in the wallet.
    Failed,
}

impl ChannelPhase {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Negotiating => "negotiating",
            Self::Negotiated => "negotiated",
            Self::AwaitingDepth => "awaiting confirmations",
            Self::AwaitingPeer => "awaiting the peer",
            Self::Open => "open",
            Self::ShuttingDown => "shutting down",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

/// Whether we are in touch over a channel, independent of its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The peer is not connected.
    Down,
    /// Connected, `channel_reestablish` under way.
    Syncing,
    /// In touch.
    Up,
}

/// Who began something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We did.
    Us,
    /// The peer did.
    Them,
}

/// An HTLC in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Htlc {
    /// Its id on its side of the channel.
    pub id: u64,
    /// Who offered it.
    pub offered_by: Side,
    /// How much.
    pub amount: Msat,
    /// Its lock.
    pub hash: PaymentHash,
    /// The height at which it times out.
    pub cltv_expiry: BlockHeight,
}

/// How a channel came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseKind {
    /// Both signed a closing transaction.
    Cooperative,
    /// Our commitment went to the chain.
    ForcedByUs,
    /// The peer's commitment went to the chain.
    ForcedByThem,
    /// The peer's revoked commitment went to the chain: it tried to cheat.
    Breach,
    /// The funding transaction never was in a block, so nothing was locked.
    FundingAbandoned,
}

/// How far a close has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseStage {
    /// A dry run: this is what it would cost.
    Planned,
    /// HTLCs drain, then the fee is agreed.
    Negotiating,
    /// The closing transaction is with the network.
    Broadcast,
    /// It is in a block; outputs of ours wait for their delays.
    Confirmed,
    /// Everything of ours is ours again and deep enough.
    Done,
}

/// The end of a channel, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// How far.
    pub stage: CloseStage,
    /// How; `None` while nothing is out.
    pub kind: Option<CloseKind>,
    /// The transaction that spends the funding output.
    pub txid: Option<Txid>,
    /// What it pays to the miners (an estimate when planned).
    pub fee: Amount,
    /// What comes back to us through it and what spends it, as far as is known.
    pub ours: Amount,
    /// What goes to them.
    pub theirs: Amount,
    /// Blocks on top of it, its own included.
    pub depth: u32,
    /// Blocks after which it counts as closed.
    pub depth_needed: u32,
    /// Blocks that our coins stay locked after it is in one; 0 when cooperative.
    pub locked_blocks: u16,
    /// The height from which our last output can be spent.
    pub spendable_at: Option<BlockHeight>,
    /// Transactions of ours that fetched its outputs.
    pub sweeps: Vec<Txid>,
    /// The fees of those.
    pub sweep_fees: Amount,
    /// The block it is in.
    pub height: Option<BlockHeight>,
    /// When it was done.
    pub closed: Option<UnixMillis>,
    /// Every output, as far as they are known.
    pub outputs: Vec<CloseOutput>,
    /// What closing alone would come to: of a planned one.
    pub forecast: Option<CloseForecast>,
}

/// What closing alone in the next block would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseForecast {
    /// Everything that we would pay to the miners.
    pub cost: Amount,
    /// HTLCs that only Layer 1 can give us if the peer does not move.
    pub saves: Amount,
    /// What would come home in all.
    pub home: Amount,
    /// The first height at which one of them can be lost.
    pub before: Option<BlockHeight>,
    /// The height at which the first of them sends us to Layer 1.
    pub close_by: Option<BlockHeight>,
    /// The height at which our last output opens.
    pub home_at: Option<BlockHeight>,
}

/// An output of a close, or of a transaction made from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOutput {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is, in a word.
    pub kind: &'static str,
    /// Whose it is, or who offered it.
    pub side: Option<Side>,
    /// What it holds.
    pub value: Amount,
    /// Who has it, in a word.
    pub state: &'static str,
    /// The height of the first block that can have our claim, if that is not the next.
    pub opens: Option<BlockHeight>,
    /// The height by which our claim must be in a block.
    pub deadline: Option<BlockHeight>,
    /// What takes it, under way or in a block.
    pub claim: Option<Txid>,
    /// The block of that.
    pub claim_height: Option<BlockHeight>,
    /// The fee of its claim: an estimate, or that of the whole claim once it is known.
    pub fee: Amount,
    /// What of it comes home.
    pub expected: Amount,
    /// The HTLC's number on its side.
    pub htlc: Option<u64>,
    /// The HTLC's lock.
    pub hash: Option<PaymentHash>,
    /// The height from which its offerer can take the HTLC back.
    pub cltv_expiry: Option<BlockHeight>,
}

/// A snapshot of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its position in the list: rises by the time it was made.
    pub index: u64,
    /// Its id; temporary while [`ChannelPhase::Negotiating`] (BOLT 2).
    pub id: ChannelId,
    /// The id it had while it was negotiated.
    pub temporary_id: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// What that one calls itself; empty if that is not known.
    pub node_alias: String,
    /// Where it is in its life.
    pub phase: ChannelPhase,
    /// Whether we are in touch.
    pub link: Link,
    /// Who funded it.
    pub funder: Side,
    /// The funding output, once known.
    pub funding: Option<OutPoint>,
    /// Its place in the chain, once confirmed.
    pub short_id: Option<ShortChannelId>,
    /// Whether it is announced.
    pub announced: bool,
    /// What the funding output is worth.
    pub capacity: Amount,
    /// Ours, before the fees of a close. `ours + theirs + htlcs = capacity`, always.
    pub ours: Msat,
    /// Theirs, before the fees of a close.
    pub theirs: Msat,
    /// What we can send now in one HTLC set (reserve, fees and limits taken out).
    pub can_send: Msat,
    /// What we can receive now.
    pub can_receive: Msat,
    /// What we must keep on our side (their demand).
    pub our_reserve: Amount,
    /// What they must keep on theirs (our demand).
    pub their_reserve: Amount,
    /// What the newest commitment pays to the miners.
    pub commit_fee: Amount,
    /// What its anchors hold.
    pub anchors: Amount,
    /// Its feerate.
    pub feerate: FeeratePerKw,
    /// How many blocks our own output is locked when we force the close.
    pub our_delay: u16,
    /// The same for them.
    pub their_delay: u16,
    /// The number of our newest commitment.
    pub commitment_number: u64,
    /// Whether its data may be stale: nothing is signed or broadcast.
    pub quarantined: bool,
    /// HTLCs in flight, in order of side and id.
    pub htlcs: Vec<Htlc>,
    /// Blocks on top of the funding transaction, its own included.
    pub depth: u32,
    /// Blocks that are wanted; `None` before the terms are agreed.
    pub depth_needed: Option<u32>,
    /// Whether it is used before its funding is in a block.
    pub zero_conf: bool,
    /// What is ours in it and gone if the funding that the peer made does not stay or come.
    pub at_risk: Msat,
    /// Whether payers name it by its aliases alone.
    pub scid_alias: bool,
    /// What we asked the peer to have it called, once the terms are agreed.
    pub alias: Option<ShortChannelId>,
    /// What the peer wants it called, once it said so.
    pub peer_alias: Option<ShortChannelId>,
    /// The chain fee of its funding transaction, if we paid it.
    pub funding_fee: Option<Amount>,
    /// How it ends, once it does.
    pub closing: Option<Closing>,
    /// Why it ends or failed, in one sentence, if it does.
    pub why: Option<String>,
    /// When it was first asked for.
    pub created: UnixMillis,
}

/// Which channels to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelFilter {
    /// Only those with this peer.
    pub node: Option<NodeId>,
    /// Also those that are closed or failed.
    pub ended: bool,
}
