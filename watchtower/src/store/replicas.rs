//! Replica sessions: which channels they have, by what a close of each spends, and the HTLCs they were told.
//!
//! HTLCs lie in the archive (`store::archive`), 28 bytes each, made durable before the fact that counts them.
//!
//! Not here: secrets (`state`), what is made of them (`kit::replica`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ::store::archive::{Archive, Payload};
use ::store::disk::Disk;
use bitcoin::OutPoint;
use wire::units::BlockHeight;

use crate::message::HtlcAdd;
use crate::store::fact::{Fact, Kit};
use crate::store::order::Late;
use crate::store::state::State;

/// What an HTLC counts for, in bytes.
pub(crate) const HTLC_BYTES: u64 = 28;
/// Funding outputs of one session: splices.
pub(crate) const FUNDINGS_MAX: usize = 256;
/// The bit of the expiry that says who offered: no height has it.
const OFFERED: u32 = 1 << 31;

/// Whose channel an output is.
#[derive(Debug, Default)]
pub(crate) struct Fundings {
    sessions: BTreeMap<OutPoint, u32>,
    /// Those that a block spends: what is learnt of them from now on is late.
    spent: BTreeSet<OutPoint>,
}

impl Fundings {
    /// Those of all sessions.
    pub(crate) fn of(state: &State) -> Self {
        let replicas = state.sessions().filter(|(_, session)| session.is(Kit::Replica));
        let all = replicas.flat_map(|(number, session)| {
            session.told.fundings.iter().map(move |funding| (*funding, number))
        });
        Self { sessions: all.collect(), spent: BTreeSet::new() }
    }

    /// Every one, to be looked at: it may have been spent by the last block before a crash.
    pub(crate) fn all(&self) -> impl Iterator<Item = Late> + '_ {
        self.sessions
            .iter()
            .map(|(funding, session)| Late::Replica { session: *session, funding: *funding })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(crate) fn session(&self, funding: &OutPoint) -> Option<u32> {
        self.sessions.get(funding).copied()
    }

    /// A block has a transaction with these inputs.
    pub(crate) fn spent(&mut self, inputs: &[OutPoint]) {
        self.spent.extend(inputs.iter().filter(|input| self.sessions.contains_key(input)));
    }

    /// Makes a fact true; says what a block that came already may concern.
    pub(crate) fn follow(&mut self, state: &mut State, fact: &Fact) -> Vec<Late> {
        state.apply(fact);
        if let Fact::Dropped { session } = fact {
            self.sessions.retain(|_, owner| owner != session);
        }
        let Fact::Replica { session, fundings, .. } = fact else { return Vec::new() };
        for funding in fundings {
            self.sessions.insert(*funding, *session);
        }
        let known = state.session(*session).map(|found| found.told.fundings.as_slice());
        let due = known
            .unwrap_or_default()
            .iter()
            .filter(|funding| fundings.contains(funding) || self.spent.contains(funding));
        due.map(|funding| Late::Replica { session: *session, funding: *funding }).collect()
    }
}

/// Writes HTLCs of a session from number `from` on, durable when it returns.
pub(crate) fn archive<D: Disk>(
    disk: &D,
    session: u32,
    from: u64,
    htlcs: &[HtlcAdd],
) -> io::Result<()> {
    let records: Vec<Payload> = htlcs.iter().map(pack).collect();
    Archive::new(disk.clone()).append(u64::from(session), from, &records).map(drop)
}

/// All HTLCs of a session that the disk gives; holes are told in the log.
pub(crate) fn htlcs<D: Disk>(disk: &D, session: u32, count: u64) -> Vec<HtlcAdd> {
    let mut found = Vec::new();
    match Archive::new(disk.clone()).read(u64::from(session), count) {
        Ok(mut reader) => {
            while let Some(record) = reader.next_record() {
                found.push(unpack(&record));
            }
            if !reader.gaps().is_none() {
                tracing::error!(session, gaps = ?reader.gaps(), "HTLCs of a replica are lost");
            }
        }
        Err(error) => tracing::error!(session, %error, "HTLCs of a replica cannot be read"),
    }
    found
}

fn pack(htlc: &HtlcAdd) -> Payload {
    let mut record = [0; 24];
    let expiry = htlc.cltv_expiry.0 & !OFFERED | if htlc.offered { OFFERED } else { 0 };
    for (to, from) in record.iter_mut().zip(htlc.hash.iter().chain(&expiry.to_be_bytes())) {
        *to = *from;
    }
    record
}

fn unpack(record: &Payload) -> HtlcAdd {
    let [hash @ .., a, b, c, d] = *record;
    let expiry = u32::from_be_bytes([a, b, c, d]);
    HtlcAdd { hash, cltv_expiry: BlockHeight(expiry & !OFFERED), offered: expiry & OFFERED != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_htlc_is_the_same_after_the_archive() {
        for offered in [true, false] {
            let cltv_expiry = BlockHeight(800_123);
            let htlc = HtlcAdd { hash: [7; 20], cltv_expiry, offered };
            assert_eq!(unpack(&pack(&htlc)), htlc);
        }
    }
}
