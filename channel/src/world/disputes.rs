//! What is seen before a block has it, what a close would cost, and whom the channel waits for no longer.

use wire::units::BlockHeight;

use super::*;
use crate::clock::Side;
use crate::effect::{CloseReason, Outcome, Spender};
use crate::env::ForceClosePolicy;
use crate::onchain::{Claim, Close, OutputState, What};

/// The HTLCs of [`busy`] expire here.
pub(super) const EXPIRY: u32 = HEIGHT + 2 + 100;

pub(super) fn busy() -> World {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(20_000_000, 1);
    world.nodes[BOB].offer(30_000_000, 2);
    world.settle();
    world
}

pub(super) fn see(node: &mut Node, tx: &Transaction) {
    node.step(Event::Chain(ChainFact::FundingSpendSeen { tx: tx.clone() }));
}

pub(super) fn tick(node: &mut Node, height: u32) {
    node.height = height;
    node.step(Event::Chain(ChainFact::Tip));
}

pub(super) fn claims(node: &Node) -> Option<Vec<Claim>> {
    node.seen.iter().rev().find_map(|effect| match effect {
        Effect::Claims(claims) => Some(claims.clone()),
        _ => None,
    })
}

pub(super) fn outcomes(node: &mut Node) -> Vec<(u64, Outcome)> {
    let resolved = node.look().into_iter().filter_map(|effect| match effect {
        Effect::Resolved(resolved) => Some((resolved.htlc, resolved.outcome)),
        _ => None,
    });
    resolved.collect()
}

pub(super) fn alarms(node: &Node) -> Vec<Alarm> {
    let alarms = node.seen.iter().filter_map(|effect| match effect {
        Effect::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    });
    alarms.collect()
}

pub(super) fn commitment(node: &mut Node) -> Transaction {
    let command = node.command_id();
    node.step(Event::Command(Command::ForceClose { command }));
    let sent = node.seen.iter().find_map(|effect| match effect {
        Effect::Broadcast { tx, why: Why::ForceClose } => Some(tx.clone()),
        _ => None,
    });
    sent.expect("a commitment")
}

/// A signed commitment of Alice's that she revoked, with her HTLC on it and with Bob's.
pub(super) fn cheat(world: &mut World) -> Transaction {
    let mut past = Node::new("alice of old", 1);
    past.channel = Some(world.nodes[ALICE].channel().clone());
    let tx = commitment(&mut past);
    world.nodes[ALICE].offer(1_000_000, 9);
    world.settle();
    tx
}

/// A transaction that shows preimages, one in each kind of witness.
pub(super) fn showing(outpoint: OutPoint, witness: &[&[u8]]) -> Transaction {
    let mut tx = funding_tx(script(7), Sat::from_sat(700));
    let mut input = tx.input[0].clone();
    input.previous_output = outpoint;
    input.witness = Witness::from_slice(witness);
    tx.input.push(input);
    tx
}

#[test]
fn a_cheat_in_the_mempool_is_answered_before_a_block_has_it() {
    let mut world = busy();
    let tx = cheat(&mut world);
    let bob = &mut world.nodes[BOB];
    let before = bob.channel().state().unwrap().clone();
    see(bob, &tx);
    let txid = tx.compute_txid();
    assert!(bob.notices().contains(&Notice::SpendSeen { txid, by: Spender::RevokedCommitment }));
    assert_eq!(alarms(bob), [Alarm::Breach { txid }]);
    let tip = BlockHeight(bob.height);
    let all = claims(bob).unwrap();
    let ready = all.iter().filter(|claim| claim.is_ready(tip)).count();
    assert_eq!(
        (all.len(), ready),
        (4, 3),
        "the balance and both HTLCs at once, ours after a block"
    );
    assert!(matches!(bob.channel().seen(&bob.env()), Some((_, Close::Revoked { .. }))));
    assert_eq!(bob.channel().state(), Some(&before), "nothing of it is recorded");
    // The next block does not have it: it is still there to take.
    bob.look();
    tick(bob, HEIGHT + 3);
    assert_eq!(claims(bob).unwrap().len(), 4);
    assert!(alarms(bob).is_empty());
    // The one after has.
    bob.look();
    bob.height += 1;
    let height = BlockHeight(bob.height);
    bob.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
    assert!(alarms(bob).is_empty(), "that was said");
    assert_eq!(bob.channel().stage(), Stage::OnChain);
    assert_eq!(claims(bob).unwrap().len(), 4);
}

