//! A request laid over a snapshot: numbers for ids, lanes that gossip does not know, what is avoided or in flight.

use std::borrow::Cow;
use std::collections::BTreeMap;

use wire::id::NodeId;
use wire::units::Msat;

use super::why::NoRoute;
use crate::graph::{Direction, Lane, Rows, Snapshot, at, edge_of, small};
use crate::request::{HOPS_MAX, ITEMS_MAX, PARTS_MAX, Request};
use crate::score::{Belief, Bounds, Prior, ScoreConfig, Scorer, doubt_fresh, floor, real};

/// Nobody goes through this node.
const CLOSED: u8 = 1;
/// Lanes that gossip does not know lead to it.
const EXTRA: u8 = 2;
/// It has a channel with the payer.
const NEAR: u8 = 4;

/// A lane that the request brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extra {
    pub(super) lane: Lane,
    pub(super) to: u32,
    pub(super) via: ExtraVia,
}

/// Where an extra lane comes from, by place in the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ExtraVia {
    Own(usize),
    Hint(usize, usize),
    Tail(usize),
}

/// What else is known about a public direction.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    in_flight: u64,
    avoided: bool,
}

/// What a search minimises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// Fee, doubt, hops and waiting, each at its worth.
    Best,
    /// The same, fees weighing eight times.
    Thrifty,
    /// Fees alone.
    Cheapest,
    /// Blocks until the expiry alone.
    Soonest,
    /// Hops alone.
    Shortest,
}

/// What things are worth for an amount, so that lanes into one node share the computation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    aim: Aim,
    hop: u64,
    doubt: f64,
    block: f64,
}

/// A search's whole view.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) request: &'a Request,
    pub(super) snapshot: &'a Snapshot,
    pub(super) rows: &'a Rows,
    scorer: &'a Scorer,
    config: ScoreConfig,
    prior: Prior,
    dense: Cow<'a, [u32]>,
    now_secs: u64,
    pub(super) payer: u32,
    pub(super) payee: u32,
    /// By the node they lead to.
    pub(super) extras: Vec<Extra>,
    /// Nodes that the graph does not know; their numbers follow the graph's.
    strangers: Vec<NodeId>,
    marks: Vec<u8>,
    /// A bit for each public direction that is not plain.
    special: Vec<u64>,
    held: BTreeMap<u32, Held>,
    pub(super) loose: Loose,
}

/// What a search may overlook, to find out what stands in the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loose {
    /// `htlc_minimum_msat`.
    pub(super) least: bool,
    /// Hops and bytes.
    pub(super) length: bool,
}

impl<'a> Field<'a> {
    pub(super) fn prepare(
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

    /// The same for another request.
    pub(super) fn again<'b>(&self, request: &'b Request) -> Result<Field<'b>, NoRoute>
    where
        'a: 'b,
    {
        Field::prepare(self.snapshot, self.scorer, request, self.now_secs)
    }

    /// The same, overlooking something.
    pub(super) fn loose(&self, loose: Loose) -> Self {
        Self { loose, ..self.clone() }
    }

    /// The lanes into the payee with what each carries, and those out of the payer.
    pub(super) fn to_payee(&self) -> Vec<(u32, u64)> {
        self.toward(self.payee).collect()
    }

