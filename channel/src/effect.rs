//! Everything a channel can ask of the world. BOLT 2, BOLT 5.
//!
//! Effects come out of a [`crate::Sealed`] alone: when they happen, the disk already knows why.
//!
//! Not here: who carries them out (the daemon).

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use secp256k1::PublicKey;
use wire::id::{ChannelId, PaymentHash, Preimage, ShortChannelId};
use wire::message::{AttributionData, Message, OnionPacket};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::event::{CommandId, Origin};
use crate::fault::PeerFault;
use crate::onchain::Claim;
use crate::onchain::forecast::Forecast;
use crate::past::Search;
use crate::refusal::Refusal;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Say this to the peer. Messages of one channel keep their order, and belong to the connection that
    /// was there when the step was made: on a later one they must not be said.
    Send(Message),
    /// Bring this transaction to the miners and keep trying until its input is spent.
    Broadcast {
        /// The signed transaction.
        tx: Transaction,
        /// What it is for.
        why: Why,
    },
    /// Build and sign a transaction with exactly this output, and do not broadcast it.
    /// Answer with `Command::FundingBuilt` or `Command::FundingFailed`.
    FundingWanted {
        /// The channel's P2WSH script.
        script_pubkey: ScriptBuf,
        /// The channel's value.
        amount: Amount,
        /// What the funding transaction should pay.
        feerate: FeeratePerKw,
    },
    /// Tell this channel when the outpoint is confirmed, reorganised away, or spent, and when it waits for a
    /// block. Said again when more is known of it.
    WatchFunding {
        /// The funding outpoint.
        outpoint: OutPoint,
        /// The script that should lie there.
        script_pubkey: ScriptBuf,
        /// The coins that the funding transaction spends, as far as they are known: tell this channel when
        /// another transaction spends one of them.
        inputs: Vec<OutPoint>,
    },
    /// Tell this channel when one of these outputs is spent, until it is closed. BOLT 5.
    WatchOutputs(Vec<OutPoint>),
    /// Look through the archive for HTLCs of a revoked commitment, off the hot path, and answer with
    /// [`crate::ChainFact::HistoryFound`]. Asked once; again after a restart.
    SearchHistory(Box<Search>),
    /// Everything that is ours to take on Layer 1 now or later; replaces what was said before.
    Claims(Vec<Claim>),
    /// An incoming HTLC is irrevocably committed: forward it, settle it or fail it.
    Incoming(HtlcIn),
    /// An outgoing HTLC has its outcome. Fulfilled: at once when the preimage is seen. Failed: when
    /// nobody can bring the HTLC back. Said again after a restart until `Command::ForgetResolved`.
    Resolved(Resolved),
    /// The one answer to a command.
    Answer(CommandId, Result<Answer, Refusal>),
    /// Something others may want to know.
    Notice(Notice),
    /// Close the connection after what was sent before.
    Disconnect,
    /// A human must look.
    Alarm(Alarm),
}

/// What a broadcast is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Opens the channel.
    Funding,
    /// Closes it together with the peer.
    MutualClose,
    /// Closes it alone: our newest commitment.
    ForceClose,
}

/// What a command achieved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Done, or under way and durable.
    Done,
    /// The HTLC was offered. It is binding from the next signature on; if the connection breaks before,
    /// it is resolved as [`Outcome::Unsent`].
    Offered {
        /// Our `id` of it.
        htlc: u64,
    },
    /// The channel is funded: both first commitments are signed, the funding transaction goes out.
    Funded {
        /// The channel's name from now on.
        channel_id: ChannelId,
        /// The funding outpoint.
        funding: OutPoint,
    },
}

/// An incoming HTLC that is irrevocably committed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HtlcIn {
    /// The peer's `id` of it.
    pub id: u64,
    /// What it is worth.
    pub amount_msat: Msat,
    /// The hash whose preimage claims it.
    pub payment_hash: PaymentHash,
    /// The height at which the peer can take it back.
    pub cltv_expiry: BlockHeight,
    /// `onion_routing_packet`.
    pub onion: OnionPacket,
    /// `path_key` inside a blinded route.
    pub path_key: Option<PublicKey>,
    /// The peer says that it answers for its being quick.
    pub accountable: bool,
    /// It would lift the trimmed value above the policy: fail it, do not forward it, do not reveal its
    /// preimage. BOLT 2 § Bounding exposure to trimmed in-flight HTLCs.
    pub overexposed: bool,
}

