//! Data that may be stale: what a restored copy does and never does.

use wire::message::{ChannelReestablish, Error as ErrorMessage};

use super::*;

fn kinds(node: &Node) -> Vec<&'static str> {
    node.outbox.iter().map(Message::kind).collect()
}

fn quarantine(node: &mut Node) {
    let mut channel = node.channel.take().unwrap();
    let record = channel.quarantine();
    assert!(!record.is_empty());
    node.disk.records.push(record);
    let step = channel.resume(&node.env());
    node.stage(step);
    node.flush();
}

/// Bob comes back with what he has and with a doubt about it.
fn doubted(mut world: World) -> World {
    world.nodes[BOB].crash();
    world.nodes[ALICE].disconnect();
    world.nodes[BOB].look();
    quarantine(&mut world.nodes[BOB]);
    world
}

/// Bob's disk is replaced by what it was before a payment, and somebody noticed.
fn restored() -> World {
    let mut world = World::open(&Setup::default());
    let then = world.nodes[BOB].disk.clone();
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    world.nodes[BOB].disk = then;
    doubted(world)
}

fn broadcasts(node: &Node) -> bool {
    node.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { why: Why::ForceClose, .. }))
}

fn alarmed(node: &Node) -> bool {
    node.seen.iter().any(|effect| matches!(effect, Effect::Alarm(Alarm::Quarantined { .. })))
}

#[test]
fn current_data_leaves_quarantine_with_the_first_word_of_the_peer() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    let mut world = doubted(world);
    world.nodes[BOB].connect();
    assert!(kinds(&world.nodes[BOB]).is_empty(), "the peer's numbers come first");
    assert!(!world.nodes[BOB].channel().is_usable());
    world.nodes[ALICE].connect();
    world.settle();
    let bob = &mut world.nodes[BOB];
    assert!(!bob.channel().is_quarantined() && bob.channel().is_usable());
    bob.crash();
    assert!(!bob.channel().is_quarantined(), "it is a fact");
}

#[test]
fn stale_data_is_proved_stale_and_the_peer_is_asked_to_close() {
    let mut world = restored();
    world.nodes[BOB].connect();
    world.nodes[ALICE].connect();
    world.deliver(ALICE);
    let bob = &mut world.nodes[BOB];
    bob.flush();
    assert_eq!(bob.channel().stage(), Stage::DataLoss);
    assert_eq!(kinds(bob), ["channel_reestablish", "error"]);
    world.settle();
    assert!(broadcasts(&world.nodes[ALICE]) && !broadcasts(&world.nodes[BOB]));
}

#[test]
fn whoever_has_lost_data_asks_by_number_zero_on_the_next_connection() {
    let mut world = restored();
    world.nodes[BOB].connect();
    world.nodes[ALICE].connect();
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    // The error is lost with the connection.
    for node in &mut world.nodes {
        node.disconnect();
        node.outbox.clear();
    }
    world.nodes[BOB].connect();
    let Some(Message::ChannelReestablish(said)) = world.nodes[BOB].outbox.front() else {
        panic!("channel_reestablish comes first")
    };
    assert_eq!(said.next_commitment_number, 0);
    world.nodes[ALICE].connect();
    world.settle();
    assert!(broadcasts(&world.nodes[ALICE]) && !broadcasts(&world.nodes[BOB]));
}

#[test]
fn nothing_makes_a_restored_copy_broadcast() {
    let mut world = restored();
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    bob.step(Event::Command(Command::ForceClose { command }));
    assert_eq!(bob.answer(command), Err(Refusal::Quarantined));
    let channel_id = bob.channel().id();
    bob.connect();
    bob.step(Event::Peer(ErrorMessage { channel_id, data: vec![] }.into()));
    assert!(alarmed(bob));
    bob.look();
    bob.crash();
    let step = bob.channel.take().unwrap().resume(&bob.env());
    bob.stage(step);
    bob.flush();
    assert!(bob.channel().is_quarantined(), "it survives a restart");
    assert!(!broadcasts(bob));
}

#[test]
fn a_deadline_in_quarantine_is_an_alarm_and_no_broadcast() {
    let mut world = World::open(&Setup::default());
    world.nodes[BOB].offer(10_000_000, 1);
    world.settle();
    let mut world = doubted(world);
    let bob = &mut world.nodes[BOB];
    bob.height = 5_000;
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(alarmed(bob) && !broadcasts(bob));
    // A human who takes the risk lifts it; then the deadline counts.
    let command = bob.command_id();
    bob.step(Event::Command(Command::LiftQuarantine { command }));
    assert_eq!(bob.answer(command), Ok(Answer::Done));
    assert!(!bob.channel().is_quarantined());
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(broadcasts(bob));
}

#[test]
fn two_ends_in_quarantine_speak_after_two_blocks() {
    let mut world = World::open(&Setup::default());
    for node in &mut world.nodes {
        node.crash();
    }
    for node in &mut world.nodes {
        quarantine(node);
        node.connect();
        node.height += 1;
        node.step(Event::Chain(ChainFact::Tip));
        assert!(node.outbox.is_empty());
        node.height += 1;
        node.step(Event::Chain(ChainFact::Tip));
        assert_eq!(kinds(node), ["channel_reestablish"]);
    }
    world.settle();
    for node in &world.nodes {
        assert!(!node.channel().is_quarantined() && node.channel().is_usable());
    }
}

