//! Packages as `submitpackage` takes them, profiles, and reorganisations that make families too large.

use super::harness::{Bench, COIN, child, miner, options, out, sign, spend};
use super::outputs::p2a;
use crate::Package;
use crate::builtin::chainstate::Chainstate;
use crate::builtin::mempool::{Fate, Verdict};
use crate::builtin::policy::{Policy, Profile};
use crate::builtin::reject::Reject;
use bitcoin::transaction::Version;
use bitcoin::{FeeRate, OutPoint, ScriptBuf, Transaction};

fn of(profile: Profile) -> Bench {
    let mut options = options(None);
    options.policy = Policy::of(profile);
    Bench::of(Chainstate::open(&options).unwrap())
}

fn hand_in(bench: &mut Bench, txs: &[&Transaction]) -> Verdict {
    let package = Package::new(txs.iter().map(|tx| (*tx).clone()).collect()).unwrap();
    bench.chain.submit_package(&package, None)
}

/// A parent that pays `fee`, and a child that pays what is needed.
fn pair(bench: &mut Bench, fee: u64, version: i32) -> [Transaction; 2] {
    let coin = bench.coin();
    let mut parent = spend(&[coin.0], vec![out(50 * COIN - fee, miner())]);
    parent.version = Version(version);
    let parent = sign(parent, &[coin.1]);
    let coins = [OutPoint::new(parent.compute_txid(), 0)];
    let mut kid = spend(&coins, vec![out(49 * COIN, miner())]);
    kid.version = Version(version);
    let kid = sign(kid, &parent.output);
    [parent, kid]
}

#[test]
fn each_of_a_package_is_told_what_became_of_it() {
    let mut bench = Bench::new();
    let known = bench.pay(vec![out(COIN, miner())], 1_000);
    bench.submit(&known).unwrap();
    let coin = bench.coin();
    let mut free = spend(&[coin.0], vec![out(0, p2a()), out(50 * COIN, miner())]);
    free.version = Version(3);
    let free = sign(free, &[coin.1]);
    let coins = [OutPoint::new(free.compute_txid(), 0), OutPoint::new(free.compute_txid(), 1)];
    let mut pays = spend(&coins, vec![out(49 * COIN, miner())]);
    pays.version = Version(3);
    let pays = sign(pays, &free.output);
    let verdict = hand_in(&mut bench, &[&free, &pays]);
    assert_eq!(verdict.word, None);
    let [Fate::Admitted { together, rate, .. }, Fate::Admitted { rate: same, .. }] =
        &verdict.fates[..]
    else {
        panic!("{verdict:?}")
    };
    assert_eq!(together[..], [free.compute_wtxid(), pays.compute_wtxid()]);
    assert_eq!((rate.fee_sat, same.fee_sat), (COIN, COIN));
    let again = hand_in(&mut bench, &[&free, &pays]);
    assert!(again.fates.iter().all(|fate| matches!(fate, Fate::Waiting { .. })));
    assert_eq!(again.word, None);
    // One is broken: the other comes in all the same.
    let good = bench.pay(vec![out(COIN, miner())], 1_000);
    let coins = [OutPoint::new(known.compute_txid(), 0), OutPoint::new(good.compute_txid(), 0)];
    let broken = spend(&coins, vec![out(COIN, miner())]);
    let verdict = hand_in(&mut bench, &[&known, &good, &broken]);
    assert_eq!(verdict.word, Some(Reject::TransactionFailed));
    assert!(matches!(
        &verdict.fates[..],
        [Fate::Waiting { .. }, Fate::Admitted { .. }, Fate::Refused(Reject::MempoolScript(_))]
    ));
    assert!(bench.waits(&good) && !bench.waits(&broken));
}

#[test]
fn a_parent_with_another_witness_waits_in_its_place() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let parent = sign(spend(&[coin.0], vec![out(49 * COIN, miner())]), &[coin.1]);
    bench.submit(&parent).unwrap();
    let mut other = parent.clone();
    other.input[0].witness.push([1]);
    let kid = child(&parent, &[0], 1_000);
    let verdict = hand_in(&mut bench, &[&other, &kid]);
    assert_eq!(verdict.word, None);
    let [Fate::OtherWitness(wtxid), Fate::Admitted { .. }] = &verdict.fates[..] else {
        panic!("{verdict:?}")
    };
    assert_eq!(*wtxid, parent.compute_wtxid());
}

#[test]
fn a_parent_in_a_block_fails_the_package_and_not_its_child() {
    let mut bench = Bench::new();
    let parent = bench.pay(vec![out(COIN, miner())], 1_000);
    bench.submit(&parent).unwrap();
    bench.mine(1);
    let kid = child(&parent, &[0], 1_000);
    // A fully spent one is unknown to Bitcoin Core; one with coins left has its own word.
    let verdict = hand_in(&mut bench, &[&parent, &kid]);
    assert_eq!(verdict.word, Some(Reject::TransactionFailed));
    assert_eq!(verdict.word(), Ok(()), "it is where it should be");
    assert!(bench.waits(&kid));
}

