//! A breach by a commitment that is older than what the state remembers: the archive is asked, once.
//! BOLT 5 § Revoked Transaction Close Handling.
//!
//! Not here: the search (`past`), what is claimed with its result (`onchain`).

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};

use crate::effect::{Alarm, Effect};
use crate::fact::Fact;
use crate::keys::CommitmentKeys;
use crate::live::Live;
use crate::onchain::{Close, Resolution, What};
use crate::out::Out;
use crate::past::{PastHtlc, Search};
use crate::signer::revealed_point;

impl Live {
    /// Asks for the HTLCs behind outputs that nobody knows, if nobody has looked yet.
    pub(crate) fn search_history(&mut self, resolution: &Resolution, out: &mut Out) {
        let Close::Revoked { number } = resolution.close else { return };
        let Some(tx) = self.closing_tx() else { return };
        let txid = tx.compute_txid();
        let unknown = unknown(resolution);
        let asked = self.searching == Some(txid) || self.state.past.found(txid).is_some();
        if asked || unknown.is_empty() {
            return;
        }
        if let Some(keys) = self.revoked_keys(number) {
            let search = Search::new(tx, &unknown, &keys, &self.state.past);
            out.effect(Effect::SearchHistory(Box::new(search)));
            self.searching = Some(txid);
        }
    }

    /// Records what was found, as far as it fits.
    pub(crate) fn on_history_found(&mut self, txid: Txid, found: Vec<PastHtlc>, out: &mut Out) {
        // What was searched for may have left the mempool meanwhile: if it comes back it is searched for again.
        if self.searching == Some(txid) {
            self.searching = None;
        }
        let Some(tx) = self.closing_tx() else { return };
        if tx.compute_txid() != txid || self.state.past.found(txid).is_some() {
            return;
        }
        let number = self.state.commitment_terms(crate::clock::Side::Them);
        let number = number.and_then(|terms| terms.obscuring.reveal(tx));
        let Some(keys) = number.and_then(|number| self.revoked_keys(number)) else { return };
        let mut htlcs = Vec::new();
        for htlc in found {
            if has_output(tx, &htlc.witness_script(&keys).to_p2wsh()) && !htlcs.contains(&htlc) {
                htlcs.push(htlc);
            }
        }
        self.note(Fact::HistoryFound { txid, htlcs }, out);
    }

    /// Says it if outputs are left that nobody knows although everybody has looked.
    pub(crate) fn count_unknown(&self, resolution: &Resolution, out: &mut Out) {
        let Some(tx) = self.closing_tx() else { return };
        let txid = tx.compute_txid();
        let unknown = unknown(resolution);
        if self.state.past.found(txid).is_some() && !unknown.is_empty() {
            let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
            out.alarm(Alarm::OutputsUnknown { txid, count });
        }
    }

    /// What spends the funding output: in a block, or seen on its way to one. Justice that waits for the
    /// block is a block late.
    pub(crate) fn closing_tx(&self) -> Option<&Transaction> {
        let mined = self.state.chain.spent.as_ref().map(|(tx, _)| tx);
        mined.or(self.sight.close.as_ref())
    }

    fn revoked_keys(&self, number: u64) -> Option<CommitmentKeys> {
        let point = revealed_point(&self.state.secrets.secret(number)?)?;
        let terms = &self.state.terms;
        CommitmentKeys::derive(&terms.their_keys, &terms.our_keys, &point).ok()
    }
}

/// Outputs of the commitment that no HTLC explains.
fn unknown(resolution: &Resolution) -> Vec<OutPoint> {
    let unknown = resolution.outputs.iter().filter(|view| view.what == What::Unknown);
    unknown.map(|view| view.outpoint).collect()
}

fn has_output(tx: &Transaction, script_pubkey: &ScriptBuf) -> bool {
    tx.output.iter().any(|txout| txout.script_pubkey == *script_pubkey)
}
