//! From the broken rule to what a sender should do about it.

use super::Chainstate;
use crate::backend::{Lock, Package, SubmitOutcome};
use crate::builtin::fee::per_kwu;
use crate::builtin::params::COINBASE_MATURITY;
use crate::builtin::reject::{PackageRbf, Reject};
use crate::builtin::utxo::Coins;
use crate::builtin::verify::locks::SequenceLocks;
use bitcoin::absolute::LockTime;
use bitcoin::{Amount, FeeRate, Transaction, Txid};

impl Chainstate {
    /// The answer of the trait for a package and what the mempool said of it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the sender can do nothing about any other rule; its name is passed on"
    )]
    pub(crate) fn outcome(
        &self,
        package: &Package,
        feerate_max: Option<FeeRate>,
        result: Result<(), Reject>,
    ) -> SubmitOutcome {
        let Err(word) = result else { return SubmitOutcome::Accepted };
        let txs = package.txs();
        match word {
            Reject::AlreadyInMempool | Reject::SameNonWitnessDataInMempool => {
                SubmitOutcome::InMempool
            }
            Reject::AlreadyKnown => {
                let mined = txs.last().and_then(|tx| self.index.tx(&tx.compute_txid()));
                SubmitOutcome::Confirmed(mined.and_then(|mined| self.tree.at(mined.height)))
            }
            Reject::InsufficientFee
            | Reject::InsufficientFeeForSibling
            | Reject::ReplacementFailed
            | Reject::PackageRbf(
                PackageRbf::Fees | PackageRbf::ChildPaysLess | PackageRbf::Diagram,
            ) => {
                let needed = Amount::from_sat(self.mempool.needed_sat(txs));
                SubmitOutcome::Replaceable { needed }
            }
            Reject::MinRelayFee | Reject::MempoolMinFee | Reject::MempoolFull => {
                SubmitOutcome::FeeTooLow { min: per_kwu(self.mempool.min_sat_kvb()) }
            }
            Reject::MaxFeeExceeded => {
                SubmitOutcome::FeeTooHigh { max: feerate_max.unwrap_or(FeeRate::ZERO) }
            }
            Reject::InputsMissingOrSpent => match self.confirmed_rival(txs) {
                Some(rival) => SubmitOutcome::Conflict { with: Some(rival) },
                None => SubmitOutcome::MissingInputs,
            },
            Reject::TooManyReplacements
            | Reject::ReplacementAddsUnconfirmed
            | Reject::TooManyReplacementsForSibling
            | Reject::AddsUnconfirmedForSibling
            | Reject::PackageRbf(_)
            | Reject::SpendsConflicting => {
                SubmitOutcome::Conflict { with: self.waiting_rival(txs) }
            }
            Reject::NonFinal | Reject::NonBip68Final | Reject::PrematureCoinbaseSpend => {
                let locks = txs.iter().map(|tx| self.lock_of(tx));
                let at = locks.into_iter().find(|lock| *lock != Lock::Unknown);
                SubmitOutcome::Premature { at: at.unwrap_or(Lock::Unknown) }
            }
            other => SubmitOutcome::Invalid { reason: other.to_string() },
        }
    }

    fn confirmed_rival(&self, txs: &[Transaction]) -> Option<Txid> {
        let mut inputs = txs.iter().flat_map(|tx| &tx.input);
        inputs.find_map(|input| Some(self.index.spend(&input.previous_output)?.0))
    }

    fn waiting_rival(&self, txs: &[Transaction]) -> Option<Txid> {
        let mut inputs = txs.iter().flat_map(|tx| &tx.input);
        inputs.find_map(|input| self.mempool.spender(&input.previous_output).copied())
    }

    /// The first closed lock of a transaction: its lock time, its coins' age, its coinbase coins.
    fn lock_of(&self, tx: &Transaction) -> Lock {
        let tip = self.tree.tip();
        match tx.lock_time {
            LockTime::Blocks(height) if height.to_consensus_u32() > tip.height => {
                return Lock::TipHeight(height.to_consensus_u32());
            }
            LockTime::Seconds(time) if time.to_consensus_u32() >= tip.mtp => {
                return Lock::TipMedianTime(time.to_consensus_u32().saturating_add(1));
            }
            LockTime::Blocks(_) | LockTime::Seconds(_) => {}
        }
        let next = tip.height.saturating_add(1);
        let coins = tx.input.iter().map(|input| self.index.get(&input.previous_output));
        let heights: Vec<u32> = coins.map(|coin| coin.map_or(next, |coin| coin.height)).collect();
        let locks = SequenceLocks::of(tx, &heights, |height| self.tree.mtp_at(height));
        if let Some(height) = locks.tip_height().filter(|height| *height > tip.height) {
            return Lock::TipHeight(height);
        }
        if let Some(time) = locks.tip_time().filter(|time| *time > tip.mtp) {
            return Lock::TipMedianTime(time);
        }
        let coins = tx.input.iter().filter_map(|input| self.index.get(&input.previous_output));
        let youngest = coins.filter(|coin| coin.coinbase).map(|coin| coin.height).max();
        let mature = youngest.map(|h| h.saturating_add(COINBASE_MATURITY).saturating_sub(1));
        mature.filter(|height| *height > tip.height).map_or(Lock::Unknown, Lock::TipHeight)
    }
}
