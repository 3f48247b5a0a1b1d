//! What is seen before a block has it, and what else is known and in no record. BOLT 5.
//!
//! A preimage that was shown cannot be unseen, so it is recorded at once. A transaction that was seen can
//! vanish, so nothing else of it is.
//!
//! Not here: who can take which output (`onchain`).

use std::collections::BTreeMap;

use bitcoin::{Transaction, Txid};
use wire::id::Preimage;
use wire::units::{BlockHeight, Sat};

use super::{showable_preimage, spender};
use crate::clock::Side;
use crate::effect::{Alarm, CloseReason, Effect, Held, Notice, Outcome, Spender};
use crate::env::Env;
use crate::fact::Fact;
use crate::live::Live;
use crate::onchain::{Chain, Claim, Close, Mined, Resolution, bump, name, preimages_in};
use crate::out::Out;
use crate::tx::Commitment;

/// What is forgotten with the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// The unconfirmed transaction that spends the funding output.
    pub(crate) close: Option<Transaction>,
    /// The unconfirmed transaction that spends a coin of the funding transaction's.
    pub(crate) rival: Option<Txid>,
    /// When the incoming HTLCs expire that outgoing ones pay for.
    pub(crate) upstream: BTreeMap<u64, BlockHeight>,
    /// The close that was advised last: why, what stood against it, what it saves and until when.
    pub(super) advised: Option<(CloseReason, Held, Sat, Option<BlockHeight>)>,
}

impl Live {
    /// An unconfirmed transaction spends the funding output.
    pub(super) fn see_close(&mut self, tx: Transaction, env: &Env<'_>, out: &mut Out) {
        self.learn(&tx, out);
        let known = self.sight.close.as_ref().is_some_and(|seen| *seen == tx);
        if self.state.chain.spent.is_some() || known {
            return;
        }
        let replaced = self.sight.close.replace(tx);
        let Some(close) = self.seen_resolution(env).map(|resolution| resolution.close) else {
            return out.alarm(Alarm::Signer);
        };
        let txid = self.sight.close.as_ref().map(Transaction::compute_txid);
        let Some(txid) = txid else { return };
        if replaced.is_some_and(|old| old.compute_txid() == txid) {
            return;
        }
        let by = spender(close);
        out.notice(Notice::SpendSeen { txid, by });
        if by == Spender::RevokedCommitment {
            out.alarm(Alarm::Breach { txid });
        } else {
            // Whatever the one that it replaced left to be taken.
            out.effect(Effect::Claims(Vec::new()));
        }
    }

    /// What was seen is gone: there is nothing to take.
    pub(super) fn lose_sight(&mut self, txid: Txid, out: &mut Out) {
        let gone = |seen: &mut Transaction| seen.compute_txid() == txid;
        if self.sight.close.take_if(gone).is_some() && self.state.chain.spent.is_none() {
            out.notice(Notice::SpendVanished { txid });
            out.effect(Effect::Claims(Vec::new()));
        }
    }

    /// Justice needs no block: what takes a revoked commitment's outputs can be in the same one.
    pub(super) fn claim_seen(&mut self, env: &Env<'_>, out: &mut Out) {
        if let Some(resolution) = self.seen_resolution(env)
            && matches!(resolution.close, Close::Revoked { .. })
        {
            self.search_history(&resolution, out);
            out.effect(Effect::Claims(resolution.claims));
        }
    }

    pub(crate) fn seen(&self, env: &Env<'_>) -> Option<(&Transaction, Close)> {
        let tx = self.sight.close.as_ref()?;
        Some((tx, self.seen_resolution(env)?.close))
    }

    pub(crate) fn bump_seen(&self, env: &Env<'_>) -> Option<Claim> {
        let (tx, Close::Theirs { .. }) = self.seen(env)? else { return None };
        let txid = tx.compute_txid();
        let theirs = self.state.their_commitments().ok()?;
        let seen = theirs.iter().find(|theirs| theirs.txid() == txid)?;
        let open = self.state.chain.spent.is_none();
        open.then(|| self.bump_of(seen)).flatten()
    }

    /// Our anchor on a commitment, with the first height at which an HTLC of ours on it may be lost.
    pub(super) fn bump_of(&self, commitment: &Commitment) -> Option<Claim> {
        let owner = commitment.terms().owner;
        let deadline = commitment.htlcs().iter().filter_map(|output| {
            let expiry = output.htlc.cltv_expiry;
            let (by, id) = name(owner, &output.htlc);
            match by {
                // The peer takes it back then; without its preimage it is the peer's anyway.
                Side::Them => {
                    let htlc = self.state.ledger.htlc(Side::Them, id)?;
                    showable_preimage(htlc).map(|_| expiry)
                }
                // Whoever paid us for it takes that back; not known when, it is urgent from now on.
                Side::Us => Some(self.sight.upstream.get(&id).copied().unwrap_or(expiry)),
            }
        });
        let deadline = deadline.min();
        bump(commitment).map(|claim| Claim { deadline, ..claim })
    }

    /// Where everything would stand if the next block had what is seen.
    fn seen_resolution(&self, env: &Env<'_>) -> Option<Resolution> {
        let tx = self.sight.close.as_ref()?;
        let close = Mined { tx, height: env.height.saturating_add(1) };
        self.resolve_on(&Chain { tip: env.height, feerate: env.feerate, close, spends: &[] }, env)
    }

    /// Takes preimages out of a transaction, confirmed or not: who paid us for those HTLCs can pay now.
    ///
    /// BOLT 5: "MUST extract the payment preimage from the transaction input witness."
    pub(super) fn learn(&mut self, tx: &Transaction, out: &mut Out) {
        let wanted: Vec<_> = (self.state.ledger.htlcs())
            .filter(|(by, htlc)| *by == Side::Us && !htlc.clock.is_proposed())
            .filter(|(_, htlc)| htlc.preimage.is_none())
            .map(|(_, htlc)| (htlc.add.id, htlc.add.payment_hash))
            .collect();
        let shown = preimages_in(tx, wanted.iter().map(|(_, hash)| hash));
        for (id, hash) in wanted {
            let Some(preimage) = shown.get(&hash).copied() else { continue };
            let told = (self.state.ledger.htlc(Side::Us, id))
                .is_some_and(|htlc| htlc.outcome().is_some() || htlc.forgotten);
            if told {
                self.learn_late(id, preimage, out);
            } else {
                self.note(Fact::PreimageSeen { htlc: id, preimage, attribution: None }, out);
                self.tell_outcome(id, out);
            }
        }
    }

    /// A preimage for an HTLC whose end was told: a loss if it was told to have failed.
    pub(super) fn learn_late(&mut self, id: u64, preimage: Preimage, out: &mut Out) {
        let Some(htlc) = self.state.ledger.htlc(Side::Us, id) else { return };
        if htlc.preimage.is_some() || matches!(htlc.ended, Some(Outcome::Fulfilled { .. })) {
            return;
        }
        let amount_msat = htlc.add.amount_msat;
        self.note(Fact::PreimageSeen { htlc: id, preimage, attribution: None }, out);
        out.alarm(Alarm::TakenAfterAll { htlc: id, amount_msat });
    }
}
