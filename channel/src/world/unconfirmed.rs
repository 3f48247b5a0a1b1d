//! Channels in use before they confirm, and channels that only their aliases name: what is agreed on, what is
//! at risk, what becomes of both when the funding does not come.

use bitcoin::Txid;
use bitcoin::hashes::Hash as _;
use wire::feature::Feature;
use wire::message::OpenChannel;
use wire::units::BlockHeight;

use super::*;
use crate::effect::{Alarm, CloseReason, Outcome};
use crate::env::ForceClosePolicy;
use crate::onchain::IRREVOCABLE_DEPTH;
use crate::refusal::BadTerms;

const ZERO_CONF: Kind = Kind { scid_alias: false, zero_conf: true };
const KINDS: [Kind; 4] = [
    Kind { scid_alias: false, zero_conf: false },
    Kind { scid_alias: true, zero_conf: false },
    ZERO_CONF,
    Kind { scid_alias: true, zero_conf: true },
];

fn setup(kind: Kind) -> Setup {
    let minimum_depth = if kind.zero_conf { 0 } else { 3 };
    Setup { kind, minimum_depth, ..Setup::default() }
}

/// In use, and in no block.
fn in_use() -> (World, Transaction) {
    let (mut world, tx) = World::funded(&setup(ZERO_CONF));
    for node in &mut world.nodes {
        node.look();
    }
    (world, tx)
}

fn pay(world: &mut World, from: usize, amount_msat: u64, payment: u64) -> u64 {
    let command = world.nodes[from].offer(amount_msat, payment);
    world.settle();
    let Ok(Answer::Offered { htlc }) = world.nodes[from].answer(command) else {
        panic!("{:?}", world.nodes[from].answer(command))
    };
    htlc
}

fn fulfil(world: &mut World, who: usize, htlc: u64, payment: u64) {
    let command = world.nodes[who].command_id();
    let preimage = preimage(payment);
    let fulfil = Command::FulfillHtlc { command, htlc, preimage, attribution: None };
    world.nodes[who].step(Event::Command(fulfil));
    world.settle();
}

fn alarms(node: &Node) -> Vec<Alarm> {
    let alarm = |effect: &Effect| match effect {
        Effect::Alarm(alarm) => Some(alarm.clone()),
        _ => None,
    };
    node.seen.iter().filter_map(alarm).collect()
}

fn rival() -> Txid {
    Txid::from_byte_array([0xee; 32])
}

fn conflict(height: u32) -> Event {
    Event::Chain(ChainFact::FundingConflict { by: rival(), height: BlockHeight(height) })
}

fn to_height(node: &mut Node, height: u32) {
    while node.height < height {
        node.height += 1;
        node.step(Event::Chain(ChainFact::Tip));
    }
}

