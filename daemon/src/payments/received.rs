//! The payments we ask for, as a fold over their facts.
//!
//! Not here: which HTLC may settle what (`payments::receive`), making the BOLT 11 string
//! (`payments::invoice`).

use std::collections::BTreeMap;

use channel::seal::Lsn;
use wire::id::PaymentHash;

use crate::fact::{Fact, InvoiceMade, InvoiceSettled};
use crate::rpc::model::UnixMillis;
use crate::rpc::model::invoice::{Description, Invoice, InvoiceState};

/// How an invoice ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AskedEnd {
    /// It was paid.
    Settled(InvoiceSettled),
    /// It was taken back.
    Cancelled {
        /// When, Unix milliseconds.
        at_ms: u64,
    },
}

/// One invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Its place in the list: the journal position it was made at.
    pub index: u64,
    /// What it says.
    pub made: InvoiceMade,
    /// How it ended.
    pub end: Option<AskedEnd>,
}

/// All invoices that can still be paid, and those that ended lately.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AskedBook(BTreeMap<PaymentHash, Asked>);

impl AskedBook {
    /// Takes a fact in; others than invoices' change nothing.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::InvoiceMade(made) => {
                let asked = Asked { index: at.0, made: made.clone(), end: None };
                self.0.insert(made.preimage.hash(), asked);
            }
            Fact::InvoiceSettled(settled) => {
                if let Some(asked) = self.0.get_mut(&settled.payment_hash) {
                    asked.end = Some(AskedEnd::Settled(settled.clone()));
                }
            }
            Fact::InvoiceCancelled(cancelled) => {
                if let Some(asked) = self.0.get_mut(&cancelled.payment_hash) {
                    asked.end = Some(AskedEnd::Cancelled { at_ms: cancelled.at_ms });
                }
            }
            _ => {}
        }
    }

    /// One invoice.
    pub fn get(&self, hash: PaymentHash) -> Option<&Asked> {
        self.0.get(&hash)
    }

    /// All, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.0.values()
    }

    /// Drops invoices that `gone` says are kept elsewhere.
    pub fn forget(&mut self, mut gone: impl FnMut(&Asked) -> bool) {
        self.0.retain(|_, asked| !gone(asked));
    }

    /// Takes an invoice out.
    pub(crate) fn remove(&mut self, hash: PaymentHash) {
        self.0.remove(&hash);
    }

    /// Puts an invoice in as a snapshot had it.
    pub(crate) fn put(&mut self, asked: Asked) {
        self.0.insert(asked.made.preimage.hash(), asked);
    }
}

impl Asked {
    /// Where it stands at `now_ms`. `held` says whether HTLCs for it are here already.
    pub fn state(&self, now_ms: u64, held: bool) -> InvoiceState {
        match &self.end {
            Some(AskedEnd::Settled(settled)) => {
                InvoiceState::Settled { received: settled.received, at: UnixMillis(settled.at_ms) }
            }
            Some(AskedEnd::Cancelled { .. }) => InvoiceState::Cancelled,
            None if held => InvoiceState::Accepted,
            None if now_ms >= self.made.expires_ms => InvoiceState::Expired,
            None => InvoiceState::Open,
        }
    }

    /// As users see it.
    pub fn show(&self, now_ms: u64, held: bool) -> Invoice {
        Invoice {
            index: self.index,
            hash: self.made.preimage.hash(),
            bolt11: self.made.bolt11.0.clone(),
            amount: self.made.amount,
            description: self.made.description_hash.map_or_else(
                || Description::Text(self.made.description.0.clone()),
                Description::Hash,
            ),
            state: self.state(now_ms, held),
            preimage: self.made.preimage,
            created: UnixMillis(self.made.created_ms),
            expires: UnixMillis(self.made.expires_ms),
        }
    }
}
