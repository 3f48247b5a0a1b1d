//! Invoices that wait for a word once all of them is here: held, then settled or cancelled.
//!
//! That an invoice is held, and by which HTLCs, is a fact: after a restart neither the date nor the height turns them away.
//! The preimage and the end are one record, in the journal before any channel shows the preimage.
//!
//! Not here: which HTLCs count (`receive`), counting them (`incoming`).

use wire::id::{PaymentHash, Preimage};
use wire::units::BlockHeight;

use crate::clock::now_ms;
use crate::fact::{
    CancelReason, Fact, InvoiceCancelled, InvoiceHeld, InvoiceSettled, PreimageGiven,
};
use crate::payments::asks::{Reply, missing};
use crate::payments::received::Asked;
use crate::payments::{Payments, Then};
use crate::rpc::model::invoice::{Invoice, InvoiceState};
use crate::rpc::refusal::{Noun, Refusal, Unready};

impl Payments {
    /// All of an invoice that is to be held is here. Said again after a restart, it is no news.
    pub(super) fn begin_to_hold(&mut self, hash: PaymentHash) {
        let Some(set) = self.held.get(&hash) else { return };
        if self.asked.get(hash).is_some_and(Asked::is_held) {
            return;
        }
        let expiry = set.parts.iter().map(|part| part.cltv_expiry).min();
        let held = InvoiceHeld {
            payment_hash: hash,
            received: set.received(),
            expiry: expiry.unwrap_or(BlockHeight(0)),
            parts: set.parts.iter().map(|part| (part.channel.0, part.htlc)).collect(),
            height: self.height(),
            at_ms: now_ms(),
        };
        tracing::info!(%hash, received = %held.received, parts = held.parts.len(), "invoice held");
        self.commit(&[Fact::InvoiceHeld(held)], Vec::new());
        if let Some(then) = self.publish_invoice(hash) {
            self.after_all(then);
        }
    }

    /// Settles what is held. Settled already: answers it.
    pub(super) fn settle_held(
        &mut self,
        hash: PaymentHash,
        preimage: Option<Preimage>,
        reply: Reply<Invoice>,
    ) {
        // What is too near to its expiry is not taken any more, however early a block's news comes.
        self.cancel_overdue(self.height());
        if let Err(refusal) = self.try_to_settle(hash, preimage) {
            let _gone = reply.send(Err(refusal));
            return;
        }
        let shown = self.show_invoice(hash).ok_or_else(|| missing(Noun::Invoice, hash));
        let then: Then = Box::new(move || drop(reply.send(shown)));
        self.after_all(then);
    }

    fn try_to_settle(
        &mut self,
        hash: PaymentHash,
        preimage: Option<Preimage>,
    ) -> Result<(), Refusal> {
        let asked = self.asked.get(hash).ok_or_else(|| missing(Noun::Invoice, hash))?;
        let state = asked.state(now_ms(), self.held.contains_key(&hash));
        if matches!(state, InvoiceState::Settled { .. }) {
            return Ok(());
        }
        let Some(held) = asked.held.clone().filter(|_| asked.is_held()) else {
            return Err(Refusal::InvoiceNotHeld { hash, state: state.word() });
        };
        // At a height of before we would show the preimage of what has expired since.
        if !self.synced {
            return Err(Refusal::NotReady { state: Unready::Syncing });
        }
        let known = asked.preimage();
        let preimage = preimage.or(known).ok_or(Refusal::Missing { field: "preimage" })?;
        if preimage.hash() != hash {
            let why = "its SHA256 is not the payment hash";
            return Err(Refusal::Malformed { field: "preimage", why });
        }
        let at_ms = now_ms();
        let given = PreimageGiven { payment_hash: hash, preimage, at_ms };
        // By these HTLCs, whether their channels have told of them since a restart or not.
        let settled = InvoiceSettled {
            payment_hash: hash,
            received: held.received,
            at_ms,
            parts: held.parts,
        };
        tracing::info!(%hash, received = %settled.received, "held invoice settled");
        let mut facts = Vec::new();
        facts.extend(known.is_none().then_some(Fact::PreimageGiven(given)));
        facts.push(Fact::InvoiceSettled(settled));
        self.commit(&facts, Vec::new());
        let parts = self.held.remove(&hash).map(|set| set.parts).unwrap_or_default();
        self.fulfill(hash, &parts);
        if let Some(then) = self.publish_invoice(hash) {
            self.after_all(then);
        }
        Ok(())
    }

    /// Takes an invoice back, with all that is here of it.
    pub(super) fn take_back(&mut self, hash: PaymentHash, why: CancelReason) {
        tracing::info!(%hash, %why, "invoice cancelled");
        let fact = InvoiceCancelled { payment_hash: hash, why, at_ms: now_ms() };
        self.commit(&[Fact::InvoiceCancelled(fact)], Vec::new());
        let height = self.height();
        self.give_back(hash, |part| part.unknown(height));
    }

    /// Takes back what was held until an HTLC of it came too near to its expiry.
    pub(super) fn cancel_overdue(&mut self, height: BlockHeight) {
        let due = |asked: &&Asked| asked.held_until().is_some_and(|until| until <= height);
        let overdue: Vec<_> = self.asked.held().filter(due).map(Asked::hash).collect();
        for hash in overdue {
            self.take_back(hash, CancelReason::NearExpiry { height });
        }
    }
}
