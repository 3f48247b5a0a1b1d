//! Which transaction is it? BOLT 5 § Failing a Channel.

use bitcoin::Transaction;

use super::{Close, Known};
use crate::keys::CommitmentKeys;
use crate::signer::revealed_point;
use crate::tx::penalty::Revoked;
use crate::tx::{RevokedSecret, SpecHtlc, script};

pub(super) fn classify(known: &Known<'_>, tx: &Transaction) -> Close {
    let txid = tx.compute_txid();
    if known.closes.contains(&txid) {
        return Close::Mutual;
    }
    if known.ours.txid() == txid {
        return Close::Ours;
    }
    if let Some(theirs) = known.theirs.iter().find(|theirs| theirs.txid() == txid) {
        return Close::Theirs { number: theirs.number() };
    }
    let Some(number) = known.their_terms.obscuring.reveal(tx) else { return Close::Unknown };
    if let Some(revoked) = revoked(known, number) {
        // A number alone proves nothing: an old commitment of our own carries one, too.
        let ours = script::to_remote(&known.our_basepoints.payment).to_p2wsh();
        let pays_us = tx.output.iter().any(|out| out.script_pubkey == ours);
        let is_theirs = pays_us || !revoked.penalties(tx, &candidates(known)).is_empty();
        return if is_theirs { Close::Revoked { number } } else { Close::Unknown };
    }
    if known.theirs.iter().all(|theirs| number > theirs.number()) {
        Close::Future { number }
    } else {
        Close::Unknown
    }
}

/// The peer's commitment of this number, if its secret was revealed.
pub(super) fn revoked(known: &Known<'_>, number: u64) -> Option<Revoked> {
    let secret = known.secrets.secret(number)?;
    let point = revealed_point(&secret)?;
    let keys = CommitmentKeys::derive(known.their_basepoints, known.our_basepoints, &point).ok()?;
    Some(Revoked::new(known.their_terms, &keys, RevokedSecret(secret)))
}

/// Every HTLC that a revoked commitment may show, as the peer sees it: those of the past, and all that are
/// still alive.
pub(super) fn candidates(known: &Known<'_>) -> Vec<SpecHtlc> {
    let ours = known.outgoing.iter().map(|htlc| SpecHtlc { direction: !htlc.direction, ..*htlc });
    let shown = known.theirs.iter().flat_map(|theirs| theirs.htlcs()).map(|output| output.htlc);
    known.past.iter().copied().chain(ours).chain(shown).collect()
}