/// Bob, whose data is current but doubted, hears these numbers.
fn hear(change: impl Fn(&mut ChannelReestablish)) -> World {
    let mut world = World::open(&Setup::default());
    for payment in 1..3 {
        world.nodes[ALICE].offer(1_000_000, payment);
        world.settle();
    }
    let mut world = doubted(world);
    world.nodes[BOB].connect();
    world.nodes[ALICE].connect();
    let Some(Message::ChannelReestablish(mut said)) = world.nodes[ALICE].outbox.pop_front() else {
        panic!("channel_reestablish comes first")
    };
    change(&mut said);
    world.nodes[BOB].step(Event::Peer((*said).into()));
    world
}

#[test]
fn numbers_that_prove_nothing_leave_the_quarantine_as_it_is() {
    let changes: [fn(&mut ChannelReestablish); 4] = [
        // It asks us to close: we may not.
        |said| said.next_commitment_number = 0,
        // It claims that we are late without a proof.
        |said| said.next_revocation_number += 1,
        // It expects a commitment that we never signed, as far as we know.
        |said| said.next_commitment_number += 1,
        // It is behind.
        |said| said.next_commitment_number -= 1,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let world = hear(change);
        let bob = &world.nodes[BOB];
        assert!(bob.channel().is_quarantined(), "{place}");
        assert!(alarmed(bob) && !broadcasts(bob), "{place}");
        assert_eq!(kinds(bob), ["channel_reestablish", "error"], "{place}");
    }
}

#[test]
fn a_channel_that_was_failing_before_stays_so() {
    let mut world = World::open(&Setup::default());
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    bob.step(Event::Command(Command::ForceClose { command }));
    bob.crash();
    assert!(bob.channel.as_mut().unwrap().quarantine().is_empty());
    assert!(!bob.channel().is_quarantined());
}

#[test]
fn a_peer_that_lost_its_state_gets_our_current_commitment_confirmed() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    for node in &mut world.nodes {
        node.disconnect();
        node.connect();
    }
    let Some(Message::ChannelReestablish(mut said)) = world.nodes[ALICE].outbox.pop_front() else {
        panic!("channel_reestablish comes first")
    };
    said.next_commitment_number = 0;
    let bob = &mut world.nodes[BOB];
    bob.step(Event::Peer((*said).into()));
    assert!(broadcasts(bob));
}

/// Somebody proves to a running node that its journal is an older copy.
fn doubt(node: &mut Node) {
    let command = node.command_id();
    node.step(Event::Command(Command::Doubt { command }));
    assert_eq!(node.answer(command), Ok(Answer::Done));
}

#[test]
fn a_doubt_that_comes_late_holds_for_channels_whose_peers_were_not_heard_yet() {
    let mut world = World::open(&Setup::default());
    // A channel that was made here, and one whose numbers fitted since, are no older copies.
    doubt(&mut world.nodes[ALICE]);
    for node in &mut world.nodes {
        node.crash();
        node.connect();
    }
    world.settle();
    doubt(&mut world.nodes[ALICE]);
    world.nodes[ALICE].disconnect();
    doubt(&mut world.nodes[ALICE]);
    assert!(!world.nodes[ALICE].channel().is_quarantined());
    // One that was only read is doubted, and the doubt survives.
    let bob = &mut world.nodes[BOB];
    bob.crash();
    doubt(bob);
    assert!(bob.channel().is_quarantined());
    bob.crash();
    assert!(bob.channel().is_quarantined());
    let command = bob.command_id();
    bob.step(Event::Command(Command::ForceClose { command }));
    assert_eq!(bob.answer(command), Err(Refusal::Quarantined));
    assert!(!broadcasts(bob));
}

#[test]
fn a_doubt_between_our_numbers_and_the_peers_ends_with_the_peers() {
    let mut world = World::open(&Setup::default());
    for node in &mut world.nodes {
        node.crash();
        node.connect();
    }
    doubt(&mut world.nodes[BOB]);
    assert!(world.nodes[BOB].channel().is_quarantined());
    world.settle();
    for node in &world.nodes {
        assert!(!node.channel().is_quarantined() && node.channel().is_usable());
    }
}

#[test]
fn a_channel_that_is_lost_or_closed_is_in_no_quarantine() {
    let mut world = World::open(&Setup::default());
    world.nodes[BOB].crash();
    doubt(&mut world.nodes[BOB]);
    let command = world.nodes[ALICE].command_id();
    world.nodes[ALICE].step(Event::Command(Command::ForceClose { command }));
    let close = world.nodes[ALICE].seen.iter().find_map(|effect| match effect {
        Effect::Broadcast { tx, why: Why::ForceClose } => Some(tx.clone()),
        _ => None,
    });
    let height = BlockHeight(world.nodes[BOB].height);
    let tx = close.expect("a commitment");
    world.nodes[BOB].step(Event::Chain(ChainFact::FundingSpent { tx, height }));
    assert!(!world.nodes[BOB].channel().is_quarantined(), "nothing of ours could be broadcast");
}
