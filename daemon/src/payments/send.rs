//! What is to be paid and what of it is under way, and the next parts to send.
//!
//! Pure but for the onions: the graph, what was learnt, channels, height and time are arguments.
//!
//! Not here: facts of payments (`sent`), what a failure teaches (`lesson`), the search itself (`router`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use channel::{CommandId, Offer};
use routing::graph::{Direction, Policy};
use routing::request::HintHop;
use secp256k1::PublicKey;
use wire::id::{NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId};
use wire::units::{BlockHeight, Msat};

use crate::channels::directory::Doors;
use crate::channels::task::Asker;
use crate::fact::{ChannelIndex, HopTaken};
use crate::identity::Identity;
use crate::payments::blinded::Tail;
use crate::payments::lesson::{Lesson, Where};
use crate::payments::onion;
use crate::payments::router::{self, Found, Look, Missed, Odds, Search, Sight, Wish};
use crate::rpc::model::payment::PaymentFailure;

/// Blocks we add to the final expiry, so that a block that is found meanwhile does not make it too near.
pub const CLTV_GRACE: u32 = 3;

/// How long new ways are tried unless the order says otherwise, in milliseconds.
pub const PATIENCE_MS: u64 = 60_000;

/// The most parts of a payment at a time, unless the order says otherwise.
pub const PARTS_MAX: u16 = 16;

/// How often a payment tries before it gives up, whatever time is left: a loop of failures ends.
const TRIES_MAX: u32 = 128;

/// How often a payment searches again because its channels were filled while it searched: then it tries.
const LATE_MAX: u8 = 3;

/// A part without an outcome for so long is held by somebody, in milliseconds: others keep away from its way.
const SLOW_MS: u64 = 20_000;

/// What one attempt needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to pay.
    pub payee: PublicKey,
    /// The invoice's name.
    pub hash: PaymentHash,
    /// What proves that we have the invoice; none for a payment without one.
    pub secret: Option<PaymentSecret>,
    /// What the payee's metadata field said, to be given back. BOLT 11, field `m`.
    pub metadata: Option<Vec<u8>>,
    /// What a payment without an invoice gives with it.
    pub keysend: Option<Preimage>,
    /// How much arrives.
    pub amount: Msat,
    /// The most that all parts together may cost.
    pub fee_limit: Msat,
    /// Blocks the payee wants to be left.
    pub min_final_cltv_delta: u32,
    /// The most blocks that an HTLC may be locked.
    pub cltv_limit: u32,
    /// The most parts at a time; 1 unless the payee takes `basic_mpp`.
    pub max_parts: u16,
    /// From when on nothing new is tried, Unix milliseconds.
    pub deadline_ms: u64,
    /// Ways to the payee that gossip does not know. BOLT 11, field `r`.
    pub hints: Vec<Vec<HintHop>>,
    /// A way by hand: who forwards, in order. Empty: it is looked for.
    pub via: Vec<Via>,
    /// Blinded routes to the payee. If there are any, every part ends in one, and `payee` is where the first begins.
    pub tails: Vec<Tail>,
}

/// A node on the way, and what it asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via {
    /// Which.
    pub node: PublicKey,
    /// Over which channel of its own it is to go on.
    pub next: ShortChannelId,
    /// What it keeps.
    pub fee: Msat,
    /// Blocks it wants between what it is given and what it gives.
    pub cltv_delta: u32,
}

impl Plan {
    /// Whom we hand the payment to on a way by hand, and what: fees and all.
    fn first(&self) -> Option<(NodeId, Msat)> {
        let via = self.via.first()?;
        let sum = self.via.iter().try_fold(self.amount, |sum, via| sum.checked_add(via.fee));
        Some((NodeId(via.node.serialize()), sum?))
    }

    /// The way by hand.
    fn by_hand(&self, own: ShortChannelId, height: BlockHeight) -> Option<Vec<HopTaken>> {
        let expiry = height.saturating_add(self.min_final_cltv_delta).saturating_add(CLTV_GRACE);
        let (mut amount, mut cltv_expiry) = (self.amount, expiry);
        let mut hops = Vec::new();
        let mut node = NodeId(self.payee.serialize());
        for via in self.via.iter().rev() {
            hops.push(HopTaken { node, channel: via.next, amount, cltv_expiry });
            amount = amount.checked_add(via.fee)?;
            cltv_expiry = cltv_expiry.saturating_add(via.cltv_delta);
            node = NodeId(via.node.serialize());
        }
        hops.push(HopTaken { node, channel: own, amount, cltv_expiry });
        hops.reverse();
        Some(hops)
    }
}

