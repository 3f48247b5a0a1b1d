//! Layer 1: depth, deadlines, and the end of every output. BOLT 5.
//!
//! The resolver remembers nothing and is asked again after every block; what it says is compared with what
//! is recorded already.
//!
//! Not here: who can take which output (`onchain`), when to close (`deadlines`), what is not confirmed
//! (`sight`), building and bumping sweeps (the daemon).

mod deadlines;
mod sight;

pub(crate) use sight::Sight;

use std::collections::BTreeMap;

use bitcoin::Transaction;
use wire::units::BlockHeight;

use crate::clock::Side;
use crate::effect::{Alarm, Effect, Notice, Spender};
use crate::env::Env;
use crate::event::ChainFact;
use crate::fact::{Fact, Removal, Told};
use crate::ledger::{How, Htlc};
use crate::link::Connection;
use crate::live::Live;
use crate::onchain::{
    Chain, Claim, Close, Fate, HtlcName, Known, Mined, Remains, Resolution, resolve, resolve_lost,
};
use crate::out::Out;
use crate::state::End;
use crate::tx::{Direction, SpecHtlc};

impl Live {
    pub(crate) fn on_chain(&mut self, fact: ChainFact, env: &Env<'_>, out: &mut Out) {
        match fact {
            ChainFact::Tip => {
                self.end_silence(env, out);
                self.become_ready(env, out);
                self.bury_conflict(env, out);
                self.check_deadlines(env, out);
            }
            ChainFact::FundingConfirmed { height, tx_index, outpoint, found } => {
                self.on_funding_confirmed((height, tx_index), outpoint, found.as_ref(), env, out);
            }
            ChainFact::FundingUnconfirmed => self.on_funding_unconfirmed(env, out),
            ChainFact::FundingSeen { inputs } => self.on_funding_seen(inputs, out),
            ChainFact::FundingContested { by } => self.on_funding_contested(by, env, out),
            ChainFact::FundingUncontested { by } => {
                self.sight.rival.take_if(|rival| *rival == by);
            }
            ChainFact::FundingConflict { by, height } => self.lose_funding(by, height, env, out),
            ChainFact::FundingConflictGone => self.regain_funding(env, out),
            ChainFact::FundingSpent { tx, height } => self.on_spent(tx, height, env, out),
            ChainFact::FundingUnspent => {
                if self.state.chain.spent.is_some() {
                    self.note(Fact::FundingUnspent, out);
                    // What was to be taken is not there any more.
                    out.effect(Effect::Claims(Vec::new()));
                    self.resume(env, out);
                }
            }
            ChainFact::FundingSpendSeen { tx } => self.see_close(tx, env, out),
            ChainFact::FundingSpendVanished { txid } => self.lose_sight(txid, out),
            ChainFact::OutputSpendSeen { tx, .. } => self.learn(&tx, out),
            ChainFact::OutputSpent { outpoint, tx, height } => {
                let known = self.state.chain.outputs.iter().any(|spend| {
                    spend.outpoint == outpoint && spend.tx == tx && spend.height == height
                });
                if self.state.chain.spent.is_some() && !known {
                    self.note(Fact::OutputSpent { outpoint, tx: Box::new(tx), height }, out);
                }
            }
            ChainFact::HistoryFound { txid, htlcs } => {
                self.on_history_found(txid, htlcs, out);
                if let Some(resolution) = self.resolution(env) {
                    self.count_unknown(&resolution, out);
                }
            }
            ChainFact::OutputUnspent { outpoint } => {
                if self.state.chain.outputs.iter().any(|spend| spend.outpoint == outpoint) {
                    self.note(Fact::OutputUnspent { outpoint }, out);
                }
            }
        }
        self.resolve(env, out);
        self.fail_back(env, out);
    }

