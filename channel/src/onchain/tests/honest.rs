//! Closes by which nobody is cheated: where each output is, and when it can be taken.

use super::*;

#[test]
fn a_mutual_close_leaves_nothing_to_do_but_wait() {
    let mut world = World::new(&CommitmentSpec {
        to_owner: Msat::new(1_000_000_000).unwrap(),
        to_other: Msat::ZERO,
        htlcs: Vec::new(),
        feerate: FeeratePerKw(253),
    });
    let close = coin_close(&world);
    assert_eq!(world.resolve(&close).close, Close::Unknown);
    world.closes.push(close.compute_txid());
    let resolution = world.resolve(&close);
    assert_eq!(resolution.close, Close::Mutual);
    assert!(resolution.claims.is_empty() && !resolution.done);
    world.tip = BlockHeight(1_098);
    assert!(!world.resolve(&close).done);
    world.tip = BlockHeight(1_099);
    assert!(world.resolve(&close).done);
}

/// Any other transaction that spends the funding output.
fn coin_close(world: &World) -> Transaction {
    let mut tx = world.our_tx.clone();
    tx.input[0].sequence = bitcoin::Sequence::MAX;
    tx
}

#[test]
fn our_own_commitment_gives_back_our_balance_after_the_delay() {
    let world = World::busy();
    let resolution = world.resolve(&world.our_tx);
    assert_eq!(resolution.close, Close::Ours);
    assert_eq!(kinds(&resolution), ["anchor", "delayed", "htlc-timeout", "htlc-timeout"]);
    let balance = of_kind(&resolution, "delayed")[0];
    assert_eq!(balance.mature, BlockHeight(1_000 + 40_000));
    assert!(!balance.is_ready(BlockHeight(40_998)));
    assert!(balance.is_ready(BlockHeight(40_999)));
    assert!(!balance.contested);
    world.sweep(&[balance], &[&world.our_tx]);
    world.sweep(&of_kind(&resolution, "anchor"), &[&world.our_tx]);
}

#[test]
fn an_outgoing_htlc_comes_back_through_two_transactions() {
    let mut world = World::busy();
    let resolution = world.resolve(&world.our_tx);
    let timeouts = of_kind(&resolution, "htlc-timeout");
    let early = timeouts.iter().find(|claim| claim.htlc == Some((Side::Us, 1))).unwrap();
    // Expired at 120, so only the one block on the commitment is missing.
    assert_eq!(early.mature, BlockHeight(1_001));
    let late = timeouts.iter().find(|claim| claim.htlc == Some((Side::Us, 0))).unwrap();
    assert_eq!(late.mature, BlockHeight(700_001));
    assert!(late.is_ready(BlockHeight(700_000)) && !late.is_ready(BlockHeight(699_999)));

    let timeout = world.sweep(&[early], &[&world.our_tx]);
    world.mine(&timeout, 1_005);
    let resolution = world.resolve(&world.our_tx);
    assert_eq!(kinds(&resolution), ["anchor", "delayed", "delayed", "htlc-timeout"]);
    let second = of_kind(&resolution, "delayed");
    let second = second.iter().find(|claim| claim.spend.outpoint.txid == timeout.compute_txid());
    let second = second.unwrap();
    assert_eq!(second.mature, BlockHeight(1_005 + 40_000));
    world.sweep(&[second], &[&timeout]);
}

#[test]
fn an_incoming_htlc_is_taken_with_its_preimage_before_it_expires() {
    let mut world = World::busy();
    assert!(of_kind(&world.resolve(&world.our_tx), "htlc-success").is_empty());
    // Found out late: nothing but the preimage has to change.
    world.preimages.insert((Side::Them, 0), crate::tx::tests::PREIMAGE);
    let resolution = world.resolve(&world.our_tx);
    let success = of_kind(&resolution, "htlc-success")[0];
    assert_eq!(success.deadline, Some(BlockHeight(700_001)));
    assert_eq!(success.mature, BlockHeight(1_001));
    assert!(success.needs_coins() && success.contested);
    world.sweep(&[success], &[&world.our_tx]);
}

#[test]
fn on_their_commitment_everything_is_taken_directly() {
    for number in [9, 10] {
        let mut world = World::busy();
        world.preimages.insert((Side::Them, 0), crate::tx::tests::PREIMAGE);
        let tx = world.their_tx(number);
        let resolution = world.resolve(&tx);
        assert_eq!(resolution.close, Close::Theirs { number });
        let all = ["anchor", "direct preimage", "direct timeout", "direct timeout", "to_remote"];
        assert_eq!(kinds(&resolution), all);
        let claims: Vec<_> = resolution.claims.iter().collect();
        let swept = world.sweep(&claims, &[&tx]);
        assert_eq!(swept.lock_time.to_consensus_u32(), 700_000);
        for claim in claims {
            world.sweep(&[claim], &[&tx]);
        }
        assert_eq!(of_kind(&resolution, "to_remote")[0].mature, BlockHeight(1_001));
    }
}

