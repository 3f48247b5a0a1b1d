//! Which transactions go out now, for all that is still to be taken. Pure: the same book, fees and height give
//! the same plan, so a restart hands in the same transactions again.
//!
//! Prices follow what is left of the time: half of it, six blocks at most, is the target. A whole
//! transaction (ladder) is sent at the lowest price that is enough, never below one that was sent; from
//! eighteen blocks before the deadline on at the highest. Outputs that can be combined are, while the breach
//! has no block (a mempool takes only 25 descendants) and while there is time; near the deadline, or
//! when a mempool refused them together, each goes alone. What a mempool refuses is planned again.
//!
//! Pairs whose price is too low stay alone, or with those of their kind, while there is a coin of the
//! tower's own for each; if there are fewer coins than pairs, all of them share one. What has a coin keeps
//! it, and those that share it stay together until a mempool refuses them: then half of them each time, so that
//! one output which the cheater holds does not hold all.
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
    /// Outputs that shared a coin of the tower's own and were refused: to which part of them each belongs. 1
    /// is all, 2 and 3 are its halves, 4 and 5 those of 2.
    parts: BTreeMap<OutPoint, u64>,
    /// Outputs that were refused alone, with a coin of the tower's own: others may have it.
    hopeless: BTreeSet<OutPoint>,
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
    /// What it could pay at most.
    pub most: Sat,
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
            SubmitOutcome::Replaceable { needed } if *needed <= job.most => {
                for outpoint in &job.outpoints {
                    let least = self.least.entry(*outpoint).or_default();
                    *least = (*least).max(*needed);
                }
            }
            // What the breach's own outputs are is known from blocks.
            SubmitOutcome::MissingInputs if job.is_mined && job.added.is_some() => {
                self.bad.extend(job.added.as_ref().map(|added| added.coin.outpoint));
            }
            SubmitOutcome::Replaceable { .. }
            | SubmitOutcome::Conflict { .. }
            | SubmitOutcome::MissingInputs
            | SubmitOutcome::Invalid { .. } => self.refused(job),
        }
        *self != before
    }

    /// One of its outputs is held by another transaction, nobody says which.
    fn refused(&mut self, job: &Job) {
        match (job.outpoints.len(), &job.added) {
            (0 | 1, None) => {}
            (0 | 1, Some(_)) => self.hopeless.extend(job.outpoints.iter().copied()),
            (_, None) => self.alone.extend(job.outpoints.iter().copied()),
            (count, Some(_)) => {
                let half = count.div_ceil(2);
                for (place, outpoint) in job.outpoints.iter().enumerate() {
                    let part = self.part(outpoint).unwrap_or(1).saturating_mul(2);
                    let part = part.saturating_add(u64::from(place >= half));
                    self.parts.insert(*outpoint, part);
                    // It was asked of all of them.
                    self.least.remove(outpoint);
                }
            }
        }
    }

    /// To which part of what was refused together with a coin of the tower's own it belongs.
    pub fn part(&self, outpoint: &OutPoint) -> Option<u64> {
        self.parts.get(outpoint).copied()
    }

    /// How often the outputs of a job were refused with a coin: others go first.
    pub fn refusals(&self, job: &Job) -> u32 {
        let parts = job.outpoints.iter().map(|outpoint| self.part(outpoint));
        parts.filter_map(|part| part?.checked_ilog2()).max().unwrap_or(0)
    }

    /// Whether a coin of the tower's own does not help it.
    pub fn is_hopeless(&self, job: &Job) -> bool {
        job.outpoints.iter().any(|outpoint| self.hopeless.contains(outpoint))
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
    let short = due(book, now).filter(|(tracked, source)| is_short(tracked, source, now)).count();
    // A coin for each would be too many: better together in time than alone and too cheap.
    let is_scarce = now.coins > 0 && short > now.coins;
    let mut groups: BTreeMap<(Txid, Group), (&Source, Vec<&Tracked>)> = BTreeMap::new();
    for (tracked, source) in due(book, now) {
        match &tracked.claim.way {
            Way::Ladder(rungs) => {
                let job = ladder(book, (tracked, source), rungs, now);
                jobs.extend(job.filter(|job| done.insert(job.tx.compute_txid())));
            }
            Way::Pair(_) | Way::Keyed(_) => {
                let was_refused = now.lessons.part(&tracked.claim.outpoint).is_some();
                let shares = was_refused || is_scarce && is_short(tracked, source, now);
                let group = Group::of(tracked, source, shares, now);
                let key = (tracked.claim.outpoint.txid, group);
                groups.entry(key).or_insert_with(|| (source, Vec::new())).1.push(tracked);
            }
        }
    }
    for (source, members) in groups.into_values() {
        jobs.extend(together(source, &members, now));
    }
    jobs
}

