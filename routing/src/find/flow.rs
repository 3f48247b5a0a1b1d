//! Min-cost flow: the amount spread over many channels so that fees and doubts together are least.
//!
//! Costs of a lane are convex in what it carries, so they are cut into linear pieces (Pickhardt and Richter), and
//! the cheapest way is filled again and again until everything flows (successive shortest paths with potentials;
//! what flows already can be taken back). Amounts here are what arrives: fees on top of them, and limits of each HTLC,
//! are settled afterwards ([`super::split`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::field::{Aim, Field};
use super::walk::{Step, portion};
use crate::graph::{Lane, at};
use crate::score::{floor, real};

/// How often a way is filled at most.
const FILLS_MAX: usize = 400;
/// Where the pieces of a lane's cost end, in eighths of what is uncertain.
const PIECES: [u64; 4] = [1, 3, 5, 8];
/// A rate that was not computed yet.
const UNKNOWN: u64 = u64::MAX;

/// How closely to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grain {
    /// Lanes too narrow for a fair part are left out.
    Coarse,
    /// Everything counts.
    Fine,
    /// Everything counts, and room is left for the fees of others.
    Roomy,
}

/// What flows over a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flowing {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) flow: u64,
}

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    /// By the lane's place.
    pub(super) lanes: BTreeMap<u32, Flowing>,
    /// What of the amount does not flow.
    pub(super) short: u64,
}

/// Sends as much of the amount as can flow.
pub(super) fn send(field: &Field<'_>, aim: Aim, grain: Grain, amount: u64) -> Flow {
    let mut sending = Sending::start(field, aim, grain, amount);
    let mut left = amount;
    for _ in 0..FILLS_MAX {
        if left == 0 || !sending.search() {
            break;
        }
        let filled = sending.fill(left);
        if filled == 0 {
            break;
        }
        left = left.saturating_sub(filled);
    }
    sending.flow.retain(|_, lane| lane.flow > 0);
    Flow { lanes: sending.flow, short: left }
}

/// How a node reaches the payee in what is left.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Reduced by potentials.
    distance: u64,
    potential: u64,
    /// The lane on the way, and the node at its other end.
    place: u32,
    next: u32,
    /// Whether the lane is used against its flow.
    back: bool,
    done: bool,
}

struct Sending<'f, 'a> {
    field: &'f Field<'a>,
    aim: Aim,
    grain: Grain,
    amount: u64,
    /// What one part is thought to carry, to spread what each HTLC costs.
    part: u64,
    narrowest: u64,
    nodes: Vec<Node>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    flow: BTreeMap<u32, Flowing>,
    /// Lanes that flow out of a node.
    out: BTreeMap<u32, Vec<u32>>,
    /// For lanes without flow: what the first piece costs.
    rates: Vec<u64>,
}

/// A piece of a lane's cost: where it starts and ends, and billionths of a millisatoshi for each one in it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    end: u64,
    rate: u64,
}

impl<'f, 'a> Sending<'f, 'a> {
    fn start(field: &'f Field<'a>, aim: Aim, grain: Grain, amount: u64) -> Self {
        let parts = u64::from(field.request.max_parts);
        let nowhere =
            Node { distance: u64::MAX, potential: 0, place: 0, next: 0, back: false, done: false };
        let narrowest = match grain {
            Grain::Coarse => portion(amount, 1, parts.saturating_mul(4).max(1)).max(1),
            Grain::Fine | Grain::Roomy => 1,
        };
        Self {
            field,
            aim,
            grain,
            amount,
            part: portion(amount, 1, parts.clamp(1, 4)).max(1),
            narrowest,
            nodes: vec![nowhere; field.nodes()],
            heap: BinaryHeap::new(),
            flow: BTreeMap::new(),
            out: BTreeMap::new(),
            rates: vec![UNKNOWN; field.places()],
        }
    }

    /// What a lane carries at most, of what arrives.
    fn width(&self, place: u32, lane: &Lane) -> u64 {
        let width = self.field.width(place, lane);
        let least = if self.grain == Grain::Coarse { self.part } else { self.amount };
        if lane.least > least {
            return 0;
        }
        if self.grain != Grain::Roomy {
            return width;
        }
        // Upstream more flows than arrives, by what the fees are.
        let fees = self.field.request.fee_limit.to_u64().min(self.amount / 64);
        portion(width, self.amount, self.amount.saturating_add(fees).max(1))
    }

