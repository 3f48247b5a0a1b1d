//! The sweeper: claims of all channels become transactions, which pay more as their deadlines come.
//! BOLT 5. Pure: it says what to make, Layer 1 makes it and says what came of it.
//!
//! A transaction once made keeps its claims until it is deep in a block or can be in none; it is replaced
//! by one that takes the same for more, or, when the end is near, by one for each output. What a claim has
//! once paid it never falls below, whatever becomes of the transaction it was in.
//!
//! Not here: what is ours to claim (`channel::onchain`), signatures, coins and broadcast (`layer1::sweeps`).

mod groups;
mod job;
mod plan;
mod rate;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{Amount, OutPoint, Txid};
use channel::onchain::Claim;
use wire::units::{BlockHeight, FeeratePerKw};

use crate::fact::{ChannelIndex, SweepMade};
use crate::wallet::PromiseId;

pub use job::{Built, Job, Parent, TooDear};
pub use plan::Look;
pub use rate::{is_better, patient};
pub use shown::{Progress, Standing, SweepBook};

/// A claim and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Whose.
    pub channel: ChannelIndex,
    /// What.
    pub claim: Claim,
}

/// A commitment that is in no block, and what our anchor on it could pay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stuck {
    /// Our anchor on it; its deadline is that of the first HTLC.
    pub anchor: Claim,
    /// The commitment.
    pub parent: Parent,
    /// What is lost at most if it does not confirm.
    pub stake: Amount,
    /// Since when it waits.
    pub since: BlockHeight,
    /// Whether HTLCs are on it, so that time matters.
    pub urgent: bool,
    /// Blocks it may wait if the mempool takes it as it is.
    pub patience: u32,
}

/// What a human wants of one transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// It pays this, at least.
    Feerate(FeeratePerKw),
    /// It is in a block of this height, at most.
    Deadline(BlockHeight),
}

/// A transaction on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Attempt {
    name: PromiseId,
    members: BTreeMap<OutPoint, ChannelIndex>,
    since: BlockHeight,
    deadline: Option<BlockHeight>,
    fee: Amount,
    feerate: FeeratePerKw,
    /// In which block it is.
    mined: Option<BlockHeight>,
    /// Whether the mempool has it.
    seen: bool,
}

/// What is remembered of a claim whatever becomes of its transactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Begun {
    /// When it could first be taken.
    since: BlockHeight,
    /// What was offered for it.
    feerate: FeeratePerKw,
    /// Whether the transaction it was in could be in no block: it goes alone from now on.
    alone: bool,
    /// By which block it was promised to be done: the claim's own, or what a human ordered, which a restart
    /// must not forget.
    deadline: Option<BlockHeight>,
}

/// All claims, and how far they are.
#[derive(Debug, Default)]
pub struct Sweeper {
    claims: BTreeMap<OutPoint, Wanted>,
    stuck: BTreeMap<ChannelIndex, Stuck>,
    attempts: BTreeMap<Txid, Attempt>,
    begun: BTreeMap<OutPoint, Begun>,
    orders: BTreeMap<OutPoint, Order>,
    /// Why the last try of a claim came to nothing.
    said: BTreeMap<OutPoint, Standing>,
}

impl Sweeper {
    /// With what the journal says to be on its way.
    pub fn restore(made: impl IntoIterator<Item = SweepMade>) -> Self {
        let mut this = Self::default();
        for made in made {
            this.made(&made);
        }
        this
    }

    /// What a channel has to take now, all of it.
    pub fn claims(&mut self, channel: ChannelIndex, claims: Vec<Claim>) {
        self.claims.retain(|_, wanted| wanted.channel != channel);
        for claim in claims {
            self.claims.insert(claim.spend.outpoint, Wanted { channel, claim });
        }
    }

    /// The commitment of a channel that waits for a block, if one does.
    pub fn closing(&mut self, channel: ChannelIndex, stuck: Option<Stuck>) {
        match stuck {
            Some(stuck) => self.stuck.insert(channel, stuck),
            None => self.stuck.remove(&channel),
        };
    }

    /// A channel is over. What is on its way for it stays so until its end; what came in is shown no more.
    pub fn forget(&mut self, channel: ChannelIndex) {
        let is_its = |wanted: &Wanted| wanted.channel == channel;
        let gone: BTreeSet<OutPoint> = (self.claims.iter())
            .filter_map(|(outpoint, wanted)| is_its(wanted).then_some(*outpoint))
            .collect();
        self.claims.retain(|_, wanted| !is_its(wanted));
        self.begun.retain(|outpoint, _| !gone.contains(outpoint));
        self.said.retain(|outpoint, _| !gone.contains(outpoint));
        self.stuck.remove(&channel);
        let known: BTreeSet<ChannelIndex> =
            self.claims.values().map(|wanted| wanted.channel).collect();
        self.attempts.retain(|_, attempt| {
            let all_over = |of: &ChannelIndex| *of == channel || !known.contains(of);
            attempt.mined.is_none() || !attempt.members.values().all(all_over)
        });
    }

