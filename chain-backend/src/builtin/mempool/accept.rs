//! May a transaction wait here? Bitcoin Core's order of questions (`PreChecks`, then
//! `AcceptSingleTransaction`), because the first broken rule is the one the sender is told.
//! Not here: several at once (`package`).

use super::{ChainView, Mempool, Rate};
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
use bitcoin::{OutPoint, Transaction, TxOut, Txid, Wtxid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a transaction comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// By itself: it must pay for itself.
    Alone,
    /// By itself, and others of its package come after it: what is too much goes at their end.
    First,
    /// With others: the package must pay.
    InPackage,
    /// It was in a block that is no more: what it pays does not matter.
    FromBlock,
}

impl Admission {
    const fn pays_alone(self) -> bool {
        matches!(self, Self::Alone | Self::First)
    }
}

/// A transaction on its way in, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) txid: Txid,
    pub(crate) wtxid: Wtxid,
    pub(crate) fee_sat: u64,
    /// What that counts for, satoshi.
    pub(crate) counted_sat: u64,
    pub(crate) vsize: u64,
    pub(crate) weight_wu: u64,
    pub(crate) sigop_cost: usize,
    /// The outputs it spends, in the order of its inputs.
    pub(crate) spent: Vec<TxOut>,
    /// Transactions of the mempool it stands on.
    pub(crate) parents: BTreeSet<Txid>,
    /// Transactions of the mempool that it replaces: they spend the same coins, or are the other child of
    /// its version 3 parent.
    pub(crate) conflicts: BTreeSet<Txid>,
    /// Those and all that stand on them.
    pub(crate) all_conflicts: BTreeSet<Txid>,
    /// Whether it throws out its parent's other child.
    pub(crate) evicts_sibling: bool,
}

impl Candidate {
    /// What it counts for.
    pub(super) const fn rate(&self) -> Rate {
        Rate { fee_sat: self.counted_sat, vsize: self.vsize }
    }
}

/// A transaction that came in.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) fee_sat: u64,
    pub(crate) vsize: u64,
    /// What it threw out.
    pub(crate) replaced: BTreeSet<Txid>,
}

impl Mempool {
    /// Takes a transaction in, throwing out what it replaces.
    pub(crate) fn accept(
        &mut self,
        tx: &Arc<Transaction>,
        view: &ChainView<'_>,
        admission: Admission,
    ) -> Result<Admitted, Reject> {
        self.rolling.decay(view.now, self.size, &self.policy);
        let mut candidate = self.pre_check(tx, view, admission, &[])?;
        self.check_chain_limits(&[&candidate]).map_err(|()| Reject::TooLongChain)?;
        if admission != Admission::FromBlock
            && let Some(sibling) = self.check_truc(&candidate)?
        {
            candidate.conflicts.insert(sibling);
            candidate.all_conflicts.insert(sibling);
            candidate.evicts_sibling = true;
        }
        self.check_parents(&candidate)?;
        check_feerate_max(&candidate, view)?;
        if admission != Admission::FromBlock {
            self.check_ephemeral(&candidate, &[])?;
        }
        self.check_replacement(&candidate)?;
        self.check_cluster(&[&candidate])?;
        if !candidate.conflicts.is_empty() && self.policy.replace_diagram {
            self.check_diagram(&[&candidate]).map_err(|()| Reject::ReplacementFailed)?;
        }
        candidate.check_scripts()?;
        let (txid, replaced) = (candidate.txid, candidate.all_conflicts.clone());
        let admitted = Admitted { fee_sat: candidate.fee_sat, vsize: candidate.vsize, replaced };
        self.take(candidate, view);
        if admission == Admission::Alone {
            self.limit(view.now);
            if self.get(&txid).is_none() {
                return Err(Reject::MempoolFull);
            }
        }
        Ok(admitted)
    }

    /// Takes in what passed, throwing out what it replaces.
    pub(super) fn take(&mut self, candidate: Candidate, view: &ChainView<'_>) {
        let by = candidate.txid;
        for rival in candidate.conflicts.clone() {
            self.remove_with_descendants(&rival, RemovedBecause::Replaced { by });
        }
        self.insert(candidate, (view.now, view.tip.height));
    }

