//! What is to be made now: compares what is on its way with what is still to take.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, Txid};
use channel::tx::Recipe;
use wire::units::{BlockHeight, FeeratePerKw};

use super::groups::{goes_alone, groups, weight_of};
use super::rate::{Hurry, bought, is_better, rate};
use super::{Attempt, Begun, Job, Order, Parent, Standing, Stuck, Sweeper, Wanted, name, total};
use crate::layer1::Feerates;

/// Version, counts, lock time, segwit flag, and an output of ours.
const OVERHEAD: u64 = 42 + 124;

/// A coin of the wallet.
const COIN: u64 = 272;

/// What the sweeper looks at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The height of the best chain.
    pub tip: BlockHeight,
    /// What things cost.
    pub feerates: &'a Feerates,
    /// Transactions in the mempool whose outputs are claimed already, by name.
    pub parents: &'a BTreeMap<Txid, Parent>,
    /// Outputs that somebody else's transaction in the mempool spends.
    pub fought: &'a BTreeSet<OutPoint>,
}

impl Sweeper {
    /// The transactions to make, the most urgent first. To be asked again after some were made, until
    /// nothing new comes of it: an output that leaves its group does so by replacing the group's
    /// transaction, and the rest of the group follows then.
    pub fn plan(&mut self, look: &Look<'_>) -> Vec<Job> {
        let ready = self.ready(look);
        for outpoint in ready.keys() {
            self.begun.entry(*outpoint).or_insert(Begun {
                since: look.tip,
                feerate: FeeratePerKw(0),
                alone: false,
                deadline: None,
            });
        }
        let (again, taken) = self.again(&ready, look);
        let fresh: Vec<Wanted> = (ready.into_iter())
            .filter(|(outpoint, _)| !taken.contains(outpoint))
            .map(|(_, wanted)| wanted)
            .collect();
        again.into_iter().chain(self.fresh(fresh, look)).collect()
    }

    /// Of those, the transactions that replace what is on its way: they gather nothing, so they need not
    /// wait for what channels are about to say.
    pub fn raises(&self, look: &Look<'_>) -> Vec<Job> {
        self.again(&self.ready(look), look).0
    }

    /// What can be taken now, anchors of waiting commitments included.
    fn ready(&self, look: &Look<'_>) -> BTreeMap<OutPoint, Wanted> {
        let claims = (self.claims.iter())
            .filter(|(_, wanted)| wanted.claim.is_ready(look.tip))
            .filter(|(_, wanted)| wanted.claim.worth() > Amount::ZERO)
            .map(|(outpoint, wanted)| (*outpoint, wanted.clone()));
        let anchors = (self.stuck.iter()).filter(|(_, stuck)| self.should_pay(stuck, look)).map(
            |(channel, stuck)| {
                let wanted = Wanted { channel: *channel, claim: stuck.anchor.clone() };
                (stuck.anchor.spend.outpoint, wanted)
            },
        );
        claims.chain(anchors).collect()
    }

    /// Whether a commitment needs its anchor: the mempool does not take it, a human asked, it has waited
    /// long enough, or what it pays itself is too little for its deadline.
    fn should_pay(&self, stuck: &Stuck, look: &Look<'_>) -> bool {
        let outpoint = stuck.anchor.spend.outpoint;
        let weight = stuck.parent.weight;
        // Somebody else's child may have brought it in: then that is enough for a while.
        let waits = look.parents.contains_key(&stuck.parent.txid);
        let brought = waits && self.taker_of(outpoint).is_none();
        let relayed = brought || look.feerates.commitment.fee_ceil(weight) <= stuck.parent.fee;
        if self.orders.contains_key(&outpoint) || !relayed {
            return true;
        }
        if look.tip.0.saturating_sub(stuck.since.0) < stuck.patience {
            return false;
        }
        let half = bought(stuck.stake.to_sat().div_euclid(2), weight);
        rate(look.feerates, &hurry_of(stuck), look.tip, half).fee_ceil(weight) > stuck.parent.fee
    }

