//! Payments and invoices that ended, for lists and for whoever asks twice: rows of the index.
//!
//! A row holds the same facts as the journal. The tasks remember only what is under way and what ended
//! lately; everything else is read here.

use channel::seal::Lsn;
use store::engine::{Batch, Engine, Order};
use store::table::{Table, TableError, Value};
use wire::id::PaymentHash;

use crate::fact::{ChannelIndex, Fact};
use crate::payments::received::{Asked, AskedBook};
use crate::payments::sent::{Sent, SentBook};
use crate::state::rows;
use crate::switch::book::{ForwardBook, Forwarded};
use crate::why::{self, Stories};

/// Stories of channels that are over which are kept in mind, for facts that still belong to them.
const STORIES: usize = 64;

/// For how long an invoice that expired may still be settled or held by a record that is on its way here, in milliseconds.
const LATE_MS: u64 = 10_000;

/// Payments that ended, by their place in the list.
const PAYMENTS: Table<u64, Sent> = Table::new(2);
/// Where a payment stands in the list.
const PAYMENT_PLACES: Table<[u8; 32], Place> = Table::new(3);
/// Invoices that ended, by their place in the list.
const INVOICES: Table<u64, Asked> = Table::new(4);
/// Where an invoice stands in the list.
const INVOICE_PLACES: Table<[u8; 32], Place> = Table::new(5);

/// Forwards, under way and ended, by their place in the list.
const FORWARDS: Table<u64, Forwarded> = Table::new(38);

/// A place in a list.
struct Place(u64);

impl Value for Place {
    const KIND: u16 = 0x504c;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

impl Value for Sent {
    const KIND: u16 = 0x5359;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&rows::encode_sent(self));
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        rows::decode_sent(bytes).ok()
    }
}

impl Value for Asked {
    const KIND: u16 = 0x4153;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&rows::encode_asked(self));
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        rows::decode_asked(bytes).ok()
    }
}

impl Value for Forwarded {
    const KIND: u16 = 0x4657;
    const VERSION: u16 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&rows::encode_forwarded(self));
    }

    fn decode(_version: u16, bytes: &[u8]) -> Option<Self> {
        rows::decode_forwarded(bytes).ok()
    }
}

/// What is under way, as far as rows will need it.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// Payments that did not end.
    pub sent: SentBook,
    /// Invoices that did not end.
    pub asked: AskedBook,
    /// What happened to channels.
    pub stories: Stories,
    /// Forwards that did not end, and the sums of those that did.
    pub forwards: ForwardBook,
}

