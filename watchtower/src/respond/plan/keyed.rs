//! Outputs that the keys of a replica open: the tower signs, so the price is its own.

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use wire::units::Sat;

use super::{AROUND, DUST_SAT, INCREMENT_PER_KW, Job, Now, expiry, fee_at, pace, sum};
use crate::kit::claim::{Way, output_weight};
use crate::respond::book::{Source, Tracked};

/// Outputs that the keys of a replica open, into one output.
pub(super) fn sweep(source: &Source, members: &[&Tracked], now: &Now<'_>) -> Option<Job> {
    let first = members.first()?;
    let script = first.pays_to()?.clone();
    let weight =
        members.iter().fold(AROUND.saturating_add(output_weight(&script)), |sum, tracked| {
            match &tracked.claim.way {
                Way::Keyed(keyed) => sum.saturating_add(keyed.input_weight),
                Way::Pair(_) | Way::Ladder(_) => sum,
            }
        });
    let outpoints: Vec<OutPoint> = members.iter().map(|tracked| tracked.claim.outpoint).collect();
    let value = sum(members.iter().map(|tracked| tracked.claim.value));
    let wanted_per_kw = members.iter().map(|t| pace(t, source, now).wanted_per_kw).max()?;
    let fee = keyed_fee(members, value, weight, wanted_per_kw, now.lessons.least(&outpoints))?;
    let left = value.checked_sub(fee)?;
    let input = |tracked: &&Tracked| TxIn {
        previous_output: tracked.claim.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: match tracked.claim.csv {
            0 => Sequence::ENABLE_RBF_NO_LOCKTIME,
            csv => Sequence::from_height(csv),
        },
        witness: Witness::new(),
    };
    let lock = members.iter().map(|tracked| expiry(tracked)).max().unwrap_or(0);
    Some(Job {
        tx: Transaction {
            version: Version::TWO,
            lock_time: LockTime::from_consensus(lock),
            input: members.iter().map(input).collect(),
            output: vec![TxOut { value: left, script_pubkey: script }],
        },
        outpoints,
        fee,
        most: value.checked_sub(Sat::from_sat(DUST_SAT)).unwrap_or_default(),
        weight,
        signer: Some(source.session),
        open: false,
        wanted_per_kw,
        added: None,
        is_mined: source.height.is_some(),
    })
}

/// What such a transaction pays: what the estimate asks, and more than what it replaces. The same as before
/// if that is enough, so that the same transaction comes out. At most all but what an output must hold.
fn keyed_fee(
    members: &[&Tracked],
    value: Sat,
    weight: u64,
    wanted_per_kw: u64,
    least: Sat,
) -> Option<Sat> {
    let asked = fee_at(wanted_per_kw, weight);
    let mut before: BTreeMap<Txid, (Sat, u64)> = BTreeMap::new();
    for sent in members.iter().filter_map(|tracked| tracked.sent) {
        let (_, count) = before.entry(sent.txid).or_insert((sent.fee, 0));
        *count = count.saturating_add(1);
    }
    let all = u64::try_from(members.len()).unwrap_or(u64::MAX);
    let same = before.values().next().filter(|(_, count)| before.len() == 1 && *count == all);
    let most = value.to_sat().checked_sub(DUST_SAT)?;
    let more = fee_at(INCREMENT_PER_KW, weight);
    let fee = match same {
        Some((fee, _)) if fee.to_sat() >= asked && *fee >= least => fee.to_sat(),
        Some((fee, _)) => asked.max(fee.to_sat().saturating_add(more)).max(least.to_sat()),
        // What others of ours would have to be paid for is learnt from the mempool, once.
        None => asked.max(least.to_sat()),
    };
    // Half of it for the miners is much; nothing for the victim is worse only than all for the cheater.
    Some(Sat::from_sat(fee.min(most)))
}
