//! Updates of the peer's. BOLT 2 § Adding an HTLC, § Removing an HTLC, § Updating Fees.

use wire::message::{
    UpdateAddHtlc, UpdateFailHtlc, UpdateFailMalformedHtlc, UpdateFee, UpdateFulfillHtlc,
};

use super::{ACCOUNTABLE, BADONION};
use crate::clock::Side;
use crate::effect::{Alarm, Effect, Outcome, Resolved};
use crate::env::Env;
use crate::fact::{Add, AddIn, Fact, TheirRemoval};
use crate::fault::PeerFault;
use crate::ledger::Htlc;
use crate::limits;
use crate::live::Live;
use crate::out::Out;

/// The longest `reason` of the peer's that is kept. An honest one has a few hundred bytes; 483 of 65 KB, all
/// in one signature, would make a record that no journal takes.
const REASON_KEPT_MAX: usize = 8_192;

impl Live {
    pub(crate) fn on_add(&mut self, add: UpdateAddHtlc, env: &Env<'_>) -> Result<(), PeerFault> {
        self.may_they_update()?;
        // BOLT 2: "MUST NOT send an `update_add_htlc` after a `shutdown`."
        if self.state.their_shutdown.is_some() {
            return Err(PeerFault::AddAfterShutdown);
        }
        let ledger = &self.state.ledger;
        // BOLT 2: "MUST increase the value of `id` by 1 for each successive offer."
        if add.id != ledger.next_id(Side::Them) {
            return Err(PeerFault::HtlcIdOutOfOrder);
        }
        let (amount, expiry) = (add.amount_msat, add.cltv_expiry);
        let (terms, policy) = (&self.state.terms, env.policy);
        let totals = self.totals().ok_or(PeerFault::CannotAffordHtlc)?;
        let overexposed = limits::check_their_offer(&totals, terms, policy, amount, expiry)?;
        // What it pays with may be gone in the next block.
        let overexposed = overexposed || self.sight.rival.is_some();
        let add = Add {
            id: add.id,
            amount_msat: add.amount_msat,
            payment_hash: add.payment_hash,
            cltv_expiry: add.cltv_expiry,
            onion: add.onion_routing_packet,
            path_key: add.path_key,
            accountable: add.accountable.as_deref() == Some(&[ACCOUNTABLE]),
        };
        self.say(Htlc::theirs(AddIn { add, overexposed }), totals.with_theirs(amount));
        Ok(())
    }

    pub(crate) fn on_fulfill(
        &mut self,
        fulfill: UpdateFulfillHtlc,
        out: &mut Out,
    ) -> Result<(), PeerFault> {
        let (id, preimage) = (fulfill.id, fulfill.payment_preimage);
        let htlc = self.removable_by_them(id)?;
        // BOLT 2: "if the `payment_preimage` value in `update_fulfill_htlc` doesn't SHA256 hash to the
        // corresponding HTLC `payment_hash`"
        if preimage.hash() != htlc.add.payment_hash {
            return Err(PeerFault::WrongPreimage);
        }
        let (new, origin) = (htlc.preimage.is_none(), htlc.origin);
        let late = htlc.ended.is_some().then_some(htlc.add.amount_msat);
        if new && let Some(amount_msat) = late {
            let attribution = fulfill.attribution_data;
            self.note(Fact::PreimageSeen { htlc: id, preimage, attribution }, out);
            out.alarm(Alarm::TakenAfterAll { htlc: id, amount_msat });
        } else if new {
            let attribution = fulfill.attribution_data;
            let outcome = Outcome::Fulfilled { preimage, attribution: attribution.clone() };
            self.note(Fact::PreimageSeen { htlc: id, preimage, attribution }, out);
            if let Some(origin) = origin {
                out.effect(Effect::Resolved(Resolved { htlc: id, origin, outcome }));
            }
        }
        self.hear_removal(id, TheirRemoval::Fulfilled);
        Ok(())
    }

    pub(crate) fn on_fail(&mut self, fail: UpdateFailHtlc) -> Result<(), PeerFault> {
        self.removable_by_them(fail.id)?;
        let attribution = fail.attribution_data;
        // Whoever reads an empty one finds it as unreadable as what nobody can have sealed.
        let reason = if fail.reason.len() > REASON_KEPT_MAX { Vec::new() } else { fail.reason };
        self.hear_removal(fail.id, TheirRemoval::Failed { reason, attribution });
        Ok(())
    }

    pub(crate) fn on_fail_malformed(
        &mut self,
        fail: &UpdateFailMalformedHtlc,
    ) -> Result<(), PeerFault> {
        self.removable_by_them(fail.id)?;
        // BOLT 2: "if the `BADONION` bit in `failure_code` is not set for
        // `update_fail_malformed_htlc`"
        if fail.failure_code & BADONION == 0 {
            return Err(PeerFault::NotBadOnion);
        }
        let (sha256_of_onion, failure_code) = (fail.sha256_of_onion, fail.failure_code);
        self.hear_removal(fail.id, TheirRemoval::Malformed { sha256_of_onion, failure_code });
        Ok(())
    }

    pub(crate) fn on_fee(&mut self, fee: &UpdateFee, env: &Env<'_>) -> Result<(), PeerFault> {
        self.may_they_update()?;
        let totals = self.totals().ok_or(PeerFault::CannotAffordFee)?;
        limits::check_their_fee(&totals, env.policy, fee.feerate_per_kw)?;
        self.say_feerate(fee.feerate_per_kw);
        Ok(())
    }

    /// BOLT 2: "if the `id` does not correspond to an HTLC in its current commitment transaction"
    fn removable_by_them(&self, id: u64) -> Result<&Htlc, PeerFault> {
        self.may_they_update()?;
        (self.state.ledger.htlc(Side::Us, id))
            .filter(|htlc| htlc.clock.is_irrevocable() && htlc.removal.is_none())
            .ok_or(PeerFault::UnknownHtlc)
    }

    pub(super) const fn may_they_update(&self) -> Result<(), PeerFault> {
        if self.state.we_ready && self.state.they_ready {
            Ok(())
        } else {
            Err(PeerFault::OutOfPlace)
        }
    }
}
