//! Ways for a payment: our own channels as they are, the graph, the invoice's hints, and what the payment has
//! learnt, as one request to the finders.
//!
//! What needs the finders is a [`Search`] that owns all it reads: it is made on another thread (`searches`).
//!
//! Not here: the search itself (`routing::find`), what becomes of what was found (`send`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use routing::find::{self, NoRoute};
use routing::graph::{Direction, GraphUpdate, Policy, Snapshot};
use routing::request::{BlindedTail, FINAL_PAYLOAD_LEN, HintHop, InFlight, OwnChannel, Request};
use routing::route::{Routes, Via};
use routing::score::Scorer;
use wire::id::{NodeId, ShortChannelId};
use wire::onion::blind::NextHop;
use wire::units::{BlockHeight, CltvDelta, Msat};

use crate::channels::directory::{Door, Doors, Glance};
use crate::fact::{ChannelIndex, HopTaken};
use crate::payments::send::{CLTV_GRACE, Plan, Shunned};
use crate::payments::shadow;
use crate::rpc::model::graph::{HopFound, PartFound, RouteFound};

/// What a search sees of the world.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Our channels.
    pub doors: &'a Doors,
    /// Everybody's.
    pub graph: &'a Snapshot,
    /// What was learnt of them.
    pub scorer: &'a Arc<Scorer>,
    /// The best chain's height.
    pub height: BlockHeight,
    /// The time, Unix milliseconds.
    pub now_ms: u64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The payment.
    pub plan: &'a Plan,
    /// What it keeps away from.
    pub shunned: &'a Shunned,
    /// How much is still to arrive.
    pub amount: Msat,
    /// What that may cost.
    pub fee_limit: Msat,
    /// In how many parts.
    pub max_parts: u16,
    /// What its shadow follows from.
    pub dice: &'a [u8; 32],
}

/// A part that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Over which channel of ours.
    pub channel: ChannelIndex,
    /// What arrives.
    pub delivered: Msat,
    /// Its HTLCs, ours first; of a blinded end those that we know.
    pub hops: Vec<HopTaken>,
    /// Which of the plan's blinded routes it ends in.
    pub tail: Option<usize>,
}

/// How likely a part passes, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Odds {
    /// All the way.
    pub whole: f64,
    /// Each of its HTLCs, ours first.
    pub hops: Vec<f64>,
}

/// A way that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its parts, each with how likely it passes.
    pub parts: Vec<(Part, Odds)>,
    /// What nodes on the way take.
    pub fee: Msat,
    /// How likely all parts pass at once.
    pub probability: f64,
}

/// Why no way was found.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Missed {
    /// None of our channels can be used now.
    #[error("none of our channels can be used now")]
    Channels,
    /// As many parts are in flight as there may be.
    #[error("as many parts are in flight as there may be")]
    Parts,
    /// None of the payee's blinded routes is left.
    #[error("none of the payee's blinded routes lets it pass")]
    Blinded,
    /// What the finders name.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
}

/// What a channel of ours is called on a way: its place in the chain, or its alias, or a name that nobody else has.
pub fn name_of(doors: &Doors, channel: ChannelIndex) -> ShortChannelId {
    let named = doors.get(channel).map(|door| name(door, &door.glance.borrow()));
    named.unwrap_or_else(|| ShortChannelId::from_u64(channel.0))
}

fn name(door: &Door, glance: &Glance) -> ShortChannelId {
    let named = glance.short_id.or(glance.alias);
    named.unwrap_or_else(|| ShortChannelId::from_u64(door.index.0))
}

/// Our channels that can be used, with what each can carry beside what it was asked for already.
fn own_channels(
    doors: &Doors,
    shunned: &Shunned,
    pending: &BTreeMap<ChannelIndex, Msat>,
) -> Vec<(ChannelIndex, OwnChannel)> {
    let usable = doors.iter().filter(|door| !shunned.own.contains(&door.index));
    let show = |door: &Door| {
        let glance = *door.glance.borrow();
        let asked = pending.get(&door.index).copied().unwrap_or(Msat::ZERO);
        let most = glance.can_send.checked_sub(asked).unwrap_or(Msat::ZERO);
        let own =
            OwnChannel { peer: door.node, scid: name(door, &glance), least: glance.least, most };
        glance.usable.then_some((door.index, own))
    };
    usable.filter_map(show).collect()
}

/// Where no other way is left, failures that are older than this are forgotten, in seconds: whoever was away for a
/// moment may be back.
const STALE_SECS: u64 = 3;