    /// Jobs that replace what is on its way, and the outputs that need no other.
    fn again(
        &self,
        ready: &BTreeMap<OutPoint, Wanted>,
        look: &Look<'_>,
    ) -> (Vec<Job>, BTreeSet<OutPoint>) {
        let (mut jobs, mut taken) = (Vec::new(), BTreeSet::new());
        for attempt in self.attempts.values() {
            let left: Vec<Wanted> =
                attempt.members.keys().filter_map(|of| ready.get(of)).cloned().collect();
            if attempt.mined.is_some() {
                taken.extend(attempt.members.keys().copied());
                continue;
            }
            if left.len() < attempt.members.len() {
                // Void without one of its outputs: the rest goes again at once.
                continue;
            }
            taken.extend(attempt.members.keys().copied());
            let several = left.len() > 1;
            if several && left.iter().any(|wanted| self.alone(wanted, look)) {
                // The most valuable that goes alone pays for what it replaces; the rest follows.
                let best = groups(left, |wanted| self.alone(wanted, look))
                    .into_iter()
                    .max_by_key(|group| total(group.iter().map(|of| of.claim.worth())));
                jobs.extend(best.and_then(|group| self.job(group, None, true, look).ok()));
                continue;
            }
            let Ok(job) = self.job(left, Some(attempt), true, look) else { continue };
            let ordered = job.members.iter().any(|wanted| {
                self.orders.contains_key(&wanted.claim.spend.outpoint)
                    && job.feerate > attempt.feerate
            });
            if ordered || is_better(job.feerate, attempt.feerate) {
                jobs.push(job);
            }
        }
        (jobs, taken)
    }

    fn alone(&self, wanted: &Wanted, look: &Look<'_>) -> bool {
        let outpoint = wanted.claim.spend.outpoint;
        let begun = self.begun.get(&outpoint);
        matches!(wanted.claim.spend.recipe, Recipe::Anchor)
            || look.fought.contains(&outpoint)
            || begun.is_some_and(|begun| begun.alone || goes_alone(wanted, begun.since, look.tip))
    }

    fn fresh(&mut self, claims: Vec<Wanted>, look: &Look<'_>) -> Vec<Job> {
        let groups = groups(claims, |wanted| self.alone(wanted, look));
        let mut jobs = Vec::new();
        for group in groups {
            // What costs more than it is worth would only make the others dearer.
            let (group, dear) = self.affordable(group, look);
            for (wanted, cost) in dear {
                let outpoint = wanted.claim.spend.outpoint;
                let said = self.said.insert(outpoint, Standing::Uneconomic { cost });
                if !matches!(said, Some(Standing::Uneconomic { .. })) {
                    let (channel, worth) = (wanted.channel.0, wanted.claim.worth());
                    tracing::warn!(channel, %outpoint, %worth, %cost,
                        "this output costs more than it is worth; it is tried again when fees fall");
                }
            }
            jobs.extend(self.job(group, None, false, look).ok());
        }
        jobs
    }

    fn affordable(
        &self,
        group: Vec<Wanted>,
        look: &Look<'_>,
    ) -> (Vec<Wanted>, Vec<(Wanted, Amount)>) {
        let hurry = self.hurry(&group);
        let (mut good, mut dear) = (Vec::new(), Vec::new());
        for wanted in group {
            if matches!(wanted.claim.spend.recipe, Recipe::Anchor) {
                good.push(wanted);
                continue;
            }
            // At the calm feerate: the climb is bounded by the worth anyway.
            let calm = rate(look.feerates, &hurry, look.tip, FeeratePerKw(0));
            let cost = calm.fee_ceil(weight_of(&wanted));
            if cost < wanted.claim.worth() {
                good.push(wanted);
            } else {
                dear.push((wanted, cost));
            }
        }
        (good, dear)
    }

    fn hurry(&self, group: &[Wanted]) -> Hurry {
        let since = group.iter().filter_map(|of| self.begun.get(&of.claim.spend.outpoint));
        Hurry {
            contested: group.iter().any(|wanted| wanted.claim.contested),
            deadline: group.iter().filter_map(|wanted| wanted.claim.deadline).min(),
            since: since.map(|begun| begun.since).min().unwrap_or(BlockHeight(u32::MAX)),
        }
    }

