//! What becomes of HTLCs upstream: a known preimage fulfils, and nothing fails before it is buried.

use super::*;
use crate::tx::tests::PREIMAGE;

const GONE: u64 = 77;

/// The outpoint of our HTLC `id` on a commitment.
fn outpoint(commitment: &Commitment, id: u64) -> OutPoint {
    let outgoing = match commitment.terms().owner {
        Side::Us => Direction::Offered,
        Side::Them => Direction::Received,
    };
    let output = (commitment.htlcs().iter())
        .find(|output| output.htlc.direction == outgoing && output.htlc.id == id)
        .unwrap();
    commitment.htlc_outpoint(output)
}

/// Every commitment on which HTLC 0 of ours has an output, with its transaction.
fn closes(world: &World) -> Vec<Commitment> {
    let revoked = world.pair.commitment(Side::Us, Side::Them, 4, &mirrored(&spec()));
    [world.ours.clone(), revoked].into_iter().chain(world.theirs.clone()).collect()
}

#[test]
fn a_preimage_in_any_witness_fulfils_at_once_on_any_commitment() {
    for commitment in closes(&World::busy()) {
        for elements in [
            &[&[1; 72][..], &PREIMAGE.0, &[2; 136]][..],
            &[&[], &[1; 72], &[1; 72], &PREIMAGE.0, &[2; 143]],
        ] {
            let mut world = World::busy();
            world.outgoing.retain(|htlc| htlc.id == 0);
            let spend = peer_spends(outpoint(&commitment, 0), elements);
            world.mine(&spend, 1_002);
            let resolution = world.resolve(commitment.tx());
            assert_eq!(resolution.fates.get(&0), Some(&Fate::Fulfilled(PREIMAGE)));
            let open = resolution.claims.iter().any(|claim| claim.htlc == Some((Side::Us, 0)));
            assert!(!open, "what the peer took cannot be claimed");
        }
    }
}

#[test]
fn a_preimage_known_before_fulfils_whatever_the_chain_says() {
    for commitment in closes(&World::busy()) {
        let mut world = World::busy();
        world.preimages.insert((Side::Us, 0), PREIMAGE);
        // Even if our own timeout won the output: whoever paid us for it can pay.
        let spend = peer_spends(outpoint(&commitment, 0), &[]);
        world.mine(&spend, 1_002);
        world.tip = BlockHeight(2_000);
        let fates = world.resolve(commitment.tx()).fates;
        assert_eq!(fates.get(&0), Some(&Fate::Fulfilled(PREIMAGE)));
    }
}

#[test]
fn an_htlc_with_an_output_fails_when_the_spend_is_buried_and_not_before() {
    for commitment in closes(&World::busy()) {
        let mut world = World::busy();
        world.tip = BlockHeight(900_000);
        let fates = world.resolve(commitment.tx()).fates;
        assert!(
            !fates.contains_key(&0),
            "unspent for long, and the peer may still have a preimage"
        );
        let spend = peer_spends(outpoint(&commitment, 0), &[&[1; 72], &[], &[2; 143]]);
        world.mine(&spend, 900_010);
        world.tip = BlockHeight(900_014);
        assert!(!world.resolve(commitment.tx()).fates.contains_key(&0));
        world.tip = BlockHeight(900_015);
        assert_eq!(world.resolve(commitment.tx()).fates.get(&0), Some(&Fate::Failed));
    }
}

#[test]
fn an_htlc_without_an_output_fails_when_the_commitment_is_buried() {
    let mut world = World::busy();
    // Signed for the peer's newest commitment and in no other so far: a reorganisation may still show it.
    let missing =
        SpecHtlc { id: GONE, payment_hash: Preimage([9; 32]).hash(), ..world.outgoing[0] };
    let mut with = spec();
    with.to_owner = with.to_owner.checked_sub(missing.amount).unwrap();
    with.htlcs.push(missing);
    world.theirs[1] = world.pair.commitment(Side::Us, Side::Them, 10, &mirrored(&with));
    world.outgoing = vec![missing];
    for commitment in closes(&World::busy()).into_iter().take(3) {
        world.tip = BlockHeight(1_004);
        assert!(world.resolve(commitment.tx()).fates.is_empty());
        world.tip = BlockHeight(1_005);
        let fates = world.resolve(commitment.tx()).fates;
        assert_eq!(fates.get(&GONE), Some(&Fate::Failed));
    }
}

