//! What a channel is made of: its state is a fold over these and nothing else.
//!
//! A fact says what happened, never what to think of it, so replay repeats no policy. Updates that
//! nobody signed are no facts: BOLT 2 § Message Retransmission forgets them with the connection.
//!
//! Not here: how facts lie on the disk (`record`), what they change (`channel::apply`).

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use secp256k1::PublicKey;
use wire::id::{PaymentHash, Preimage, ShortChannelId, Signature};
use wire::message::{AttributionData, OnionPacket};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::effect::{AbandonReason, CloseReason, Spender};
use crate::event::Origin;
use crate::past::PastHtlc;
use crate::terms::Terms;

/// One thing that is true of a channel from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// Both first commitments are signed. The first fact of every channel but a restored one.
    Created(Box<Created>),
    /// All data of the channel was lost, and these terms of it were kept elsewhere. The first fact of a
    /// restored channel.
    Restored(Box<Restored>),
    /// The funding transaction is in a block, with the right output.
    FundingConfirmed {
        /// The block.
        height: BlockHeight,
        /// The transaction's position in it.
        tx_index: u32,
    },
    /// A reorganisation took it out.
    FundingUnconfirmed,
    /// The funding transaction of a channel in use was seen: it spends these coins.
    FundingSeen {
        /// Its inputs, the first thousand of them.
        inputs: Vec<OutPoint>,
    },
    /// A transaction in a block spends one of those coins.
    FundingConflict {
        /// That transaction.
        by: Txid,
        /// Its block.
        height: BlockHeight,
    },
    /// A reorganisation took that one out.
    FundingConflictGone,
    /// We sent `channel_ready`.
    WeReady,
    /// The peer sent `channel_ready`.
    TheyReady {
        /// `second_per_commitment_point`.
        next_point: PublicKey,
        /// The alias it wants to be called.
        alias: Option<ShortChannelId>,
    },
    /// We sent `commitment_signed`, over everything we had said until then.
    WeSigned(WeSigned),
    /// The peer sent `commitment_signed`, and we revoked the commitment before.
    TheySigned(TheySigned),
    /// The peer revoked.
    TheyRevoked {
        /// The secret of the revoked commitment.
        secret: [u8; 32],
        /// The point of the commitment after the next.
        next_point: PublicKey,
    },
    /// We decided how to remove an incoming HTLC; said again on every connection until it is signed.
    WeRemove {
        /// The peer's `id` of it.
        htlc: u64,
        /// How.
        removal: Removal,
    },
    /// The peer showed the preimage of an outgoing HTLC. It cannot be unseen.
    PreimageSeen {
        /// Our `id` of it.
        htlc: u64,
        /// The preimage.
        preimage: Preimage,
        /// How long each hop held it.
        attribution: Option<AttributionData>,
    },
    /// The outcome of an outgoing HTLC is recorded elsewhere.
    Forgotten {
        /// Our `id` of it.
        htlc: u64,
    },
    /// We sent `shutdown`.
    WeShutdown {
        /// Where our part goes.
        script: ScriptBuf,
        /// What the closing transaction should pay.
        feerate: FeeratePerKw,
        /// Whether it was our idea.
        asked: bool,
    },
    /// The peer sent `shutdown`.
    TheyShutdown {
        /// Where its part goes.
        script: ScriptBuf,
    },
    /// We signed a closing transaction: from now on it may appear on Layer 1.
    WeSignedClose(CloseTerms),
    /// The peer signed one that we signed too.
    BothSignedClose {
        /// Which.
        close: CloseTerms,
        /// The peer's signature.
        signature: Signature,
    },
    /// We close alone.
    Failing(CloseReason),
    /// The peer proved that our data is stale: our commitment is never broadcast again.
    DataLoss {
        /// The commitment number the peer proved.
        theirs: u64,
    },
    /// The books did not balance or the signer failed: nothing is signed any more.
    Frozen,
    /// The funding output is spent in a block.
    FundingSpent {
        /// By this transaction.
        tx: Box<Transaction>,
        /// In this block.
        height: BlockHeight,
    },
    /// A reorganisation undid that spend.
    FundingUnspent,
    /// An output of ours on Layer 1 is spent in a block.
    OutputSpent {
        /// The output.
        outpoint: OutPoint,
        /// By this transaction.
        tx: Box<Transaction>,
        /// In this block.
        height: BlockHeight,
    },
    /// A reorganisation undid that spend.
    OutputUnspent {
        /// The output.
        outpoint: OutPoint,
    },
    /// An outgoing HTLC ended on Layer 1.
    ResolvedOnChain {
        /// Our `id` of it.
        htlc: u64,
        /// The preimage, if the peer took it.
        preimage: Option<Preimage>,
    },
    /// Every output is resolved for good.
    Closed,
    /// The archive was searched for HTLCs on a revoked commitment.
    HistoryFound {
        /// That commitment.
        txid: Txid,
        /// HTLCs whose script one of its outputs has; each once.
        htlcs: Vec<PastHtlc>,
    },
    /// The journal may be an older copy: nothing is signed or broadcast until that is refuted.
    Quarantined,
    /// It is not.
    Vouched {
        /// A human said so; otherwise the peer's numbers did.
        by_us: bool,
    },
    /// The channel never came to be.
    Abandoned(AbandonReason),
    /// What people are told about the facts beside it. No state follows from it.
    Told(Told),
}

