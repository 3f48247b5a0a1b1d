//! A child of what pays us, in place of the one before, and gone with its parent.

use super::*;

const RELAY: FeeratePerKw = FeeratePerKw::FLOOR;

/// A close that pays us and that no mempool has shown us, and what it pays itself.
fn close(bench: &mut Bench) -> (Transaction, Amount) {
    (bench.incoming(50_000), Amount::from_sat(150))
}

fn bring(bench: &mut Bench, raised: &Raised) {
    let fact = bench.wallet.bring_child(raised, NOW);
    bench.keep(fact);
}

#[test]
fn a_child_pays_for_both_and_the_next_one_takes_its_place() {
    let mut bench = Bench::new();
    let (close, paid) = close(&mut bench);
    assert!(bench.wallet.feerate_with_child(&close, paid) < FeeratePerKw(1_000));
    let first = bench.wallet.plan_child(&close, paid, FeeratePerKw(2_000), RELAY).unwrap();
    assert_eq!(bench.wallet.balance(0).unconfirmed, Amount::ZERO, "a plan changes nothing");
    bring(&mut bench, &first);
    verify(&first.tx, std::slice::from_ref(&close));
    let both = close.weight().to_wu() + first.tx.weight().to_wu();
    let fee = (paid + first.fee).to_sat();
    assert!(fee * 1_000 >= 2_000 * both, "{fee} for {both}");
    assert_eq!(bench.wallet.balance(0).unconfirmed.to_sat(), 50_000 - first.fee.to_sat());
    assert!(bench.wallet.feerate_with_child(&close, paid) >= FeeratePerKw(2_000));
    // BIP 125 rules 3 and 4, though hardly more is wanted.
    let second = bench.wallet.plan_child(&close, paid, FeeratePerKw(2_001), RELAY).unwrap();
    assert!(second.fee >= first.fee + RELAY.fee_floor(second.tx.weight().to_wu()));
    bring(&mut bench, &second);
    assert_eq!(second.tx.input[0].previous_output, first.tx.input[0].previous_output);
    assert_eq!(second.tx.output[0].script_pubkey, first.tx.output[0].script_pubkey);
    assert_eq!(bench.wallet.pending(), std::slice::from_ref(&second.tx));
    assert_eq!(bench.wallet.balance(0).unconfirmed.to_sat(), 50_000 - second.fee.to_sat());
    bench.check_restart();
    bench.mine(vec![close, second.tx]);
    assert_eq!(bench.wallet.balance(0).confirmed.to_sat(), 50_000 - second.fee.to_sat());
}

#[test]
fn a_child_whose_parent_lost_its_place_is_forgotten_with_all_that_builds_on_it() {
    let mut bench = Bench::new();
    let (close, paid) = close(&mut bench);
    let raised = bench.wallet.plan_child(&close, paid, FeeratePerKw(2_000), RELAY).unwrap();
    bring(&mut bench, &raised);
    bench.promise(1, &spend(2_000)).unwrap();
    bench.broadcast(1);
    assert_eq!(bench.wallet.pending().len(), 2);
    let void = bench.wallet.builds_on(&[close.compute_txid()]);
    assert_eq!(void.len(), 3, "the close, its child, and what the child's output paid");
    // The clock was set back meanwhile.
    let fact = bench.wallet.settle(&[], &void, UnixMillis(NOW.0 - 5_000));
    bench.keep(fact);
    assert_eq!(bench.wallet.balance(0).unconfirmed, Amount::ZERO);
    assert!(bench.wallet.pending().is_empty());
    bench.check_restart();
}

#[test]
fn what_pays_us_nothing_or_too_little_has_no_child() {
    let mut bench = Bench::new();
    let (close, paid) = close(&mut bench);
    let dear = bench.wallet.plan_child(&close, paid, FeeratePerKw(200_000), RELAY);
    assert!(matches!(dear, Err(BumpNo::TooDear { .. })), "{dear:?}");
    let from = OutPoint::new(Txid::from_byte_array([6; 32]), 0);
    let other = paying(from, stranger(), 50_000);
    let none = bench.wallet.plan_child(&other, paid, FeeratePerKw(2_000), RELAY);
    assert_eq!(none, Err(BumpNo::NoOutput));
}
