//! Tests of `consensus`.

use super::harness::{Bench, COIN, START, child, miner, out, sign, spend, word};
use crate::builtin::chainstate::BlockOutcome;
use crate::builtin::mine::{Order, make_block};
use crate::builtin::params::Params;
use crate::builtin::reject::{Reject, ScriptFault};
use crate::builtin::verify::tx::check_transaction;
use bitcoin::absolute::LockTime;
use bitcoin::block::Version as BlockVersion;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction,
    TxMerkleNode, Txid, Witness,
};
use std::sync::Arc;

/// A valid next block with these transactions.
pub(super) fn next(bench: &Bench, txs: &[Transaction], fees_sat: u64) -> Block {
    let txs: Vec<Arc<Transaction>> = txs.iter().cloned().map(Arc::new).collect();
    let order = Order {
        previous: bench.chain.tip(),
        txs: &txs,
        fees_sat,
        script: &miner(),
        now: START,
        extra: 7,
        bits: Params::regtest().bits,
    };
    make_block(&order, &Params::regtest()).unwrap()
}

pub(super) fn work(mut block: Block) -> Block {
    while !block.header.target().is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    block
}

/// Recomputes what commits to the transactions.
pub(super) fn sealed(mut block: Block) -> Block {
    let reserved = block.txdata[0].input[0].witness.nth(0).map(<[u8]>::to_vec);
    if let (Some(reserved), Some(output)) = (reserved, block.txdata[0].output.last())
        && output.script_pubkey.as_bytes().starts_with(&[0x6a, 0x24, 0xaa])
    {
        let root = block.witness_root().unwrap();
        let commitment = Block::compute_witness_commitment(&root, &reserved);
        let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
        script.extend(commitment.to_byte_array());
        block.txdata[0].output.last_mut().unwrap().script_pubkey = ScriptBuf::from_bytes(script);
    }
    rooted(block)
}

pub(super) fn rooted(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().unwrap_or_else(TxMerkleNode::all_zeros);
    work(block)
}

/// Each change of a valid block is refused with its word; unchanged it is taken.
fn refuse(bench: &mut Bench, valid: &Block, cases: Vec<(Block, Reject)>) {
    for (block, reject) in cases {
        assert_eq!(word(bench.chain.submit_block(block)), reject);
        assert_eq!(bench.chain.tip().hash, valid.header.prev_blockhash, "{reject}");
    }
    assert_eq!(bench.chain.submit_block(valid.clone()).unwrap(), BlockOutcome::Connected);
}

fn change(block: &Block, change: impl FnOnce(&mut Block)) -> Block {
    let mut block = block.clone();
    change(&mut block);
    block
}

#[test]
fn headers() {
    let mut bench = Bench::new();
    let valid = next(&bench, &[], 0);
    let mut high = valid.clone();
    while high.header.target().is_met_by(high.header.block_hash()) {
        high.header.nonce += 1;
    }
    let mtp = bench.chain.tip().mtp;
    let cases = vec![
        (high, Reject::HighHash),
        (
            change(&valid, |b| b.header.bits = CompactTarget::from_consensus(0x2100_ffff)),
            Reject::HighHash,
        ),
        (
            work(change(&valid, |b| b.header.bits = CompactTarget::from_consensus(0x207f_fffe))),
            Reject::BadDiffBits,
        ),
        (work(change(&valid, |b| b.header.time = mtp)), Reject::TimeTooOld),
        (work(change(&valid, |b| b.header.time = START + 7_201)), Reject::TimeTooNew),
        (
            work(change(&valid, |b| b.header.version = BlockVersion::from_consensus(3))),
            Reject::BadVersion(3),
        ),
        (
            work(change(&valid, |b| b.header.prev_blockhash = BlockHash::all_zeros())),
            Reject::PrevBlockNotFound,
        ),
    ];
    refuse(&mut bench, &valid, cases);
    assert_eq!(Reject::BadVersion(3).to_string(), "bad-version(0x00000003)");
    assert_eq!(word(bench.chain.submit_block(valid.clone())), Reject::Duplicate);
    let above = next(&bench, &[], 0);
    bench.chain.invalidate(valid.block_hash()).unwrap();
    assert_eq!(word(bench.chain.submit_block(valid)), Reject::DuplicateInvalid);
    assert_eq!(word(bench.chain.submit_block(above)), Reject::BadPrevBlock);
}

#[test]
fn shapes_of_blocks() {
    let mut bench = Bench::new();
    let one = bench.pay(vec![], 1_000);
    let two = bench.pay(vec![], 1_000);
    let valid = next(&bench, &[one.clone(), two.clone()], 2_000);
    let with = |f: fn(&mut Block)| sealed(change(&valid, f));
    let huge = |b: &mut Block| {
        b.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0; 1_000_001]);
    };
    let checksigs = |b: &mut Block| {
        b.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 20_001]);
    };
    let heavy = |b: &mut Block| {
        b.txdata[1].input[0].witness.push(vec![0; 4_000_000]);
    };
    let cases = vec![
        (
            work(change(&valid, |b| b.header.merkle_root = TxMerkleNode::all_zeros())),
            Reject::BadMerkleRoot,
        ),
        (change(&valid, |b| b.txdata.push(two)), Reject::MerkleDuplicate),
        (with(huge), Reject::BlockLength),
        (rooted(change(&valid, |b| drop(b.txdata.remove(0)))), Reject::CoinbaseMissing),
        (with(|b| b.txdata.push(b.txdata[0].clone())), Reject::CoinbaseMultiple),
        (
            with(|b| b.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![1; 101])),
            Reject::CoinbaseLength,
        ),
        (with(checksigs), Reject::BlockSigops),
        (
            with(|b| b.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![1, 99, 0])),
            Reject::CoinbaseHeight,
        ),
        (
            rooted(change(&valid, |b| b.txdata[0].input[0].witness = Witness::new())),
            Reject::WitnessNonceSize,
        ),
        (
            rooted(change(&valid, |b| b.txdata[1].input[0].witness.push([1]))),
            Reject::WitnessMerkleMatch,
        ),
        (rooted(change(&valid, |b| drop(b.txdata[0].output.pop()))), Reject::UnexpectedWitness),
        (with(heavy), Reject::BlockWeight),
        (with(|b| b.txdata[0].output[0].value += Amount::from_sat(1)), Reject::CoinbaseAmount),
    ];
    refuse(&mut bench, &valid, cases);
    assert!(bench.confirmed(&one));
}

