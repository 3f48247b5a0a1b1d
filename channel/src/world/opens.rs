//! Establishment: every number of the table both ways, the funding output that is not what it should be,
//! and what is forgotten when.

use wire::message::{AcceptChannel, FundingSigned, OpenChannel};
use wire::units::BlockHeight;

use super::*;
use crate::effect::AbandonReason;

fn asked(world: &World) -> OpenChannel {
    match world.nodes[ALICE].outbox.front() {
        Some(Message::OpenChannel(asked)) => (**asked).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_opens_and_pays() {
    let mut world = World::open(&Setup::default());
    let command = world.nodes[ALICE].offer(10_000_000, 1);
    world.settle();
    assert_eq!(world.nodes[ALICE].answer(command), Ok(Answer::Offered { htlc: 0 }));
    let incoming: Vec<_> = world.nodes[BOB].channel().incoming().collect();
    assert_eq!(incoming.len(), 1);
    assert_eq!(incoming[0].amount_msat, msat(10_000_000));
    let command = world.nodes[BOB].command_id();
    world.nodes[BOB].step(Event::Command(Command::FulfillHtlc {
        command,
        htlc: 0,
        preimage: preimage(1),
        attribution: None,
    }));
    world.settle();
    let balances = [0, 1].map(|who| world.nodes[who].channel().balances().unwrap().0.to_u64());
    assert_eq!(balances, [590_000_000, 410_000_000]);
}

#[test]
fn an_open_channel_that_breaks_a_rule_is_refused() {
    type Change = fn(&mut OpenChannel);
    let cases: &[(Change, PeerFault)] = &[
        (|asked| asked.chain_hash = [8; 32], PeerFault::UnknownChain),
        (|asked| asked.channel_type = None, PeerFault::BadChannelType),
        (|asked| asked.channel_type = Some(Features::empty()), PeerFault::BadChannelType),
        (
            |asked| asked.channel_type = Some(Features::channel_type(false, true)),
            PeerFault::UntrustedFunding,
        ),
        (
            |asked| asked.channel_type = Some(Features::channel_type(true, true)),
            PeerFault::UntrustedFunding,
        ),
        (
            |asked| {
                asked.channel_type = Some(Features::channel_type(true, false));
                asked.channel_flags = 1;
            },
            PeerFault::AnnouncedAlias,
        ),
        (|asked| asked.funding_satoshis = Sat::from_sat(9_999), PeerFault::BadFundingAmount),
        (|asked| asked.push_msat = msat(1_000_000_001), PeerFault::PushTooLarge),
        (|asked| asked.push_msat = msat(1_000_000_000), PeerFault::CannotPayFirstFee),
        (|asked| asked.dust_limit_satoshis = Sat::from_sat(353), PeerFault::BadDustLimit),
        (|asked| asked.dust_limit_satoshis = Sat::from_sat(5_001), PeerFault::BadDustLimit),
        (|asked| asked.channel_reserve_satoshis = Sat::from_sat(353), PeerFault::BadReserve),
        (|asked| asked.channel_reserve_satoshis = Sat::from_sat(545), PeerFault::BadReserve),
        (|asked| asked.channel_reserve_satoshis = Sat::from_sat(200_001), PeerFault::BadReserve),
        (|asked| asked.to_self_delay = 2_017, PeerFault::BadToSelfDelay),
        (|asked| asked.max_accepted_htlcs = 484, PeerFault::BadMaxAcceptedHtlcs),
        (|asked| asked.max_accepted_htlcs = 0, PeerFault::BadMaxAcceptedHtlcs),
        (|asked| asked.htlc_minimum_msat = msat(100_000_001), PeerFault::BadHtlcMinimum),
        (|asked| asked.max_htlc_value_in_flight_msat = 999_999, PeerFault::BadInFlightMaximum),
        (|asked| asked.feerate_per_kw = FeeratePerKw(252), PeerFault::BadFeerate),
        (|asked| asked.feerate_per_kw = FeeratePerKw(100_001), PeerFault::BadFeerate),
        (
            |asked| {
                asked.funding_satoshis = Sat::from_sat(10_000);
                asked.push_msat = msat(500_000);
                asked.channel_reserve_satoshis = Sat::from_sat(2_000);
                asked.feerate_per_kw = FeeratePerKw(6_000);
            },
            PeerFault::NothingAboveReserve,
        ),
        (|asked| asked.upfront_shutdown_script = Some(ScriptBuf::from_bytes(vec![1, 2])), {
            PeerFault::BadUpfrontScript
        }),
    ];
    let setup = Setup::default();
    let world = World::asking(&setup);
    for (change, fault) in cases {
        let mut asked = asked(&world);
        change(&mut asked);
        let bob = &world.nodes[BOB];
        let refused = Channel::accept(&asked, setup.accept_terms(), &bob.env());
        assert_eq!(refused.err(), Some(*fault));
        assert_eq!(fault.reaction(), Reaction::FailChannel);
    }
}

#[test]
fn a_large_channel_needs_the_feature() {
    let setup = Setup::default();
    let world = World::asking(&setup);
    let mut asked = asked(&world);
    asked.funding_satoshis = Sat::from_sat(1 << 24);
    let mut terms = setup.accept_terms();
    assert!(Channel::accept(&asked, terms.clone(), &world.nodes[BOB].env()).is_ok());
    terms.features = Features::channel_type(false, false);
    let refused = Channel::accept(&asked, terms, &world.nodes[BOB].env());
    assert_eq!(refused.err(), Some(PeerFault::BadFundingAmount));
}

#[test]
fn an_accept_channel_that_breaks_a_rule_ends_the_open() {
    type Change = fn(&mut AcceptChannel);
    let cases: &[(Change, PeerFault)] = &[
        (|accepted| accepted.channel_type = None, PeerFault::BadChannelType),
        (
            |accepted| accepted.channel_type = Some(Features::channel_type(true, false)),
            PeerFault::BadChannelType,
        ),
        (|accepted| accepted.minimum_depth = 145, PeerFault::BadMinimumDepth),
        (|accepted| accepted.dust_limit_satoshis = Sat::from_sat(353), PeerFault::BadDustLimit),
        (|accepted| accepted.channel_reserve_satoshis = Sat::from_sat(545), PeerFault::BadReserve),
        (|accepted| accepted.to_self_delay = 2_017, PeerFault::BadToSelfDelay),
        (|accepted| accepted.max_accepted_htlcs = 484, PeerFault::BadMaxAcceptedHtlcs),
    ];
    for (change, fault) in cases {
        let setup = Setup::default();
        let mut world = World::asking(&setup);
        world.accept(&setup);
        let Some(Message::AcceptChannel(mut accepted)) = world.nodes[BOB].outbox.pop_front() else {
            panic!("bob accepts")
        };
        change(&mut accepted);
        let alice = &mut world.nodes[ALICE];
        alice.step(Event::Peer(Message::AcceptChannel(accepted)));
        let reason = AbandonReason::Fault(*fault);
        assert_eq!(alice.channel().stage(), Stage::Abandoned(reason.clone()));
        assert_eq!(alice.answer(CommandId(1)), Err(Refusal::NotOpened(reason)));
        assert!(matches!(alice.outbox.back(), Some(Message::Error(_))));
        assert!(alice.disk.records.is_empty(), "nothing of it is on disk");
    }
}

#[test]
fn our_own_terms_are_checked_before_anybody_hears_of_them() {
    let setup = Setup::default();
    let alice = Node::new("alice", 1);
    let mut terms = setup.open_terms(CommandId(1));
    terms.push = msat(1_000_000_001);
    assert!(matches!(Channel::open(terms, &alice.env()), Err(Refusal::BadTerms(_))));
    let mut terms = setup.open_terms(CommandId(1));
    terms.features = Features::empty();
    assert!(matches!(Channel::open(terms, &alice.env()), Err(Refusal::BadTerms(_))));
    let mut terms = setup.open_terms(CommandId(1));
    terms.params.dust_limit = Sat::from_sat(300);
    assert!(matches!(Channel::open(terms, &alice.env()), Err(Refusal::BadTerms(_))));
}

#[test]
fn a_wallet_that_builds_something_else_ends_the_open() {
    let setup = Setup::default();
    let mut world = World::asking(&setup);
    world.accept(&setup);
    world.settle_wire();
    let alice = &mut world.nodes[ALICE];
    let tx = funding_tx(script(9), setup.capacity);
    alice.step(Event::Command(Command::FundingBuilt { tx, output_index: 1 }));
    assert_eq!(alice.channel().stage(), Stage::Abandoned(AbandonReason::FundingFailed));
}

#[test]
fn the_first_signatures_must_be_good_and_low() {
    for high in [false, true] {
        let setup = Setup::default();
        let mut world = World::asking(&setup);
        world.accept(&setup);
        world.settle_wire();
        world.fund();
        let Some(Message::FundingCreated(mut created)) = world.nodes[ALICE].outbox.pop_front()
        else {
            panic!("alice names the funding")
        };
        if high {
            created.signature = high_s(created.signature);
        } else {
            created.funding_output_index += 1;
        }
        let bob = &mut world.nodes[BOB];
        bob.step(Event::Peer(created.into()));
        let reason = AbandonReason::Fault(PeerFault::BadFirstSignature);
        assert_eq!(bob.channel().stage(), Stage::Abandoned(reason));
        assert!(bob.disk.records.is_empty());
    }
    let setup = Setup::default();
    let mut world = World::asking(&setup);
    world.accept(&setup);
    world.settle_wire();
    world.fund();
    world.deliver(ALICE);
    world.nodes[BOB].flush();
    let Some(Message::FundingSigned(signed)) = world.nodes[BOB].outbox.pop_front() else {
        panic!("bob signs")
    };
    let signed = FundingSigned { signature: high_s(signed.signature), ..signed };
    let alice = &mut world.nodes[ALICE];
    alice.step(Event::Peer(signed.into()));
    assert!(matches!(alice.channel().stage(), Stage::Abandoned(_)));
    let broadcast = alice.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }));
    assert!(!broadcast, "no funding without a good signature");
}