/// A part that is to be offered.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Over which channel.
    pub channel: ChannelIndex,
    /// What.
    pub offer: Offer,
    /// Its number.
    pub part: u32,
    /// What of it arrives.
    pub delivered: Msat,
    /// Its HTLCs, ours first; of a blinded end those that we know.
    pub hops: Vec<HopTaken>,
    /// Whether it ends blinded.
    pub blinded: bool,
    /// How likely it passes.
    pub odds: Odds,
}

/// What there is to do for a payment now.
#[derive(Debug)]
pub enum Next {
    /// Offer these.
    Send(Vec<Attempt>),
    /// Have this search made, and say what it found ([`Attempts::found`]).
    Search(Errand),
    /// Ask again when there is room for a search.
    Later,
    /// Wait for what is in flight, or for the search that is being made.
    Wait,
    /// Nothing more is tried: it failed as soon as nothing is in flight any more.
    Over(PaymentFailure, Option<Missed>),
}

/// A search for a payment.
#[derive(Debug)]
pub struct Errand {
    /// Which search of ours it is: what an older one found is not heeded.
    pub ticket: u64,
    /// What is to be made.
    pub search: Box<Search>,
}

/// A part in flight.
#[derive(Clone, Debug)]
struct Flying {
    delivered: Msat,
    fee: Msat,
    since_ms: u64,
    hops: Vec<HopTaken>,
}

/// What a payment has learnt, for itself alone.
#[derive(Clone, Debug, Default)]
pub struct Shunned {
    /// Our channels that did not take it.
    pub own: BTreeSet<ChannelIndex>,
    /// Nodes that failed it.
    pub nodes: BTreeSet<NodeId>,
    /// Channels that failed it.
    pub channels: BTreeSet<(ShortChannelId, Option<Direction>)>,
    /// Policies that failures told of. BOLT 4: they are for this payment, and never for gossip.
    pub policies: BTreeMap<(ShortChannelId, Direction), Policy>,
    /// How often a channel said that it could not carry a part.
    stuck: BTreeMap<(ShortChannelId, Direction), u8>,
}

#[derive(Debug)]
struct Open {
    plan: Plan,
    /// Channels for the way by hand, the fullest first.
    by_hand: Option<VecDeque<ChannelIndex>>,
    flying: BTreeMap<u32, Flying>,
    shunned: Shunned,
    tries: u32,
    next_part: u32,
    over: Option<PaymentFailure>,
    looking: Option<Looking>,
    /// How often what was found did not fit any more.
    late: u8,
}

/// A search that is being made.
#[derive(Clone, Copy, Debug)]
struct Looking {
    ticket: u64,
    /// Something happened to the payment since it began.
    stale: bool,
}

impl Open {
    /// What is in flight, and what it costs.
    fn sums(&self) -> (Msat, Msat) {
        let sum = |of: fn(&Flying) -> Msat| {
            Msat::checked_sum(self.flying.values().map(of)).unwrap_or(Msat::MAX)
        };
        (sum(|flying| flying.delivered), sum(|flying| flying.fee))
    }
}

/// Payments under way that can be tried again.
#[derive(Debug, Default)]
pub struct Attempts {
    open: BTreeMap<PaymentHash, Open>,
    /// Offers that a channel has not answered yet.
    offers: BTreeMap<u64, (PaymentHash, u32, ChannelIndex, Msat)>,
    commands: u64,
    /// How many searches were made.
    tickets: u64,
    /// What all payments together hold in others' channels.
    held: BTreeMap<(ShortChannelId, Direction), Msat>,
}

impl Attempts {
    /// Remembers a payment. `first_part` is above every part that was ever used for this hash.
    pub fn open(&mut self, plan: Plan, first_part: u32) {
        let by_hand = None;
        let open = Open {
            plan,
            by_hand,
            flying: BTreeMap::new(),
            shunned: Shunned::default(),
            tries: 0,
            next_part: first_part,
            over: None,
            looking: None,
            late: 0,
        };
        self.open.insert(open.plan.hash, open);
    }

    /// A part that is in flight since before a restart.
    pub fn resume(
        &mut self,
        hash: PaymentHash,
        part: u32,
        (delivered, fee): (Msat, Msat),
        since_ms: u64,
        hops: Vec<HopTaken>,
    ) {
        let Some(open) = self.open.get_mut(&hash) else { return };
        hold(&mut self.held, &hops, true);
        open.flying.insert(part, Flying { delivered, fee, since_ms, hops });
    }

