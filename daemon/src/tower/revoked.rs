//! What a channel says of its revoked states when a tower is to hear of them.

use bitcoin::hashes::{Hash as _, ripemd160};
use bitcoin::{ScriptBuf, Txid};
use channel::Channel;
use channel::clock::Side;
use channel::fact::Removal;
use channel::keys::ChannelBasepoints;
use channel::ledger::{How, Htlc};
use channel::shachain::RevealedSecrets;
use channel::state::State;
use channel::tx::CommitmentTerms;
use secp256k1::PublicKey;
use watchtower::message::{HtlcAdd, LiveHtlc};

/// Rows in one answer: what a channel's task can copy without being missed.
const ROWS_AT_ONCE: usize = 256;

/// Revoked states of one channel, and all that is needed to make records of them.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The commitment of row 0.
    pub first: u64,
    /// How many rows the archive has, and in how many bytes.
    pub archived: (u64, u64),
    /// Rows from the one that was asked for on, if that is not in the archive.
    pub rows: Vec<Vec<u8>>,
    /// How many rows there are in all.
    pub count: u64,
    /// The secrets of all revoked commitments.
    pub secrets: RevealedSecrets,
    /// What the peer's commitments have in common.
    pub terms: CommitmentTerms,
    /// Our public keys.
    pub ours: ChannelBasepoints,
    /// The peer's.
    pub theirs: ChannelBasepoints,
    /// Whether we opened the channel.
    pub we_opened: bool,
    /// An address of the wallet that is this channel's alone.
    pub sweep_script: ScriptBuf,
    /// Whether everything of the channel is resolved on Layer 1.
    pub closed: bool,
    /// What spent the funding output, in a block.
    pub spent: Option<Txid>,
    /// What a valid commitment of the peer's may show now.
    pub now: Now,
    /// Changes with it ([`Now::mark`]).
    pub mark: (u64, usize),
}

/// What a valid commitment of the peer's may show, for a tower of one's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Now {
    /// The number of the oldest commitment that is not revoked.
    pub number: u64,
    /// The points of that one and of the next.
    pub points: Vec<PublicKey>,
    /// Everything in flight, in the peer's eyes.
    pub htlcs: Vec<LiveHtlc>,
}

impl Now {
    fn of(state: &State) -> Self {
        let live = |(by, htlc): (Side, &Htlc)| {
            let add = &htlc.add;
            let preimage = match htlc.removal.as_ref().map(|removal| &removal.how) {
                Some(How::Ours(Removal::Fulfill { preimage, .. })) => Some(preimage.0),
                Some(How::Ours(_) | How::Theirs(_)) | None => None,
            };
            let hash = ripemd160::Hash::hash(&add.payment_hash.0).to_byte_array();
            let (cltv_expiry, offered) = (add.cltv_expiry, by == Side::Them);
            LiveHtlc { htlc: HtlcAdd { hash, cltv_expiry, offered }, preimage }
        };
        Self {
            number: state.secrets.count(),
            points: [Some(state.their_point), state.their_next_point]
                .into_iter()
                .flatten()
                .collect(),
            htlcs: state.ledger.htlcs().map(live).collect(),
        }
    }

    /// Changes with all of this, as far as a tower has to hear of it before a state is revoked: commitments
    /// that we signed, and HTLCs whose preimage we showed.
    pub fn mark(state: &State) -> (u64, usize) {
        let fulfilled = |(_, htlc): &(Side, &Htlc)| {
            htlc.removal.as_ref().is_some_and(|removal| removal.how.fulfils())
        };
        (state.theirs, state.ledger.htlcs().filter(fulfilled).count())
    }
}

impl Revoked {
    /// How many commitments the peer has revoked.
    pub const fn revoked(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// What `channel` says of its rows from `from` on; `None` before it is funded and after all is lost.
    pub fn of(channel: &Channel, from: u64) -> Option<Self> {
        let state = channel.state()?;
        let log = &state.revoked;
        let rows = match from < log.archived {
            true => Vec::new(),
            false => log.recent(from).take(ROWS_AT_ONCE).cloned().collect(),
        };
        Some(Self {
            first: log.first,
            archived: (log.archived, log.archived_bytes),
            rows,
            count: log.rows(),
            secrets: state.secrets.clone(),
            terms: state.commitment_terms(Side::Them)?,
            ours: state.terms.our_keys,
            theirs: state.terms.their_keys,
            we_opened: state.terms.funder == Side::Us,
            sweep_script: state.terms.shutdown_script.clone(),
            closed: state.chain.closed,
            spent: state.chain.spent.as_ref().map(|(tx, _)| tx.compute_txid()),
            now: Now::of(state),
            mark: Now::mark(state),
        })
    }
}