fn asked(world: &World) -> OpenChannel {
    match world.nodes[ALICE].outbox.front() {
        Some(Message::OpenChannel(asked)) => (**asked).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_channel_opens_pays_and_survives_its_bytes() {
    for kind in KINDS {
        let (mut world, tx) = World::funded(&setup(kind));
        assert_eq!(world.nodes.each_ref().map(|node| node.channel().stage() == Stage::Open), {
            [kind.zero_conf; 2]
        });
        for node in &mut world.nodes {
            node.step(confirmed(&tx, HEIGHT));
            node.height += 2;
            node.step(Event::Chain(ChainFact::Tip));
        }
        world.settle_wire();
        let htlc = pay(&mut world, ALICE, 10_000_000, 1);
        fulfil(&mut world, BOB, htlc, 1);
        for node in &mut world.nodes {
            let terms = node.channel().terms().unwrap().clone();
            assert_eq!((terms.kind, terms.is_zero_conf()), (kind, kind.zero_conf));
            assert!(node.channel().short_channel_id().is_some());
            node.crash();
            assert_eq!(*node.channel().terms().unwrap(), terms);
        }
        world.reconnect();
        assert!(world.nodes.iter().all(|node| node.channel().is_usable()));
    }
}

#[test]
fn only_the_four_kinds_are_taken() {
    let kinds: Vec<Features> = KINDS.iter().map(|kind| kind.channel_type()).collect();
    let known: Vec<u16> = Feature::ALL.iter().map(|feature| feature.even()).collect();
    let others = (0..4_096_u32).map(|chosen| {
        let mut kind = Features::empty();
        for (place, bit) in [12, 22, 46, 50, 20, 40].into_iter().enumerate() {
            match chosen >> (2 * place) & 3 {
                1 => kind.set(bit),
                2 => kind.set(bit | 1),
                _ => {}
            }
        }
        kind
    });
    for kind in others.chain(known.into_iter().map(|bit| {
        let mut kind = Features::channel_type(false, false);
        kind.set(bit);
        kind
    })) {
        assert_eq!(Kind::of(&kind).is_some(), kinds.contains(&kind), "{kind}");
        if let Some(read) = Kind::of(&kind) {
            assert_eq!(read.channel_type(), kind);
        }
    }
}

#[test]
fn an_alias_is_not_asked_for_where_it_hides_nothing_or_is_not_known() {
    let alice = Node::new("alice", 1);
    let refused = |change: fn(&mut OpenTerms)| {
        let mut terms = setup(KINDS[3]).open_terms(CommandId(1));
        change(&mut terms);
        match Channel::open(terms, &alice.env()) {
            Err(Refusal::BadTerms(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|terms| terms.announce = true), BadTerms::AnnouncedAlias);
    assert_eq!(refused(|terms| terms.alias = None), BadTerms::BadParams);
    for without in [Feature::ScidAlias, Feature::Zeroconf] {
        let mut terms = setup(KINDS[3]).open_terms(CommandId(1));
        let odd = u32::from(without.odd());
        terms.features = Features::from_bits(Features::init().bits().filter(|bit| *bit != odd));
        let refused = Channel::open(terms.clone(), &alice.env());
        assert!(matches!(refused, Err(Refusal::BadTerms(BadTerms::KindNotOffered))));
        // Nor is it taken.
        let setup = setup(KINDS[3]);
        let world = World::asking(&setup);
        let accept = AcceptTerms { features: terms.features, ..setup.accept_terms() };
        let refused = Channel::accept(&asked(&world), accept, &world.nodes[BOB].env());
        assert_eq!(refused.err(), Some(PeerFault::BadChannelType));
    }
}

#[test]
fn a_fundee_that_wants_blocks_after_all_ends_a_zero_conf_open() {
    let setup = setup(ZERO_CONF);
    let mut world = World::asking(&setup);
    world.accept(&setup);
    let Some(Message::AcceptChannel(mut accepted)) = world.nodes[BOB].outbox.pop_front() else {
        panic!("bob accepts")
    };
    assert_eq!(accepted.minimum_depth, 0);
    accepted.minimum_depth = 1;
    let alice = &mut world.nodes[ALICE];
    alice.step(Event::Peer(Message::AcceptChannel(accepted)));
    assert!(matches!(alice.channel().stage(), Stage::Abandoned(_)));
}

#[test]
fn a_trusted_peer_that_did_not_ask_for_it_is_used_at_once_as_well() {
    let setup = Setup { minimum_depth: 0, ..Setup::default() };
    let (world, _) = World::funded(&setup);
    let (alice, bob) = (world.nodes[ALICE].channel(), world.nodes[BOB].channel());
    assert!(bob.state().unwrap().we_ready, "bob trusts alice");
    // Alice did not ask for it: she waits for a block as ever.
    assert!(alice.state().unwrap().they_ready && !alice.state().unwrap().we_ready);
    assert_eq!(alice.terms().unwrap().minimum_depth, 1);
}

#[test]
fn a_zero_conf_channel_pays_both_ways_before_and_after_its_block() {
    let (mut world, tx) = in_use();
    for node in &world.nodes {
        assert!(node.channel().is_usable());
        assert_eq!(node.channel().short_channel_id(), None);
        assert!(node.channel().state().unwrap().their_alias.is_some());
    }
    let htlc = pay(&mut world, ALICE, 50_000_000, 1);
    fulfil(&mut world, BOB, htlc, 1);
    let htlc = pay(&mut world, BOB, 20_000_000, 2);
    fulfil(&mut world, ALICE, htlc, 2);
    let state = |world: &World, who: usize| world.nodes[who].channel().state().unwrap().clone();
    let tip = BlockHeight(HEIGHT);
    assert_eq!(state(&world, ALICE).at_risk(tip, 3), msat(0), "it is her own money");
    assert_eq!(state(&world, BOB).at_risk(tip, 3), msat(430_000_000));
    for node in &mut world.nodes {
        node.height += 1;
        node.step(confirmed(&tx, HEIGHT + 1));
        node.step(Event::Chain(ChainFact::Tip));
        assert!(node.channel().short_channel_id().is_some());
    }
    assert!(world.nodes.iter().all(|node| node.outbox.is_empty()), "nothing is said again");
    assert_eq!(state(&world, BOB).at_risk(BlockHeight(HEIGHT + 2), 3), msat(430_000_000));
    assert_eq!(state(&world, BOB).at_risk(BlockHeight(HEIGHT + 3), 3), msat(0));
    let htlc = pay(&mut world, ALICE, 10_000_000, 3);
    fulfil(&mut world, BOB, htlc, 3);
}

#[test]
fn a_crash_at_any_record_of_a_zero_conf_open_leaves_a_channel_that_works() {
    for who in [ALICE, BOB] {
        for records in 1..4 {
            let (mut world, _) = World::funded(&setup(ZERO_CONF));
            let node = &mut world.nodes[who];
            let kept = records.min(node.disk.records.len());
            // What the peer heard was durable: nothing of it is lost. What it did not hear may be.
            node.disk.durable = node.disk.durable.max(kept);
            node.crash();
            let step = node.channel.take().unwrap().resume(&node.env());
            node.stage(step);
            node.flush();
            world.reconnect();
            assert!(world.nodes.iter().all(|node| node.channel().is_usable()), "{who} {records}");
            let htlc = pay(&mut world, ALICE, 5_000_000, 1);
            fulfil(&mut world, BOB, htlc, 1);
        }
    }
}

#[test]
fn the_coins_of_the_funding_are_watched_once_they_are_known() {
    let (mut world, tx) = in_use();
    let inputs: Vec<OutPoint> = tx.input.iter().map(|input| input.previous_output).collect();
    let bob = &mut world.nodes[BOB];
    let seen = ChainFact::FundingSeen { inputs: inputs.clone() };
    bob.step(Event::Chain(seen.clone()));
    bob.step(Event::Chain(seen));
    let watched = |effects: Vec<Effect>| -> Vec<Vec<OutPoint>> {
        let watch = |effect| match effect {
            Effect::WatchFunding { inputs, .. } => Some(inputs),
            _ => None,
        };
        effects.into_iter().filter_map(watch).collect()
    };
    assert_eq!(watched(bob.look()), vec![inputs.clone()], "asked for once");
    // A restart knows them without being told, and so does who made the transaction.
    for node in &mut world.nodes {
        node.crash();
        let step = node.channel.take().unwrap().resume(&node.env());
        node.stage(step);
        node.flush();
        assert_eq!(watched(node.look()), vec![inputs.clone()], "{}", node.name);
    }
}

#[test]
fn while_another_transaction_wants_the_coins_nothing_that_comes_in_is_taken() {
    let (mut world, _) = in_use();
    let by = rival();
    world.nodes[BOB].step(Event::Chain(ChainFact::FundingContested { by }));
    let said = alarms(&world.nodes[BOB]);
    assert_eq!(said, [Alarm::FundingContested { by, at_risk: msat(400_000_000) }]);
    pay(&mut world, ALICE, 50_000_000, 1);
    assert!(world.nodes[BOB].channel().incoming().all(|htlc| htlc.overexposed));
    world.nodes[BOB].step(Event::Chain(ChainFact::FundingUncontested { by }));
    pay(&mut world, ALICE, 50_000_000, 2);
    let taken: Vec<_> =
        world.nodes[BOB].channel().incoming().map(|htlc| htlc.overexposed).collect();
    assert_eq!(taken, [true, false]);
}

#[test]
fn a_double_spend_fails_the_channel_and_says_what_is_lost() {
    let (mut world, _) = in_use();
    let htlc = pay(&mut world, ALICE, 50_000_000, 1);
    fulfil(&mut world, BOB, htlc, 1);
    // Bob has paid on behalf of others with what he got.
    let open = pay(&mut world, BOB, 30_000_000, 2);
    let bob = &mut world.nodes[BOB];
    bob.look();
    bob.height += 1;
    bob.step(conflict(HEIGHT + 1));
    bob.step(Event::Chain(ChainFact::Tip));
    let lost = msat(450_000_000);
    let reason = CloseReason::FundingConflict { by: rival(), lost };
    assert_eq!(bob.channel().stage(), Stage::Failing(reason.clone()));
    assert_eq!(alarms(bob), [Alarm::FundingGone { by: Some(rival()), lost }]);
    assert!(bob.notices().contains(&Notice::Failing(reason.clone())));
    assert!(matches!(bob.outbox.back(), Some(Message::Error(_))));
    let broadcast =
        |node: &Node| node.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }));
    assert!(!broadcast(bob), "no block could have it");
    assert_eq!(bob.channel().state().unwrap().at_risk(BlockHeight(HEIGHT + 1), 3), msat(0));
    // Again after a restart, without another alarm.
    bob.look();
    bob.crash();
    let step = bob.channel.take().unwrap().resume(&bob.env());
    bob.stage(step);
    bob.flush();
    bob.step(conflict(HEIGHT + 1));
    assert!(!broadcast(bob) && alarms(bob).is_empty());
    assert_eq!(bob.channel().stage(), Stage::Failing(reason));
    // Deep enough, what it offered counts as failed; deeper still it is over.
    to_height(bob, HEIGHT + 5);
    assert_eq!(bob.channel().resolved().count(), 0);
    to_height(bob, HEIGHT + 6);
    let ended: Vec<_> = bob.channel().resolved().map(|it| (it.htlc, it.outcome)).collect();
    assert_eq!(ended, [(open, Outcome::TimedOut)]);
    bob.step(Event::Command(Command::ForgetResolved { htlc: open }));
    to_height(bob, HEIGHT + IRREVOCABLE_DEPTH - 1);
    assert!(!bob.channel().is_over());
    to_height(bob, HEIGHT + IRREVOCABLE_DEPTH);
    assert!(bob.channel().is_over());
    assert!(bob.notices().contains(&Notice::Closed));
}

#[test]
fn a_reorganisation_can_bring_a_double_spent_funding_back() {
    let (mut world, tx) = in_use();
    let bob = &mut world.nodes[BOB];
    bob.height += 1;
    bob.step(conflict(HEIGHT + 1));
    bob.look();
    bob.step(Event::Chain(ChainFact::FundingConflictGone));
    let force_closed = |node: &Node| {
        let ours =
            |effect: &Effect| matches!(effect, Effect::Broadcast { why: Why::ForceClose, .. });
        node.seen.iter().any(ours)
    };
    assert!(!force_closed(bob), "still nothing to spend");
    bob.step(confirmed(&tx, HEIGHT + 1));
    assert!(force_closed(bob), "the channel failed; now its commitment takes our share home");
    to_height(bob, HEIGHT + 200);
    assert!(!bob.channel().is_over(), "its outputs are still to be resolved");
}

#[test]
fn a_funding_without_our_output_fails_a_channel_in_use() {
    let (mut world, tx) = in_use();
    let outpoint = OutPoint { txid: tx.compute_txid(), vout: 1 };
    let (height, tx_index) = (BlockHeight(HEIGHT), 5);
    let fact = ChainFact::FundingConfirmed { height, tx_index, outpoint, found: None };
    let bob = &mut world.nodes[BOB];
    bob.step(Event::Chain(fact));
    let lost = msat(400_000_000);
    assert_eq!(alarms(bob), [Alarm::FundingGone { by: Some(outpoint.txid), lost }]);
    assert!(matches!(bob.channel().stage(), Stage::Failing(_)));
}

#[test]
fn a_funding_that_never_comes_is_an_alarm_every_day_and_a_failure_in_the_end() {
    let (mut world, _) = in_use();
    let open = pay(&mut world, BOB, 30_000_000, 2);
    for node in &mut world.nodes {
        node.disconnect();
        node.policy.force_close = ForceClosePolicy::Ask;
        node.look();
    }
    let bob = &mut world.nodes[BOB];
    to_height(bob, HEIGHT + 2_015);
    let late = |alarm: &&Alarm| matches!(alarm, Alarm::FundingLate { .. });
    let days: Vec<_> = alarms(bob).iter().filter(late).cloned().collect();
    assert_eq!(days.len(), 13);
    assert_eq!(days[0], Alarm::FundingLate { blocks: 144, at_risk: msat(400_000_000) });
    to_height(bob, HEIGHT + 2_016);
    let lost = msat(400_000_000);
    assert_eq!(alarms(bob).last(), Some(&Alarm::FundingGone { by: None, lost }));
    let reason = CloseReason::FundingNeverCame { lost };
    assert_eq!(bob.channel().stage(), Stage::Failing(reason));
    to_height(bob, HEIGHT + 4_031);
    assert!(!bob.channel().is_over());
    to_height(bob, HEIGHT + 4_032);
    assert_eq!(bob.channel().stage(), Stage::Closed);
    assert_eq!(bob.channel().resolved().map(|it| it.htlc).collect::<Vec<_>>(), [open]);
    bob.step(Event::Command(Command::ForgetResolved { htlc: open }));
    assert!(bob.channel().is_over());
    // Who made the transaction never gives it up.
    let alice = &mut world.nodes[ALICE];
    alice.height += 5_000;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(alice.channel().stage(), Stage::Open);
}

#[test]
fn a_reorganisation_of_a_zero_conf_channel_is_an_alarm_and_it_goes_on() {
    let (mut world, tx) = in_use();
    for node in &mut world.nodes {
        node.step(confirmed(&tx, HEIGHT));
        node.step(Event::Chain(ChainFact::FundingUnconfirmed));
    }
    let at_risk = msat(400_000_000);
    assert_eq!(alarms(&world.nodes[BOB]), [Alarm::FundingReorganised { at_risk }]);
    let htlc = pay(&mut world, ALICE, 10_000_000, 1);
    fulfil(&mut world, BOB, htlc, 1);
}
