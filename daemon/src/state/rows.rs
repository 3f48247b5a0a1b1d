//! A payment or an invoice with its whole story, as bytes: in snapshots and in the index. The story is
//! written as the facts that made it, so it needs no layout of its own.

use wire::codec::{Decode, DecodeError, Encode, Reader};

use crate::fact::{Fact, FactError, facts};
use crate::payments::received::{Asked, AskedEnd};
use crate::payments::sent::Sent;
use crate::switch::book::Forwarded;

/// Why bytes are no row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The layout is broken.
    #[error(transparent)]
    Layout(#[from] DecodeError),
    /// A fact in it is broken.
    #[error(transparent)]
    Fact(#[from] FactError),
}

/// A payment and all that is known of it.
pub(crate) fn encode_sent(sent: &Sent) -> Vec<u8> {
    let mut out = Vec::new();
    sent.index.encode(&mut out);
    sent.first_part.encode(&mut out);
    Fact::PaymentStarted(sent.started.clone()).encode(&mut out);
    if let Some(means) = &sent.means {
        Fact::PaymentMeans(means.clone()).encode(&mut out);
    }
    for tried in &sent.tried {
        Fact::PaymentTried(tried.clone()).encode(&mut out);
    }
    for route in sent.routes.values() {
        Fact::RouteTaken(route.clone()).encode(&mut out);
    }
    for held in sent.held.values() {
        Fact::PartHeld(held.clone()).encode(&mut out);
    }
    for failed in &sent.failed {
        Fact::AttemptFailed(failed.clone()).encode(&mut out);
    }
    if let Some(left) = &sent.no_way {
        Fact::NoWayLeft(left.clone()).encode(&mut out);
    }
    if let Some(ended) = &sent.ended {
        Fact::PaymentEnded(ended.clone()).encode(&mut out);
    }
    out
}

/// Reads [`encode_sent`].
pub(crate) fn decode_sent(bytes: &[u8]) -> Result<Sent, RowError> {
    let mut r = Reader::new(bytes);
    let (index, first_part) = (u64::decode(&mut r)?, u32::decode(&mut r)?);
    let mut facts = facts(r.rest())?.into_iter();
    let Some(Fact::PaymentStarted(started)) = facts.next() else {
        return Err(DecodeError::NotCanonical.into());
    };
    let mut sent = Sent { first_part, ..Sent::begin(index, started) };
    for fact in facts {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these are written")]
        match fact {
            Fact::PaymentTried(tried) => sent.tried.push(tried),
            Fact::RouteTaken(route) => {
                sent.routes.insert(route.part, route);
            }
            Fact::PartHeld(held) => {
                sent.held.insert(held.part, held);
            }
            Fact::PaymentMeans(means) => sent.means = Some(means),
            Fact::NoWayLeft(left) => sent.no_way = Some(left),
            Fact::AttemptFailed(failed) => sent.failed.push(failed),
            Fact::PaymentEnded(ended) => sent.ended = Some(ended),
            _ => return Err(DecodeError::NotCanonical.into()),
        }
    }
    Ok(sent)
}

/// An invoice and all that is known of it.
pub(crate) fn encode_asked(asked: &Asked) -> Vec<u8> {
    let mut out = Vec::new();
    asked.index.encode(&mut out);
    Fact::InvoiceMade(asked.made.clone()).encode(&mut out);
    let held = asked.held.iter().map(|held| Fact::InvoiceHeld(held.clone()));
    let given = asked.given.iter().map(|given| Fact::PreimageGiven(given.clone()));
    let end = asked.end.iter().map(|end| match end {
        AskedEnd::Settled(settled) => Fact::InvoiceSettled(settled.clone()),
        AskedEnd::Cancelled(cancelled) => Fact::InvoiceCancelled(cancelled.clone()),
    });
    held.chain(given).chain(end).for_each(|fact| fact.encode(&mut out));
    out
}

/// Reads [`encode_asked`].
pub(crate) fn decode_asked(bytes: &[u8]) -> Result<Asked, RowError> {
    let mut r = Reader::new(bytes);
    let index = u64::decode(&mut r)?;
    let mut facts = facts(r.rest())?.into_iter();
    let Some(Fact::InvoiceMade(made)) = facts.next() else {
        return Err(DecodeError::NotCanonical.into());
    };
    let mut asked = Asked::begin(index, made);
    for fact in facts {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these are written")]
        match fact {
            Fact::InvoiceHeld(held) => asked.held = Some(held),
            Fact::PreimageGiven(given) => asked.given = Some(given),
            Fact::InvoiceSettled(settled) => asked.end = Some(AskedEnd::Settled(settled)),
            Fact::InvoiceCancelled(cancelled) => asked.end = Some(AskedEnd::Cancelled(cancelled)),
            _ => return Err(DecodeError::NotCanonical.into()),
        }
    }
    Ok(asked)
}

/// A forward and all that is known of it.
pub(crate) fn encode_forwarded(forward: &Forwarded) -> Vec<u8> {
    let mut out = Vec::new();
    forward.index.encode(&mut out);
    Fact::ForwardTaken(forward.taken.clone()).encode(&mut out);
    if let Some(ended) = &forward.ended {
        Fact::ForwardEnded(ended.clone()).encode(&mut out);
    }
    out
}

/// Reads [`encode_forwarded`].
pub(crate) fn decode_forwarded(bytes: &[u8]) -> Result<Forwarded, RowError> {
    let mut r = Reader::new(bytes);
    let index = u64::decode(&mut r)?;
    let mut facts = facts(r.rest())?.into_iter();
    let Some(Fact::ForwardTaken(taken)) = facts.next() else {
        return Err(DecodeError::NotCanonical.into());
    };
    let ended = match facts.next() {
        None => None,
        Some(Fact::ForwardEnded(ended)) => Some(ended),
        Some(_) => return Err(DecodeError::NotCanonical.into()),
    };
    Ok(Forwarded { index, taken, ended })
}
