//! HTLC transactions, penalties and the largest commitment under the strict rules of relay.

use super::harness::{Bench, COIN, miner, out, sign, spend};
use super::outputs::{PREIMAGE, anchor, delayed, offered, received, signatures, two_of_two};
use crate::builtin::reject::Reject;
use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness,
};

/// A confirmed transaction with these outputs.
fn confirmed(bench: &mut Bench, outputs: Vec<TxOut>, fee: u64) -> Transaction {
    let tx = bench.pay(outputs, fee);
    bench.submit(&tx).unwrap();
    bench.mine(1);
    tx
}

/// Spends one witness script; a signature stands where `None` is.
fn claim(
    parent: &Transaction,
    vout: u32,
    script: &ScriptBuf,
    items: &[Option<&[u8]>],
    (sequence, lock): (u32, u32),
    outputs: Vec<TxOut>,
) -> Transaction {
    let mut tx = spend(&[OutPoint::new(parent.compute_txid(), vout)], outputs);
    tx.input[0].sequence = Sequence(sequence);
    tx.lock_time = LockTime::from_consensus(lock);
    let value = parent.output[vout as usize].value.to_sat();
    let signature = signatures(&tx, &[(0, script, value)], EcdsaSighashType::All).remove(0);
    for item in items {
        tx.input[0].witness.push(item.unwrap_or(&signature));
    }
    tx.input[0].witness.push(script.as_bytes());
    tx
}

#[test]
fn a_delayed_output_is_swept_in_the_block_of_its_delay_and_not_before() {
    let mut bench = Bench::new();
    let script = delayed(6);
    let parent = confirmed(&mut bench, vec![out(COIN, script.to_p2wsh())], 1_000);
    let made = bench.chain.tip().height;
    let sweep =
        claim(&parent, 0, &script, &[None, Some(&[])], (6, 0), vec![out(COIN - 1_000, miner())]);
    bench.mine(4);
    assert_eq!(bench.submit(&sweep), Err(Reject::NonBip68Final));
    bench.mine(1);
    assert_eq!(bench.submit(&sweep), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&sweep));
    assert_eq!(bench.chain.tip().height, made + 6);
}

#[test]
fn a_timeout_waits_until_the_tip_is_at_its_expiry() {
    let mut bench = Bench::new();
    let expiry = bench.chain.tip().height + 5;
    let script = received(i64::from(expiry));
    let outputs = vec![out(COIN, script.to_p2wsh()), out(COIN, offered().to_p2wsh())];
    let parent = confirmed(&mut bench, outputs, 1_000);
    let pays = || vec![out(COIN - 1_000, miner())];
    // Its sender takes a received one back; a pre-signed transaction takes an offered one back.
    let direct = claim(&parent, 0, &script, &[None, Some(&[])], (1, expiry), pays());
    let signed = [Some(&[][..]), None, None, Some(&[])];
    let timeout = claim(&parent, 1, &offered(), &signed, (1, expiry), pays());
    bench.mine(3);
    assert_eq!(bench.chain.tip().height, expiry - 1);
    assert_eq!(bench.submit(&direct), Err(Reject::NonFinal));
    assert_eq!(bench.submit(&timeout), Err(Reject::NonFinal));
    let early = claim(&parent, 0, &script, &[None, Some(&[])], (1, expiry - 1), pays());
    let word = bench.submit(&early).unwrap_err().to_string();
    assert_eq!(word, "mempool-script-verify-flag-failed (Locktime requirement not satisfied)");
    bench.mine(1);
    assert_eq!(bench.submit(&direct), Ok(()));
    assert_eq!(bench.submit(&timeout), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&direct) && bench.confirmed(&timeout));
}

#[test]
fn outputs_with_a_delay_of_one_block_stay_where_they_are_while_the_commitment_waits() {
    let mut bench = Bench::new();
    let commitment = bench.pay(vec![out(COIN, offered().to_p2wsh())], 1_000);
    bench.submit(&commitment).unwrap();
    let pays = vec![out(COIN - 1_000, miner())];
    let take = claim(&commitment, 0, &offered(), &[None, Some(&PREIMAGE)], (1, 0), pays);
    assert_eq!(bench.submit(&take), Err(Reject::NonBip68Final));
    let hasty = claim(
        &commitment,
        0,
        &offered(),
        &[None, Some(&PREIMAGE)],
        (0, 0),
        vec![out(COIN - 1_000, miner())],
    );
    assert!(matches!(bench.submit(&hasty), Err(Reject::MempoolScript(_))));
    bench.mine(1);
    assert_eq!(bench.submit(&take), Ok(()));
}

