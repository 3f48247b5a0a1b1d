//! Closing together: who begins, what waits, which fee, and what survives.

use wire::message::{ClosingSigned, FeeRange, Shutdown};

use super::*;
use crate::effect::Notice;
use crate::fact::CloseTerms;

fn shut_down(world: &mut World, who: usize) -> CommandId {
    let command = world.nodes[who].command_id();
    world.nodes[who].step(Event::Command(Command::Shutdown {
        command,
        script: None,
        feerate: FeeratePerKw(2_000),
    }));
    command
}

/// The closing transaction a node lets go.
fn broadcast(node: &Node) -> Option<Transaction> {
    node.seen.iter().rev().find_map(|effect| match effect {
        Effect::Broadcast { tx, why: Why::MutualClose } => Some(tx.clone()),
        _ => None,
    })
}

fn assert_closed(world: &World) -> Transaction {
    let [alice, bob] =
        [0, 1].map(|who| broadcast(&world.nodes[who]).expect("a closing transaction"));
    assert_eq!(alice.compute_txid(), bob.compute_txid());
    for node in &world.nodes {
        assert_eq!(node.channel().stage(), Stage::MutuallyClosed, "{}", node.name);
    }
    let output = world.nodes[0].channel().state().unwrap().funding_output().unwrap().to_txout();
    for tx in [&alice, &bob] {
        assert!(is_valid(tx, &output), "Bitcoin takes it");
    }
    alice
}

#[test]
fn either_end_closes() {
    for who in [ALICE, BOB] {
        let mut world = World::open(&Setup::default());
        let command = shut_down(&mut world, who);
        world.settle();
        assert_eq!(world.nodes[who].answer(command), Ok(Answer::Done));
        let tx = assert_closed(&world);
        let paid: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
        let fee = 1_000_000 - paid;
        let closed = world.nodes[ALICE].channel().state().unwrap().closed.unwrap().0;
        assert_eq!(closed, CloseTerms { fee_sat: fee, pays_us: true, pays_them: true });
        // The funder pays.
        assert!(tx.output.iter().any(|output| {
            output.value == Sat::from_sat(400_000) && output.script_pubkey == script(2)
        }));
        let asked = world.nodes[1 - who].notices();
        assert!(asked.contains(&Notice::ShuttingDown { by_us: false }));
    }
}

#[test]
fn a_close_waits_for_the_last_htlc_and_takes_no_new_one() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(50_000_000, 1);
    world.settle();
    shut_down(&mut world, BOB);
    world.settle();
    for node in &mut world.nodes {
        assert_eq!(node.channel().stage(), Stage::ShuttingDown);
        let command = node.offer(1_000_000, 2);
        node.flush();
        assert_eq!(node.answer(command), Err(Refusal::Closing));
    }
    let command = world.nodes[BOB].command_id();
    world.nodes[BOB].step(Event::Command(Command::FulfillHtlc {
        command,
        htlc: 0,
        preimage: preimage(1),
        attribution: None,
    }));
    world.settle();
    let tx = assert_closed(&world);
    assert!(tx.output.iter().any(|output| output.value == Sat::from_sat(450_000)));
}

#[test]
fn shutdown_waits_until_what_was_said_is_signed() {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(50_000_000, 1);
    let command = shut_down(&mut world, ALICE);
    let kinds: Vec<_> = world.nodes[ALICE].outbox.iter().map(Message::kind).collect();
    assert_eq!(kinds, ["update_add_htlc"]);
    world.nodes[ALICE].step(Event::Commit);
    let kinds: Vec<_> = world.nodes[ALICE].outbox.iter().map(Message::kind).collect();
    assert_eq!(kinds, ["update_add_htlc", "commitment_signed", "shutdown"]);
    assert_eq!(world.nodes[ALICE].answer(command), Ok(Answer::Done));
}

