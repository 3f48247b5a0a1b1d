//! Losses over one's own state: what the disk lost, what the peer claims of it, what the clock says.

use wire::message::ChannelReestablish;

use super::*;
use crate::effect::CloseReason;
use crate::signer::Signer as _;

/// Two payments that came through, and both ends say hello again; what Alice says is changed on its way to Bob.
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

fn broadcasts(node: &Node) -> bool {
    node.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }))
}

#[test]
fn c35_that_we_are_late_is_believed_with_proof_alone_and_nobody_waits_for_ever() {
    // Eclair #3360: a peer said so without proof, and the channel waited for it to close.
    let proof = {
        let alice = hear(|_| {}).nodes.into_iter().next().unwrap();
        // The secret that Bob would give away with his next but four revocation.
        InMemorySigner::new(&[2; 32], 1, Memory::default())
            .unwrap()
            .reveal(alice.channel().state().unwrap().theirs + 4)
            .unwrap()
    };
    for (secret, proven) in [(proof, true), ([9; 32], false), ([0; 32], false)] {
        let world = hear(|said| {
            said.next_revocation_number += 5;
            said.your_last_per_commitment_secret = secret;
        });
        let bob = &world.nodes[BOB];
        let lost = bob.channel().stage() == Stage::DataLoss;
        assert_eq!(lost, proven, "{:?}", bob.channel().stage());
        let faulty = Stage::Failing(CloseReason::Fault(PeerFault::BadLastSecret));
        assert!(lost || bob.channel().stage() == faulty);
        assert_eq!(
            broadcasts(bob),
            !proven,
            "with proof nothing, without the newest that both signed"
        );
    }
}

#[test]
fn c36_what_was_delayed_by_the_disk_comes_again_in_the_order_in_which_it_was_decided() {
    // LDK, again and again: after a write that took long, a signature and a revocation changed places.
    for cut in 0..12 {
        let mut world = World::open(&Setup::default());
        world.nodes[ALICE].offer(20_000_000, 1);
        world.settle();
        // Both add and sign at the same time, and no disk is quick.
        let (durable, _) = (world.nodes[BOB].disk.durable, world.nodes[BOB].offer(30_000_000, 2));
        world.nodes[ALICE].offer(40_000_000, 3);
        for node in &mut world.nodes {
            node.think(Event::Commit);
        }
        world.nodes[ALICE].flush();
        while world.deliver(ALICE) {}
        world.nodes[BOB].think(Event::Commit);
        let all = world.nodes[BOB].disk.records.len();
        let upto = (durable + cut).min(all);
        world.nodes[BOB].flush_to(upto);
        let told = format!("{:?}", world.nodes[BOB].outbox);
        // Bob dies; Alice heard what had left by then, or nothing.
        for heard in [true, false] {
            let mut world =
                World { nodes: [again(&world.nodes[ALICE], 1), again(&world.nodes[BOB], 2)] };
            if heard {
                while world.deliver(BOB) {
                    world.nodes[ALICE].flush();
                }
            }
            world.nodes[BOB].crash();
            world.nodes[ALICE].disconnect();
            world.reconnect();
            world.settle();
            for node in &world.nodes {
                assert_eq!(node.channel().stage(), Stage::Open, "{cut}, {heard}: {told:?}");
            }
            let [alice, bob] = [ALICE, BOB].map(|who| world.nodes[who].channel());
            assert_eq!(alice.balances().map(|(us, them)| (them, us)), bob.balances());
            assert_eq!(alice.state().unwrap().ours, bob.state().unwrap().theirs);
            assert_eq!(alice.outgoing().count(), bob.incoming().count());
        }
    }
}

/// The same node once more, with all that waits.
fn again(node: &Node, byte: u8) -> Node {
    let mut copy = Node::new(node.name, byte);
    copy.channel = node.channel.clone();
    copy.disk = node.disk.clone();
    copy.signer =
        InMemorySigner::new(&[byte; 32], 1, node.channel().signer_memory()).expect("a signer");
    copy.outbox = node.outbox.clone();
    (copy.up, copy.height, copy.connection) = (node.up, node.height, node.connection);
    copy
}

