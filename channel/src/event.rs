//! Everything that can happen to a channel. BOLT 2.
//!
//! Not here: what follows from it (`effect`), what it may know meanwhile (`env`).

use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use secp256k1::PublicKey;
use wire::feature::Features;
use wire::id::{ChannelId, PaymentHash, Preimage};
use wire::message::{AttributionData, Message, OnionPacket};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::past::PastHtlc;

/// Ties an answer to the command it answers; the asker chooses it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommandId(pub u64);

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The peer said something about this channel.
    Peer(Message),
    /// Somebody on our side wants something.
    Command(Command),
    /// The connection came or went.
    Link(Link),
    /// Layer 1 moved.
    Chain(ChainFact),
    /// Sign now if something is pending and no signature of ours is under way.
    ///
    /// The channel's task says so after it has emptied its inbox, so what came together is signed
    /// together.
    Commit,
}

/// The connection to the peer.
#[derive(Clone, Debug)]
pub enum Link {
    /// `init` was exchanged.
    Up {
        /// What both sides can: the features we sent, if the peer sent either bit of the pair.
        features: Features,
    },
    /// The connection is gone.
    Down,
}

/// What somebody on our side wants from the channel.
///
/// Those that carry a [`CommandId`] are answered exactly once with [`crate::Effect::Answer`]. A refusal
/// leaves the channel as it was.
#[derive(Clone, Debug)]
pub enum Command {
    /// Offer an HTLC. BOLT 2 § Adding an HTLC.
    OfferHtlc(Box<Offer>),
    /// Remove an incoming HTLC by its preimage. BOLT 2 § Removing an HTLC.
    FulfillHtlc {
        /// Whom to answer: once the preimage is durable here.
        command: CommandId,
        /// The peer's `id` of the HTLC.
        htlc: u64,
        /// Its preimage.
        preimage: Preimage,
        /// How long it was held, for the sender.
        attribution: Option<AttributionData>,
    },
    /// Remove an incoming HTLC, with an onion for the sender. BOLT 2 § Removing an HTLC.
    FailHtlc {
        /// Whom to answer.
        command: CommandId,
        /// The peer's `id` of the HTLC.
        htlc: u64,
        /// The encrypted `reason`, at most 65,000 bytes.
        reason: Vec<u8>,
        /// Who held it, for the sender.
        attribution: Option<AttributionData>,
    },
    /// Remove an incoming HTLC whose onion could not be read. BOLT 2 § Removing an HTLC.
    FailMalformedHtlc {
        /// Whom to answer.
        command: CommandId,
        /// The peer's `id` of the HTLC.
        htlc: u64,
        /// SHA256 of the onion, or zeroes.
        sha256_of_onion: [u8; 32],
        /// A BOLT 4 code with the BADONION bit.
        failure_code: u16,
    },
    /// Pay another feerate on both commitments; for the funder alone. BOLT 2 § Updating Fees.
    UpdateFee {
        /// Whom to answer.
        command: CommandId,
        /// The new feerate.
        feerate: FeeratePerKw,
    },
    /// The wallet built what [`crate::Effect::FundingWanted`] asked for, and signed it.
    FundingBuilt {
        /// The signed transaction; all inputs segwit.
        tx: Transaction,
        /// Which output is the channel's.
        output_index: u16,
    },
    /// The wallet could not build it: give the open up.
    FundingFailed,
    /// Close together with the peer. BOLT 2 § Closing Initiation.
    Shutdown {
        /// Whom to answer.
        command: CommandId,
        /// Where our part goes; `None` for the address set aside at opening. A script promised to the peer
        /// at opening wins over both.
        script: Option<ScriptBuf>,
        /// What the closing transaction should pay; the range around it comes from the policy.
        feerate: FeeratePerKw,
    },
    /// Close without the peer: broadcast our commitment. BOLT 5 § Failing a Channel.
    ForceClose {
        /// Whom to answer.
        command: CommandId,
    },
    /// Leave the quarantine although the peer's numbers were not compared. If the data is stale after
    /// all, the next close loses everything in the channel.
    LiftQuarantine {
        /// Whom to answer.
        command: CommandId,
    },
    /// Somebody proved that the journal is an older copy: into quarantine, unless the peer's numbers were
    /// compared since it was read.
    Doubt {
        /// Whom to answer.
        command: CommandId,
    },
    /// So many settled HTLCs are in the archive: memory may let go of them.
    PastArchived {
        /// How many, from the first one on.
        upto: u64,
    },
    /// So many rows of revoked states are in the archive: memory may let go of them.
    RevokedArchived {
        /// How many, from the first one on.
        rows: u64,
        /// In so many bytes.
        bytes: u64,
    },
    /// An outgoing HTLC's outcome is recorded elsewhere for good: its tombstone may go.
    ForgetResolved {
        /// Our `id` of the HTLC.
        htlc: u64,
    },
    /// The incoming HTLC of this forward expires at that height, on the channel it came in by. Shortly
    /// before, the outgoing one counts as failed even if Layer 1 has not decided it: by then it is lost
    /// anyway, the other channel need not be.
    ///
    /// Kept in memory alone: say it once the HTLC is offered, and again after every start, for every
    /// [`Channel::outgoing`](crate::Channel::outgoing) on behalf of a forward. Has no answer.
    UpstreamExpires {
        /// Our `id` of the outgoing HTLC.
        htlc: u64,
        /// `cltv_expiry` of the incoming one.
        expiry: BlockHeight,
    },
}

