//! Questions of programs that want to see more than a channel daemon does: branches, work, the mempool's insides.

use super::{ChainError, Chainstate};
use crate::backend::{BackendError, BlockRef};
use crate::builtin::mempool::{Admission, Entry, Favoured};
use crate::builtin::reject::Reject;
use crate::builtin::template::{Template, fill, linearise};
use crate::builtin::utxo::Coin;
use crate::builtin::verify::block::{Place, check_header};
use bitcoin::block::Header;
use bitcoin::{Amount, BlockHash, FeeRate, OutPoint, Transaction, TxOut, Txid, Wtxid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A block, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) at: BlockRef,
    /// Work of the chain up to it, big-endian.
    pub(crate) work: [u8; 32],
    /// The block on it, on the best chain.
    pub(crate) next: Option<BlockHash>,
    /// −1 off the best chain.
    pub(crate) confirmations: i64,
}

/// The end of a branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) tip: BlockRef,
    /// Blocks that are not on the best chain.
    pub(crate) length: u32,
    pub(crate) invalid: bool,
}

/// A transaction that waits, and what hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) wtxid: Wtxid,
    pub(crate) fee: Amount,
    pub(crate) vsize: u64,
    pub(crate) weight_wu: u64,
    pub(crate) sigop_cost: usize,
    /// When it came, Unix seconds.
    pub(crate) time: u32,
    /// The tip's height when it came.
    pub(crate) height: u32,
    pub(crate) parents: Vec<Txid>,
    pub(crate) children: Vec<Txid>,
    /// It and what it stands on: how many, how large, what they pay.
    pub(crate) ancestors: Sum,
    /// It and what stands on it.
    pub(crate) descendants: Sum,
    /// As if it paid so much more, satoshi.
    pub(crate) favour_sat: i64,
}

/// Several transactions together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) vsize: u64,
    pub(crate) fees: Amount,
}

/// What the mempool would say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Examined {
    pub(crate) fee: Amount,
    pub(crate) vsize: u64,
}

/// Sums over the mempool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MempoolSums {
    pub(crate) count: usize,
    pub(crate) vsize: u64,
    pub(crate) usage: u64,
    pub(crate) fees: Amount,
    pub(crate) size_max: u64,
}

impl Chainstate {
    /// Where a block stands.
    pub(crate) fn standing(&self, hash: BlockHash) -> Option<Standing> {
        let node = self.tree.get(&hash)?;
        let at = node.at;
        let is_active = self.tree.is_active(at.id());
        let above = self.tip().height.saturating_sub(at.height).saturating_add(1);
        let next = at.height.checked_add(1).and_then(|height| self.tree.at(height));
        Some(Standing {
            at,
            work: node.work().to_be_bytes(),
            next: next.filter(|_| is_active).map(|block| block.hash),
            confirmations: if is_active { i64::from(above) } else { -1 },
        })
    }

    /// The ends of all branches, highest first.
    pub(crate) fn branches(&self) -> Vec<Branch> {
        let tip = self.tip();
        let mut branches: Vec<Branch> = (self.tree.ends().into_iter())
            .map(|(end, invalid)| {
                let fork = self.tree.fork(end, tip);
                Branch { tip: end, length: end.height.saturating_sub(fork.height), invalid }
            })
            .collect();
        branches.sort_by_key(|branch| (std::cmp::Reverse(branch.tip.height), branch.length));
        branches
    }

    /// A transaction of the mempool.
    pub(crate) fn waiting(&self, txid: &Txid) -> Option<Waiting> {
        let entry = self.mempool.get(txid)?;
        let sum = |txids: &std::collections::BTreeSet<Txid>| {
            let entries = txids.iter().filter_map(|txid| self.mempool.get(txid));
            entries.fold(Sum::default(), |sum, entry| Sum {
                count: sum.count.saturating_add(1),
                vsize: sum.vsize.saturating_add(entry.vsize),
                fees: sum.fees.checked_add(fee_of(entry)).unwrap_or(Amount::MAX_MONEY),
            })
        };
        Some(Waiting {
            tx: Arc::clone(&entry.tx),
            wtxid: entry.wtxid,
            fee: fee_of(entry),
            vsize: entry.vsize,
            weight_wu: entry.weight_wu,
            sigop_cost: entry.sigop_cost,
            time: entry.time,
            height: entry.height,
            parents: entry.parents.iter().copied().collect(),
            children: entry.children.iter().copied().collect(),
            ancestors: sum(&self.mempool.ancestors(&[*txid])),
            descendants: sum(&self.mempool.descendants(&[*txid])),
            favour_sat: self.mempool.favour_of(txid),
        })
    }

