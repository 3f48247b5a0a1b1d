//! Following the chain: blocks that come and go, the mempool.

use std::collections::BTreeSet;

use bdk_wallet::ChangeSet;
use bdk_wallet::chain::Merge as _;
use bitcoin::{Block, BlockHash, Transaction, Txid};
use chain_backend::backend::{ChainEvent, MempoolDelta, RemovedBecause};

use super::{Wallet, WalletFact, WalletFault, load};
use crate::rpc::model::UnixMillis;

impl Wallet {
    /// Takes the next event of the chain stream. Taking one twice changes nothing.
    ///
    /// # Errors
    /// [`WalletFault::DoesNotConnect`]: a block is missing in between.
    pub fn apply(
        &mut self,
        event: &ChainEvent,
        now: UnixMillis,
    ) -> Result<WalletFact, WalletFault> {
        match event {
            ChainEvent::Connected { block, txs } => match txs.block() {
                Some(whole) => self.connect(whole, block.height)?,
                None => {
                    let txdata = txs.iter().map(|(_, tx)| tx.clone()).collect();
                    self.connect(&Block { header: block.header, txdata }, block.height)?;
                }
            },
            ChainEvent::Disconnected { fork, .. } => {
                self.disconnect(fork.height)?;
                // The wallet may have begun above the fork.
                self.skip_to(*fork)?;
            }
            ChainEvent::Mempool(MempoolDelta::Added { tx, .. }) => self.seen(tx.as_ref(), now),
            // Its block says so in a moment.
            ChainEvent::Mempool(MempoolDelta::Removed {
                because: RemovedBecause::Confirmed(_),
                ..
            }) => {}
            ChainEvent::Mempool(MempoolDelta::Removed { txid, .. }) => self.gone(&[*txid], now),
            ChainEvent::Mempool(MempoolDelta::Snapshot(all)) => {
                let there: BTreeSet<Txid> = all.iter().map(|tx| tx.compute_txid()).collect();
                for tx in all {
                    self.seen(tx.as_ref(), now);
                }
                let gone: Vec<Txid> = self
                    .bdk
                    .transactions()
                    .filter(|tx| tx.chain_position.is_unconfirmed())
                    .map(|tx| tx.tx_node.txid)
                    .filter(|txid| !there.contains(txid))
                    .collect();
                self.gone(&gone, now);
            }
            ChainEvent::Synced { .. } | ChainEvent::Away { .. } => {}
        }
        Ok(self.fact(now, Vec::new()))
    }

    fn connect(&mut self, block: &Block, height: u32) -> Result<(), WalletFault> {
        if height == 0 {
            return Ok(());
        }
        self.bdk.apply_block(block, height).map_err(|_| WalletFault::DoesNotConnect { height })?;
        self.check_known(height, block.block_hash())
    }

    /// The block must be the new tip, or known already: it came again after a crash.
    fn check_known(&self, height: u32, hash: BlockHash) -> Result<(), WalletFault> {
        let tip = self.bdk.latest_checkpoint();
        if tip.height() == height && tip.hash() == hash {
            return Ok(());
        }
        match tip.get(height) {
            Some(known) if known.hash() == hash => Ok(()),
            _ => Err(WalletFault::DoesNotConnect { height }),
        }
    }

    fn disconnect(&mut self, fork_height: u32) -> Result<(), WalletFault> {
        let above: Vec<(u32, Option<BlockHash>)> = self
            .bdk
            .checkpoints()
            .map(|point| point.height())
            .take_while(|height| *height > fork_height)
            .map(|height| (height, None))
            .collect();
        if above.is_empty() {
            return Ok(());
        }
        // bdk has no call that only takes blocks away, so its books are written anew without them.
        let cut = ChangeSet {
            local_chain: above.into_iter().collect::<Vec<_>>().into(),
            ..ChangeSet::default()
        };
        let mut sum = self.sum();
        sum.merge(cut.clone());
        let staged = self.bdk.take_staged().unwrap_or_default();
        self.bdk = load(&self.keys, sum)?;
        self.mark_promised_change();
        let stage = self.bdk.take_staged();
        debug_assert!(stage.is_none(), "loading changes nothing");
        self.book.carry(staged);
        self.book.carry(cut);
        Ok(())
    }

    fn seen(&mut self, tx: &Transaction, now: UnixMillis) {
        self.bdk.apply_unconfirmed_txs([(tx.clone(), now.0)]);
    }

    /// Forgets transactions that left the mempool, but never one that spends our coins: it may still
    /// confirm, and its coins must not be spent again meanwhile (bdk_wallet issue 295).
    fn gone(&mut self, txids: &[Txid], now: UnixMillis) {
        let strangers: Vec<(Txid, u64)> = txids
            .iter()
            .filter(|txid| !self.spends_our_coins(**txid))
            .map(|txid| (*txid, now.0))
            .collect();
        self.bdk.apply_evicted_txs(strangers);
    }

    pub(super) fn spends_our_coins(&self, txid: Txid) -> bool {
        self.bdk
            .tx_graph()
            .get_tx(txid)
            .is_some_and(|tx| self.bdk.sent_and_received(&tx).0 > bitcoin::Amount::ZERO)
    }
}
