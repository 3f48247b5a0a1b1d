//! Coming back: every case of `channel_reestablish`, and what a restart must not lose.

use wire::message::{ChannelReestablish, Error as ErrorMessage};

use super::*;
use crate::effect::{CloseReason, Notice, Outcome};

fn kinds(node: &Node) -> Vec<&'static str> {
    node.outbox.iter().map(Message::kind).collect()
}

/// Both ends come back; the messages that follow the two `channel_reestablish`, by end.
fn come_back(world: &mut World) -> [Vec<&'static str>; 2] {
    for node in &mut world.nodes {
        node.disconnect();
    }
    for node in &mut world.nodes {
        node.connect();
    }
    for from in 0..2 {
        world.deliver(from);
    }
    world.nodes.iter_mut().for_each(Node::flush);
    [0, 1].map(|who| kinds(&world.nodes[who]))
}

fn fulfil(world: &mut World, who: usize, htlc: u64, payment: u64) {
    let command = world.nodes[who].command_id();
    world.nodes[who].step(Event::Command(Command::FulfillHtlc {
        command,
        htlc,
        preimage: preimage(payment),
        attribution: None,
    }));
}

#[test]
fn a_lost_signature_is_sent_again_with_its_updates() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.nodes[ALICE].step(Event::Commit);
    let sent: Vec<_> = world.nodes[ALICE].outbox.iter().cloned().collect();
    let [alice, bob] = come_back(&mut world);
    assert_eq!(alice, ["channel_ready", "update_add_htlc", "commitment_signed"]);
    assert_eq!(bob, ["channel_ready"]);
    // The same number, the same content, the same signatures.
    assert_eq!(world.nodes[ALICE].outbox.iter().skip(1).cloned().collect::<Vec<_>>(), sent);
    world.settle();
    assert_eq!(world.nodes[BOB].channel().incoming().count(), 1);
}

#[test]
fn a_lost_revocation_is_sent_again() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.nodes[ALICE].step(Event::Commit);
    world.deliver(ALICE);
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    assert_eq!(kinds(&world.nodes[BOB]), ["revoke_and_ack"]);
    let [alice, bob] = come_back(&mut world);
    assert_eq!(bob, ["revoke_and_ack"]);
    assert!(alice.is_empty());
    world.settle();
    assert_eq!(world.nodes[BOB].channel().incoming().count(), 1);
}

#[test]
fn both_lost_come_again_in_their_first_order() {
    // Bob revokes, then signs.
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.nodes[ALICE].step(Event::Commit);
    world.deliver(ALICE);
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    world.nodes[BOB].step(Event::Commit);
    assert_eq!(kinds(&world.nodes[BOB]), ["revoke_and_ack", "commitment_signed"]);
    let [_, bob] = come_back(&mut world);
    assert_eq!(bob, ["revoke_and_ack", "commitment_signed"]);
    world.settle();

    // Bob signs, then revokes.
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.nodes[ALICE].step(Event::Commit);
    world.nodes[BOB].offer(5_000_000, 2);
    world.nodes[BOB].step(Event::Commit);
    world.deliver(ALICE);
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    let first = ["update_add_htlc", "commitment_signed", "revoke_and_ack"];
    assert_eq!(kinds(&world.nodes[BOB]), first);
    for crash in [false, true] {
        if crash {
            world.nodes[BOB].crash();
        }
        let [_, bob] = come_back(&mut world);
        assert_eq!(bob, first, "the order survives a crash");
    }
    world.settle();
    assert_eq!(world.nodes[ALICE].channel().incoming().count(), 1);
    assert_eq!(world.nodes[BOB].channel().incoming().count(), 1);
}

#[test]
fn what_was_only_said_is_forgotten_and_its_number_used_again() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.nodes[ALICE].flush();
    world.deliver(ALICE);
    world.reconnect();
    let unsent = world.nodes[ALICE].look().into_iter().find_map(|effect| match effect {
        Effect::Resolved(resolved) => Some(resolved),
        _ => None,
    });
    let unsent = unsent.expect("the origin is told");
    assert_eq!((unsent.htlc, unsent.outcome), (0, Outcome::Unsent));
    assert_eq!(unsent.origin, origin(1));
    let command = world.nodes[ALICE].offer(11_000_000, 2);
    world.settle();
    assert_eq!(world.nodes[ALICE].answer(command), Ok(Answer::Offered { htlc: 0 }));
    let incoming: Vec<_> = world.nodes[BOB].channel().incoming().collect();
    assert_eq!(incoming[0].amount_msat, msat(11_000_000));
}