/// Outputs that can be taken now.
fn due<'a>(book: &'a Book, now: &Now<'_>) -> impl Iterator<Item = (&'a Tracked, &'a Source)> {
    let sources = book.sources().filter(|(_, source)| !source.is_void());
    sources.flat_map(move |(txid, source)| {
        let open = book.claims_of(*txid).filter(|(_, tracked)| tracked.taken.is_none());
        let due = open.filter(move |(_, tracked)| can_be_spent(tracked, source, now));
        due.map(move |(_, tracked)| (tracked, source))
    })
}

/// Whether a coin of the tower's own is missing beside it.
fn is_short(tracked: &Tracked, source: &Source, now: &Now<'_>) -> bool {
    tracked.is_pair()
        && tracked.added.is_none()
        && tracked.price() < pace(tracked, source, now).wanted_per_kw
}

/// What may go into one transaction.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Group {
    /// Outputs that the keys of a replica open.
    Keyed { kind: ClaimKind, alone: Option<OutPoint>, sent: Option<Txid> },
    /// Pairs as they were signed, and what went together stays together: another mixture would stand against both.
    Pairs { kind: ClaimKind, version: u8, alone: Option<OutPoint>, sent: Option<Txid> },
    /// Pairs that have a coin of the tower's own, or are to share one.
    Topped { sent: Option<Txid>, version: u8, part: Option<u64> },
}

impl Group {
    fn of(tracked: &Tracked, source: &Source, shares: bool, now: &Now<'_>) -> Self {
        let outpoint = tracked.claim.outpoint;
        let splits = source.height.is_some() && pace(tracked, source, now).is_urgent;
        let alone = (splits || now.lessons.alone.contains(&outpoint)).then_some(outpoint);
        let kind = tracked.claim.kind;
        let sent = tracked.sent.map(|sent| sent.txid);
        let company = sent.filter(|_| alone.is_none());
        match &tracked.claim.way {
            Way::Pair(pair) if shares || tracked.added.is_some() => Self::Topped {
                sent: sent.filter(|_| !shares),
                version: pair.tx_version,
                part: now.lessons.part(&outpoint),
            },
            Way::Pair(pair) => Self::Pairs { kind, version: pair.tx_version, alone, sent: company },
            Way::Keyed(_) | Way::Ladder(_) => Self::Keyed { kind, alone, sent: company },
        }
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
    now: &Now<'_>,
) -> Option<Job> {
    let pace = pace(tracked, source, now);
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
        most: rungs.iter().map(|rung| rung.fee).max()?,
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
    let fee = value.checked_sub(paid).unwrap_or_default();
    Some(Job {
        weight: tx.weight().to_wu(),
        tx,
        outpoints: pairs.iter().map(|(tracked, _)| tracked.claim.outpoint).collect(),
        fee,
        most: fee,
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

/// What so much weight costs at a price per 1,000 weight units. Nodes count whole virtual bytes.
pub fn fee_at(per_kw: u64, weight: u64) -> u64 {
    per_kw.saturating_mul(weight.next_multiple_of(4)).div_ceil(1_000)
}

fn per_kw(rate: FeeRate) -> u64 {
    rate.to_sat_per_kwu()
}
