//! Walks a payment's parts forwards and says what they break, without a line of the finders' code.
//!
//! The finders compute amounts backwards; this one plays each forwarding node in turn, from the payer on, as that
//! node will judge what it is given.

use std::collections::{BTreeMap, BTreeSet};

use wire::id::NodeId;
use wire::units::Msat;

use crate::graph::{Direction, Snapshot};
use crate::request::{PAYLOADS_MAX, Request};
use crate::route::{Route, Routes, Via};

/// What is wrong with parts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// Part `part` breaks a rule at its hop `hop`.
    #[error("part {part}, hop {hop}: {rule}")]
    Hop {
        /// Which part.
        part: usize,
        /// Which of its hops.
        hop: usize,
        /// The rule.
        rule: &'static str,
    },
    /// A rule of one part or of all together.
    #[error("{0}")]
    Whole(&'static str),
}

/// What a hop's channel demands.
struct Terms {
    fee: u64,
    blocks: u32,
    least: u64,
    most: u64,
    total: u64,
    from: NodeId,
    to: NodeId,
}

/// Whether parts obey a request in a graph.
///
/// # Errors
/// The first rule that is broken.
pub fn check(snapshot: &Snapshot, request: &Request, routes: &Routes) -> Result<(), Wrong> {
    let whole = |holds: bool, rule| if holds { Ok(()) } else { Err(Wrong::Whole(rule)) };
    whole(!routes.parts.is_empty(), "there are parts")?;
    whole(routes.parts.len() <= usize::from(request.max_parts), "not more parts than allowed")?;
    let mut carried = BTreeMap::new();
    let (mut delivered, mut sent) = (0_u64, 0_u64);
    for (part, route) in routes.parts.iter().enumerate() {
        walk(snapshot, request, part, route, &mut carried)?;
        delivered = delivered.saturating_add(route.delivered.to_u64());
        sent = sent.saturating_add(route.sent().to_u64());
    }
    whole(delivered == request.amount.to_u64(), "exactly the amount arrives")?;
    let fee = sent.saturating_sub(delivered);
    whole(fee == routes.fee.to_u64(), "the fee is what was said")?;
    whole(fee <= request.fee_limit.to_u64(), "the fee is within its limit")?;
    for (total, sum) in carried.into_values() {
        whole(sum <= total, "no channel carries more than it holds")?;
    }
    Ok(())
}

fn walk(
    snapshot: &Snapshot,
    request: &Request,
    part: usize,
    route: &Route,
    carried: &mut BTreeMap<(wire::id::ShortChannelId, Option<Direction>), (u64, u64)>,
) -> Result<(), Wrong> {
    let wrong = |hop, rule| Wrong::Hop { part, hop, rule };
    let mut here = request.payer;
    let mut seen = BTreeSet::from([here]);
    // What the node at hand was given; the payer gives itself what it needs.
    let mut given: Option<(u64, u32)> = None;
    let mut bytes = 0_usize;
    for (place, hop) in route.hops.iter().enumerate() {
        let need = |holds: bool, rule| if holds { Ok(()) } else { Err(wrong(place, rule)) };
        let amount = hop.amount.to_u64();
        let terms = terms(snapshot, request, hop.channel, hop.via, amount)
            .ok_or_else(|| wrong(place, "the channel exists and is enabled"))?;
        need(terms.from == here && terms.to == hop.node, "hops join")?;
        need(seen.insert(hop.node), "no node twice")?;
        need(amount >= terms.least, "htlc_minimum_msat")?;
        need(amount <= terms.most, "htlc_maximum_msat")?;
        need(
            !request.avoid_channels.contains(&(hop.channel, None))
                && !matches!(hop.via, Via::Public(way)
                    if request.avoid_channels.contains(&(hop.channel, Some(way)))),
            "the channel is not avoided",
        )?;
        if let Some((amount_in, cltv_in)) = given {
            need(amount_in >= amount.saturating_add(terms.fee), "the fee is paid")?;
            need(cltv_in >= hop.cltv_delta.saturating_add(terms.blocks), "the delta is kept")?;
            need(!request.avoid_nodes.contains(&here), "the node is not avoided")?;
            let able = request.hop_features.iter().all(|feature| {
                let node = snapshot.node(here).and_then(|node| node.features);
                node.is_some_and(|features| features.offers(*feature))
            });
            need(able, "the node has the features")?;
            // Amount, expiry and channel as TLV records, the length before them, the HMAC behind.
            let zeros = amount.to_be_bytes().iter().take_while(|byte| **byte == 0).count();
            bytes = bytes.saturating_add(56_usize.saturating_sub(zeros));
        } else {
            need(hop.cltv_delta <= request.cltv_limit, "the first expiry is within its limit")?;
        }
        let key = match hop.via {
            Via::Public(way) => (hop.channel, Some(way)),
            Via::Own(_) | Via::Hint(..) => (hop.channel, None),
        };
        let entry = carried.entry(key).or_insert((terms.total, 0));
        entry.1 = entry.1.saturating_add(amount);
        given = Some((amount, hop.cltv_delta));
        here = hop.node;
    }
    let last = route.hops.len();
    let need = |holds: bool, rule| if holds { Ok(()) } else { Err(wrong(last, rule)) };
    let (amount, cltv) = given.ok_or_else(|| wrong(0, "a route has hops"))?;
    let delivered = route.delivered.to_u64();
    let mut hops = last;
    match route.tail {
        None => {
            need(request.tails.is_empty(), "it ends in a blinded tail")?;
            need(here == request.payee, "it ends at the payee")?;
            need(amount == delivered, "what arrives is what was said")?;
            need(cltv >= request.final_cltv_delta, "the payee's delta is kept")?;
            bytes = bytes.saturating_add(usize::from(request.final_payload_len));
        }
        Some(tail) => {
            let tail = request.tails.get(tail).ok_or_else(|| wrong(last, "the tail exists"))?;
            need(here == tail.introduction, "it ends at the introduction node")?;
            let share = u128::from(delivered)
                .saturating_mul(u128::from(tail.fee_proportional_millionths))
                / 1_000_000;
            let fee = u64::try_from(share).unwrap_or(u64::MAX);
            let fee = fee.saturating_add(u64::from(tail.fee_base_msat));
            need(amount == delivered.saturating_add(fee), "the tail's fee is paid")?;
            let blocks = u32::from(tail.cltv_expiry_delta.to_u16());
            need(
                cltv >= request.final_cltv_delta.saturating_add(blocks),
                "the tail's delta is kept",
            )?;
            let fits = tail.htlc_minimum <= route.delivered && route.delivered <= tail.htlc_maximum;
            need(fits, "the tail's limits")?;
            bytes = bytes.saturating_add(usize::from(tail.payloads_len));
            hops = hops.saturating_add(usize::from(tail.hops));
        }
    }
    need(hops <= usize::from(request.max_hops), "not more hops than allowed")?;
    need(bytes <= usize::from(PAYLOADS_MAX), "the payloads fit the onion")
}

