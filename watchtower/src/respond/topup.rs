//! A coin of the tower's own beside justice whose signatures allow it (`SIGHASH_SINGLE|ANYONECANPAY`), when the
//! price that was signed for is not what a mempool or the deadline asks. Pure.
//!
//! What it may cost is bounded twice: by a share of what is rescued, and by a sum of the operator's. What was
//! added once stays with its outputs, so a restart makes the same transaction again, and a dearer one takes
//! the same coin.
//!
//! Not here: the coins and their keys (`purse`), the transaction below (`plan`).

use bitcoin::{OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Txid, Witness};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::units::Sat;

use crate::kit::claim::output_weight;
use crate::respond::book::{Book, Sent, Tracked};
use crate::respond::plan::{Job, Lessons, fee_at};

/// An input that spends P2WPKH, with a signature of 71 bytes.
pub const INPUT_WEIGHT: u64 = 272;
/// A replacement pays so much more for its own weight, per 1,000 weight units.
const INCREMENT_PER_KW: u64 = 250;
/// What an output of ours must hold at least.
const DUST_SAT: u64 = 330;

/// A coin of the tower's.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Sat,
    /// Its script: P2WPKH.
    pub script_pubkey: ScriptBuf,
}

/// What was added to a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Added {
    /// The coin that goes in.
    pub coin: Coin,
    /// What comes back of it; nothing if it would be dust.
    pub back: Sat,
    /// Where that goes.
    pub back_to: ScriptBuf,
}

impl Added {
    /// What it costs the tower.
    pub fn own(&self) -> Sat {
        self.coin.value.checked_sub(self.back).unwrap_or_default()
    }
}

/// What the tower has, and what it may spend.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Means {
    /// Coins that are free.
    pub coins: Vec<Coin>,
    /// Where change goes.
    pub change: ScriptBuf,
    /// What may be added to one transaction at most.
    pub most: Sat,
    /// The same, in hundredths of what the transaction rescues.
    pub percent: u8,
    /// Coins that were added to others in this round.
    pub used: Vec<OutPoint>,
}

/// The jobs, with a coin beside each for which that is called for and can be had. `is_gone` says of a coin whether
/// a block spends it otherwise than by that transaction.
pub fn raise_all(
    mut jobs: Vec<Job>,
    book: &Book,
    lessons: &Lessons,
    means: &mut Means,
    is_gone: impl Fn(&OutPoint, Txid) -> bool,
) -> Vec<Job> {
    // A coin with which some were refused is for others now: first for those that were refused the least.
    jobs.sort_by_key(|job| lessons.refusals(job));
    for (outpoint, tracked) in book.claims() {
        let Some((added, sent)) = tracked.added.as_ref().zip(tracked.sent) else { continue };
        let coin = &added.coin;
        let is_held = tracked.taken.is_some() || lessons.part(outpoint).is_none();
        if !is_held && !is_gone(&coin.outpoint, sent.txid) && !means.coins.contains(coin) {
            means.coins.push(coin.clone());
        }
    }
    jobs.into_iter().map(|job| raise(job, book, lessons, means, &is_gone)).collect()
}

/// What went out for a job's outputs before, with a coin that is still there.
struct Before {
    sent: Sent,
    added: Option<Added>,
    /// Whether it was for these outputs and no others, so that it is this job or what this job replaces.
    is_same: bool,
}

fn before(job: &Job, book: &Book) -> Option<Before> {
    let claims = job.outpoints.iter().filter_map(|outpoint| book.claim(outpoint));
    let dearest = claims.clone().max_by_key(|claim| claim.sent.map(|sent| sent.fee))?;
    let sent = dearest.sent?;
    let of_it = |claim: &&Tracked| claim.sent.is_some_and(|other| other.txid == sent.txid);
    let all = book.claims_of(dearest.claim.outpoint.txid).filter(|(_, claim)| of_it(claim)).count();
    let here = claims.clone().filter(of_it).count();
    let is_same = here == all && here == job.outpoints.len();
    let added = claims.filter(of_it).find_map(|claim| claim.added.clone());
    Some(Before { sent, added, is_same })
}

