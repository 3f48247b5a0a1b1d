//! May a transaction wait here? Bitcoin Core's order of questions (`PreChecks`), because the first broken
//! rule is the one the sender is told.

use super::{ChainView, Mempool};
use crate::backend::RemovedBecause;
use crate::builtin::policy::standard::{
    check_sigops, check_standard, check_standard_inputs, dust_outputs, vsize,
};
use crate::builtin::policy::{fee_at, script::check_scripts};
use crate::builtin::reject::Reject;
use crate::builtin::utxo::Coin;
use crate::builtin::verify::locks::{SequenceLocks, is_final};
use crate::builtin::verify::script::{Job, verify_all};
use crate::builtin::verify::tx::{check_inputs, check_transaction, sigop_cost};
use bitcoin::{Transaction, TxOut, Txid, Wtxid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a transaction comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// By itself: it must pay for itself.
    Alone,
    /// With others: the package must pay.
    InPackage,
    /// It was in a block that is no more: what it pays and how long its chain is do not matter.
    FromBlock,
}

/// A transaction that passed all checks and may be taken in.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) txid: Txid,
    pub(crate) wtxid: Wtxid,
    pub(crate) fee_sat: u64,
    pub(crate) vsize: u64,
    pub(crate) weight_wu: u64,
    pub(crate) sigop_cost: usize,
    pub(crate) parents: BTreeSet<Txid>,
    /// Transactions of the mempool that spend the same coins.
    pub(crate) conflicts: BTreeSet<Txid>,
    /// Those and all that stand on them.
    pub(crate) all_conflicts: BTreeSet<Txid>,
}

impl Mempool {
    /// Takes a transaction in, throwing out what it replaces.
    pub(crate) fn accept(
        &mut self,
        tx: &Arc<Transaction>,
        view: &ChainView<'_>,
        admission: Admission,
    ) -> Result<Txid, Reject> {
        self.rolling.decay(view.now, self.size, &self.policy);
        let candidate = self.check(tx, view, admission)?;
        if admission == Admission::Alone {
            self.check_replacement(&candidate)?;
        }
        let txid = candidate.txid;
        self.take(candidate, view);
        if admission == Admission::Alone {
            self.limit(view.now);
            if self.get(&txid).is_none() {
                return Err(Reject::MempoolFull);
            }
        }
        Ok(txid)
    }

    /// Takes in what passed, throwing out what it replaces.
    pub(super) fn take(&mut self, candidate: Candidate, view: &ChainView<'_>) {
        let by = candidate.txid;
        for rival in candidate.conflicts.clone() {
            self.remove_with_descendants(&rival, RemovedBecause::Replaced { by });
        }
        self.insert(candidate, (view.now, view.tip.height));
    }

    /// Every question but whether a replacement pays enough. Changes nothing.
    pub(super) fn check(
        &self,
        tx: &Arc<Transaction>,
        view: &ChainView<'_>,
        admission: Admission,
    ) -> Result<Candidate, Reject> {
        check_transaction(tx)?;
        if tx.is_coinbase() {
            return Err(Reject::Coinbase);
        }
        check_standard(tx)?;
        if !is_final(tx, view.next_height(), view.tip.mtp) {
            return Err(Reject::NonFinal);
        }
        let (txid, wtxid) = (tx.compute_txid(), tx.compute_wtxid());
        self.check_new(&txid, &wtxid)?;
        let coins = self.coins_of(tx, &txid, view)?;
        self.check_sequence(tx, &coins, view)?;
        let fee_sat = check_inputs(tx, &coins, view.next_height())?.to_sat();
        check_standard_inputs(tx, &coins)?;
        let sigop_cost = sigop_cost(tx, &coins);
        check_sigops(sigop_cost)?;
        if admission != Admission::FromBlock && fee_sat > 0 && dust_outputs(tx).next().is_some() {
            return Err(Reject::Dust);
        }
        let weight_wu = tx.weight().to_wu();
        let vsize = vsize(weight_wu, sigop_cost);
        let dear = |max: bitcoin::FeeRate| max.fee_vb(vsize).is_some_and(|m| fee_sat > m.to_sat());
        if view.feerate_max.is_some_and(dear) {
            return Err(Reject::MaxFeeExceeded);
        }
        self.check_fee(self.modified_sat(&txid, fee_sat), vsize, tx, admission)?;
        let candidate = self.candidate(tx, (txid, wtxid), (fee_sat, vsize, weight_wu, sigop_cost));
        if admission != Admission::FromBlock {
            self.check_limits(&candidate)?;
            self.check_truc(&candidate)?;
        }
        self.check_parents(&candidate)?;
        if admission != Admission::FromBlock {
            self.check_ephemeral(&candidate)?;
        }
        run_scripts(tx, coins)?;
        Ok(candidate)
    }