    /// What there is to do for a payment: parts are sent for what is neither there nor in flight, so together they
    /// never bring more than the amount. `room` says whether a search could be made now.
    pub fn next(
        &mut self,
        hash: PaymentHash,
        us: &Identity,
        sight: &Sight<'_>,
        room: bool,
    ) -> Next {
        let Some(open) = self.open.get_mut(&hash) else {
            return Next::Over(PaymentFailure::NoRoute, None);
        };
        if let Some(failure) = open.over {
            return if open.flying.is_empty() { Next::Over(failure, None) } else { Next::Wait };
        }
        if let Some(looking) = &mut open.looking {
            looking.stale = true;
            return Next::Wait;
        }
        let (arriving, fees) = open.sums();
        let missing = open.plan.amount.checked_sub(arriving).unwrap_or(Msat::ZERO);
        if missing == Msat::ZERO {
            return Next::Wait;
        }
        let failure = if sight.now_ms >= open.plan.deadline_ms || open.tries >= TRIES_MAX {
            Some(PaymentFailure::TimedOut)
        } else {
            None
        };
        if let Some(failure) = failure {
            open.over = Some(failure);
            return Next::Over(failure, None);
        }
        open.plan.tails.iter_mut().for_each(|tail| tail.look(us));
        let found = if open.plan.via.is_empty() {
            let in_flight = u16::try_from(open.flying.len()).unwrap_or(u16::MAX);
            let dice = dice(us, hash);
            let wish = Wish {
                dice: &dice,
                plan: &open.plan,
                shunned: &open.shunned,
                amount: missing,
                fee_limit: open.plan.fee_limit.checked_sub(fees).unwrap_or(Msat::ZERO),
                max_parts: open.plan.max_parts.saturating_sub(in_flight),
            };
            let pending = pending(&self.offers);
            match router::look(&wish, sight, us.node_id(), &self.held, &pending) {
                Ok(Look::Search(_)) if !room => return Next::Later,
                Ok(Look::Search(search)) => {
                    self.tickets = self.tickets.wrapping_add(1);
                    let ticket = self.tickets;
                    open.looking = Some(Looking { ticket, stale: false });
                    return Next::Search(Errand { ticket, search });
                }
                Ok(Look::Straight(found)) => Ok(found.parts),
                Err(missed) => Err(missed),
            }
        } else {
            by_hand(open, sight)
        };
        match found {
            Ok(parts) => self.offer(hash, us, sight.now_ms, parts),
            Err(missed) => {
                open.over = Some(PaymentFailure::NoRoute);
                Next::Over(PaymentFailure::NoRoute, Some(missed))
            }
        }
    }

    /// What a search found. `None` if it is not waited for any more: the payment ended, or it was an older search.
    pub fn found(
        &mut self,
        hash: PaymentHash,
        us: &Identity,
        sight: &Sight<'_>,
        (ticket, found): (u64, Result<Found, Missed>),
    ) -> Option<Next> {
        let open = self.open.get_mut(&hash)?;
        let looking = open.looking.filter(|looking| looking.ticket == ticket)?;
        open.looking = None;
        if looking.stale || open.over.is_some() {
            return Some(self.next(hash, us, sight, true));
        }
        let parts = match found {
            Ok(found) => found.parts,
            Err(missed) => {
                open.over = Some(PaymentFailure::NoRoute);
                return Some(Next::Over(PaymentFailure::NoRoute, Some(missed)));
            }
        };
        // Other payments may have filled our channels meanwhile.
        let pending = pending(&self.offers);
        let fits =
            router::still_fits(parts.iter().map(|(part, _)| part), sight, &open.shunned, &pending);
        if !fits && open.late < LATE_MAX {
            open.late = open.late.saturating_add(1);
            return Some(self.next(hash, us, sight, true));
        }
        Some(self.offer(hash, us, sight.now_ms, parts))
    }

