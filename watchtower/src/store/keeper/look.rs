//! What is asked and changes nothing: which records may be for a transaction, records themselves, figures.

use ::store::disk::Disk;

use crate::index::{Place, Prefix};
use crate::store::fact::Part;
use crate::store::keeper::Thread;
use crate::store::order::{Figures, Found, Hit, Sighting};

impl<D: Disk> Thread<D> {
    /// Whether the ring has every block that it ever will have.
    pub(super) fn ring_is_whole(&self) -> bool {
        self.ring.first().is_some_and(|first| first.height == 0 || !self.ring.has_room())
    }

    /// What may concern these transactions, among records from a place on.
    pub(super) fn hits(&self, txs: &[Sighting], from: Place) -> Vec<Hit> {
        let hit = |(nth, tx): (usize, &Sighting)| {
            let places: Vec<Place> =
                self.index.find(Prefix::of(&tx.hint)).filter(|place| *place >= from).collect();
            let replicas: Vec<u32> = if self.fundings.is_empty() {
                Vec::new()
            } else {
                tx.inputs.iter().filter_map(|input| self.fundings.session(input)).collect()
            };
            let none = places.is_empty() && replicas.is_empty();
            (!none).then_some(Hit { nth, places, replicas })
        };
        txs.iter().enumerate().filter_map(hit).collect()
    }

    pub(super) fn read(&self, places: &[Place]) -> Vec<Option<Found>> {
        let read = match self.shelf.read(places) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "records cannot be read");
                Vec::new()
            }
        };
        let mut read = read.into_iter();
        let next = |_: &Place| {
            let stored = read.next().flatten()?;
            let session = self.state.session(stored.session)?;
            if session.has_forgotten(stored.seq) {
                return None;
            }
            let opening = session.opening.clone();
            Some(Found { stored, opening })
        };
        places.iter().map(next).collect()
    }

    pub(super) fn segments_with(
        &self,
        session: u32,
        first_seq: u32,
        last_seq: u32,
    ) -> Vec<(u32, u32)> {
        let overlaps = |part: &Part| part.first_seq <= last_seq && first_seq <= part.last_seq;
        let closed = self
            .state
            .segments()
            .filter(|(_, segment)| segment.parts.get(&session).is_some_and(overlaps));
        let mut found: Vec<(u32, u32)> =
            closed.map(|(number, segment)| (number, segment.bytes)).collect();
        if self.parts.get(&session).is_some_and(overlaps) {
            let end = self.shelf.end();
            found.push((end.part, end.offset));
        }
        found
    }

    pub(super) fn count(&self) -> Figures {
        let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let ring_blocks = match (self.ring.first(), self.ring.tip()) {
            (Some(first), Some(tip)) => {
                u64::from(tip.height.saturating_sub(first.height).saturating_add(1))
            }
            _ => 0,
        };
        Figures {
            indexed: size(self.index.len()),
            bytes: self.figures.bytes.saturating_add(u64::from(self.shelf.end().offset)),
            segments: size(self.state.segments().count()),
            sessions: size(self.state.sessions().count()),
            index_bytes: size(self.index.bytes()),
            ring_bytes: size(self.ring.bytes()),
            ring_blocks,
            mode: self.mode,
            ..self.figures.clone()
        }
    }
}