#[test]
fn c38_what_the_disk_did_not_take_was_said_to_nobody_and_is_forgotten() {
    // Eclair #3337: memory was ahead of the disk after a write that failed.
    let mut failed = 0;
    for record in 0..40 {
        let mut world = World::open(&Setup::default());
        let before = world.nodes[ALICE].disk.durable;
        world.nodes[ALICE].offer(20_000_000, 1);
        world.nodes[BOB].offer(30_000_000, 2);
        // All goes well until the disk takes no more.
        for _ in 0..20 {
            for who in 0..2 {
                world.nodes[who].think(Event::Commit);
                let limit = if who == ALICE { before + record } else { usize::MAX };
                world.nodes[who].flush_to(limit);
                while world.deliver(who) {
                    let limit = if who == BOB { before + record } else { usize::MAX };
                    world.nodes[1 - who].flush_to(limit);
                }
            }
        }
        let alice = &mut world.nodes[ALICE];
        let (kept, all) = (alice.disk.durable, alice.disk.records.len());
        if kept == all {
            break;
        }
        failed += 1;
        assert!(!alice.waiting.is_empty(), "what it was to cause waits for ever");
        let disk = alice.rebuilt(kept).unwrap();
        alice.crash();
        assert_eq!(alice.channel().state(), disk.state());
        // The peer has nothing that this state does not know: both go on.
        world.nodes[BOB].disconnect();
        world.reconnect();
        world.settle();
        for node in &world.nodes {
            assert_eq!(node.channel().stage(), Stage::Open, "{record}: {:?}", node.notices());
        }
        let [alice, bob] = [ALICE, BOB].map(|who| world.nodes[who].channel());
        assert_eq!(alice.state().unwrap().ours, bob.state().unwrap().theirs);
        assert_eq!(alice.state().unwrap().theirs, bob.state().unwrap().ours);
    }
    assert!(failed > 3, "{failed}");
}

#[test]
fn c66_a_clock_that_jumps_moves_no_deadline() {
    // Time was used where blocks are meant: a clock that was set back kept a channel open for too long.
    let told = |clock: fn(u32) -> u64| {
        let mut world = busy();
        let bob = &mut world.nodes[BOB];
        let command = bob.command_id();
        let preimage = preimage(1);
        let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
        bob.step(Event::Command(fulfill));
        bob.disconnect();
        bob.look();
        let mut told = Vec::new();
        for height in bob.height..EXPIRY + 30 {
            bob.now = clock(height);
            tick(bob, height);
            told.extend(bob.look().into_iter().map(|effect| (height, format!("{effect:?}"))));
        }
        let closed = told.iter().find(|(_, effect)| effect.starts_with("Broadcast"));
        let at = closed.map(|(height, _)| *height);
        assert_eq!(at, Some(EXPIRY - 18), "eighteen blocks before its end");
        told
    };
    let usual = told(|height| 1_700_000_000 + u64::from(height) * 600);
    let jumps: [fn(u32) -> u64; 5] = [
        |_| 0,
        |_| u64::MAX,
        |height| 1_700_000_000 - u64::from(height) * 86_400,
        |height| if height.is_multiple_of(2) { 0 } else { 4_000_000_000 },
        |height| 1_700_000_000 + u64::from(height) * 86_400 * 30,
    ];
    for clock in jumps {
        assert_eq!(told(clock), usual);
    }
}

#[test]
fn c25_a_settle_that_is_asked_for_twice_is_recorded_once_and_closes_nothing() {
    // Eclair #3336: it was stored twice, and much later the second one closed the channel.
    let settle = |node: &mut Node| {
        let (command, preimage) = (node.command_id(), preimage(1));
        let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
        node.step(Event::Command(fulfill));
        node.answer(command)
    };
    // Again after so many messages, and with a restart before it or without.
    for (messages, restart) in (0..6).flat_map(|messages| [(messages, false), (messages, true)]) {
        let mut world = busy();
        assert_eq!(settle(&mut world.nodes[BOB]), Ok(Answer::Done));
        let mut left = messages;
        while left > 0 {
            world.nodes.iter_mut().for_each(|node| node.step(Event::Commit));
            if !(world.deliver(BOB) || world.deliver(ALICE)) {
                break;
            }
            world.nodes.iter_mut().for_each(Node::flush);
            left -= 1;
        }
        if restart {
            world.nodes[BOB].crash();
            world.nodes[ALICE].disconnect();
            world.reconnect();
        }
        let again = settle(&mut world.nodes[BOB]);
        let known = matches!(
            again,
            Err(Refusal::AlreadyRemoved { htlc: 0 } | Refusal::UnknownHtlc { htlc: 0 })
        );
        assert!(known, "{messages}, {restart}: {again:?}");
        world.settle();
        for node in &world.nodes {
            assert_eq!(node.channel().stage(), Stage::Open, "{messages}: {:?}", node.notices());
            let rebuilt = node.rebuilt(node.disk.durable).expect("a record");
            assert_eq!(rebuilt.balances(), node.channel().balances());
        }
        let [alice, bob] = [ALICE, BOB].map(|who| world.nodes[who].channel());
        assert_eq!((alice.outgoing().count(), bob.incoming().count()), (0, 0), "it is settled");
        assert_eq!(bob.balances().map(|(us, _)| us), Some(msat(390_000_000)));
    }
}