    /// Offers for parts.
    fn offer(
        &mut self,
        hash: PaymentHash,
        us: &Identity,
        now_ms: u64,
        parts: Vec<(router::Part, Odds)>,
    ) -> Next {
        let Some(open) = self.open.get_mut(&hash) else {
            return Next::Over(PaymentFailure::NoRoute, None);
        };
        let mut attempts = Vec::with_capacity(parts.len());
        for (part, odds) in parts {
            let number = open.next_part;
            open.next_part = number.saturating_add(1);
            open.tries = open.tries.saturating_add(1);
            self.commands = self.commands.wrapping_add(1);
            let command = Asker::Payments.command(self.commands);
            let offer = onion::offer(&open.plan, us, number, command, &part);
            let Some(offer) = offer else { continue };
            self.offers.insert(command.0, (hash, number, part.channel, offer.amount_msat));
            hold(&mut self.held, &part.hops, true);
            let fee = offer.amount_msat.checked_sub(part.delivered).unwrap_or(Msat::ZERO);
            let flying = Flying {
                delivered: part.delivered,
                fee,
                since_ms: now_ms,
                hops: part.hops.clone(),
            };
            open.flying.insert(number, flying);
            let blinded = part.tail.is_some();
            let (channel, delivered, hops) = (part.channel, part.delivered, part.hops);
            attempts.push(Attempt { channel, offer, part: number, delivered, hops, blinded, odds });
        }
        if attempts.is_empty() {
            open.over = Some(PaymentFailure::NoRoute);
            return Next::Over(PaymentFailure::NoRoute, None);
        }
        Next::Send(attempts)
    }

    /// Which part an offer was for; asked once, when the offer was made or refused.
    pub fn offered(&mut self, command: CommandId) -> Option<(PaymentHash, u32, ChannelIndex)> {
        let (hash, part, channel, _) = self.offers.remove(&command.0)?;
        Some((hash, part, channel))
    }

    /// A part is in flight no more.
    pub fn landed(&mut self, hash: PaymentHash, part: u32) {
        let Some(flying) = self.open.get_mut(&hash).and_then(|open| open.flying.remove(&part))
        else {
            return;
        };
        hold(&mut self.held, &flying.hops, false);
    }

    /// Takes to heart what a failure taught, for this payment.
    pub fn learn(&mut self, hash: PaymentHash, lessons: &[Lesson]) {
        let Some(open) = self.open.get_mut(&hash) else { return };
        let shunned = &mut open.shunned;
        for lesson in lessons {
            match *lesson {
                Lesson::Passed { .. } => {}
                Lesson::Stuck { at, .. } => {
                    let times = shunned.stuck.entry((at.channel, at.direction)).or_default();
                    *times = times.saturating_add(1);
                    // A smaller part may pass where a larger one did not; not for ever.
                    if *times > 2 {
                        shunned.channels.insert((at.channel, Some(at.direction)));
                    }
                }
                Lesson::Avoid(Where { channel, direction }) => {
                    shunned.channels.insert((channel, Some(direction)));
                }
                Lesson::AvoidNode(node) => {
                    shunned.nodes.insert(node);
                }
                Lesson::Policy(at, policy) => {
                    let known = shunned.policies.insert((at.channel, at.direction), policy);
                    let hints = open.plan.hints.iter_mut().flatten();
                    let mut used = known.is_some_and(|known| known == policy);
                    for hint in hints.filter(|hint| hint.scid == at.channel) {
                        used |= router::amend(hint, &policy);
                    }
                    // Whoever asks for something else each time wants to be paid by nobody.
                    let times = shunned.stuck.entry((at.channel, at.direction)).or_default();
                    *times = times.saturating_add(1);
                    if used || *times > 2 {
                        shunned.channels.insert((at.channel, Some(at.direction)));
                    }
                }
            }
        }
    }

    /// This channel of ours is not asked again for this payment.
    pub fn shun(&mut self, hash: PaymentHash, channel: ChannelIndex) {
        if let Some(open) = self.open.get_mut(&hash) {
            open.shunned.own.insert(channel);
        }
    }

    /// Nothing more is tried.
    pub fn give_up(&mut self, hash: PaymentHash, because: PaymentFailure) {
        if let Some(open) = self.open.get_mut(&hash) {
            open.over.get_or_insert(because);
        }
    }

    /// What of it is neither there nor in flight.
    pub fn missing(&self, hash: PaymentHash) -> Msat {
        self.open.get(&hash).map_or(Msat::ZERO, |open| {
            let (arriving, _) = open.sums();
            open.plan.amount.checked_sub(arriving).unwrap_or(Msat::ZERO)
        })
    }

    /// Keeps payments off the ways of parts that somebody holds. They are not sent a second time.
    pub fn shun_slow(&mut self, now_ms: u64) {
        for open in self.open.values_mut() {
            let slow = open
                .flying
                .values()
                .filter(|flying| now_ms.saturating_sub(flying.since_ms) >= SLOW_MS);
            for (from, to) in slow.flat_map(|flying| pairs(&flying.hops)) {
                let way = Direction::between(&from.node, &to.node);
                open.shunned.channels.insert((to.channel, Some(way)));
            }
        }
    }