fn raise(
    mut job: Job,
    book: &Book,
    lessons: &Lessons,
    means: &mut Means,
    is_gone: &impl Fn(&OutPoint, Txid) -> bool,
) -> Job {
    if !job.open || job.tx.input.len() != job.tx.output.len() || lessons.is_hopeless(&job) {
        return job;
    }
    let mut before = before(&job, book);
    if let Some(before) = &mut before {
        let by = before.sent.txid;
        before.added = before.added.take().filter(|added| {
            let coin = &added.coin.outpoint;
            !is_gone(coin, by) && !lessons.is_bad(coin) && !means.used.contains(coin)
        });
    }
    let used = before.as_ref().and_then(|before| before.added.as_ref()).map(|a| a.coin.clone());
    let claims = job.outpoints.iter().filter_map(|outpoint| book.claim(outpoint));
    let rescued = claims.fold(0_u64, |sum, c| sum.saturating_add(c.claim.value.to_sat()));
    let share = rescued.saturating_mul(u64::from(means.percent)).div_euclid(100);
    let free = means.coins.iter().filter(|coin| !lessons.is_bad(&coin.outpoint));
    let largest = free.chain(&used).map(|coin| coin.value.to_sat()).max().unwrap_or(0);
    let limit = means.most.to_sat().min(share).min(largest);
    let least = lessons.least(&job.outpoints).to_sat();
    let fee = job.fee.to_sat();
    job.most = job.most.max(Sat::from_sat(fee.saturating_add(limit)));
    if fee >= fee_at(job.wanted_per_kw, job.weight).max(least) && used.is_none() {
        return job;
    }
    let weight =
        job.weight.saturating_add(INPUT_WEIGHT).saturating_add(output_weight(&means.change));
    let mut asked = fee_at(job.wanted_per_kw, weight).max(least);
    // What this job replaces, if it is not the same again.
    let same = before.filter(|before| before.is_same);
    let again = same.as_ref().and_then(|before| before.added.clone());
    let sent = same.as_ref().map_or(0, |before| before.sent.fee.to_sat());
    if let Some(added) = &again
        && sent >= asked
    {
        add(&mut job, means, added.clone());
        return job;
    }
    if sent > 0 {
        // BIP 125: a replacement pays for itself and for what it replaces.
        asked = asked.max(sent.saturating_add(fee_at(INCREMENT_PER_KW, weight)));
    }
    let own = asked.saturating_sub(fee).min(limit);
    let is_dearer = |added: &Added| {
        let own = added.own().to_sat();
        own > 0 && fee.saturating_add(own) > sent
    };
    if let Some(added) = choose(own, used, means, lessons).filter(is_dearer).or(again) {
        add(&mut job, means, added);
    }
    job
}

/// A coin of which `own` is spent, the one that was used before if it will do. A coin that is too small for change is spent as a whole if that is no more.
fn choose(own: u64, used: Option<Coin>, means: &mut Means, lessons: &Lessons) -> Option<Added> {
    if own == 0 {
        return None;
    }
    let needed = own.saturating_add(DUST_SAT);
    let change = means.change.clone();
    let with_change = |coin: Coin| {
        let back = coin.value.checked_sub(Sat::from_sat(own)).unwrap_or_default();
        Added { coin, back, back_to: change.clone() }
    };
    if let Some(coin) = used.filter(|coin| coin.value.to_sat() >= needed) {
        return Some(with_change(coin));
    }
    means.coins.sort_by_key(|coin| (coin.value, coin.outpoint));
    let free = |coin: &&Coin| !lessons.is_bad(&coin.outpoint);
    let enough = means.coins.iter().filter(free).find(|coin| coin.value.to_sat() >= needed);
    let whole = || means.coins.iter().rev().filter(free).find(|coin| coin.value.to_sat() <= own);
    let added = match enough {
        Some(coin) => with_change(coin.clone()),
        None => Added { coin: whole()?.clone(), back: Sat::ZERO, back_to: change },
    };
    Some(added)
}

fn add(job: &mut Job, means: &mut Means, added: Added) {
    means.used.push(added.coin.outpoint);
    means.coins.retain(|coin| coin.outpoint != added.coin.outpoint);
    job.tx.input.push(TxIn {
        previous_output: added.coin.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    });
    job.weight = job.weight.saturating_add(INPUT_WEIGHT);
    if added.back > Sat::ZERO {
        let output = TxOut { value: added.back, script_pubkey: added.back_to.clone() };
        job.weight = job.weight.saturating_add(output_weight(&output.script_pubkey));
        job.tx.output.push(output);
    }
    let own = added.own().to_sat();
    job.fee = Sat::from_sat(job.fee.to_sat().saturating_add(own));
    job.added = Some(added);
}

/// The job as it was without its coin.
pub fn take_back(job: &mut Job) {
    let Some(added) = job.added.take() else { return };
    let own = job.outpoints.len();
    job.tx.input.truncate(own);
    job.tx.output.truncate(own);
    job.weight = job.tx.weight().to_wu();
    job.fee = job.fee.checked_sub(added.own()).unwrap_or_default();
}

impl Encode for Added {
    fn encode(&self, out: &mut Vec<u8>) {
        self.coin.outpoint.encode(out);
        self.coin.value.encode(out);
        self.coin.script_pubkey.encode(out);
        self.back.encode(out);
        self.back_to.encode(out);
    }
}

impl Decode for Added {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            coin: Coin {
                outpoint: OutPoint::decode(r)?,
                value: Sat::decode(r)?,
                script_pubkey: ScriptBuf::decode(r)?,
            },
            back: Sat::decode(r)?,
            back_to: ScriptBuf::decode(r)?,
        })
    }
}
