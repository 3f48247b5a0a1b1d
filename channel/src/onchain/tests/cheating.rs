//! The peer publishes a commitment that it revoked, and loses everything.

use super::*;
use crate::tx::Inline;
use crate::tx::tests::PREIMAGE;

/// A world and the signed revoked commitment 4 that the cheater publishes, with four HTLCs.
fn cheated() -> (World, Commitment, Transaction, Vec<Signature>) {
    let nothing = CommitmentSpec {
        to_owner: Msat::new(500_000_000).unwrap(),
        to_other: Msat::new(500_000_000).unwrap(),
        htlcs: Vec::new(),
        feerate: FeeratePerKw(253),
    };
    let mut world = World::new(&nothing);
    let (revoked, tx, signatures) = world.pair.signed(Side::Them, 4, &mirrored(&spec()));
    // Signing as its owner sees it was the cheater's own doing; we sign what comes after with a fresh
    // signer that knows nothing of it.
    world.pair.us = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap();
    world.past = mirrored(&spec()).htlcs;
    (world, revoked, tx, signatures)
}

#[test]
fn every_output_of_a_revoked_commitment_is_taken() {
    let (world, _, tx, _) = cheated();
    let resolution = world.resolve(&tx);
    assert_eq!(resolution.close, Close::Revoked { number: 4 });
    let all = ["htlc penalty", "htlc penalty", "htlc penalty", "penalty", "to_remote"];
    assert_eq!(kinds(&resolution), all);
    for claim in &resolution.claims {
        world.sweep(&[claim], &[&tx]);
        if kind(claim) != "to_remote" {
            assert!(claim.is_ready(CLOSED));
            assert_eq!(claim.deadline, Some(BlockHeight(1_000 + 144 - 1)));
            // What was offered to the cheater it can take with a preimage at once, and nothing else before
            // its own delay or the expiry.
            let ours = matches!(claim.htlc, Some((Side::Us, _)));
            assert_eq!(claim.contested, ours, "{:?}", claim.htlc);
        }
    }
    let claims: Vec<_> = resolution.claims.iter().collect();
    let swept = world.sweep(&claims, &[&tx]);
    let taken: u64 = swept.output.iter().map(|out| out.value.to_sat()).sum();
    assert!(taken > 990_000, "{taken} of 1 000 000");
}

#[test]
fn what_the_cheater_makes_of_its_htlcs_is_taken_too() {
    let (mut world, revoked, tx, signatures) = cheated();
    // The cheater spends an incoming and an outgoing HTLC of its own in two batches with coins around them.
    for (output, signature) in revoked.htlcs().iter().zip(&signatures) {
        let key = match output.htlc.direction {
            Direction::Received => HtlcKey::Preimage(PREIMAGE),
            Direction::Offered => HtlcKey::Expiry(output.htlc.cltv_expiry),
        };
        let spend = revoked.htlc_spend(output, *signature, key);
        let fee_coin = Coin {
            outpoint: coin(1).previous_output,
            value: Sat::from_sat(9_000),
            input_weight: 272,
        };
        let to = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::all_zeros());
        let sweep = sweep::build(&[&spend], &[fee_coin], &to, FeeratePerKw(500)).unwrap();
        let mut second = sweep.tx;
        world.pair.them.sign_spends(&mut second, &[&spend]).unwrap();
        let spent = &tx.output[usize::try_from(output.vout).unwrap()];
        assert!(accepts(&second, 0, spent), "the cheat itself is valid");
        world.mine(&second, 1_010);

        let resolution = world.resolve(&tx);
        let penalty = (resolution.claims.iter())
            .find(|claim| claim.spend.outpoint.txid == second.compute_txid())
            .unwrap();
        assert_eq!(penalty.deadline, Some(BlockHeight(1_010 + 144 - 1)));
        assert_eq!(penalty.htlc, Some(name(Side::Them, &output.htlc)));
        world.sweep(&[penalty], &[&second]);
        assert!(resolution.watch.contains(&penalty.spend.outpoint));
    }
    assert_eq!(
        kinds(&world.resolve(&tx)),
        ["penalty", "penalty", "penalty", "penalty", "to_remote"]
    );
}

#[test]
fn second_stages_in_one_transaction_are_found_by_their_place() {
    let (mut world, revoked, tx, signatures) = cheated();
    let received: Vec<_> = (revoked.htlcs().iter().zip(&signatures))
        .filter(|(output, _)| output.htlc.direction == Direction::Received)
        .map(|(output, signature)| {
            revoked.htlc_spend(output, *signature, HtlcKey::Preimage(PREIMAGE))
        })
        .collect();
    assert_eq!(received.len(), 2);
    let spends: Vec<_> = received.iter().collect();
    let outpoint = coin(1).previous_output;
    let coins = [Coin { outpoint, value: Sat::from_sat(9_000), input_weight: 272 }];
    let to = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::all_zeros());
    let mut second = sweep::build(&spends, &coins, &to, FeeratePerKw(500)).unwrap().tx;
    world.pair.them.sign_spends(&mut second, &spends).unwrap();
    world.mine(&second, 1_010);
    let resolution = world.resolve(&tx);
    let penalties: Vec<_> = (resolution.claims.iter())
        .filter(|claim| claim.spend.outpoint.txid == second.compute_txid())
        .collect();
    assert_eq!(penalties.len(), 2);
    world.sweep(&penalties, &[&second]);
}