    /// What a transaction of the mempool stands on (or what stands on it), without itself.
    pub(crate) fn relatives(&self, txid: &Txid, ancestors: bool) -> Option<Vec<Txid>> {
        self.mempool.get(txid)?;
        let all = if ancestors {
            self.mempool.ancestors(&[*txid])
        } else {
            self.mempool.descendants(&[*txid])
        };
        Some(all.into_iter().filter(|other| other != txid).collect())
    }

    /// The transaction of the mempool that spends an output.
    pub(crate) fn waiting_spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.mempool.spender(outpoint).copied()
    }

    /// Sums over the mempool.
    pub(crate) fn mempool_sums(&self) -> MempoolSums {
        let fold = |of: fn(&Entry) -> u64| {
            self.mempool.iter().fold(0_u64, |sum, (_, entry)| sum.saturating_add(of(entry)))
        };
        MempoolSums {
            count: self.mempool.len(),
            vsize: fold(|entry| entry.vsize),
            usage: self.mempool.size(),
            fees: Amount::from_sat(fold(|entry| entry.fee_sat)),
            size_max: self.mempool.policy().mempool_size_max,
        }
    }

    /// What the mempool would say of each, one after the other, changing nothing.
    pub(crate) fn examine(
        &self,
        txs: &[Transaction],
        feerate_max: Option<FeeRate>,
    ) -> Vec<Result<Examined, Reject>> {
        let mut trial = self.mempool.clone();
        self.with_view(feerate_max, |view| {
            let one = |tx: &Transaction| {
                let admitted = trial.accept(&Arc::new(tx.clone()), view, Admission::Alone)?;
                Ok(Examined { fee: Amount::from_sat(admitted.fee_sat), vsize: admitted.vsize })
            };
            txs.iter().map(one).collect()
        })
    }

    /// Shows every coin of the best chain, by outpoint.
    pub(crate) fn visit_coins(&self, visitor: &mut dyn FnMut(&OutPoint, &Coin)) {
        self.index.visit_coins(visitor);
    }

    /// What is wrong with a header whose block nobody has, if anything is.
    pub(crate) fn check_lone_header(&self, header: &Header) -> Result<(), Reject> {
        if self.tree.get(&header.block_hash()).is_some() {
            return Ok(());
        }
        if !header.target().is_met_by(header.block_hash()) {
            return Err(Reject::HighHash);
        }
        let parent = self.tree.get(&header.prev_blockhash).ok_or(Reject::PrevBlockNotFound)?;
        if parent.invalid {
            return Err(Reject::BadPrevBlock);
        }
        let at = parent.at;
        let place = Place { height: at.height.saturating_add(1), previous_mtp: at.mtp };
        check_header(header, place, self.now(), self.next_bits(&at))
    }

    /// As if a block had come before all others with as much work as its branch has.
    pub(crate) fn prefer(&mut self, hash: BlockHash) -> Result<(), ChainError> {
        self.tree.prefer(&hash);
        self.activate_best().map(drop)
    }

    /// Counts a transaction as if it paid so much more, satoshi.
    pub(crate) fn favour(&mut self, txid: Txid, delta_sat: i64) -> Favoured {
        self.mempool.favour(txid, delta_sat)
    }

    /// All that count as if they paid more or less, satoshi; with what they really pay, if they wait.
    pub(crate) fn favoured(&self) -> BTreeMap<Txid, (i64, Option<Amount>)> {
        let favours = self.mempool.favours().iter();
        let fee = |txid| self.mempool.get(txid).map(fee_of);
        favours.map(|(txid, delta_sat)| (*txid, (*delta_sat, fee(txid)))).collect()
    }

    /// What the next block would be filled with, and what that pays.
    pub(crate) fn template(&self) -> Template {
        fill(&self.mempool, linearise(&self.mempool)).0
    }

    /// The outputs that a transaction spends, in the order of its inputs; `None` for a coinbase.
    pub(crate) fn spent_by(
        &mut self,
        tx: &Transaction,
    ) -> Result<Option<Vec<TxOut>>, BackendError> {
        if tx.is_coinbase() {
            return Ok(None);
        }
        let mut spent = Vec::new();
        for input in &tx.input {
            let OutPoint { txid, vout } = input.previous_output;
            let Some(parent) = self.find_tx(txid)? else { return Ok(None) };
            let place = usize::try_from(vout).unwrap_or(usize::MAX);
            let Some(output) = parent.tx.output.get(place) else { return Ok(None) };
            spent.push(output.clone());
        }
        Ok(Some(spent))
    }
}

const fn fee_of(entry: &Entry) -> Amount {
    Amount::from_sat(entry.fee_sat)
}
