//! A payment out of the tower's own coins. Pure.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};

use super::PurseError;
use crate::kit::claim::output_weight;
use crate::respond::topup::{Coin, INPUT_WEIGHT};

/// Version, lock time, counts, marker and flag.
const AROUND: u64 = 42;
/// A price that nobody can mean: 1,000 sat per virtual byte.
const PER_KW_MAX: u64 = 250_000;
/// The least price that is relayed.
const PER_KW_MIN: u64 = 250;
/// Inputs of one payment.
const INPUTS_MAX: usize = 400;

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
pub enum SendRefusal {
    /// Not enough coins in blocks that are not promised to justice.
    #[error("{needed} are needed, {there} are there")]
    Short {
        /// With the fee.
        needed: Amount,
        /// What can be spent.
        there: Amount,
    },
    /// Less than is relayed.
    #[error("{amount} is below the dust limit of {dust}")]
    Dust {
        /// What would be paid.
        amount: Amount,
        /// The least.
        dust: Amount,
    },
    /// A price that makes no sense.
    #[error("{given} sat per 1,000 weight is outside {PER_KW_MIN} to {PER_KW_MAX}")]
    Price {
        /// What was asked.
        given: u64,
    },
    /// A coin that we chose and have no key for.
    #[error("the wallet cannot sign for its own coin")]
    CannotSign,
    /// The wallet itself.
    #[error(transparent)]
    Purse(#[from] PurseError),
}

/// The transaction, not signed, and the coins of its inputs in order. The largest coins first.
pub(super) fn build(
    mut coins: Vec<Coin>,
    script: &ScriptBuf,
    amount: Option<Amount>,
    per_kw: u64,
    change: &ScriptBuf,
) -> Result<(Transaction, Vec<Coin>), SendRefusal> {
    if !(PER_KW_MIN..=PER_KW_MAX).contains(&per_kw) {
        return Err(SendRefusal::Price { given: per_kw });
    }
    coins.sort_by(|a, b| b.value.cmp(&a.value).then(a.outpoint.cmp(&b.outpoint)));
    let fee = |inputs: usize, outputs: u64| {
        let inputs = u64::try_from(inputs).unwrap_or(u64::MAX).saturating_mul(INPUT_WEIGHT);
        let weight = AROUND.saturating_add(inputs).saturating_add(outputs);
        per_kw.saturating_mul(weight).div_ceil(1_000)
    };
    let there = coins.iter().fold(0_u64, |sum, coin| sum.saturating_add(coin.value.to_sat()));
    let short = |needed: u64| SendRefusal::Short {
        needed: Amount::from_sat(needed),
        there: Amount::from_sat(there),
    };
    let to = output_weight(script);
    let mut chosen: Vec<Coin> = Vec::new();
    let mut have = 0_u64;
    let wanted = amount.map(Amount::to_sat);
    for coin in coins.into_iter().take(INPUTS_MAX) {
        if wanted.is_some_and(|sat| have >= sat.saturating_add(fee(chosen.len(), to))) {
            break;
        }
        have = have.saturating_add(coin.value.to_sat());
        chosen.push(coin);
    }
    let alone = fee(chosen.len(), to);
    let paid = match wanted {
        Some(sat) if have >= sat.saturating_add(alone) && !chosen.is_empty() => sat,
        Some(sat) => return Err(short(sat.saturating_add(alone))),
        None => {
            have.checked_sub(alone).filter(|_| !chosen.is_empty()).ok_or_else(|| short(alone))?
        }
    };
    let (amount, dust) = (Amount::from_sat(paid), script.minimal_non_dust());
    if amount < dust {
        return Err(SendRefusal::Dust { amount, dust });
    }
    let mut output = vec![TxOut { value: amount, script_pubkey: script.clone() }];
    let both = fee(chosen.len(), to.saturating_add(output_weight(change)));
    let back = have.checked_sub(paid.saturating_add(both)).map(Amount::from_sat);
    if let Some(value) = back.filter(|back| *back >= change.minimal_non_dust()) {
        output.push(TxOut { value, script_pubkey: change.clone() });
    }
    let input = chosen.iter().map(|coin| TxIn {
        previous_output: coin.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    });
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: input.collect(),
        output,
    };
    Ok((tx, chosen))
}
