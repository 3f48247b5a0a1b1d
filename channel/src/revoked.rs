//! Every state that the peer revoked, in rows: what it takes to compute its commitment again, years later.
//!
//! A tower that is hired late needs them all, and a tower that asks twice must be told the same. A row says
//! what changed since the row before; every so often one says everything. Rows since the last snapshot are
//! in the state, the archive has all others, as with [`crate::past`].
//!
//! Not here: the file they go to (`store::rows`), what a tower is told (`watchtower::kit`).

use std::collections::VecDeque;

use wire::codec::{BigSize, Decode, DecodeError, Encode, Long, Reader};
use wire::id::PaymentHash;
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::tx::{CommitmentSpec, Direction, SpecHtlc};

/// Every so many rows, one says everything.
pub const FULL_EVERY: u64 = 256;

/// Rows of one channel: row `k` is commitment `first + k` of the peer's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevokedLog {
    /// The commitment of the first row. Those before it are not known: the channel is older than its log.
    pub first: u64,
    /// How many of the first rows are in the archive and not here.
    pub archived: u64,
    /// How many bytes those take there.
    pub archived_bytes: u64,
    recent: VecDeque<Vec<u8>>,
    last: Option<CommitmentSpec>,
}

impl RevokedLog {
    /// A log that begins with commitment `first`.
    pub fn beginning_at(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.archived.saturating_add(u64::try_from(self.recent.len()).unwrap_or(u64::MAX))
    }

    /// Rows that are not in the archive, from row `from` on (or from the first that is here).
    pub fn recent(&self, from: u64) -> impl Iterator<Item = &Vec<u8>> {
        let skip = usize::try_from(from.saturating_sub(self.archived)).unwrap_or(usize::MAX);
        self.recent.iter().skip(skip)
    }

    /// The commitment that was just revoked divided this.
    pub(crate) fn push(&mut self, mut spec: CommitmentSpec) {
        spec.htlcs.sort_by_key(name);
        let full = self.rows().checked_rem(FULL_EVERY) == Some(0);
        let before = self.last.as_ref().filter(|_| !full);
        let mut row = Vec::with_capacity(32);
        encode_row(before, &spec, &mut row);
        self.recent.push_back(row);
        self.last = Some(spec);
    }

    /// Lets go of what the archive has by now: the first `rows` rows in `bytes` bytes.
    pub fn let_go(&mut self, rows: u64, bytes: u64) {
        let more = usize::try_from(rows.saturating_sub(self.archived)).unwrap_or(usize::MAX);
        if more > 0 && more <= self.recent.len() {
            self.recent.drain(..more);
            self.archived = rows;
            self.archived_bytes = bytes;
        }
    }
}

/// Reads rows one after the other, beginning with one that says everything.
#[derive(Clone, Debug, Default)]
pub struct RowReader(Option<CommitmentSpec>);

impl RowReader {
    /// What the commitment of the next row divided, seen from the peer, its owner.
    ///
    /// Errors for a row that says what changed when nothing came before, and for bytes that are no row. The
    /// rows up to the next full one cannot be read then.
    pub fn next_row(&mut self, row: &[u8]) -> Result<&CommitmentSpec, DecodeError> {
        let before = self.0.take();
        let spec = decode_row(before, row)?;
        Ok(self.0.insert(spec))
    }
}

/// Whether a row says everything.
const FULL: u8 = 1;
const CHANGE: u8 = 0;

fn encode_row(before: Option<&CommitmentSpec>, spec: &CommitmentSpec, out: &mut Vec<u8>) {
    out.push(if before.is_some() { CHANGE } else { FULL });
    spec.feerate.encode(out);
    spec.to_owner.encode(out);
    spec.to_other.encode(out);
    let before = before.map_or(&[][..], |spec| spec.htlcs.as_slice());
    // Both are sorted; equal HTLCs have equal names.
    let gone: Vec<_> = before.iter().filter(|htlc| !has(&spec.htlcs, htlc)).collect();
    let come: Vec<_> = spec.htlcs.iter().filter(|htlc| !has(before, htlc)).collect();
    BigSize::of_len(gone.len()).encode(out);
    for htlc in gone {
        encode_name(htlc, out);
    }
    BigSize::of_len(come.len()).encode(out);
    for htlc in come {
        encode_name(htlc, out);
        htlc.amount.encode(out);
        htlc.payment_hash.encode(out);
        htlc.cltv_expiry.encode(out);
    }
}

fn encode_name(htlc: &SpecHtlc, out: &mut Vec<u8>) {
    (htlc.direction == Direction::Offered).encode(out);
    BigSize(htlc.id).encode(out);
}

/// Whether a list has an HTLC of this name. Lists are sorted by name.
fn has(list: &[SpecHtlc], htlc: &SpecHtlc) -> bool {
    list.binary_search_by_key(&name(htlc), name).is_ok()
}

