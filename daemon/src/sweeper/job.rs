//! A transaction to make: what it takes, what it should pay, what it must pay to replace what is there,
//! and what it may pay at most.

use bitcoin::{Amount, Script, Txid};
use channel::onchain::sweep::{Coin, Sweep, SweepError, build};
use channel::tx::Spend;
use wire::units::{BlockHeight, FeeratePerKw};

use super::Wanted;
use super::rate::bought;
use crate::wallet::PromiseId;

/// A transaction that is in no block and whose child pays for it, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parent {
    /// Its name.
    pub txid: Txid,
    /// What it weighs.
    pub weight: u64,
    /// What it pays itself.
    pub fee: Amount,
}

/// A transaction to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// Under which name coins are held and promised for it.
    pub name: PromiseId,
    /// What it takes.
    pub members: Vec<Wanted>,
    /// What it should pay, together with its parents.
    pub feerate: FeeratePerKw,
    /// What a human ordered it to pay at least; 0: nobody did.
    pub ordered: FeeratePerKw,
    /// What it may cost at most: it is not worth more.
    pub limit: Amount,
    /// For whom it pays besides.
    pub parents: Vec<Parent>,
    /// Whether coins of the wallet pay.
    pub needs_coins: bool,
    /// What a replacement pays on top of what it replaces, for its own weight.
    pub incremental: FeeratePerKw,
    /// When the first of its claims was first tried.
    pub since: BlockHeight,
    /// The first deadline.
    pub deadline: Option<BlockHeight>,
    /// Whether a transaction with coins that no block has yet may be replaced by this: then it must not
    /// bring further such coins (BIP 125 rule 2).
    pub replaces: bool,
}

/// What a job became, without witnesses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// The transaction.
    pub sweep: Sweep,
    /// What it pays together with its parents.
    pub feerate: FeeratePerKw,
}

/// Why nothing is made of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooDear {
    /// What it would cost.
    pub cost: Amount,
}

impl Job {
    /// What it spends.
    pub fn spends(&self) -> Vec<&Spend> {
        self.members.iter().map(|wanted| &wanted.claim.spend).collect()
    }

    /// The transaction at the wanted feerate, or at more if it must beat `least` (what it replaces pays),
    /// or at less if the limit does not allow that, but never below `floor`.
    ///
    /// # Errors
    /// [`TooDear`] if the least it can pay is more than it is worth.
    pub fn build(
        &self,
        coins: &[Coin],
        to: &Script,
        least: Amount,
        floor: FeeratePerKw,
    ) -> Result<Built, TooDear> {
        let mut feerate = self.feerate.max(floor);
        let mut dearest = Amount::ZERO;
        loop {
            match self.build_at(coins, to, feerate) {
                Ok(sweep) => {
                    let sweep = self.at_least(sweep, coins, to, least)?;
                    if sweep.fee <= self.limit {
                        let feerate = self.paid(&sweep).max(floor);
                        return Ok(Built { sweep, feerate });
                    }
                    dearest = sweep.fee;
                }
                Err(SweepError::Short { fee, .. }) => dearest = fee,
                Err(SweepError::Empty | SweepError::LockTimes) => {}
            }
            if feerate <= floor {
                return Err(TooDear { cost: dearest });
            }
            feerate = FeeratePerKw(feerate.0.div_euclid(2)).max(floor);
        }
    }

    /// BIP 125 rules 3 and 4: it pays all that it replaces pays, and the relay feerate for itself on top.
    fn at_least(
        &self,
        sweep: Sweep,
        coins: &[Coin],
        to: &Script,
        least: Amount,
    ) -> Result<Sweep, TooDear> {
        if least == Amount::ZERO {
            return Ok(sweep);
        }
        let more = self.incremental.fee_ceil(sweep.weight).to_sat().max(1);
        let needed = least.to_sat().saturating_add(more);
        if sweep.fee.to_sat() >= needed {
            return Ok(sweep);
        }
        let own = FeeratePerKw(bought(needed, sweep.weight).0.saturating_add(1));
        build(&self.spends(), coins, to, own)
            .map_err(|_| TooDear { cost: Amount::from_sat(needed) })
    }

    fn build_at(
        &self,
        coins: &[Coin],
        to: &Script,
        feerate: FeeratePerKw,
    ) -> Result<Sweep, SweepError> {
        let spends = self.spends();
        let alone = build(&spends, coins, to, feerate)?;
        let weight = self.parents_weight();
        if weight == 0 {
            return Ok(alone);
        }
        let both = feerate.fee_ceil(weight.saturating_add(alone.weight));
        let fee = both.to_sat().saturating_sub(self.parents_fee());
        let own = FeeratePerKw(bought(fee, alone.weight).0.saturating_add(1));
        build(&spends, coins, to, own.max(feerate))
    }

    /// The feerate of a transaction together with its parents.
    fn paid(&self, sweep: &Sweep) -> FeeratePerKw {
        let fee = sweep.fee.to_sat().saturating_add(self.parents_fee());
        bought(fee, sweep.weight.saturating_add(self.parents_weight()))
    }

    fn parents_weight(&self) -> u64 {
        self.parents.iter().map(|parent| parent.weight).fold(0, u64::saturating_add)
    }

    fn parents_fee(&self) -> u64 {
        self.parents.iter().map(|parent| parent.fee.to_sat()).fold(0, u64::saturating_add)
    }
}