    /// The questions that are quickly answered: everything about a transaction and its coins but scripts,
    /// families and replacement. `before` are those of its package that come before it.
    pub(super) fn pre_check(
        &self,
        tx: &Arc<Transaction>,
        view: &ChainView<'_>,
        admission: Admission,
        before: &[Arc<Transaction>],
    ) -> Result<Candidate, Reject> {
        check_transaction(tx)?;
        if tx.is_coinbase() {
            return Err(Reject::Coinbase);
        }
        check_standard(tx, &self.policy)?;
        if !is_final(tx, view.next_height(), view.tip.mtp) {
            return Err(Reject::NonFinal);
        }
        let (txid, wtxid) = (tx.compute_txid(), tx.compute_wtxid());
        self.check_new(&txid, &wtxid)?;
        let coins = self.coins_of(tx, &txid, view, before)?;
        check_sequence(tx, &coins, view)?;
        let fee_sat = check_inputs(tx, &coins, view.next_height())?.to_sat();
        let spent: Vec<TxOut> = coins.into_iter().map(|coin| coin.output).collect();
        check_standard_inputs(tx, &spent, &self.policy)?;
        let sigop_cost = sigop_cost(tx, spent.iter());
        if (fee_sat > 0 || self.modified_sat(&txid, fee_sat) > 0)
            && dust_outputs(tx).next().is_some()
        {
            return Err(Reject::Dust);
        }
        check_sigops(sigop_cost)?;
        let weight_wu = tx.weight().to_wu();
        let vsize = vsize(weight_wu, sigop_cost);
        let candidate =
            self.candidate(tx, (txid, wtxid), (fee_sat, vsize, weight_wu, sigop_cost), spent);
        self.check_fee(&candidate, admission)?;
        Ok(candidate)
    }

    fn check_new(&self, txid: &Txid, wtxid: &Wtxid) -> Result<(), Reject> {
        match self.get(txid) {
            None => Ok(()),
            Some(entry) if entry.wtxid == *wtxid => Err(Reject::AlreadyInMempool),
            Some(_) => Err(Reject::SameNonWitnessDataInMempool),
        }
    }

    /// The coins a transaction spends, from blocks, from the mempool or from its package. Those that are in
    /// no block count as made in the next one.
    pub(super) fn coins_of(
        &self,
        tx: &Transaction,
        txid: &Txid,
        view: &ChainView<'_>,
        before: &[Arc<Transaction>],
    ) -> Result<Vec<Coin>, Reject> {
        let with_txid: Vec<(Txid, &Transaction)> =
            before.iter().map(|tx| (tx.compute_txid(), &**tx)).collect();
        let coin = |input: &bitcoin::TxIn| {
            let outpoint = input.previous_output;
            let waiting = self.get(&outpoint.txid).map(|entry| &*entry.tx);
            let beside = with_txid.iter().find(|(txid, _)| *txid == outpoint.txid);
            if let Some(parent) = waiting.or_else(|| beside.map(|(_, tx)| *tx)) {
                let vout = usize::try_from(outpoint.vout).ok()?;
                let output = parent.output.get(vout)?.clone();
                return Some(Coin { output, height: view.next_height(), coinbase: false });
            }
            view.coins.get(&outpoint)
        };
        let coins: Option<Vec<Coin>> = tx.input.iter().map(coin).collect();
        coins.ok_or_else(|| {
            if (view.confirmed)(txid) { Reject::AlreadyKnown } else { Reject::InputsMissingOrSpent }
        })
    }

    fn check_fee(&self, candidate: &Candidate, admission: Admission) -> Result<(), Reject> {
        let Rate { fee_sat, vsize } = candidate.rate();
        if admission.pays_alone() {
            return self.check_rate(candidate.rate());
        }
        let free = self.policy.any_parent_free || candidate.tx.version.0 == 3;
        let below_relay = fee_sat < fee_at(self.policy.min_relay_sat_kvb, vsize);
        // Up to Core 30 only version 3 may lean on its child for the relay minimum.
        if admission == Admission::InPackage && below_relay && !free {
            return Err(Reject::MinRelayFee);
        }
        Ok(())
    }