#[test]
fn nobody_pays_more_than_the_caller_allowed() {
    let mut bench = Bench::new();
    let [parent, kid] = pair(&mut bench, 0, 3);
    let package = Package::new(vec![parent.clone(), kid]).unwrap();
    let max = FeeRate::from_sat_per_vb_u32(50);
    let verdict = bench.chain.submit_package(&package, Some(max));
    assert_eq!(verdict.word(), Err(Reject::MaxFeeExceeded));
    assert!(!bench.waits(&parent));
}

#[test]
fn a_package_that_makes_a_chain_too_long_stays_outside() {
    let mut bench = Bench::new();
    let mut last = bench.pay(vec![], 1_000);
    bench.submit(&last).unwrap();
    for _ in 1..24 {
        last = child(&last, &[0], 1_000);
        bench.submit(&last).unwrap();
    }
    // The parent makes 25; both together 26. It pays too little for all but the relay minimum.
    bench.chain.set_floor(Some(FeeRate::from_sat_per_kwu(500)));
    let parent = child(&last, &[0], 150);
    let kid = child(&parent, &[0], 9_000);
    assert_eq!(bench.submit_all(&[&parent, &kid]), Err(Reject::PackageLimits));
}

#[test]
fn profiles_differ_where_the_versions_of_core_do() {
    let cheap = |bench: &mut Bench| bench.pay(vec![], 30);
    for (profile, answer) in [
        (Profile::Strict, Err(Reject::MinRelayFee)),
        (Profile::V29, Err(Reject::MinRelayFee)),
        (Profile::V30, Ok(())),
        (Profile::V31, Ok(())),
    ] {
        let mut bench = of(profile);
        let tx = cheap(&mut bench);
        assert_eq!(bench.submit(&tx), answer, "{profile:?}");
        let two = vec![out(0, ScriptBuf::new_op_return([1; 75])); 2];
        let data = bench.pay(two, 1_000);
        let many = matches!(profile, Profile::V30 | Profile::V31);
        let answer = if many { Ok(()) } else { Err(Reject::MultiOpReturn) };
        assert_eq!(bench.submit(&data), answer, "{profile:?}");
        // A parent of version 2 that pays nothing.
        let [parent, kid] = pair(&mut bench, 0, 2);
        let answer = if profile == Profile::V31 { Ok(()) } else { Err(Reject::MinRelayFee) };
        assert_eq!(bench.submit_all(&[&parent, &kid]), answer, "{profile:?}");
    }
    for (profile, longest) in
        [(Profile::V29, 26), (Profile::V30, 26), (Profile::Strict, 25), (Profile::V31, 64)]
    {
        let mut bench = of(profile);
        let fan = bench.pay(vec![out(COIN / 10, miner()); 70], 5_000);
        bench.submit(&fan).unwrap();
        let taken = (0..70).take_while(|vout| bench.submit(&child(&fan, &[*vout], 1_000)).is_ok());
        assert_eq!(taken.count() + 1, longest, "{profile:?}");
    }
}

#[test]
fn a_replacement_leaves_miners_better_off_at_every_size() {
    for (profile, answer) in
        [(Profile::Strict, Err(Reject::ReplacementFailed)), (Profile::V30, Ok(()))]
    {
        let mut bench = of(profile);
        let coin = bench.coin();
        let from = |outputs| sign(spend(&[coin.0], outputs), std::slice::from_ref(&coin.1));
        let poor = from(vec![out(50 * COIN - 200, miner())]);
        bench.submit(&poor).unwrap();
        bench.submit(&child(&poor, &[0], 50_000)).unwrap();
        // It pays more in all and beats what it conflicts with, but the first bytes of a block would bring
        // less than the child brings them.
        let mut large = vec![out(COIN, miner()); 30];
        large.push(out(20 * COIN - 60_000, miner()));
        assert_eq!(bench.submit(&from(large.clone())), answer, "{profile:?}");
        large[30].value = bitcoin::Amount::from_sat(20 * COIN - 400_000);
        assert_eq!(bench.submit(&from(large)), Ok(()), "{profile:?}");
    }
}

#[test]
fn a_reorganisation_leaves_no_family_larger_than_allowed() {
    let mut bench = Bench::new();
    let fork = bench.chain.tip().height;
    let mut chain = vec![bench.pay(vec![], 1_000)];
    for _ in 1..20 {
        chain.push(child(chain.last().unwrap(), &[0], 1_000));
    }
    chain.iter().for_each(|tx| bench.submit(tx).unwrap());
    bench.mine(1);
    for _ in 0..20 {
        chain.push(child(chain.last().unwrap(), &[0], 1_000));
    }
    chain[20..].iter().for_each(|tx| bench.submit(tx).unwrap());
    let block = bench.chain.header_at(fork + 1).unwrap().hash;
    bench.chain.invalidate(block).unwrap();
    let waiting = chain.iter().filter(|tx| bench.waits(tx)).count();
    assert_eq!(waiting, 25, "the first of them");
    assert!(chain[..25].iter().all(|tx| bench.waits(tx)));
    bench.chain.check();
}
