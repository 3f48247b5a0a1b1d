//! The loop of attempts: what each failure leads to, and what parts together never exceed.

use std::sync::Arc;

use routing::graph::{ChannelAnnounced, Graph, GraphUpdate, Snapshot};
use routing::score::{ScoreConfig, Scorer};
use secp256k1::{SECP256K1, SecretKey};
use wire::codec::{Encode as _, Rest};
use wire::feature::Features;
use wire::id::{ChannelId, Signature};
use wire::message::ChannelUpdate;
use wire::onion::failure::{ChannelUpdateBytes, Failure, Source};
use wire::units::{CltvDelta, Sat};

use super::*;
use crate::channels::directory::{Directory, Door, Glance};
use crate::edge::{back, forward};
use crate::payments::lesson::{Taught, Trip, of_failure};

const CHAIN: [u8; 32] = [9; 32];
const NOW: u64 = 1_700_000_000_000;
const HASH: PaymentHash = PaymentHash([7; 32]);
/// The first that forwards.
const A: u8 = 1;
/// The other one.
const B: u8 = 2;
const PAYEE: u8 = 3;

fn msat(raw: u64) -> Msat {
    Msat::new(raw).unwrap()
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_slice(&[number; 32]).unwrap()
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_secret_key(SECP256K1, &secret(number))
}

fn node(number: u8) -> NodeId {
    NodeId(key(number).serialize())
}

fn scid(number: u64) -> ShortChannelId {
    ShortChannelId::from_u64(number << 16)
}

fn policy(base: u32) -> Policy {
    Policy {
        timestamp: 1,
        enabled: true,
        cltv_expiry_delta: CltvDelta(40),
        htlc_minimum: Msat::ZERO,
        htlc_maximum: Msat::MAX,
        fee_base_msat: base,
        fee_proportional_millionths: 0,
    }
}

/// Us with a channel to A and one to B, who both have one with the payee. Over A it costs a little less.
struct Desk {
    us: Identity,
    doors: Arc<Doors>,
    graph: Snapshot,
    scorer: Arc<Scorer>,
    attempts: Attempts,
    now_ms: u64,
}

fn door(index: u64, peer: u8, can_send: Msat) -> Door {
    let glance = Glance {
        usable: true,
        can_send,
        short_id: Some(scid(index)),
        slots: 483,
        in_flight_max_msat: u64::MAX,
        ..Glance::default()
    };
    Door {
        index: ChannelIndex(index),
        node: node(peer),
        id: ChannelId([u8::try_from(index).unwrap(); 32]),
        messages: forward(1).0,
        commands: back(1).0,
        asks: forward(1).0,
        chain: forward(1).0,
        glance: tokio::sync::watch::channel(glance).1,
    }
}

impl Desk {
    fn new(can_send: u64) -> Self {
        let us = Identity::new(secret(50), [8; 32]);
        let directory = Directory::default();
        directory.insert(door(1, A, msat(can_send)));
        directory.insert(door(2, B, msat(can_send)));
        let mut graph = Graph::new();
        for (number, from, base) in [(11, A, 1_000), (12, B, 2_000)] {
            let (a, b) = (node(from), node(PAYEE));
            let announced = ChannelAnnounced {
                scid: scid(number),
                nodes: [a.min(b), a.max(b)],
                capacity: Some(Sat::from_sat(10_000_000)),
                features: Features::empty(),
            };
            graph.apply(&GraphUpdate::ChannelAnnounced(announced)).unwrap();
            let direction = Direction::between(&a, &b);
            let policy = policy(base);
            let updated = GraphUpdate::ChannelUpdated { scid: scid(number), direction, policy };
            graph.apply(&updated).unwrap();
        }
        let mut scorer = Scorer::new(ScoreConfig::default());
        let graph = graph.snapshot();
        scorer.follow(&graph);
        let (doors, attempts, scorer) = (directory.doors(), Attempts::default(), Arc::new(scorer));
        Self { us, doors, graph, scorer, attempts, now_ms: NOW }
    }

    fn open(&mut self, plan: Plan) {
        self.attempts.open(plan, 0);
    }

    fn next(&mut self) -> Next {
        Arc::make_mut(&mut self.scorer).follow(&self.graph);
        let sight = Sight {
            doors: &self.doors,
            graph: &self.graph,
            scorer: &self.scorer,
            height: BlockHeight(100),
            now_ms: self.now_ms,
        };
        let mut next = self.attempts.next(HASH, &self.us, &sight, true);
        while let Next::Search(errand) = next {
            let found = (errand.ticket, errand.search.run());
            next = self.attempts.found(HASH, &self.us, &sight, found).unwrap();
        }
        next
    }

