//! Waiting for the funding to be deep enough. BOLT 2 § The `channel_ready` Message.
//!
//! Not here: what is agreed on before (`phase::opening`).

use wire::message::ChannelReady;

use bitcoin::{OutPoint, TxOut};
use wire::units::BlockHeight;

use crate::clock::Side;
use crate::effect::{AbandonReason, Alarm, Effect, Notice};
use crate::env::Env;
use crate::fact::Fact;
use crate::fault::PeerFault;
use crate::live::Live;
use crate::out::Out;
use crate::state::End;

/// A coinbase output cannot be spent before; BOLT 2 does not say so, Bitcoin does.
const COINBASE_MATURITY: u32 = 100;

impl Live {
    /// Says that the channel exists, and has its funding watched.
    pub(crate) fn announce_funded(&self, out: &mut Out) {
        self.watch_funding(out);
        if let Some(funding) = self.state.fundings.first() {
            out.notice(Notice::Funded { channel_id: self.id, funding: funding.outpoint });
        }
    }

    pub(crate) fn watch_funding(&self, out: &mut Out) {
        if let Some(output) = self.state.funding_output() {
            let script_pubkey = output.to_txout().script_pubkey;
            out.effect(Effect::WatchFunding { outpoint: output.outpoint, script_pubkey });
        }
    }

    pub(crate) fn on_funding_confirmed(
        &mut self,
        (height, tx_index): (BlockHeight, u32),
        outpoint: OutPoint,
        found: Option<&TxOut>,
        env: &Env<'_>,
        out: &mut Out,
    ) {
        let Some(output) = self.state.funding_output() else { return };
        if outpoint != output.outpoint || matches!(self.state.end, Some(End::Abandoned(_))) {
            return;
        }
        // BOLT 2: "MUST NOT send `channel_ready` unless outpoint of given by `funding_txid` and
        // `funding_output_index` in the `funding_created` message pays exactly `funding_satoshis` to
        // the scriptpubkey specified in"
        if found != Some(&output.to_txout()) {
            if self.state.end.is_some() {
                return;
            }
            let fault = PeerFault::WrongFundingOutput;
            out.notice(Notice::Fault(fault));
            out.send(fault.to_error(self.id));
            return self.abandon(AbandonReason::Fault(fault), out);
        }
        // Whatever ended the channel: what was seen once is never forgotten as unfunded.
        self.note(Fact::FundingConfirmed { height, tx_index }, out);
        if let Some(short_channel_id) = self.state.short_channel_id() {
            out.notice(Notice::Confirmed { short_channel_id });
        }
        self.become_ready(env, out);
    }

    pub(crate) fn on_funding_unconfirmed(&mut self, out: &mut Out) {
        if self.state.fundings.first().is_some_and(|funding| funding.confirmed.is_some()) {
            self.note(Fact::FundingUnconfirmed, out);
            if self.state.we_ready {
                out.alarm(Alarm::FundingReorganised);
            }
        }
    }

    /// Looks at the depth once more.
    pub(crate) fn become_ready(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.we_ready || self.state.chain.spent.is_some() {
            return;
        }
        let Some(funding) = self.state.fundings.first() else { return };
        let Some((height, tx_index)) = funding.confirmed else {
            return self.forget_if_never_funded(env, out);
        };
        if self.state.end.is_some() {
            return;
        }
        let Some(above) = env.height.blocks_since(height) else { return };
        let depth = above.saturating_add(1);
        // BOLT 2: "SHOULD wait until the funding transaction has reached `minimum_depth` before sending
        // this message."
        let coinbase = if tx_index == 0 { COINBASE_MATURITY } else { 0 };
        if depth < self.state.terms.minimum_depth.max(coinbase) {
            return;
        }
        self.note(Fact::WeReady, out);
        if self.is_up() {
            self.send_channel_ready(env, out);
        }
        self.notice_ready(out);
    }

    pub(crate) fn send_channel_ready(&mut self, env: &Env<'_>, out: &mut Out) {
        match self.point(1, env.signer) {
            Ok(second_per_commitment_point) => out.send(ChannelReady {
                channel_id: self.id,
                second_per_commitment_point,
                short_channel_id: self.state.terms.alias,
            }),
            Err(_) => out.alarm(Alarm::Signer),
        }
    }

    pub(crate) fn on_channel_ready(
        &mut self,
        ready: &ChannelReady,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        // BOLT 2: "MUST ignore any redundant `channel_ready` it receives."
        if self.state.they_ready {
            return Ok(());
        }
        let (next_point, alias) = (ready.second_per_commitment_point, ready.short_channel_id);
        self.note(Fact::TheyReady { next_point, alias }, out);
        self.notice_ready(out);
        Ok(())
    }

    fn notice_ready(&self, out: &mut Out) {
        if self.state.we_ready && self.state.they_ready {
            out.notice(Notice::Ready { short_channel_id: self.state.short_channel_id() });
        }
    }

    fn forget_if_never_funded(&mut self, env: &Env<'_>, out: &mut Out) {
        if matches!(self.state.end, Some(End::Abandoned(_))) {
            return;
        }
        let seen = self.state.fundings.first().is_some_and(|funding| funding.seen);
        let waited = env.height.blocks_since(self.state.created).unwrap_or(0);
        // BOLT 2: "SHOULD forget the channel if it does not see the correct funding transaction after a
        // timeout of 2016 blocks."
        if self.state.terms.funder == Side::Them && !seen && waited >= env.policy.forget_after {
            self.abandon(AbandonReason::NeverFunded, out);
        }
    }
}
