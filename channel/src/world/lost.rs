//! One side lost everything but what a backup keeps: the other closes, and the balance comes home.

use wire::units::BlockHeight;

use super::*;
use crate::Refusal;
use crate::effect::{Notice, Spender};
use crate::fact::Restored;
use crate::state::End;
use crate::tx::Recipe;

/// What a backup keeps of a node's channel.
fn kept(node: &Node) -> Restored {
    let state = node.channel().state().unwrap();
    let terms =
        Terms { push: Msat::ZERO, first_feerate: FeeratePerKw::FLOOR, ..state.terms.clone() };
    Restored { terms, funding: state.fundings[0].outpoint, created: state.created }
}

/// Alice's disk burns; her seed and her backup do not.
fn alice_restores(world: &mut World) -> Transaction {
    let restored = kept(&world.nodes[ALICE]);
    let (command, old) = (world.nodes[ALICE].command_id(), &mut world.nodes[ALICE]);
    old.step(Event::Command(Command::ForceClose { command }));
    let own = broadcast(old).expect("a commitment of before");
    world.nodes[BOB].disconnect();
    let mut alice = Node::new("alice", 1);
    let step = Channel::lost(restored, &alice.env()).unwrap();
    alice.stage(step);
    alice.flush();
    world.nodes[ALICE] = alice;
    own
}

fn broadcast(node: &Node) -> Option<Transaction> {
    node.seen.iter().find_map(|effect| match effect {
        Effect::Broadcast { tx, .. } => Some(tx.clone()),
        _ => None,
    })
}

fn spend(node: &mut Node, tx: &Transaction) {
    let height = BlockHeight(node.height);
    node.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
}

fn claims(node: &Node) -> Vec<crate::onchain::Claim> {
    let last = node.seen.iter().rev().find_map(|effect| match effect {
        Effect::Claims(claims) => Some(claims.clone()),
        _ => None,
    });
    last.expect("claims")
}

fn busy() -> World {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(20_000_000, 1);
    world.nodes[BOB].offer(30_000_000, 2);
    world.settle();
    world
}

#[test]
fn the_peer_of_a_restored_channel_closes_and_the_balance_on_its_commitment_is_ours() {
    let mut world = busy();
    alice_restores(&mut world);
    assert_eq!(world.nodes[ALICE].channel().stage(), Stage::Lost);
    world.nodes.iter_mut().for_each(Node::connect);
    let Some(Message::ChannelReestablish(said)) = world.nodes[ALICE].outbox.front() else {
        panic!("she asks")
    };
    assert_eq!((said.next_commitment_number, said.next_revocation_number), (0, 0));
    assert_eq!(said.your_last_per_commitment_secret, [0; 32]);
    world.settle_wire();
    let tx = broadcast(&world.nodes[BOB]).expect("he closes");
    let state = world.nodes[BOB].channel().state().unwrap();
    let output = state.funding_output().unwrap().to_txout();
    assert!(is_valid(&tx, &output));
    let alice = &mut world.nodes[ALICE];
    assert!(broadcast(alice).is_none(), "she has nothing to broadcast");
    spend(alice, &tx);
    let by = alice.notices().into_iter().find_map(|notice| match notice {
        Notice::OnChain { by, .. } => Some(by),
        _ => None,
    });
    assert_eq!(by, Some(Spender::FutureCommitment));
    assert!(!alice.seen.iter().any(|effect| matches!(effect, Effect::Alarm(_))));
    let [claim] = <[_; 1]>::try_from(claims(alice)).expect("one claim");
    assert_eq!(claim.spend.recipe, Recipe::ToRemote);
    let outpoint = claim.spend.outpoint;
    assert_eq!(tx.output[outpoint.vout as usize].value, claim.spend.value);

    // Taken, and a hundred blocks later it is over.
    let height = BlockHeight(alice.height + 1);
    let taken = Transaction {
        input: vec![TxIn { previous_output: outpoint, ..Default::default() }],
        ..tx.clone()
    };
    alice.height += 1;
    alice.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx: taken, height }));
    alice.height += 98;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(alice.channel().stage(), Stage::OnChain);
    alice.height += 1;
    alice.step(Event::Chain(ChainFact::Tip));
    assert_eq!(alice.channel().stage(), Stage::Closed);
}

#[test]
fn a_commitment_of_our_own_that_was_broadcast_before_the_loss_pays_us_after_its_delay() {
    let mut world = busy();
    let own = alice_restores(&mut world);
    let alice = &mut world.nodes[ALICE];
    spend(alice, &own);
    let claims = claims(alice);
    let [claim] = claims.as_slice() else { panic!("one claim: {claims:?}") };
    let Recipe::Delayed { to_self_delay, .. } = claim.spend.recipe else { panic!("{claim:?}") };
    assert_eq!(to_self_delay, alice.channel().terms().unwrap().them.to_self_delay);
    assert_eq!(claim.mature, BlockHeight(alice.height + u32::from(to_self_delay)));
    assert!(claim.contested, "if it is an old one the peer may be faster");
}

#[test]
fn a_restored_channel_signs_nothing_whatever_happens_to_it() {
    let mut world = busy();
    alice_restores(&mut world);
    let alice = &mut world.nodes[ALICE];
    let memory = alice.channel().signer_memory();
    assert_eq!((memory.revealed, memory.signed_theirs), (u64::MAX, u64::MAX));
    let command = alice.command_id();
    alice.step(Event::Command(Command::ForceClose { command }));
    assert_eq!(alice.answer(command), Err(Refusal::Stale));
    world.nodes.iter_mut().for_each(Node::connect);
    let alice = &mut world.nodes[ALICE];
    let error = wire::message::Error { channel_id: alice.channel().id(), data: vec![1] };
    alice.step(Event::Peer(error.into()));
    alice.height += 5_000;
    alice.step(Event::Chain(ChainFact::Tip));
    alice.step(Event::Commit);
    assert_eq!(alice.channel().stage(), Stage::Lost);
    assert!(broadcast(alice).is_none());
    assert_eq!(alice.channel().balances(), None);
}

#[test]
fn a_restored_channel_survives_its_bytes() {
    let mut world = busy();
    alice_restores(&mut world);
    let alice = &mut world.nodes[ALICE];
    let before = alice.channel().state().cloned();
    assert_eq!(before.as_ref().and_then(|state| state.end.clone()), Some(End::Lost));
    alice.crash();
    assert_eq!(alice.channel().state().cloned(), before);
}

#[test]
fn two_sides_that_both_lost_everything_ask_each_other_and_break_nothing() {
    let mut world = busy();
    let kept_by_bob = kept(&world.nodes[BOB]);
    alice_restores(&mut world);
    let mut bob = Node::new("bob", 2);
    let step = Channel::lost(kept_by_bob, &bob.env()).unwrap();
    bob.stage(step);
    bob.flush();
    world.nodes[BOB] = bob;
    world.nodes.iter_mut().for_each(Node::connect);
    world.settle_wire();
    for node in &world.nodes {
        assert_eq!(node.channel().stage(), Stage::Lost);
        assert!(broadcast(node).is_none());
    }
}