#[test]
fn an_htlc_that_no_valid_commitment_shows_fails_with_the_first_block() {
    for commitment in closes(&World::busy()) {
        let mut world = World::busy();
        let dust = SpecHtlc {
            id: GONE,
            amount: Msat::new(1_000).unwrap(),
            payment_hash: Preimage([9; 32]).hash(),
            ..world.outgoing[0]
        };
        world.outgoing = vec![dust];
        // Seen and not in a block yet: nothing is decided.
        world.tip = BlockHeight(CLOSED.0 - 1);
        assert!(world.resolve(commitment.tx()).fates.is_empty());
        world.tip = CLOSED;
        assert_eq!(world.resolve(commitment.tx()).fates.get(&GONE), Some(&Fate::Failed));
    }
    let mut world = World::busy();
    let future = world.pair.commitment(Side::Us, Side::Them, 11, &mirrored(&spec()));
    world.outgoing[0].id = GONE;
    assert!(world.resolve(future.tx()).fates.is_empty(), "it may be on what we do not know");
}

#[test]
fn on_a_commitment_we_do_not_know_an_htlc_waits_for_its_expiry() {
    let mut world = World::busy();
    let future = world.pair.commitment(Side::Us, Side::Them, 11, &mirrored(&spec()));
    world.outgoing.retain(|htlc| htlc.id == 0);
    world.tip = BlockHeight(700_004);
    assert!(world.resolve(future.tx()).fates.is_empty());
    world.tip = BlockHeight(700_005);
    assert_eq!(world.resolve(future.tx()).fates.get(&0), Some(&Fate::Failed));
}

#[test]
fn twins_are_told_apart_by_their_outputs() {
    let mut spec = spec();
    // Ten alike in hash, amount and expiry.
    let twin = spec.htlcs[0];
    let amount = Msat::new(10_000_000).unwrap();
    spec.htlcs = (0..10).map(|id| SpecHtlc { id, amount, ..twin }).collect();
    spec.to_owner = Msat::new(400_000_000).unwrap();
    spec.to_other = Msat::new(500_000_000).unwrap();
    let mut world = World::new(&spec);
    let revoked = world.pair.commitment(Side::Us, Side::Them, 4, &mirrored(&spec));
    for (commitment, claimed) in [
        (world.ours.clone(), "htlc-timeout"),
        (world.theirs[0].clone(), "direct timeout"),
        (revoked, "htlc penalty"),
    ] {
        world.spends.clear();
        world.tip = CLOSED;
        let resolution = world.resolve(commitment.tx());
        let claims = of_kind(&resolution, claimed);
        let mut ids: Vec<_> = claims.iter().map(|claim| claim.htlc.unwrap().1).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..10).collect::<Vec<_>>(), "{claimed}");
        // One is spent and buried: that one fails and no other.
        let spent = claims[3];
        let spend = peer_spends(spent.spend.outpoint, &[]);
        world.mine(&spend, 1_001);
        world.tip = BlockHeight(1_100);
        let fates = world.resolve(commitment.tx()).fates;
        assert_eq!(fates, BTreeMap::from([(spent.htlc.unwrap().1, Fate::Failed)]));
    }
}

#[test]
fn a_late_preimage_turns_what_is_left_into_claims_and_nothing_else() {
    let mut world = World::busy();
    let tx = world.their_tx(9);
    let first = world.resolve(&tx);
    let balance = of_kind(&first, "to_remote");
    let swept = world.sweep(&balance, &[&tx]);
    world.mine(&swept, 1_002);
    world.preimages.insert((Side::Them, 0), PREIMAGE);
    let late = world.resolve(&tx);
    assert_eq!(kinds(&late), ["anchor", "direct preimage", "direct timeout", "direct timeout"]);
    let claims: Vec<_> = late.claims.iter().collect();
    world.sweep(&claims, &[&tx]);
}

#[test]
fn an_adversary_who_takes_some_inputs_leaves_exactly_the_others() {
    let mut spec = spec();
    let one = spec.htlcs[0];
    let amount = Msat::new(10_000_000).unwrap();
    spec.htlcs = (0..10)
        .map(|id| SpecHtlc { id, amount, cltv_expiry: BlockHeight(900 + id as u32), ..one })
        .collect();
    spec.to_owner = Msat::new(400_000_000).unwrap();
    spec.to_other = Msat::new(500_000_000).unwrap();
    for taken in 0..10 {
        let mut world = World::new(&spec);
        let tx = world.their_tx(9);
        let ids: Vec<_> = (0..10).filter(|id| *id <= taken).collect();
        let mut spend = peer_spends(outpoint(&world.theirs[0], 0), &[]);
        for id in ids.iter().skip(1) {
            let mut input = coin(6);
            input.previous_output = outpoint(&world.theirs[0], *id);
            spend.input.push(input);
        }
        world.mine(&spend, 1_003);
        let resolution = world.resolve(&tx);
        let claims = of_kind(&resolution, "direct timeout");
        let mut left: Vec<_> = claims.iter().map(|claim| claim.htlc.unwrap().1).collect();
        left.sort_unstable();
        assert_eq!(left, (taken + 1..10).collect::<Vec<_>>());
        if !claims.is_empty() {
            world.sweep(&claims, &[&tx]);
        }
    }
}
