//! After the funding output is spent: what every output is, who can take it, and until when. BOLT 5.
//!
//! [`resolve`] is a function of what the channel knows and what Layer 1 shows, and remembers nothing. Its
//! caller asks again after every block and acts on the difference, so a reorganisation, a preimage that
//! comes late or a claim that lost its race need no code of their own.
//!
//! Not here: watching (the chain backend), fees and replacement (the sweeper), what a penalty spends
//! (`tx::penalty`).

mod classify;
pub mod forecast;
mod lost;
mod outputs;
mod preimage;
pub mod sweep;
#[cfg(test)]
mod tests;
mod walk;

pub use lost::{Remains, resolve_lost};
pub use outputs::{OutputState, OutputView, What};
pub use preimage::preimages_in;

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Script, Transaction, Txid};
use wire::id::{Preimage, Signature};
use wire::units::{BlockHeight, FeeratePerKw, Sat};

use crate::clock::Side;
use crate::keys::ChannelBasepoints;
use crate::past::PastHtlc;
use crate::shachain::RevealedSecrets;
use crate::tx::{
    Commitment, CommitmentTerms, Direction, OutputKind, Party, Recipe, SpecHtlc, Spend,
};

/// Confirmations after which no reorganisation is feared any more. BOLT 5 § General Nomenclature.
pub const IRREVOCABLE_DEPTH: u32 = 100;

/// An HTLC's name: who offered it, and the number it got.
pub type HtlcName = (Side, u64);

/// What a channel knows when its funding output is spent.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Our public keys.
    pub our_basepoints: &'a ChannelBasepoints,
    /// The peer's public keys.
    pub their_basepoints: &'a ChannelBasepoints,
    /// The terms of the peer's commitments.
    pub their_terms: &'a CommitmentTerms,
    /// Our commitment that is not revoked.
    pub ours: &'a Commitment,
    /// The peer's signatures on its HTLC transactions, in output order.
    pub our_htlc_signatures: &'a [Signature],
    /// The peer's commitments that it did not revoke: one, or two while a revocation is awaited.
    pub theirs: &'a [Commitment],
    /// Secrets of those it revoked.
    pub secrets: &'a RevealedSecrets,
    /// Every closing transaction that we signed, in all its variants.
    pub closes: &'a [Txid],
    /// Where our part of those goes.
    pub close_script: Option<&'a Script>,
    /// Every HTLC of ours that is not resolved yet, as our own commitment would show it.
    pub outgoing: &'a [SpecHtlc],
    /// HTLCs that may be on a revoked commitment, as the peer's commitment shows them. More than there
    /// are do no harm; each one missing may leave an output to the cheater.
    pub past: &'a [SpecHtlc],
    /// HTLCs settled long ago whose scripts are on the revoked commitment that spent the funding output.
    pub found: &'a [PastHtlc],
    /// Preimages of outgoing HTLCs, and of those incoming ones that we decided to fulfil: **only** what
    /// may be shown to the world.
    pub preimages: &'a BTreeMap<HtlcName, Preimage>,
    /// Confirmations after which an HTLC that came back counts as failed.
    pub fail_depth: u32,
    /// By our `id` of an outgoing HTLC: the height at which the incoming one expires that it pays for.
    pub upstream: &'a BTreeMap<u64, BlockHeight>,
    /// Blocks before that height at which it is failed there, whatever happens here.
    pub fail_back_buffer: u32,
}

/// A transaction in a block of the best chain.
#[derive(Clone, Copy, Debug)]
pub struct Mined<'a> {
    /// The transaction.
    pub tx: &'a Transaction,
    /// The height of its block.
    pub height: BlockHeight,
}

/// What Layer 1 shows.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The height of the best chain.
    pub tip: BlockHeight,
    /// What a claim would pay now.
    pub feerate: FeeratePerKw,
    /// What spent the funding output.
    pub close: Mined<'a>,
    /// What spent outputs of ours, and others that [`Resolution::watch`] named.
    pub spends: &'a [(OutPoint, Mined<'a>)],
}

/// Which transaction spent the funding output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// One that both signed.
    Mutual,
    /// Our commitment.
    Ours,
    /// A commitment of the peer's that it did not revoke.
    Theirs {
        /// Its number.
        number: u64,
    },
    /// A commitment that the peer revoked: it cheats.
    Revoked {
        /// Its number.
        number: u64,
    },
    /// A commitment of the peer's that is newer than any we signed: our data is stale.
    Future {
        /// Its number.
        number: u64,
    },
    /// None that we know: a human must look.
    Unknown,
}

