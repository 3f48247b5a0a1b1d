//! Laying a request over a snapshot: ends, extra lanes, marks and what is held.

use std::collections::BTreeMap;

use wire::id::NodeId;
use wire::units::Msat;

use super::{CLOSED, EXTRA, Extra, ExtraVia, Field, Loose, NEAR};
use crate::find::why::NoRoute;
use crate::graph::{Direction, Lane, Snapshot, at, edge_of, small};
use crate::request::{HOPS_MAX, ITEMS_MAX, PARTS_MAX, Request};
use crate::score::Scorer;

impl<'a> Field<'a> {
    /// Lays a request over a snapshot.
    pub(in crate::find) fn prepare(
        snapshot: &'a Snapshot,
        scorer: &'a Scorer,
        request: &'a Request,
        now_secs: u64,
    ) -> Result<Self, NoRoute> {
        check(request)?;
        let rows = snapshot.rows();
        let config = *scorer.config();
        let mut field = Self {
            request,
            snapshot,
            rows,
            scorer,
            config,
            prior: config.prior,
            dense: scorer.dense(snapshot),
            now_secs,
            payer: 0,
            payee: 0,
            extras: Vec::new(),
            strangers: Vec::new(),
            marks: Vec::new(),
            special: vec![0; rows.edge_bound().div_ceil(64)],
            held: BTreeMap::new(),
            loose: Loose::default(),
        };
        let mut numbers = Numbers { snapshot, strangers: BTreeMap::new(), next: rows.node_bound() };
        field.payer = numbers.of(request.payer);
        field.add_ends(&mut numbers)?;
        field.strangers = numbers.ids();
        field.extras.sort_by_key(|extra| extra.to);
        field.mark();
        field.hold();
        Ok(field)
    }

    /// The payee, and all lanes that only the request knows.
    fn add_ends(&mut self, numbers: &mut Numbers<'_>) -> Result<(), NoRoute> {
        let request = self.request;
        if request.tails.is_empty() {
            if request.payer == request.payee {
                return Err(NoRoute::ToSelf);
            }
            self.payee = numbers.of(request.payee);
        } else {
            // Behind a blinded route is somebody without a name.
            self.payee = numbers.nameless();
        }
        for (place, own) in request.own_channels.iter().flatten().enumerate() {
            let lane = Lane {
                least: own.least.to_u64(),
                most: own.most.to_u64(),
                capacity: own.most.to_u64(),
                from: self.payer,
                ..Lane::default()
            };
            if !self.avoids(own.scid, None) {
                self.extra(lane, numbers.of(own.peer), ExtraVia::Own(place));
            }
        }
        for (hint, hops) in request.hints.iter().enumerate() {
            for (place, hop) in hops.iter().enumerate() {
                let next =
                    hops.get(place.saturating_add(1)).map_or(request.payee, |next| next.node);
                let direction = Direction::between(&hop.node, &next);
                let from = numbers.of(hop.node);
                // The way starts with a channel of ours: then that channel says what it can carry.
                let known = request.own_channels.is_some() && from == self.payer;
                if known || self.avoids(hop.scid, Some(direction)) {
                    continue;
                }
                let below = self.scorer.bounds(hop.scid, direction, self.now_secs);
                let below = below.and_then(|(_, below)| below?.checked_sub(Msat::new(1)?));
                let most = below.map_or(hop.htlc_maximum, |below| below.min(hop.htlc_maximum));
                let lane = Lane {
                    least: hop.htlc_minimum.to_u64(),
                    most: most.to_u64(),
                    capacity: most.to_u64(),
                    from,
                    edge: 0,
                    fee_base: hop.fee_base_msat,
                    fee_millionths: hop.fee_proportional_millionths,
                    cltv_delta: hop.cltv_expiry_delta.to_u16(),
                };
                self.extra(lane, numbers.of(next), ExtraVia::Hint(hint, place));
            }
        }
        for (place, tail) in request.tails.iter().enumerate() {
            let from = numbers.of(tail.introduction);
            // Our own blinded hop cannot be sent to: whoever gave us the route left it to us to go on from it.
            if from == self.payer {
                continue;
            }
            let lane = Lane {
                least: tail.htlc_minimum.to_u64(),
                most: tail.htlc_maximum.to_u64(),
                capacity: tail.htlc_maximum.to_u64(),
                from,
                edge: 0,
                fee_base: tail.fee_base_msat,
                fee_millionths: tail.fee_proportional_millionths,
                cltv_delta: tail.cltv_expiry_delta.to_u16(),
            };
            self.extra(lane, self.payee, ExtraVia::Tail(place));
        }
        let known = self.payee < self.rows.node_bound();
        if !known && !self.extras.iter().any(|extra| extra.to == self.payee) {
            return Err(NoRoute::UnknownDestination(request.payee));
        }
        Ok(())
    }

