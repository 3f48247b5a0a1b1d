//! Commitments without fee (version 3, BIP 431) and the children that pay for them.

use super::harness::{Bench, COIN, child, miner, out, sign, spend};
use super::outputs::p2a;
use crate::builtin::reject::{PackageRbf, Reject};
use crate::{Package, SubmitOutcome};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Transaction, TxOut};

fn v3(coins: &[(OutPoint, TxOut)], outputs: Vec<TxOut>) -> Transaction {
    let outpoints: Vec<OutPoint> = coins.iter().map(|coin| coin.0).collect();
    let mut tx = spend(&outpoints, outputs);
    tx.version = Version(3);
    let spent: Vec<TxOut> = coins.iter().map(|coin| coin.1.clone()).collect();
    sign(tx, &spent)
}

fn at(tx: &Transaction, vout: u32) -> (OutPoint, TxOut) {
    (OutPoint::new(tx.compute_txid(), vout), tx.output[vout as usize].clone())
}

/// Pays nothing: an anchor of `anchor` satoshi and two outputs of its owner.
fn commitment(coin: &(OutPoint, TxOut), anchor: u64) -> Transaction {
    let outputs =
        vec![out(anchor, p2a()), out(20 * COIN, miner()), out(30 * COIN - anchor, miner())];
    v3(std::slice::from_ref(coin), outputs)
}

/// Spends the anchor and a coin, and pays for both.
fn bump(commitment: &Transaction, coin: &(OutPoint, TxOut), fee: u64) -> Transaction {
    let total = commitment.output[0].value.to_sat() + coin.1.value.to_sat();
    v3(&[at(commitment, 0), coin.clone()], vec![out(total - fee, miner())])
}

#[test]
fn a_commitment_without_fee_comes_in_with_its_child_which_can_be_replaced() {
    let mut bench = Bench::new();
    let (ours, pays, more) = (bench.coin(), bench.coin(), bench.coin());
    for anchor in [240, 7] {
        let coin = if anchor == 7 { bench.coin() } else { ours.clone() };
        let pays = if anchor == 7 { bench.coin() } else { pays.clone() };
        let commitment = commitment(&coin, anchor);
        assert_eq!(bench.submit(&commitment), Err(Reject::MinRelayFee));
        let poor = bump(&commitment, &pays, 200);
        assert_eq!(bench.submit_all(&[&commitment, &poor]), Err(Reject::MinRelayFee));
        let first = bump(&commitment, &pays, 2_000);
        assert_eq!(bench.submit_all(&[&commitment, &first]), Ok(()));
        assert_eq!(bench.submit(&bump(&commitment, &pays, 2_100)), Err(Reject::InsufficientFee));
        let second = bump(&commitment, &pays, 4_000);
        assert_eq!(bench.submit(&second), Ok(()));
        assert!(bench.waits(&commitment) && bench.waits(&second) && !bench.waits(&first));
        bench.mine(1);
        assert!(bench.confirmed(&commitment) && bench.confirmed(&second));
    }
    // What has dust pays nothing, or its miner could mine it alone.
    let outputs = vec![out(0, p2a()), out(50 * COIN - 500, miner())];
    let paying = v3(std::slice::from_ref(&more), outputs);
    assert_eq!(bench.submit(&paying), Err(Reject::Dust));
    let outputs = vec![out(240, p2a()), out(50 * COIN - 740, miner())];
    assert_eq!(bench.submit(&v3(&[more], outputs)), Ok(()));
}

#[test]
fn a_second_child_throws_out_the_first_if_it_pays_more() {
    let mut bench = Bench::new();
    let (coin, pays) = (bench.coin(), bench.coin());
    let commitment = commitment(&coin, 240);
    let pinning = v3(&[at(&commitment, 1)], vec![out(20 * COIN - 3_000, miner())]);
    assert_eq!(bench.submit_all(&[&commitment, &pinning]), Ok(()));
    // Another output of the same parent: no coin is in conflict, the family is.
    let poor = bump(&commitment, &pays, 3_000);
    let word = bench.submit(&poor);
    assert_eq!(word, Err(Reject::InsufficientFeeForSibling));
    assert_eq!(word.unwrap_err().to_string(), "insufficient fee (including sibling eviction)");
    let package = Package::single(poor.clone());
    let result = bench.chain.submit(&package, None);
    let SubmitOutcome::Replaceable { needed } = bench.chain.outcome(&package, None, result) else {
        panic!("it would replace")
    };
    assert!(needed >= Amount::from_sat(3_000 + poor.vsize() as u64));
    let rich = bump(&commitment, &pays, needed.to_sat() + 100);
    assert_eq!(bench.submit(&rich), Ok(()));
    assert!(bench.waits(&commitment) && bench.waits(&rich) && !bench.waits(&pinning));
    bench.mine(1);
    assert!(bench.confirmed(&rich));
}

