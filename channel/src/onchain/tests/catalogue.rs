//! Losses that other implementations had on Layer 1, each as a story with a better end.

use bitcoin::TxOut;

use super::*;
use crate::tx::tests::PREIMAGE;

const SOME_SCRIPT: [u8; 22] = [0, 20, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];

fn revoked_by(world: &World, spec: &CommitmentSpec) -> Commitment {
    world.pair.commitment(Side::Us, Side::Them, 4, &mirrored(spec))
}

/// LND, 2025: an HTLC failed upstream although its preimage was known, because the other commitment
/// confirmed. Whichever commitment confirms, whether it shows the HTLC, however deep: a preimage fulfils.
#[test]
fn c46_excessive_failback_a_known_preimage_fulfils_whichever_commitment_confirms() {
    let base = World::busy();
    let revoked = revoked_by(&base, &spec());
    let future = base.pair.commitment(Side::Us, Side::Them, 11, &mirrored(&spec()));
    let closes =
        [base.ours.clone(), base.theirs[0].clone(), base.theirs[1].clone(), revoked, future];
    for close in closes {
        for shown in [true, false] {
            for depth in [0, 5, 6, 200] {
                let mut world = World::busy();
                world.outgoing.truncate(1);
                // Not shown: the HTLC is of a kind that no confirmed commitment has.
                let id = if shown { 0 } else { 99 };
                world.outgoing[0].id = id;
                world.preimages.insert((Side::Us, id), PREIMAGE);
                world.upstream.insert(id, BlockHeight(CLOSED.0 + 1));
                world.tip = CLOSED.saturating_add(depth);
                let fates = world.resolve(close.tx()).fates;
                assert_eq!(fates.get(&id), Some(&Fate::Fulfilled(PREIMAGE)));
            }
        }
    }
}

/// Eclair, 2025: preimages in witnesses were only looked for among the HTLCs of the newest commitment.
#[test]
fn c47_preimage_extraction_works_on_an_older_valid_commitment() {
    let mut world = World::busy();
    // The newest two of the peer's differ: only the older one, which is not revoked, has HTLC 0.
    let mut without = spec();
    let gone = without.htlcs.remove(0);
    without.to_other = without.to_other.checked_add(gone.amount).unwrap();
    world.theirs[1] = world.pair.commitment(Side::Us, Side::Them, 10, &mirrored(&without));
    let old = world.theirs[0].clone();
    let output = (old.htlcs().iter())
        .find(|output| name(Side::Them, &output.htlc) == (Side::Us, 0))
        .unwrap();
    let success = peer_spends(
        old.htlc_outpoint(output),
        &[&[], &[1; 72], &[1; 72], &PREIMAGE.0, output.witness_script.as_bytes()],
    );
    world.mine(&success, 1_001);
    let fates = world.resolve(old.tx()).fates;
    assert_eq!(fates.get(&0), Some(&Fate::Fulfilled(PREIMAGE)));
}

/// LDK before 0.1: when somebody took inputs of several aggregates at once, only the first of our claims
/// was repaired.
#[test]
fn c48_invalid_claims_one_spend_across_all_groups_leaves_exactly_the_others() {
    let spec = crowd(12, 10_000, Sat::from_sat(10_000_000));
    for taken in 1..12 {
        let mut world = World::cheated(&spec);
        let (revoked, tx) = world.cheat.clone().unwrap();
        let resolution = world.resolve(&tx);
        let groups = sweep::groups(&resolution.claims, CLOSED);
        assert!(groups.len() > 2);
        // The cheater takes every other one, from all groups, in one transaction.
        let outputs: Vec<_> = revoked.htlcs().iter().step_by(2).take(taken).collect();
        let mut thief = peer_spends(revoked.htlc_outpoint(outputs[0]), &[]);
        for output in &outputs[1..] {
            let mut input = coin(6);
            input.previous_output = revoked.htlc_outpoint(output);
            thief.input.push(input);
        }
        world.mine(&thief, 1_001);
        let left = world.resolve(&tx);
        let before = resolution.claims.iter().map(|claim| claim.spend.outpoint);
        let expected: Vec<_> = before
            .filter(|outpoint| !thief.input.iter().any(|input| input.previous_output == *outpoint))
            .collect();
        let now: Vec<_> = left.claims.iter().map(|claim| claim.spend.outpoint).collect();
        assert_eq!(now, expected);
        for group in sweep::groups(&left.claims, BlockHeight(1_001)) {
            world.sweep(&group, &[&tx]);
        }
    }
}

