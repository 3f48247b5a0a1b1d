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
use crate::respond::book::Book;
use crate::respond::plan::{Job, Lessons};

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

/// The same job, with a coin beside it if that is called for and can be had. `is_gone` says of a coin whether a
/// block spends it otherwise than by that transaction.
pub fn raise(
    mut job: Job,
    book: &Book,
    lessons: &Lessons,
    means: &mut Means,
    is_gone: impl Fn(&OutPoint, Txid) -> bool,
) -> Job {
    if !job.open || job.tx.input.len() != job.tx.output.len() {
        return job;
    }
    let claims = job.outpoints.iter().filter_map(|outpoint| book.claim(outpoint));
    let rescued = claims.clone().fold(0_u64, |sum, c| sum.saturating_add(c.claim.value.to_sat()));
    let dearest = claims.filter(|claim| claim.sent.is_some()).max_by_key(|c| c.sent.map(|s| s.fee));
    let sent = dearest.and_then(|claim| claim.sent);
    let before = sent.zip(dearest.and_then(|claim| claim.added.clone()));
    let before = before.filter(|(sent, added)| {
        let coin = &added.coin.outpoint;
        !is_gone(coin, sent.txid) && !lessons.is_bad(coin) && !means.used.contains(coin)
    });
    let per_kw = |rate: u64, weight: u64| rate.saturating_mul(weight).div_ceil(1_000);
    let least = lessons.least(&job.outpoints).to_sat();
    let fee = job.fee.to_sat();
    let enough = per_kw(job.wanted_per_kw, job.weight).max(least);
    if fee >= enough && before.is_none() {
        return job;
    }
    let weight =
        job.weight.saturating_add(INPUT_WEIGHT).saturating_add(output_weight(&means.change));
    let share = rescued.saturating_mul(u64::from(means.percent)).div_euclid(100);
    let most = means.most.to_sat().min(share);
    let mut asked = per_kw(job.wanted_per_kw, weight).max(least);
    if let Some((sent, added)) = &before
        && sent.fee.to_sat() >= asked
    {
        add(&mut job, means, added.clone());
        return job;
    }
    // Whatever went out before, it is replaced at a price that pays for both.
    if let Some(sent) = sent {
        let step = per_kw(INCREMENT_PER_KW, weight);
        asked = asked.max(sent.fee.to_sat().saturating_add(step));
    }
    let own = asked.saturating_sub(fee).min(most);
    let used = before.as_ref().map(|(_, added)| added.coin.clone());
    let dearer = |own: u64| {
        let total = fee.saturating_add(own);
        sent.is_none_or(|sent| total > sent.fee.to_sat())
    };
    match choose(own, used, means, lessons) {
        Some(added) if added.own().to_sat() > 0 && dearer(added.own().to_sat()) => {
            add(&mut job, means, added);
        }
        Some(_) | None => {
            if let Some((_, added)) = before {
                add(&mut job, means, added);
            }
        }
    }
    job
}

/// A coin of which `own` is spent, the one that was used before if it will do; it is not free any more. A coin
/// that is too small for change is spent as a whole if that is no more.
fn choose(own: u64, used: Option<Coin>, means: &mut Means, lessons: &Lessons) -> Option<Added> {
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
    means.coins.retain(|coin| coin.outpoint != added.coin.outpoint);
    Some(added)
}

fn add(job: &mut Job, means: &mut Means, added: Added) {
    means.used.push(added.coin.outpoint);
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
