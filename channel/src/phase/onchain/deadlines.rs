//! When to close alone without being asked, and when to give an HTLC up for the one that pays for it.
//! BOLT 2 § `cltv_expiry_delta` Selection, BOLT 5 § Failing a Channel.
//!
//! Not here: what a close costs and saves (`onchain::forecast`).

use wire::message::Error as ErrorMessage;
use wire::units::BlockHeight;

use super::showable_preimage;
use crate::clock::Side;
use crate::effect::{Advice, Alarm, CloseReason, Effect, Held, Notice, Resolved};
use crate::env::{Env, ForceClosePolicy};
use crate::fact::Fact;
use crate::ledger::Htlc;
use crate::live::Live;
use crate::onchain::forecast::{Forecast, Limits, forecast};
use crate::onchain::sweep;
use crate::out::Out;
use crate::state::End;
use crate::tx::trimmed;

impl Live {
    pub(crate) fn forecast(&self, env: &Env<'_>) -> Option<Forecast> {
        if self.state.chain.spent.is_some() || self.state.end == Some(End::Lost) {
            return None;
        }
        let limits = Limits {
            claim_buffer: env.policy.claim_buffer,
            timeout_grace: env.policy.timeout_grace,
        };
        self.with_known(env, |known| forecast(known, env.height, env.feerate, limits))
    }

    /// BOLT 2 § `cltv_expiry_delta` Selection: "MUST fail the channel" over an HTLC that came too near.
    pub(super) fn check_deadlines(&mut self, env: &Env<'_>, out: &mut Out) {
        match &self.state.end {
            // What is frozen signs nothing new; what it has must not expire all the same.
            None | Some(End::Frozen) => {}
            Some(End::Failing(_) | End::DataLoss { .. } | End::Abandoned(_) | End::Lost) => return,
        }
        if self.state.chain.spent.is_some() {
            return;
        }
        let late = (self.state.ledger.htlcs())
            .filter(|(by, htlc)| is_late(*by, htlc, env) && self.has_output(htlc))
            .max_by_key(|(by, htlc)| (is_worth_it(htlc, env), htlc.add.amount_msat, *by));
        let Some((by, htlc)) = late else {
            self.sight.advised = None;
            return;
        };
        if self.state.quarantined {
            return out.alarm(Alarm::Quarantined { ours: self.state.ours });
        }
        let worth = is_worth_it(htlc, env);
        let reason = CloseReason::HtlcDeadline {
            offered_by_us: by == Side::Us,
            htlc: htlc.add.id,
            cltv_expiry: htlc.add.cltv_expiry,
        };
        let held = match env.policy.force_close {
            _ if !worth => Some(Held::Cost),
            ForceClosePolicy::Automatic => None,
            ForceClosePolicy::WhenMoneyAtRisk => {
                let pays = self.forecast(env).is_none_or(|forecast| forecast.saved > forecast.cost);
                (!pays).then_some(Held::Cost)
            }
            ForceClosePolicy::Ask => Some(Held::Policy),
        };
        if let Some(held) = held {
            return self.advise(reason, held, env, out);
        }
        if self.is_up() {
            let data = b"an HTLC came too near to its expiry".to_vec();
            out.send(ErrorMessage { channel_id: self.id, data });
        }
        self.fail(reason, env, out);
    }

    /// Ends the cooperation over something that leaves no other way, and closes alone if the policy lets
    /// us do that unasked. Otherwise nothing is signed any more, and a human is told.
    pub(crate) fn stop(&mut self, reason: CloseReason, env: &Env<'_>, out: &mut Out) {
        if self.state.quarantined {
            return self.stay_quarantined(out);
        }
        match env.policy.force_close {
            ForceClosePolicy::Automatic => return self.fail(reason, env, out),
            ForceClosePolicy::WhenMoneyAtRisk | ForceClosePolicy::Ask => {}
        }
        match &self.state.end {
            None if self.state.chain.spent.is_none() => self.note(Fact::Frozen, out),
            None | Some(_) => return,
        };
        self.hang_up(out);
        self.advise(reason, Held::Policy, env, out);
    }

