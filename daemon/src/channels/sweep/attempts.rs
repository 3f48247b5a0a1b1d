//! Which claims are under way together, what each group pays, and when that is no longer enough. Pure.
//!
//! Not here: signatures, coins of the wallet (`sweep`), feerates (`rate`).

use std::collections::BTreeSet;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{Amount, OutPoint, Script, Transaction, Txid, Witness};
use channel::onchain::Claim;
use channel::onchain::sweep::{Coin, Sweep, SweepError, build, groups};
use channel::tx::Spend;
use wire::units::{BlockHeight, FeeratePerKw};

use super::rate::{Hurry, is_better, rate};
use crate::layer1::Feerates;
use crate::wallet::PromiseId;

/// A transaction that waits for its child to pay for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Parent {
    /// What it weighs.
    pub(super) weight: u64,
    /// What it pays itself.
    pub(super) fee: Amount,
}

/// An unconfirmed commitment of ours that should pay more.
#[derive(Clone, Debug)]
pub(super) struct Stuck {
    /// Our anchor on it.
    pub(super) anchor: Claim,
    /// The commitment.
    pub(super) parent: Parent,
    /// What is lost at most if it does not confirm.
    pub(super) stake: Amount,
    /// How urgent it is.
    pub(super) hurry: Hurry,
}

/// A transaction to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Job {
    /// The group's name, and that of the coins that pay for it.
    pub(super) name: PromiseId,
    /// What it takes.
    pub(super) spends: Vec<Spend>,
    /// What it should pay.
    pub(super) feerate: FeeratePerKw,
    /// What it may pay at most: all that it is about.
    pub(super) limit: Amount,
    /// Whom it pays for, too.
    pub(super) parent: Option<Parent>,
    /// Whether coins of the wallet pay.
    pub(super) needs_coins: bool,
    /// What a transaction pays that already takes the same: only a better one replaces it.
    pub(super) replaces: Option<FeeratePerKw>,
}

impl Job {
    /// The transaction without witnesses, at the wanted feerate or the highest that `limit` allows; `None`
    /// if that is not enough to be worth anything.
    pub(super) fn build(&self, coins: &[Coin], to: &Script) -> Option<(Sweep, FeeratePerKw)> {
        let mut feerate = self.feerate.max(FeeratePerKw::FLOOR);
        loop {
            if self.replaces.is_some_and(|old| !is_better(feerate, old)) {
                return None;
            }
            if let Ok(sweep) = self.build_at(coins, to, feerate)
                && sweep.fee <= self.limit
            {
                return Some((sweep, feerate));
            }
            if feerate == FeeratePerKw::FLOOR {
                return None;
            }
            feerate = FeeratePerKw(feerate.0.div_euclid(2)).max(FeeratePerKw::FLOOR);
        }
    }

    fn build_at(
        &self,
        coins: &[Coin],
        to: &Script,
        feerate: FeeratePerKw,
    ) -> Result<Sweep, SweepError> {
        let spends: Vec<&Spend> = self.spends.iter().collect();
        let alone = build(&spends, coins, to, feerate)?;
        let Some(parent) = self.parent else { return Ok(alone) };
        let both = feerate.fee_ceil(parent.weight.saturating_add(alone.weight));
        let fee = both.to_sat().saturating_sub(parent.fee.to_sat());
        let own = fee.saturating_mul(1_000).checked_div(alone.weight).unwrap_or(0);
        let own = FeeratePerKw(u32::try_from(own).unwrap_or(u32::MAX));
        build(&spends, coins, to, own.max(feerate))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Made {
    txid: Txid,
    feerate: FeeratePerKw,
}

#[derive(Clone, Debug)]
struct Attempt {
    name: PromiseId,
    members: BTreeSet<OutPoint>,
    since: BlockHeight,
    made: Option<Made>,
    /// What waits for coins.
    asked: Option<Job>,
}

/// All attempts of a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(Vec<Attempt>);

/// What is to be done now.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Transactions to make.
    pub(super) jobs: Vec<Job>,
    /// Names under which no coins are needed any more.
    pub(super) free: Vec<PromiseId>,
}

impl Attempts {
    /// The transaction that was made to take this output.
    pub(super) fn under_way(&self, outpoint: OutPoint) -> Option<Txid> {
        let attempt = self.0.iter().find(|attempt| attempt.members.contains(&outpoint))?;
        attempt.made.map(|made| made.txid)
    }

    /// What a restart finds under way. What it pays is not known, so it counts as little.
    pub(super) fn restore(sweeps: &[Transaction], now: BlockHeight) -> Self {
        let attempt = |tx: &Transaction| {
            let of_channel = tx.input.iter().filter(|input| !is_coin(&input.witness));
            let members: Vec<OutPoint> = of_channel.map(|input| input.previous_output).collect();
            let made = Some(Made { txid: tx.compute_txid(), feerate: FeeratePerKw::FLOOR });
            Some(Attempt {
                name: name(*members.first()?),
                members: members.into_iter().collect(),
                since: now,
                made,
                asked: None,
            })
        };
        Self(sweeps.iter().filter_map(attempt).collect())
    }

