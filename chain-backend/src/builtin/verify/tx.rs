//! Transactions: what can be said without a chain, and what their coins must be.

use crate::builtin::params::{BLOCK_WEIGHT_MAX, COINBASE_MATURITY, MONEY_MAX};
use crate::builtin::reject::Reject;
use crate::builtin::utxo::Coin;
use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use std::collections::{BTreeMap, BTreeSet};

/// Rules that need no context.
pub(crate) fn check_transaction(tx: &Transaction) -> Result<(), Reject> {
    if tx.input.is_empty() {
        return Err(Reject::VinEmpty);
    }
    if tx.output.is_empty() {
        return Err(Reject::VoutEmpty);
    }
    if over_block_size(tx.base_size()) {
        return Err(Reject::Oversize);
    }
    check_outputs(tx)?;
    let mut seen: BTreeSet<OutPoint> = BTreeSet::new();
    if !tx.input.iter().all(|input| seen.insert(input.previous_output)) {
        return Err(Reject::InputsDuplicate);
    }
    if tx.is_coinbase() {
        let length = tx.input.first().map_or(0, |input| input.script_sig.len());
        if !(2..=100).contains(&length) {
            return Err(Reject::CoinbaseLength);
        }
    } else if tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err(Reject::PrevoutNull);
    }
    Ok(())
}

/// Whether bytes without witness are too many for any block.
pub(crate) fn over_block_size(base_size: usize) -> bool {
    u64::try_from(base_size).unwrap_or(u64::MAX).saturating_mul(4) > BLOCK_WEIGHT_MAX
}

fn check_outputs(tx: &Transaction) -> Result<(), Reject> {
    let mut total: u64 = 0;
    for output in &tx.output {
        let value = output.value.to_sat();
        // The wire has a signed number here: the top half of the range is below zero.
        if i64::try_from(value).is_err() {
            return Err(Reject::VoutNegative);
        }
        if value > MONEY_MAX {
            return Err(Reject::VoutTooLarge);
        }
        total = total.saturating_add(value);
        if total > MONEY_MAX {
            return Err(Reject::TxOutTotalTooLarge);
        }
    }
    Ok(())
}

/// Rules on the coins a transaction spends in a block at `spend_height`; answers the fee. `coins` are
/// those of its inputs, in order.
pub(crate) fn check_inputs(
    tx: &Transaction,
    coins: &[Coin],
    spend_height: u32,
) -> Result<Amount, Reject> {
    let mut total_in: u64 = 0;
    for coin in coins {
        if coin.coinbase && spend_height.saturating_sub(coin.height) < COINBASE_MATURITY {
            return Err(Reject::PrematureCoinbaseSpend);
        }
        let value = coin.output.value.to_sat();
        total_in = total_in.saturating_add(value);
        if value > MONEY_MAX || total_in > MONEY_MAX {
            return Err(Reject::InputValuesOutOfRange);
        }
    }
    let total_out = tx.output.iter().fold(0_u64, |sum, out| sum.saturating_add(out.value.to_sat()));
    let fee = total_in.checked_sub(total_out).ok_or(Reject::InBelowOut)?;
    if fee > MONEY_MAX {
        return Err(Reject::FeeOutOfRange);
    }
    Ok(Amount::from_sat(fee))
}

/// Signature operation cost: legacy and P2SH four times, witness once (BIP 141). `spent` are the outputs of
/// the inputs, in order.
pub(crate) fn sigop_cost<'a>(tx: &Transaction, spent: impl Iterator<Item = &'a TxOut>) -> usize {
    let outpoints = tx.input.iter().map(|input| input.previous_output);
    let spent: BTreeMap<OutPoint, &TxOut> = outpoints.zip(spent).collect();
    tx.total_sigop_cost(|outpoint| spent.get(outpoint).map(|output| (*output).clone()))
}