const fn name(htlc: &SpecHtlc) -> (Direction, u64) {
    (htlc.direction, htlc.id)
}

fn decode_row(before: Option<CommitmentSpec>, row: &[u8]) -> Result<CommitmentSpec, DecodeError> {
    let mut r = Reader::new(row);
    let mut htlcs = match u8::decode(&mut r)? {
        FULL => Vec::new(),
        CHANGE => before.ok_or(DecodeError::Range)?.htlcs,
        _ => return Err(DecodeError::Range),
    };
    let feerate = FeeratePerKw::decode(&mut r)?;
    let (to_owner, to_other) = (Msat::decode(&mut r)?, Msat::decode(&mut r)?);
    let count = BigSize::decode(&mut r)?.0;
    for _ in 0..count {
        let gone = decode_name(&mut r)?;
        let place = htlcs.binary_search_by_key(&gone, name).map_err(|_| DecodeError::Range)?;
        htlcs.remove(place);
    }
    let count = BigSize::decode(&mut r)?.0;
    for _ in 0..count {
        let (direction, id) = decode_name(&mut r)?;
        htlcs.push(SpecHtlc {
            direction,
            id,
            amount: Msat::decode(&mut r)?,
            payment_hash: PaymentHash::decode(&mut r)?,
            cltv_expiry: BlockHeight::decode(&mut r)?,
        });
    }
    r.end()?;
    htlcs.sort_by_key(name);
    Ok(CommitmentSpec { feerate, to_owner, to_other, htlcs })
}

fn decode_name(r: &mut Reader<'_>) -> Result<(Direction, u64), DecodeError> {
    let offered = bool::decode(r)?;
    let direction = if offered { Direction::Offered } else { Direction::Received };
    Ok((direction, BigSize::decode(r)?.0))
}

impl Encode for RevokedLog {
    fn encode(&self, out: &mut Vec<u8>) {
        self.first.encode(out);
        self.archived.encode(out);
        self.archived_bytes.encode(out);
        Long(self.recent.iter().map(|row| Long(row.clone())).collect()).encode(out);
        let mut last = Vec::new();
        if let Some(spec) = &self.last {
            encode_row(None, spec, &mut last);
        }
        Long(last).encode(out);
    }
}

impl Decode for RevokedLog {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (first, archived) = (u64::decode(r)?, u64::decode(r)?);
        let archived_bytes = u64::decode(r)?;
        let recent = Long::<Long<u8>>::decode(r)?.0.into_iter().map(|row| row.0).collect();
        let last = Long::<u8>::decode(r)?.0;
        let last = if last.is_empty() { None } else { Some(decode_row(None, &last)?) };
        Ok(Self { first, archived, archived_bytes, recent, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::units::FeeratePerKw;

    fn spec(round: u64) -> CommitmentSpec {
        let htlcs = [Direction::Offered, Direction::Received].into_iter().flat_map(|direction| {
            (round..round + round % 5).map(move |id| SpecHtlc {
                direction,
                id,
                amount: Msat::new(id * 1_000).unwrap(),
                payment_hash: PaymentHash([7; 32]),
                cltv_expiry: BlockHeight(500),
            })
        });
        CommitmentSpec {
            feerate: FeeratePerKw(253),
            to_owner: Msat::new(round).unwrap(),
            to_other: Msat::new(9).unwrap(),
            htlcs: htlcs.collect(),
        }
    }

    #[test]
    fn rows_say_what_every_commitment_divided() {
        let mut log = RevokedLog::beginning_at(3);
        for round in 0..600 {
            log.push(spec(round));
        }
        let mut reader = RowReader::default();
        for (round, row) in (0..).zip(log.recent(0)) {
            assert_eq!(reader.next_row(row).unwrap(), &spec(round));
        }
        let mut middle = RowReader::default();
        for (round, row) in (512..).zip(log.recent(512)) {
            assert_eq!(middle.next_row(row).unwrap(), &spec(round), "every 256th says everything");
        }
        let changes = log.recent(513).next().unwrap();
        assert!(RowReader::default().next_row(changes).is_err(), "a change needs what was before");
        let again = RevokedLog::decode_exact(&log.encoded()).unwrap();
        assert_eq!(again, log);
        log.let_go(500, 12_345);
        assert_eq!((log.rows(), log.archived, log.recent(0).count()), (600, 500, 100));
        log.let_go(400, 1);
        assert_eq!(log.archived_bytes, 12_345, "an older word changes nothing");
        log.push(spec(600));
        assert_eq!(log.rows(), 601);
    }

    #[test]
    fn a_row_without_htlcs_takes_less_than_thirty_bytes() {
        let mut log = RevokedLog::default();
        log.push(spec(0));
        log.push(spec(5));
        assert_eq!(log.recent(1).next().unwrap().len(), 23);
    }
}
