//! Breaches by states that nobody remembers: the archive is asked, and everything is taken.

use wire::units::BlockHeight;

use super::*;
use crate::clock::Side;
use crate::past::{PastHtlc, Search};
use crate::tx::Recipe;

/// What an archive behind a channel would hold by now, and the channel with nothing left of it in memory.
fn archive(node: &mut Node) -> Vec<PastHtlc> {
    let all: Vec<_> = node.channel().state().unwrap().past.recent().copied().collect();
    node.step(Event::Command(Command::PastArchived { upto: all.len() as u64 }));
    assert_eq!(node.channel().state().unwrap().past.recent().len(), 0);
    all
}

fn fulfil(world: &mut World, who: usize, htlc: u64, payment: u64) {
    let command = world.nodes[who].command_id();
    let preimage = preimage(payment);
    let fulfill = Command::FulfillHtlc { command, htlc, preimage, attribution: None };
    world.nodes[who].step(Event::Command(fulfill));
    world.settle();
}

/// Alice shows a state with HTLCs both ways that were settled, dust among them, many payments ago.
fn cheated() -> (World, Transaction, Vec<PastHtlc>) {
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(40_000_000, 1);
    world.settle();
    fulfil(&mut world, BOB, 0, 1);
    for payment in 2..5 {
        world.nodes[ALICE].offer(5_000_000 + payment, payment);
        world.nodes[BOB].offer(3_000_000 + payment, payment + 10);
    }
    world.nodes[ALICE].offer(100_000, 9);
    world.settle();
    let mut past = Node::new("alice of old", 1);
    past.channel = Some(world.nodes[ALICE].channel().clone());
    for payment in 2..5 {
        fulfil(&mut world, BOB, payment - 1, payment);
        fulfil(&mut world, ALICE, payment - 2, payment + 10);
    }
    fulfil(&mut world, BOB, 4, 9);
    for payment in 20..24 {
        world.nodes[ALICE].offer(2_000_000, payment);
        world.settle();
        fulfil(&mut world, BOB, payment - 15, payment);
    }
    let all = archive(&mut world.nodes[BOB]);
    assert_eq!(all.len(), 1 + 6 + 4, "dust is not kept");
    let command = past.command_id();
    past.step(Event::Command(Command::ForceClose { command }));
    let tx = (past.seen.iter())
        .find_map(|effect| match effect {
            Effect::Broadcast { tx, why: Why::ForceClose } => Some(tx.clone()),
            _ => None,
        })
        .unwrap();
    (world, tx, all)
}

fn confirm(node: &mut Node, tx: &Transaction) {
    let height = BlockHeight(node.height);
    node.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
}

fn asked(node: &mut Node) -> Vec<Search> {
    (node.look().into_iter())
        .filter_map(|effect| match effect {
            Effect::SearchHistory(search) => Some(*search),
            _ => None,
        })
        .collect()
}

fn answer(node: &mut Node, mut search: Search, archive: &[PastHtlc]) {
    assert_eq!(search.archived(), 11);
    archive.iter().for_each(|htlc| search.offer(*htlc));
    node.step(Event::Chain(search.finish()));
}

/// The value of everything that a penalty takes, by the last claims.
fn punished(node: &Node) -> Sat {
    let claims = (node.seen.iter().rev()).find_map(|effect| match effect {
        Effect::Claims(claims) => Some(claims.clone()),
        _ => None,
    });
    (claims.unwrap().iter())
        .filter(|claim| {
            matches!(claim.spend.recipe, Recipe::PenaltyDelayed { .. } | Recipe::PenaltyHtlc { .. })
        })
        .map(|claim| claim.spend.value)
        .sum()
}

/// What a cheat's commitment has but our own balance and the anchors.
fn everything(node: &Node, tx: &Transaction) -> Sat {
    let balance = node.channel().state().unwrap().terms.our_keys.payment;
    let to_us = tx::script::to_remote(&balance).to_p2wsh();
    let anchors = Sat::from_sat(660);
    let ours: Sat =
        tx.output.iter().filter(|out| out.script_pubkey == to_us).map(|out| out.value).sum();
    let all: Sat = tx.output.iter().map(|out| out.value).sum();
    all - ours - anchors
}

#[test]
fn a_state_that_only_the_archive_remembers_is_punished_whole() {
    let (mut world, tx, archive) = cheated();
    let bob = &mut world.nodes[BOB];
    confirm(bob, &tx);
    let asked = asked(bob).pop().expect("the archive is asked");
    // A block later it is not asked again.
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(self::asked(bob).is_empty());
    answer(bob, asked, &archive);
    assert_eq!(punished(bob), everything(bob, &tx));
    assert!(
        !bob.seen
            .iter()
            .any(|effect| matches!(effect, Effect::Alarm(Alarm::OutputsUnknown { .. })))
    );
}

