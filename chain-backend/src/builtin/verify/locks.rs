//! Locks: nLockTime against the median time (BIP 113), relative locks (BIP 68). `OP_CLTV` and `OP_CSV`
//! (BIP 65, 112) compare scripts with these fields and are checked with the scripts.

use bitcoin::Transaction;
use bitcoin::transaction::Version;

/// Below this nLockTime is a height, from it on a time.
const LOCK_TIME_THRESHOLD: u32 = 500_000_000;
const SEQUENCE_FINAL: u32 = 0xffff_ffff;
const SEQUENCE_DISABLE: u32 = 1 << 31;
const SEQUENCE_TYPE: u32 = 1 << 22;
const SEQUENCE_MASK: u32 = 0xffff;
/// A relative time lock counts in units of 512 seconds.
const SEQUENCE_GRANULARITY: u32 = 9;

/// Whether nLockTime lets the transaction into a block at `height` whose predecessor has this median
/// time.
pub(crate) fn is_final(tx: &Transaction, height: u32, previous_mtp: u32) -> bool {
    let lock = tx.lock_time.to_consensus_u32();
    let reached = if lock < LOCK_TIME_THRESHOLD { height } else { previous_mtp };
    lock == 0 || lock < reached || tx.input.iter().all(|input| input.sequence.0 == SEQUENCE_FINAL)
}

/// The last height and time at which the relative locks still hold; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SequenceLocks {
    height: Option<u32>,
    time: Option<u32>,
}

impl SequenceLocks {
    /// `heights` are those of the coins, in the order of the inputs (for a coin of the mempool the height
    /// of the next block); `mtp_at` is the median time of the block at a height.
    pub(crate) fn of(tx: &Transaction, heights: &[u32], mtp_at: impl Fn(u32) -> u32) -> Self {
        let mut locks = Self::default();
        // Negative versions count as large: the field is unsigned for this rule.
        if matches!(tx.version, Version(0 | 1)) {
            return locks;
        }
        for (input, coin_height) in tx.input.iter().zip(heights) {
            let sequence = input.sequence.0;
            if sequence & SEQUENCE_DISABLE != 0 {
                continue;
            }
            let span = sequence & SEQUENCE_MASK;
            if sequence & SEQUENCE_TYPE == 0 {
                // "n blocks" is open in the block n above the coin: the last closed height is one less.
                let last = coin_height.saturating_add(span).checked_sub(1);
                locks.height = locks.height.max(last);
            } else {
                let start = mtp_at(coin_height.saturating_sub(1));
                let seconds = span << SEQUENCE_GRANULARITY;
                let last = start.saturating_add(seconds).checked_sub(1);
                locks.time = locks.time.max(last);
            }
        }
        locks
    }

    /// Whether they are open in a block at `height` whose predecessor has this median time.
    pub(crate) fn open(self, height: u32, previous_mtp: u32) -> bool {
        self.height.is_none_or(|last| last < height)
            && self.time.is_none_or(|last| last < previous_mtp)
    }

    /// The height of the tip from which a transaction may wait in the mempool, if a height locks it.
    pub(crate) const fn tip_height(self) -> Option<u32> {
        self.height
    }

    /// The median time of the tip from which a transaction may wait in the mempool, if a time locks it.
    pub(crate) fn tip_time(self) -> Option<u32> {
        self.time.map(|last| last.saturating_add(1))
    }
}