    fn check_new(&self, txid: &Txid, wtxid: &Wtxid) -> Result<(), Reject> {
        match self.get(txid) {
            None => Ok(()),
            Some(entry) if entry.wtxid == *wtxid => Err(Reject::AlreadyInMempool),
            Some(_) => Err(Reject::SameNonWitnessDataInMempool),
        }
    }

    /// The coins a transaction spends, from blocks or from the mempool. Those of the mempool count as
    /// made in the next block.
    pub(super) fn coins_of(
        &self,
        tx: &Transaction,
        txid: &Txid,
        view: &ChainView<'_>,
    ) -> Result<Vec<Coin>, Reject> {
        let coin = |input: &bitcoin::TxIn| {
            let outpoint = input.previous_output;
            if let Some(parent) = self.get(&outpoint.txid) {
                let vout = usize::try_from(outpoint.vout).ok()?;
                let output = parent.tx.output.get(vout)?.clone();
                return Some(Coin { output, height: view.next_height(), coinbase: false });
            }
            view.coins.get(&outpoint)
        };
        let coins: Option<Vec<Coin>> = tx.input.iter().map(coin).collect();
        coins.ok_or_else(|| {
            if (view.confirmed)(txid) { Reject::AlreadyKnown } else { Reject::InputsMissingOrSpent }
        })
    }

    fn check_sequence(
        &self,
        tx: &Transaction,
        coins: &[Coin],
        view: &ChainView<'_>,
    ) -> Result<(), Reject> {
        let heights: Vec<u32> = coins.iter().map(|coin| coin.height).collect();
        let locks = SequenceLocks::of(tx, &heights, view.mtp_at);
        if locks.open(view.next_height(), view.tip.mtp) {
            Ok(())
        } else {
            Err(Reject::NonBip68Final)
        }
    }

    fn check_fee(
        &self,
        fee_sat: u64,
        vsize: u64,
        tx: &Transaction,
        admission: Admission,
    ) -> Result<(), Reject> {
        let below_relay = fee_sat < fee_at(self.policy.min_relay_sat_kvb, vsize);
        match admission {
            Admission::FromBlock => Ok(()),
            // In a package only version 3 may lean on its child for the relay minimum (up to Core 30).
            Admission::InPackage if below_relay && tx.version.0 != 3 => Err(Reject::MinRelayFee),
            Admission::InPackage => Ok(()),
            Admission::Alone if fee_sat < fee_at(self.dynamic_min_sat_kvb(), vsize) => {
                Err(Reject::MempoolMinFee)
            }
            Admission::Alone if below_relay => Err(Reject::MinRelayFee),
            Admission::Alone => Ok(()),
        }
    }

    fn candidate(
        &self,
        tx: &Arc<Transaction>,
        (txid, wtxid): (Txid, Wtxid),
        (fee_sat, vsize, weight_wu, sigop_cost): (u64, u64, u64, usize),
    ) -> Candidate {
        let parents = (tx.input.iter().map(|input| input.previous_output.txid))
            .filter(|parent| self.get(parent).is_some())
            .collect();
        let conflicts: BTreeSet<Txid> = (tx.input.iter())
            .filter_map(|input| self.spender(&input.previous_output).copied())
            .collect();
        let direct: Vec<Txid> = conflicts.iter().copied().collect();
        let all_conflicts = self.descendants(&direct);
        let tx = Arc::clone(tx);
        Candidate {
            tx,
            txid,
            wtxid,
            fee_sat,
            vsize,
            weight_wu,
            sigop_cost,
            parents,
            conflicts,
            all_conflicts,
        }
    }

    /// It must not stand on what it would throw out.
    fn check_parents(&self, candidate: &Candidate) -> Result<(), Reject> {
        let parents: Vec<Txid> = candidate.parents.iter().copied().collect();
        if self.ancestors(&parents).is_disjoint(&candidate.conflicts) {
            Ok(())
        } else {
            Err(Reject::SpendsConflicting)
        }
    }

    /// A child of a transaction with dust spends that dust.
    fn check_ephemeral(&self, candidate: &Candidate) -> Result<(), Reject> {
        for txid in &candidate.parents {
            let Some(parent) = self.get(txid) else { continue };
            let spends = |vout: u32| {
                let dust = bitcoin::OutPoint::new(*txid, vout);
                candidate.tx.input.iter().any(|input| input.previous_output == dust)
            };
            if !dust_outputs(&parent.tx).all(spends) {
                return Err(Reject::MissingEphemeralSpends);
            }
        }
        Ok(())
    }
}

/// The rules of relay first: they say why; then consensus.
fn run_scripts(tx: &Transaction, coins: Vec<Coin>) -> Result<(), Reject> {
    let spent: Vec<TxOut> = coins.into_iter().map(|coin| coin.output).collect();
    check_scripts(tx, &spent).map_err(Reject::MempoolScript)?;
    verify_all(&[Job { tx, spent }]).map_err(Reject::MempoolScript)
}