/// What a first look came to.
#[derive(Debug)]
pub enum Look {
    /// A channel of ours goes straight to the payee.
    Straight(Found),
    /// The finders have to be asked, which takes its time.
    Search(Box<Search>),
}

/// A search with everything it reads.
#[derive(Debug)]
pub struct Search {
    request: Request,
    own: Vec<(ChannelIndex, OwnChannel)>,
    tails: Vec<(usize, BlindedTail)>,
    graph: Snapshot,
    policies: BTreeMap<(ShortChannelId, Direction), Policy>,
    scorer: Arc<Scorer>,
    height: BlockHeight,
    now_ms: u64,
    /// Blocks in the request that nobody asked for.
    shadow: u32,
}

/// Looks for a way: straight to the payee if a channel of ours goes there and can carry all, which costs nothing;
/// else the finders are to be asked.
///
/// # Errors
/// [`Missed`] says what stands in the way.
pub fn look(
    wish: &Wish<'_>,
    sight: &Sight<'_>,
    us: NodeId,
    held: &BTreeMap<(ShortChannelId, Direction), Msat>,
    pending: &BTreeMap<ChannelIndex, Msat>,
) -> Result<Look, Missed> {
    if wish.max_parts == 0 {
        return Err(Missed::Parts);
    }
    let own = own_channels(sight.doors, wish.shunned, pending);
    if own.is_empty() {
        return Err(Missed::Channels);
    }
    let tails = tails(wish);
    let part = if wish.plan.tails.is_empty() {
        straight(wish, &own, sight.height)
    } else {
        straight_blinded(wish, &own, sight)
    };
    if let Some(part) = part {
        let fee = part.hops.first().and_then(|hop| hop.amount.checked_sub(part.delivered));
        let fee = fee.unwrap_or(Msat::ZERO);
        let odds = Odds { whole: 1.0, hops: vec![1.0; part.hops.len()] };
        return Ok(Look::Straight(Found { parts: vec![(part, odds)], fee, probability: 1.0 }));
    }
    if tails.is_empty() && !wish.plan.tails.is_empty() {
        return Err(Missed::Blinded);
    }
    let mut request = request(wish, us, &own, held);
    request.tails = tails.iter().map(|(_, tail)| *tail).collect();
    // Behind a blinded end nobody knows anyhow where the payee is.
    let shadow = if request.tails.is_empty() {
        shadow::blocks(sight.graph, request.payee, wish.dice)
    } else {
        0
    };
    request.final_cltv_delta = request.final_cltv_delta.saturating_add(shadow);
    Ok(Look::Search(Box::new(Search {
        request,
        own,
        tails,
        graph: sight.graph.clone(),
        policies: wish.shunned.policies.clone(),
        scorer: Arc::clone(sight.scorer),
        height: sight.height,
        now_ms: sight.now_ms,
        shadow,
    })))
}

impl Search {
    /// Asks the finders; where nothing is left, once more without what failed some seconds ago. Some milliseconds of
    /// work: not for a task that others wait for.
    ///
    /// # Errors
    /// [`Missed`] says what stands in the way by all that was learnt: that tells more than what was hoped.
    pub fn run(&self) -> Result<Found, Missed> {
        let graph = amended(&self.graph, &self.policies);
        let missed = match self.ask(&graph, &self.scorer) {
            Ok(found) => return Ok(found),
            Err(missed) => missed,
        };
        let since_secs = (self.now_ms / 1_000).saturating_sub(STALE_SECS);
        let hopeful = self.scorer.hopeful(since_secs);
        hopeful.and_then(|hopeful| self.ask(&graph, &hopeful).ok()).ok_or(missed)
    }

    fn ask(&self, graph: &Snapshot, scorer: &Scorer) -> Result<Found, Missed> {
        let now_secs = self.now_ms / 1_000;
        let found = match find::find(graph, scorer, &self.request, now_secs) {
            // A shadow is worth no payment.
            Err(NoRoute::CltvLimit { .. }) if self.shadow > 0 => {
                let least = self.request.final_cltv_delta.saturating_sub(self.shadow);
                let request = Request { final_cltv_delta: least, ..self.request.clone() };
                find::find(graph, scorer, &request, now_secs)?
            }
            found => found?,
        };
        let parts = parts(&found, &self.own, &self.tails, self.height);
        Ok(Found { parts, fee: found.fee, probability: found.probability })
    }
}

