//! Justice over as many HTLCs as a commitment can have, and views of it.

use super::*;

/// The most a transaction may weigh to be relayed.
const STANDARD_WEIGHT: u64 = 400_000;

#[test]
fn justice_over_no_htlcs_twenty_and_966_is_standard_and_as_heavy_as_estimated() {
    for count in [0, 20, 966] {
        let capacity = Sat::from_sat(100_000_000);
        let world = World::cheated(&crowd(count, 20_000, capacity));
        let (revoked, tx) = world.cheat.clone().unwrap();
        assert_eq!(revoked.htlcs().len() as u64, count);
        assert!(tx.weight().to_wu() < STANDARD_WEIGHT);
        let resolution = world.resolve(&tx);
        assert_eq!(resolution.claims.len() as u64, count + 2);
        let mut home = 0;
        let mut first_block = Vec::new();
        for tip in [BlockHeight(CLOSED.0 - 1), CLOSED] {
            for group in sweep::groups(&resolution.claims, tip) {
                // A cheater that pins one of its HTLCs must not hold what it cannot pin.
                assert!(group.iter().all(|claim| claim.contested == group[0].contested));
                let outpoints: Vec<_> = group.iter().map(|claim| claim.spend.outpoint).collect();
                if first_block.contains(&outpoints) {
                    continue;
                }
                let swept = world.sweep(&group, &[&tx]);
                assert!(swept.weight().to_wu() <= STANDARD_WEIGHT);
                home += swept.output.iter().map(|out| out.value.to_sat()).sum::<u64>();
                first_block.push(outpoints);
            }
        }
        // Fees of at most 1 sat a weight unit, and both anchors.
        let most = capacity.to_sat() - 660;
        let fees = 420 * (count + 3) * 2;
        assert!(home > most - fees, "{home} of {most} with {count}");
    }
}

#[test]
fn justice_does_not_wait_for_a_block() {
    let world = World::cheated(&crowd(20, 20_000, Sat::from_sat(10_000_000)));
    let (_, tx) = world.cheat.clone().unwrap();
    let close = Mined { tx: &tx, height: CLOSED };
    let tip = BlockHeight(CLOSED.0 - 1);
    let chain = Chain { tip, feerate: FEERATE, close, spends: &[] };
    let resolution = resolve(&world.known(), &chain);
    let ready: Vec<_> = resolution.claims.iter().filter(|claim| claim.is_ready(tip)).collect();
    // All but our own balance, which has one block to wait.
    assert_eq!(ready.len(), 21);
    assert!(resolution.fates.is_empty() && !resolution.done);
    for group in sweep::groups(&resolution.claims, tip) {
        world.sweep(&group, &[&tx]);
    }
}

#[test]
fn justice_on_an_unconfirmed_cheat_fits_the_chain_limits_of_mempools() {
    let mut spec = crowd(100, 20_000, Sat::from_sat(10_000_000));
    for htlc in &mut spec.htlcs {
        // All of them near their end.
        htlc.cltv_expiry = BlockHeight(1_005);
    }
    let mut world = World::cheated(&spec);
    let (_, tx) = world.cheat.clone().unwrap();
    let tip = BlockHeight(CLOSED.0 - 1);
    world.tip = tip;
    let seen = world.resolve(&tx);
    assert_eq!(sweep::groups(&seen.claims, tip).len(), 2, "with the parent at most 25 in a chain");
    world.tip = CLOSED.saturating_add(1);
    let mined = world.resolve(&tx);
    let alone = sweep::groups(&mined.claims, world.tip);
    // Both balances, what the cheater offered one by one, and what it was offered together.
    assert_eq!(alone.iter().filter(|group| group.len() == 1).count(), 2 + 50);
    assert_eq!(alone.len(), 2 + 50 + 1);
}

#[test]
fn identical_htlcs_of_the_cheater_are_each_punished_in_the_order_of_their_expiry() {
    let mut spec = crowd(2, 20_000, Sat::from_sat(10_000_000));
    let one = SpecHtlc { direction: Direction::Received, ..spec.htlcs[0] };
    // Offered by the cheater: the script does not show the expiry.
    spec.htlcs = [5_000, 1_050]
        .map(|height| {
            let cltv_expiry = BlockHeight(height);
            SpecHtlc { id: u64::from(height), cltv_expiry, ..one }
        })
        .to_vec();
    let world = World::cheated(&spec);
    let (_, tx) = world.cheat.clone().unwrap();
    let resolution = world.resolve(&tx);
    let penalties = of_kind(&resolution, "htlc penalty");
    assert_eq!(
        penalties.iter().map(|claim| claim.htlc.unwrap().1).collect::<Vec<_>>(),
        [1_050, 5_000]
    );
    assert_eq!(penalties[0].deadline, Some(BlockHeight(1_050)));
    assert_eq!(penalties[1].deadline, Some(BlockHeight(1_143)));
    world.sweep(&penalties, &[&tx]);
}