/// What a later look at the record cannot find out again: the peer's words, and what a transaction was
/// taken for when it appeared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// The peer's `error` that made us close; ASCII 32 to 126, at most 1,000 bytes.
    PeerError(String),
    /// What spent the funding output.
    SpentBy(Spender),
}

/// How a channel starts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// What was agreed on.
    pub terms: Terms,
    /// Where the coins are.
    pub funding: OutPoint,
    /// The transaction that puts them there, if we made it.
    pub funding_tx: Option<Transaction>,
    /// The peer's signature on our first commitment.
    pub signature: Signature,
    /// The peer's `first_per_commitment_point`.
    pub first_point: PublicKey,
    /// The height at which it was created.
    pub height: BlockHeight,
}

/// What a backup keeps of a channel: enough to ask the peer to close, and to take our balance then.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// What was agreed on. What nobody needs any more for that may be anything.
    pub terms: Terms,
    /// Where the coins are.
    pub funding: OutPoint,
    /// The height at which it was created: nothing of it is in a block below.
    pub created: BlockHeight,
}

/// What our `commitment_signed` covers for the first time, besides every removal we decided on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WeSigned {
    /// HTLCs we offer, by rising `id` without gaps.
    pub adds: Vec<AddOut>,
    /// The feerate we set.
    pub feerate: Option<FeeratePerKw>,
}

/// What the peer's `commitment_signed` covers for the first time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TheySigned {
    /// HTLCs it offers, by rising `id` without gaps.
    pub adds: Vec<AddIn>,
    /// Our HTLCs it removes.
    pub removals: Vec<(u64, TheirRemoval)>,
    /// The feerate it sets.
    pub feerate: Option<FeeratePerKw>,
    /// Its signatures, one set for each candidate of the funding.
    pub signatures: Vec<Signatures>,
}

/// The peer's signatures on one commitment of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signatures {
    /// On the commitment.
    pub commitment: Signature,
    /// On its HTLC transactions, in the order of the outputs.
    pub htlcs: Vec<Signature>,
}

/// What both kinds of HTLC have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Add {
    /// The offerer's `id` of it.
    pub id: u64,
    /// What it is worth.
    pub amount_msat: Msat,
    /// The hash whose preimage claims it.
    pub payment_hash: PaymentHash,
    /// The height at which the offerer can take it back.
    pub cltv_expiry: BlockHeight,
    /// `onion_routing_packet`.
    pub onion: OnionPacket,
    /// `path_key` inside a blinded route.
    pub path_key: Option<PublicKey>,
    /// The offerer says that it answers for its being quick.
    pub accountable: bool,
}

/// An HTLC we offer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddOut {
    /// The HTLC.
    pub add: Add,
    /// On whose behalf.
    pub origin: Origin,
}

/// An HTLC the peer offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddIn {
    /// The HTLC.
    pub add: Add,
    /// It lifts the trimmed value above the policy.
    pub overexposed: bool,
}

/// How we remove an incoming HTLC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Removal {
    /// `update_fulfill_htlc`.
    Fulfill {
        /// The preimage.
        preimage: Preimage,
        /// How long it was held.
        attribution: Option<AttributionData>,
    },
    /// `update_fail_htlc`.
    Fail {
        /// The encrypted onion for the sender.
        reason: Vec<u8>,
        /// Who held it.
        attribution: Option<AttributionData>,
    },
    /// `update_fail_malformed_htlc`.
    Malformed {
        /// Of the onion, or zeroes.
        sha256_of_onion: [u8; 32],
        /// With the BADONION bit.
        failure_code: u16,
    },
}

/// How the peer removes an HTLC of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TheirRemoval {
    /// By the preimage that is a fact of its own already.
    Fulfilled,
    /// `update_fail_htlc`.
    Failed {
        /// The encrypted onion for the sender.
        reason: Vec<u8>,
        /// Who held it.
        attribution: Option<AttributionData>,
    },
    /// `update_fail_malformed_htlc`.
    Malformed {
        /// Of the onion, or zeroes.
        sha256_of_onion: [u8; 32],
        /// With the BADONION bit.
        failure_code: u16,
    },
}

/// What tells one closing transaction of a channel from another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CloseTerms {
    /// `fee_satoshis`.
    pub fee_sat: u64,
    /// Whether our output is there, by the dust limits of whoever signs.
    pub pays_us: bool,
    /// Whether the peer's is.
    pub pays_them: bool,
}