#[test]
fn transactions_in_blocks() {
    let mut bench = Bench::new();
    let good = bench.pay(vec![], 1_000);
    let valid = next(&bench, std::slice::from_ref(&good), 1_000);
    let tip = bench.chain.tip().height;
    let coin = bench.coin();
    let young = bench.chain.header_at(tip - 90).unwrap().hash;
    let young = bench.chain.block(young).unwrap().txdata[0].clone();
    let none = OutPoint::new(Txid::from_byte_array([9; 32]), 0);
    let pay = |value: u64| {
        sign(spend(&[coin.0], vec![out(value, miner())]), std::slice::from_ref(&coin.1))
    };
    let mut late = spend(&[coin.0], vec![out(COIN, miner())]);
    late.lock_time = LockTime::from_consensus(tip + 1);
    late.input[0].sequence = Sequence::ZERO;
    let mut timed = late.clone();
    timed.lock_time = LockTime::from_consensus(bench.chain.tip().mtp);
    let mut soon = spend(&[OutPoint::new(good.compute_txid(), 0)], vec![out(COIN, miner())]);
    soon.input[0].sequence = Sequence::from_height(1);
    let soon = sign(soon, &[good.output[0].clone()]);
    let mut forged = pay(COIN);
    forged.output[0].value = Amount::from_sat(COIN + 1);
    let block = |txs: &[Transaction]| next(&bench, txs, 0);
    let fault = Reject::BlockScript(ScriptFault::Consensus);
    let cases = vec![
        (block(&[spend(&[none], vec![out(1, miner())])]), Reject::InputsMissingOrSpent),
        (block(&[pay(COIN), pay(COIN + 5)]), Reject::InputsMissingOrSpent),
        (block(&[child(&good, &[0], 0), good.clone()]), Reject::InputsMissingOrSpent),
        (block(&[child(&young, &[0], 0)]), Reject::PrematureCoinbaseSpend),
        (block(&[pay(51 * COIN)]), Reject::InBelowOut),
        (block(&[sign(late, std::slice::from_ref(&coin.1))]), Reject::BlockNonFinal),
        (block(&[sign(timed, std::slice::from_ref(&coin.1))]), Reject::BlockNonFinal),
        (block(&[good.clone(), soon]), Reject::BlockNonFinal),
        (block(&[forged]), fault),
    ];
    // A block that only fails against the coins is known afterwards, and stays refused.
    refuse(&mut bench, &valid, cases);
    assert_eq!(fault.to_string(), "block-script-verify-flag-failed (unknown error)");
    assert_eq!(Reject::BlockNonFinal.to_string(), "bad-txns-nonfinal");
}

#[test]
fn transactions_by_themselves() {
    let good = spend(&[OutPoint::new(Txid::from_byte_array([1; 32]), 0)], vec![out(1, miner())]);
    let check = |change: fn(&mut Transaction)| {
        let mut tx = good.clone();
        change(&mut tx);
        check_transaction(&tx).map_err(|word| word.to_string())
    };
    let money = 2_100_000_000_000_000;
    assert_eq!(check(|_| {}), Ok(()));
    for (change, word) in [
        ((|tx: &mut Transaction| tx.input.clear()) as fn(&mut Transaction), "bad-txns-vin-empty"),
        (|tx| tx.output.clear(), "bad-txns-vout-empty"),
        (|tx| tx.output[0].value = Amount::from_sat(u64::MAX), "bad-txns-vout-negative"),
        (|tx| tx.output[0].script_pubkey = vec![0; 1_000_000].into(), "bad-txns-oversize"),
        (|tx| tx.input.push(tx.input[0].clone()), "bad-txns-inputs-duplicate"),
        (
            |tx| {
                let mut null = tx.input[0].clone();
                null.previous_output = OutPoint::null();
                tx.input.push(null);
            },
            "bad-txns-prevout-null",
        ),
        (|tx| tx.input[0].previous_output = OutPoint::null(), "bad-cb-length"),
    ] {
        assert_eq!(check(change), Err(word.to_owned()));
    }
    let mut rich = good.clone();
    rich.output[0].value = Amount::from_sat(money + 1);
    assert_eq!(check_transaction(&rich), Err(Reject::VoutTooLarge));
    rich.output = vec![out(money, miner()), out(1, miner())];
    assert_eq!(check_transaction(&rich), Err(Reject::TxOutTotalTooLarge));
}

#[test]
fn the_subsidy_halves_every_hundred_and_fifty_blocks() {
    let params = Params::regtest();
    assert_eq!(params.subsidy_sat(149), 50 * COIN);
    assert_eq!(params.subsidy_sat(150), 25 * COIN);
    assert_eq!(params.subsidy_sat(300), 1_250_000_000);
    assert_eq!(params.subsidy_sat(150 * 64), 0);
    let mut bench = Bench::new();
    bench.mine(200);
    let supply = (149 * 50 + 150 * 25 + 11 * 25 / 2) * COIN + COIN / 2;
    assert_eq!(bench.chain.totals().supply_sat, supply);
}
