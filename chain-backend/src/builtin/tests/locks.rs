//! Tests of `locks`.

use super::harness::{Bench, COIN, START, miner, out, sign, sign_wsh, spend};
use crate::builtin::reject::Reject;
use crate::{Lock, Package, SubmitOutcome};
use bitcoin::absolute::LockTime;
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CLTV, OP_CSV, OP_DROP};
use bitcoin::script::Builder;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction};

use super::harness::pubkey;

/// Spends output 0 of a confirmed transaction that pays `script`.
fn claim(parent: &Transaction, script: &ScriptBuf, sequence: Sequence, lock: u32) -> Transaction {
    let coin = OutPoint::new(parent.compute_txid(), 0);
    let mut tx = spend(&[coin], vec![out(COIN - 1_000, miner())]);
    tx.input[0].sequence = sequence;
    tx.lock_time = LockTime::from_consensus(lock);
    let signature = sign_wsh(&tx, 0, script, COIN);
    tx.input[0].witness.push(signature);
    tx.input[0].witness.push(script.as_bytes());
    tx
}

fn locked(value: i64, opcode: bitcoin::Opcode) -> ScriptBuf {
    Builder::new()
        .push_int(value)
        .push_opcode(opcode)
        .push_opcode(OP_DROP)
        .push_key(&pubkey())
        .push_opcode(OP_CHECKSIG)
        .into_script()
}

fn outcome(bench: &mut Bench, tx: &Transaction) -> SubmitOutcome {
    let package = Package::single(tx.clone());
    let result = bench.chain.submit(&package, None);
    bench.chain.outcome(&package, None, result)
}

#[test]
fn a_delay_of_five_is_spent_in_the_fifth_block_above_and_waits_one_before() {
    let mut bench = Bench::new();
    let script = locked(5, OP_CSV);
    let parent = bench.pay(vec![out(COIN, script.to_p2wsh())], 1_000);
    bench.submit(&parent).unwrap();
    bench.mine(1);
    let confirmed = bench.chain.tip().height;
    let spend = claim(&parent, &script, Sequence::from_height(5), 0);
    for _ in 0..4 {
        assert_eq!(bench.submit(&spend), Err(Reject::NonBip68Final));
        let at = Lock::TipHeight(confirmed + 4);
        assert_eq!(outcome(&mut bench, &spend), SubmitOutcome::Premature { at });
        bench.mine(1);
    }
    assert_eq!(bench.submit(&spend), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&spend));
    assert_eq!(bench.chain.tip().height, confirmed + 5);
    // With a shorter sequence the script itself says no.
    let early = claim(&parent, &script, Sequence::from_height(4), 0);
    assert_eq!(bench.submit(&early), Err(Reject::InputsMissingOrSpent));
}

#[test]
fn a_script_lock_cannot_be_undercut() {
    let mut bench = Bench::new();
    let script = locked(5, OP_CSV);
    let parent = bench.pay(vec![out(COIN, script.to_p2wsh())], 1_000);
    bench.submit(&parent).unwrap();
    bench.mine(10);
    let early = claim(&parent, &script, Sequence::from_height(4), 0);
    assert!(matches!(bench.submit(&early), Err(Reject::MempoolScript(_))));
    assert_eq!(bench.submit(&claim(&parent, &script, Sequence::from_height(5), 0)), Ok(()));
}

#[test]
fn a_lock_time_is_mined_one_above_and_waits_at_its_height() {
    let mut bench = Bench::new();
    let height = bench.chain.tip().height + 4;
    let script = locked(i64::from(height), OP_CLTV);
    let parent = bench.pay(vec![out(COIN, script.to_p2wsh())], 1_000);
    bench.submit(&parent).unwrap();
    bench.mine(1);
    let spend = claim(&parent, &script, Sequence::ZERO, height);
    while bench.chain.tip().height < height {
        assert_eq!(bench.submit(&spend), Err(Reject::NonFinal));
        let at = Lock::TipHeight(height);
        assert_eq!(outcome(&mut bench, &spend), SubmitOutcome::Premature { at });
        bench.mine(1);
    }
    assert_eq!(bench.submit(&spend), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&spend));
    assert_eq!(bench.chain.tip().height, height + 1);
}

#[test]
fn times_are_measured_against_the_median_of_eleven_blocks() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let mtp = bench.chain.tip().mtp;
    let timed = |lock: u32| {
        let mut tx = spend(&[coin.0], vec![out(COIN, miner())]);
        tx.input[0].sequence = Sequence::ZERO;
        tx.lock_time = LockTime::from_consensus(lock);
        sign(tx, std::slice::from_ref(&coin.1))
    };
    let at = Lock::TipMedianTime(mtp + 1);
    assert_eq!(outcome(&mut bench, &timed(mtp)), SubmitOutcome::Premature { at });
    assert_eq!(bench.submit(&timed(mtp - 1)), Ok(()));
    // BIP 68 in units of 512 seconds, from the median time before the coin's block.
    let height = bench.chain.tip().height;
    let young = bench.pay(vec![out(COIN, miner())], 1_000);
    bench.submit(&young).unwrap();
    bench.mine(1);
    let start = bench.chain.header_at(height).unwrap().mtp;
    let coin = OutPoint::new(young.compute_txid(), 0);
    let mut tx = spend(&[coin], vec![out(COIN - 1_000, miner())]);
    tx.input[0].sequence = Sequence::from_512_second_intervals(2);
    let tx = sign(tx, &[young.output[0].clone()]);
    let at = Lock::TipMedianTime(start + 1_024);
    assert_eq!(outcome(&mut bench, &tx), SubmitOutcome::Premature { at });
    bench.chain.set_now(Some(START + 1_022));
    bench.mine(11);
    let before = bench.chain.tip().mtp;
    assert!(before < start + 1_024, "{before} {start}");
    assert_eq!(bench.submit(&tx), Err(Reject::NonBip68Final));
    bench.chain.set_now(Some(START + 2_000));
    bench.mine(11);
    assert_eq!(bench.submit(&tx), Ok(()));
}
