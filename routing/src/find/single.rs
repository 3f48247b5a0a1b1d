//! One path: labels from the recipient to the payer, the best first.
//!
//! A label's amount is exact, because it is what its node must receive; so its fee, limits and doubt are. What is
//! left to the payer is bounded from below by the hops that are known to be left, which keeps the order right and
//! ends the search early. A node keeps its best label alone, so a limit can hide a path that has one worse label
//! and obeys it; then a search with that limit as its aim finds it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::field::{Aim, ExtraVia, Field};
use super::walk::Step;
use crate::graph::{Lane, at};
use crate::request::PAYLOADS_MAX;

/// How a node reaches the recipient.
#[derive(Clone, Copy, Debug)]
struct Label {
    /// What the search minimises; `u64::MAX` if there is no way yet.
    cost: u64,
    /// What the node must receive.
    amount: u64,
    /// The lane it forwards over, and where that leads.
    place: u32,
    to: u32,
    /// Blocks from now to the expiry of what it receives.
    cltv: u32,
    /// Bytes of the payloads behind it.
    bytes: u16,
    hops: u8,
    done: bool,
}

const NO_WAY: Label = Label {
    cost: u64::MAX,
    amount: 0,
    place: u32::MAX,
    to: u32::MAX,
    cltv: 0,
    bytes: 0,
    hops: 0,
    done: false,
};

/// Which limits labels ran into, if none reached the payer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Missed {
    /// The fee limit, or a lane that the amount fits and the amount with fees does not.
    pub(super) fees: bool,
    /// The CLTV limit.
    pub(super) blocks: bool,
    /// Hops or bytes of the onion.
    pub(super) length: bool,
    /// `htlc_minimum_msat`.
    pub(super) least: bool,
    /// No way is wide enough, whatever it costs.
    pub(super) narrow: bool,
    /// Fees of the cheapest way that was found when nothing limited them.
    pub(super) cheapest: Option<u64>,
}

/// The best path by an aim, from the payer on.
///
/// # Errors
/// What was in the way; nothing of it, if no path is wide enough.
pub(super) fn search(field: &Field<'_>, aim: Aim) -> Result<Vec<Step>, Missed> {
    let mut search = Search::start(field, aim);
    if search.run() { Ok(search.path()) } else { Err(search.missed) }
}

/// What the best way by an aim takes.
pub(super) fn fee_of(field: &Field<'_>, aim: Aim) -> Option<u64> {
    let mut search = Search::start(field, aim);
    search.run().then(|| search.fee())
}

/// Blocks of the way with the fewest.
pub(super) fn soonest(field: &Field<'_>) -> Option<u32> {
    let mut search = Search::start(field, Aim::Soonest);
    let found = search.run();
    search.labels.get(at(field.payer)).filter(|_| found).map(|label| label.cltv)
}

struct Search<'f, 'a> {
    field: &'f Field<'a>,
    aim: Aim,
    labels: Vec<Label>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// What a node must receive at most, so that fees stay within their limit.
    amount_max: u64,
    /// Blocks from now to the expiry of what a node receives at most.
    cltv_max: u32,
    least_hop: u64,
    missed: Missed,
}

impl<'f, 'a> Search<'f, 'a> {
    fn start(field: &'f Field<'a>, aim: Aim) -> Self {
        let request = field.request;
        let amount = request.amount.to_u64();
        let mut labels = vec![NO_WAY; field.nodes()];
        // A blinded tail says itself how long its payloads are.
        let bytes = if request.tails.is_empty() { request.final_payload_len } else { 0 };
        let cltv = request.final_cltv_delta;
        if let Some(label) = labels.get_mut(at(field.payee)) {
            *label = Label { cost: 0, amount, bytes, cltv, ..NO_WAY };
        }
        let mut heap = BinaryHeap::with_capacity(1_024);
        heap.push(Reverse((0, field.payee)));
        let least_hop = field.worth(aim, amount).least_hop();
        let fees = if field.loose.fees { u64::MAX } else { request.fee_limit.to_u64() };
        let amount_max = amount.saturating_add(fees);
        let cltv_max = if field.loose.blocks { u32::MAX } else { request.cltv_limit };
        let missed = Missed::default();
        Self { field, aim, labels, heap, amount_max, cltv_max, least_hop, missed }
    }

    /// Whether a way from the payer was found.
    fn run(&mut self) -> bool {
        while let Some(node) = self.next() {
            if node == self.field.payer {
                return true;
            }
            self.spread(node);
        }
        false
    }

    /// What the way that was found takes.
    fn fee(&self) -> u64 {
        let sent = self.labels.get(at(self.field.payer)).map_or(0, |label| label.amount);
        sent.saturating_sub(self.field.request.amount.to_u64())
    }