#[test]
fn a_broken_connection_starts_the_fee_talks_again() {
    let mut world = World::open(&Setup::default());
    shut_down(&mut world, ALICE);
    // Alice's shutdown and Bob's arrive, Alice's closing_signed is lost.
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    assert!(matches!(world.nodes[ALICE].outbox.front(), Some(Message::ClosingSigned(_))));
    world.reconnect();
    world.settle();
    assert_closed(&world);
}

#[test]
fn a_crash_after_the_close_broadcasts_again() {
    let mut world = World::open(&Setup::default());
    shut_down(&mut world, BOB);
    world.settle();
    let tx = assert_closed(&world);
    for node in &mut world.nodes {
        node.look();
        node.crash();
        let step = node.channel.take().unwrap().resume(&node.env());
        node.stage(step);
        node.flush();
        assert_eq!(broadcast(node).map(|tx| tx.compute_txid()), Some(tx.compute_txid()));
    }
    // The talks may start again on the next connection, and end the same.
    world.reconnect();
    world.settle();
    assert_closed(&world);
}

#[test]
fn a_close_whose_smaller_side_is_dust_has_one_output() {
    let setup = Setup { push: msat(300_000), ..Setup::default() };
    let mut world = World::open(&setup);
    shut_down(&mut world, ALICE);
    world.settle();
    let tx = assert_closed(&world);
    assert_eq!(tx.output.len(), 1);
}

#[test]
fn a_script_that_shutdown_may_not_carry_is_refused_both_ways() {
    let mut world = World::open(&Setup::default());
    let command = world.nodes[ALICE].command_id();
    let bad = ScriptBuf::from_bytes(vec![0x76, 0xa9, 20]);
    world.nodes[ALICE].step(Event::Command(Command::Shutdown {
        command,
        script: Some(bad.clone()),
        feerate: FEERATE,
    }));
    assert_eq!(world.nodes[ALICE].answer(command), Err(Refusal::BadScript));
    let channel_id = world.nodes[ALICE].channel().id();
    let bob = &mut world.nodes[BOB];
    bob.step(Event::Peer(Shutdown { channel_id, scriptpubkey: bad }.into()));
    assert!(bob.notices().contains(&Notice::Fault(PeerFault::BadShutdownScript)));
    assert_eq!(bob.channel().stage(), Stage::Open, "the channel lives");
}

#[test]
fn a_promised_script_is_kept_and_demanded() {
    let setup = Setup::default();
    let mut world = World::asking(&setup);
    let mut terms = setup.accept_terms();
    terms.upfront_shutdown = Some(script(7));
    let Some(Message::OpenChannel(asked)) = world.nodes[ALICE].outbox.pop_front() else { panic!() };
    let step = Channel::accept(&asked, terms, &world.nodes[BOB].env()).unwrap();
    world.nodes[BOB].stage(step);
    world.settle_wire();
    world.fund();
    world.settle_wire();
    let channel_id = world.nodes[BOB].channel().id();
    let other = Shutdown { channel_id, scriptpubkey: script(8) };
    world.nodes[ALICE].think(Event::Peer(other.into()));
    world.nodes[ALICE].flush();
    assert!(
        world.nodes[ALICE].notices().contains(&Notice::Fault(PeerFault::UpfrontScriptMismatch))
    );
    world.reconnect();
    shut_down(&mut world, BOB);
    let said = world.nodes[BOB].outbox.iter().find_map(|message| match message {
        Message::Shutdown(shutdown) => Some(shutdown.scriptpubkey.clone()),
        _ => None,
    });
    assert_eq!(said, Some(script(7)));
}

/// Bob is played by hand: what he answers to Alice's first proposal.
fn answer_with(fee: impl Fn(u64) -> u64, range: Option<(u64, u64)>) -> World {
    let mut world = World::open(&Setup::default());
    shut_down(&mut world, ALICE);
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    let Some(Message::ClosingSigned(first)) = world.nodes[ALICE].outbox.pop_front() else {
        panic!("alice proposes")
    };
    counter(&mut world, fee(first.fee_satoshis.to_sat()), range);
    world
}