#[test]
fn a_removal_decided_while_away_is_said_on_return() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    world.nodes[BOB].disconnect();
    world.nodes[ALICE].disconnect();
    fulfil(&mut world, BOB, 0, 1);
    world.nodes[BOB].crash();
    let [_, bob] = come_back(&mut world);
    assert_eq!(bob, ["update_fulfill_htlc"]);
    world.settle();
    let [resolved] = &world.nodes[ALICE].channel().resolved().collect::<Vec<_>>()[..] else {
        panic!("one outcome")
    };
    assert!(matches!(resolved.outcome, Outcome::Fulfilled { .. }));
}

#[test]
fn a_preimage_that_was_seen_is_not_unseen() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    world.nodes[ALICE].look();
    fulfil(&mut world, BOB, 0, 1);
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    let told = |node: &mut Node| {
        (node.look().into_iter()).filter(|effect| matches!(effect, Effect::Resolved(_))).count()
    };
    assert_eq!(told(&mut world.nodes[ALICE]), 1, "at once, before anything is signed");
    world.nodes[ALICE].crash();
    let resolved: Vec<_> = world.nodes[ALICE].channel().resolved().collect();
    assert_eq!(resolved.len(), 1);
    assert_eq!(world.nodes[ALICE].channel().outgoing().count(), 0);
    world.reconnect();
    world.settle();
    assert_eq!(told(&mut world.nodes[ALICE]), 0, "and not again");
    world.nodes[ALICE].step(Event::Command(Command::ForgetResolved { htlc: 0 }));
    assert_eq!(world.nodes[ALICE].channel().resolved().count(), 0);
    assert!(world.nodes[ALICE].channel().state().unwrap().ledger.tombstones.is_empty());
}

#[test]
fn a_failure_is_told_only_when_nobody_can_bring_the_htlc_back() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    world.nodes[ALICE].look();
    let command = world.nodes[BOB].command_id();
    let reason = vec![1; 292];
    let fail = Command::FailHtlc { command, htlc: 0, reason, attribution: None };
    world.nodes[BOB].step(Event::Command(fail));
    world.nodes[BOB].step(Event::Commit);
    let told = |world: &World| {
        (world.nodes[ALICE].seen.iter()).any(|effect| matches!(effect, Effect::Resolved(_)))
    };
    // update_fail_htlc and commitment_signed arrive; Alice revokes and signs.
    world.deliver(BOB);
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    assert!(!told(&world));
    world.nodes[ALICE].step(Event::Commit);
    assert!(!told(&world), "Bob could still broadcast the commitment with it");
    world.settle();
    assert!(told(&world));
}

/// Bob's disk is replaced by what it was before a payment.
fn restored_from_the_past() -> World {
    let mut world = World::open(&Setup::default());
    let then = world.nodes[BOB].disk.clone();
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    world.nodes[BOB].disk = then;
    world.nodes[BOB].crash();
    world.nodes[ALICE].disconnect();
    world
}

#[test]
fn data_that_is_proved_stale_is_never_broadcast() {
    let mut world = restored_from_the_past();
    world.nodes[ALICE].connect();
    world.nodes[BOB].connect();
    world.deliver(ALICE);
    let bob = &mut world.nodes[BOB];
    bob.flush();
    assert_eq!(bob.channel().stage(), Stage::DataLoss);
    assert!(bob.seen.iter().any(|effect| matches!(effect, Effect::Alarm(Alarm::DataLoss { .. }))));
    assert_eq!(kinds(bob), ["channel_reestablish", "error"]);
    let command = bob.command_id();
    bob.step(Event::Command(Command::ForceClose { command }));
    assert_eq!(bob.answer(command), Err(Refusal::Stale));
    // The other end, which is up to date, closes when it is asked to.
    world.deliver(BOB);
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    assert!(matches!(world.nodes[ALICE].channel().stage(), Stage::Failing(_)));
    let bob = &mut world.nodes[BOB];
    let channel_id = bob.channel().id();
    bob.step(Event::Peer(ErrorMessage { channel_id, data: vec![] }.into()));
    bob.crash();
    let step = bob.channel.take().unwrap().resume(&bob.env());
    bob.stage(step);
    bob.flush();
    let broadcast = bob.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }));
    assert!(!broadcast);
}

