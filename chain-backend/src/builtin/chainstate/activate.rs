//! Following the best chain: disconnect to the fork, connect to the new tip, then tell once.

use super::{ChainError, Chainstate};
use crate::backend::BlockRef;
use crate::builtin::log::Happening;
use crate::builtin::mempool::Mempool;
use crate::builtin::policy::Policy;
use crate::builtin::reject::Reject;
use crate::builtin::storage::{Mark, StorageError};
use crate::builtin::utxo::Undo;
use crate::builtin::verify::block::Place;
use crate::builtin::verify::connect::{Context, check_connect};
use bitcoin::{Block, BlockHash, Transaction, Wtxid};
use std::sync::Arc;

impl Chainstate {
    /// Moves to the best valid chain. Answers the last block that turned out invalid on the way, with its
    /// word.
    pub(super) fn activate_best(&mut self) -> Result<Option<(BlockHash, Reject)>, ChainError> {
        let start = self.tree.tip();
        let mut failed = None;
        let mut unmined: Vec<Vec<Arc<Transaction>>> = Vec::new();
        loop {
            let (tip, best) = (self.tree.tip(), self.tree.best());
            if tip.hash == best.hash {
                break;
            }
            let fork = self.tree.fork(tip, best);
            while self.tree.tip().height > fork.height {
                unmined.push(self.disconnect_tip()?);
            }
            for block in self.tree.above(fork, best).into_iter().rev() {
                if let Some(word) = self.connect_tip(block)? {
                    self.storage.mark(Mark::Invalid, block.hash)?;
                    self.tree.set_invalid(&block.hash, true);
                    failed = Some((block.hash, word));
                    break;
                }
            }
        }
        unmined.reverse();
        self.tell_move(start, unmined.into_iter().flatten().collect())?;
        // Only now may anybody hear of it.
        self.index.whole()?;
        self.prune_if_due()?;
        Ok(failed)
    }

    /// Checks the next block against the coins and applies it; or answers why not.
    fn connect_tip(&mut self, at: BlockRef) -> Result<Option<Reject>, ChainError> {
        let node = self.tree.get(&at.hash).ok_or(ChainError::UnknownBlock(at.hash))?;
        let block = self.storage.block(at.hash, node.place)?;
        // A block that was connected once keeps the rules: they ask for nothing that could be otherwise now.
        let known = self.storage.undo(at.hash).ok().filter(|undo| undo.fits(&block));
        let undo = match known {
            Some(undo) => undo,
            None => {
                let checked = self.check_block(&block, at);
                // A coin that could not be read is not a coin that is not there.
                self.index.whole()?;
                match checked {
                    Ok(undo) => {
                        self.storage.append_undo(at.hash, &undo)?;
                        self.note(at.hash);
                        undo
                    }
                    Err(word) => return Ok(Some(word)),
                }
            }
        };
        self.index.connect(&block, at.height, &undo);
        self.tree.push_active(at.hash);
        self.index.stand(at.hash, self.storage.ends());
        Ok(None)
    }

    /// The coins that the next block spends, if it keeps the rules.
    fn check_block(&self, block: &Block, at: BlockRef) -> Result<Undo, Reject> {
        let context = Context {
            params: &self.params,
            coins: &self.index,
            place: Place { height: at.height, previous_mtp: self.tree.tip().mtp },
            mtp_at: &|height| self.tree.mtp_at(height),
            verified: &|wtxid: &Wtxid| self.mempool.has_wtxid(wtxid),
            scripts: true,
        };
        check_connect(block, &context)
    }

    /// Takes the tip back; answers its transactions but the coinbase.
    fn disconnect_tip(&mut self) -> Result<Vec<Arc<Transaction>>, ChainError> {
        let tip = self.tree.tip();
        let (block, undo) = self.block_and_undo(tip)?;
        self.index.disconnect(&block, tip.height, &undo);
        self.tree.pop_active();
        self.index.stand(self.tree.tip().hash, self.storage.ends());
        let txs = block.txdata.iter().filter(|tx| !tx.is_coinbase());
        Ok(txs.map(|tx| Arc::new(tx.clone())).collect())
    }

    /// A block that was connected once, and the coins it spent.
    pub(super) fn block_and_undo(
        &mut self,
        at: BlockRef,
    ) -> Result<(Arc<Block>, Undo), ChainError> {
        let node = self.tree.get(&at.hash).ok_or(ChainError::UnknownBlock(at.hash))?;
        let block = self.storage.block(at.hash, node.place)?;
        let undo = self.storage.undo(at.hash)?;
        if undo.fits(&block) {
            Ok((block, undo))
        } else {
            Err(StorageError::Missing(at.hash).into())
        }
    }

    /// Writes down one move of the tip, and lets the mempool follow.
    fn tell_move(
        &mut self,
        start: BlockRef,
        unmined: Vec<Arc<Transaction>>,
    ) -> Result<(), ChainError> {
        let end = self.tree.tip();
        if start.hash == end.hash {
            return Ok(());
        }
        let fork = self.tree.fork(start, end);
        if fork.hash != start.hash {
            let gone = self.tree.above(fork, start).iter().map(BlockRef::id).collect();
            self.log.push(Happening::Disconnected { fork: fork.id(), gone });
        }
        let now = self.now();
        for block in self.tree.above(fork, end).into_iter().rev() {
            self.log.push(Happening::Connected(block.id()));
            if self.mempool.len() > 0 {
                let contents =
                    self.block(block.hash).map_err(|_| StorageError::Missing(block.hash))?;
                self.mempool.remove_for_block(&contents, now);
                self.tell_mempool();
            }
        }
        if fork.hash != start.hash {
            let mut unmined = unmined;
            unmined.retain(|tx| !self.forgotten.contains(&tx.compute_txid()));
            let mut mempool = std::mem::replace(&mut self.mempool, Mempool::new(Policy::default()));
            self.with_view(None, |view| mempool.reorganise(&unmined, view));
            self.mempool = mempool;
            self.tell_mempool();
        }
        Ok(())
    }
}