    pub(super) fn out_of_payer(&self) -> Vec<(u32, u64)> {
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
    pub(super) fn cut(&self, behind: &[bool]) -> Vec<(u32, u64)> {
        let is_behind = |node: u32| behind.get(at(node)).copied().unwrap_or(false);
        let nodes = (0..small(behind.len())).filter(|node| is_behind(*node));
        nodes
            .flat_map(|node| self.toward(node))
            .filter(|(place, _)| self.lane(*place).is_some_and(|lane| !is_behind(lane.from)))
            .collect()
    }

    /// A lane's channel and direction, as far as they have names.
    pub(super) fn name(&self, place: u32) -> (Option<wire::id::ShortChannelId>, Option<Direction>) {
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

    /// How many nodes have numbers.
    pub(super) fn nodes(&self) -> usize {
        self.marks.len()
    }

    /// Whether nobody goes through a node. The payer may be avoided and pays all the same.
    pub(super) fn is_closed(&self, node: u32) -> bool {
        self.marks.get(at(node)).is_none_or(|marks| marks & CLOSED != 0)
    }

    /// The extra lanes into a node, with their places.
    pub(super) fn extras_into(&self, node: u32) -> impl Iterator<Item = (u32, &Extra)> {
        let any = self.marks.get(at(node)).is_some_and(|marks| marks & EXTRA != 0);
        let first = self.extras.partition_point(|extra| extra.to < node);
        let row = if any { self.extras.get(first..).unwrap_or_default() } else { &[] };
        let first = small(self.rows.len().saturating_add(first));
        (first..).zip(row.iter().take_while(move |extra| extra.to == node))
    }

    /// The fewest hops from the payer that a node can be reached by, as far as is known without looking.
    pub(super) fn hops_away(&self, node: u32) -> u64 {
        if node == self.payer {
            return 0;
        }
        self.marks.get(at(node)).map_or(2, |marks| if marks & NEAR == 0 { 2 } else { 1 })
    }

    /// Whether a place is an extra lane's, and which.
    pub(super) fn extra_at(&self, place: u32) -> Option<&Extra> {
        self.extras.get(at(place).checked_sub(self.rows.len())?)
    }

    /// A lane by its place.
    pub(super) fn lane(&self, place: u32) -> Option<&Lane> {
        self.extra_at(place).map(|extra| &extra.lane).or_else(|| self.rows.lane(place))
    }

    /// The id of a node.
    pub(super) fn node_id(&self, node: u32) -> Option<NodeId> {
        let stranger =
            || self.strangers.get(at(node.checked_sub(self.rows.node_bound())?)).copied();
        self.snapshot.topology().node_id(node).or_else(stranger)
    }

    /// Whether lanes of the graph out of the payer count: not if it said what its channels are.
    pub(super) const fn payer_is_public(&self) -> bool {
        self.request.own_channels.is_none()
    }

    /// -ln of the chance that a lane carries an amount; `None` if it must not or cannot.
    #[inline]
    pub(super) fn doubt(&self, lane: &Lane, public: bool, amount: u64) -> Option<f64> {
        if !public {
            return Some(0.0);
        }
        if !self.is_special(lane) {
            return doubt_fresh(self.prior, real(amount), real(lane.capacity));
        }
        self.doubt_special(lane, amount)
    }

    /// Whether more is known of a public lane than gossip says.
    #[inline]
    fn is_special(&self, lane: &Lane) -> bool {
        let word = self.special.get(at(lane.edge >> 6)).copied().unwrap_or_default();
        word >> (lane.edge & 63) & 1 != 0
    }

    fn doubt_special(&self, lane: &Lane, amount: u64) -> Option<f64> {
        let held = self.held.get(&lane.edge).copied().unwrap_or_default();
        let amount = amount.saturating_add(held.in_flight);
        if held.avoided || amount > lane.capacity {
            return None;
        }
        match self.belief(lane.edge) {
            None => doubt_fresh(self.prior, real(amount), real(lane.capacity)),
            Some((least, below)) => {
                let bounds = self.bounds(lane, least, below);
                bounds.doubt(self.prior, real(amount))
            }
        }
    }

    fn bounds(&self, lane: &Lane, least: u64, below: Option<u64>) -> Bounds {
        let above = lane.capacity.saturating_add(1);
        Bounds {
            least: real(least.min(lane.capacity)),
            below: real(below.map_or(above, |below| below.min(above))),
            capacity: real(lane.capacity),
        }
    }

    fn belief(&self, edge: u32) -> Option<(u64, Option<u64>)> {
        let place = self.dense.get(at(edge >> 1)).copied().filter(|place| *place != 0)?;
        let belief: &Belief = self.scorer.belief(place)?;
        let direction = Direction::from_bit(edge & 1 == 1);
        Some(belief.bounds(direction, self.now_secs, self.config.half_life_secs))
    }

    /// The most that a public lane can carry of all our parts, by what is known.
    pub(super) fn room(&self, lane: &Lane) -> u64 {
        if !self.is_special(lane) {
            return lane.capacity;
        }
        let held = self.held.get(&lane.edge).copied().unwrap_or_default();
        if held.avoided {
            return 0;
        }
        let below = self.belief(lane.edge).and_then(|(_, below)| below);
        let capacity =
            below.map_or(lane.capacity, |below| below.saturating_sub(1).min(lane.capacity));
        capacity.saturating_sub(held.in_flight)
    }

    /// What a lane carries at most of all parts that one search makes.
    pub(super) fn width(&self, place: u32, lane: &Lane) -> u64 {
        match self.extra_at(place) {
            Some(extra) => extra.lane.most,
            None => self.room(lane).min(lane.most),
        }
    }

    /// What a public lane is known to carry beside what is in flight.
    pub(super) fn surely(&self, lane: &Lane) -> u64 {
        if !self.is_special(lane) {
            return 0;
        }
        let held = self.held.get(&lane.edge).map_or(0, |held| held.in_flight);
        self.belief(lane.edge).map_or(0, |(least, _)| least.saturating_sub(held))
    }

    /// How many places lanes have.
    pub(super) fn places(&self) -> usize {
        self.rows.len().saturating_add(self.extras.len())
    }

    /// What things are worth when `amount` is carried.
    pub(super) fn worth(&self, aim: Aim, amount: u64) -> Worth {
        let config = &self.config;
        let share = |millionths: u32| {
            u64::try_from(u128::from(amount).saturating_mul(u128::from(millionths)) / 1_000_000)
                .unwrap_or(u64::MAX)
        };
        Worth {
            aim,
            hop: u64::from(config.hop_msat).saturating_add(share(config.hop_millionths)),
            doubt: real(
                u64::from(config.doubt_msat).saturating_add(share(config.doubt_millionths)),
            ),
            block: scaled(real(amount), config.lock_billionths),
        }
    }
}

/// A millisatoshi amount times billionths.
#[allow(clippy::float_arithmetic, reason = "a worth, not an amount that is paid")]
fn scaled(amount: f64, billionths: u32) -> f64 {
    amount * f64::from(billionths) * 1e-9
}

impl Worth {
    /// What a lane costs, with its fee, its blocks and its doubt.
    #[inline]
    #[allow(clippy::float_arithmetic, reason = "a worth, not an amount that is paid")]
    pub(super) fn of(&self, fee: u64, blocks: u16, doubt: f64) -> u64 {
        match self.aim {
            Aim::Best | Aim::Thrifty => {
                let fee = if self.aim == Aim::Best { fee } else { fee.saturating_mul(8) };
                let risk = floor(doubt * self.doubt + f64::from(blocks) * self.block);
                fee.saturating_add(self.hop).saturating_add(risk)
            }
            Aim::Cheapest => fee,
            Aim::Soonest => u64::from(blocks),
            Aim::Shortest => 1,
        }
    }

    /// What a part that is e times less likely is worse by.
    pub(super) const fn doubt_msat(&self) -> f64 {
        self.doubt
    }

    /// The least that any hop costs.
    pub(super) const fn least_hop(&self) -> u64 {
        match self.aim {
            Aim::Best | Aim::Thrifty => self.hop,
            Aim::Cheapest | Aim::Soonest => 0,
            Aim::Shortest => 1,
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