/// What an end answers to a `channel_reestablish` that was changed on its way.
fn hear(change: impl Fn(&mut ChannelReestablish)) -> World {
    let mut world = World::open(&Setup::default());
    for payment in 1..3 {
        world.nodes[ALICE].offer(10_000_000, payment);
        world.settle();
    }
    for node in &mut world.nodes {
        node.disconnect();
        node.look();
    }
    world.nodes.iter_mut().for_each(Node::connect);
    let Some(Message::ChannelReestablish(mut said)) = world.nodes[ALICE].outbox.pop_front() else {
        panic!("alice comes back")
    };
    change(&mut said);
    world.nodes[BOB].step(Event::Peer(Message::ChannelReestablish(said)));
    world
}

#[test]
fn numbers_that_cannot_be_fail_the_channel() {
    type Change = fn(&mut ChannelReestablish);
    let cases: &[(Change, PeerFault)] = &[
        (|said| said.next_commitment_number = 0, PeerFault::AskedToFail),
        (|said| said.next_commitment_number += 1, PeerFault::BadCommitmentNumber),
        (|said| said.next_commitment_number -= 1, PeerFault::BadCommitmentNumber),
        (|said| said.next_commitment_number = u64::MAX, PeerFault::BadCommitmentNumber),
        (|said| said.your_last_per_commitment_secret = [9; 32], PeerFault::BadLastSecret),
        // A claim that we are behind, without proof.
        (|said| said.next_revocation_number += 5, PeerFault::BadLastSecret),
        (|said| said.next_revocation_number = u64::MAX, PeerFault::BadLastSecret),
        (
            |said| {
                said.next_revocation_number = 0;
                said.your_last_per_commitment_secret = [0; 32];
            },
            PeerFault::BadRevocationNumber,
        ),
    ];
    for (change, fault) in cases {
        let world = hear(change);
        let bob = &world.nodes[BOB];
        assert!(bob.notices().contains(&Notice::Fault(*fault)), "{fault:?}: {:?}", bob.seen);
        let reason = CloseReason::Fault(*fault);
        assert_eq!(bob.channel().stage(), Stage::Failing(reason));
        let broadcast = bob
            .seen
            .iter()
            .any(|effect| matches!(effect, Effect::Broadcast { why: Why::ForceClose, .. }));
        assert!(broadcast, "our data is good: it goes to Layer 1");
    }
}

#[test]
fn nothing_is_heard_before_channel_reestablish() {
    let mut world = World::open(&Setup::default());
    for node in &mut world.nodes {
        node.disconnect();
        node.connect();
    }
    let command = world.nodes[ALICE].offer(1_000_000, 1);
    world.nodes[ALICE].flush();
    assert_eq!(world.nodes[ALICE].answer(command), Err(Refusal::NotConnected));
    let channel_id = world.nodes[BOB].channel().id();
    let early = wire::message::UpdateFee { channel_id, feerate_per_kw: FeeratePerKw(300) };
    world.nodes[BOB].step(Event::Peer(early.into()));
    assert!(world.nodes[BOB].notices().contains(&Notice::Fault(PeerFault::NotReestablished)));
    assert!(world.nodes[BOB].seen.iter().any(|effect| matches!(effect, Effect::Disconnect)));
}

#[test]
fn a_failed_channel_says_its_error_again() {
    let mut world = World::open(&Setup::default());
    let command = world.nodes[ALICE].command_id();
    world.nodes[ALICE].step(Event::Command(Command::ForceClose { command }));
    world.nodes[ALICE].crash();
    world.nodes[ALICE].connect();
    assert_eq!(kinds(&world.nodes[ALICE]), ["error"]);
    let step = world.nodes[ALICE].channel.take().unwrap().resume(&world.nodes[ALICE].env());
    world.nodes[ALICE].stage(step);
    world.nodes[ALICE].flush();
    assert!(
        world.nodes[ALICE]
            .seen
            .iter()
            .any(|effect| matches!(effect, Effect::Broadcast { why: Why::ForceClose, .. }))
    );
}

#[test]
fn an_error_from_the_peer_fails_the_channel() {
    let mut world = World::open(&Setup::default());
    let channel_id = world.nodes[BOB].channel().id();
    let data = b"no\x07".to_vec();
    world.nodes[BOB].step(Event::Peer(ErrorMessage { channel_id, data }.into()));
    assert_eq!(world.nodes[BOB].channel().stage(), Stage::Failing(CloseReason::PeerError));
    let said = Notice::PeerSaid { error: true, text: "no?".into() };
    assert!(world.nodes[BOB].notices().contains(&said));
}
