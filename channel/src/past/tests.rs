//! Settled HTLCs survive their bytes, and a search finds exactly those that fit.

use bitcoin::TxOut;
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use wire::units::Sat;

use super::*;
use crate::tx::tests::Pair;

fn htlc(number: u32, by: Side) -> PastHtlc {
    let mut hash = [7; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    PastHtlc::new(by, &PaymentHash(hash), BlockHeight(600 + number % 144))
}

fn keys() -> CommitmentKeys {
    Pair::new().commitment(Side::Us, Side::Them, 3, &crate::tx::tests::spec()).keys().clone()
}

/// A transaction with an output for each of these.
fn commitment(shown: &[PastHtlc], keys: &CommitmentKeys) -> Transaction {
    let output = (shown.iter().zip(1_000..))
        .map(|(htlc, value)| TxOut {
            value: Sat::from_sat(value),
            script_pubkey: htlc.witness_script(keys).to_p2wsh(),
        })
        .collect();
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![], output }
}

fn search(
    tx: &Transaction,
    keys: &CommitmentKeys,
    past: &Past,
    archive: &[PastHtlc],
) -> Vec<PastHtlc> {
    let txid = tx.compute_txid();
    let unknown: Vec<_> = (0..tx.output.len() as u32).map(|vout| OutPoint { txid, vout }).collect();
    let mut search = Search::new(tx, &unknown, keys, past);
    for htlc in archive {
        search.offer(*htlc);
    }
    match search.finish() {
        ChainFact::HistoryFound { txid: of, htlcs } if of == txid => htlcs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_settled_htlc_survives_its_bytes() {
    for by in [Side::Us, Side::Them] {
        for height in [0, 1, 499_999_999] {
            let htlc = PastHtlc { cltv_expiry: BlockHeight(height), ..htlc(5, by) };
            assert_eq!(PastHtlc::from_bytes(&htlc.to_bytes()), htlc);
        }
    }
}

#[test]
fn all_966_htlcs_are_found_among_others_each_once() {
    let keys = keys();
    let shown: Vec<_> = (0..966)
        .map(|number| htlc(number, if number < 483 { Side::Us } else { Side::Them }))
        .collect();
    let tx = commitment(&shown, &keys);
    // The archive has them twice, among others, and the last hundred are not archived yet.
    let (old, recent) = shown.split_at(866);
    let mut archive: Vec<_> = (2_000..4_000).map(|number| htlc(number, Side::Us)).collect();
    archive.extend(old.iter().chain(old));
    let mut past = Past::default();
    for htlc in recent {
        past.push(*htlc);
    }
    let mut wanted = shown.clone();
    wanted.sort_unstable();
    assert_eq!(search(&tx, &keys, &past, &archive), wanted);
}

#[test]
fn the_same_hash_offered_by_the_other_side_is_another_htlc() {
    let keys = keys();
    let tx = commitment(&[htlc(1, Side::Us)], &keys);
    assert!(search(&tx, &keys, &Past::default(), &[htlc(1, Side::Them)]).is_empty());
    let late = PastHtlc { cltv_expiry: BlockHeight(1_000), ..htlc(1, Side::Us) };
    assert!(search(&tx, &keys, &Past::default(), &[late]).is_empty());
}

#[test]
fn what_the_archive_has_is_let_go_by_its_number() {
    let mut past = Past::default();
    for number in 0..5 {
        past.push(htlc(number, Side::Us));
    }
    past.let_go(3);
    assert_eq!((past.archived(), past.recent().len()), (3, 2));
    past.let_go(2);
    assert_eq!(past.archived(), 3, "never backwards");
    past.let_go(100);
    assert_eq!((past.archived(), past.recent().len()), (5, 0));
}

/// As many candidates as `VIADUCT_PAST_CANDIDATES` says, and what they take.
#[test]
fn a_long_history_is_searched_in_one_pass() {
    let candidates = std::env::var("VIADUCT_PAST_CANDIDATES");
    let candidates = candidates.ok().and_then(|text| text.parse().ok()).unwrap_or(5_000_u32);
    let keys = keys();
    let shown: Vec<_> = (0..966).map(|number| htlc(number, Side::Them)).collect();
    let archive: Vec<_> = (0..candidates)
        .map(|number| htlc(number, if number % 2 == 0 { Side::Us } else { Side::Them }))
        .collect();
    let tx = commitment(&shown, &keys);
    let started = std::time::Instant::now();
    let found = search(&tx, &keys, &Past::default(), &archive);
    println!("{} of {candidates} fit, {:?}", found.len(), started.elapsed());
    assert_eq!(found.len(), 483);
}
