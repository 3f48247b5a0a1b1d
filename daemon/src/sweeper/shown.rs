//! How far every claim is, for whoever looks.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Txid};
use wire::units::{BlockHeight, FeeratePerKw};

use super::Sweeper;
use crate::fact::ChannelIndex;

/// Where a claim stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Its lock is not open yet.
    Locked {
        /// The height of the first block that may contain its spend.
        until: BlockHeight,
    },
    /// It is about to be tried.
    Ready,
    /// It costs more than it is worth now; it is tried again when fees fall.
    Uneconomic {
        /// What it would cost.
        cost: Amount,
    },
    /// The wallet has no coins to pay for it; it is tried again at every block.
    NeedsCoins {
        /// What has to be free and confirmed in the wallet.
        needed: Amount,
        /// What is missing for that.
        missing: Amount,
    },
    /// The mempool or the backend does not take it now; it is tried again at every block.
    Refused {
        /// Why, in the backend's words.
        why: String,
    },
    /// Its transaction is made, and handed in at every block, but the mempool does not show it.
    Handed,
    /// Its transaction is in the mempool.
    Mempool,
    /// Its transaction is in a block.
    Mined {
        /// Its height.
        height: BlockHeight,
    },
}

/// How far a claim is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Whose it is.
    pub channel: ChannelIndex,
    /// The transaction that takes it, if one is made.
    pub txid: Option<Txid>,
    /// What that pays to the miners, for all that it takes.
    pub fee: Amount,
    /// The same by weight; of a child together with its parent.
    pub feerate: FeeratePerKw,
    /// The height by which it must be in a block.
    pub deadline: Option<BlockHeight>,
    /// Where it stands.
    pub standing: Standing,
}

/// How far every claim of every channel is, by the output it takes.
pub type SweepBook = BTreeMap<OutPoint, Progress>;

impl Sweeper {
    /// How far every claim is at this height.
    pub fn shown(&self, tip: BlockHeight) -> SweepBook {
        let mut book = SweepBook::new();
        for (outpoint, wanted) in &self.claims {
            if wanted.claim.worth() == Amount::ZERO {
                continue;
            }
            let standing = if wanted.claim.is_ready(tip) {
                self.said.get(outpoint).cloned().unwrap_or(Standing::Ready)
            } else {
                Standing::Locked { until: wanted.claim.mature }
            };
            let progress = Progress {
                channel: wanted.channel,
                txid: None,
                fee: Amount::ZERO,
                feerate: FeeratePerKw(0),
                deadline: wanted.claim.deadline,
                standing,
            };
            book.insert(*outpoint, progress);
        }
        for (txid, attempt) in &self.attempts {
            for (outpoint, channel) in &attempt.members {
                let standing = match (attempt.mined, attempt.seen) {
                    (Some(height), _) => Standing::Mined { height },
                    (None, true) => Standing::Mempool,
                    (None, false) => Standing::Handed,
                };
                let progress = Progress {
                    channel: *channel,
                    txid: Some(*txid),
                    fee: attempt.fee,
                    feerate: attempt.feerate,
                    deadline: attempt.deadline,
                    standing,
                };
                book.insert(*outpoint, progress);
            }
        }
        book
    }
}