    fn sent(&mut self) -> Vec<Attempt> {
        match self.next() {
            Next::Send(attempts) => attempts,
            other => panic!("{other:?}"),
        }
    }

    /// As the task does with a part that came back.
    fn came_back(&mut self, part: &Attempt, taught: &Taught) {
        self.attempts.offered(part.offer.command);
        self.attempts.landed(HASH, part.part);
        for lesson in &taught.lessons {
            let now = self.now_ms / 1_000;
            match *lesson {
                Lesson::Passed { at, amount } => {
                    Arc::make_mut(&mut self.scorer).passed(at.channel, at.direction, amount, now);
                }
                Lesson::Stuck { at, amount } => {
                    Arc::make_mut(&mut self.scorer).stuck(at.channel, at.direction, amount, now);
                }
                Lesson::Avoid(_) | Lesson::AvoidNode(_) | Lesson::Policy(..) => {}
            }
        }
        self.attempts.learn(HASH, &taught.lessons);
        if taught.last {
            self.attempts.give_up(HASH, taught.failure);
        }
    }

    fn fails(&mut self, part: &Attempt, index: usize, failure: &Failure) -> Taught {
        let trip = Trip { hops: &part.hops, chain: &CHAIN };
        let taught = of_failure(&trip, &Source::Hop { index, failure: Some(failure.clone()) });
        self.came_back(part, &taught);
        taught
    }
}

fn plan(amount: u64, fee_limit: u64, max_parts: u16) -> Plan {
    Plan {
        payee: key(PAYEE),
        hash: HASH,
        secret: Some(PaymentSecret([1; 32])),
        metadata: None,
        keysend: None,
        amount: msat(amount),
        fee_limit: msat(fee_limit),
        min_final_cltv_delta: 42,
        cltv_limit: 2_016,
        max_parts,
        deadline_ms: NOW + PATIENCE_MS,
        hints: Vec::new(),
        via: Vec::new(),
        tails: Vec::new(),
    }
}

/// An update of A's channel with the payee, signed by `author`.
fn update(author: u8, fee_base_msat: u32, disabled: bool) -> ChannelUpdateBytes {
    let side = u8::from(Direction::between(&node(A), &node(PAYEE)).bit());
    let mut update = ChannelUpdate {
        signature: Signature([0; 64]),
        chain_hash: CHAIN,
        short_channel_id: scid(11),
        timestamp: 7,
        message_flags: 1,
        channel_flags: side | u8::from(disabled) << 1,
        cltv_expiry_delta: 40,
        htlc_minimum_msat: 1,
        fee_base_msat,
        fee_proportional_millionths: 0,
        htlc_maximum_msat: 10_000_000_000,
        extension: Rest::default(),
    };
    let digest = secp256k1::Message::from_digest(update.digest());
    update.signature = SECP256K1.sign_ecdsa(&digest, &secret(author)).into();
    ChannelUpdateBytes(update.encoded())
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The other way is tried.
    Elsewhere,
    /// The same way again, for what its node asks now.
    Same,
    /// Nothing is tried any more.
    Over,
}

/// All of BOLT 4 § Failure Messages, and codes nobody knows.
fn every() -> Vec<Failure> {
    let (sha256_of_onion, channel_update) = ([3; 32], ChannelUpdateBytes::default());
    let told = || channel_update.clone();
    vec![
        Failure::TemporaryNodeFailure,
        Failure::PermanentNodeFailure,
        Failure::RequiredNodeFeatureMissing,
        Failure::InvalidOnionVersion { sha256_of_onion },
        Failure::InvalidOnionHmac { sha256_of_onion },
        Failure::InvalidOnionKey { sha256_of_onion },
        Failure::TemporaryChannelFailure { channel_update: told() },
        Failure::PermanentChannelFailure,
        Failure::RequiredChannelFeatureMissing,
        Failure::UnknownNextPeer,
        Failure::AmountBelowMinimum { htlc_msat: 1, channel_update: told() },
        Failure::FeeInsufficient { htlc_msat: 1, channel_update: told() },
        Failure::IncorrectCltvExpiry { cltv_expiry: 1, channel_update: told() },
        Failure::ExpiryTooSoon { channel_update: told() },
        Failure::ChannelDisabled { disabled_flags: 0, channel_update: told() },
        Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: 1, height: 1 },
        Failure::FinalIncorrectCltvExpiry { cltv_expiry: 1 },
        Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: 1 },
        Failure::ExpiryTooFar,
        Failure::InvalidOnionPayload { kind: 2, offset: 0 },
        Failure::MppTimeout,
        Failure::InvalidOnionBlinding { sha256_of_onion },
        Failure::Unknown { code: 0x0123, data: Vec::new() },
        Failure::Unknown { code: 0x2123, data: vec![1] },
        Failure::Unknown { code: 0x1123, data: vec![1] },
        Failure::Unknown { code: 0x4123, data: Vec::new() },
    ]
}

