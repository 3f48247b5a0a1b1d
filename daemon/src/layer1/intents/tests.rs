//! What blocks make of transactions that wait.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, ScriptBuf, Sequence, TxIn, TxMerkleNode, TxOut,
    Witness,
};
use chain_backend::backend::{BlockRef, Txs};

use super::*;

fn tx(inputs: &[OutPoint], sat: u64) -> Transaction {
    let input = |previous_output: &OutPoint| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: inputs.iter().map(input).collect(),
        output: vec![TxOut { value: Amount::from_sat(sat), script_pubkey: ScriptBuf::new() }],
    }
}

fn coin(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 }
}

fn output(tx: &Transaction) -> OutPoint {
    OutPoint { txid: tx.compute_txid(), vout: 0 }
}

fn inputs(tx: &Transaction) -> Vec<OutPoint> {
    tx.input.iter().map(|input| input.previous_output).collect()
}

fn made(tx: &Transaction, label: &str) -> IntentMade {
    IntentMade { tx: tx.clone(), label: label.into(), channel: Some(1) }
}

fn block(height: u32, txdata: &[&Transaction]) -> ChainEvent {
    let header = Header {
        version: Version::TWO,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: height,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: height,
    };
    let block = BlockRef { height, hash: header.block_hash(), header, mtp: 0 };
    let txdata = txdata.iter().map(|tx| (*tx).clone()).collect();
    ChainEvent::Connected { block, txs: Txs::Full(Arc::new(Block { header, txdata })) }
}

#[test]
fn a_sweep_is_mined_or_lost_and_lost_ones_are_not_handed_in_again() {
    let (ours, theirs) = (tx(&[coin(1), coin(2)], 5), tx(&[coin(1)], 6));
    let other = tx(&[coin(3)], 7);
    let mut intents = Intents::new(vec![made(&ours, SWEEP), made(&other, SWEEP)]);
    intents.follow(&block(1, &[&theirs, &other]));
    let settled = intents.take_settled();
    assert_eq!(settled, (vec![other.compute_txid()], vec![ours.compute_txid()]));
    assert!(intents.unsettled().is_empty());
    assert_eq!(intents.take_settled(), (vec![], vec![]));
    // The channel makes it again if that block goes.
    assert!(intents.rivals(&inputs(&ours)).is_empty());
}

/// A node that starts again has not heard yet that the funding is in a block, and a child of the commitment may
/// spend change of the funding: names decide nothing about the order.
#[test]
fn parents_come_before_their_children_whatever_their_names_are() {
    for salt in 0..32 {
        let funding = tx(&[coin(salt)], 10);
        let close = tx(&[output(&funding)], 9);
        let change = OutPoint { vout: 1, ..output(&funding) };
        let child = tx(&[output(&close), change], 1);
        let all = [&child, &close, &funding].map(|tx| made(tx, CLOSE));
        let mut intents = Intents::new(all.to_vec());
        let ordered = [funding.clone(), close.clone(), child.clone()];
        assert_eq!(intents.unsettled(), ordered);
        assert_eq!(intents.package(child.clone()).txs(), ordered);
        intents.settle(funding.compute_txid(), 7);
        assert_eq!(intents.package(child.clone()).txs(), [close.clone(), child.clone()]);
    }
}

#[test]
fn a_child_that_pays_for_our_commitment_is_lost_with_it() {
    let close = tx(&[coin(1)], 10);
    let child = tx(&[output(&close), coin(2)], 1);
    let mut intents = Intents::new(vec![made(&close, "close"), made(&child, SWEEP)]);
    assert_eq!(intents.package(child.clone()).txs(), [close.clone(), child.clone()]);
    intents.follow(&block(1, &[&tx(&[coin(1)], 9)]));
    assert_eq!(intents.take_settled(), (vec![], vec![child.compute_txid()]));

    let mut intents = Intents::new(vec![made(&close, "close"), made(&child, SWEEP)]);
    intents.follow(&block(1, &[&close]));
    assert_eq!(intents.take_settled(), (vec![close.compute_txid()], vec![]));
    assert_eq!(intents.unsettled().as_slice(), std::slice::from_ref(&child));
    assert_eq!(intents.package(child.clone()).txs(), [child]);
}

#[test]
fn only_other_sweeps_of_the_same_output_are_rivals() {
    let (old, new) = (tx(&[coin(1), coin(2)], 5), tx(&[coin(1), coin(3)], 4));
    let close = tx(&[coin(3)], 9);
    let intents = Intents::new(vec![made(&old, SWEEP), made(&close, "close")]);
    assert_eq!(intents.rivals(&inputs(&new)), [old.compute_txid()]);
}

#[test]
fn what_builds_on_a_sweep_goes_with_it() {
    let old = tx(&[coin(1), coin(2)], 5);
    let child = tx(&[output(&old), coin(4)], 3);
    let send = tx(&[output(&child)], 2);
    let intents = Intents::new(vec![made(&old, SWEEP), made(&child, SWEEP), made(&send, "rent")]);
    let rivals = intents.rivals(&[coin(2)]);
    assert_eq!(rivals, [old.compute_txid(), child.compute_txid()]);
}

#[test]
fn what_builds_on_a_sweep_that_is_lost_is_lost_as_well() {
    let close = tx(&[coin(1)], 10);
    let child = tx(&[output(&close), coin(2)], 8);
    let second = tx(&[coin(3), output(&child)], 6);
    let third = tx(&[coin(4), output(&second)], 4);
    let all = || {
        let sweeps = [&child, &second, &third].map(|sweep| made(sweep, SWEEP));
        [made(&close, "close")].into_iter().chain(sweeps).collect()
    };
    let lost = || {
        let mut lost = [&child, &second, &third].map(Transaction::compute_txid);
        lost.sort_unstable();
        lost
    };
    let mut intents = Intents::new(all());
    intents.follow(&block(1, &[&tx(&[coin(1)], 9)]));
    let (_, mut told) = intents.take_settled();
    told.sort_unstable();
    assert_eq!(told, lost());
    assert_eq!(intents.take_conflicted(), [close.compute_txid()]);
    assert!(intents.unsettled().is_empty());

    // The same when the first of them is known to be void for another reason.
    let mut intents = Intents::new(all());
    intents.void(child.compute_txid());
    let (_, mut told) = intents.take_settled();
    told.sort_unstable();
    assert_eq!(told, lost());
    assert_eq!(intents.unsettled(), [close]);
}