/// LDK, 2025: of HTLCs with the same hash on a revoked commitment, sources were forgotten or mixed up.
#[test]
fn c49_duplicate_htlcs_on_a_revoked_commitment_are_each_resolved_by_their_own_output() {
    let amount = Msat::new(10_000_000).unwrap();
    let mut alike = spec();
    let one = alike.htlcs[0];
    alike.htlcs = (0..8).map(|id| SpecHtlc { id, amount, ..one }).collect();
    alike.to_owner = Msat::new(420_000_000).unwrap();
    alike.to_other = Msat::new(500_000_000).unwrap();
    let mut world = World::new(&alike);
    // The revoked commitment has three of the eight; of the others nothing can be taken.
    let mut fewer = alike;
    fewer.htlcs.truncate(3);
    fewer.to_owner = Msat::new(470_000_000).unwrap();
    let revoked = revoked_by(&world, &fewer);
    world.tip = BlockHeight(1_100);
    let resolution = world.resolve(revoked.tx());
    assert_eq!(of_kind(&resolution, "htlc penalty").len(), 3);
    // Three wait for their outputs, five failed with the commitment; which is which does not matter.
    assert_eq!(resolution.fates.len(), 5);
    let penalty = of_kind(&resolution, "htlc penalty")[0].clone();
    let spend = world.sweep(&[&penalty], &[revoked.tx()]);
    world.mine(&spend, 1_101);
    world.tip = BlockHeight(1_106);
    let after = world.resolve(revoked.tx());
    assert_eq!(after.fates.len(), 6);
    assert_eq!(after.fates.get(&penalty.htlc.unwrap().1), Some(&Fate::Failed));
}

/// LDK 0.1.5, 0.2.5: a reorganisation of a batch left claims that were never made again.
#[test]
fn c52_a_reorganised_batch_comes_back_whole_at_every_depth() {
    let mut world = World::busy();
    let tx = world.their_tx(9);
    let fresh = world.resolve(&tx);
    let batch: Vec<_> = fresh.claims.iter().filter(|claim| !claim.needs_coins()).collect();
    let swept = world.sweep(&batch, &[&tx]);
    for depth in 0..20 {
        world.spends.clear();
        world.mine(&swept, 700_010);
        world.tip = BlockHeight(700_010 + depth);
        let taken = world.resolve(&tx);
        assert_eq!(kinds(&taken), ["anchor"]);
        assert_eq!(taken.fates.contains_key(&0), depth >= 5);
        world.spends.clear();
        world.tip = CLOSED;
        assert_eq!(world.resolve(&tx), fresh, "as if it had never happened");
    }
}

