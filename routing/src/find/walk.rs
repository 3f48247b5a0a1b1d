//! Exact amounts along a path, backwards from the recipient, and the routes that come of them.

use std::collections::BTreeMap;

use wire::units::Msat;

use super::field::{Aim, ExtraVia, Field};
use super::single::forward_payload_len;
use crate::graph::{Direction, Lane};
use crate::request::PAYLOADS_MAX;
use crate::route::{Hop, Route, Routes, Via};

/// A lane of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) place: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// What parts that were walked already take of each lane.
pub(super) type Used = BTreeMap<u32, u64>;

/// What stands against an amount on a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Obstacle {
    /// The step needs so much at least, and is asked to carry so much.
    Least { step: usize, least: u64, carries: u64 },
    /// The step can carry so much at most, and is asked to carry so much.
    Most { step: usize, most: u64, carries: u64 },
    /// Too many blocks, hops or bytes, or nothing of an amount that exists.
    Length,
}

/// A path with its amounts.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// For each step, amount and expiry.
    pub(super) htlcs: Vec<(u64, u32)>,
    /// For each step, its doubt.
    pub(super) doubts: Vec<f64>,
    pub(super) delivered: u64,
    pub(super) cost: u64,
    pub(super) doubt: f64,
}

impl Walked {
    /// What the payer sends.
    pub(super) fn sent(&self) -> u64 {
        self.htlcs.first().map_or(0, |(amount, _)| *amount)
    }

    /// What forwarding nodes take.
    pub(super) fn fee(&self) -> u64 {
        self.sent().saturating_sub(self.delivered)
    }
}

/// The most that one more HTLC on a lane may carry, beside what other parts take.
pub(super) fn room(field: &Field<'_>, step: &Step, lane: &Lane, used: &Used) -> u64 {
    let taken = used.get(&step.place).copied().unwrap_or_default();
    let total = match field.extra_at(step.place) {
        Some(extra) => extra.lane.most,
        None => field.room(lane),
    };
    total.saturating_sub(taken).min(lane.most)
}

/// Amounts and expiries for delivering `delivered`.
#[allow(clippy::float_arithmetic, reason = "doubts add up; amounts are whole")]
pub(super) fn walk(
    field: &Field<'_>,
    steps: &[Step],
    delivered: u64,
    used: &Used,
) -> Result<Walked, Obstacle> {
    let request = field.request;
    let (mut amount, mut cltv) = (delivered, request.final_cltv_delta);
    let mut bytes = if request.tails.is_empty() { request.final_payload_len } else { 0 };
    let (mut hops, mut cost, mut doubt) = (0_u8, 0_u64, 0.0);
    let mut htlcs = Vec::with_capacity(steps.len());
    let mut by_hop = Vec::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate().rev() {
        let lane = field.lane(step.place).ok_or(Obstacle::Length)?;
        if amount < lane.least && !field.loose.least {
            return Err(Obstacle::Least { step: place, least: lane.least, carries: amount });
        }
        let most = room(field, step, lane, used);
        if amount > most {
            return Err(Obstacle::Most { step: place, most, carries: amount });
        }
        if step.to != field.payee {
            bytes = bytes.saturating_add(forward_payload_len(amount));
        }
        let via = field.extra_at(step.place).map(|extra| extra.via);
        if let Some(ExtraVia::Tail(tail)) = via {
            let tail = request.tails.get(tail).ok_or(Obstacle::Length)?;
            bytes = bytes.saturating_add(tail.payloads_len);
            hops = hops.saturating_add(tail.hops);
        } else {
            hops = hops.saturating_add(1);
        }
        let taken = used.get(&step.place).copied().unwrap_or_default();
        let doubts = field.doubt(lane, via.is_none(), amount.saturating_add(taken));
        let doubts = doubts.ok_or(Obstacle::Most { step: place, most: 0, carries: amount })?;
        htlcs.push((amount, cltv));
        let worth = field.worth(Aim::Best, amount);
        let (fee, blocks) =
            if step.from == field.payer { (0, 0) } else { (lane.fee(amount), lane.cltv_delta) };
        cost = cost.saturating_add(worth.of(fee, blocks, doubts));
        doubt += doubts;
        by_hop.push(doubts);
        amount = amount.saturating_add(fee);
        cltv = cltv.saturating_add(u32::from(blocks));
    }
    htlcs.reverse();
    by_hop.reverse();
    let long = (hops > request.max_hops || bytes > PAYLOADS_MAX) && !field.loose.length;
    let late = cltv > request.cltv_limit && !field.loose.blocks;
    if long || late || Msat::new(amount).is_none() {
        return Err(Obstacle::Length);
    }
    Ok(Walked { htlcs, doubts: by_hop, delivered, cost, doubt })
}