    /// The piece above or below what flows; `None` if there is none.
    #[allow(clippy::float_arithmetic, reason = "worths, not amounts that are paid")]
    fn piece(&self, place: u32, lane: &Lane, flow: u64, above: bool) -> Option<Piece> {
        let field = self.field;
        let width = self.width(place, lane);
        if width < self.narrowest {
            return None;
        }
        let public = field.extra_at(place).is_none();
        let flat = self.flat(lane, public);
        if self.aim == Aim::Cheapest {
            let inside = if above { flow < width } else { flow <= width };
            return inside.then_some(Piece { start: 0, end: width, rate: flat });
        }
        let sure = if public { field.surely(lane).min(width) } else { width };
        let (mut start, mut doubt, mut rate) = (0, 0.0, flat);
        let ends = PIECES.map(|eighths| {
            let unsure = width.saturating_sub(sure);
            sure.saturating_add(portion(unsure, eighths, 8))
        });
        for end in [sure].into_iter().chain(ends) {
            if end <= start {
                continue;
            }
            if end > sure {
                let here = field.doubt(lane, public, end).unwrap_or(16.0);
                let slope = (here - doubt) / real(end.saturating_sub(start));
                let worth = field.worth(Aim::Best, self.part).doubt_msat();
                // Pieces may not get cheaper, or what flows would jump between them.
                rate = rate.max(flat.saturating_add(floor(slope * worth * 1e9)));
                doubt = here;
            }
            let inside = if above { flow < end } else { flow <= end };
            if inside {
                return Some(Piece { start, end, rate });
            }
            start = end;
        }
        None
    }

    /// What does not depend on the flow: fee, hop, blocks.
    fn flat(&self, lane: &Lane, public: bool) -> u64 {
        let worth = self.field.worth(self.aim, self.part);
        let paying = lane.from == self.field.payer;
        let (fee, blocks) = if paying { (0, 0) } else { (lane.fee(self.part), lane.cltv_delta) };
        let cost = worth.of(fee, blocks, 0.0).saturating_add(u64::from(public));
        portion(cost, 1_000_000_000, self.part).min(u64::MAX >> 8)
    }

    /// Whether the payer reaches the payee in what is left.
    fn search(&mut self) -> bool {
        let field = self.field;
        for node in &mut self.nodes {
            node.distance = u64::MAX;
            node.done = false;
        }
        self.heap.clear();
        if let Some(payee) = self.nodes.get_mut(at(field.payee)) {
            payee.distance = 0;
        }
        self.heap.push(Reverse((0, field.payee)));
        while let Some(Reverse((distance, node))) = self.heap.pop() {
            let Some(known) = self.nodes.get_mut(at(node)) else { continue };
            if known.done {
                continue;
            }
            known.done = true;
            if node == field.payer {
                self.raise(distance);
                return true;
            }
            self.spread(node, distance);
        }
        false
    }

    /// Potentials grow by the distances, which are not known beyond the payer's.
    fn raise(&mut self, reached: u64) {
        for node in &mut self.nodes {
            node.potential = node.potential.saturating_add(node.distance.min(reached));
        }
    }

    fn spread(&mut self, node: u32, distance: u64) {
        let field = self.field;
        let first = field.rows.start_of(node);
        for (place, lane) in (first..).zip(field.rows.toward(node)) {
            if lane.from != field.payer || field.payer_is_public() {
                self.offer(node, distance, place, lane);
            }
        }
        for (place, extra) in field.extras_into(node) {
            self.offer(node, distance, place, &extra.lane);
        }
        // What flows out of this node can be sent another way: then whoever it flows to reaches the payee from here.
        for place in self.out.get(&node).cloned().unwrap_or_default() {
            let Some(flowing) = self.flow.get(&place).copied().filter(|lane| lane.flow > 0) else {
                continue;
            };
            let Some(lane) = field.lane(place) else { continue };
            if let Some(piece) = self.piece(place, lane, flowing.flow, false) {
                self.reach(node, distance, place, flowing.to, piece.rate, true);
            }
        }
    }

