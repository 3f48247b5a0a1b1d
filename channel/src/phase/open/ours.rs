//! Updates of ours. BOLT 2 § Adding an HTLC, § Removing an HTLC, § Updating Fees.

use wire::id::Preimage;
use wire::message::{
    AttributionData, Message, UpdateAddHtlc, UpdateFailHtlc, UpdateFailMalformedHtlc, UpdateFee,
    UpdateFulfillHtlc,
};
use wire::units::FeeratePerKw;

use super::{ACCOUNTABLE, BADONION};
use crate::clock::Side;
use crate::effect::Answer;
use crate::env::Env;
use crate::event::{CommandId, Offer};
use crate::fact::{Add, AddOut, Fact, Removal};
use crate::ledger::Htlc;
use crate::limits::{self, Totals};
use crate::live::Live;
use crate::out::Out;
use crate::refusal::Refusal;

/// The longest `reason` we send; a message has 65,535 bytes.
const REASON_MAX: usize = 65_000;

impl Live {
    pub(crate) fn offer(&mut self, offer: Offer, env: &Env<'_>, out: &mut Out) {
        let totals = match self.check_offer(&offer, env) {
            Ok(totals) => totals.with_ours(offer.amount_msat),
            Err(refusal) => return out.answer(offer.command, Err(refusal)),
        };
        let id = self.state.ledger.next_id(Side::Us);
        let add = Add {
            id,
            amount_msat: offer.amount_msat,
            payment_hash: offer.payment_hash,
            cltv_expiry: offer.cltv_expiry,
            onion: offer.onion,
            path_key: offer.path_key,
            accountable: offer.accountable,
        };
        out.send(self.say_add(&add));
        self.say(Htlc::ours(AddOut { add, origin: offer.origin }), totals);
        out.answer(offer.command, Ok(Answer::Offered { htlc: id }));
    }

    fn check_offer(&self, offer: &Offer, env: &Env<'_>) -> Result<Totals, Refusal> {
        self.may_offer()?;
        limits::check_expiry(offer.cltv_expiry, env.height, env.policy)?;
        let room = self.room(env.policy).ok_or(Refusal::Frozen)?;
        room.check(offer.amount_msat)?;
        Ok(room.totals)
    }

    pub(crate) fn fulfill(
        &mut self,
        command: CommandId,
        htlc: u64,
        preimage: Preimage,
        attribution: Option<AttributionData>,
        out: &mut Out,
    ) {
        let right = |wanted: &Htlc| preimage.hash() == wanted.add.payment_hash;
        let checked = match self.removable(htlc) {
            Ok(wanted) if right(wanted) => Ok(()),
            Ok(_) => Err(Refusal::WrongPreimage { htlc }),
            Err(refusal) => Err(refusal),
        };
        self.remove(command, htlc, checked, Removal::Fulfill { preimage, attribution }, out);
    }

    pub(crate) fn fail_htlc(
        &mut self,
        command: CommandId,
        htlc: u64,
        reason: Vec<u8>,
        attribution: Option<AttributionData>,
        out: &mut Out,
    ) {
        let checked = match self.removable(htlc) {
            Ok(_) if reason.len() > REASON_MAX => Err(Refusal::BadFailure),
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        self.remove(command, htlc, checked, Removal::Fail { reason, attribution }, out);
    }

    pub(crate) fn fail_malformed(
        &mut self,
        command: CommandId,
        htlc: u64,
        sha256_of_onion: [u8; 32],
        failure_code: u16,
        out: &mut Out,
    ) {
        let checked = match self.removable(htlc) {
            Ok(_) if failure_code & BADONION == 0 => Err(Refusal::BadFailure),
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        self.remove(
            command,
            htlc,
            checked,
            Removal::Malformed { sha256_of_onion, failure_code },
            out,
        );
    }

    /// BOLT 2: "until the corresponding HTLC is irrevocably committed in both sides' commitment
    /// transactions: - MUST NOT send an `update_fulfill_htlc`"
    fn removable(&self, htlc: u64) -> Result<&Htlc, Refusal> {
        let wanted = (self.state.ledger.htlc(Side::Them, htlc))
            .filter(|wanted| wanted.clock.is_irrevocable())
            .ok_or(Refusal::UnknownHtlc { htlc })?;
        if wanted.removal.is_some() {
            return Err(Refusal::AlreadyRemoved { htlc });
        }
        Ok(wanted)
    }

    /// Decides it for good, and says it if anybody listens. A peer that is away hears it later, and a
    /// preimage is used on Layer 1 all the same.
    fn remove(
        &mut self,
        command: CommandId,
        htlc: u64,
        checked: Result<(), Refusal>,
        removal: Removal,
        out: &mut Out,
    ) {
        if let Err(refusal) = checked {
            return out.answer(command, Err(refusal));
        }
        if self.may_update().is_ok() {
            out.send(self.say_removal(htlc, &removal));
        }
        self.note(Fact::WeRemove { htlc, removal }, out);
        out.answer(command, Ok(Answer::Done));
    }

    pub(crate) fn update_fee(
        &mut self,
        command: CommandId,
        feerate: FeeratePerKw,
        env: &Env<'_>,
        out: &mut Out,
    ) {
        if let Err(refusal) = self.check_fee(feerate, env) {
            return out.answer(command, Err(refusal));
        }
        if feerate != self.state.ledger.feerate_newest() {
            out.send(self.say_fee(feerate));
            self.say_feerate(feerate);
        }
        out.answer(command, Ok(Answer::Done));
    }

    fn check_fee(&self, feerate: FeeratePerKw, env: &Env<'_>) -> Result<(), Refusal> {
        self.may_update()?;
        // BOLT 2: "if no HTLCs remain in either commitment transaction [...]: - MUST NOT send any
        // `update` message after that point."
        if self.state.our_shutdown.is_some() && self.state.ledger.is_clean() {
            return Err(Refusal::Closing);
        }
        limits::check_fee(&self.room(env.policy).ok_or(Refusal::Frozen)?, feerate)
    }

    pub(crate) fn say_add(&self, add: &Add) -> Message {
        UpdateAddHtlc {
            channel_id: self.id,
            id: add.id,
            amount_msat: add.amount_msat,
            payment_hash: add.payment_hash,
            cltv_expiry: add.cltv_expiry,
            onion_routing_packet: add.onion.clone(),
            path_key: add.path_key,
            accountable: add.accountable.then(|| vec![ACCOUNTABLE]),
        }
        .into()
    }

    pub(crate) fn say_removal(&self, id: u64, removal: &Removal) -> Message {
        let channel_id = self.id;
        match removal.clone() {
            Removal::Fulfill { preimage, attribution } => UpdateFulfillHtlc {
                channel_id,
                id,
                payment_preimage: preimage,
                attribution_data: attribution,
            }
            .into(),
            Removal::Fail { reason, attribution } => {
                UpdateFailHtlc { channel_id, id, reason, attribution_data: attribution }.into()
            }
            Removal::Malformed { sha256_of_onion, failure_code } => {
                UpdateFailMalformedHtlc { channel_id, id, sha256_of_onion, failure_code }.into()
            }
        }
    }

    pub(crate) fn say_fee(&self, feerate: FeeratePerKw) -> Message {
        UpdateFee { channel_id: self.id, feerate_per_kw: feerate }.into()
    }
}