#[test]
fn a_child_with_two_parents_or_too_large_throws_out_nobody() {
    let mut bench = Bench::new();
    let (coin, other) = (bench.coin(), bench.coin());
    let parent = v3(&[coin], vec![out(20 * COIN, miner()), out(30 * COIN - 1_000, miner())]);
    let second = v3(&[other], vec![out(50 * COIN - 1_000, miner())]);
    bench.submit(&parent).unwrap();
    bench.submit(&second).unwrap();
    let first = v3(&[at(&parent, 0)], vec![out(20 * COIN - 1_000, miner())]);
    bench.submit(&first).unwrap();
    let both = v3(&[at(&parent, 1), at(&second, 0)], vec![out(COIN, miner())]);
    assert_eq!(bench.submit(&both), Err(Reject::Truc));
    let large = v3(&[at(&parent, 1)], vec![out(COIN / 10, miner()); 30]);
    assert_eq!(bench.submit(&large), Err(Reject::Truc));
    let mut old = spend(&[at(&parent, 1).0], vec![out(COIN, miner())]);
    old = sign(old, &[parent.output[1].clone()]);
    assert_eq!(bench.submit(&old), Err(Reject::Truc));
    // A grandchild, and a version 3 child of another version.
    assert_eq!(bench.submit(&v3(&[at(&first, 0)], vec![out(COIN, miner())])), Err(Reject::Truc));
    assert!(bench.waits(&first));
}

#[test]
fn our_commitment_and_its_child_replace_the_peers_and_its_child() {
    let mut bench = Bench::new();
    let (coin, theirs_pay, ours_pay) = (bench.coin(), bench.coin(), bench.coin());
    let theirs = commitment(&coin, 240);
    let their_bump = bump(&theirs, &theirs_pay, 5_000);
    assert_eq!(bench.submit_all(&[&theirs, &their_bump]), Ok(()));
    let ours = commitment(&coin, 0);
    let poor = bump(&ours, &ours_pay, 5_100);
    let word = bench.submit_all(&[&ours, &poor]);
    assert_eq!(word, Err(Reject::PackageRbf(PackageRbf::Fees)));
    assert_eq!(word.unwrap_err().to_string(), "package RBF failed: insufficient anti-DoS fees");
    let package = Package::new(vec![ours.clone(), poor.clone()]).unwrap();
    let result = bench.chain.submit(&package, None);
    let SubmitOutcome::Replaceable { needed } = bench.chain.outcome(&package, None, result) else {
        panic!("it would replace")
    };
    let rich = bump(&ours, &ours_pay, needed.to_sat() + 5);
    assert_eq!(bench.submit_all(&[&ours, &rich]), Ok(()));
    assert!(bench.waits(&ours) && bench.waits(&rich));
    assert!(!bench.waits(&theirs) && !bench.waits(&their_bump));
    bench.mine(1);
    assert!(bench.confirmed(&ours));
}

#[test]
fn a_package_replaces_nothing_that_stands_in_a_crowd_and_stands_on_nothing_unconfirmed() {
    let mut bench = Bench::new();
    let (coin, pays) = (bench.coin(), bench.coin());
    let outputs = vec![out(COIN, miner()), out(COIN, miner()), out(47 * COIN, miner())];
    let crowd = sign(spend(&[coin.0], outputs), std::slice::from_ref(&coin.1));
    bench.submit(&crowd).unwrap();
    for vout in 0..2 {
        bench.submit(&child(&crowd, &[vout], 1_000)).unwrap();
    }
    let ours = commitment(&coin, 0);
    let rich = bump(&ours, &pays, 49 * COIN);
    assert_eq!(bench.submit_all(&[&ours, &rich]), Err(Reject::PackageRbf(PackageRbf::Crowd)));
    let waiting = bench.pay(vec![], 1_000);
    bench.submit(&waiting).unwrap();
    let plain = |inputs: &[(OutPoint, TxOut)], value: u64| {
        let outpoints: Vec<OutPoint> = inputs.iter().map(|input| input.0).collect();
        let spent: Vec<TxOut> = inputs.iter().map(|input| input.1.clone()).collect();
        sign(spend(&outpoints, vec![out(value, miner())]), &spent)
    };
    // It pays its own relay and no more, so that it needs its child to replace.
    let parent = plain(std::slice::from_ref(&coin), 50 * COIN - 1_000);
    let kid = plain(&[at(&parent, 0), at(&waiting, 0)], 60 * COIN);
    assert_eq!(bench.submit_all(&[&parent, &kid]), Err(Reject::PackageRbf(PackageRbf::Ancestors)));
}