#[test]
fn what_only_the_archive_remembers_is_punished_before_a_block_has_the_cheat() {
    let (mut world, tx, archive) = cheated();
    let bob = &mut world.nodes[BOB];
    bob.step(Event::Chain(ChainFact::FundingSpendSeen { tx: tx.clone() }));
    let search = asked(bob).pop().expect("the archive is asked at once");
    answer(bob, search, &archive);
    assert_eq!(punished(bob), everything(bob, &tx));
    // The block brings nothing new: the same is taken, and nobody is asked again.
    confirm(bob, &tx);
    assert_eq!(punished(bob), everything(bob, &tx));
    assert!(asked(bob).is_empty());
}

#[test]
fn a_cheat_that_leaves_the_mempool_while_it_is_searched_for_is_punished_whole_when_a_block_has_it()
{
    for comes_back in [false, true] {
        let (mut world, tx, archive) = cheated();
        let bob = &mut world.nodes[BOB];
        bob.step(Event::Chain(ChainFact::FundingSpendSeen { tx: tx.clone() }));
        let search = asked(bob).pop().expect("the archive is asked at once");
        bob.step(Event::Chain(ChainFact::FundingSpendVanished { txid: tx.compute_txid() }));
        if comes_back {
            // It is asked once: the answer that is on its way will do.
            bob.step(Event::Chain(ChainFact::FundingSpendSeen { tx: tx.clone() }));
            assert!(asked(bob).is_empty());
            answer(bob, search, &archive);
        } else {
            answer(bob, search, &archive);
            confirm(bob, &tx);
            let search = asked(bob).pop().expect("nothing was kept of the answer");
            answer(bob, search, &archive);
        }
        confirm(bob, &tx);
        assert_eq!(punished(bob), everything(bob, &tx));
        assert!(asked(bob).is_empty());
    }
}

#[test]
fn what_was_found_survives_a_restart_and_a_search_that_did_not_end_is_asked_again() {
    let (mut world, tx, archive) = cheated();
    let bob = &mut world.nodes[BOB];
    confirm(bob, &tx);
    assert_eq!(asked(bob).len(), 1);
    bob.crash();
    // The world replays every record, so what the archive has is in memory again; a snapshot would not.
    bob.step(Event::Command(Command::PastArchived { upto: 11 }));
    bob.step(Event::Chain(ChainFact::Tip));
    let search = asked(bob).pop().expect("asked again");
    answer(bob, search, &archive);
    let before = punished(bob);
    bob.crash();
    bob.step(Event::Command(Command::PastArchived { upto: 11 }));
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(asked(bob).is_empty());
    bob.step(Event::Chain(ChainFact::Tip));
    assert_eq!(punished(bob), before);
    let again = Channel::decode_snapshot(&bob.channel().encode_snapshot()).unwrap();
    assert_eq!(again.state(), bob.channel().state());
}

#[test]
fn an_archive_with_holes_is_said_aloud_and_the_rest_is_taken() {
    let (mut world, tx, archive) = cheated();
    let bob = &mut world.nodes[BOB];
    confirm(bob, &tx);
    let search = asked(bob).pop().unwrap();
    let shown: Vec<_> = archive[1..7].to_vec();
    answer(bob, search, &shown[..4]);
    let alarm = bob.seen.iter().find_map(|effect| match effect {
        Effect::Alarm(Alarm::OutputsUnknown { count, .. }) => Some(*count),
        _ => None,
    });
    assert_eq!(alarm, Some(2));
    bob.step(Event::Chain(ChainFact::Tip));
    assert!(punished(bob) > Sat::from_sat(10_000));
}

#[test]
fn an_answer_that_does_not_fit_is_not_believed() {
    let (mut world, tx, _) = cheated();
    let bob = &mut world.nodes[BOB];
    confirm(bob, &tx);
    let strange = PastHtlc { by: Side::Us, hash: [1; 20], cltv_expiry: BlockHeight(600) };
    let records = bob.disk.records.len();
    let other = funding_tx(script(9), Sat::from_sat(1)).compute_txid();
    bob.step(Event::Chain(ChainFact::HistoryFound { txid: other, htlcs: vec![strange] }));
    assert_eq!(bob.disk.records.len(), records);
    let txid = tx.compute_txid();
    bob.step(Event::Chain(ChainFact::HistoryFound { txid, htlcs: vec![strange] }));
    assert_eq!(bob.channel().state().unwrap().past.found(txid), Some(&[][..]));
}