/// An outgoing HTLC that is still on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HtlcOut {
    /// Our `id` of it.
    pub id: u64,
    /// What it is worth.
    pub amount_msat: Msat,
    /// The hash whose preimage claims it.
    pub payment_hash: PaymentHash,
    /// The height at which we can take it back.
    pub cltv_expiry: BlockHeight,
    /// On whose behalf.
    pub origin: Origin,
}

/// An outgoing HTLC and how it ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// Our `id` of it.
    pub htlc: u64,
    /// On whose behalf it was offered.
    pub origin: Origin,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an outgoing HTLC ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The peer showed the preimage: the incoming side must be fulfilled.
    Fulfilled {
        /// The preimage.
        preimage: Preimage,
        /// How long each hop held it.
        attribution: Option<AttributionData>,
    },
    /// The peer failed it.
    Failed {
        /// The encrypted onion for the sender.
        reason: Vec<u8>,
        /// Who held it.
        attribution: Option<AttributionData>,
    },
    /// The peer could not read the onion.
    Malformed {
        /// Of the onion the peer saw, or zeroes.
        sha256_of_onion: [u8; 32],
        /// A BOLT 4 code with the BADONION bit.
        failure_code: u16,
    },
    /// It came back on Layer 1, or was in no commitment that can be confirmed any more.
    TimedOut,
    /// It was never signed: the connection broke first. Nothing of it is recorded anywhere.
    Unsent,
}

/// Something others may want to know: what `why` and the event log are made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The channel has its name; the funding transaction is signed for.
    Funded {
        /// The name.
        channel_id: ChannelId,
        /// The funding outpoint.
        funding: OutPoint,
    },
    /// The funding transaction is in a block.
    Confirmed {
        /// Where.
        short_channel_id: ShortChannelId,
    },
    /// Both sides sent `channel_ready`: payments can flow while the link is up.
    Ready {
        /// Its place in the chain, if it has one yet.
        short_channel_id: Option<ShortChannelId>,
    },
    /// `channel_reestablish` is done, or the connection is gone.
    Usable(bool),
    /// A cooperative close began.
    ShuttingDown {
        /// Whether we asked for it.
        by_us: bool,
    },
    /// The closing transaction is signed by both.
    MutuallyClosed {
        /// The closing transaction.
        txid: Txid,
        /// What it pays.
        fee: Amount,
    },
    /// We close alone.
    Failing(CloseReason),
    /// The funding output is spent.
    OnChain {
        /// By this transaction.
        txid: Txid,
        /// Which of the transactions that may do so it is.
        by: Spender,
        /// In this block.
        height: BlockHeight,
    },
    /// An unconfirmed transaction spends the funding output.
    SpendSeen {
        /// This one.
        txid: Txid,
        /// Which of the transactions that may do so it is.
        by: Spender,
    },
    /// That transaction is gone without a block or a successor.
    SpendVanished {
        /// The one that was seen.
        txid: Txid,
    },
    /// An outgoing HTLC was given up before Layer 1 decided it, because the incoming one was about to
    /// expire.
    FailedBack {
        /// Our `id` of it.
        htlc: u64,
        /// What it is worth, and what is lost if the peer takes it after all.
        amount_msat: Msat,
        /// The height at which the incoming HTLC expires.
        upstream_expiry: BlockHeight,
    },
    /// The data is not stale, or a human says so: the channel works again.
    QuarantineOver {
        /// A human said so.
        by_us: bool,
    },
    /// Every output is resolved for good: the channel can be archived.
    Closed,
    /// The channel never came to be; everything about it can be deleted.
    Abandoned(AbandonReason),
    /// The peer broke a rule.
    Fault(PeerFault),
    /// The peer sent a `warning` or `error`; at most 1,000 printable bytes of it.
    PeerSaid {
        /// Whether it was an `error`.
        error: bool,
        /// ASCII 32 to 126.
        text: String,
    },
    /// The feerate of both commitments changed for good.
    FeerateChanged {
        /// To this.
        feerate: FeeratePerKw,
    },
}

/// Why we close alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// Somebody on our side said so.
    Asked,
    /// The peer broke a rule that leaves no other way.
    Fault(PeerFault),
    /// The peer sent an `error`.
    PeerError,
    /// An HTLC came too near to its expiry.
    HtlcDeadline {
        /// Whether we offered it.
        offered_by_us: bool,
        /// Its `id`.
        htlc: u64,
        /// Its expiry.
        cltv_expiry: BlockHeight,
    },
    /// The coins of the funding transaction were spent elsewhere: there is nothing to close.
    FundingConflict {
        /// By this transaction.
        by: Txid,
        /// What was ours in the channel, and is not any more.
        lost: Msat,
    },
    /// The funding transaction of a channel that was used before it confirmed never came.
    FundingNeverCame {
        /// What was ours in the channel, and is not any more.
        lost: Msat,
    },
}