    /// Compares what is under way with what is still to take.
    pub(super) fn plan(
        &mut self,
        claims: &[Claim],
        stuck: Option<&Stuck>,
        tip: BlockHeight,
        feerates: &Feerates,
    ) -> Plan {
        let mut plan = Plan::default();
        let claims: Vec<&Claim> =
            claims.iter().filter(|claim| claim.worth() > Amount::ZERO).collect();
        let anchor = stuck.map(|stuck| &stuck.anchor);
        self.0.retain_mut(|attempt| {
            let of = |claim: &&&Claim| attempt.members.contains(&claim.spend.outpoint);
            let left: Vec<&Claim> = claims.iter().chain(&anchor).filter(of).copied().collect();
            if left.is_empty() {
                plan.free.push(attempt.name);
                return false;
            }
            let fewer = left.len() < attempt.members.len();
            attempt.members = left.iter().map(|claim| claim.spend.outpoint).collect();
            let mut job = job(attempt, &left, stuck, tip, feerates);
            // Without one of its outputs the old transaction is void.
            job.replaces = attempt.made.map(|made| made.feerate).filter(|_| !fewer);
            if job.replaces.is_none_or(|old| is_better(job.feerate, old)) {
                plan.jobs.push(job);
            }
            true
        });
        let under_way = |claim: &Claim| {
            self.0.iter().any(|attempt| attempt.members.contains(&claim.spend.outpoint))
        };
        let open: Vec<Claim> =
            claims.into_iter().filter(|claim| !under_way(claim)).cloned().collect();
        let anchor = anchor.filter(|claim| !under_way(claim)).map(|claim| vec![claim]);
        let fresh: Vec<Vec<&Claim>> = groups(&open, tip).into_iter().chain(anchor).collect();
        for group in fresh {
            let Some(first) = group.first() else { continue };
            let attempt = Attempt {
                name: name(first.spend.outpoint),
                members: group.iter().map(|claim| claim.spend.outpoint).collect(),
                since: tip,
                made: None,
                asked: None,
            };
            plan.jobs.push(job(&attempt, &group, stuck, tip, feerates));
            self.0.push(attempt);
        }
        plan
    }

    /// A job waits for coins.
    pub(super) fn ask(&mut self, job: Job) {
        if let Some(attempt) = self.get(job.name) {
            attempt.asked = Some(job);
        }
    }

    /// The job that waited for coins.
    pub(super) fn take_asked(&mut self, name: PromiseId) -> Option<Job> {
        self.get(name)?.asked.take()
    }

    /// A transaction was made; returns the one it replaces.
    pub(super) fn made(
        &mut self,
        name: PromiseId,
        txid: Txid,
        feerate: FeeratePerKw,
    ) -> Option<Txid> {
        let old = self.get(name)?.made.replace(Made { txid, feerate });
        old.map(|made| made.txid)
    }

    /// It did not work: the next block begins anew. Returns the transaction it was about.
    pub(super) fn forget(&mut self, name: PromiseId) -> Option<Txid> {
        let made = self.get(name)?.made;
        self.0.retain(|attempt| attempt.name != name);
        made.map(|made| made.txid)
    }

    fn get(&mut self, name: PromiseId) -> Option<&mut Attempt> {
        self.0.iter_mut().find(|attempt| attempt.name == name)
    }
}

fn job(
    attempt: &Attempt,
    claims: &[&Claim],
    stuck: Option<&Stuck>,
    tip: BlockHeight,
    feerates: &Feerates,
) -> Job {
    let stuck = stuck.filter(|stuck| claims.contains(&&stuck.anchor));
    let deadline = claims.iter().filter_map(|claim| claim.deadline).min();
    let hurry = stuck.map_or_else(
        || Hurry {
            contested: claims.iter().any(|claim| claim.contested),
            remaining: deadline.map(|deadline| deadline.0.saturating_sub(tip.0)),
            waited: tip.0.saturating_sub(attempt.since.0),
        },
        |stuck| stuck.hurry,
    );
    let worth = claims.iter().map(|claim| claim.worth());
    let worth = worth.fold(Amount::ZERO, |sum, worth| sum.checked_add(worth).unwrap_or(sum));
    Job {
        name: attempt.name,
        spends: claims.iter().map(|claim| claim.spend.clone()).collect(),
        feerate: rate(feerates, &hurry),
        limit: stuck.map_or(worth, |stuck| stuck.stake),
        parent: stuck.map(|stuck| stuck.parent),
        needs_coins: claims.iter().any(|claim| claim.needs_coins()),
        replaces: None,
    }
}

/// The same output has the same name for ever, so a restart finds the coins that are promised for it.
fn name(first: OutPoint) -> PromiseId {
    let mut engine = sha256::Hash::engine();
    engine.input(b"viaduct coins for a sweep");
    engine.input(first.txid.as_byte_array());
    engine.input(&first.vout.to_le_bytes());
    PromiseId(sha256::Hash::from_engine(engine).to_byte_array())
}

/// Whether an input is one of the wallet's: a key spend. All of a channel's outputs are P2WSH, and none of
/// their scripts has the length of a key.
fn is_coin(witness: &Witness) -> bool {
    match witness.len() {
        1 => true,
        2 => witness.last().is_some_and(|last| last.len() == 33),
        _ => false,
    }
}