#[test]
fn without_its_preimage_an_incoming_htlc_is_left_to_the_peer() {
    let mut world = World::busy();
    world.outgoing.clear();
    let tx = world.their_tx(9);
    let outpoint = world.theirs[0].htlc_outpoint(
        (world.theirs[0].htlcs().iter())
            .find(|output| output.htlc.direction == Direction::Offered)
            .unwrap(),
    );
    let resolution = world.resolve(&tx);
    assert!(of_kind(&resolution, "direct preimage").is_empty());
    assert!(resolution.watch.contains(&outpoint));
    // All of ours is swept; the incoming one expires at 700 001 and may be forgotten 100 blocks later.
    for claim in &resolution.claims {
        world.spends.push((claim.spend.outpoint, coin_close(&world), BlockHeight(1_200)));
    }
    world.tip = BlockHeight(700_099);
    assert!(!world.resolve(&tx).done);
    world.tip = BlockHeight(700_100);
    assert!(world.resolve(&tx).done);
}

#[test]
fn a_commitment_newer_than_all_we_know_still_pays_our_balance() {
    let world = World::busy();
    let future = world.pair.commitment(Side::Us, Side::Them, 11, &mirrored(&spec()));
    let resolution = world.resolve(future.tx());
    assert_eq!(resolution.close, Close::Future { number: 11 });
    assert_eq!(kinds(&resolution), ["to_remote"]);
    world.sweep(&of_kind(&resolution, "to_remote"), &[future.tx()]);
}

#[test]
fn a_spend_that_nobody_knows_is_unknown_even_with_a_number() {
    let world = World::busy();
    // Our own commitment of long ago: its number is one that the peer revoked, too.
    let old = world.pair.commitment(Side::Us, Side::Us, 3, &spec());
    let resolution = world.resolve(old.tx());
    assert_eq!(resolution.close, Close::Unknown);
    assert!(resolution.claims.is_empty());
}

#[test]
fn a_reorganisation_opens_again_what_was_spent_and_may_swap_the_close() {
    let mut world = World::busy();
    let before = world.resolve(&world.our_tx);
    let claims = of_kind(&before, "htlc-timeout");
    let early = claims.iter().find(|claim| claim.htlc == Some((Side::Us, 1))).unwrap();
    let timeout = world.sweep(&[early], &[&world.our_tx]);
    world.mine(&timeout, 1_005);
    world.tip = BlockHeight(1_020);
    assert_ne!(world.resolve(&world.our_tx), before);
    assert_eq!(world.resolve(&world.our_tx).fates.get(&1), Some(&Fate::Failed));
    world.spends.clear();
    world.tip = CLOSED;
    assert_eq!(world.resolve(&world.our_tx), before);
    let swapped = world.their_tx(10);
    assert_eq!(world.resolve(&swapped).close, Close::Theirs { number: 10 });
}

#[test]
fn everything_is_done_when_the_last_spend_is_a_hundred_blocks_deep() {
    let mut world = World::busy();
    let tx = world.their_tx(9);
    world.preimages.insert((Side::Them, 0), crate::tx::tests::PREIMAGE);
    for claim in &world.resolve(&tx).claims {
        let spend = world.sweep(&[claim], &[&tx]);
        if kind(claim) != "anchor" {
            world.spends.push((claim.spend.outpoint, spend, BlockHeight(2_000)));
        }
    }
    world.tip = BlockHeight(2_098);
    let resolution = world.resolve(&tx);
    assert_eq!(kinds(&resolution), ["anchor"], "worth waiting for by nobody");
    assert!(!resolution.done);
    world.tip = BlockHeight(2_099);
    assert!(world.resolve(&tx).done);
}

#[test]
fn whichever_commitment_is_on_its_way_is_bumped_through_our_anchor_on_it() {
    let world = World::busy();
    for (commitment, tx) in [(&world.ours, &world.our_tx), (&world.theirs[0], &world.their_tx(9))] {
        let anchor = bump(commitment).unwrap();
        assert_eq!(anchor.deadline, Some(BlockHeight(120)));
        world.sweep(&[&anchor], &[tx]);
    }
    // Nothing of ours on it, no anchor of ours either.
    let all_theirs = CommitmentSpec {
        to_owner: Msat::ZERO,
        to_other: Msat::new(1_000_000_000).unwrap(),
        htlcs: Vec::new(),
        feerate: FeeratePerKw(253),
    };
    let pair = Pair { opener: Side::Them, ..Pair::new() };
    assert_eq!(bump(&pair.commitment(Side::Us, Side::Us, 0, &all_theirs)), None);
}
