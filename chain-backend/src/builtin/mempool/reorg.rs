//! After a reorganisation: what was mined waits again, and what lost its ground goes.

use super::{Admission, ChainView, Mempool};
use crate::backend::RemovedBecause;
use crate::builtin::params::COINBASE_MATURITY;
use crate::builtin::reject::Reject;
use crate::builtin::verify::locks::{SequenceLocks, is_final};
use bitcoin::{OutPoint, Transaction, Txid};
use std::sync::Arc;

/// The most that is kept of blocks that are no more, bytes.
const UNMINED_BYTES_MAX: usize = 20_000_000;

impl Mempool {
    /// `unmined` are the transactions of blocks that are no more, oldest first; `view` is the chain as
    /// it is now.
    pub(crate) fn reorganise(&mut self, unmined: &[Arc<Transaction>], view: &ChainView<'_>) {
        let mut kept_bytes: usize = 0;
        for tx in unmined {
            let txid = tx.compute_txid();
            if self.get(&txid).is_some() || (view.confirmed)(&txid) {
                continue;
            }
            // Oldest first: when there is too much, the youngest are forgotten.
            kept_bytes = kept_bytes.saturating_add(tx.total_size());
            if kept_bytes > UNMINED_BYTES_MAX
                || self.accept(tx, view, Admission::FromBlock).is_err()
            {
                self.remove_spenders_of(&txid);
            }
        }
        let gone: Vec<Txid> = (self.iter())
            .filter(|(_, entry)| !self.still_stands(&entry.tx, view))
            .map(|(txid, _)| *txid)
            .collect();
        for txid in gone {
            self.remove_with_descendants(&txid, RemovedBecause::Reorganised);
        }
        while let Some(youngest) = self.youngest_too_long() {
            self.remove_with_descendants(&youngest, RemovedBecause::Reorganised);
        }
        self.limit(view.now);
    }

    /// A transaction that came in before its parents did may stand on too many of them.
    fn youngest_too_long(&self) -> Option<Txid> {
        let long = self.too_long();
        let depth = |txid: &Txid| (self.ancestors(&[*txid]).len(), *txid);
        long.into_iter().max_by_key(depth)
    }

    fn remove_spenders_of(&mut self, txid: &Txid) {
        let outputs = OutPoint::new(*txid, 0)..=OutPoint::new(*txid, u32::MAX);
        let spenders: Vec<Txid> = self.spends.range(outputs).map(|(_, spender)| *spender).collect();
        for spender in spenders {
            self.remove_with_descendants(&spender, RemovedBecause::Reorganised);
        }
    }

    /// Whether the coins are there and mature and the locks open.
    fn still_stands(&self, tx: &Transaction, view: &ChainView<'_>) -> bool {
        let coins: Result<_, Reject> = self.coins_of(tx, &tx.compute_txid(), view, &[]);
        let Ok(coins) = coins else { return false };
        let height = view.next_height();
        let young = |made: u32| height.saturating_sub(made) < COINBASE_MATURITY;
        let heights: Vec<u32> = coins.iter().map(|coin| coin.height).collect();
        is_final(tx, height, view.tip.mtp)
            && !coins.iter().any(|coin| coin.coinbase && young(coin.height))
            && SequenceLocks::of(tx, &heights, view.mtp_at).open(height, view.tip.mtp)
    }
}
