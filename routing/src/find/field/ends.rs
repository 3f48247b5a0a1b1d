//! Lanes at the ends and across a cut, with what each carries, and their names.

use super::{ExtraVia, Field};
use crate::graph::{Direction, at, edge_of, small};

impl Field<'_> {
    /// The lanes into the payee with what each carries, and those out of the payer.
    pub(in crate::find) fn to_payee(&self) -> Vec<(u32, u64)> {
        self.toward(self.payee).collect()
    }

    pub(in crate::find) fn out_of_payer(&self) -> Vec<(u32, u64)> {
        let extras = self.extras.iter().zip(self.rows.len()..);
        let extras = extras.filter(|(extra, _)| extra.lane.from == self.payer);
        let mut lanes: Vec<_> =
            extras.map(|(extra, place)| (small(place), extra.lane.most)).collect();
        if self.payer_is_public() {
            let channels = self.snapshot.topology().numbers_of(self.payer);
            let edges =
                channels.flat_map(|channel| Direction::BOTH.map(|way| edge_of(channel, way)));
            for place in edges.filter_map(|edge| self.rows.place_of(edge)) {
                let lane = self.rows.lane(place).filter(|lane| lane.from == self.payer);
                if let Some(lane) = lane {
                    lanes.push((place, self.width(place, lane)));
                }
            }
        }
        lanes
    }

    /// The usable lanes into a node with what each carries.
    fn toward(&self, node: u32) -> impl Iterator<Item = (u32, u64)> {
        let rows = (self.rows.start_of(node)..).zip(self.rows.toward(node));
        let rows = rows.filter(|(_, lane)| lane.from != self.payer || self.payer_is_public());
        let extras = self.extras_into(node).map(|(place, extra)| (place, &extra.lane));
        rows.chain(extras)
            .filter(|(_, lane)| lane.from == self.payer || !self.is_closed(lane.from))
            .map(|(place, lane)| (place, self.width(place, lane)))
            .filter(|(_, width)| *width > 0)
    }

    /// The lanes from nodes that do not reach the payee to such that do.
    pub(in crate::find) fn cut(&self, behind: &[bool]) -> Vec<(u32, u64)> {
        let is_behind = |node: u32| behind.get(at(node)).copied().unwrap_or(false);
        let nodes = (0..small(behind.len())).filter(|node| is_behind(*node));
        nodes
            .flat_map(|node| self.toward(node))
            .filter(|(place, _)| self.lane(*place).is_some_and(|lane| !is_behind(lane.from)))
            .collect()
    }

    /// A lane's channel and direction, as far as they have names.
    pub(in crate::find) fn name(
        &self,
        place: u32,
    ) -> (Option<wire::id::ShortChannelId>, Option<Direction>) {
        match self.extra_at(place).map(|extra| extra.via) {
            Some(ExtraVia::Own(own)) => {
                let own = self.request.own_channels.as_ref().and_then(|channels| channels.get(own));
                (own.map(|own| own.scid), None)
            }
            Some(ExtraVia::Hint(hint, hop)) => {
                let hop = self.request.hints.get(hint).and_then(|hops| hops.get(hop));
                (hop.map(|hop| hop.scid), None)
            }
            Some(ExtraVia::Tail(_)) => (None, None),
            None => {
                let edge = self.lane(place).map(|lane| lane.edge);
                let scid = edge.and_then(|edge| self.snapshot.topology().scid(edge >> 1));
                (scid, edge.map(|edge| Direction::from_bit(edge & 1 == 1)))
            }
        }
    }
}