    /// Whether this is paid enough now.
    pub(super) fn check_rate(&self, rate: Rate) -> Result<(), Reject> {
        if rate.fee_sat < fee_at(self.dynamic_min_sat_kvb(), rate.vsize) {
            Err(Reject::MempoolMinFee)
        } else if rate.fee_sat < fee_at(self.policy.min_relay_sat_kvb, rate.vsize) {
            Err(Reject::MinRelayFee)
        } else {
            Ok(())
        }
    }

    fn candidate(
        &self,
        tx: &Arc<Transaction>,
        (txid, wtxid): (Txid, Wtxid),
        (fee_sat, vsize, weight_wu, sigop_cost): (u64, u64, u64, usize),
        spent: Vec<TxOut>,
    ) -> Candidate {
        let parents = (tx.input.iter().map(|input| input.previous_output.txid))
            .filter(|parent| self.get(parent).is_some())
            .collect();
        let conflicts: BTreeSet<Txid> = (tx.input.iter())
            .filter_map(|input| self.spender(&input.previous_output).copied())
            .collect();
        let direct: Vec<Txid> = conflicts.iter().copied().collect();
        let all_conflicts = self.descendants(&direct);
        Candidate {
            tx: Arc::clone(tx),
            txid,
            wtxid,
            fee_sat,
            counted_sat: self.modified_sat(&txid, fee_sat),
            vsize,
            weight_wu,
            sigop_cost,
            spent,
            parents,
            conflicts,
            all_conflicts,
            evicts_sibling: false,
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

    /// A child of a transaction with dust spends that dust. `before` are those of its package before it.
    pub(super) fn check_ephemeral(
        &self,
        candidate: &Candidate,
        before: &[&Candidate],
    ) -> Result<(), Reject> {
        let spent: BTreeSet<OutPoint> =
            candidate.tx.input.iter().map(|input| input.previous_output).collect();
        let parents: BTreeSet<Txid> = spent.iter().map(|outpoint| outpoint.txid).collect();
        for txid in parents {
            let waiting = self.get(&txid).map(|entry| &entry.tx);
            let beside = before.iter().find(|other| other.txid == txid).map(|other| &other.tx);
            let Some(parent) = waiting.or(beside) else { continue };
            if !dust_outputs(parent).all(|vout| spent.contains(&OutPoint::new(txid, vout))) {
                return Err(Reject::MissingEphemeralSpends);
            }
        }
        Ok(())
    }
}

fn check_sequence(tx: &Transaction, coins: &[Coin], view: &ChainView<'_>) -> Result<(), Reject> {
    let heights: Vec<u32> = coins.iter().map(|coin| coin.height).collect();
    let locks = SequenceLocks::of(tx, &heights, view.mtp_at);
    if locks.open(view.next_height(), view.tip.mtp) { Ok(()) } else { Err(Reject::NonBip68Final) }
}

/// Whether the sender would pay more than it wants to.
pub(super) fn check_feerate_max(candidate: &Candidate, view: &ChainView<'_>) -> Result<(), Reject> {
    let most = view.feerate_max.and_then(|max| max.fee_vb(candidate.vsize));
    if most.is_some_and(|most| candidate.fee_sat > most.to_sat()) {
        return Err(Reject::MaxFeeExceeded);
    }
    Ok(())
}

impl Candidate {
    /// The rules of relay first: they say why; then consensus.
    pub(super) fn check_scripts(&self) -> Result<(), Reject> {
        let foretold = check_scripts(&self.tx, &self.spent);
        if let Err(fault) = foretold
            && !fault.is_consensus()
        {
            return Err(Reject::MempoolScript(fault));
        }
        let job = Job { tx: &self.tx, spent: self.spent.clone() };
        // The verifier says yes or no; the interpreter may know the word.
        verify_all(&[job]).map_err(|fault| Reject::MempoolScript(foretold.err().unwrap_or(fault)))
    }
}