    fn offer(&mut self, node: u32, distance: u64, place: u32, lane: &Lane) {
        if self.nodes.get(at(lane.from)).is_none_or(|known| known.done) {
            return;
        }
        if self.field.is_closed(lane.from) && lane.from != self.field.payer {
            return;
        }
        let fresh = self.rates.get(at(place)).copied().unwrap_or(UNKNOWN);
        let rate = if fresh == UNKNOWN {
            let flow = self.flow.get(&place).map_or(0, |lane| lane.flow);
            let rate = self.piece(place, lane, flow, true).map_or(UNKNOWN - 1, |piece| piece.rate);
            if let Some(known) = self.rates.get_mut(at(place)) {
                *known = rate;
            }
            rate
        } else {
            fresh
        };
        if rate < UNKNOWN - 1 {
            self.reach(node, distance, place, lane.from, rate, false);
        }
    }

    /// `there` can send to `node`.
    fn reach(&mut self, node: u32, distance: u64, place: u32, there: u32, rate: u64, back: bool) {
        let potential = self.nodes.get(at(node)).map_or(0, |node| node.potential);
        let Some(known) = self.nodes.get_mut(at(there)) else { return };
        // Reduced: what it costs, and what is known of both ends. Never below zero but for rounding.
        let up = if back { potential } else { potential.saturating_add(rate) };
        let down = if back { known.potential.saturating_add(rate) } else { known.potential };
        let distance = distance.saturating_add(up.saturating_sub(down));
        if known.done || distance >= known.distance {
            return;
        }
        *known = Node { distance, place, next: node, back, ..*known };
        self.heap.push(Reverse((distance, there)));
    }

    /// Fills the way that was found up to the end of its narrowest piece; how much that was.
    fn fill(&mut self, left: u64) -> u64 {
        let mut way = Vec::new();
        let mut node = self.field.payer;
        let mut most = left;
        while node != self.field.payee && way.len() < 256 {
            let Some(here) = self.nodes.get(at(node)).copied() else { return 0 };
            let Some(lane) = self.field.lane(here.place) else { return 0 };
            let flow = self.flow.get(&here.place).map_or(0, |lane| lane.flow);
            let Some(piece) = self.piece(here.place, lane, flow, !here.back) else { return 0 };
            let room = if here.back {
                flow.saturating_sub(piece.start)
            } else {
                // The last crumbs of a piece are not worth a search of their own.
                let room = piece.end.saturating_sub(flow);
                if room < self.amount / 256 {
                    room.max(self.next_room(here.place, lane, flow))
                } else {
                    room
                }
            };
            most = most.min(room);
            way.push((node, here));
            node = here.next;
        }
        for (node, here) in way {
            let (from, to) = if here.back { (here.next, node) } else { (node, here.next) };
            let lane = self.flow.entry(here.place).or_insert(Flowing { from, to, flow: 0 });
            lane.flow = if here.back {
                lane.flow.saturating_sub(most)
            } else {
                lane.flow.saturating_add(most)
            };
            let out = self.out.entry(from).or_default();
            if !out.contains(&here.place) {
                out.push(here.place);
            }
            if let Some(rate) = self.rates.get_mut(at(here.place)) {
                *rate = UNKNOWN;
            }
        }
        most
    }

    /// What is left of a lane up to the end of the piece after this one.
    fn next_room(&self, place: u32, lane: &Lane, flow: u64) -> u64 {
        let end = self.piece(place, lane, flow, true).map_or(flow, |piece| piece.end);
        let next = self.piece(place, lane, end, true).map_or(end, |piece| piece.end);
        next.saturating_sub(flow)
    }
}

/// Paths that a flow is made of, the widest first, with what each carries.
pub(super) fn paths(field: &Field<'_>, flow: &Flow) -> Vec<(Vec<Step>, u64)> {
    let mut left = flow.lanes.clone();
    let mut paths = Vec::new();
    while paths.len() < FILLS_MAX {
        let mut steps: Vec<Step> = Vec::new();
        let (mut node, mut least) = (field.payer, u64::MAX);
        while node != field.payee && steps.len() < 64 {
            let widest = left
                .iter()
                .filter(|(_, lane)| lane.from == node && lane.flow > 0)
                .max_by_key(|(_, lane)| lane.flow);
            let Some((place, lane)) = widest else { break };
            least = least.min(lane.flow);
            steps.push(Step { place: *place, from: node, to: lane.to });
            node = lane.to;
        }
        if node != field.payee || steps.is_empty() {
            break;
        }
        for step in &steps {
            if let Some(lane) = left.get_mut(&step.place) {
                lane.flow = lane.flow.saturating_sub(least);
            }
        }
        paths.push((steps, least));
    }
    paths.sort_by_key(|(_, amount)| Reverse(*amount));
    paths
}
