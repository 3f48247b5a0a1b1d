//! A channel in use whose funding is not final: it waits for a block, another transaction wants its coins, or
//! has them. BOLT 2 § The `channel_ready` Message, "if `channel_type` includes `option_zeroconf`".
//!
//! Whoever uses a channel before it confirms trusts who funds it. What that trust is worth is said at every
//! step, in satoshi; when it was misplaced the channel fails, and nothing is broadcast that no block can have.
//!
//! Not here: the usual way of a funding (`phase::funding`), who watches its coins (the daemon).

use bitcoin::{OutPoint, Txid};
use wire::message::Error as ErrorMessage;
use wire::units::{BlockHeight, Msat};

use crate::clock::Side;
use crate::effect::{AbandonReason, Alarm, CloseReason, Notice};
use crate::env::Env;
use crate::fact::{Fact, Removal};
use crate::ledger::How;
use crate::live::Live;
use crate::onchain::{Fate, IRREVOCABLE_DEPTH};
use crate::out::Out;
use crate::state::{End, State};

/// Coins of a funding transaction that are remembered.
const INPUTS_MAX: usize = 1_000;

/// Blocks between two words about a funding that is late: a day.
const LATE: u32 = 144;

impl State {
    /// What is ours in the channel only as long as its funding stays or comes, seen at `tip`: nothing once it
    /// has `depth` confirmations, or in a channel that we funded, whose coins are ours either way.
    pub fn at_risk(&self, tip: BlockHeight, depth: u32) -> Msat {
        let confirmed = self.fundings.first().and_then(|funding| funding.confirmed);
        let above = confirmed.and_then(|(height, _)| tip.blocks_since(height));
        let reached = above.map_or(0, |above| above.saturating_add(1));
        let wanted = if self.terms.is_zero_conf() { depth } else { self.terms.minimum_depth };
        let over = self.chain.closed || self.end.as_ref().is_some_and(is_nobodys);
        if self.terms.funder == Side::Us || !self.we_ready || reached >= wanted || over {
            return Msat::ZERO;
        }
        self.ours_at_most()
    }

    /// What is ours or may yet be: our balance, what we offered, and what the peer owes us for a preimage.
    fn ours_at_most(&self) -> Msat {
        let settled = self.ledger.spec(Side::Us, None).map_or(Msat::ZERO, |spec| spec.to_owner);
        let owed = self.ledger.htlcs().filter(|(by, htlc)| match by {
            Side::Us => !htlc.forgotten,
            Side::Them => (htlc.removal.as_ref())
                .is_some_and(|going| matches!(going.how, How::Ours(Removal::Fulfill { .. }))),
        });
        let owed = owed.map(|(_, htlc)| htlc.add.amount_msat);
        owed.fold(settled, |sum, amount| sum.checked_add(amount).unwrap_or(Msat::MAX))
    }
}

/// Whether nothing of the channel was ever known to be ours.
const fn is_nobodys(end: &End) -> bool {
    match end {
        End::Abandoned(_) | End::Lost => true,
        End::Failing(reason) => reason.is_unfunded(),
        End::DataLoss { .. } | End::Frozen => false,
    }
}

impl Live {
    /// [`State::at_risk`] now.
    pub(crate) fn at_risk(&self, env: &Env<'_>) -> Msat {
        self.state.at_risk(env.height, env.policy.funding_depth)
    }

    /// The coins of the funding transaction, as far as they are known and matter.
    pub(crate) fn funding_inputs(&self) -> Vec<OutPoint> {
        let ours = self.state.fundings.first().and_then(|funding| funding.tx.as_ref());
        match ours {
            Some(tx) => tx.input.iter().map(|input| input.previous_output).collect(),
            None => self.state.coins.inputs.clone(),
        }
    }

    /// The peer's funding transaction waits for a block.
    pub(crate) fn on_funding_seen(&mut self, mut inputs: Vec<OutPoint>, out: &mut Out) {
        let state = &self.state;
        let known = state.terms.funder == Side::Us || !state.coins.inputs.is_empty();
        if known || !state.terms.is_zero_conf() || inputs.is_empty() {
            return;
        }
        inputs.truncate(INPUTS_MAX);
        self.note(Fact::FundingSeen { inputs }, out);
        self.watch_funding(out);
    }

    /// Another transaction that waits for a block spends its coins.
    pub(crate) fn on_funding_contested(&mut self, by: Txid, env: &Env<'_>, out: &mut Out) {
        let news = self.sight.rival.replace(by) != Some(by);
        if news && self.state.we_ready && !self.state.is_funding_confirmed() {
            out.alarm(Alarm::FundingContested { by, at_risk: self.at_risk(env) });
        }
    }