impl CloseReason {
    /// Whether there is no funding output that a commitment could spend.
    pub const fn is_unfunded(&self) -> bool {
        match self {
            Self::FundingConflict { .. } | Self::FundingNeverCame { .. } => true,
            Self::Asked | Self::Fault(_) | Self::PeerError | Self::HtlcDeadline { .. } => false,
        }
    }
}

/// Why a channel never came to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AbandonReason {
    /// The connection broke before the funding was signed.
    Disconnected,
    /// The peer broke a rule.
    Fault(PeerFault),
    /// The peer refused, in its own words.
    PeerError {
        /// ASCII 32 to 126, at most 1,000 bytes.
        text: String,
    },
    /// The wallet could not fund it.
    FundingFailed,
    /// Somebody on our side gave up.
    Asked,
    /// The funding transaction never came: 2016 blocks.
    NeverFunded,
}

/// Which transaction spent the funding output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spender {
    /// A closing transaction that both signed.
    MutualClose,
    /// Our commitment.
    OurCommitment,
    /// One of the peer's commitments that it did not revoke.
    TheirCommitment,
    /// A commitment that the peer revoked: it cheats.
    RevokedCommitment,
    /// A commitment of the peer that is newer than anything we remember: our data is stale.
    FutureCommitment,
    /// None that we know.
    Unknown,
}

/// A close that was due and did not happen by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advice {
    /// Why the channel should be closed.
    pub reason: CloseReason,
    /// What stood against it.
    pub held: Held,
    /// What closing now would cost and save.
    pub forecast: Forecast,
}

/// Why a close that was due did not happen by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Held {
    /// [`ForceClosePolicy`](crate::env::ForceClosePolicy) leaves it to a human.
    Policy,
    /// It costs more than it saves.
    Cost,
}

/// A human must look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Alarm {
    /// The commitment about to be signed does not add up to the channel's value. Nothing was signed and
    /// the channel is frozen.
    Unbalanced {
        /// What the parts add up to, in millisatoshi.
        found_msat: u64,
        /// What the channel holds, in millisatoshi.
        expected_msat: u64,
    },
    /// The peer proved that our data is stale. Our commitment is never broadcast; the peer was asked to
    /// close.
    DataLoss {
        /// The commitment number the peer proved.
        theirs: u64,
        /// The one we remember.
        ours: u64,
    },
    /// A reorganisation took the funding transaction of a working channel.
    FundingReorganised {
        /// What is ours in it and gone if the transaction does not come back.
        at_risk: Msat,
    },
    /// A transaction that waits for a block would replace the funding transaction of a channel in use. As
    /// long as it is there, nothing that the peer pays over it is taken.
    FundingContested {
        /// That transaction.
        by: Txid,
        /// What is ours in it and gone if that one is confirmed.
        at_risk: Msat,
    },
    /// The funding transaction of a channel in use was replaced in a block, or never came.
    FundingGone {
        /// What replaced it, if anything did.
        by: Option<Txid>,
        /// What was ours in the channel, and is not any more.
        lost: Msat,
    },
    /// The funding transaction of a channel in use still waits for a block. Said once a day.
    FundingLate {
        /// Since so many blocks.
        blocks: u32,
        /// What is ours in it and gone if it never comes.
        at_risk: Msat,
    },
    /// A close is due that we do not make by ourselves. Said when it becomes due and when what it saves
    /// or until when changes, not at every block.
    CloseAdvised(Box<Advice>),
    /// An HTLC that we failed to whom it came from was taken by the peer after all: its amount is lost.
    TakenAfterAll {
        /// Our `id` of it.
        htlc: u64,
        /// What it is worth.
        amount_msat: Msat,
    },
    /// The funding output was spent by a revoked commitment, in a block or not yet.
    Breach {
        /// That commitment.
        txid: Txid,
    },
    /// The funding output was spent by a transaction we do not know.
    RogueSpend {
        /// That transaction.
        txid: Txid,
    },
    /// The signer refused or failed; the channel is frozen.
    Signer,
    /// Something demands that we close alone, but our data may be stale: whoever has restored an old copy
    /// loses everything in the channel by it. See `quarantine`.
    Quarantined {
        /// The number of our newest commitment, as far as we remember.
        ours: u64,
    },
    /// Outputs of a revoked commitment are in no record that we have. What the cheater makes of them is
    /// still taken.
    OutputsUnknown {
        /// That commitment.
        txid: Txid,
        /// How many.
        count: u32,
    },
}