    fn on_spent(&mut self, tx: Transaction, height: BlockHeight, env: &Env<'_>, out: &mut Out) {
        if self.state.chain.spent.as_ref().is_some_and(|known| *known == (tx.clone(), height)) {
            return;
        }
        // What was only said is in no transaction.
        self.disconnect(out);
        self.connection = Connection::Cut;
        let txid = tx.compute_txid();
        let seen = self.sight.close.take().is_some_and(|seen| seen.compute_txid() == txid);
        self.note(Fact::FundingSpent { tx: Box::new(tx), height }, out);
        let Some(resolution) = self.resolution(env) else { return };
        let by = spender(resolution.close);
        self.note(Fact::Told(Told::SpentBy(by)), out);
        out.notice(Notice::OnChain { txid, by, height });
        match by {
            // Said already when it was seen.
            Spender::RevokedCommitment if seen => {}
            Spender::RevokedCommitment => out.alarm(Alarm::Breach { txid }),
            Spender::Unknown => out.alarm(Alarm::RogueSpend { txid }),
            Spender::MutualClose
            | Spender::OurCommitment
            | Spender::TheirCommitment
            | Spender::FutureCommitment => {}
        }
    }

    /// Asks where everything stands, and does what is new.
    pub(crate) fn resolve(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.chain.spent.is_none() {
            return self.claim_seen(env, out);
        }
        if self.state.chain.closed {
            return;
        }
        let Some(resolution) = self.resolution(env) else {
            return out.alarm(Alarm::Signer);
        };
        // Preimages first: what is given up for want of time must not have one.
        let fulfilled = |fate: &Fate| matches!(fate, Fate::Fulfilled(_));
        for (id, fate) in resolution.fates.iter().filter(|(_, fate)| fulfilled(fate)) {
            self.meet(*id, *fate, out);
        }
        self.fail_back(env, out);
        for (id, fate) in resolution.fates.iter().filter(|(_, fate)| !fulfilled(fate)) {
            self.meet(*id, *fate, out);
        }
        self.search_history(&resolution, out);
        out.effect(Effect::WatchOutputs(resolution.watch));
        out.effect(Effect::Claims(resolution.claims));
        if resolution.done {
            self.note(Fact::Closed, out);
            out.notice(Notice::Closed);
        }
    }

    /// Records the end of an HTLC of ours, once.
    pub(super) fn meet(&mut self, id: u64, fate: Fate, out: &mut Out) {
        let preimage = match fate {
            Fate::Fulfilled(preimage) => Some(preimage),
            Fate::Failed => None,
        };
        let Some(htlc) = self.state.ledger.htlc(Side::Us, id) else { return };
        if htlc.outcome().is_some() {
            if let Some(preimage) = preimage {
                self.learn_late(id, preimage, out);
            }
            return;
        }
        if htlc.forgotten {
            return;
        }
        self.note(Fact::ResolvedOnChain { htlc: id, preimage }, out);
        self.tell_outcome(id, out);
    }

    pub(crate) fn resume_on_chain(&self, env: &Env<'_>, out: &mut Out) {
        if let Some(resolution) = self.resolution(env) {
            out.effect(Effect::WatchOutputs(resolution.watch));
            out.effect(Effect::Claims(resolution.claims));
        }
    }

    pub(crate) fn resolution(&self, env: &Env<'_>) -> Option<Resolution> {
        let (tx, height) = self.state.chain.spent.as_ref()?;
        let spends: Vec<_> = (self.state.chain.outputs.iter())
            .map(|spend| (spend.outpoint, Mined { tx: &spend.tx, height: spend.height }))
            .collect();
        let close = Mined { tx, height: *height };
        self.resolve_on(
            &Chain { tip: env.height, feerate: env.feerate, close, spends: &spends },
            env,
        )
    }

    fn resolve_on(&self, chain: &Chain<'_>, env: &Env<'_>) -> Option<Resolution> {
        let state = &self.state;
        if state.end == Some(End::Lost) {
            let our_terms = state.commitment_terms(Side::Us)?;
            return Some(resolve_lost(
                &Remains {
                    our_basepoints: &state.terms.our_keys,
                    their_basepoints: &state.terms.their_keys,
                    our_terms: &our_terms,
                    point: &|number| env.signer.point(number).ok(),
                },
                chain,
            ));
        }
        self.with_known(env, |known| resolve(known, chain))
    }