    /// Its coins are spent elsewhere, in a block, or its transaction lacks our output: there is no channel.
    pub(crate) fn lose_funding(
        &mut self,
        by: Txid,
        height: BlockHeight,
        env: &Env<'_>,
        out: &mut Out,
    ) {
        if self.state.coins.conflict == Some((by, height)) || self.state.chain.closed {
            return;
        }
        let lost = self.at_risk(env);
        self.note(Fact::FundingConflict { by, height }, out);
        self.sight.rival = None;
        let reason = CloseReason::FundingConflict { by, lost };
        self.fail_unfunded(reason, b"the funding transaction was double-spent", out);
        out.alarm(Alarm::FundingGone { by: Some(by), lost });
    }

    /// Fails, and broadcasts nothing: there is nothing to spend.
    fn fail_unfunded(&mut self, reason: CloseReason, words: &[u8], out: &mut Out) {
        let over = match &self.state.end {
            None | Some(End::Frozen) => false,
            Some(End::Failing(_) | End::DataLoss { .. } | End::Abandoned(_) | End::Lost) => true,
        };
        if over || self.state.quarantined {
            return;
        }
        if self.is_up() {
            out.send(ErrorMessage { channel_id: self.id, data: words.to_vec() });
        }
        self.note(Fact::Failing(reason.clone()), out);
        out.notice(Notice::Failing(reason));
        if self.is_connecting() {
            self.hang_up(out);
        }
    }

    /// A reorganisation took the other transaction out: the funding can come after all.
    pub(crate) fn regain_funding(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.coins.conflict.is_some() {
            self.note(Fact::FundingConflictGone, out);
            self.funding_came(env, out);
        }
    }

    /// A channel that failed for want of its funding closes by its commitment once that is there.
    pub(crate) fn funding_came(&self, env: &Env<'_>, out: &mut Out) {
        let failed = matches!(&self.state.end, Some(End::Failing(reason)) if reason.is_unfunded());
        let confirmed = self.state.is_funding_confirmed();
        if failed && confirmed && self.state.chain.spent.is_none() && !self.state.quarantined {
            self.broadcast_commitment(env, out);
        }
    }

    /// What took the coins is deep: HTLCs of ours that the channel had are failed, and in the end it is over.
    pub(crate) fn bury_conflict(&mut self, env: &Env<'_>, out: &mut Out) {
        let Some((_, height)) = self.state.coins.conflict else { return };
        if self.state.chain.closed || self.state.chain.spent.is_some() {
            return;
        }
        let depth = env.height.blocks_since(height).map_or(0, |above| above.saturating_add(1));
        if depth >= env.policy.fail_depth {
            self.fail_htlcs(out);
        }
        if depth >= IRREVOCABLE_DEPTH {
            self.close_unfunded(out);
        }
    }

    fn fail_htlcs(&mut self, out: &mut Out) {
        let ours = self.state.ledger.htlcs().filter(|(by, _)| *by == Side::Us);
        let ids: Vec<u64> = ours.map(|(_, htlc)| htlc.add.id).collect();
        ids.into_iter().for_each(|id| self.meet(id, Fate::Failed, out));
    }

    fn close_unfunded(&mut self, out: &mut Out) {
        self.note(Fact::Closed, out);
        out.notice(Notice::Closed);
    }

    /// No block has the funding transaction: how long is that still all right?
    pub(crate) fn miss_funding(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.terms.funder == Side::Us || matches!(self.state.end, Some(End::Abandoned(_)))
        {
            return;
        }
        let seen = self.state.fundings.first().is_some_and(|funding| funding.seen);
        let waited = env.height.blocks_since(self.state.created).unwrap_or(0);
        let patience = env.policy.forget_after;
        if !self.state.we_ready {
            // BOLT 2: "SHOULD forget the channel if it does not see the correct funding transaction after
            // a timeout of 2016 blocks."
            if !seen && waited >= patience {
                self.abandon(AbandonReason::NeverFunded, out);
            }
            return;
        }
        // What was in a block once is known to those who mine.
        if seen || self.state.chain.closed || self.state.coins.conflict.is_some() {
            return;
        }
        if matches!(self.state.end, Some(End::Failing(_))) {
            // Nobody knows what became of its coins; so long after, nothing will come of them.
            if waited >= patience.saturating_mul(2) {
                self.fail_htlcs(out);
                self.close_unfunded(out);
            }
            return;
        }
        let at_risk = self.at_risk(env);
        if waited >= patience && self.state.end.is_none() {
            let reason = CloseReason::FundingNeverCame { lost: at_risk };
            self.fail_unfunded(reason, b"the funding transaction never came", out);
            out.alarm(Alarm::FundingGone { by: None, lost: at_risk });
        } else if waited > 0 && waited.is_multiple_of(LATE) {
            out.alarm(Alarm::FundingLate { blocks: waited, at_risk });
        }
    }
}
