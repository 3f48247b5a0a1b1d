//! A block against the coins: what it would spend and make, or why it must not.

use crate::builtin::params::{BLOCK_SIGOPS_MAX, MONEY_MAX, Params};
use crate::builtin::reject::Reject;
use crate::builtin::utxo::{Coin, Coins, Undo, spendable};
use crate::builtin::verify::block::Place;
use crate::builtin::verify::locks::SequenceLocks;
use crate::builtin::verify::script::{Job, verify_all};
use crate::builtin::verify::tx::{check_inputs, sigop_cost};
use bitcoin::{Block, OutPoint, Transaction, Wtxid};
use std::collections::{BTreeMap, BTreeSet};

/// What a block is checked against.
pub(crate) struct Context<'a> {
    pub(crate) params: &'a Params,
    pub(crate) coins: &'a dyn Coins,
    pub(crate) place: Place,
    /// Median time of the block at a height of this chain.
    pub(crate) mtp_at: &'a dyn Fn(u32) -> u32,
    /// Transactions whose scripts ran before with these very coins (an outpoint commits to its output).
    pub(crate) verified: &'a dyn Fn(&Wtxid) -> bool,
    /// Whether scripts run at all; not for a block that was connected before.
    pub(crate) scripts: bool,
}

/// Checks `block` and answers the coins it spends. Changes nothing.
pub(crate) fn check_connect(block: &Block, context: &Context<'_>) -> Result<Undo, Reject> {
    let mut sweep = Sweep {
        context,
        created: BTreeMap::new(),
        undo: Undo::default(),
        spent: BTreeSet::new(),
        sigops: 0,
    };
    let mut jobs = Vec::new();
    let mut fees: u64 = 0;
    for tx in &block.txdata {
        if tx.is_coinbase() {
            sweep.count_sigops(tx, &[])?;
        } else {
            let coins = sweep.take_coins(tx)?;
            fees = fees.saturating_add(sweep.check(tx, &coins)?);
            if fees > MONEY_MAX {
                return Err(Reject::AccumulatedFeeOutOfRange);
            }
            if context.scripts && !(context.verified)(&tx.compute_wtxid()) {
                jobs.push(Job { tx, spent: coins.iter().map(|c| c.output.clone()).collect() });
            }
            sweep.undo.txs.push(coins);
        }
        sweep.make_coins(tx);
    }
    let allowed = context.params.subsidy_sat(context.place.height).saturating_add(fees);
    let coinbase = block.coinbase().map_or(0, |tx| {
        tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
    });
    if coinbase > allowed {
        return Err(Reject::CoinbaseAmount);
    }
    verify_all(&jobs).map_err(Reject::BlockScript)?;
    Ok(sweep.undo)
}

struct Sweep<'a> {
    context: &'a Context<'a>,
    /// Coins that this block has made and not spent so far.
    created: BTreeMap<OutPoint, Coin>,
    undo: Undo,
    /// Coins of the set that this block has spent so far.
    spent: BTreeSet<OutPoint>,
    sigops: usize,
}

impl Sweep<'_> {
    /// The coins of a transaction's inputs; from now on they are spent.
    fn take_coins(&mut self, tx: &Transaction) -> Result<Vec<Coin>, Reject> {
        let mut coins = Vec::with_capacity(tx.input.len());
        for input in &tx.input {
            let outpoint = input.previous_output;
            if let Some(coin) = self.created.remove(&outpoint) {
                coins.push(coin);
                continue;
            }
            let coin = self.context.coins.get(&outpoint).ok_or(Reject::InputsMissingOrSpent)?;
            if !self.spent.insert(outpoint) {
                return Err(Reject::InputsMissingOrSpent);
            }
            coins.push(coin);
        }
        Ok(coins)
    }

    /// Everything but scripts; answers the fee, satoshi.
    fn check(&mut self, tx: &Transaction, coins: &[Coin]) -> Result<u64, Reject> {
        let place = self.context.place;
        let fee = check_inputs(tx, coins, place.height)?;
        let heights: Vec<u32> = coins.iter().map(|coin| coin.height).collect();
        let locks = SequenceLocks::of(tx, &heights, self.context.mtp_at);
        if !locks.open(place.height, place.previous_mtp) {
            return Err(Reject::BlockNonFinal);
        }
        self.count_sigops(tx, coins)?;
        Ok(fee.to_sat())
    }

    fn count_sigops(&mut self, tx: &Transaction, coins: &[Coin]) -> Result<(), Reject> {
        self.sigops =
            self.sigops.saturating_add(sigop_cost(tx, coins.iter().map(|coin| &coin.output)));
        if self.sigops > BLOCK_SIGOPS_MAX { Err(Reject::BlockSigops) } else { Ok(()) }
    }

    fn make_coins(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        let coinbase = tx.is_coinbase();
        for (vout, output) in (0_u32..).zip(&tx.output) {
            if spendable(output) {
                let height = self.context.place.height;
                let coin = Coin { output: output.clone(), height, coinbase };
                self.created.insert(OutPoint::new(txid, vout), coin);
            }
        }
    }
}