    /// What the channel knows, for the resolver. `None` if the signer fails.
    fn with_known<T>(&self, env: &Env<'_>, ask: impl FnOnce(&Known<'_>) -> T) -> Option<T> {
        let state = &self.state;
        let point = env.signer.point(state.ours).ok()?;
        let ours = state.commitment(Side::Us, None, state.ours, &point).ok()?;
        let theirs = state.their_commitments().ok()?;
        let their_terms = state.commitment_terms(Side::Them)?;
        let closes: Vec<_> =
            (state.closes.iter()).filter_map(|close| Some(self.close_tx(*close)?.txid())).collect();
        let outgoing: Vec<_> = (state.ledger.htlcs())
            .filter(|(by, _)| *by == Side::Us)
            .map(|(_, htlc)| spec_htlc(htlc, Direction::Offered))
            .collect();
        let past: Vec<_> = (state.ledger.htlcs())
            .map(|(by, htlc)| match by {
                Side::Us => spec_htlc(htlc, Direction::Received),
                Side::Them => spec_htlc(htlc, Direction::Offered),
            })
            .collect();
        let found = self.closing_tx().and_then(|tx| state.past.found(tx.compute_txid()));
        let found = found.unwrap_or_default();
        let preimages: BTreeMap<HtlcName, _> = (state.ledger.htlcs())
            .filter_map(|(by, htlc)| Some(((by, htlc.add.id), showable_preimage(htlc)?)))
            .collect();
        Some(ask(&Known {
            our_basepoints: &state.terms.our_keys,
            their_basepoints: &state.terms.their_keys,
            their_terms: &their_terms,
            ours: &ours,
            our_htlc_signatures: &state.fundings.first()?.signatures.htlcs,
            theirs: &theirs,
            secrets: &state.secrets,
            closes: &closes,
            close_script: state.our_shutdown.as_ref().map(|shutdown| shutdown.script.as_script()),
            outgoing: &outgoing,
            past: &past,
            found,
            preimages: &preimages,
            fail_depth: env.policy.fail_depth,
            upstream: &self.sight.upstream,
            fail_back_buffer: env.policy.fail_back_buffer,
        }))
    }

    pub(crate) fn bump(&self, env: &Env<'_>) -> Option<Claim> {
        let failing = matches!(self.state.end, Some(End::Failing(_)));
        if !failing || self.state.chain.spent.is_some() {
            return None;
        }
        let point = env.signer.point(self.state.ours).ok()?;
        self.bump_of(&self.state.commitment(Side::Us, None, self.state.ours, &point).ok()?)
    }
}

/// A preimage that Layer 1 may see: one the peer showed us, or one we decided to show it.
fn showable_preimage(htlc: &Htlc) -> Option<wire::id::Preimage> {
    if let Some((preimage, _)) = &htlc.preimage {
        return Some(*preimage);
    }
    match &htlc.removal.as_ref()?.how {
        How::Ours(Removal::Fulfill { preimage, .. }) => Some(*preimage),
        How::Ours(Removal::Fail { .. } | Removal::Malformed { .. }) | How::Theirs(_) => None,
    }
}

const fn spec_htlc(htlc: &Htlc, direction: Direction) -> SpecHtlc {
    SpecHtlc {
        direction,
        id: htlc.add.id,
        amount: htlc.add.amount_msat,
        payment_hash: htlc.add.payment_hash,
        cltv_expiry: htlc.add.cltv_expiry,
    }
}

const fn spender(close: Close) -> Spender {
    match close {
        Close::Mutual => Spender::MutualClose,
        Close::Ours => Spender::OurCommitment,
        Close::Theirs { .. } => Spender::TheirCommitment,
        Close::Revoked { .. } => Spender::RevokedCommitment,
        Close::Future { .. } => Spender::FutureCommitment,
        Close::Unknown => Spender::Unknown,
    }
}