    /// The job of a group, or of what is on its way already.
    fn job(
        &self,
        members: Vec<Wanted>,
        old: Option<&Attempt>,
        replaces: bool,
        look: &Look<'_>,
    ) -> Result<Job, ()> {
        let outpoints: Vec<OutPoint> =
            members.iter().map(|wanted| wanted.claim.spend.outpoint).collect();
        let first = outpoints.iter().min().copied().ok_or(())?;
        let stuck =
            self.stuck.values().find(|stuck| outpoints.contains(&stuck.anchor.spend.outpoint));
        let mut hurry = stuck.map_or_else(|| self.hurry(&members), hurry_of);
        let of_txids: BTreeSet<Txid> = outpoints.iter().map(|outpoint| outpoint.txid).collect();
        let parents: Vec<Parent> = match stuck {
            Some(stuck) => vec![stuck.parent],
            None => of_txids.iter().filter_map(|txid| look.parents.get(txid)).copied().collect(),
        };
        let needs_coins = members.iter().any(|wanted| wanted.claim.needs_coins());
        let limit = stuck.map_or_else(
            || total(members.iter().map(|wanted| wanted.claim.worth())),
            |stuck| stuck.stake,
        );
        let mut weight = if needs_coins { OVERHEAD.saturating_add(COIN) } else { OVERHEAD };
        for wanted in &members {
            weight = weight.saturating_add(weight_of(wanted));
        }
        for parent in &parents {
            weight = weight.saturating_add(parent.weight);
        }
        let (mut asked, mut pace) = (FeeratePerKw(0), hurry.since);
        for outpoint in &outpoints {
            match self.orders.get(outpoint) {
                Some(Order::Feerate(feerate)) => asked = asked.max(*feerate),
                Some(Order::Deadline(height)) => {
                    hurry.deadline = Some(hurry.deadline.map_or(*height, |by| by.min(*height)));
                    // As dear as what has waited for that block all the time.
                    pace = BlockHeight(0);
                }
                None => {}
            }
        }
        let promised = outpoints.iter().filter_map(|of| self.begun.get(of)?.deadline).min();
        hurry.deadline = hurry.deadline.into_iter().chain(promised).min();
        let half = bought(limit.to_sat().div_euclid(2), weight);
        // What was offered once is not taken back, whatever happened to the transaction.
        let before =
            outpoints.iter().filter_map(|of| self.begun.get(of)).map(|begun| begun.feerate);
        let before = before.max().unwrap_or(FeeratePerKw(0)).min(half);
        let paced = Hurry { since: pace, ..hurry };
        let feerate = rate(look.feerates, &paced, look.tip, half).max(before).max(asked);
        Ok(Job {
            name: old.map_or_else(|| name(first), |attempt| attempt.name),
            members,
            feerate,
            ordered: asked,
            limit,
            parents,
            needs_coins,
            incremental: look.feerates.incremental,
            since: hurry.since,
            deadline: hurry.deadline,
            replaces,
        })
    }

    /// A human wants more for everything that a transaction takes, or that a channel waits for.
    pub fn order(&mut self, outpoints: &[OutPoint], order: Order) {
        for outpoint in outpoints {
            self.orders.insert(*outpoint, order);
        }
    }

    /// It could not be done: as if it had not been ordered.
    pub fn disorder(&mut self, outpoints: &[OutPoint]) {
        for outpoint in outpoints {
            self.orders.remove(outpoint);
        }
    }

    /// The outputs of a channel that transactions take which are in no block.
    pub fn waiting_of(&self, channel: crate::fact::ChannelIndex) -> Vec<OutPoint> {
        let waiting = self.attempts.values().filter(|attempt| attempt.mined.is_none());
        waiting
            .flat_map(|attempt| &attempt.members)
            .filter(|(_, whose)| **whose == channel)
            .map(|(outpoint, _)| *outpoint)
            .collect()
    }

    /// The outputs that a transaction takes which is in no block.
    pub fn members_of(&self, txid: Txid) -> Option<Vec<OutPoint>> {
        let attempt = self.attempts.get(&txid).filter(|attempt| attempt.mined.is_none())?;
        Some(attempt.members.keys().copied().collect())
    }

    /// The anchor of a channel's waiting commitment, and the name of that commitment.
    pub fn anchor_of(&self, channel: crate::fact::ChannelIndex) -> Option<(OutPoint, Txid)> {
        let stuck = self.stuck.get(&channel)?;
        Some((stuck.anchor.spend.outpoint, stuck.parent.txid))
    }

    /// The channel whose waiting commitment this is.
    pub fn waits_for(&self, commitment: Txid) -> Option<crate::fact::ChannelIndex> {
        let found = self.stuck.iter().find(|(_, stuck)| stuck.parent.txid == commitment);
        found.map(|(channel, _)| *channel)
    }

    /// The transaction that takes an output now.
    pub fn taker_of(&self, outpoint: OutPoint) -> Option<(Txid, Amount, FeeratePerKw)> {
        let taker = self.attempts.iter().find(|(_, of)| of.members.contains_key(&outpoint));
        taker.map(|(txid, attempt)| (*txid, attempt.fee, attempt.feerate))
    }

    /// Why nothing takes an output now.
    pub fn said_of(&self, outpoint: OutPoint) -> Option<&Standing> {
        self.said.get(&outpoint)
    }
}

const fn hurry_of(stuck: &Stuck) -> Hurry {
    Hurry { contested: stuck.urgent, deadline: stuck.anchor.deadline, since: stuck.since }
}