/// Whether our channels can still carry parts that were found some time ago.
pub fn still_fits<'p>(
    parts: impl Iterator<Item = &'p Part>,
    sight: &Sight<'_>,
    shunned: &Shunned,
    pending: &BTreeMap<ChannelIndex, Msat>,
) -> bool {
    let own = own_channels(sight.doors, shunned, pending);
    let mut left: BTreeMap<ChannelIndex, Msat> =
        own.into_iter().map(|(index, own)| (index, own.most)).collect();
    for part in parts {
        let amount = part.hops.first().map_or(Msat::ZERO, |hop| hop.amount);
        let room = left.get(&part.channel).and_then(|room| room.checked_sub(amount));
        let Some(room) = room else { return false };
        left.insert(part.channel, room);
    }
    true
}

/// Blinded routes that the finders can use, and which of the plan's each is.
fn tails(wish: &Wish<'_>) -> Vec<(usize, BlindedTail)> {
    let all = wish.plan.tails.iter().enumerate();
    let shown = all.filter_map(|(place, tail)| Some((place, tail.for_router()?)));
    shown.filter(|(_, tail)| !wish.shunned.nodes.contains(&tail.introduction)).collect()
}

/// A blinded route that begins with us or behind the fullest channel that can carry all of it.
fn straight_blinded(
    wish: &Wish<'_>,
    own: &[(ChannelIndex, OwnChannel)],
    sight: &Sight<'_>,
) -> Option<Part> {
    let baseline = sight.height.saturating_add(CLTV_GRACE);
    for (place, tail) in wish.plan.tails.iter().enumerate() {
        let Some(end) = tail.end(wish.amount, wish.plan.amount, baseline) else { continue };
        let node = match tail.first() {
            Some(NextHop::Node(node)) => Some(NodeId::from(node)),
            Some(NextHop::Channel(scid)) => sight.doors.named_by_payer(scid).map(|door| door.node),
            None => None,
        };
        let Some(node) = node.filter(|node| !wish.shunned.nodes.contains(node)) else { continue };
        let fee = end.amount.checked_sub(wish.amount).unwrap_or(Msat::ZERO);
        let able = own.iter().filter(|(_, own)| {
            own.peer == node && own.least <= end.amount && own.most >= end.amount
        });
        let Some((channel, own)) = able.max_by_key(|(index, own)| (own.most, *index)) else {
            continue;
        };
        if fee > wish.fee_limit {
            continue;
        }
        let hop = HopTaken { node, channel: own.scid, amount: end.amount, cltv_expiry: end.expiry };
        let (channel, delivered) = (*channel, wish.amount);
        return Some(Part { channel, delivered, hops: vec![hop], tail: Some(place) });
    }
    None
}

/// The fullest channel with the payee that can carry all of it.
fn straight(
    wish: &Wish<'_>,
    own: &[(ChannelIndex, OwnChannel)],
    height: BlockHeight,
) -> Option<Part> {
    let payee = NodeId(wish.plan.payee.serialize());
    let able = own.iter().filter(|(_, own)| {
        own.peer == payee && own.least <= wish.amount && own.most >= wish.amount
    });
    let (channel, own) = able.max_by_key(|(index, own)| (own.most, *index))?;
    let delta = wish.plan.min_final_cltv_delta.saturating_add(CLTV_GRACE);
    let hop = HopTaken {
        node: payee,
        channel: own.scid,
        amount: wish.amount,
        cltv_expiry: height.saturating_add(delta),
    };
    Some(Part { channel: *channel, delivered: wish.amount, hops: vec![hop], tail: None })
}

/// The request of a wish.
pub fn request(
    wish: &Wish<'_>,
    us: NodeId,
    own: &[(ChannelIndex, OwnChannel)],
    held: &BTreeMap<(ShortChannelId, Direction), Msat>,
) -> Request {
    let plan = wish.plan;
    let payee = NodeId(plan.payee.serialize());
    // TLV 16 and its length; TLV 5482373484 with its length and 32 bytes.
    let metadata = plan.metadata.as_ref().map_or(0, |metadata| metadata.len().saturating_add(4));
    let keysend = if plan.keysend.is_some() { 42 } else { 0 };
    let more = u16::try_from(metadata.saturating_add(keysend)).unwrap_or(u16::MAX);
    let in_flight = held.iter().map(|((scid, direction), amount)| InFlight {
        scid: *scid,
        direction: *direction,
        amount: *amount,
    });
    Request {
        final_cltv_delta: plan.min_final_cltv_delta.saturating_add(CLTV_GRACE),
        fee_limit: wish.fee_limit,
        cltv_limit: plan.cltv_limit,
        max_parts: wish.max_parts.min(routing::request::PARTS_MAX),
        final_payload_len: FINAL_PAYLOAD_LEN.saturating_add(more),
        own_channels: Some(own.iter().map(|(_, own)| *own).collect()),
        hints: plan.hints.clone(),
        avoid_nodes: wish.shunned.nodes.clone(),
        avoid_channels: wish.shunned.channels.clone(),
        in_flight: in_flight.take(routing::request::ITEMS_MAX).collect(),
        ..Request::new(us, payee, wish.amount)
    }
}

