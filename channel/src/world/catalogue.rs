//! Losses that other implementations had around Layer 1, as stories of two whole channels.

mod fees;
mod own_state;

use wire::units::BlockHeight;

use super::disputes::{EXPIRY, alarms, busy, claims, commitment, outcomes, showing, tick};
use super::*;
use crate::clock::Side;
use crate::effect::Outcome;
use crate::onchain::Claim;

#[test]
fn c54_replacement_cycling_shows_the_preimage_and_that_is_enough() {
    // CVE-2023-40231: the preimage is only ever in the mempool, and our timeout never confirms.
    let mut world = busy();
    let tx = commitment(&mut world.nodes[ALICE]);
    let alice = &mut world.nodes[ALICE];
    let height = BlockHeight(EXPIRY);
    alice.height = EXPIRY;
    alice.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
    alice.look();
    let outpoint = OutPoint { txid: tx.compute_txid(), vout: 3 };
    let tx = showing(outpoint, &[&[1; 72], &preimage(1).0, &[2; 136]]);
    alice.step(Event::Chain(ChainFact::OutputSpendSeen { outpoint, tx }));
    assert_eq!(outcomes(alice).len(), 1);
    // Cycled out again; nobody takes the output back from us meanwhile.
    tick(alice, EXPIRY + 10);
    assert_eq!(outcomes(alice), []);
}

#[test]
fn c69_dust_closes_no_channel() {
    // lnd#7180: ten satoshis closed two channels.
    let mut world = World::open(&Setup::default());
    world.nodes[ALICE].offer(10_000, 1);
    world.settle();
    let alice = &mut world.nodes[ALICE];
    tick(alice, EXPIRY + 500);
    assert_eq!(alice.channel().stage(), Stage::Open);
    assert!(alarms(alice).is_empty());
    // Whoever paid for it is told in time all the same, and once.
    let expiry = BlockHeight(EXPIRY + 600);
    alice.step(Event::Command(Command::UpstreamExpires { htlc: 0, expiry }));
    tick(alice, EXPIRY + 596);
    assert_eq!(outcomes(alice), []);
    tick(alice, EXPIRY + 597);
    assert_eq!(outcomes(alice), [(0, Outcome::TimedOut)]);
    tick(alice, EXPIRY + 700);
    assert_eq!(outcomes(alice), []);
    // The peer comes back and shows the preimage: too late for whoever paid, and it is said.
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    let preimage = preimage(1);
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    world.settle();
    let alice = &mut world.nodes[ALICE];
    let amount_msat = msat(10_000);
    assert_eq!(alarms(alice), [Alarm::TakenAfterAll { htlc: 0, amount_msat }]);
    assert_eq!(outcomes(alice), []);
    let left: Vec<_> = alice.channel().resolved().map(|resolved| resolved.outcome).collect();
    assert_eq!(left, [Outcome::TimedOut], "what was said stands");
    assert_eq!(alice.channel().outgoing().count(), 0);
}

#[test]
fn c64_an_incoming_htlc_is_failed_in_time_although_the_outgoing_one_is_stuck() {
    // lnd#7683, LDK 0.1.1: one stuck claim closed the channels upstream, one after the other.
    for confirmed in [true, false] {
        let mut world = busy();
        let tx = commitment(&mut world.nodes[ALICE]);
        let alice = &mut world.nodes[ALICE];
        if confirmed {
            let height = BlockHeight(alice.height);
            alice.step(Event::Chain(ChainFact::FundingSpent { tx, height }));
        }
        let expiry = BlockHeight(EXPIRY + 80);
        alice.step(Event::Command(Command::UpstreamExpires { htlc: 0, expiry }));
        tick(alice, EXPIRY + 76);
        assert_eq!(outcomes(alice), []);
        tick(alice, EXPIRY + 77);
        let given_up =
            Notice::FailedBack { htlc: 0, amount_msat: msat(20_000_000), upstream_expiry: expiry };
        assert!(alice.notices().contains(&given_up));
        assert_eq!(outcomes(alice), [(0, Outcome::TimedOut)]);
        let left = alice.channel().resolution(&alice.env());
        if let Some(left) = left {
            let mine = |claim: &&Claim| claim.htlc == Some((Side::Us, 0));
            assert_eq!(left.claims.iter().filter(mine).count(), 1, "taken back all the same");
        }
        // Said again after a restart only by those who look.
        alice.crash();
        tick(alice, EXPIRY + 90);
        assert_eq!(outcomes(alice), []);
        assert_eq!(alice.channel().resolved().count(), 1);
    }
}

#[test]
fn c46_a_preimage_beats_the_deadline_of_the_incoming_htlc_in_the_same_step() {
    let mut world = busy();
    let tx = commitment(&mut world.nodes[ALICE]);
    let alice = &mut world.nodes[ALICE];
    let height = BlockHeight(alice.height);
    alice.step(Event::Chain(ChainFact::FundingSpent { tx: tx.clone(), height }));
    let expiry = BlockHeight(EXPIRY + 80);
    alice.step(Event::Command(Command::UpstreamExpires { htlc: 0, expiry }));
    alice.look();
    alice.height = EXPIRY + 79;
    let outpoint = OutPoint { txid: tx.compute_txid(), vout: 3 };
    let tx = showing(outpoint, &[&[1; 72], &preimage(1).0, &[2; 136]]);
    let height = BlockHeight(alice.height);
    alice.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx, height }));
    assert!(matches!(&outcomes(alice)[..], [(0, Outcome::Fulfilled { .. })]));
}