/// Bob signs a close with this fee, whatever his machine thinks of it.
fn counter(world: &mut World, fee: u64, range: Option<(u64, u64)>) {
    let bob = &world.nodes[BOB];
    let state = bob.channel().state().unwrap();
    let payout =
        |script: ScriptBuf, side| tx::Payout { script, balance: state.ledger.settled(side) };
    let close = tx::closing::LegacyClose {
        funding: state.funding_output().unwrap(),
        ours: payout(script(2), clock::Side::Us),
        theirs: payout(script(1), clock::Side::Them),
        funder: clock::Side::Them,
    };
    let tx = close.build(Sat::from_sat(fee), Sat::from_sat(546), None).unwrap();
    let signature = signer::Signer::sign_close(&bob.signer, &tx).unwrap();
    let signed = ClosingSigned {
        channel_id: bob.channel().id(),
        fee_satoshis: Sat::from_sat(fee),
        signature,
        fee_range: range.map(|(min_fee_satoshis, max_fee_satoshis)| FeeRange {
            min_fee_satoshis,
            max_fee_satoshis,
        }),
    };
    world.nodes[ALICE].step(Event::Peer(signed.into()));
}

#[test]
fn the_funder_takes_a_fee_from_the_overlap_and_says_it_again() {
    let mut world = answer_with(|fee| fee + 100, Some((0, 100_000)));
    let alice = &mut world.nodes[ALICE];
    assert!(matches!(alice.outbox.front(), Some(Message::ClosingSigned(_))));
    assert!(broadcast(alice).is_some());
}

#[test]
fn ranges_without_overlap_warn_and_a_fee_outside_fails() {
    let world = answer_with(|fee| fee * 100, Some((500_000, 600_000)));
    assert!(world.nodes[ALICE].notices().contains(&Notice::Fault(PeerFault::NoCommonFee)));
    assert_eq!(world.nodes[ALICE].channel().stage(), Stage::ShuttingDown);
    let world = answer_with(|fee| fee * 11, Some((0, 100_000)));
    assert!(world.nodes[ALICE].notices().contains(&Notice::Fault(PeerFault::BadClosingFee)));
    assert!(matches!(world.nodes[ALICE].channel().stage(), Stage::Failing(_)));
}

#[test]
fn the_funder_pays_three_times_what_it_wished_and_no_more() {
    let world = answer_with(|fee| fee * 3, Some((0, 100_000)));
    assert_eq!(world.nodes[ALICE].channel().stage(), Stage::MutuallyClosed);
    let world = answer_with(|fee| fee * 3 + 1, Some((0, 100_000)));
    assert!(world.nodes[ALICE].notices().contains(&Notice::Fault(PeerFault::BadClosingFee)));
}

#[test]
fn what_is_said_about_fees_after_the_agreement_changes_nothing() {
    let mut world = answer_with(|fee| fee + 1, Some((0, 100_000)));
    let state = world.nodes[ALICE].channel().state().unwrap().clone();
    let agreed = state.closed.unwrap().0.fee_sat;
    let records = world.nodes[ALICE].disk.records.len();
    world.nodes[ALICE].outbox.clear();
    world.nodes[ALICE].look();
    for fee in agreed + 1..agreed + 50 {
        counter(&mut world, fee, Some((0, 100_000)));
    }
    let alice = &world.nodes[ALICE];
    assert!(alice.channel().state() == Some(&state));
    assert_eq!(alice.disk.records.len(), records, "nothing to write down");
    assert!(alice.outbox.is_empty() && alice.seen.is_empty(), "{:?}", alice.seen);
}