/// An HTLC to be offered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// Whom to answer, with the `id` the HTLC got.
    pub command: CommandId,
    /// What it is worth.
    pub amount_msat: Msat,
    /// The hash whose preimage claims it.
    pub payment_hash: PaymentHash,
    /// The height at which it can be taken back.
    pub cltv_expiry: BlockHeight,
    /// `onion_routing_packet`.
    pub onion: OnionPacket,
    /// On whose behalf.
    pub origin: Origin,
    /// `path_key` inside a blinded route.
    pub path_key: Option<PublicKey>,
    /// Whether to say that we answer for its being quick: the `accountable` of the HTLC it pays for.
    pub accountable: bool,
}

/// Why an outgoing HTLC exists. It lies in the HTLC's own record, so circuits and the state of
/// payments are read from channels and stored nowhere else.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// A payment of our own.
    Payment {
        /// The payment.
        payment_id: [u8; 32],
        /// Which of its parts.
        part: u32,
    },
    /// An HTLC that came in elsewhere.
    Forward {
        /// The channel it came in by.
        channel: ChannelId,
        /// The peer's `id` of it there.
        htlc: u64,
    },
}

/// What Layer 1 says. Heights are those of the best chain.
#[derive(Clone, Debug)]
pub enum ChainFact {
    /// The tip moved; its height is in [`crate::Env`].
    Tip,
    /// The funding outpoint is in a block.
    FundingConfirmed {
        /// The block.
        height: BlockHeight,
        /// The transaction's position in the block.
        tx_index: u32,
        /// The outpoint that was watched.
        outpoint: OutPoint,
        /// What the block really has there; `None` if the transaction has no such output.
        found: Option<TxOut>,
    },
    /// A reorganisation took the funding transaction out of the chain.
    FundingUnconfirmed,
    /// The funding transaction waits for a block: these are the coins that it spends.
    FundingSeen {
        /// Its inputs.
        inputs: Vec<OutPoint>,
    },
    /// An unconfirmed transaction spends a coin of the funding transaction's, which it would replace. Not
    /// recorded: said again after a restart.
    FundingContested {
        /// That transaction.
        by: Txid,
    },
    /// That transaction is gone, and neither confirmed nor replaced.
    FundingUncontested {
        /// The transaction that was seen.
        by: Txid,
    },
    /// A transaction in a block spends a coin of the funding transaction's: in this chain there will be no
    /// such channel.
    FundingConflict {
        /// That transaction.
        by: Txid,
        /// Its block.
        height: BlockHeight,
    },
    /// A reorganisation took that transaction out of the chain.
    FundingConflictGone,
    /// The funding outpoint is spent in a block.
    FundingSpent {
        /// The spending transaction.
        tx: Transaction,
        /// Its block.
        height: BlockHeight,
    },
    /// A reorganisation took that spend out of the chain.
    FundingUnspent,
    /// An output that the channel asked to watch is spent in a block.
    OutputSpent {
        /// The spent output.
        outpoint: OutPoint,
        /// The spending transaction.
        tx: Transaction,
        /// Its block.
        height: BlockHeight,
    },
    /// What [`crate::Effect::SearchHistory`] asked for.
    HistoryFound {
        /// The revoked commitment.
        txid: Txid,
        /// HTLCs that its outputs may be of.
        htlcs: Vec<PastHtlc>,
    },
    /// A reorganisation took the spend of a watched output out of the chain.
    OutputUnspent {
        /// The output that is unspent again.
        outpoint: OutPoint,
    },
    /// An unconfirmed transaction spends the funding outpoint. Not recorded as a state of the chain: said
    /// again after a restart, and a later one replaces it.
    FundingSpendSeen {
        /// The spending transaction.
        tx: Transaction,
    },
    /// That transaction is gone, and neither confirmed nor replaced.
    FundingSpendVanished {
        /// The transaction that was seen.
        txid: Txid,
    },
    /// An unconfirmed transaction spends an output that the channel asked to watch. Not recorded as a
    /// state of the chain; what it shows cannot be unseen.
    OutputSpendSeen {
        /// The spent output.
        outpoint: OutPoint,
        /// The spending transaction.
        tx: Transaction,
    },
}
