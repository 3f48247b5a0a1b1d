//! Which transactions go out now, for all that is still to be taken. Pure: the same book, fees and height give
//! the same plan, so a restart hands in the same transactions again.
//!
//! Prices follow what is left of the time: half of it, six blocks at most, is the target. A whole
//! transaction (ladder) is sent at the lowest price that is enough, never below one that was sent; from
//! eighteen blocks before the deadline on at the highest. Outputs that can be combined are, while the breach
//! has no block (a mempool takes only 25 descendants) and while there is time; near the deadline, or
//! when a mempool refused them together, each goes alone. What a mempool refuses is planned again.
//!
//! Not here: signing with the keys of a replica, handing in (`watch`), coins of the tower's own (`topup`).

mod keyed;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{FeeRate, OutPoint, Transaction, Txid};
use chain_backend::{FeeTable, SubmitOutcome};
use wire::units::{BlockHeight, Sat};

use crate::kit::claim::{ClaimKind, Keyed, Pair, Right, Rung, Way};
use crate::respond::book::{Book, Source, Tracked};
use crate::respond::topup::Added;

/// `security_delay`. BOLT 5: "if confirmation doesn't happen before reaching `security_delay` blocks from expiry: SHOULD
/// *resolve* revoked outputs in their own, separate penalty transactions." At the highest price, too.
pub const URGENT_BLOCKS: u32 = 18;
/// The longest fee target.
const TARGET_MAX: u32 = 6;
/// Outputs in one transaction: each may be taken away by the cheater, and then it is made anew.
const TOGETHER_MAX: usize = 100;
/// Weight of one transaction of version 2: what nodes relay.
const WEIGHT_MAX: u64 = 390_000;
/// Weight of one of version 3 (TRUC): 10,000 virtual bytes.
const WEIGHT_MAX_TRUC: u64 = 39_000;
/// A replacement pays so much more for its own weight, per 1,000 weight units.
const INCREMENT_PER_KW: u64 = 250;
/// Version, lock time, counts, marker and flag.
const AROUND: u64 = 42;
/// What an output must hold at least.
const DUST_SAT: u64 = 330;

/// What is known when it is planned.
#[derive(Clone, Debug)]
pub struct Now<'a> {
    /// The last block.
    pub tip_height: u32,
    /// Prices.
    pub fees: &'a FeeTable,
    /// What mempools taught since the last block.
    pub lessons: &'a Lessons,
    /// Coins of the tower's own that are free.
    pub coins: usize,
}

/// What mempools taught since the last block.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lessons {
    /// They take nothing below this, per 1,000 weight units.
    floor_per_kw: u64,
    /// Outputs that cannot be taken together with others.
    alone: BTreeSet<OutPoint>,
    /// What a transaction for this output must pay at least.
    least: BTreeMap<OutPoint, Sat>,
    /// Coins of the tower's own that mempools do not know, or know as spent.
    bad: BTreeSet<OutPoint>,
}

/// A transaction to be handed in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// It; inputs of a replica's claims are not signed yet.
    pub tx: Transaction,
    /// What of it is claimed.
    pub outpoints: Vec<OutPoint>,
    /// What it pays.
    pub fee: Sat,
    /// What it weighs when it is signed.
    pub weight: u64,
    /// Whose keys sign it, if a replica's do.
    pub signer: Option<u32>,
    /// Whether inputs and outputs may be added behind its own.
    pub open: bool,
    /// What it should pay per 1,000 weight units.
    pub wanted_per_kw: u64,
    /// A coin of the tower's own that was added.
    pub added: Option<Added>,
    /// Whether what it spends is in a block.
    pub is_mined: bool,
}

impl Lessons {
    /// Learns from an answer to `job`. Whether a new plan may come out better.
    pub fn learn(&mut self, job: &Job, outcome: &SubmitOutcome) -> bool {
        let before = self.clone();
        match outcome {
            SubmitOutcome::Accepted
            | SubmitOutcome::InMempool
            | SubmitOutcome::Confirmed(_)
            | SubmitOutcome::FeeTooHigh { .. }
            | SubmitOutcome::Premature { .. }
            | SubmitOutcome::Unavailable => {}
            SubmitOutcome::FeeTooLow { min } => {
                self.floor_per_kw = self.floor_per_kw.max(per_kw(*min));
            }
            SubmitOutcome::Replaceable { needed } => {
                for outpoint in &job.outpoints {
                    let least = self.least.entry(*outpoint).or_default();
                    *least = (*least).max(*needed);
                }
            }
            SubmitOutcome::Conflict { .. }
            | SubmitOutcome::MissingInputs
            | SubmitOutcome::Invalid { .. } => {
                if job.outpoints.len() > 1 {
                    self.alone.extend(job.outpoints.iter().copied());
                } else if let Some(added) = job.added.as_ref().filter(|_| job.is_mined) {
                    self.bad.insert(added.coin.outpoint);
                }
            }
        }
        *self != before
    }