    /// A payment ended: nothing more of it is tried.
    pub fn close(&mut self, hash: PaymentHash) {
        if let Some(open) = self.open.remove(&hash) {
            for flying in open.flying.values() {
                hold(&mut self.held, &flying.hops, false);
            }
        }
    }

    /// What all payments hold in others' channels.
    pub const fn held_by_all(&self) -> &BTreeMap<(ShortChannelId, Direction), Msat> {
        &self.held
    }

    /// What our channels were asked to carry and have not answered to.
    pub fn pending(&self) -> BTreeMap<ChannelIndex, Msat> {
        pending(&self.offers)
    }

    /// What all payments hold in a channel of others.
    pub fn held(&self, channel: ShortChannelId, direction: Direction) -> Msat {
        self.held.get(&(channel, direction)).copied().unwrap_or(Msat::ZERO)
    }
}

/// What a payment's shadow follows from: nobody else knows it, and it stays the same.
pub(super) fn dice(us: &Identity, hash: PaymentHash) -> [u8; 32] {
    // No part has this number: their onions are made from others.
    us.session_key(hash, u32::MAX).secret_bytes()
}

/// What our channels were asked to carry and have not answered to.
fn pending(
    offers: &BTreeMap<u64, (PaymentHash, u32, ChannelIndex, Msat)>,
) -> BTreeMap<ChannelIndex, Msat> {
    let mut pending = BTreeMap::<ChannelIndex, Msat>::new();
    for (_, _, channel, amount) in offers.values() {
        let sum = pending.entry(*channel).or_insert(Msat::ZERO);
        *sum = sum.checked_add(*amount).unwrap_or(Msat::MAX);
    }
    pending
}

fn by_hand(open: &mut Open, sight: &Sight<'_>) -> Result<Vec<(router::Part, Odds)>, Missed> {
    let nothing = || Missed::Channels;
    let (first, sum) = open.plan.first().ok_or_else(nothing)?;
    let left = open.by_hand.get_or_insert_with(|| Direct::find(sight.doors, first, sum).able);
    let channel = left.pop_front().ok_or_else(nothing)?;
    let own = router::name_of(sight.doors, channel);
    let hops = open.plan.by_hand(own, sight.height).ok_or_else(nothing)?;
    let odds = Odds { whole: 1.0, hops: Vec::new() };
    Ok(vec![(router::Part { channel, delivered: open.plan.amount, hops, tail: None }, odds)])
}

/// Who forwards over which hop: each hop with the one before it.
pub(super) fn pairs(hops: &[HopTaken]) -> impl Iterator<Item = (&HopTaken, &HopTaken)> {
    hops.iter().zip(hops.iter().skip(1))
}

/// Adds what a part holds in others' channels, or takes it away.
fn hold(held: &mut BTreeMap<(ShortChannelId, Direction), Msat>, hops: &[HopTaken], add: bool) {
    for (from, to) in pairs(hops) {
        let key = (to.channel, Direction::between(&from.node, &to.node));
        let sum = held.get(&key).copied().unwrap_or(Msat::ZERO);
        let sum = if add { sum.checked_add(to.amount) } else { sum.checked_sub(to.amount) };
        match sum {
            Some(sum) if sum > Msat::ZERO => held.insert(key, sum),
            Some(_) | None => held.remove(&key),
        };
    }
}

/// The channels with a node, the fullest first.
#[derive(Clone, Debug, Default)]
pub struct Direct {
    /// Those that can carry the amount now, the fullest first.
    pub able: VecDeque<ChannelIndex>,
    /// How many there are.
    pub channels: u32,
    /// How many of them are in touch with the node.
    pub usable: u32,
    /// The most that one of them can send.
    pub can_send: Msat,
}

impl Direct {
    /// Looks at all channels with `node`.
    pub fn find(doors: &Doors, node: NodeId, amount: Msat) -> Self {
        let mut found = Self::default();
        let mut able = Vec::new();
        for door in doors.of(node) {
            let glance = *door.glance.borrow();
            found.channels = found.channels.saturating_add(1);
            if glance.usable {
                found.usable = found.usable.saturating_add(1);
                found.can_send = found.can_send.max(glance.can_send);
                if glance.can_send >= amount {
                    able.push((glance.can_send, door.index));
                }
            }
        }
        able.sort_by(|a, b| b.cmp(a));
        found.able = able.into_iter().map(|(_, index)| index).collect();
        found
    }
}

#[cfg(test)]
mod tests;