/// The route of a path and its amounts.
pub(super) fn route(field: &Field<'_>, steps: &[Step], walked: &Walked) -> Option<Route> {
    let mut hops = Vec::with_capacity(steps.len());
    let mut tail = None;
    let htlcs = walked.htlcs.iter().zip(&walked.doubts);
    for (step, ((amount, cltv_delta), doubt)) in steps.iter().zip(htlcs) {
        let (channel, via) = match field.extra_at(step.place).map(|extra| extra.via) {
            Some(ExtraVia::Tail(place)) => {
                tail = Some(place);
                continue;
            }
            Some(ExtraVia::Own(place)) => {
                (field.request.own_channels.as_ref()?.get(place)?.scid, Via::Own(place))
            }
            Some(ExtraVia::Hint(hint, place)) => {
                (field.request.hints.get(hint)?.get(place)?.scid, Via::Hint(hint, place))
            }
            None => {
                let edge = field.lane(step.place)?.edge;
                let scid = field.snapshot.topology().scid(edge >> 1)?;
                (scid, Via::Public(Direction::from_bit(edge & 1 == 1)))
            }
        };
        let amount = Msat::new(*amount)?;
        hops.push(Hop {
            node: field.node_id(step.to)?,
            channel,
            via,
            amount,
            cltv_delta: *cltv_delta,
            probability: chance(*doubt),
        });
    }
    let delivered = Msat::new(walked.delivered)?;
    let probability = chance(walked.doubt);
    (!hops.is_empty()).then_some(Route { hops, tail, delivered, probability })
}

/// What a sum of doubts says of the chance.
#[allow(clippy::float_arithmetic, reason = "a probability")]
fn chance(doubt: f64) -> f64 {
    (-doubt).exp()
}

/// The parts of several paths and their amounts, if their fees stay within the limit.
#[allow(clippy::float_arithmetic, reason = "doubts add up; amounts are whole")]
pub(super) fn routes(field: &Field<'_>, parts: &[(&[Step], Walked)]) -> Option<Routes> {
    let mut routes = Routes { parts: Vec::new(), fee: Msat::ZERO, probability: 1.0, cost_msat: 0 };
    let mut doubt = 0.0;
    for (steps, walked) in parts {
        routes.parts.push(route(field, steps, walked)?);
        routes.fee = routes.fee.checked_add(Msat::new(walked.fee())?)?;
        routes.cost_msat = routes.cost_msat.saturating_add(walked.cost);
        doubt += walked.doubt;
    }
    routes.probability = chance(doubt);
    routes.parts.sort_by_key(|part| std::cmp::Reverse(part.delivered));
    (routes.fee <= field.request.fee_limit).then_some(routes)
}

/// What a path takes for the whole payment, whatever the fee limit is; `None` if it cannot be walked.
pub(super) fn fee(field: &Field<'_>, steps: &[Step]) -> Option<u64> {
    let whole = field.request.amount.to_u64();
    walk(field, steps, whole, &Used::new()).ok().map(|walked| walked.fee())
}

/// The whole payment over one path.
pub(super) fn one(field: &Field<'_>, steps: &[Step]) -> Option<Routes> {
    let walked = walk(field, steps, field.request.amount.to_u64(), &Used::new()).ok()?;
    routes(field, &[(steps, walked)])
}

/// `whole * of / by`, rounded down; stays at `u64::MAX`, and so it is for nothing to divide by.
pub(super) fn portion(whole: u64, of: u64, by: u64) -> u64 {
    let product = u128::from(whole).saturating_mul(u128::from(of));
    product
        .checked_div(u128::from(by))
        .and_then(|part| u64::try_from(part).ok())
        .unwrap_or(u64::MAX)
}
