//! Broadcast: what is handed in, what came of it, and what it costs.

use crate::backend::BlockRef;
use bitcoin::{Amount, FeeRate, Transaction, Txid};
use std::collections::{BTreeMap, BTreeSet};

/// The most transactions a package may have.
const PACKAGE_COUNT_MAX: usize = 25;
/// The most a package may weigh, weight units.
const PACKAGE_WEIGHT_MAX: u64 = 404_000;

/// Transactions to be accepted together, parents before children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    txs: Vec<Transaction>,
}

/// Why some transactions are no package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// None, or more than 25.
    #[error("package-too-many-transactions")]
    TooMany,
    /// Heavier than 404 000 weight units.
    #[error("package-too-large")]
    TooLarge,
    /// The same transaction twice.
    #[error("package-contains-duplicates")]
    Duplicates,
    /// A child stands before its parent.
    #[error("package-not-sorted")]
    NotSorted,
    /// Two of them spend the same coin.
    #[error("conflict-in-package")]
    Conflict,
    /// More than one, and they are not one child with its direct parents.
    #[error("package-not-child-with-parents")]
    NotChildWithParents,
}

impl Package {
    /// One transaction.
    pub fn single(tx: Transaction) -> Self {
        Self { txs: vec![tx] }
    }

    /// Parents before their child.
    ///
    /// # Errors
    /// [`PackageError`], by its name the rule that is broken.
    pub fn new(txs: Vec<Transaction>) -> Result<Self, PackageError> {
        if txs.is_empty() || txs.len() > PACKAGE_COUNT_MAX {
            return Err(PackageError::TooMany);
        }
        let weight = txs.iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.weight().to_wu()));
        if txs.len() > 1 && weight > PACKAGE_WEIGHT_MAX {
            return Err(PackageError::TooLarge);
        }
        check_shape(&txs)?;
        Ok(Self { txs })
    }

    /// The transactions, parents first.
    pub fn txs(&self) -> &[Transaction] {
        &self.txs
    }

    /// The transactions, parents first.
    pub fn into_txs(self) -> Vec<Transaction> {
        self.txs
    }
}

/// Sorted, free of conflicts, one child with its parents.
fn check_shape(txs: &[Transaction]) -> Result<(), PackageError> {
    let mut later: BTreeSet<Txid> = txs.iter().map(Transaction::compute_txid).collect();
    if later.len() != txs.len() {
        return Err(PackageError::Duplicates);
    }
    let mut spent = BTreeSet::new();
    for tx in txs {
        // A parent that is still to come would stand behind its child.
        if tx.input.iter().any(|input| later.contains(&input.previous_output.txid)) {
            return Err(PackageError::NotSorted);
        }
        later.remove(&tx.compute_txid());
        for input in &tx.input {
            if !spent.insert(input.previous_output) {
                return Err(PackageError::Conflict);
            }
        }
    }
    let Some((child, parents)) = txs.split_last() else { return Err(PackageError::TooMany) };
    let spent: BTreeSet<Txid> =
        child.input.iter().map(|input| input.previous_output.txid).collect();
    if parents.iter().all(|parent| spent.contains(&parent.compute_txid())) {
        Ok(())
    } else {
        Err(PackageError::NotChildWithParents)
    }
}

/// What came of a submission. Decide by the variant; the words are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// It is in the mempool now and was not before.
    Accepted,
    /// It was already in the mempool.
    InMempool,
    /// It is already in a block.
    Confirmed(Option<BlockRef>),
    /// It conflicts with the mempool and would replace if it paid more.
    Replaceable {
        /// The total fee it would have to pay at least.
        needed: Amount,
    },
    /// It pays less than the mempool takes now.
    FeeTooLow {
        /// What the mempool takes now.
        min: FeeRate,
    },
    /// It pays more than the caller allowed.
    FeeTooHigh {
        /// What the caller allowed.
        max: FeeRate,
    },
    /// It spends what another transaction spends, and paying more would not help.
    Conflict {
        /// The other transaction, where known.
        with: Option<Txid>,
    },
    /// It spends outputs that are not there: never were, or are spent in a block.
    MissingInputs,
    /// Too early: it may be mined later as it stands.
    Premature {
        /// When, as far as known.
        at: Lock,
    },
    /// A rule refuses it as things stand.
    Invalid {
        /// Bitcoin Core's word for the broken rule.
        reason: String,
    },
    /// The backend cannot be asked; nothing is known.
    Unavailable,
}

impl SubmitOutcome {
    /// Whether the transaction is where it should be: in the mempool or in a block.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Accepted | Self::InMempool | Self::Confirmed(_))
    }
}

/// From when a transaction may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// When the tip has this height.
    TipHeight(u32),
    /// When the tip's median time is at least this, Unix seconds.
    TipMedianTime(u32),
    /// Not told.
    Unknown,
}

/// What is known of fees. An estimate that is `None` is not zero: nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeTable {
    /// By confirmation target in blocks, what to pay. Never below [`FeeTable::floor`].
    pub targets: BTreeMap<u16, Option<FeeRate>>,
    /// What the mempool takes now.
    pub mempool_min: FeeRate,
    /// What the mempool takes when it is empty.
    pub relay_min: FeeRate,
    /// What a replacement pays on top, for its own size.
    pub incremental: FeeRate,
}

impl FeeTable {
    /// The least that is worth sending now.
    pub fn floor(&self) -> FeeRate {
        self.mempool_min.max(self.relay_min)
    }

    /// The estimate for `target` blocks: that of the nearest target not above it, else the smallest
    /// target's; `None` when unknown.
    pub fn estimate(&self, target: u16) -> Option<FeeRate> {
        let at_most = self.targets.range(..=target).next_back();
        at_most.or_else(|| self.targets.iter().next()).and_then(|(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests;