    /// Whether a coin of the tower's own was refused.
    pub fn is_bad(&self, coin: &OutPoint) -> bool {
        self.bad.contains(coin)
    }

    /// What a transaction for these outputs must pay at least.
    pub fn least(&self, outpoints: &[OutPoint]) -> Sat {
        outpoints
            .iter()
            .filter_map(|outpoint| self.least.get(outpoint))
            .max()
            .copied()
            .unwrap_or_default()
    }
}

/// Everything that should be in a mempool now.
pub fn plan(book: &Book, now: &Now<'_>) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut done: BTreeSet<Txid> = BTreeSet::new();
    for (txid, source) in book.sources() {
        if source.is_void() {
            continue;
        }
        let mut groups: BTreeMap<Group, Vec<&Tracked>> = BTreeMap::new();
        let pairs = book.claims_of(*txid).filter(|(_, t)| t.taken.is_none() && t.is_pair()).count();
        // A coin of our own for each would be too many: better together in time than alone and too cheap.
        let is_scarce = now.coins > 0 && pairs > now.coins;
        for (outpoint, tracked) in book.claims_of(*txid) {
            if tracked.taken.is_some() || !can_be_spent(tracked, source, now) {
                continue;
            }
            let pace = pace(tracked, source, now);
            match &tracked.claim.way {
                Way::Ladder(rungs) => {
                    let job = ladder(book, (tracked, source), rungs, &pace, now);
                    jobs.extend(job.filter(|job| done.insert(job.tx.compute_txid())));
                }
                Way::Pair(_) | Way::Keyed(_) => {
                    // What has a coin of ours stays with it, and so with what that was added for.
                    let is_topped = tracked.added.is_some();
                    let is_short = tracked.is_pair() && tracked.price() < pace.wanted_per_kw;
                    let is_pooled = !is_topped && is_short && is_scarce;
                    let splits = pace.is_urgent && source.height.is_some();
                    let alone =
                        splits && !is_topped && !is_pooled || now.lessons.alone.contains(outpoint);
                    let mut group = Group::of(tracked, alone.then_some(*outpoint));
                    if is_pooled {
                        group.sent = None;
                    }
                    groups.entry(group).or_default().push(tracked);
                }
            }
        }
        for members in groups.into_values() {
            jobs.extend(together(source, &members, now));
        }
    }
    jobs
}

/// What may go into one transaction.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Group {
    kind: ClaimKind,
    version: u8,
    keyed: bool,
    alone: Option<OutPoint>,
    /// What went together stays together: another mixture would stand against both.
    sent: Option<Txid>,
}

impl Group {
    fn of(tracked: &Tracked, alone: Option<OutPoint>) -> Self {
        let (version, keyed) = match &tracked.claim.way {
            Way::Pair(pair) => (pair.tx_version, false),
            Way::Keyed(_) | Way::Ladder(_) => (2, true),
        };
        let sent = tracked.sent.filter(|_| alone.is_none()).map(|sent| sent.txid);
        Self { kind: tracked.claim.kind, version, keyed, alone, sent }
    }
}

/// How much it hurries.
struct Pace {
    wanted_per_kw: u64,
    is_urgent: bool,
}

fn pace(tracked: &Tracked, source: &Source, now: &Now<'_>) -> Pace {
    let next = now.tip_height.saturating_add(1);
    let mined = BlockHeight(source.height.unwrap_or(next));
    let last = tracked.claim.deadline.last_height(mined);
    // A deadline that passed is no reason to give up: the cheater may sleep as well.
    let left = last.map(|last| last.0.saturating_sub(now.tip_height));
    let target = left.map_or(TARGET_MAX, |left| left.div_euclid(2).clamp(1, TARGET_MAX));
    let estimate = now.fees.estimate(u16::try_from(target).unwrap_or(1)).map_or(0, per_kw);
    let floor = per_kw(now.fees.floor()).max(now.lessons.floor_per_kw);
    Pace {
        wanted_per_kw: estimate.max(floor),
        is_urgent: left.is_some_and(|left| left <= URGENT_BLOCKS),
    }
}

/// BOLT 3: with anchors some outputs wait for a number of blocks.
fn can_be_spent(tracked: &Tracked, source: &Source, now: &Now<'_>) -> bool {
    let csv = u32::from(tracked.claim.csv);
    if now.tip_height < expiry(tracked) {
        return false;
    }
    if csv == 0 {
        return true;
    }
    let depth = |height: u32| now.tip_height.saturating_sub(height).saturating_add(1);
    source.height.is_some_and(|height| depth(height) >= csv)
}

