//! A transaction that takes some claims to one place. BOLT 5 § Failing a Channel.
//!
//! Not here: which feerate, when to replace (the daemon's sweeper), signatures (`signer`).

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use thiserror::Error;
use wire::units::{BlockHeight, FeeratePerKw, Sat};

use super::Claim;
use crate::tx::{Recipe, Spend, fee};

/// Blocks before its deadline from which a contested output is claimed in a transaction of its own.
/// BOLT 5 § Revoked Transaction Close Handling.
pub const SECURITY_DELAY: u32 = 18;

/// How many claims go together at most: far below the standard weight, and not much lost if one of them
/// is taken by somebody else.
const GROUP_MAX: usize = 100;

/// Version, counts, lock time, segwit flag.
const OVERHEAD_WEIGHT: u64 = 4 * 10 + 2;

/// A signed P2WPKH coin of the wallet.
const COIN_WEIGHT: u64 = 272;

/// An output to the wallet.
const HOME_WEIGHT: u64 = 4 * 31;

/// The second transaction of an HTLC of ours: a delayed output to the wallet.
const SECOND_WEIGHT: u64 = OVERHEAD_WEIGHT + 4 * 41 + 76 + 82 + HOME_WEIGHT;

/// The child that raises a commitment's fee: our anchor and a coin, to the wallet.
pub const ANCHOR_CHILD_WEIGHT: u64 = OVERHEAD_WEIGHT + 4 * 41 + 116 + COIN_WEIGHT + HOME_WEIGHT;

/// An HTLC on our commitment, through both of its transactions, at most.
pub const HTLC_WEIGHT: u64 =
    OVERHEAD_WEIGHT + 4 * 41 + 327 + COIN_WEIGHT + HOME_WEIGHT + 4 * 43 + SECOND_WEIGHT;

/// A coin of the wallet that pays fees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// What its signed input weighs at most.
    pub input_weight: u64,
}

/// A sweep without witnesses. The wallet signs for its coins, the signer for the rest, in any order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sweep {
    /// The transaction.
    pub tx: Transaction,
    /// What it pays.
    pub fee: Sat,
    /// What it weighs with all witnesses, at most.
    pub weight: u64,
}

/// Why claims cannot be swept like this.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SweepError {
    /// Nothing to spend.
    #[error("nothing to sweep")]
    Empty,
    /// HTLC transactions that the peer signed for different lock times.
    #[error("the peer's signatures demand different lock times")]
    LockTimes,
    /// The fee is more than there is, or leaves less than an output may hold.
    #[error("{missing} more are needed to pay {fee}")]
    Short {
        /// What the transaction would pay.
        fee: Sat,
        /// What is missing.
        missing: Sat,
    },
}

/// What it costs to take one output home alone: for an HTLC of our own commitment both transactions, and
/// nothing for an anchor, which is not taken for its own sake.
pub fn cost(spend: &Spend, feerate: FeeratePerKw) -> Sat {
    let alone = spend.input_weight().saturating_add(OVERHEAD_WEIGHT).saturating_add(HOME_WEIGHT);
    let weight = match spend.recipe {
        Recipe::Anchor => return Sat::ZERO,
        Recipe::HtlcTransaction { ref output, .. } => {
            [COIN_WEIGHT, weight_of(output), SECOND_WEIGHT]
                .into_iter()
                .fold(alone, u64::saturating_add)
        }
        Recipe::ToRemote
        | Recipe::Delayed { .. }
        | Recipe::HtlcDirect { .. }
        | Recipe::PenaltyDelayed { .. }
        | Recipe::PenaltyHtlc { .. } => alone,
    };
    feerate.fee_ceil(weight)
}

/// The claims that can be broadcast now, divided into transactions.
///
/// What nobody else can take goes together and never waits for what is contested: what a cheater can pin
/// stays apart from what it cannot. HTLC transactions go together if the peer signed the same lock time.
/// Near their deadline claims go alone, where no one else's spend can push them out; but not on top of a
/// transaction that no block has, which may have 24 descendants in a mempool and no more. Anchors are
/// left: they are not worth their input.
pub fn groups(claims: &[Claim], tip: BlockHeight) -> Vec<Vec<&Claim>> {
    let mut groups: BTreeMap<(u8, u32), Vec<&Claim>> = BTreeMap::new();
    let mut alone = Vec::new();
    for claim in claims.iter().filter(|claim| claim.is_ready(tip) && claim.worth() > Sat::ZERO) {
        let security = tip.saturating_add(SECURITY_DELAY);
        let confirmed = claim.mature <= tip;
        if confirmed && claim.deadline.is_some_and(|deadline| deadline <= security) {
            alone.push((claim.deadline, vec![claim]));
        } else {
            groups.entry(kind(claim)).or_default().push(claim);
        }
    }
    alone.sort_by_key(|(deadline, _)| *deadline);
    let together = groups.values().flat_map(|group| group.chunks(GROUP_MAX)).map(<[_]>::to_vec);
    alone.into_iter().map(|(_, claim)| claim).chain(together).collect()
}

