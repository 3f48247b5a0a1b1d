//! Layer 1: deadlines, closes by either end, cheating, and what becomes of HTLCs.

use wire::units::BlockHeight;

use super::*;
use crate::effect::{CloseReason, Notice, Outcome, Spender};
use crate::live::Live;
use crate::out::Out;
use crate::tx::Recipe;

fn force_close(node: &mut Node) -> Transaction {
    let command = node.command_id();
    node.step(Event::Command(Command::ForceClose { command }));
    commitment(node)
}

fn commitment(node: &Node) -> Transaction {
    (node.seen.iter())
        .find_map(|effect| match effect {
            Effect::Broadcast { tx, why: Why::ForceClose } => Some(tx.clone()),
            _ => None,
        })
        .expect("a commitment")
}

fn spend(world: &mut World, tx: &Transaction) {
    for node in &mut world.nodes {
        let height = BlockHeight(node.height);
        node.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
    }
}

fn spender(node: &Node) -> Option<Spender> {
    node.notices().into_iter().find_map(|notice| match notice {
        Notice::OnChain { by, .. } => Some(by),
        _ => None,
    })
}

fn claims(node: &Node) -> Vec<crate::onchain::Claim> {
    (node.seen.iter().rev())
        .find_map(|effect| match effect {
            Effect::Claims(claims) => Some(claims.clone()),
            _ => None,
        })
        .expect("claims")
}

fn busy() -> World {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(20_000_000, 1);
    world.nodes[BOB].offer(30_000_000, 2);
    world.settle();
    world
}

#[test]
fn a_commitment_that_is_broadcast_is_one_bitcoin_takes() {
    let mut world = busy();
    let output = world.nodes[0].channel().state().unwrap().funding_output().unwrap().to_txout();
    for who in [ALICE, BOB] {
        let tx = force_close(&mut world.nodes[who]);
        assert!(is_valid(&tx, &output), "both signatures are good");
        assert!(world.nodes[who].channel().bump(&world.nodes[who].env()).is_some());
    }
}

#[test]
fn both_ends_know_whose_commitment_it_is_and_claim_what_is_theirs() {
    let mut world = busy();
    let tx = force_close(&mut world.nodes[ALICE]);
    world.settle_wire();
    spend(&mut world, &tx);
    assert_eq!(spender(&world.nodes[ALICE]), Some(Spender::OurCommitment));
    assert_eq!(spender(&world.nodes[BOB]), Some(Spender::TheirCommitment));
    let delayed =
        |claim: &crate::onchain::Claim| matches!(claim.spend.recipe, Recipe::Delayed { .. });
    assert!(claims(&world.nodes[ALICE]).iter().any(delayed));
    let direct = |claim: &crate::onchain::Claim| matches!(claim.spend.recipe, Recipe::ToRemote);
    assert!(claims(&world.nodes[BOB]).iter().any(direct));
    for node in &world.nodes {
        assert_eq!(node.channel().stage(), Stage::OnChain);
    }
}

#[test]
fn a_revoked_commitment_raises_the_alarm_and_is_punished() {
    let mut world = World::open(&Setup::default());
    // Alice keeps a copy of herself from before she paid, and a signer that remembers nothing.
    let old = world.nodes[ALICE].channel().clone();
    let mut past = Node::new("alice of old", 1);
    past.channel = Some(old);
    world.nodes[ALICE].offer(20_000_000, 1);
    world.settle();
    let tx = force_close(&mut past);
    spend(&mut world, &tx);
    let bob = &world.nodes[BOB];
    assert_eq!(spender(bob), Some(Spender::RevokedCommitment));
    assert!(bob.seen.iter().any(|effect| matches!(effect, Effect::Alarm(Alarm::Breach { .. }))));
    let penalty =
        |claim: &crate::onchain::Claim| matches!(claim.spend.recipe, Recipe::PenaltyDelayed { .. });
    assert!(claims(bob).iter().any(penalty));
}

#[test]
fn a_strange_spend_raises_the_alarm() {
    let mut world = World::open(&Setup::default());
    spend(&mut world, &funding_tx(script(5), Sat::from_sat(10)));
    for node in &world.nodes {
        assert!(
            node.seen
                .iter()
                .any(|effect| matches!(effect, Effect::Alarm(Alarm::RogueSpend { .. })))
        );
    }
}

#[test]
fn a_mutual_close_is_recognised_and_ends_after_a_hundred_blocks() {
    let mut world = World::open(&Setup::default());
    let command = world.nodes[ALICE].command_id();
    let shutdown = Command::Shutdown { command, script: None, feerate: FEERATE };
    world.nodes[ALICE].step(Event::Command(shutdown));
    world.settle();
    let tx = world.nodes[BOB].seen.iter().find_map(|effect| match effect {
        Effect::Broadcast { tx, why: Why::MutualClose } => Some(tx.clone()),
        _ => None,
    });
    spend(&mut world, &tx.expect("a close"));
    for node in &mut world.nodes {
        assert_eq!(spender(node), Some(Spender::MutualClose));
        node.height += 120;
        node.step(Event::Chain(ChainFact::Tip));
        assert_eq!(node.channel().stage(), Stage::Closed);
        assert!(node.channel().is_over());
        // Whatever comes later changes nothing.
        node.crash();
        assert_eq!(node.channel().stage(), Stage::Closed);
    }
}