#[test]
fn every_output_is_shown_with_its_state_and_what_comes_home() {
    let mut world = World::busy();
    let tx = world.our_tx.clone();
    let find = |resolution: &Resolution, what: &dyn Fn(&What) -> bool| {
        resolution.outputs.iter().filter(|view| what(&view.what)).cloned().collect::<Vec<_>>()
    };
    let balance = |what: &What| *what == What::Balance(Side::Us);
    let timeout = |what: &What| matches!(what, What::Htlc { name: (Side::Us, 1), .. });
    let second = |what: &What| matches!(what, What::SecondStage { .. });
    let resolution = world.resolve(&tx);
    assert_eq!(resolution.outputs.len(), tx.output.len(), "each of them");
    let ours = &find(&resolution, &balance)[0];
    assert_eq!(ours.state, OutputState::Waits { until: BlockHeight(41_000) });
    assert_eq!(ours.expected.to_sat(), ours.value.to_sat() - ours.cost.to_sat());
    assert!(ours.cost > Sat::ZERO);
    let incoming = |what: &What| matches!(what, What::Htlc { name: (Side::Them, 0), .. });
    assert_eq!(find(&resolution, &incoming)[0].state, OutputState::Unresolved);
    assert_eq!(
        find(&resolution, &|what| *what == What::Balance(Side::Them))[0].state,
        OutputState::Theirs
    );

    // Expired long ago, and the one block on the commitment is there.
    assert_eq!(find(&resolution, &timeout)[0].state, OutputState::Claimable);
    let claim = resolution.claims.iter().find(|claim| claim.htlc == Some((Side::Us, 1))).unwrap();
    let spend = world.sweep(&[claim], &[&tx]);
    world.mine(&spend, 1_005);
    let resolution = world.resolve(&tx);
    let first = &find(&resolution, &timeout)[0];
    let (txid, height) = (spend.compute_txid(), BlockHeight(1_005));
    assert_eq!((first.state, first.expected), (OutputState::Claimed { txid, height }, Sat::ZERO));
    let stage = &find(&resolution, &second)[0];
    assert_eq!(stage.state, OutputState::Waits { until: BlockHeight(41_005) });
    assert_eq!(stage.value, first.value);

    // The peer takes the other one with a preimage.
    let claim = resolution.claims.iter().find(|claim| claim.htlc == Some((Side::Us, 0))).unwrap();
    let theirs = peer_spends(claim.spend.outpoint, &[&[1; 72], &[2; 32], &[3; 136]]);
    world.mine(&theirs, 1_006);
    world.tip = BlockHeight(1_104);
    let lost = |what: &What| matches!(what, What::Htlc { name: (Side::Us, 0), .. });
    let (txid, height) = (theirs.compute_txid(), BlockHeight(1_006));
    assert_eq!(find(&world.resolve(&tx), &lost)[0].state, OutputState::Taken { txid, height });
    let done = OutputState::Irrevocable {
        by: Side::Us,
        txid: spend.compute_txid(),
        height: BlockHeight(1_005),
    };
    assert_eq!(find(&world.resolve(&tx), &timeout)[0].state, done);
    world.tip = BlockHeight(1_105);
    let by = Side::Them;
    assert_eq!(
        find(&world.resolve(&tx), &lost)[0].state,
        OutputState::Irrevocable { by, txid, height }
    );
}

#[test]
fn a_mutual_close_shows_whom_it_paid() {
    let mut world = World::busy();
    let mut close = world.our_tx.clone();
    close.input[0].sequence = bitcoin::Sequence::MAX;
    world.closes.push(close.compute_txid());
    let script = close.output[2].script_pubkey.clone();
    let known = Known { close_script: Some(&script), ..world.known() };
    let mined = Mined { tx: &close, height: CLOSED };
    let chain = Chain { tip: CLOSED, feerate: FEERATE, close: mined, spends: &[] };
    let outputs = resolve(&known, &chain).outputs;
    assert_eq!(outputs.len(), close.output.len());
    for (place, view) in outputs.iter().enumerate() {
        let ours = close.output[place].script_pubkey == script;
        assert_eq!(view.state.is_ours(), ours);
        assert_eq!(view.expected, if ours { view.value } else { Sat::ZERO });
    }
}
