//! What a channel says of its revoked states when a tower is to hear of them.

use bitcoin::{ScriptBuf, Txid};
use channel::Channel;
use channel::clock::Side;
use channel::keys::ChannelBasepoints;
use channel::shachain::RevealedSecrets;
use channel::tx::CommitmentTerms;

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
        })
    }
}