#[test]
fn a_spend_that_vanishes_or_is_replaced_leaves_no_trace() {
    let mut world = busy();
    let tx = cheat(&mut world);
    let honest = commitment(&mut world.nodes[ALICE]);
    let bob = &mut world.nodes[BOB];
    bob.look();
    let before = (bob.channel().state().unwrap().clone(), bob.disk.records.len());
    see(bob, &tx);
    see(bob, &honest);
    assert_eq!(claims(bob), Some(Vec::new()), "nothing to take any more");
    let by = Spender::TheirCommitment;
    assert!(bob.notices().contains(&Notice::SpendSeen { txid: honest.compute_txid(), by }));
    // A late word about the first says nothing about the second.
    bob.step(Event::Chain(ChainFact::FundingSpendVanished { txid: tx.compute_txid() }));
    assert!(bob.channel().seen(&bob.env()).is_some());
    bob.look();
    see(bob, &tx);
    bob.step(Event::Chain(ChainFact::FundingSpendVanished { txid: tx.compute_txid() }));
    assert_eq!(claims(bob), Some(Vec::new()));
    assert!(bob.channel().seen(&bob.env()).is_none());
    assert_eq!((bob.channel().state().unwrap().clone(), bob.disk.records.len()), before);
    bob.look();
    tick(bob, HEIGHT + 3);
    assert_eq!(claims(bob), None);
    assert_eq!(bob.channel().stage(), Stage::Open);
}

#[test]
fn the_peers_commitment_in_the_mempool_is_bumped_through_our_anchor_on_it() {
    let mut world = busy();
    let tx = commitment(&mut world.nodes[ALICE]);
    let bob = &mut world.nodes[BOB];
    assert!(bob.channel().bump_seen(&bob.env()).is_none());
    see(bob, &tx);
    let claim = bob.channel().bump_seen(&bob.env()).unwrap();
    assert_eq!(claim.spend.outpoint.txid, tx.compute_txid());
    assert_eq!(claim.deadline, Some(BlockHeight(EXPIRY)));
    let alice = &mut world.nodes[ALICE];
    see(alice, &tx);
    assert!(alice.channel().bump_seen(&alice.env()).is_none(), "that one is `bump`'s");
}

#[test]
fn c47_a_preimage_in_the_mempool_fulfils_at_once_in_every_form() {
    let preimage = preimage(1);
    let forms: [&[&[u8]]; 3] = [
        &[&[], &[1; 72], &[1; 72], &preimage.0, &[2; 143]],
        &[&[1; 72], &preimage.0, &[2; 136]],
        // Batched, beside other things.
        &[&[1; 72], &[9; 32], &preimage.0, &[2; 136]],
    ];
    for form in forms {
        let mut world = busy();
        let tx = commitment(&mut world.nodes[BOB]);
        let alice = &mut world.nodes[ALICE];
        let height = BlockHeight(alice.height);
        alice.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
        alice.look();
        let outpoint = OutPoint { txid: tx.compute_txid(), vout: 0 };
        let spend = showing(outpoint, form);
        let seen = ChainFact::OutputSpendSeen { outpoint, tx: spend.clone() };
        alice.step(Event::Chain(seen.clone()));
        let fulfilled = Outcome::Fulfilled { preimage, attribution: None };
        assert_eq!(outcomes(alice), [(0, fulfilled)]);
        // Replaced, seen again, mined, restarted: it was said, and is kept until it is forgotten.
        alice.step(Event::Chain(seen));
        alice.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx: spend, height }));
        assert_eq!(outcomes(alice), []);
        alice.crash();
        assert_eq!(alice.channel().resolved().count(), 1);
        tick(alice, EXPIRY + 400);
        assert_eq!(outcomes(alice), []);
    }
}