#[track_caller]
fn follows(index: usize, failure: &Failure) -> Then {
    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    let first = desk.sent().remove(0);
    assert_eq!(first.hops[0].node, node(A), "the cheaper one first");
    let before = first.hops[0].amount;
    desk.fails(&first, index, failure);
    match desk.next() {
        Next::Send(again) if again[0].hops[0].node == node(A) => {
            assert_ne!(again[0].hops[0].amount, before, "the same again is no other try");
            Then::Same
        }
        Next::Send(_) => Then::Elsewhere,
        Next::Over(..) => Then::Over,
        other => panic!("{failure:?}: {other:?}"),
    }
}

#[test]
fn whatever_a_node_on_the_way_says_the_other_way_is_tried() {
    for failure in every() {
        assert_eq!(follows(0, &failure), Then::Elsewhere, "{failure:?}");
    }
}

#[test]
fn what_the_payee_says_ends_the_payment_unless_it_speaks_of_the_way() {
    use Failure::*;

    for failure in every() {
        let wanted = match &failure {
            // It has judged the payment itself, or says that it never will.
            IncorrectOrUnknownPaymentDetails { .. }
            | MppTimeout
            | PermanentNodeFailure
            | RequiredNodeFeatureMissing
            | PermanentChannelFailure
            | RequiredChannelFeatureMissing
            | UnknownNextPeer
            | InvalidOnionVersion { .. }
            | InvalidOnionHmac { .. }
            | InvalidOnionKey { .. }
            | InvalidOnionPayload { .. } => Then::Over,
            Unknown { code, .. } if code & 0x4000 != 0 => Then::Over,
            _ => Then::Elsewhere,
        };
        assert_eq!(follows(1, &failure), wanted, "{failure:?}");
    }
}

#[test]
fn a_node_that_signs_what_it_asks_now_is_asked_again_for_that_and_not_for_ever() {
    let fee = |channel_update| Failure::FeeInsufficient { htlc_msat: 1, channel_update };
    assert_eq!(follows(0, &fee(update(A, 1_500, false))), Then::Same);
    // Somebody else's signature, a channel that is closed to all, more than the other way costs.
    assert_eq!(follows(0, &fee(update(B, 1_500, false))), Then::Elsewhere);
    assert_eq!(follows(0, &fee(update(A, 1_500, true))), Then::Elsewhere);
    assert_eq!(follows(0, &fee(update(A, 40_000, false))), Then::Elsewhere);

    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    let mut asked = 0;
    for more in 1..10 {
        let part = desk.sent().remove(0);
        if part.hops[0].node != node(A) {
            break;
        }
        asked += 1;
        desk.fails(&part, 0, &fee(update(A, 1_000 + more, false)));
    }
    assert!((2..=3).contains(&asked), "asked {asked} times");
}

#[test]
fn a_failure_that_nobody_can_read_leads_elsewhere_and_in_the_end_to_none() {
    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    for _ in 0..2 {
        let part = desk.sent().remove(0);
        let trip = Trip { hops: &part.hops, chain: &CHAIN };
        let taught = of_failure(&trip, &Source::Unreadable { blamed: None });
        assert_eq!(taught.failure, PaymentFailure::Unreadable);
        desk.came_back(&part, &taught);
    }
    assert!(matches!(desk.next(), Next::Over(PaymentFailure::NoRoute, Some(_))));
}

#[test]
fn nothing_new_is_tried_after_the_deadline_and_what_flies_is_waited_for() {
    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    let part = desk.sent().remove(0);
    desk.now_ms = NOW + PATIENCE_MS;
    assert!(matches!(desk.next(), Next::Wait), "all of it is in flight");
    desk.fails(&part, 0, &Failure::TemporaryNodeFailure);
    assert!(matches!(desk.next(), Next::Over(PaymentFailure::TimedOut, None)));

    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    let part = desk.sent().remove(0);
    desk.now_ms = NOW + PATIENCE_MS - 1;
    desk.fails(&part, 0, &Failure::TemporaryNodeFailure);
    assert_eq!(desk.sent().len(), 1, "in the last moment");
}