    /// Says once what a close would cost and save, and again when that is another matter.
    fn advise(&mut self, reason: CloseReason, held: Held, env: &Env<'_>, out: &mut Out) {
        let Some(forecast) = self.forecast(env) else { return out.alarm(Alarm::Signer) };
        let said = (reason.clone(), held, forecast.saved, forecast.deadline);
        if self.sight.advised.as_ref() == Some(&said) {
            return;
        }
        self.sight.advised = Some(said);
        out.alarm(Alarm::CloseAdvised(Box::new(Advice { reason, held, forecast })));
    }

    /// Whether a commitment that may be broadcast pays it through an output: what is trimmed everywhere
    /// is gone with any close, so none helps.
    fn has_output(&self, htlc: &Htlc) -> bool {
        let terms = &self.state.terms;
        let limits = [terms.us.dust_limit, terms.them.dust_limit];
        limits.into_iter().any(|dust_limit| !trimmed(htlc.add.amount_msat, dust_limit))
    }

    /// Fails outgoing HTLCs whose incoming ones are about to expire, wherever this channel stands. The
    /// peer may still take them; that loss must not close the other channel, too.
    pub(crate) fn fail_back(&mut self, env: &Env<'_>, out: &mut Out) {
        let ledger = &self.state.ledger;
        self.sight.upstream.retain(|id, _| ledger.htlc(Side::Us, *id).is_some());
        let due: Vec<(u64, BlockHeight)> = (self.sight.upstream.iter())
            .filter(|(_, expiry)| {
                env.height.saturating_add(env.policy.fail_back_buffer) >= **expiry
            })
            .map(|(id, expiry)| (*id, *expiry))
            .collect();
        let over = self.state.chain.spent.is_some() || self.state.end.is_some();
        for (id, upstream_expiry) in due {
            let Some(htlc) = self.state.ledger.htlc(Side::Us, id) else { continue };
            // As long as the peer is in time, it may still answer.
            let waits = !over && env.height < htlc.add.cltv_expiry;
            if waits || htlc.clock.is_proposed() || htlc.forgotten || htlc.outcome().is_some() {
                continue;
            }
            let amount_msat = htlc.add.amount_msat;
            self.note(Fact::ResolvedOnChain { htlc: id, preimage: None }, out);
            out.notice(Notice::FailedBack { htlc: id, amount_msat, upstream_expiry });
            self.tell_outcome(id, out);
        }
    }

    /// Tells on whose behalf an HTLC was offered how it ended.
    pub(super) fn tell_outcome(&self, id: u64, out: &mut Out) {
        if let Some(htlc) = self.state.ledger.htlc(Side::Us, id)
            && let (Some(origin), Some(outcome)) = (htlc.origin, htlc.outcome())
        {
            out.effect(Effect::Resolved(Resolved { htlc: id, origin, outcome }));
        }
    }
}

/// Whether taking it on Layer 1 leaves anything.
fn is_worth_it(htlc: &Htlc, env: &Env<'_>) -> bool {
    htlc.add.amount_msat.floor_sat() > env.feerate.fee_ceil(sweep::HTLC_WEIGHT)
}

fn is_late(by: Side, htlc: &Htlc, env: &Env<'_>) -> bool {
    let expiry = htlc.add.cltv_expiry;
    match by {
        // What nobody signed is in no commitment, and what failed for the peer is being removed.
        Side::Us => {
            !htlc.clock.is_proposed()
                && htlc.preimage.is_none()
                && expiry.saturating_add(env.policy.timeout_grace) <= env.height
        }
        Side::Them => {
            showable_preimage(htlc).is_some()
                && expiry.saturating_sub(env.policy.claim_buffer) <= env.height
        }
    }
}
