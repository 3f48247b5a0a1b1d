//! Closing together: `shutdown`, then one fee. BOLT 2 § Closing Initiation, § Legacy Closing Negotiation.
//!
//! Not here: closing alone (`live::fail`), what happens on Layer 1 (`phase::onchain`).

mod fee;

pub(crate) use fee::Negotiation;

use bitcoin::{ScriptBuf, Transaction};
use wire::feature::Feature;
use wire::id::Signature;
use wire::message::Shutdown;
use wire::units::Sat;

use crate::clock::Side;
use crate::effect::{Answer, Effect, Notice, Why};
use crate::env::Env;
use crate::fact::{CloseTerms, Fact};
use crate::fault::PeerFault;
use crate::link::Connection;
use crate::live::{Live, ShutdownWanted};
use crate::out::Out;
use crate::phase::opening::is_shutdown_script;
use crate::refusal::Refusal;
use crate::tx::closing::{ClosingTx, LegacyClose, Payout};

impl Live {
    /// Starts a cooperative close, or notes that it is to start as soon as nothing is pending.
    pub(crate) fn shut_down(&mut self, wanted: ShutdownWanted, out: &mut Out) {
        match self.check_shut_down(&wanted) {
            Ok(()) => self.shutdown_wanted = Some(wanted),
            Err(refusal) => out.answer(wanted.command, Err(refusal)),
        }
    }

    fn check_shut_down(&self, wanted: &ShutdownWanted) -> Result<(), Refusal> {
        if self.state.end.is_some()
            || self.state.chain.spent.is_some()
            || self.state.our_shutdown.is_some()
            || self.shutdown_wanted.is_some()
        {
            return Err(Refusal::Closing);
        }
        if !self.is_up() {
            return Err(Refusal::NotConnected);
        }
        let script = self.our_script(wanted.script.as_ref());
        if is_shutdown_script(&script, self.can_anysegwit()) {
            Ok(())
        } else {
            Err(Refusal::BadScript)
        }
    }

    /// BOLT 2: "if it sent a non-zero-length `shutdown_scriptpubkey` in `open_channel` or
    /// `accept_channel`: - MUST send the same value in `scriptpubkey`."
    fn our_script(&self, wanted: Option<&ScriptBuf>) -> ScriptBuf {
        let terms = &self.state.terms;
        (terms.our_upfront_shutdown.as_ref().or(wanted).unwrap_or(&terms.shutdown_script)).clone()
    }

    fn can_anysegwit(&self) -> bool {
        match &self.connection {
            Connection::Up { features } | Connection::Syncing { features } => {
                features.offers(Feature::ShutdownAnysegwit)
            }
            Connection::Down | Connection::Listening { .. } | Connection::Cut => false,
        }
    }

    pub(crate) fn on_shutdown(
        &mut self,
        shutdown: &Shutdown,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        let script = &shutdown.scriptpubkey;
        // BOLT 2: "if both nodes advertised the `option_upfront_shutdown_script` feature, and [...] that
        // `shutdown_scriptpubkey` is not equal to `scriptpubkey`: [...] - MUST fail the connection."
        if self.state.terms.their_upfront_shutdown.as_ref().is_some_and(|said| said != script) {
            return Err(PeerFault::UpfrontScriptMismatch);
        }
        // BOLT 2: "if the `scriptpubkey` is not in one of the above forms: - SHOULD send a `warning`."
        if !is_shutdown_script(script, self.can_anysegwit()) {
            return Err(PeerFault::BadShutdownScript);
        }
        match &self.state.their_shutdown {
            Some(said) if said == script => return Ok(()),
            // BOLT 2: "MUST NOT send multiple `shutdown` messages."
            Some(_) => return Err(PeerFault::UnexpectedShutdown),
            None => {}
        }
        self.note(Fact::TheyShutdown { script: script.clone() }, out);
        if self.state.our_shutdown.is_none() {
            out.notice(Notice::ShuttingDown { by_us: false });
        }
        Ok(())
    }

    /// After every step: says what closing waits for as soon as it can be said.
    pub(crate) fn advance_closing(&mut self, env: &Env<'_>, out: &mut Out) {
        if !self.is_up() || self.state.end.is_some() || self.state.chain.spent.is_some() {
            return;
        }
        let asked = self.shutdown_wanted.is_some();
        let replying = self.state.their_shutdown.is_some();
        // BOLT 2: "if there are updates pending on the receiving node's commitment transaction: - MUST
        // NOT send a `shutdown`."
        if self.state.our_shutdown.is_none()
            && (asked || replying)
            && !self.state.ledger.has_proposals(Side::Us)
        {
            let wanted = self.shutdown_wanted.take();
            let script = self.our_script(wanted.as_ref().and_then(|wanted| wanted.script.as_ref()));
            let feerate = wanted.as_ref().map_or(env.feerate, |wanted| wanted.feerate);
            self.note(Fact::WeShutdown { script: script.clone(), feerate, asked }, out);
            out.send(Shutdown { channel_id: self.id, scriptpubkey: script });
            if let Some(wanted) = wanted {
                out.notice(Notice::ShuttingDown { by_us: true });
                out.answer(wanted.command, Ok(Answer::Done));
            }
        }
        self.start_fee_talks(env, out);
    }

    pub(crate) fn resend_shutdown(&self, out: &mut Out) {
        // BOLT 2: "if it has sent a previous `shutdown`: - MUST retransmit `shutdown`."
        if let Some(shutdown) = &self.state.our_shutdown {
            out.send(Shutdown { channel_id: self.id, scriptpubkey: shutdown.script.clone() });
        }
    }

    /// What is to be divided, if both said `shutdown` and nothing is in flight any more.
    pub(crate) fn closable(&self) -> Option<LegacyClose> {
        let state = &self.state;
        let (ours, theirs) = (state.our_shutdown.as_ref()?, state.their_shutdown.as_ref()?);
        if !state.ledger.is_clean() || state.awaiting_revocation {
            return None;
        }
        let payout = |script: &ScriptBuf, side| Payout {
            script: script.clone(),
            balance: state.ledger.settled(side),
        };
        Some(LegacyClose {
            funding: state.funding_output()?,
            ours: payout(&ours.script, Side::Us),
            theirs: payout(theirs, Side::Them),
            funder: state.terms.funder,
        })
    }

    /// The closing transaction with these terms.
    pub(crate) fn close_tx(&self, close: CloseTerms) -> Option<ClosingTx> {
        let omit = match (close.pays_us, close.pays_them) {
            (true, true) => None,
            (true, false) => Some(Side::Them),
            (false, true) => Some(Side::Us),
            (false, false) => return None,
        };
        self.closable()?.build(Sat::from_sat(close.fee_sat), Sat::ZERO, omit).ok()
    }

    /// The closing transaction with both signatures.
    pub(crate) fn signed_close(
        &self,
        close: CloseTerms,
        theirs: &Signature,
        env: &Env<'_>,
    ) -> Option<Transaction> {
        let tx = self.close_tx(close)?;
        let ours = env.signer.sign_close(&tx).ok()?;
        let terms = &self.state.terms;
        tx.into_signed((&terms.our_keys.funding, &ours), (&terms.their_keys.funding, theirs)).ok()
    }

    /// After a restart.
    pub(crate) fn resume_closing(&self, env: &Env<'_>, out: &mut Out) {
        if let Some((close, signature)) = &self.state.closed
            && let Some(tx) = self.signed_close(*close, signature, env)
        {
            out.effect(Effect::Broadcast { tx, why: Why::MutualClose });
        }
    }
}
