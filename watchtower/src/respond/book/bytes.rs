//! The book's bytes in a snapshot.

use bitcoin::OutPoint;
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::units::Sat;

use super::{Book, EndedClaim, Sent, Source, Taken, Tracked};
use crate::kit::claim::Claim;
use crate::respond::fact::{Taker, read_txid, txid};
use crate::respond::topup::Added;

/// For snapshots.
impl Encode for Book {
    fn encode(&self, out: &mut Vec<u8>) {
        count(self.sources.len(), out);
        for (id, source) in &self.sources {
            txid(id, out);
            source.inputs.encode(out);
            source.session.encode(out);
            source.seq.encode(out);
            maybe(source.height.as_ref(), out, |height, out| height.encode(out));
            maybe(source.overtaken.as_ref(), out, |(by, height), out| {
                txid(by, out);
                height.encode(out);
            });
        }
        count(self.claims.len(), out);
        for tracked in self.claims.values() {
            tracked.claim.encode(out);
            maybe(tracked.sent.as_ref(), out, |sent, out| {
                txid(&sent.txid, out);
                sent.fee.encode(out);
                sent.weight.encode(out);
                sent.height.encode(out);
            });
            maybe(tracked.taken.as_ref(), out, put_taken);
        }
        count(self.ended.len(), out);
        for ended in &self.ended {
            ended.outpoint.encode(out);
            ended.value.encode(out);
            ended.session.encode(out);
            maybe(ended.taken.as_ref(), out, put_taken);
        }
        self.useless.encode(out);
        let added = || self.claims.iter().filter_map(|(o, t)| Some((o, t.added.as_ref()?)));
        count(added().count(), out);
        for (outpoint, added) in added() {
            outpoint.encode(out);
            added.encode(out);
        }
    }
}

impl Decode for Book {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut book = Self::default();
        for _ in 0..u32::decode(r)? {
            let id = read_txid(r)?;
            let inputs = Vec::<OutPoint>::decode(r)?;
            let (session, seq) = (u32::decode(r)?, u32::decode(r)?);
            let height = read_maybe(r, u32::decode)?;
            let overtaken = read_maybe(r, |r| Ok((read_txid(r)?, u32::decode(r)?)))?;
            for input in &inputs {
                book.by_input.entry(*input).or_default().push(id);
            }
            book.sources.insert(id, Source { inputs, session, seq, height, overtaken });
        }
        for _ in 0..u32::decode(r)? {
            let claim = Claim::decode(r)?;
            let sent = read_maybe(r, |r| {
                Ok(Sent {
                    txid: read_txid(r)?,
                    fee: Sat::decode(r)?,
                    weight: u64::decode(r)?,
                    height: u32::decode(r)?,
                })
            })?;
            let taken = read_maybe(r, read_taken)?;
            book.claims.insert(claim.outpoint, Tracked { claim, sent, added: None, taken });
        }
        for _ in 0..u32::decode(r)? {
            let outpoint = OutPoint::decode(r)?;
            let (value, session) = (Sat::decode(r)?, u32::decode(r)?);
            let taken = read_maybe(r, read_taken)?;
            book.ended.push_back(EndedClaim { outpoint, value, session, taken });
        }
        book.useless = u64::decode(r)?;
        // The first version ends here.
        if r.is_empty() {
            return Ok(book);
        }
        for _ in 0..u32::decode(r)? {
            let (outpoint, added) = (OutPoint::decode(r)?, Added::decode(r)?);
            if let Some(tracked) = book.claims.get_mut(&outpoint) {
                tracked.added = Some(added);
            }
        }
        Ok(book)
    }
}

fn put_taken(taken: &Taken, out: &mut Vec<u8>) {
    txid(&taken.by, out);
    taken.taker.encode(out);
    taken.height.encode(out);
}

fn read_taken(r: &mut Reader<'_>) -> Result<Taken, DecodeError> {
    Ok(Taken { by: read_txid(r)?, taker: Taker::decode(r)?, height: u32::decode(r)? })
}

fn count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).encode(out);
}

fn maybe<T>(value: Option<&T>, out: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    match value {
        None => 0_u8.encode(out),
        Some(value) => {
            1_u8.encode(out);
            put(value, out);
        }
    }
}

fn read_maybe<'a, T>(
    r: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match u8::decode(r)? {
        0 => Ok(None),
        1 => read(r).map(Some),
        _ => Err(DecodeError::Range),
    }
}