#[test]
fn a_dry_run_says_what_a_close_costs_and_saves() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    let quiet = bob.channel().forecast(&bob.env()).unwrap();
    // Bob offered 30 000 sat; Alice's 20 000 are nobody's without the preimage.
    assert_eq!(quiet.saved, Sat::from_sat(30_000));
    assert_eq!(quiet.close_by, Some(BlockHeight(EXPIRY + 2)));
    assert_eq!(quiet.deadline, None, "nobody paid Bob for it");
    bob.step(Event::Command(Command::UpstreamExpires {
        htlc: 0,
        expiry: BlockHeight(EXPIRY + 80),
    }));
    let command = bob.command_id();
    let preimage = preimage(1);
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    let forecast = bob.channel().forecast(&bob.env()).unwrap();
    assert_eq!(forecast.saved, Sat::from_sat(50_000));
    assert_eq!(forecast.deadline, Some(BlockHeight(EXPIRY)));
    assert_eq!(forecast.close_by, Some(BlockHeight(EXPIRY - 18)));
    let sum: u64 = forecast.outputs.iter().map(|view| view.cost.to_sat()).sum();
    assert!(forecast.cost.to_sat() >= sum && forecast.cost.to_sat() < 20_000, "{forecast:#?}");
    // Balance and both HTLCs, less fees.
    let most = 400_000 - 30_000 + 50_000;
    assert!(forecast.home.to_sat() < most && forecast.home.to_sat() > most - 20_000);
    let delayed = |view: &&crate::onchain::OutputView| view.what == What::Balance(Side::Us);
    let balance = forecast.outputs.iter().find(delayed).unwrap();
    let OutputState::Waits { until } = balance.state else { panic!("{balance:?}") };
    assert!(until.0 > bob.height + 100);
    assert_eq!(forecast.all_home_at.unwrap().max(until), forecast.all_home_at.unwrap());
    // Nothing happened.
    assert_eq!(bob.channel().stage(), Stage::Open);
    commitment(bob);
    assert!(bob.channel().forecast(&bob.env()).is_some(), "until a block has it");
}

#[test]
fn what_must_ask_asks_once_and_again_when_it_is_another_matter() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    bob.policy.force_close = ForceClosePolicy::Ask;
    for height in EXPIRY + 2..EXPIRY + 10 {
        tick(bob, height);
    }
    let [Alarm::CloseAdvised(advice)] = &alarms(bob)[..] else { panic!("{:?}", alarms(bob)) };
    assert_eq!(advice.held, Held::Policy);
    assert_eq!(advice.forecast.saved, Sat::from_sat(30_000));
    assert!(matches!(advice.reason, CloseReason::HtlcDeadline { offered_by_us: true, .. }));
    assert_eq!(bob.channel().stage(), Stage::Open);
    // A preimage makes it a matter of more.
    bob.look();
    let command = bob.command_id();
    let preimage = preimage(1);
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    tick(bob, EXPIRY + 11);
    tick(bob, EXPIRY + 12);
    let [Alarm::CloseAdvised(advice)] = &alarms(bob)[..] else { panic!("{:?}", alarms(bob)) };
    assert_eq!(advice.forecast.saved, Sat::from_sat(50_000));
    commitment(bob);
}

#[test]
fn a_broken_rule_stops_a_channel_that_must_ask_and_closes_no_other_way() {
    for policy in [ForceClosePolicy::Ask, ForceClosePolicy::WhenMoneyAtRisk] {
        let mut world = busy();
        let bob = &mut world.nodes[BOB];
        bob.policy.force_close = policy;
        let channel_id = bob.channel().id();
        let error = wire::message::Error { channel_id, data: b"no".to_vec() };
        bob.step(Event::Peer(error.into()));
        assert_eq!(bob.channel().stage(), Stage::Frozen);
        assert!(matches!(&alarms(bob)[..], [Alarm::CloseAdvised(_)]));
        assert!(!bob.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. })));
        bob.look();
        tick(bob, EXPIRY + 2);
        let closes = matches!(bob.channel().stage(), Stage::Failing(_));
        assert_eq!(closes, policy == ForceClosePolicy::WhenMoneyAtRisk, "an HTLC is at its end");
    }
}

#[test]
fn a_number_that_is_used_again_has_no_deadline_of_its_predecessor() {
    let mut world = World::open(&Setup::default());
    let alice = &mut world.nodes[ALICE];
    alice.offer(1_000, 1);
    let expiry = BlockHeight(EXPIRY + 10);
    alice.step(Event::Command(Command::UpstreamExpires { htlc: 0, expiry }));
    // Never signed: the connection breaks, and the next one gets the number.
    world.reconnect();
    world.nodes[ALICE].offer(1_000, 2);
    world.settle();
    let alice = &mut world.nodes[ALICE];
    alice.look();
    tick(alice, EXPIRY + 50);
    assert_eq!(outcomes(alice), []);
}

#[test]
fn an_htlc_that_is_worth_less_than_its_claim_is_not_taken_to_layer_1() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(1_000_000, 1);
    world.settle();
    let alice = &mut world.nodes[ALICE];
    tick(alice, EXPIRY + 2);
    assert_eq!(alice.channel().stage(), Stage::Open);
    let [Alarm::CloseAdvised(advice)] = &alarms(alice)[..] else { panic!("{:?}", alarms(alice)) };
    assert_eq!(advice.held, Held::Cost);
    assert!(advice.forecast.cost > advice.forecast.saved);
}
