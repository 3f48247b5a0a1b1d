//! What a cheater loses: every output of a revoked commitment, and of the transactions it made from
//! them. BOLT 5 § Revoked Transaction Close Handling.
//!
//! Not here: finding out that a commitment is revoked (`onchain`).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use wire::units::Sat;

use super::commitment::{CommitmentTerms, Direction, SpecHtlc};
use super::script;
use super::spend::{Recipe, RevokedSecret, Spend};
use crate::keys::CommitmentKeys;
use crate::past::PastHtlc;

/// Script and value of an output, to its witness script and the HTLCs that have one like it.
type HtlcScripts = BTreeMap<(ScriptBuf, Sat), (ScriptBuf, Vec<SpecHtlc>)>;

/// A revoked commitment of the peer: its scripts, and the secret that opens them all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    keys: CommitmentKeys,
    secret: RevokedSecret,
    delayed: ScriptBuf,
    delayed_pubkey: ScriptBuf,
}

impl Revoked {
    /// The commitment with these keys, whose secret the peer has given up.
    pub fn new(terms: &CommitmentTerms, keys: &CommitmentKeys, secret: RevokedSecret) -> Self {
        Self::with_delay(terms.to_self_delay, keys, secret)
    }

    /// The same, from the only term that it needs: the owner's delay.
    pub fn with_delay(to_self_delay: u16, keys: &CommitmentKeys, secret: RevokedSecret) -> Self {
        let delayed = script::delayed(&keys.revocation, to_self_delay, &keys.owner_delayed);
        let delayed_pubkey = delayed.to_p2wsh();
        Self { keys: keys.clone(), secret, delayed, delayed_pubkey }
    }

    /// The script behind `to_local` and every second-level output.
    pub const fn delayed_script(&self) -> &ScriptBuf {
        &self.delayed
    }

    /// The penalties on the commitment's own outputs, with the HTLC each one is about, if it is
    /// known.
    ///
    /// `htlcs` are all that may be on it, seen by its owner: more than there are do no harm, because an
    /// output is recognised by its script.
    pub fn penalties(
        &self,
        commitment: &Transaction,
        htlcs: &[SpecHtlc],
    ) -> Vec<(Spend, Option<SpecHtlc>)> {
        let mut scripts = self.htlc_scripts(htlcs);
        let txid = commitment.compute_txid();
        (0..)
            .zip(&commitment.output)
            .filter_map(|(vout, txout)| {
                let outpoint = OutPoint { txid, vout };
                if txout.script_pubkey == self.delayed_pubkey {
                    return Some((self.delayed_spend(outpoint, txout), None));
                }
                let output = (txout.script_pubkey.clone(), txout.value);
                let (witness_script, htlcs) = scripts.get_mut(&output)?;
                let revocation = self.keys.revocation;
                let recipe = Recipe::PenaltyHtlc { secret: self.secret, revocation };
                let witness_script = witness_script.clone();
                let spend = Spend { outpoint, value: txout.value, witness_script, recipe };
                // HTLCs that look the same have as many outputs: each gets one.
                Some((spend, htlcs.pop()))
            })
            .collect()
    }

    /// The penalties on outputs of HTLCs that were settled long ago, found by their scripts alone.
    pub fn past_penalties(
        &self,
        commitment: &Transaction,
        past: &[PastHtlc],
    ) -> BTreeMap<OutPoint, (Spend, PastHtlc)> {
        let scripts: BTreeMap<ScriptBuf, (ScriptBuf, PastHtlc)> = (past.iter())
            .map(|htlc| (htlc.witness_script(&self.keys), *htlc))
            .map(|known| (known.0.to_p2wsh(), known))
            .collect();
        let txid = commitment.compute_txid();
        (0..)
            .zip(&commitment.output)
            .filter_map(|(vout, txout)| {
                let outpoint = OutPoint { txid, vout };
                let (witness_script, htlc) = scripts.get(&txout.script_pubkey)?.clone();
                let revocation = self.keys.revocation;
                let recipe = Recipe::PenaltyHtlc { secret: self.secret, revocation };
                let spend = Spend { outpoint, value: txout.value, witness_script, recipe };
                Some((outpoint, (spend, htlc)))
            })
            .collect()
    }

    /// The penalty on what the cheater made of its HTLC output `spent` in transaction `tx`.
    ///
    /// The peer's transactions may have other inputs and outputs: with `SIGHASH_SINGLE` the output that
    /// belongs to an input is the one at the same place. `None` if it went elsewhere.
    pub fn second_stage(&self, tx: &Transaction, txid: Txid, spent: OutPoint) -> Option<Spend> {
        let place = tx.input.iter().position(|input| input.previous_output == spent)?;
        let txout = tx.output.get(place)?;
        let vout = u32::try_from(place).ok()?;
        (txout.script_pubkey == self.delayed_pubkey)
            .then(|| self.delayed_spend(OutPoint { txid, vout }, txout))
    }

    fn delayed_spend(&self, outpoint: OutPoint, txout: &TxOut) -> Spend {
        Spend {
            outpoint,
            value: txout.value,
            witness_script: self.delayed.clone(),
            recipe: Recipe::PenaltyDelayed { secret: self.secret },
        }
    }

    fn htlc_scripts(&self, htlcs: &[SpecHtlc]) -> HtlcScripts {
        let mut scripts = HtlcScripts::new();
        for htlc in htlcs {
            let hash = &htlc.payment_hash;
            let witness_script = match htlc.direction {
                Direction::Offered => script::offered_htlc(&self.keys, hash),
                Direction::Received => script::received_htlc(&self.keys, hash, htlc.cltv_expiry),
            };
            let output = (witness_script.to_p2wsh(), htlc.amount.floor_sat());
            let (_, alike) = scripts.entry(output).or_insert((witness_script, Vec::new()));
            if !alike.contains(htlc) {
                alike.push(*htlc);
            }
        }
        for (_, alike) in scripts.values_mut() {
            // Outputs that look the same lie in the order of their expiry, and are taken from the end here.
            // Of two that are the same in that, too, the newer one is more likely to be alive.
            alike.sort_by_key(|htlc| (Reverse(htlc.cltv_expiry), htlc.id));
        }
        scripts
    }
}