#[test]
fn nothing_is_kept_of_an_open_that_the_connection_did_not_survive() {
    let setup = Setup::default();
    let mut world = World::asking(&setup);
    world.accept(&setup);
    for node in &mut world.nodes {
        node.disconnect();
        let stage = node.channel().stage();
        assert_eq!(stage, Stage::Abandoned(AbandonReason::Disconnected));
        assert!(node.disk.records.is_empty());
    }
}

#[test]
fn a_funding_output_that_is_not_what_was_agreed_opens_nothing() {
    let right = |world: &World| {
        world.nodes[BOB].channel().state().unwrap().funding_output().unwrap().to_txout()
    };
    type Change = fn(&mut TxOut);
    let changes: [Change; 3] = [
        |found| found.value = Sat::from_sat(999_999),
        |found| found.value = Sat::from_sat(1_000_001),
        |found| found.script_pubkey = script(4),
    ];
    let mut wrong: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
    wrong.push(None);
    for change in wrong {
        let (mut world, tx) = World::funded(&Setup::default());
        let mut found = right(&world);
        let found = change.map(|change| {
            change(&mut found);
            found.clone()
        });
        let bob = &mut world.nodes[BOB];
        let outpoint = OutPoint { txid: tx.compute_txid(), vout: 1 };
        bob.step(Event::Chain(ChainFact::FundingConfirmed {
            height: BlockHeight(HEIGHT),
            tx_index: 5,
            outpoint,
            found,
        }));
        let reason = AbandonReason::Fault(PeerFault::WrongFundingOutput);
        assert_eq!(bob.channel().stage(), Stage::Abandoned(reason));
        bob.height += 10;
        bob.step(Event::Chain(ChainFact::Tip));
        assert!(!bob.outbox.iter().any(|message| matches!(message, Message::ChannelReady(_))));
        assert_eq!(bob.channel().sendable(&bob.policy).max, msat(0));
    }
}