/// What may share a transaction.
fn kind(claim: &Claim) -> (u8, u32) {
    let lock_time = claim.spend.lock_time().to_consensus_u32();
    match claim.spend.recipe {
        Recipe::PenaltyDelayed { .. } => (0, 0),
        Recipe::PenaltyHtlc { .. } => (u8::from(claim.contested), 0),
        Recipe::HtlcTransaction { .. } => (2, lock_time),
        Recipe::HtlcDirect { .. } => (3, lock_time),
        Recipe::ToRemote | Recipe::Delayed { .. } | Recipe::Anchor => (4, 0),
    }
}

/// Builds the transaction that spends all of `spends` and `coins` to the script `to`.
///
/// Inputs whose peer demands an output stand first, each over its output. What is left after the fee goes
/// to `to`; if that is dust beside such outputs, it is left to the miner.
pub fn build(
    spends: &[&Spend],
    coins: &[Coin],
    to: &Script,
    feerate: FeeratePerKw,
) -> Result<Sweep, SweepError> {
    if spends.is_empty() {
        return Err(SweepError::Empty);
    }
    let (paired, free): (Vec<&Spend>, Vec<&Spend>) =
        spends.iter().partition(|spend| spend.paired_output().is_some());
    let lock_time = lock_time(&paired, &free)?;
    let input = (paired.iter().chain(&free))
        .map(|spend| input(spend.outpoint, spend.sequence()))
        .chain(coins.iter().map(|coin| input(coin.outpoint, Sequence::ENABLE_RBF_NO_LOCKTIME)))
        .collect();
    let output: Vec<TxOut> =
        paired.iter().filter_map(|spend| spend.paired_output().cloned()).collect();
    let mut tx = Transaction { version: Version::TWO, lock_time, input, output };

    let inputs_weight = (spends.iter().map(|spend| spend.input_weight()))
        .chain(coins.iter().map(|coin| coin.input_weight))
        .fold(OVERHEAD_WEIGHT, u64::saturating_add);
    let weight = tx.output.iter().map(weight_of).fold(inputs_weight, u64::saturating_add);
    let values = spends.iter().map(|spend| spend.value).chain(coins.iter().map(|coin| coin.value));
    let all = total(values);
    let fixed = total(tx.output.iter().map(|out| out.value));

    let rest = TxOut { value: Sat::ZERO, script_pubkey: ScriptBuf::from(to.to_bytes()) };
    let weight_with_rest = weight.saturating_add(weight_of(&rest));
    let fee = feerate.fee_ceil(weight_with_rest);
    let needed = total([fixed, fee, fee::dust_threshold(to)]);
    if all >= needed {
        let value = Sat::from_sat(all.to_sat().saturating_sub(total([fixed, fee]).to_sat()));
        tx.output.push(TxOut { value, ..rest });
        return Ok(Sweep { tx, fee, weight: weight_with_rest });
    }
    let missing = |needed: Sat| Sat::from_sat(needed.to_sat().saturating_sub(all.to_sat()));
    if paired.is_empty() {
        return Err(SweepError::Short { fee, missing: missing(needed) });
    }
    let fee = feerate.fee_ceil(weight);
    let needed = total([fixed, fee]);
    if all < needed {
        return Err(SweepError::Short { fee, missing: missing(needed) });
    }
    let fee = Sat::from_sat(all.to_sat().saturating_sub(fixed.to_sat()));
    Ok(Sweep { tx, fee, weight })
}

/// The lock time that satisfies every input: exact where the peer signed one, the latest otherwise.
fn lock_time(paired: &[&Spend], free: &[&Spend]) -> Result<LockTime, SweepError> {
    let at_least = |spends: &[&Spend]| {
        spends.iter().map(|spend| spend.lock_time().to_consensus_u32()).max().unwrap_or(0)
    };
    let Some(first) = paired.first() else { return Ok(LockTime::from_consensus(at_least(free))) };
    let exact = first.lock_time();
    let agreed = paired.iter().all(|spend| spend.lock_time() == exact);
    if agreed && at_least(free) <= exact.to_consensus_u32() {
        Ok(exact)
    } else {
        Err(SweepError::LockTimes)
    }
}

const fn input(previous_output: OutPoint, sequence: Sequence) -> TxIn {
    TxIn { previous_output, script_sig: ScriptBuf::new(), sequence, witness: Witness::new() }
}

fn weight_of(output: &TxOut) -> u64 {
    output.weight().to_wu()
}

fn total(values: impl IntoIterator<Item = Sat>) -> Sat {
    let sum = values.into_iter().fold(0, |sum: u64, value| sum.saturating_add(value.to_sat()));
    Sat::from_sat(sum)
}