#[test]
fn a_payment_gives_up_after_so_many_tries_whatever_time_is_left() {
    let mut desk = Desk::new(100_000_000);
    desk.open(plan(10_000_000, 50_000, 1));
    let mut tries = 0_u32;
    while let Next::Send(parts) = desk.next() {
        for part in parts {
            tries += 1;
            // Nothing is learnt from it.
            desk.attempts.offered(part.offer.command);
            desk.attempts.landed(HASH, part.part);
        }
        assert!(tries <= TRIES_MAX);
    }
    assert_eq!(tries, TRIES_MAX);
}

#[test]
fn parts_that_somebody_holds_keep_the_rest_off_their_way_and_are_not_sent_again() {
    let mut desk = Desk::new(6_000_000);
    desk.open(plan(10_000_000, 50_000, 4));
    let parts = desk.sent();
    assert!(parts.len() >= 2, "neither channel can carry it all");
    let (stuck, other): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| part.hops[0].node == node(A));
    desk.attempts.shun_slow(NOW + SLOW_MS - 1);
    assert!(desk.attempts.open[&HASH].shunned.channels.is_empty(), "not yet");
    desk.attempts.shun_slow(NOW + SLOW_MS);
    assert!(matches!(desk.next(), Next::Wait), "what is held is not sent a second time");
    let way = Direction::between(&node(A), &node(PAYEE));
    assert!(desk.attempts.open[&HASH].shunned.channels.contains(&(scid(11), Some(way))));
    for part in &other {
        desk.fails(part, 0, &Failure::TemporaryNodeFailure);
    }
    // B is avoided for its word, A for its silence: the rest has no way, and the payment no end yet.
    let over = desk.next();
    assert!(matches!(over, Next::Over(PaymentFailure::NoRoute, Some(_))), "{over:?}");
    assert!(matches!(desk.next(), Next::Wait), "what flies may still arrive");
    for part in &stuck {
        desk.attempts.landed(HASH, part.part);
    }
    assert!(matches!(desk.next(), Next::Over(PaymentFailure::NoRoute, None)));
}

#[test]
fn parts_in_flight_never_bring_more_than_the_amount_nor_cost_more_than_the_limit() {
    // splitmix64: a seed is a run.
    let mut state = 0_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    };
    let failures = every();
    for _run in 0..60 {
        let mut desk = Desk::new(4_000_000 + below(8_000_000));
        let (amount, limit) = (1_000_000 + below(12_000_000), 500 + below(8_000));
        desk.open(plan(amount, limit, 1 + u16::try_from(below(6)).unwrap()));
        let mut flying: Vec<Attempt> = Vec::new();
        let mut numbers = BTreeSet::new();
        for _step in 0..40 {
            if let Next::Send(parts) = desk.next() {
                for part in &parts {
                    assert!(numbers.insert(part.part), "a part's number is used once");
                    assert_eq!(part.hops.last().map(|hop| hop.amount), Some(part.delivered));
                    assert_eq!(part.hops[0].amount, part.offer.amount_msat);
                }
                flying.extend(parts);
            }
            let sum = |of: fn(&Attempt) -> u64| flying.iter().map(of).sum::<u64>();
            let delivered = sum(|part| part.delivered.to_u64());
            let given = sum(|part| part.offer.amount_msat.to_u64());
            assert!(delivered <= amount, "{delivered} of {amount}");
            assert!(given - delivered <= limit, "{} of {limit}", given - delivered);
            assert_eq!(desk.attempts.missing(HASH).to_u64(), amount - delivered);
            if flying.is_empty() {
                break;
            }
            let place = usize::try_from(below(flying.len() as u64)).unwrap();
            let part = flying.swap_remove(place);
            let index = usize::try_from(below(part.hops.len() as u64)).unwrap();
            let failure = &failures[usize::try_from(below(failures.len() as u64)).unwrap()];
            desk.fails(&part, index, failure);
            desk.now_ms += below(3_000);
        }
        // Whatever is still there, the end leaves nothing behind.
        desk.attempts.close(HASH);
        assert!(desk.attempts.held_by_all().is_empty());
    }
}
