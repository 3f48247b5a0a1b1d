//! Waiting for the funding to be deep enough. BOLT 2 § The `channel_ready` Message.
//!
//! Not here: what is agreed on before (`phase::opening`), a funding that does not come (`phase::unfunded`).

use wire::message::ChannelReady;

use bitcoin::{OutPoint, TxOut};
use wire::units::BlockHeight;

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
            let inputs = self.funding_inputs();
            let outpoint = output.outpoint;
            out.effect(Effect::WatchFunding { outpoint, script_pubkey, inputs });
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
            if self.state.we_ready {
                return self.lose_funding(outpoint.txid, height, env, out);
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
        self.funding_came(env, out);
        self.become_ready(env, out);
    }

    pub(crate) fn on_funding_unconfirmed(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.fundings.first().is_some_and(|funding| funding.confirmed.is_some()) {
            self.note(Fact::FundingUnconfirmed, out);
            if self.state.we_ready {
                let at_risk = self.at_risk(env);
                out.alarm(Alarm::FundingReorganised { at_risk });
            }
        }
    }

    /// Looks at the depth once more.
    pub(crate) fn become_ready(&mut self, env: &Env<'_>, out: &mut Out) {
        if self.state.chain.spent.is_some() {
            return;
        }
        if !self.state.is_funding_confirmed() {
            self.miss_funding(env, out);
        }
        if self.state.we_ready || self.state.end.is_some() || !self.is_deep_enough(env) {
            return;
        }
        self.note(Fact::WeReady, out);
        if self.is_up() {
            self.send_channel_ready(env, out);
        }
        self.notice_ready(out);
    }

    fn is_deep_enough(&self, env: &Env<'_>) -> bool {
        let wanted = self.state.terms.minimum_depth;
        let confirmed = self.state.fundings.first().and_then(|funding| funding.confirmed);
        let Some((height, tx_index)) = confirmed else { return wanted == 0 };
        let depth = env.height.blocks_since(height).map_or(0, |above| above.saturating_add(1));
        // BOLT 2: "SHOULD wait until the funding transaction has reached `minimum_depth` before sending
        // this message."
        let coinbase = if tx_index == 0 { COINBASE_MATURITY } else { 0 };
        depth >= wanted.max(coinbase)
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
}