#[test]
fn channel_ready_waits_for_the_depth() {
    for (tx_index, depth) in [(5, 3), (0, 100)] {
        let (mut world, tx) = World::funded(&Setup::default());
        let bob = &mut world.nodes[BOB];
        let outpoint = OutPoint { txid: tx.compute_txid(), vout: 1 };
        let found = tx.output.get(1).cloned();
        let height = BlockHeight(HEIGHT);
        let fact = ChainFact::FundingConfirmed { height, tx_index, outpoint, found };
        bob.step(Event::Chain(fact));
        for above in 1..depth {
            assert!(bob.outbox.is_empty(), "{above} confirmations of {depth}");
            bob.height = HEIGHT + above;
            bob.step(Event::Chain(ChainFact::Tip));
        }
        let ready = matches!(bob.outbox.front(), Some(Message::ChannelReady(_)));
        assert!(ready);
    }
}

#[test]
fn only_a_fundee_forgets_and_only_what_never_confirmed() {
    let (mut world, tx) = World::funded(&Setup::default());
    world.nodes[BOB].step(confirmed(&tx, HEIGHT));
    world.nodes[BOB].step(Event::Chain(ChainFact::FundingUnconfirmed));
    for node in &mut world.nodes {
        node.height += 3_000;
        node.step(Event::Chain(ChainFact::Tip));
        assert_eq!(node.channel().stage(), Stage::Funding, "{}", node.name);
    }
    let (mut world, _) = World::funded(&Setup::default());
    let bob = &mut world.nodes[BOB];
    bob.height += 2_015;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), Stage::Funding);
    bob.height += 1;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), Stage::Abandoned(AbandonReason::NeverFunded));
    assert!(bob.channel().is_over());
}