    /// A transaction was made and is written down.
    pub fn made(&mut self, made: &SweepMade) {
        let members: BTreeMap<OutPoint, ChannelIndex> = (made.members.iter())
            .map(|(channel, outpoint)| (*outpoint, ChannelIndex(*channel)))
            .collect();
        for outpoint in members.keys() {
            let begun = self.begun.entry(*outpoint).or_insert(Begun {
                since: made.since,
                feerate: made.feerate,
                alone: false,
                deadline: None,
            });
            begun.deadline = begun.deadline.into_iter().chain(made.deadline).min();
            begun.since = begun.since.min(made.since);
            begun.feerate = begun.feerate.max(made.feerate);
            if made.ordered > FeeratePerKw(0) {
                self.orders.insert(*outpoint, Order::Feerate(made.ordered));
            }
            self.said.remove(outpoint);
        }
        let attempt = Attempt {
            name: PromiseId(made.name),
            members,
            since: made.since,
            deadline: made.deadline,
            fee: Amount::from_sat(made.fee_sat),
            feerate: made.feerate,
            mined: None,
            seen: false,
        };
        self.attempts.insert(made.txid, attempt);
    }

    /// A job came to nothing, for now.
    pub fn failed(&mut self, job: &Job, why: &Standing) {
        for wanted in &job.members {
            self.said.insert(wanted.claim.spend.outpoint, why.clone());
        }
    }

    /// No block can have what was made of a job as things stand: its claims go alone from now on, so that
    /// the sound ones get through.
    pub fn distrust(&mut self, job: &Job) {
        for wanted in &job.members {
            if let Some(begun) = self.begun.get_mut(&wanted.claim.spend.outpoint) {
                begun.alone = true;
            }
        }
    }

    /// A transaction was replaced, or can be in no block any more.
    pub fn over(&mut self, txid: Txid) {
        self.attempts.remove(&txid);
    }

    /// A transaction is in a block, or no longer in one.
    pub fn mined(&mut self, txid: Txid, at: Option<BlockHeight>) {
        if let Some(attempt) = self.attempts.get_mut(&txid) {
            attempt.mined = at;
            attempt.seen &= at.is_none();
            for outpoint in attempt.members.keys() {
                self.orders.remove(outpoint);
            }
        }
    }

    /// Blocks above the fork never happened.
    pub fn rewind(&mut self, fork: BlockHeight) {
        for attempt in self.attempts.values_mut() {
            attempt.mined = attempt.mined.filter(|at| *at <= fork);
        }
    }

    /// The mempool has a transaction, or has it no more.
    pub fn seen(&mut self, txid: Txid, there: bool) {
        if let Some(attempt) = self.attempts.get_mut(&txid) {
            attempt.seen = there;
        }
    }

    /// Whether a transaction is one of this sweeper's.
    pub fn has(&self, txid: Txid) -> bool {
        self.attempts.contains_key(&txid)
    }

    /// What a transaction that the mempool has pays.
    pub fn fee_in_mempool(&self, txid: Txid) -> Option<Amount> {
        self.attempts.get(&txid).filter(|attempt| attempt.seen).map(|attempt| attempt.fee)
    }

    /// Transactions that are in no block.
    pub fn on_their_way(&self) -> Vec<Txid> {
        let waiting = self.attempts.iter().filter(|(_, attempt)| attempt.mined.is_none());
        waiting.map(|(txid, _)| *txid).collect()
    }

    /// The outputs of a channel that transactions take which are in no block, and those transactions.
    pub fn waits_on(&self, channel: ChannelIndex) -> Vec<(Txid, OutPoint)> {
        let waiting = self.attempts.iter().filter(|(_, attempt)| attempt.mined.is_none());
        waiting
            .flat_map(|(txid, attempt)| attempt.members.iter().map(move |member| (*txid, member)))
            .filter(|(_, (_, whose))| **whose == channel)
            .map(|(txid, (outpoint, _))| (txid, *outpoint))
            .collect()
    }

    /// Whether a claim waits for coins of the wallet.
    pub fn wants_coins(&self) -> bool {
        self.said.values().any(|said| matches!(said, Standing::NeedsCoins { .. }))
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

/// The sum of amounts, at most all there is.
fn total(amounts: impl IntoIterator<Item = Amount>) -> Amount {
    amounts
        .into_iter()
        .fold(Amount::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Amount::MAX_MONEY))
}
