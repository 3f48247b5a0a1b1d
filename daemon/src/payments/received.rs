//! The payments we ask for, as a fold over their facts.
//!
//! Not here: which HTLC may settle what (`payments::receive`), making the BOLT 11 string
//! (`payments::invoice`).

use std::collections::{BTreeMap, BTreeSet};

use channel::seal::Lsn;
use wire::id::{PaymentHash, Preimage};
use wire::units::BlockHeight;

use crate::fact::{
    Fact, InvoiceCancelled, InvoiceHeld, InvoiceMade, InvoiceSettled, PreimageGiven,
};
use crate::payments::receive::FAIL_BACK_BLOCKS;
use crate::rpc::model::UnixMillis;
use crate::rpc::model::invoice::{Description, Invoice, InvoiceState};

/// How an invoice ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AskedEnd {
    /// It was paid.
    Settled(InvoiceSettled),
    /// It was taken back.
    Cancelled(InvoiceCancelled),
}

impl AskedEnd {
    /// When, Unix milliseconds.
    pub const fn at_ms(&self) -> u64 {
        match self {
            Self::Settled(settled) => settled.at_ms,
            Self::Cancelled(cancelled) => cancelled.at_ms,
        }
    }
}

/// One invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Its place in the list: the journal position it was made at.
    pub index: u64,
    /// What it says.
    pub made: InvoiceMade,
    /// By which HTLCs it was held, if it ever was.
    pub held: Option<InvoiceHeld>,
    /// The preimage, if it was made without it and somebody brought it.
    pub given: Option<PreimageGiven>,
    /// How it ended.
    pub end: Option<AskedEnd>,
}

/// All invoices that can still be paid, and those that ended lately.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AskedBook {
    all: BTreeMap<PaymentHash, Asked>,
    /// Those that wait for a word.
    held: BTreeSet<PaymentHash>,
}

impl AskedBook {
    /// Takes a fact in; others than invoices' change nothing.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::InvoiceMade(made) => self.put(Asked::begin(at.0, made.clone())),
            Fact::InvoiceHeld(held) => self.change(held.payment_hash, |asked| {
                asked.held = Some(held.clone());
            }),
            Fact::PreimageGiven(given) => self.change(given.payment_hash, |asked| {
                asked.given = Some(given.clone());
            }),
            Fact::InvoiceSettled(settled) => self.change(settled.payment_hash, |asked| {
                asked.end = Some(AskedEnd::Settled(settled.clone()));
            }),
            Fact::InvoiceCancelled(cancelled) => self.change(cancelled.payment_hash, |asked| {
                asked.end = Some(AskedEnd::Cancelled(cancelled.clone()));
            }),
            _ => {}
        }
    }

    fn change(&mut self, hash: PaymentHash, how: impl FnOnce(&mut Asked)) {
        let Some(asked) = self.all.get_mut(&hash) else { return };
        how(asked);
        if asked.is_held() {
            self.held.insert(hash);
        } else {
            self.held.remove(&hash);
        }
    }

    /// One invoice.
    pub fn get(&self, hash: PaymentHash) -> Option<&Asked> {
        self.all.get(&hash)
    }

    /// All, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.all.values()
    }

    /// Those that wait for a word, by hash.
    pub fn held(&self) -> impl Iterator<Item = &Asked> {
        self.held.iter().filter_map(|hash| self.all.get(hash))
    }

    /// Drops invoices that `gone` says are kept elsewhere.
    pub fn forget(&mut self, mut gone: impl FnMut(&Asked) -> bool) {
        self.all.retain(|_, asked| !gone(asked));
        let all = &self.all;
        self.held.retain(|hash| all.contains_key(hash));
    }

    /// Takes an invoice out.
    pub(crate) fn remove(&mut self, hash: PaymentHash) {
        self.all.remove(&hash);
        self.held.remove(&hash);
    }

    /// Puts an invoice in as a snapshot had it.
    pub(crate) fn put(&mut self, asked: Asked) {
        let hash = asked.hash();
        self.all.insert(hash, asked);
        self.change(hash, |_| {});
    }
}

impl Asked {
    /// An invoice that was just made.
    pub const fn begin(index: u64, made: InvoiceMade) -> Self {
        Self { index, made, held: None, given: None, end: None }
    }

    /// Its name.
    pub const fn hash(&self) -> PaymentHash {
        self.made.payment_hash
    }

    /// What proves the payment, as soon as we know it.
    pub fn preimage(&self) -> Option<Preimage> {
        self.made.preimage.or_else(|| self.given.as_ref().map(|given| given.preimage))
    }

    /// Whether all of it is here and waits for a word.
    pub const fn is_held(&self) -> bool {
        self.held.is_some() && self.end.is_none()
    }

    /// The height at which it is given back if nobody has said a word.
    pub fn held_until(&self) -> Option<BlockHeight> {
        let held = self.held.as_ref().filter(|_| self.end.is_none())?;
        Some(held.expiry.saturating_sub(FAIL_BACK_BLOCKS))
    }

    /// Where it stands at `now_ms`. `arriving` says whether HTLCs for it are here already.
    pub fn state(&self, now_ms: u64, arriving: bool) -> InvoiceState {
        match (&self.end, &self.held) {
            (Some(AskedEnd::Settled(settled)), _) => {
                InvoiceState::Settled { received: settled.received, at: UnixMillis(settled.at_ms) }
            }
            (Some(AskedEnd::Cancelled(cancelled)), _) => {
                InvoiceState::Cancelled { why: cancelled.why }
            }
            (None, Some(held)) => InvoiceState::Held {
                received: held.received,
                at: UnixMillis(held.at_ms),
                until: held.expiry.saturating_sub(FAIL_BACK_BLOCKS),
            },
            (None, None) if arriving => InvoiceState::Accepted,
            (None, None) if now_ms >= self.made.expires_ms => InvoiceState::Expired,
            (None, None) => InvoiceState::Open,
        }
    }

    /// As users see it.
    pub fn show(&self, now_ms: u64, arriving: bool) -> Invoice {
        Invoice {
            index: self.index,
            hash: self.hash(),
            bolt11: self.made.bolt11.0.clone(),
            amount: self.made.amount,
            description: self.made.description_hash.map_or_else(
                || Description::Text(self.made.description.0.clone()),
                Description::Hash,
            ),
            hold: self.made.hold,
            state: self.state(now_ms, arriving),
            preimage: self.preimage(),
            created: UnixMillis(self.made.created_ms),
            expires: UnixMillis(self.made.expires_ms),
        }
    }
}

#[cfg(test)]
mod tests;