#[test]
fn thirty_two_closes_are_signed_over_many_connections_and_the_next_is_refused() {
    let mut world = answer_with(|fee| fee, Some((0, 100_000)));
    let first = world.nodes[ALICE].channel().state().unwrap().closes[0].fee_sat;
    for fee in first + 1..first + 33 {
        world.nodes.iter_mut().for_each(Node::disconnect);
        world.nodes.iter_mut().for_each(Node::connect);
        world.deliver(BOB);
        world.nodes[ALICE].flush();
        world.nodes[ALICE].look();
        counter(&mut world, fee, Some((0, 100_000)));
        let alice = &world.nodes[ALICE];
        let refused = alice.notices().contains(&Notice::Fault(PeerFault::TooManyCloses));
        assert_eq!(refused, fee == first + 32, "{fee}");
        assert_eq!(broadcast(alice).is_some(), !refused);
    }
    let alice = &world.nodes[ALICE];
    assert!(matches!(alice.outbox.back(), Some(Message::Warning(_))));
    let state = alice.channel().state().unwrap();
    assert_eq!(state.closes.len(), 32);
    assert_eq!(state.closed.as_ref().unwrap().0.fee_sat, first + 31, "the last agreement stands");
    assert_eq!(alice.channel().stage(), Stage::MutuallyClosed);
}

#[test]
fn whichever_of_the_closes_that_were_signed_is_mined_the_channel_ends_together() {
    let mut world = answer_with(|fee| fee, Some((0, 100_000)));
    let first = world.nodes[ALICE].channel().state().unwrap().closes[0].fee_sat;
    let mut signed = Vec::new();
    for fee in first + 1..first + 8 {
        world.nodes.iter_mut().for_each(Node::disconnect);
        world.nodes.iter_mut().for_each(Node::connect);
        world.deliver(BOB);
        world.nodes[ALICE].flush();
        world.nodes[ALICE].look();
        counter(&mut world, fee, Some((0, 100_000)));
        signed.push(broadcast(&world.nodes[ALICE]).expect("signed by both"));
    }
    let names: std::collections::BTreeSet<_> = signed.iter().map(|tx| tx.compute_txid()).collect();
    assert_eq!(names.len(), signed.len(), "each is another one");
    let alice = &world.nodes[ALICE];
    for tx in &signed {
        let step = alice.channel().clone().step(
            Event::Chain(ChainFact::FundingSpent {
                tx: tx.clone(),
                height: BlockHeight(alice.height),
            }),
            &alice.env(),
        );
        let (closed, _) = step.stage(&mut Disk::default());
        let resolution = closed.resolution(&alice.env()).expect("on Layer 1");
        assert_eq!(resolution.close, crate::onchain::Close::Mutual);
        assert!(resolution.claims.is_empty());
    }
}

#[test]
fn a_peer_without_ranges_is_met_half_way() {
    let mut world = answer_with(|fee| fee * 20, None);
    let said = |world: &mut World| match world.nodes[ALICE].outbox.pop_front() {
        Some(Message::ClosingSigned(signed)) => signed.fee_satoshis.to_sat(),
        other => panic!("{other:?}"),
    };
    let first = said(&mut world);
    assert!(broadcast(&world.nodes[ALICE]).is_none());
    counter(&mut world, first, None);
    assert!(broadcast(&world.nodes[ALICE]).is_some(), "both said {first}");
}

#[test]
fn a_bad_closing_signature_fails_the_channel() {
    let mut world = World::open(&Setup::default());
    shut_down(&mut world, ALICE);
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    world.deliver(BOB);
    world.nodes[ALICE].flush();
    let Some(Message::ClosingSigned(signed)) = world.nodes[ALICE].outbox.pop_front() else {
        panic!("alice proposes")
    };
    let signed = ClosingSigned { signature: high_s(signed.signature), ..signed };
    world.nodes[BOB].step(Event::Peer(signed.into()));
    assert!(world.nodes[BOB].notices().contains(&Notice::Fault(PeerFault::BadClosingSignature)));
    assert!(matches!(world.nodes[BOB].channel().stage(), Stage::Failing(_)));
}