/// Two HTLC transactions whose peers signed each its own input and output, in one with a coin that pays.
#[test]
fn htlc_transactions_are_batched_and_paid_for_from_beside() {
    let mut bench = Bench::new();
    let (success, timeout) = (received(500), offered());
    let outputs = vec![out(COIN, success.to_p2wsh()), out(2 * COIN, timeout.to_p2wsh())];
    let parent = confirmed(&mut bench, outputs, 1_000);
    let coin = bench.coin();
    let second = delayed(144).to_p2wsh();
    let txid = parent.compute_txid();
    let coins = [OutPoint::new(txid, 0), OutPoint::new(txid, 1), coin.0];
    let mut tx = spend(
        &coins,
        vec![out(COIN, second.clone()), out(2 * COIN, second), out(50 * COIN - 2_000, miner())],
    );
    tx.input[0].sequence = Sequence(1);
    tx.input[1].sequence = Sequence(1);
    tx.lock_time = LockTime::from_consensus(bench.chain.tip().height);
    let scripts = [(0, &success, COIN), (1, &timeout, 2 * COIN)];
    let theirs = signatures(&tx, &scripts, EcdsaSighashType::SinglePlusAnyoneCanPay);
    let ours = signatures(&tx, &scripts, EcdsaSighashType::All);
    let spent = [parent.output[0].clone(), parent.output[1].clone(), coin.1];
    let mut tx = sign(tx, &spent);
    let first: [&[u8]; 5] = [&[], &theirs[0], &ours[0], &PREIMAGE, success.as_bytes()];
    tx.input[0].witness = Witness::from_slice(&first);
    let second: [&[u8]; 5] = [&[], &theirs[1], &ours[1], &[], timeout.as_bytes()];
    tx.input[1].witness = Witness::from_slice(&second);
    assert_eq!(bench.submit(&tx), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&tx));
}

#[test]
fn a_second_stage_is_punished_at_once_with_a_selector_of_exactly_one() {
    let mut bench = Bench::new();
    let script = delayed(144);
    let second = bench.pay(vec![out(COIN, script.to_p2wsh())], 1_000);
    bench.submit(&second).unwrap();
    let with = |selector: &[u8]| {
        let pays = vec![out(COIN - 1_000, miner())];
        claim(&second, 0, &script, &[None, Some(selector)], (0, 0), pays)
    };
    for wrong in [&[2][..], &[1, 0], &[0xff]] {
        let word = bench.submit(&with(wrong)).unwrap_err().to_string();
        assert_eq!(
            word,
            "mempool-script-verify-flag-failed (OP_IF/NOTIF argument must be minimal)"
        );
    }
    let penalty = with(&[1]);
    assert_eq!(bench.submit(&penalty), Ok(()), "also while the second stage waits");
    bench.mine(1);
    assert!(bench.confirmed(&second) && bench.confirmed(&penalty));
}

#[test]
fn the_largest_commitment_is_relayed_and_one_transaction_punishes_all_of_it() {
    const HTLCS: usize = 966;
    let mut bench = Bench::new();
    let funding = confirmed(&mut bench, vec![out(10 * COIN, two_of_two().to_p2wsh())], 1_000);
    let scripts: Vec<ScriptBuf> =
        (0..HTLCS).map(|n| if n % 2 == 0 { offered() } else { received(500) }).collect();
    let mut outputs = vec![out(330, anchor().to_p2wsh()), out(330, anchor().to_p2wsh())];
    outputs.extend(scripts.iter().map(|script| out(1_000, script.to_p2wsh())));
    outputs.push(out(COIN, delayed(144).to_p2wsh()));
    outputs.push(out(0, delayed(1).to_p2wsh()));
    let mut commitment = claim(
        &funding,
        0,
        &two_of_two(),
        &[Some(&[]), None, None],
        (0x8012_3456, 0x2012_3456),
        outputs.clone(),
    );
    // At exactly what is relayed.
    let fee = commitment.vsize() as u64 + 1;
    let paid: u64 = outputs.iter().map(|output| output.value.to_sat()).sum();
    outputs.last_mut().unwrap().value = Amount::from_sat(10 * COIN - paid - fee);
    commitment = claim(
        &funding,
        0,
        &two_of_two(),
        &[Some(&[]), None, None],
        (0x8012_3456, 0x2012_3456),
        outputs,
    );
    // BOLT 3: 1124 weight units with signatures of 73 bytes, 172 an HTLC.
    let most = 1_124 + 172 * HTLCS as u64;
    let weight = commitment.weight().to_wu();
    assert!((most - 8..=most).contains(&weight), "{weight} {most}");
    assert_eq!(bench.submit(&commitment), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&commitment));
    let txid = commitment.compute_txid();
    let coins: Vec<OutPoint> =
        (2..HTLCS as u32 + 2).map(|vout| OutPoint::new(txid, vout)).collect();
    let mut penalty = spend(&coins, vec![out(1_000 * HTLCS as u64 - 110_000, miner())]);
    let inputs: Vec<_> = scripts.iter().enumerate().map(|(n, script)| (n, script, 1_000)).collect();
    let all = signatures(&penalty, &inputs, EcdsaSighashType::All);
    let key = super::harness::pubkey().to_bytes();
    for ((input, signature), script) in penalty.input.iter_mut().zip(&all).zip(&scripts) {
        let items: [&[u8]; 3] = [signature, &key, script.as_bytes()];
        input.witness = Witness::from_slice(&items);
    }
    assert!(penalty.weight().to_wu() <= 400_000, "{}", penalty.weight());
    assert_eq!(bench.submit(&penalty), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&penalty));
}