/// The height from which on it may be taken: a transaction with this lock time is in the block after it at
/// the earliest.
fn expiry(tracked: &Tracked) -> u32 {
    match &tracked.claim.way {
        Way::Keyed(Keyed { right: Right::Expired(height, _), .. }) => height.0,
        Way::Keyed(_) | Way::Pair(_) | Way::Ladder(_) => 0,
    }
}

fn ladder(
    book: &Book,
    (tracked, source): (&Tracked, &Source),
    rungs: &[Rung],
    pace: &Pace,
    now: &Now<'_>,
) -> Option<Job> {
    let coins = |rung: &Rung| -> Vec<OutPoint> {
        rung.tx.input.iter().map(|input| input.previous_output).collect()
    };
    let outpoints = coins(rungs.first()?);
    // One of its coins is gone for good: then so is the transaction.
    if outpoints.iter().any(|coin| book.claim(coin).is_some_and(|other| other.taken.is_some())) {
        return None;
    }
    let least = now.lessons.least(&outpoints);
    let dear = |rung: &Rung| {
        u64::from(rung.feerate.0) >= pace.wanted_per_kw && rung.fee >= least && !pace.is_urgent
    };
    let last = rungs.len().saturating_sub(1);
    let enough = rungs.iter().position(dear).unwrap_or(last);
    let open = || tracked.added.as_ref().and_then(|_| rungs.iter().rposition(|rung| rung.open));
    let sent = tracked
        .sent
        .and_then(|sent| rungs.iter().position(|rung| rung.tx.compute_txid() == sent.txid))
        .or_else(open);
    let rung = rungs.get(enough.max(sent.unwrap_or(0)))?;
    Some(Job {
        tx: rung.tx.clone(),
        outpoints,
        fee: rung.fee,
        weight: rung.tx.weight().to_wu(),
        signer: None,
        open: rung.open,
        wanted_per_kw: pace.wanted_per_kw,
        added: None,
        is_mined: source.height.is_some(),
    })
}

/// Members of one group, in as many transactions as they need.
fn together(source: &Source, members: &[&Tracked], now: &Now<'_>) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut pairs: Vec<(&Tracked, &Pair)> = Vec::new();
    let mut keyed: Vec<&Tracked> = Vec::new();
    let mut weight = AROUND;
    let mut version = 2;
    for tracked in members {
        let more = match &tracked.claim.way {
            Way::Pair(pair) => pair.weight,
            Way::Keyed(one) => one.input_weight,
            Way::Ladder(_) => continue,
        };
        let limit = if version == 3 { WEIGHT_MAX_TRUC } else { WEIGHT_MAX };
        let count = pairs.len().saturating_add(keyed.len());
        if count >= TOGETHER_MAX || (count > 0 && weight.saturating_add(more) > limit) {
            jobs.extend(combine(source, &std::mem::take(&mut pairs), now));
            jobs.extend(keyed::sweep(source, &std::mem::take(&mut keyed), now));
            weight = AROUND;
        }
        weight = weight.saturating_add(more);
        match &tracked.claim.way {
            Way::Pair(pair) => {
                version = pair.tx_version;
                pairs.push((tracked, pair));
            }
            Way::Keyed(_) => keyed.push(tracked),
            Way::Ladder(_) => {}
        }
    }
    jobs.extend(combine(source, &pairs, now));
    jobs.extend(keyed::sweep(source, &keyed, now));
    jobs
}

/// Pairs side by side: each input with its output at the same place.
fn combine(source: &Source, pairs: &[(&Tracked, &Pair)], now: &Now<'_>) -> Option<Job> {
    let (_, pair) = pairs.first()?;
    let tx = Transaction {
        version: Version(i32::from(pair.tx_version)),
        lock_time: LockTime::ZERO,
        input: pairs.iter().map(|(_, pair)| pair.input.clone()).collect(),
        output: pairs.iter().map(|(_, pair)| pair.output.clone()).collect(),
    };
    let value = sum(pairs.iter().map(|(tracked, _)| tracked.claim.value));
    let paid = sum(tx.output.iter().map(|output| output.value));
    Some(Job {
        weight: tx.weight().to_wu(),
        tx,
        outpoints: pairs.iter().map(|(tracked, _)| tracked.claim.outpoint).collect(),
        fee: value.checked_sub(paid).unwrap_or_default(),
        signer: None,
        open: true,
        wanted_per_kw: pairs.iter().map(|(t, _)| pace(t, source, now).wanted_per_kw).max()?,
        added: None,
        is_mined: source.height.is_some(),
    })
}

fn sum(values: impl Iterator<Item = Sat>) -> Sat {
    Sat::from_sat(values.fold(0_u64, |sum, value| sum.saturating_add(value.to_sat())))
}

fn per_kw(rate: FeeRate) -> u64 {
    rate.to_sat_per_kwu()
}