/// The graph with the policies that failures of this payment told of. Costs a copy, so only then.
fn amended<'a>(
    graph: &'a Snapshot,
    policies: &BTreeMap<(ShortChannelId, Direction), Policy>,
) -> Cow<'a, Snapshot> {
    if policies.is_empty() {
        return Cow::Borrowed(graph);
    }
    let updates = policies.iter().map(|((scid, direction), policy)| GraphUpdate::ChannelUpdated {
        scid: *scid,
        direction: *direction,
        policy: *policy,
    });
    Cow::Owned(graph.amended(updates))
}

/// What was found, with heights for deltas.
fn parts(
    found: &Routes,
    own: &[(ChannelIndex, OwnChannel)],
    tails: &[(usize, BlindedTail)],
    height: BlockHeight,
) -> Vec<(Part, Odds)> {
    let part = |route: &routing::route::Route| {
        let Some(Via::Own(place)) = route.hops.first().map(|hop| hop.via) else { return None };
        let (channel, _) = own.get(place)?;
        let hops = route.hops.iter().map(|hop| HopTaken {
            node: hop.node,
            channel: hop.channel,
            amount: hop.amount,
            cltv_expiry: height.saturating_add(hop.cltv_delta),
        });
        let tail = match route.tail {
            None => None,
            Some(tail) => Some(tails.get(tail)?.0),
        };
        let (delivered, hops) = (route.delivered, hops.collect());
        let part = Part { channel: *channel, delivered, hops, tail };
        let by_hop = route.hops.iter().map(|hop| hop.probability).collect();
        Some((part, Odds { whole: route.probability, hops: by_hop }))
    };
    found.parts.iter().filter_map(part).collect()
}

/// The same for people.
pub fn show(found: &Found, height: BlockHeight) -> RouteFound {
    let parts = found.parts.iter().map(|(part, odds)| show_part(part, odds, height)).collect();
    RouteFound { parts, fee: found.fee, probability: found.probability }
}

/// A part for people.
pub(super) fn show_part(part: &Part, odds: &Odds, height: BlockHeight) -> PartFound {
    let mut before: Option<&HopTaken> = None;
    let hop = |(hop, probability): (_, f64)| {
        let was = before.replace(hop).unwrap_or(hop);
        HopFound {
            node: hop.node,
            channel: hop.channel,
            amount: hop.amount,
            fee: was.amount.checked_sub(hop.amount).unwrap_or(Msat::ZERO),
            cltv_delta: was.cltv_expiry.0.saturating_sub(hop.cltv_expiry.0),
            probability,
        }
    };
    let first = part.hops.first().map_or(0, |hop| hop.cltv_expiry.0);
    let odds_of_hops = odds.hops.iter().copied().chain(std::iter::repeat(1.0));
    PartFound {
        delivered: part.delivered,
        probability: odds.whole,
        hops: part.hops.iter().zip(odds_of_hops).map(hop).collect(),
        cltv_delta: first.saturating_sub(height.0),
    }
}

/// Takes a newer policy into a hint; whether it was known already.
pub(super) fn amend(hint: &mut HintHop, policy: &Policy) -> bool {
    let before = *hint;
    hint.fee_base_msat = policy.fee_base_msat;
    hint.fee_proportional_millionths = policy.fee_proportional_millionths;
    hint.cltv_expiry_delta = policy.cltv_expiry_delta;
    hint.htlc_minimum = policy.htlc_minimum;
    hint.htlc_maximum = policy.htlc_maximum;
    *hint == before
}

/// The hints of an invoice. BOLT 11, field `r`.
pub fn hints(invoice: &lightning_invoice::Bolt11Invoice) -> Vec<Vec<HintHop>> {
    let hop = |hop: &lightning_invoice::RouteHintHop| HintHop {
        node: NodeId(hop.src_node_id.serialize()),
        scid: ShortChannelId::from_u64(hop.short_channel_id),
        fee_base_msat: hop.fees.base_msat,
        fee_proportional_millionths: hop.fees.proportional_millionths,
        cltv_expiry_delta: CltvDelta(hop.cltv_expiry_delta),
        htlc_minimum: Msat::ZERO,
        htlc_maximum: Msat::MAX,
    };
    let hints = invoice.route_hints();
    hints.iter().map(|hint| hint.0.iter().map(hop).collect()).collect()
}