/// What a channel demands of an HTLC.
fn terms(
    snapshot: &Snapshot,
    request: &Request,
    channel: wire::id::ShortChannelId,
    via: Via,
    amount: u64,
) -> Option<Terms> {
    match via {
        Via::Own(place) => {
            let own = request.own_channels.as_ref()?.get(place)?;
            (own.scid == channel).then_some(Terms {
                fee: 0,
                blocks: 0,
                least: own.least.to_u64(),
                most: own.most.to_u64(),
                total: own.most.to_u64(),
                from: request.payer,
                to: own.peer,
            })
        }
        Via::Hint(hint, place) => {
            let hops = request.hints.get(hint)?;
            let hop = hops.get(place)?;
            let to = hops.get(place.checked_add(1)?).map_or(request.payee, |next| next.node);
            let fee = charge(hop.fee_base_msat, hop.fee_proportional_millionths, amount);
            (hop.scid == channel).then_some(Terms {
                fee,
                blocks: u32::from(hop.cltv_expiry_delta.to_u16()),
                least: hop.htlc_minimum.to_u64(),
                most: hop.htlc_maximum.to_u64(),
                total: hop.htlc_maximum.to_u64(),
                from: hop.node,
                to,
            })
        }
        Via::Public(way) => {
            let known = snapshot.channel(channel)?;
            let policy = known.policy(way).filter(|policy| policy.enabled)?;
            let (from, to) = known.ends(way);
            let total = known.capacity.and_then(Msat::from_sat).unwrap_or(policy.htlc_maximum);
            let held: u64 = request
                .in_flight
                .iter()
                .filter(|held| held.scid == channel && held.direction == way)
                .map(|held| held.amount.to_u64())
                .fold(0, u64::saturating_add);
            Some(Terms {
                fee: charge(policy.fee_base_msat, policy.fee_proportional_millionths, amount),
                blocks: u32::from(policy.cltv_expiry_delta.to_u16()),
                least: policy.htlc_minimum.to_u64(),
                most: policy.htlc_maximum.to_u64(),
                total: total.to_u64().saturating_sub(held),
                from,
                to,
            })
        }
    }
}

/// BOLT 7 § HTLC Fees.
fn charge(base: u32, millionths: u32, amount: u64) -> u64 {
    let share = u128::from(amount).saturating_mul(u128::from(millionths)) / 1_000_000;
    u64::try_from(share).unwrap_or(u64::MAX).saturating_add(u64::from(base))
}