#[test]
fn c50_a_late_preimage_is_claimed_at_once() {
    // LDK 0.1.6: a preimage that came after the first claims made invalid ones.
    let mut world = busy();
    let tx = commitment(&mut world.nodes[ALICE]);
    let bob = &mut world.nodes[BOB];
    let height = BlockHeight(bob.height);
    bob.step(Event::Chain(ChainFact::FundingSpent { tx, height }));
    let mine = |claim: &&Claim| matches!(claim.htlc, Some((Side::Them, 0)));
    assert_eq!(claims(bob).unwrap().iter().filter(mine).count(), 0);
    // Our balance is taken meanwhile.
    let balance = claims(bob).unwrap().into_iter().find(|claim| claim.htlc.is_none()).unwrap();
    let outpoint = balance.spend.outpoint;
    let spend = showing(outpoint, &[&[1; 72], &[2; 37]]);
    bob.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx: spend, height }));
    bob.look();
    let command = bob.command_id();
    let preimage = preimage(1);
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    let now = claims(bob).unwrap();
    assert_eq!(now.iter().filter(mine).count(), 1);
    assert!(!now.iter().any(|claim| claim.spend.outpoint == outpoint));
}

#[test]
fn c67_blocks_that_come_in_a_batch_after_downtime_find_the_deadline_first() {
    let mut world = busy();
    let bob = &mut world.nodes[BOB];
    let command = bob.command_id();
    let preimage = preimage(1);
    let fulfill = Command::FulfillHtlc { command, htlc: 0, preimage, attribution: None };
    bob.step(Event::Command(fulfill));
    bob.disconnect();
    bob.crash();
    bob.look();
    tick(bob, EXPIRY + 200);
    assert!(matches!(bob.channel().stage(), Stage::Failing(_)));
    let place = |wanted: fn(&Effect) -> bool| bob.seen.iter().position(wanted);
    let broadcast = |effect: &Effect| matches!(effect, Effect::Broadcast { .. });
    assert!(place(broadcast).is_some());
    // Whatever the peer says when it comes back.
    bob.connect();
    assert!(matches!(bob.channel().stage(), Stage::Failing(_)));
}

#[test]
fn c51_a_reorganisation_that_swaps_the_close_takes_nothing_back_that_was_told() {
    let mut world = busy();
    let theirs = commitment(&mut world.nodes[BOB]);
    let alice = &mut world.nodes[ALICE];
    let height = BlockHeight(alice.height);
    let spent = |tx: &Transaction, height| ChainFact::FundingSpent { tx: tx.clone(), height };
    alice.step(Event::Chain(spent(&theirs, height)));
    // Our HTLC is taken back and buried.
    let claim = |node: &Node| {
        let mine = |claim: &Claim| claim.htlc == Some((Side::Us, 0));
        claims(node).unwrap().into_iter().find(mine)
    };
    let outpoint = claim(alice).unwrap().spend.outpoint;
    let timeout = showing(outpoint, &[&[1; 72], &[], &[2; 136]]);
    let buried = BlockHeight(EXPIRY + 1);
    alice.height = EXPIRY + 10;
    alice.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx: timeout, height: buried }));
    assert_eq!(outcomes(alice), [(0, Outcome::TimedOut)]);
    // A reorganisation of twenty blocks takes the spend and the close, and ours confirms instead.
    alice.step(Event::Chain(ChainFact::OutputUnspent { outpoint }));
    assert!(claim(alice).is_some(), "to be taken again");
    alice.step(Event::Chain(ChainFact::FundingUnspent));
    assert_eq!(claims(alice), Some(Vec::new()));
    let ours = commitment(alice);
    alice.step(Event::Chain(spent(&ours, buried)));
    let again = claim(alice).unwrap();
    assert_eq!(again.spend.outpoint.txid, ours.compute_txid());
    assert_eq!(outcomes(alice), []);
    // Even a preimage changes nothing of what was told; the loss is said.
    let outpoint = again.spend.outpoint;
    let tx = showing(outpoint, &[&[1; 72], &preimage(1).0, &[2; 136]]);
    alice.step(Event::Chain(ChainFact::OutputSpent { outpoint, tx, height: buried }));
    let amount_msat = msat(20_000_000);
    assert_eq!(alarms(alice), [Alarm::TakenAfterAll { htlc: 0, amount_msat }]);
    assert_eq!(outcomes(alice), []);
}

#[test]
fn c32_equal_htlcs_on_a_commitment_are_each_claimed_and_each_told() {
    // LDK 0.1.1, Eclair #3357: HTLCs with one hash and amount were taken for one another.
    let mut world = World::open(&Setup::default());
    for _ in 0..3 {
        world.nodes[ALICE].offer(20_000_000, 1);
    }
    world.settle();
    let tx = commitment(&mut world.nodes[BOB]);
    let alice = &mut world.nodes[ALICE];
    alice.height = EXPIRY;
    let height = BlockHeight(EXPIRY);
    alice.step(Event::Chain(ChainFact::FundingSpent { tx, height }));
    tick(alice, EXPIRY + 1);
    let mine = claims(alice).expect("claims");
    let named: std::collections::BTreeSet<_> = mine.iter().filter_map(|it| it.htlc).collect();
    assert_eq!(named, (0..3).map(|id| (Side::Us, id)).collect(), "each by its own id");
    // One shows the preimage: that one is fulfilled.
    let spent = mine.iter().find(|claim| claim.htlc == Some((Side::Us, 1))).expect("claimed");
    let outpoint = spent.spend.outpoint;
    let tx = showing(outpoint, &[&[1; 72], &preimage(1).0, &[2; 136]]);
    alice.step(Event::Chain(ChainFact::OutputSpendSeen { outpoint, tx }));
    let told: Vec<_> = outcomes(alice).into_iter().map(|(htlc, _)| htlc).collect();
    assert!(told.contains(&1), "{told:?}");
}
