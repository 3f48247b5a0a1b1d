//! What pages need of the chain, looked up on its own thread.

use super::life::{Life, Part, revealed};
use crate::backend::{BackendError, BlockRef};
use crate::builtin::{Chainstate, Whole};
use bitcoin::{OutPoint, Txid};

/// Spends of outputs that are looked up for one page.
pub(super) const LOOKUPS: usize = 400;

/// A transaction, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) whole: Whole,
    pub(super) txid: Txid,
    pub(super) life: Life,
    /// Who spends each output, as far as looked up.
    pub(super) spenders: Vec<Option<Spender>>,
    /// What it pays, satoshi; `None` for a coinbase.
    pub(super) fee_sat: Option<u64>,
    /// When it came into the mempool, Unix seconds.
    pub(super) came: Option<u32>,
}

/// Who spends an output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spender {
    pub(super) txid: Txid,
    pub(super) input: u32,
    /// Its block; `None` while it waits.
    pub(super) block: Option<BlockRef>,
}

impl Seen {
    /// Looks up who spends the outputs, while there is something left of `lookups`.
    pub(super) fn of(
        chain: &mut Chainstate,
        whole: Whole,
        lookups: &mut usize,
    ) -> Result<Self, BackendError> {
        let txid = whole.tx.compute_txid();
        let mut spenders = Vec::new();
        let mut parts: Vec<Option<Part>> = Vec::new();
        for (vout, output) in (0_u32..).zip(&whole.tx.output) {
            let Some(left) =
                lookups.checked_sub(1).filter(|_| !output.script_pubkey.is_op_return())
            else {
                spenders.push(None);
                parts.push(None);
                continue;
            };
            *lookups = left;
            let found = chain.find_spender(OutPoint { txid, vout })?;
            let place = |spend: &crate::backend::Spend| usize::try_from(spend.input_index).ok();
            parts.push(
                found.as_ref().and_then(|spend| {
                    revealed(output, &spend.tx.input.get(place(spend)?)?.witness)
                }),
            );
            spenders.push(found.map(|spend| Spender {
                txid: spend.tx.compute_txid(),
                input: spend.input_index,
                block: spend.block,
            }));
        }
        let sum = |outputs: &[bitcoin::TxOut]| {
            outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        };
        let is_known = whole.spent.len() == whole.tx.input.len();
        let fee_sat = is_known.then(|| sum(&whole.spent).saturating_sub(sum(&whole.tx.output)));
        let life = Life::of(&whole.tx, &whole.spent, &parts);
        let came = chain.mempool().get(&txid).map(|entry| entry.time);
        Ok(Self { txid, life, spenders, fee_sat, came, whole })
    }

    /// What its outputs are worth together, satoshi.
    pub(super) fn value_sat(&self) -> u64 {
        let outputs = self.whole.tx.output.iter();
        outputs.fold(0, |sum, output| sum.saturating_add(output.value.to_sat()))
    }

    /// What it pays per 1000 virtual bytes, satoshi.
    pub(super) fn sat_kvb(&self) -> Option<u64> {
        let weight = self.whole.tx.weight().to_wu();
        self.fee_sat.map(|fee_sat| super::words::sat_kvb(fee_sat, weight))
    }
}

/// What changes whenever a page may change.
pub(super) fn mark(chain: &Chainstate) -> String {
    let mempool = chain.mempool();
    format!("{} {} {}", chain.tip().hash, mempool.arrivals(), mempool.len())
}

/// The newest transactions that wait.
pub(super) fn newest_waiting(
    chain: &mut Chainstate,
    count: usize,
    lookups: &mut usize,
) -> Result<Vec<Seen>, BackendError> {
    let mut txids: Vec<(u64, Txid)> =
        chain.mempool().iter().map(|(txid, entry)| (entry.arrival, *txid)).collect();
    txids.sort_unstable_by(|one, other| other.cmp(one));
    txids.truncate(count);
    let mut seen = Vec::new();
    for (_, txid) in txids {
        if let Some(whole) = chain.whole(txid)? {
            seen.push(Seen::of(chain, whole, lookups)?);
        }
    }
    Ok(seen)
}

/// The newest transactions in blocks, coinbases left out, from so many blocks at most.
pub(super) fn newest_mined(
    chain: &mut Chainstate,
    count: usize,
    blocks: u32,
    lookups: &mut usize,
) -> Result<Vec<Seen>, BackendError> {
    let tip = chain.tip().height;
    let mut seen = Vec::new();
    // Their figures are remembered, so that empty ones are not read again.
    let sums = chain.block_sums(tip, usize::try_from(blocks).unwrap_or(usize::MAX))?;
    for at in sums.into_iter().filter(|sums| sums.txs > 0).map(|sums| sums.at) {
        let left = count.saturating_sub(seen.len());
        for whole in chain.wholes_of(at.hash, 1, left)? {
            seen.push(Seen::of(chain, whole, lookups)?);
        }
        if seen.len() >= count {
            break;
        }
    }
    Ok(seen)
}