#[test]
fn an_offer_that_expires_is_taken_to_layer_1() {
    let mut world = busy();
    let alice = &mut world.nodes[ALICE];
    let expiry = HEIGHT + 2 + 100;
    alice.height = expiry + 1;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(alice.channel().stage(), Stage::Open, "a block of grace");
    alice.height = expiry + 2;
    alice.step(Event::Chain(ChainFact::Tip));
    let Stage::Failing(CloseReason::HtlcDeadline { offered_by_us: true, htlc: 0, .. }) =
        alice.channel().stage()
    else {
        panic!("{:?}", alice.channel().stage())
    };
    commitment(alice);
}

#[test]
fn a_preimage_that_is_ignored_is_taken_to_layer_1_in_time() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    bob.step(Event::Command(Command::FulfillHtlc {
        command,
        htlc: 0,
        preimage: preimage(1),
        attribution: None,
    }));
    let expiry = HEIGHT + 2 + 100;
    bob.height = expiry - 19;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), Stage::Open);
    bob.height = expiry - 18;
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(matches!(
        bob.channel().stage(),
        Stage::Failing(CloseReason::HtlcDeadline { offered_by_us: false, .. })
    ));
}

#[test]
fn a_frozen_channel_keeps_its_deadlines() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    bob.step(Event::Command(Command::FulfillHtlc {
        command,
        htlc: 0,
        preimage: preimage(1),
        attribution: None,
    }));
    bob.channel.as_mut().unwrap().apply(Fact::Frozen).unwrap();
    let expiry = HEIGHT + 2 + 100;
    bob.height = expiry - 19;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), Stage::Frozen);
    bob.height = expiry - 18;
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(matches!(
        bob.channel().stage(),
        Stage::Failing(CloseReason::HtlcDeadline { offered_by_us: false, .. })
    ));
    let output = bob.channel().state().unwrap().funding_output().unwrap().to_txout();
    assert!(is_valid(&commitment(bob), &output));
}

#[test]
fn stale_data_stays_stale_when_the_signer_fails_and_no_deadline_broadcasts_it() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    bob.channel.as_mut().unwrap().apply(Fact::DataLoss { theirs: 9 }).unwrap();
    let mut live = Live::restored(bob.channel().state().unwrap().clone());
    let mut out = Out::default();
    live.freeze(Alarm::Signer, &mut out);
    assert_eq!(live.stage(), Stage::DataLoss);
    assert!(out.record.is_empty());
    assert!(matches!(out.effects[..], [Effect::Alarm(Alarm::Signer), Effect::Disconnect]));
    bob.height += 500;
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(bob.channel().stage(), Stage::DataLoss);
    assert!(!bob.seen.iter().any(|effect| matches!(effect, Effect::Broadcast { .. })));
}

#[test]
fn c46_an_htlc_in_no_commitment_on_layer_1_fails_at_depth_and_is_told_once() {
    let mut world = busy();
    // Alice signs one more; Bob never hears of it and closes.
    world.nodes[ALICE].offer(9_000_000, 3);
    world.nodes[ALICE].step(Event::Commit);
    let tx = force_close(&mut world.nodes[BOB]);
    spend(&mut world, &tx);
    let alice = &mut world.nodes[ALICE];
    assert_eq!(spender(alice), Some(Spender::TheirCommitment));
    let told = |node: &mut Node| {
        (node.look().into_iter())
            .filter(|effect| match effect {
                Effect::Resolved(resolved) => {
                    assert_eq!((resolved.htlc, &resolved.outcome), (1, &Outcome::TimedOut));
                    true
                }
                _ => false,
            })
            .count()
    };
    assert_eq!(told(alice), 0);
    alice.height += alice.policy.fail_depth;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(told(alice), 1);
    alice.height += 1;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(told(alice), 0);
    alice.crash();
    let resolved: Vec<_> = alice.channel().resolved().collect();
    assert_eq!(resolved.len(), 1);
    assert_eq!(alice.channel().outgoing().count(), 1, "the other one is still open");
    alice.step(Event::Command(Command::ForgetResolved { htlc: 1 }));
    assert_eq!(alice.channel().resolved().count(), 0);
}

#[test]
fn c62_a_close_that_is_reorganised_away_is_broadcast_again() {
    let mut world = busy();
    let tx = force_close(&mut world.nodes[ALICE]);
    spend(&mut world, &tx);
    let alice = &mut world.nodes[ALICE];
    alice.look();
    alice.step(Event::Chain(ChainFact::FundingUnspent));
    assert!(matches!(alice.channel().stage(), Stage::Failing(_)));
    assert_eq!(commitment(alice).compute_txid(), tx.compute_txid());
}