/// A cheater that spends several HTLCs at once, with other inputs and outputs between them.
#[test]
fn c59_aggregated_second_stages_are_found_by_their_place() {
    let world = World::cheated(&crowd(6, 50_000, Sat::from_sat(10_000_000)));
    let (revoked, tx) = world.cheat.clone().unwrap();
    let mut world = world;
    let spends: Vec<_> = (revoked.htlcs().iter().zip(&world.cheat_signatures))
        .filter(|(output, _)| output.htlc.direction == Direction::Received)
        .map(|(output, signature)| {
            let key = HtlcKey::Preimage(known_preimage(output.htlc.id));
            revoked.htlc_spend(output, *signature, key)
        })
        .collect();
    assert_eq!(spends.len(), 3);
    let mut second = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: Vec::new(),
        output: Vec::new(),
    };
    let other = TxOut { value: Sat::from_sat(1_000), script_pubkey: SOME_SCRIPT.to_vec().into() };
    for (place, spend) in spends.iter().enumerate() {
        second.input.push(coin(place as u8 + 20));
        second.output.push(other.clone());
        second.input.push(bitcoin::TxIn {
            previous_output: spend.outpoint,
            sequence: spend.sequence(),
            ..coin(0)
        });
        second.output.push(spend.paired_output().unwrap().clone());
    }
    let all: Vec<_> = spends.iter().collect();
    world.pair.them.sign_spends(&mut second, &all).unwrap();
    for (place, spend) in spends.iter().enumerate() {
        let spent = &tx.output[usize::try_from(spend.outpoint.vout).unwrap()];
        assert!(accepts(&second, 2 * place + 1, spent), "the cheat itself is valid");
    }
    world.mine(&second, 1_001);
    let resolution = world.resolve(&tx);
    let stages: Vec<_> = (resolution.claims.iter())
        .filter(|claim| claim.spend.outpoint.txid == second.compute_txid())
        .collect();
    assert_eq!(stages.iter().map(|claim| claim.spend.outpoint.vout).collect::<Vec<_>>(), [1, 3, 5]);
    assert!(stages.iter().all(|claim| !claim.contested));
    world.sweep(&stages, &[&second]);
    // What the cheater showed on its way opens the incoming HTLCs.
    for id in stages.iter().map(|claim| claim.htlc.unwrap().1) {
        let fulfilled = Fate::Fulfilled(known_preimage(id));
        world.outgoing =
            vec![SpecHtlc { payment_hash: known_preimage(id).hash(), id, ..spec().htlcs[0] }];
        assert_eq!(world.resolve(&tx).fates.get(&id), Some(&fulfilled));
    }
}

/// LDK 0.1.1, LND #7683: an incoming HTLC was kept while the outgoing one was stuck on Layer 1, so that
/// the channel it came in by was closed, too.
#[test]
fn c64_an_incoming_htlc_is_not_held_for_an_outgoing_one_that_is_stuck() {
    for close in [World::busy().our_tx, World::busy().their_tx(9)] {
        let mut world = World::busy();
        world.upstream.insert(0, BlockHeight(700_100));
        world.tip = BlockHeight(700_096);
        let waits = world.resolve(&close);
        assert_eq!(waits.fates.get(&0), None, "not before it must be");
        let claim = waits.claims.iter().find(|claim| claim.htlc == Some((Side::Us, 0))).unwrap();
        assert_eq!(claim.deadline, Some(BlockHeight(700_100)));
        world.tip = BlockHeight(700_097);
        let late = world.resolve(&close);
        assert_eq!(late.fates.get(&0), Some(&Fate::Failed));
        assert!(!late.done);
        assert_eq!(late.claims, waits.claims, "it is taken back all the same");
    }
}

/// A preimage of one HTLC says nothing about whether another one with the same hash may be claimed: what
/// was not decided to be fulfilled is not (CVE-2020-26896).
#[test]
fn a_preimage_seen_for_an_outgoing_htlc_does_not_claim_an_incoming_one() {
    let mut world = World::busy();
    world.preimages.insert((Side::Us, 0), PREIMAGE);
    for close in [world.our_tx.clone(), world.their_tx(9)] {
        let incoming = |claim: &&Claim| matches!(claim.htlc, Some((Side::Them, _)));
        assert_eq!(world.resolve(&close).claims.iter().filter(incoming).count(), 0);
    }
}

/// Down while the peer cheated: found 100 blocks later, everything is there and ready at once.
#[test]
fn c68_a_breach_that_is_found_late_is_punished_before_the_delay_is_over() {
    let mut world = World::cheated(&crowd(20, 20_000, Sat::from_sat(10_000_000)));
    let (_, tx) = world.cheat.clone().unwrap();
    world.tip = CLOSED.saturating_add(u32::from(Pair::OUR_DELAY) - 2);
    let resolution = world.resolve(&tx);
    let groups = sweep::groups(&resolution.claims, world.tip);
    let penalties = groups.iter().filter(|group| group[0].deadline.is_some());
    assert!(penalties.clone().all(|group| group.len() == 1), "near the end each goes alone");
    assert_eq!(penalties.count(), 21);
    let deadline = resolution.claims.iter().filter_map(|claim| claim.deadline).min().unwrap();
    assert_eq!(deadline, world.tip.saturating_add(1), "one block is left");
    for group in groups {
        world.sweep(&group, &[&tx]);
    }
}
