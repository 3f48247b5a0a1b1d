//! Funding transactions, splices and mutual closes under the strict rules of relay.

use super::harness::{Bench, COIN, miner, out, sign, spend};
use super::outputs::{signatures, two_of_two};
use crate::builtin::reject::Reject;
use bitcoin::transaction::Version;
use bitcoin::{EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxOut};

/// Spends the funding output and other coins of the miner.
fn from_funding(
    funding: &Transaction,
    more: &[(OutPoint, TxOut)],
    outputs: Vec<TxOut>,
) -> Transaction {
    let value = funding.output[0].value.to_sat();
    let mut coins = vec![OutPoint::new(funding.compute_txid(), 0)];
    coins.extend(more.iter().map(|coin| coin.0));
    let mut spent = vec![funding.output[0].clone()];
    spent.extend(more.iter().map(|coin| coin.1.clone()));
    let mut tx = spend(&coins, outputs);
    for input in &mut tx.input {
        input.sequence = Sequence(0xffff_fffd);
    }
    let mut tx = sign(tx, &spent);
    let script = two_of_two();
    let signature = signatures(&tx, &[(0, &script, value)], EcdsaSighashType::All).remove(0);
    let witness = &mut tx.input[0].witness;
    witness.push([]);
    witness.push(&signature);
    witness.push(&signature);
    witness.push(script.as_bytes());
    tx
}

fn funded(bench: &mut Bench) -> Transaction {
    let funding = bench.pay(vec![out(10 * COIN, two_of_two().to_p2wsh())], 1_000);
    bench.submit(&funding).unwrap();
    bench.mine(1);
    funding
}

#[test]
fn a_funding_of_one_side_and_of_both_waits_and_is_mined() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let mut old = spend(&[coin.0], vec![out(10 * COIN, two_of_two().to_p2wsh())]);
    old.version = Version::ONE;
    old.output.push(out(39 * COIN, miner()));
    let old = sign(old, &[coin.1]);
    assert_eq!(bench.submit(&old), Ok(()));
    let (ours, theirs) = (bench.coin(), bench.coin());
    let both = |fee: u64| {
        let outputs = vec![
            out(20 * COIN, two_of_two().to_p2wsh()),
            out(40 * COIN, miner()),
            out(40 * COIN - fee, miner()),
        ];
        let mut tx = spend(&[ours.0, theirs.0], outputs);
        tx.lock_time = bitcoin::absolute::LockTime::from_consensus(100);
        tx.input.iter_mut().for_each(|input| input.sequence = Sequence(0xffff_fffd));
        sign(tx, &[ours.1.clone(), theirs.1.clone()])
    };
    let first = both(1_000);
    assert_eq!(bench.submit(&first), Ok(()));
    let second = both(3_000);
    assert_eq!(bench.submit(&second), Ok(()), "tx_init_rbf");
    bench.mine(1);
    assert!(bench.confirmed(&old) && bench.confirmed(&second) && !bench.confirmed(&first));
}

#[test]
fn a_splice_is_replaced_again_and_again_and_each_pays_for_the_one_before() {
    let mut bench = Bench::new();
    let funding = funded(&mut bench);
    let more = [bench.coin()];
    let splice = |fee: u64| {
        let outputs = vec![out(60 * COIN - fee, two_of_two().to_p2wsh())];
        from_funding(&funding, &more, outputs)
    };
    let size = splice(1_000).vsize() as u64;
    // Signatures are of 71 or 72 bytes.
    let mut fee = size + 2;
    let mut last = splice(fee);
    assert_eq!(bench.submit(&last), Ok(()));
    for _ in 0..4 {
        // BOLT 2: a fee of 25/24, which on a small fee is less than the relay of another transaction.
        assert_eq!(bench.submit(&splice(fee + fee / 24)), Err(Reject::InsufficientFee));
        fee += size + 10;
        last = splice(fee);
        assert_eq!(bench.submit(&last), Ok(()));
    }
    let next = from_funding(&last, &[], vec![out(60 * COIN - fee - 1_000, miner())]);
    assert_eq!(bench.submit(&next), Ok(()), "the next one may stand on it");
    bench.mine(1);
    assert!(bench.confirmed(&last) && bench.confirmed(&next));
}

#[test]
fn a_close_pays_more_each_time_and_may_end_in_a_worthless_output() {
    let mut bench = Bench::new();
    let funding = funded(&mut bench);
    let close = |fee: u64, closer: TxOut| {
        let rest = 10 * COIN - fee - closer.value.to_sat();
        from_funding(&funding, &[], vec![out(rest, miner()), closer])
    };
    // What the closer has is less than dust: it goes to nobody, and the miners get it.
    let nothing = || out(0, ScriptBuf::new_op_return([7; 20]));
    let first = close(1_000, nothing());
    assert_eq!(first.output[1].value.to_sat(), 0);
    assert_eq!(bench.submit(&first), Ok(()));
    let lower = close(900, out(6 * COIN, miner()));
    assert_eq!(bench.submit(&lower), Err(Reject::InsufficientFee));
    let mut fee = 1_000;
    let mut last = first;
    for _ in 0..3 {
        fee += last.vsize() as u64 + 20;
        last = close(fee, nothing());
        assert_eq!(bench.submit(&last), Ok(()));
    }
    let dusty = close(fee + 1_000, out(200, miner()));
    assert_eq!(bench.submit(&dusty), Err(Reject::Dust));
    bench.mine(1);
    assert!(bench.confirmed(&last));
}