#[test]
fn a_confirmation_counts_although_the_channel_fails_already() {
    let (mut world, tx) = World::funded(&Setup::default());
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    bob.step(Event::Command(Command::ForceClose { command }));
    let failing = bob.channel().stage();
    bob.step(confirmed(&tx, HEIGHT));
    let funding = &bob.channel().state().unwrap().fundings[0];
    assert!(funding.seen && funding.confirmed.is_some());
    bob.height += 3_000;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), failing, "not abandoned");
    assert!(!bob.channel().state().unwrap().we_ready);
}

#[test]
fn both_ends_crash_between_funding_and_ready() {
    let (mut world, tx) = World::funded(&Setup::default());
    for node in &mut world.nodes {
        node.crash();
        let step = node.channel.take().unwrap().resume(&node.env());
        node.stage(step);
        node.flush();
    }
    let again = world.nodes[ALICE].look();
    assert!(again.iter().any(
        |effect| matches!(effect, Effect::Broadcast { tx: sent, why: Why::Funding } if *sent == tx)
    ));
    for node in &mut world.nodes {
        node.step(confirmed(&tx, HEIGHT));
        node.height += 2;
        node.step(Event::Chain(ChainFact::Tip));
        assert!(node.outbox.is_empty());
    }
    world.reconnect();
    for node in &world.nodes {
        assert_eq!(node.channel().stage(), Stage::Open);
        let aliases = node.channel().state().unwrap().their_alias.map(ShortChannelId::to_u64);
        assert!(matches!(aliases, Some(11 | 22)));
    }
}

#[test]
fn a_reorganisation_of_a_working_channel_raises_an_alarm() {
    let mut world = World::open(&Setup::default());
    let bob = &mut world.nodes[BOB];
    bob.step(Event::Chain(ChainFact::FundingUnconfirmed));
    assert!(
        bob.seen
            .iter()
            .any(|effect| matches!(effect, Effect::Alarm(Alarm::FundingReorganised { .. })))
    );
    assert_eq!(bob.channel().short_channel_id(), None);
}