    fn extra(&mut self, lane: Lane, to: u32, via: ExtraVia) {
        if lane.from != to {
            self.extras.push(Extra { lane, to, via });
        }
    }

    fn avoids(&self, scid: wire::id::ShortChannelId, direction: Option<Direction>) -> bool {
        let avoided = &self.request.avoid_channels;
        avoided.contains(&(scid, None))
            || direction.is_some_and(|way| avoided.contains(&(scid, Some(way))))
    }

    /// Marks nodes: where nobody goes through, what extra lanes lead to, who is near the payer.
    fn mark(&mut self) {
        let nodes =
            at(self.rows.node_bound()).saturating_add(self.strangers.len()).saturating_add(1);
        self.marks = vec![0; nodes];
        let topology = self.snapshot.topology();
        if !self.request.hop_features.is_empty() {
            for node in 0..self.rows.node_bound() {
                let features = topology.node_features(node);
                let able = features.is_some_and(|features| {
                    self.request.hop_features.iter().all(|feature| features.offers(*feature))
                });
                if !able {
                    mark(&mut self.marks, node, CLOSED);
                }
            }
        }
        for id in &self.request.avoid_nodes {
            let stranger = || self.strangers.iter().position(|stranger| stranger == id);
            let number = topology
                .find_node(id)
                .or_else(|| self.rows.node_bound().checked_add(small(stranger()?)));
            if let Some(number) = number {
                mark(&mut self.marks, number, CLOSED);
            }
        }
        for extra in &self.extras {
            mark(&mut self.marks, extra.to, EXTRA);
            if extra.lane.from == self.payer {
                mark(&mut self.marks, extra.to, NEAR);
            }
        }
        if self.request.own_channels.is_none() {
            for channel in self.snapshot.channels_of(self.request.payer) {
                for node in channel.nodes.iter().filter_map(|node| topology.find_node(node)) {
                    mark(&mut self.marks, node, NEAR);
                }
            }
        }
    }

    /// Notes the directions that are not plain.
    fn hold(&mut self) {
        let topology = self.snapshot.topology();
        for (scid, direction) in &self.request.avoid_channels {
            let Some(number) = topology.find(*scid) else { continue };
            for way in Direction::BOTH {
                if direction.is_none_or(|only| only == way) {
                    self.held.entry(edge_of(number, way)).or_default().avoided = true;
                }
            }
        }
        for held in &self.request.in_flight {
            let Some(number) = topology.find(held.scid) else { continue };
            let entry = self.held.entry(edge_of(number, held.direction)).or_default();
            entry.in_flight = entry.in_flight.saturating_add(held.amount.to_u64());
        }
        for edge in self.held.keys() {
            set(&mut self.special, *edge);
        }
        for (channel, place) in (0_u32..).zip(self.dense.iter()) {
            if *place != 0 {
                set(&mut self.special, edge_of(channel, Direction::FromLesser));
                set(&mut self.special, edge_of(channel, Direction::FromGreater));
            }
        }
    }
}

/// Numbers for ids.
struct Numbers<'a> {
    snapshot: &'a Snapshot,
    strangers: BTreeMap<NodeId, u32>,
    next: u32,
}

impl Numbers<'_> {
    fn of(&mut self, id: NodeId) -> u32 {
        let next = &mut self.next;
        self.snapshot.topology().find_node(&id).unwrap_or_else(|| {
            *self.strangers.entry(id).or_insert_with(|| {
                let number = *next;
                *next = next.saturating_add(1);
                number
            })
        })
    }

    /// A number for nobody: an id that no key has.
    fn nameless(&mut self) -> u32 {
        self.of(NodeId([0; 33]))
    }

    fn ids(self) -> Vec<NodeId> {
        let mut ids: Vec<_> = self.strangers.into_iter().map(|(id, number)| (number, id)).collect();
        ids.sort_unstable_by_key(|(number, _)| *number);
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

fn check(request: &Request) -> Result<(), NoRoute> {
    if request.amount.is_zero() {
        return Err(NoRoute::NothingToSend);
    }
    let items = [
        request.own_channels.as_ref().map_or(0, Vec::len),
        request.hints.iter().map(Vec::len).fold(0, usize::saturating_add),
        request.tails.len(),
        request.avoid_nodes.len(),
        request.avoid_channels.len(),
        request.in_flight.len(),
    ];
    let hops = (1..=HOPS_MAX).contains(&request.max_hops);
    let parts = (1..=PARTS_MAX).contains(&request.max_parts);
    if !hops || !parts || items.iter().any(|count| *count > ITEMS_MAX) {
        return Err(NoRoute::OutOfRange);
    }
    Ok(())
}

fn mark(marks: &mut [u8], node: u32, bit: u8) {
    if let Some(marks) = marks.get_mut(at(node)) {
        *marks |= bit;
    }
}

fn set(bits: &mut [u64], edge: u32) {
    if let Some(word) = bits.get_mut(at(edge >> 6)) {
        *word |= 1 << (edge & 63);
    }
}