#[test]
fn an_htlc_that_we_forgot_is_watched_and_punished_when_it_moves() {
    let (mut world, revoked, tx, signatures) = cheated();
    world.past.clear();
    let resolution = world.resolve(&tx);
    assert_eq!(resolution.close, Close::Revoked { number: 4 });
    assert_eq!(kinds(&resolution), ["penalty", "to_remote"]);
    for output in revoked.htlcs() {
        assert!(resolution.watch.contains(&revoked.htlc_outpoint(output)));
    }
    let (output, signature) = revoked.htlcs().iter().zip(&signatures).next().unwrap();
    let spend = revoked.htlc_spend(output, *signature, HtlcKey::Preimage(PREIMAGE));
    let second = crate::tx::tests::sweep(&[&spend]);
    world.mine(&second, 1_010);
    let resolution = world.resolve(&tx);
    assert_eq!(kinds(&resolution), ["penalty", "penalty", "to_remote"]);
    let penalty = of_kind(&resolution, "penalty");
    world.sweep(&penalty, &[&tx, &second]);
    // Two more are still there: it is not over, however long it takes.
    for claim in &resolution.claims {
        world.spends.push((claim.spend.outpoint, second.clone(), BlockHeight(1_020)));
    }
    world.tip = BlockHeight(900_000);
    assert!(!world.resolve(&tx).done);
}

#[test]
fn every_revoked_commitment_is_recognised_and_punished() {
    let (mut world, ..) = cheated();
    for number in 0..9 {
        world.pair.us = InMemorySigner::new(&[1; 32], 3, Memory::default()).unwrap();
        let tx = world.pair.commitment(Side::Us, Side::Them, number, &mirrored(&spec()));
        let resolution = world.resolve(tx.tx());
        assert_eq!(resolution.close, Close::Revoked { number });
        assert_eq!(resolution.claims.len(), 5);
        let claims: Vec<_> = resolution.claims.iter().collect();
        world.sweep(&claims, &[tx.tx()]);
    }
}

#[test]
fn a_cheater_without_anything_left_is_still_recognised_by_what_it_pays_us() {
    let (mut world, ..) = cheated();
    world.past.clear();
    let all_ours = CommitmentSpec {
        to_owner: Msat::ZERO,
        to_other: Msat::new(1_000_000_000).unwrap(),
        htlcs: Vec::new(),
        feerate: FeeratePerKw(253),
    };
    let tx = world.pair.commitment(Side::Us, Side::Them, 4, &all_ours);
    let resolution = world.resolve(tx.tx());
    assert_eq!(resolution.close, Close::Revoked { number: 4 });
    assert_eq!(kinds(&resolution), ["to_remote"]);
}

#[test]
fn near_its_deadline_each_penalty_goes_alone() {
    let (world, _, tx, _) = cheated();
    let resolution = world.resolve(&tx);
    let far = sweep::groups(&resolution.claims, BlockHeight(1_001));
    // What the cheater must wait for apart from what it can spend and pin any moment, and ours apart from
    // both.
    assert_eq!(far.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(far[0].iter().all(|claim| !claim.contested));
    assert!(far[1].iter().all(|claim| claim.contested));
    let near = sweep::groups(&resolution.claims, BlockHeight(1_000 + 143 - 18));
    assert_eq!(near.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1, 1]);
    let young = sweep::groups(&resolution.claims, BlockHeight(999));
    assert_eq!(young.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2], "ours is not mature");
}

#[test]
fn sweeps_that_cannot_be_are_refused() {
    let world = World::busy();
    let resolution = world.resolve(&world.our_tx);
    let timeouts: Vec<_> =
        of_kind(&resolution, "htlc-timeout").iter().map(|claim| &claim.spend).collect();
    let to = bitcoin::ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::all_zeros());
    let feerate = FeeratePerKw(1_000);
    let build = |spends: &[&Spend], coins: &[Coin]| sweep::build(spends, coins, &to, feerate);
    assert_eq!(build(&[], &[]), Err(sweep::SweepError::Empty));
    assert_eq!(build(&timeouts, &[]), Err(sweep::SweepError::LockTimes));
    let groups = sweep::groups(&resolution.claims, BlockHeight(800_000));
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    let alone = build(&timeouts[..1], &[]);
    assert!(matches!(alone, Err(sweep::SweepError::Short { fee, missing }) if fee == missing));
    let anchor: Vec<_> = of_kind(&resolution, "anchor").iter().map(|claim| &claim.spend).collect();
    let short = build(&anchor, &[]);
    assert!(matches!(short, Err(sweep::SweepError::Short { .. })));
    // A coin that only just pays leaves no change.
    let outpoint = coin(1).previous_output;
    let exact = Coin { outpoint, value: Sat::from_sat(1_100), input_weight: 272 };
    let sweep = build(&timeouts[..1], &[exact]).unwrap();
    assert_eq!(sweep.tx.output.len(), 1);
    assert_eq!(sweep.fee, Sat::from_sat(1_100));
    let signed = world
        .pair
        .them
        .sign_theirs(&world.pair.commitment(Side::Them, Side::Us, 9, &spec()), &Inline);
    assert!(signed.is_ok());
}
