//! What a block means for open breaches, as facts. Pure.

use bitcoin::{Amount, Transaction, Txid};

use crate::respond::book::{Book, FINAL_DEPTH, Tracked};
use crate::respond::fact::{ClaimFact, Taker};

/// What a transaction in a block of that height says: a breach is there or will never be, an output went
/// somewhere.
pub fn mined<'a>(
    book: &Book,
    height: u32,
    txs: impl IntoIterator<Item = &'a Transaction>,
) -> Vec<ClaimFact> {
    if book.is_idle() {
        return Vec::new();
    }
    let mut facts = Vec::new();
    for tx in txs {
        let watched = tx.input.iter().any(|input| {
            let coin = &input.previous_output;
            book.claim(coin).is_some() || !book.spenders_of(coin).is_empty()
        });
        // A source spends what is watched, so nothing else needs its id.
        if watched {
            spends(book, height, tx, &mut facts);
        }
    }
    facts
}

fn spends(book: &Book, height: u32, tx: &Transaction, facts: &mut Vec<ClaimFact>) {
    let txid = tx.compute_txid();
    if book.source(&txid).is_some() {
        facts.push(ClaimFact::Confirmed { source: txid, height });
    }
    for input in &tx.input {
        let coin = input.previous_output;
        for source in book.spenders_of(&coin) {
            if *source != txid {
                facts.push(ClaimFact::Overtaken { source: *source, by: txid, height });
            }
        }
        if let Some(tracked) = book.claim(&coin) {
            let taker = taker(book, tx, txid, tracked);
            facts.push(ClaimFact::Taken { outpoint: coin, by: txid, taker, height });
        }
    }
}

/// Whose a transaction is that spends a claimed output.
pub fn taker(book: &Book, tx: &Transaction, txid: Txid, tracked: &Tracked) -> Taker {
    if tracked.sent.is_some_and(|sent| sent.txid == txid) {
        return Taker::Us;
    }
    let Some(script) = tracked.pays_to() else { return Taker::Them };
    let outputs = tx.output.iter().filter(|output| output.script_pubkey == *script);
    let paid = outputs.fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
    let coins = tx.input.iter().filter_map(|input| book.claim(&input.previous_output));
    let taken = coins.fold(0_u64, |sum, coin| sum.saturating_add(coin.claim.value.to_sat()));
    // A cheater may add a small output to our script to its own transaction; fees never are half of it.
    let is_ours = Amount::from_sat(paid.saturating_mul(2)) >= Amount::from_sat(taken);
    match (is_ours, tracked.sent.is_some()) {
        // An earlier price of ours, or the same one by another tower: the money is where it belongs.
        (true, true) => Taker::Us,
        (true, false) => Taker::Other,
        (false, _) => Taker::Them,
    }
}

/// What is over at this height: everything of it was decided a hundred blocks ago.
pub fn over(book: &Book, tip_height: u32) -> Vec<ClaimFact> {
    let deep = |height: u32| tip_height.saturating_sub(height).saturating_add(1) >= FINAL_DEPTH;
    let ended = book.sources().filter(|(txid, source)| match (source.height, source.overtaken) {
        (None, Some((_, height))) => deep(height),
        (None, None) => false,
        (Some(height), _) => {
            let mut claims = book.claims_of(**txid);
            deep(height)
                && claims.all(|(_, claim)| claim.taken.is_some_and(|taken| deep(taken.height)))
        }
    });
    ended.map(|(txid, _)| ClaimFact::Ended { source: *txid }).collect()
}