impl UnderWay {
    /// Takes facts in and adds to the batch what ended by them.
    pub(super) fn index(
        &mut self,
        batch: &mut Batch,
        at: Lsn,
        facts: &[Fact],
    ) -> Result<(), TableError> {
        for fact in facts {
            self.sent.apply(at, fact);
            self.asked.apply(at, fact);
            self.stories.apply(at, fact).map_or(Ok(()), |index| self.put_story(batch, index))?;
            if let Some(forward) = self.forwards.apply(at, fact) {
                FORWARDS.put(batch, &forward.index, &forward)?;
            }
            #[expect(clippy::wildcard_enum_match_arm, reason = "only what ends becomes a row")]
            match fact {
                Fact::PaymentEnded(ended) => {
                    let hash = ended.payment_hash;
                    if let Some(sent) = self.sent.get(hash) {
                        put_payment(batch, sent)?;
                    }
                    self.sent.remove(hash);
                }
                Fact::InvoiceSettled(settled) => self.ended(batch, settled.payment_hash)?,
                Fact::InvoiceCancelled(cancelled) => self.ended(batch, cancelled.payment_hash)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything in it that ended becomes a row and is let go of.
    pub(super) fn let_go(&mut self, batch: &mut Batch) -> Result<(), TableError> {
        for sent in self.sent.iter().filter(|sent| sent.ended.is_some()) {
            put_payment(batch, sent)?;
        }
        for asked in self.asked.iter().filter(|asked| asked.end.is_some()) {
            put_invoice(batch, asked)?;
        }
        self.stories.iter().try_for_each(|story| why::rows::put(batch, story))?;
        for forward in self.forwards.iter() {
            FORWARDS.put(batch, &forward.index, forward)?;
        }
        self.sent.forget(|_| true);
        self.asked.forget(|asked| asked.end.is_some());
        Ok(())
    }

    /// Stories of channels that are over stay in the index alone.
    fn put_story(&mut self, batch: &mut Batch, index: ChannelIndex) -> Result<(), TableError> {
        let Some(story) = self.stories.get(index) else { return Ok(()) };
        why::rows::put(batch, story)?;
        if story.ended {
            self.stories.forget(STORIES);
        }
        Ok(())
    }

    fn ended(&mut self, batch: &mut Batch, hash: PaymentHash) -> Result<(), TableError> {
        if let Some(asked) = self.asked.get(hash) {
            put_invoice(batch, asked)?;
        }
        self.asked.remove(hash);
        Ok(())
    }

    /// Invoices that nobody can pay any more become rows as well.
    pub(super) fn expire(&mut self, batch: &mut Batch, now_ms: u64) -> Result<(), TableError> {
        let expired: Vec<_> = self
            .asked
            .iter()
            .filter(|asked| asked.made.expires_ms.saturating_add(LATE_MS) <= now_ms)
            .filter(|asked| !asked.is_held())
            .map(Asked::hash)
            .collect();
        expired.into_iter().try_for_each(|hash| self.ended(batch, hash))
    }
}

fn put_payment(batch: &mut Batch, sent: &Sent) -> Result<(), TableError> {
    PAYMENTS.put(batch, &sent.index, sent)?;
    PAYMENT_PLACES.put(batch, &sent.started.payment_hash.0, &Place(sent.index))
}

fn put_invoice(batch: &mut Batch, asked: &Asked) -> Result<(), TableError> {
    INVOICES.put(batch, &asked.index, asked)?;
    INVOICE_PLACES.put(batch, &asked.hash().0, &Place(asked.index))
}

/// Where a payment that ended stands in the list: the newest of those with this hash.
///
/// # Errors
/// If the index fails: that is never "not there".
pub fn place(engine: &dyn Engine, hash: PaymentHash) -> Result<Option<u64>, TableError> {
    Ok(PAYMENT_PLACES.get(engine, &hash.0)?.map(|Place(place)| place))
}

/// A payment that ended.
///
/// # Errors
/// If the index fails: that is never "not there".
pub fn payment(engine: &dyn Engine, hash: PaymentHash) -> Result<Option<Sent>, TableError> {
    let Some(Place(place)) = PAYMENT_PLACES.get(engine, &hash.0)? else { return Ok(None) };
    PAYMENTS.get(engine, &place)
}

/// An invoice that ended.
///
/// # Errors
/// If the index fails: that is never "not there".
pub fn invoice(engine: &dyn Engine, hash: PaymentHash) -> Result<Option<Asked>, TableError> {
    let Some(Place(place)) = INVOICE_PLACES.get(engine, &hash.0)? else { return Ok(None) };
    INVOICES.get(engine, &place)
}

/// At most `limit` payments that ended, beyond `after` in the given order.
///
/// # Errors
/// If the index fails.
pub fn payments(
    engine: &dyn Engine,
    after: Option<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<Sent>, TableError> {
    let rows = PAYMENTS.page(engine, after.as_ref(), order, limit)?;
    Ok(rows.into_iter().map(|(_, sent)| sent).collect())
}

/// At most `limit` invoices that ended, beyond `after` in the given order.
///
/// # Errors
/// If the index fails.
pub fn invoices(
    engine: &dyn Engine,
    after: Option<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<Asked>, TableError> {
    let rows = INVOICES.page(engine, after.as_ref(), order, limit)?;
    Ok(rows.into_iter().map(|(_, asked)| asked).collect())
}

/// At most `limit` forwards, beyond `after` in the given order.
///
/// # Errors
/// If the index fails.
pub fn forwards(
    engine: &dyn Engine,
    after: Option<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<Forwarded>, TableError> {
    let rows = FORWARDS.page(engine, after.as_ref(), order, limit)?;
    Ok(rows.into_iter().map(|(_, forward)| forward).collect())
}