/// An output that is ours to take, now or later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// How to spend it.
    pub spend: Spend,
    /// The HTLC it is about.
    pub htlc: Option<HtlcName>,
    /// The height of the first block that may contain the spend.
    pub mature: BlockHeight,
    /// The height by which it must be spent, because from the next block on somebody else can spend it,
    /// too. For an HTLC of ours that pays for an incoming one: the height at which that one expires.
    pub deadline: Option<BlockHeight>,
    /// Whether somebody else may be able to spend it even before: an honest peer with the preimage, or a
    /// cheater.
    pub contested: bool,
}

impl Claim {
    /// Whether a spend can be broadcast when the best chain has this height.
    pub fn is_ready(&self, tip: BlockHeight) -> bool {
        self.mature <= tip.saturating_add(1)
    }

    /// Whether the spend needs coins of the wallet: its own value goes where the peer agreed to, whole, or
    /// is too little to pay for anything.
    pub const fn needs_coins(&self) -> bool {
        self.spend.paired_output().is_some() || matches!(self.spend.recipe, Recipe::Anchor)
    }

    /// What it is worth: nothing for an anchor, which is only there to bump.
    pub const fn worth(&self) -> Sat {
        match self.spend.recipe {
            Recipe::Anchor => Sat::ZERO,
            Recipe::ToRemote
            | Recipe::Delayed { .. }
            | Recipe::HtlcTransaction { .. }
            | Recipe::HtlcDirect { .. }
            | Recipe::PenaltyDelayed { .. }
            | Recipe::PenaltyHtlc { .. } => self.spend.value,
        }
    }
}

/// How an HTLC of ours ended on Layer 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The preimage is known: whoever paid us for it must be shown the preimage, whatever happens here.
    Fulfilled(Preimage),
    /// It came back, or no output can move it any more, deep enough to fail it to whom it came from; or
    /// the HTLC that pays for it is about to expire.
    Failed,
}

/// Where everything stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// What spent the funding output.
    pub close: Close,
    /// What is ours to take.
    pub claims: Vec<Claim>,
    /// Outputs whose spend changes something, spent or not: to be watched until [`Self::done`].
    pub watch: Vec<OutPoint>,
    /// HTLCs of ours whose end is known, by our `id`. Nothing here means wait.
    pub fates: BTreeMap<u64, Fate>,
    /// Every output that matters, for people.
    pub outputs: Vec<OutputView>,
    /// Whether nothing can change any more: everything that could be ours is spent, 100 blocks deep.
    pub done: bool,
}

/// Says where everything stands, from the beginning.
pub fn resolve(known: &Known<'_>, chain: &Chain<'_>) -> Resolution {
    walk::Walk::new(known, chain).resolve()
}

/// Which transaction spent the funding output.
pub fn classify(known: &Known<'_>, tx: &Transaction) -> Close {
    classify::classify(known, tx)
}

/// Our anchor on a commitment that is not confirmed yet, to pay for it. BOLT 5 § Failing a Channel.
///
/// Works for our commitment and for the peer's, whichever is on its way. The deadline is the first of its
/// HTLCs'. `None` if it has no anchor of ours: then nothing on it is ours.
pub fn bump(commitment: &Commitment) -> Option<Claim> {
    let owner = commitment.terms().owner;
    let (outpoint, _, txout) = commitment.outputs().find(|(_, kind, _)| match kind {
        OutputKind::Anchor(Party::Owner) => owner == Side::Us,
        OutputKind::Anchor(Party::Other) => owner == Side::Them,
        OutputKind::ToOwner | OutputKind::ToOther | OutputKind::Htlc(_) => false,
    })?;
    let spend = walk::anchor(commitment.terms(), outpoint, txout.value);
    let deadline = commitment.htlcs().iter().map(|output| output.htlc.cltv_expiry).min();
    let mature = BlockHeight(0);
    Some(Claim { spend, htlc: None, mature, deadline, contested: false })
}

/// The name of an HTLC on a commitment of `owner`.
pub(crate) const fn name(owner: Side, htlc: &SpecHtlc) -> HtlcName {
    let offerer = match (htlc.direction, owner) {
        (Direction::Offered, Side::Us) | (Direction::Received, Side::Them) => Side::Us,
        (Direction::Offered, Side::Them) | (Direction::Received, Side::Us) => Side::Them,
    };
    (offerer, htlc.id)
}
