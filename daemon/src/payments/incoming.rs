//! What channels say of HTLCs that end with us: count, settle, give back.
//!
//! Not here: invoices that wait for a word (`hold`).

use wire::id::{PaymentHash, PaymentSecret, Preimage};
use wire::onion::failure::Failure;

use crate::channels::task::Asker;
use crate::clock::now_ms;
use crate::fact::{Fact, InvoiceMade, InvoiceSettled};
use crate::payments::Payments;
use crate::payments::receive::{HeldSet, Part, Verdict, gift, judge};
use crate::payments::received::Asked;

impl Payments {
    /// An HTLC of the peer is irrevocably committed and ends here. Said again after a restart until it
    /// is resolved.
    pub(super) fn take_part(&mut self, part: Part) {
        let hash = part.hash;
        if self.spontaneous
            && self.asked.get(hash).is_none()
            && let Some(preimage) = gift(&part, self.height())
        {
            return self.take_gift(part, preimage);
        }
        match judge(&part, self.asked.get(hash), self.height(), now_ms()) {
            Verdict::Refuse(failure) => self.refuse(&part, &failure),
            Verdict::Settle => self.fulfill(hash, &[part]),
            Verdict::Count => self.count(part),
        }
    }

    /// A payment that nobody asked for: it makes its own invoice, which is settled in the same record.
    fn take_gift(&mut self, part: Part, preimage: Preimage) {
        let now = now_ms();
        let made = InvoiceMade {
            payment_hash: part.hash,
            preimage: Some(preimage),
            hold: false,
            payment_secret: PaymentSecret([0; 32]),
            metadata: None,
            amount: None,
            bolt11: "".into(),
            description: "keysend".into(),
            description_hash: None,
            created_ms: now,
            expires_ms: now,
            min_final_cltv_delta: 0,
        };
        let settled = InvoiceSettled {
            payment_hash: part.hash,
            received: part.amount,
            at_ms: now,
            parts: vec![(part.channel.0, part.htlc)],
        };
        tracing::info!(hash = %part.hash, received = %part.amount, "a payment nobody asked for");
        self.commit(&[Fact::InvoiceMade(made), Fact::InvoiceSettled(settled)], Vec::new());
        self.fulfill(part.hash, &[part]);
    }

    fn count(&mut self, part: Part) {
        let hash = part.hash;
        if let Some(set) = self.held.get_mut(&hash) {
            if !set.takes(&part) {
                let failure = part.unknown(self.height());
                return self.refuse(&part, &failure);
            }
            set.add(part);
        } else {
            self.held.insert(hash, HeldSet::begin(part, now_ms()));
        }
        if self.held.get(&hash).is_some_and(HeldSet::is_complete) {
            if self.asked.get(hash).is_some_and(|asked| asked.made.hold) {
                self.begin_to_hold(hash);
            } else {
                self.settle(hash);
            }
        } else if let Some(then) = self.publish_invoice(hash) {
            self.after_all(then);
        }
    }

    /// All parts are here. What is settled, and by which HTLCs, is one fact, and it lies in the journal
    /// before any preimage: a crash in between fulfils the rest after the restart.
    fn settle(&mut self, hash: PaymentHash) {
        let Some(set) = self.held.remove(&hash) else { return };
        let settled = InvoiceSettled {
            payment_hash: hash,
            received: set.received(),
            at_ms: now_ms(),
            parts: set.parts.iter().map(|part| (part.channel.0, part.htlc)).collect(),
        };
        tracing::info!(%hash, received = %settled.received, parts = set.parts.len(), "invoice settled");
        self.commit(&[Fact::InvoiceSettled(settled)], Vec::new());
        self.fulfill(hash, &set.parts);
        if let Some(then) = self.publish_invoice(hash) {
            self.after_all(then);
        }
    }

    pub(super) fn fulfill(&mut self, hash: PaymentHash, parts: &[Part]) {
        let Some(preimage) = self.asked.get(hash).and_then(Asked::preimage) else { return };
        for part in parts {
            let command = part.fulfil(Asker::Nobody.command(0), preimage, now_ms());
            self.command(part.channel, command);
        }
    }

    fn refuse(&mut self, part: &Part, failure: &Failure) {
        tracing::info!(hash = %part.hash, code = failure.code(), "incoming payment refused");
        let command = part.refuse(Asker::Nobody.command(0), failure, now_ms());
        self.command(part.channel, command);
    }

    /// BOLT 4: "MUST fail all HTLCs in the HTLC set after some reasonable timeout.", "SHOULD use `mpp_timeout` for the
    /// failure message."
    pub(super) fn give_back_overdue(&mut self) {
        let (height, now) = (self.height(), now_ms());
        // What is complete and held has a limit of its own.
        let is_held = |hash| self.asked.get(hash).is_some_and(Asked::is_held);
        let overdue: Vec<_> = (self.held.iter())
            .filter(|(hash, set)| !is_held(**hash) && set.is_overdue(height, now))
            .map(|(hash, _)| *hash)
            .collect();
        for hash in overdue {
            self.give_back(hash, |_| Failure::MppTimeout);
        }
        self.cancel_overdue(height);
    }

    /// Gives every part of a payment that is here back.
    pub(super) fn give_back(&mut self, hash: PaymentHash, failure: impl Fn(&Part) -> Failure) {
        for part in self.held.remove(&hash).map(|set| set.parts).unwrap_or_default() {
            self.refuse(&part, &failure(&part));
        }
        if let Some(then) = self.publish_invoice(hash) {
            self.after_all(then);
        }
    }
}