    /// The node whose label is final next.
    fn next(&mut self) -> Option<u32> {
        while let Some(Reverse((_, node))) = self.heap.pop() {
            let Some(label) = self.labels.get_mut(at(node)) else { continue };
            if !label.done {
                label.done = true;
                return Some(node);
            }
        }
        None
    }

    /// Offers everyone with a lane into `node` to forward over it.
    fn spread(&mut self, node: u32) {
        let field = self.field;
        let Some(label) = self.labels.get(at(node)).copied() else { return };
        if label.cltv > self.cltv_max {
            self.missed.blocks = true;
            return;
        }
        let worth = field.worth(self.aim, label.amount);
        let mut bytes = label.bytes;
        if node != field.payee {
            // The node needs a payload of its own. What it forwards is not more than what it receives.
            bytes = bytes.saturating_add(forward_payload_len(label.amount));
        }
        let long = label.hops >= field.request.max_hops || bytes > PAYLOADS_MAX;
        if long && !field.loose.length {
            self.missed.length = true;
            return;
        }
        let from = Label { bytes, ..label };
        let first = field.rows.start_of(node);
        for (place, lane) in (first..).zip(field.rows.toward(node)) {
            if lane.from == field.payer && !field.payer_is_public() {
                continue;
            }
            self.offer(node, &from, place, lane, true, &worth);
        }
        for (place, extra) in field.extras_into(node) {
            let mut from = from;
            if let ExtraVia::Tail(tail) = extra.via {
                let tail = field.request.tails.get(tail);
                from.bytes = bytes.saturating_add(tail.map_or(0, |tail| tail.payloads_len));
                from.hops =
                    label.hops.saturating_add(tail.map_or(0, |tail| tail.hops)).saturating_sub(1);
            }
            self.offer(node, &from, place, &extra.lane, false, &worth);
        }
    }

    #[inline]
    fn offer(
        &mut self,
        node: u32,
        from: &Label,
        place: u32,
        lane: &Lane,
        public: bool,
        worth: &super::field::Worth,
    ) {
        let field = self.field;
        if from.amount > lane.most {
            self.missed.fees |= field.request.amount.to_u64() <= lane.most;
            return;
        }
        if from.amount < lane.least && !field.loose.least {
            self.missed.least = true;
            return;
        }
        let Some(known) = self.labels.get(at(lane.from)) else { return };
        if known.done {
            return;
        }
        let paying = lane.from == field.payer;
        // BOLT 7: nobody takes a fee from himself, nor blocks.
        let (fee, blocks) = if paying { (0, 0) } else { (lane.fee(from.amount), lane.cltv_delta) };
        let amount = from.amount.saturating_add(fee);
        let cltv = from.cltv.saturating_add(u32::from(blocks));
        // What nothing but the fee costs is enough to be worse: the logarithm can be saved.
        let floor = worth.of(fee, blocks, 0.0).saturating_add(from.cost);
        if floor >= known.cost || (!paying && field.is_closed(lane.from)) {
            return;
        }
        if amount > self.amount_max || cltv > self.cltv_max {
            self.missed.fees |= amount > self.amount_max;
            self.missed.blocks |= cltv > self.cltv_max;
            return;
        }
        let doubt = if worth.knows_doubt() || !field.is_plain(lane, public) {
            let Some(doubt) = field.doubt(lane, public, from.amount) else { return };
            doubt
        } else {
            0.0
        };
        let cost = worth.of(fee, blocks, doubt).saturating_add(from.cost);
        let ahead = field.hops_away(lane.from).saturating_mul(self.least_hop);
        let best = self.labels.get(at(field.payer)).map_or(u64::MAX, |label| label.cost);
        if cost >= known.cost || cost.saturating_add(ahead) >= best {
            return;
        }
        let label = Label {
            cost,
            amount,
            place,
            to: node,
            cltv,
            bytes: from.bytes,
            hops: from.hops.saturating_add(1),
            done: false,
        };
        if let Some(place) = self.labels.get_mut(at(lane.from)) {
            *place = label;
        }
        self.heap.push(Reverse((cost.saturating_add(ahead), lane.from)));
    }

    /// The steps from the payer to the payee.
    fn path(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut node = self.field.payer;
        while node != self.field.payee && steps.len() < usize::from(u8::MAX) {
            let Some(label) = self.labels.get(at(node)) else { break };
            steps.push(Step { place: label.place, from: node, to: label.to });
            node = label.to;
        }
        steps
    }
}

/// Bytes of a forwarding node's payload with its length prefix and its HMAC: amount, expiry, channel.
pub(super) fn forward_payload_len(amount: u64) -> u16 {
    // BOLT 4: an amount is as short as it can be, an expiry four bytes at most, a channel eight.
    let amount_len = 8_u32.saturating_sub(amount.leading_zeros() / 8);
    let amount_len = u16::try_from(amount_len).unwrap_or(8);
    amount_len.saturating_add(1 + 2 + 2 + 4 + 2 + 8 + 32)
}
