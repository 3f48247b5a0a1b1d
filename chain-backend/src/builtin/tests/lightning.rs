//! Transactions of a channel's life against the mempool.

use super::harness::{Bench, COIN, child, miner, out, pubkey, sign, sign_wsh, spend};
use super::outputs::anchor;
use crate::builtin::reject::Reject;
use bitcoin::opcodes::all::OP_CSV;
use bitcoin::script::Builder;
use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction};

/// The peer's output of an anchor channel: one block's delay.
fn to_remote() -> ScriptBuf {
    Builder::new()
        .push_key(&pubkey())
        .push_opcode(bitcoin::opcodes::all::OP_CHECKSIGVERIFY)
        .push_int(1)
        .push_opcode(OP_CSV)
        .into_script()
}

fn commitment(bench: &mut Bench, fee: u64) -> Transaction {
    let outputs = vec![out(330, anchor().to_p2wsh()), out(COIN, to_remote().to_p2wsh())];
    bench.pay(outputs, fee)
}

fn fee_child(bench: &mut Bench, commitment: &Transaction, fee: u64) -> Transaction {
    let coin = bench.coin();
    let anchor_coin = OutPoint::new(commitment.compute_txid(), 0);
    let rest = 50 * COIN + 330 - fee;
    let tx = spend(&[anchor_coin, coin.0], vec![out(rest, miner())]);
    let mut tx = sign(tx, &[commitment.output[0].clone(), coin.1]);
    let signature = sign_wsh(&tx, 0, &anchor(), 330);
    tx.input[0].witness.push(signature);
    tx.input[0].witness.push(anchor().as_bytes());
    tx
}

#[test]
fn a_commitment_and_the_child_that_pays_for_it_come_in_together() {
    let mut bench = Bench::new();
    let commitment = commitment(&mut bench, 1_000);
    let bump = fee_child(&mut bench, &commitment, 20_000);
    assert_eq!(bench.submit_all(&[&commitment, &bump]), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&commitment) && bench.confirmed(&bump));
}

#[test]
fn a_package_below_the_raised_minimum_comes_in_by_its_child() {
    let mut bench = Bench::small();
    for fee in 0..6 {
        let filler = bench.pay(vec![], 2_000 + fee);
        bench.submit(&filler).unwrap();
    }
    let commitment = commitment(&mut bench, 300);
    assert_eq!(bench.submit(&commitment), Err(Reject::MempoolMinFee));
    let poor = fee_child(&mut bench, &commitment, 1_000);
    assert_eq!(bench.submit_all(&[&commitment, &poor]), Err(Reject::MempoolMinFee));
    assert!(!bench.waits(&commitment));
    let rich = fee_child(&mut bench, &commitment, 50_000);
    assert_eq!(bench.submit_all(&[&commitment, &rich]), Ok(()));
    assert!(bench.waits(&commitment) && bench.waits(&rich));
}

#[test]
fn a_package_replaces_the_peers_commitment() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let with = |value: u64| {
        let outputs = vec![out(330, anchor().to_p2wsh()), out(value, miner())];
        sign(spend(&[coin.0], outputs), std::slice::from_ref(&coin.1))
    };
    let theirs = with(50 * COIN - 330 - 1_000);
    let ours = with(50 * COIN - 330 - 900);
    bench.submit(&theirs).unwrap();
    assert_eq!(bench.submit(&ours), Err(Reject::InsufficientFee));
    let bump = fee_child(&mut bench, &ours, 20_000);
    assert_eq!(bench.submit_all(&[&ours, &bump]), Ok(()));
    assert!(!bench.waits(&theirs) && bench.waits(&ours));
}

#[test]
fn an_output_with_one_block_of_delay_waits_for_its_block() {
    let mut bench = Bench::new();
    let commitment = commitment(&mut bench, 1_000);
    bench.submit(&commitment).unwrap();
    let coin = OutPoint::new(commitment.compute_txid(), 1);
    let mut sweep = spend(&[coin], vec![out(COIN - 1_000, miner())]);
    sweep.input[0].sequence = Sequence::from_height(1);
    let signature = sign_wsh(&sweep, 0, &to_remote(), COIN);
    sweep.input[0].witness.push(signature);
    sweep.input[0].witness.push(to_remote().as_bytes());
    let refused = bench.submit(&sweep);
    assert_eq!(refused, Err(Reject::NonBip68Final));
    assert_eq!(refused.unwrap_err().to_string(), "non-BIP68-final");
    bench.mine(1);
    assert_eq!(bench.submit(&sweep), Ok(()));
}

#[test]
fn anybody_sweeps_an_anchor_after_sixteen_blocks() {
    let mut bench = Bench::new();
    let commitment = commitment(&mut bench, 1_000);
    bench.submit(&commitment).unwrap();
    bench.mine(16);
    let rest = bench.pay(vec![], 1_000);
    bench.submit(&rest).unwrap();
    let coins =
        [OutPoint::new(commitment.compute_txid(), 0), OutPoint::new(rest.compute_txid(), 0)];
    let total = rest.output[0].value.to_sat() + 330;
    let mut sweep = spend(&coins, vec![out(total - 1_000, miner())]);
    sweep.input[0].sequence = Sequence::from_height(16);
    let mut sweep = sign(sweep, &[commitment.output[0].clone(), rest.output[0].clone()]);
    sweep.input[0].witness.push([]);
    sweep.input[0].witness.push(anchor().as_bytes());
    assert_eq!(bench.submit(&sweep), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&sweep));
}

#[test]
fn version_three_families_are_one_parent_and_one_small_child() {
    let mut bench = Bench::new();
    let v3 = |bench: &mut Bench, outputs: Vec<bitcoin::TxOut>| {
        let coin = bench.coin();
        let mut tx = spend(&[coin.0], outputs);
        tx.version = bitcoin::transaction::Version(3);
        sign(tx, &[coin.1])
    };
    let kid = |parent: &Transaction, vout: u32, version: i32| {
        let coin = OutPoint::new(parent.compute_txid(), vout);
        let mut tx = spend(&[coin], vec![out(COIN, miner())]);
        tx.version = bitcoin::transaction::Version(version);
        sign(tx, &[parent.output[vout as usize].clone()])
    };
    let parent = v3(&mut bench, vec![out(2 * COIN, miner()); 2]);
    bench.submit(&parent).unwrap();
    assert_eq!(bench.submit(&kid(&parent, 0, 2)), Err(Reject::Truc));
    let first = kid(&parent, 0, 3);
    assert_eq!(bench.submit(&first), Ok(()));
    assert_eq!(bench.submit(&child(&first, &[0], 1_000)), Err(Reject::Truc));
    let anchor = ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73]);
    // A commitment without fee, its dust anchor spent by the child that pays for both.
    let free = v3(&mut bench, vec![out(0, anchor), out(50 * COIN, miner())]);
    let coins = [OutPoint::new(free.compute_txid(), 0), OutPoint::new(free.compute_txid(), 1)];
    let mut pays = spend(&coins, vec![out(49 * COIN, miner())]);
    pays.version = bitcoin::transaction::Version(3);
    let pays = sign(pays, &free.output);
    assert_eq!(bench.submit(&free), Err(Reject::MinRelayFee));
    let mut leaves = spend(&coins[1..], vec![out(49 * COIN, miner())]);
    leaves.version = bitcoin::transaction::Version(3);
    let leaves = sign(leaves, &free.output[1..]);
    assert_eq!(bench.submit_all(&[&free, &leaves]), Err(Reject::MissingEphemeralSpends));
    assert_eq!(bench.submit_all(&[&free, &pays]), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&free) && bench.confirmed(&pays));
}
