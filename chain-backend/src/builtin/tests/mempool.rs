//! Tests of `mempool`.

use super::harness::{Bench, COIN, START, anyone, child, miner, options, out, sign, spend};
use crate::builtin::chainstate::Chainstate;
use crate::builtin::policy::standard::dust_limit_sat;
use crate::builtin::reject::Reject;
use crate::{ChainError, Lock, Package, SubmitOutcome};
use bitcoin::{
    Amount, FeeRate, OutPoint, ScriptBuf, Transaction, TxOut, WPubkeyHash, WScriptHash,
    hashes::Hash, transaction::Version,
};

fn outcome(bench: &mut Bench, tx: &Transaction) -> SubmitOutcome {
    let package = Package::single(tx.clone());
    let result = bench.chain.submit(&package, None);
    bench.chain.outcome(&package, None, result)
}

fn p2a() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73])
}

#[test]
fn dust_is_what_core_calls_dust() {
    let wpkh = ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros());
    let wsh = ScriptBuf::new_p2wsh(&WScriptHash::all_zeros());
    let pkh = ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::all_zeros());
    let sh = ScriptBuf::new_p2sh(&bitcoin::ScriptHash::all_zeros());
    let data = ScriptBuf::new_op_return([1; 20]);
    for (script, limit) in [(wpkh, 294), (wsh, 330), (pkh, 546), (sh, 540), (p2a(), 240), (data, 0)]
    {
        assert_eq!(dust_limit_sat(&script), limit, "{script}");
    }
    let mut bench = Bench::new();
    let tx = bench.pay(vec![out(239, p2a())], 1_000);
    assert_eq!(bench.submit(&tx), Err(Reject::Dust));
    let tx = bench.pay(vec![out(240, p2a()), out(294, miner())], 1_000);
    assert_eq!(bench.submit(&tx), Ok(()));
}

#[test]
fn standardness() {
    let mut bench = Bench::new();
    let mut change = |change: &mut dyn FnMut(&mut Transaction)| {
        let coin = bench.coin();
        let mut tx = spend(&[coin.0], vec![out(COIN, miner())]);
        change(&mut tx);
        bench.submit(&sign(tx, &[coin.1]))
    };
    assert_eq!(change(&mut |tx| tx.version = Version(4)), Err(Reject::Version));
    assert_eq!(change(&mut |tx| tx.version = Version(3)), Ok(()));
    assert_eq!(change(&mut |tx| tx.output[0].script_pubkey = anyone()), Err(Reject::ScriptPubKey));
    let data = |bytes: usize| {
        out(0, ScriptBuf::from_bytes([vec![0x6a, 0x4c, bytes as u8], vec![1; bytes]].concat()))
    };
    assert_eq!(change(&mut |tx| tx.output.push(data(80))), Ok(()));
    assert_eq!(change(&mut |tx| tx.output.push(data(81))), Err(Reject::ScriptPubKey));
    assert_eq!(
        change(&mut |tx| tx.output.extend([data(10), data(10)])),
        Err(Reject::MultiOpReturn)
    );
    assert_eq!(
        change(&mut |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x76])),
        Err(Reject::ScriptSigNotPushOnly)
    );
    assert_eq!(change(&mut |tx| tx.output = vec![out(COIN, miner()); 13_000]), Err(Reject::TxSize));
    let tiny = ScriptBuf::new_op_return([]);
    assert_eq!(change(&mut |tx| tx.output = vec![out(0, tiny.clone())]), Err(Reject::TxSizeSmall));
}

#[test]
fn a_witness_on_pay_to_anchor_is_refused_and_none_is_taken() {
    let mut bench = Bench::new();
    let parent = bench.pay(vec![out(10_000, p2a())], 1_000);
    bench.submit(&parent).unwrap();
    let coins = [OutPoint::new(parent.compute_txid(), 0)];
    let mut tx = spend(&coins, vec![out(9_000, miner())]);
    tx.input[0].witness.push([1]);
    assert_eq!(bench.submit(&tx), Err(Reject::NonstandardWitness));
    tx.input[0].witness = bitcoin::Witness::new();
    assert_eq!(bench.submit(&tx), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&tx));
}

#[test]
fn the_same_twice_and_what_a_block_has_is_success() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![], 1_000);
    assert_eq!(outcome(&mut bench, &tx), SubmitOutcome::Accepted);
    assert_eq!(outcome(&mut bench, &tx), SubmitOutcome::InMempool);
    bench.mine(1);
    let tip = bench.chain.tip();
    assert_eq!(outcome(&mut bench, &tx), SubmitOutcome::Confirmed(Some(tip)));
    let rival = {
        let mut rival = tx.clone();
        rival.output[0].value -= Amount::from_sat(500);
        rival
    };
    let with = Some(tx.compute_txid());
    assert_eq!(outcome(&mut bench, &rival), SubmitOutcome::Conflict { with });
    let orphan = child(&bench.pay(vec![], 1_000), &[0], 1_000);
    assert_eq!(outcome(&mut bench, &orphan), SubmitOutcome::MissingInputs);
}

#[test]
fn fees_have_a_floor_and_a_cap() {
    let mut bench = Bench::new();
    let size = bench.pay(vec![], 1_000).vsize() as u64;
    let poor = bench.pay(vec![], size - 1);
    let min = FeeRate::from_sat_per_kwu(250);
    assert_eq!(bench.submit(&poor), Err(Reject::MinRelayFee));
    assert_eq!(outcome(&mut bench, &poor), SubmitOutcome::FeeTooLow { min });
    let enough = bench.pay(vec![], size);
    assert_eq!(bench.submit(&enough), Ok(()));
    let rich = Package::single(bench.pay(vec![], 100 * size));
    let max = FeeRate::from_sat_per_vb_u32(99);
    let result = bench.chain.submit(&rich, Some(max));
    assert_eq!(result, Err(Reject::MaxFeeExceeded));
    assert_eq!(bench.chain.outcome(&rich, Some(max), result), SubmitOutcome::FeeTooHigh { max });
    assert_eq!(bench.chain.submit(&rich, Some(FeeRate::from_sat_per_vb_u32(100))), Ok(()));
}

#[test]
fn coinbases_wait_a_hundred_blocks() {
    let mut bench = Bench::new();
    let tip = bench.chain.tip().height;
    let young = |bench: &mut Bench, height| {
        let hash = bench.chain.header_at(height).unwrap().hash;
        bench.chain.block(hash).unwrap().txdata[0].clone()
    };
    let ripe = child(&young(&mut bench, tip - 99), &[0], 1_000);
    let green = child(&young(&mut bench, tip - 98), &[0], 1_000);
    assert_eq!(bench.submit(&green), Err(Reject::PrematureCoinbaseSpend));
    let at = Lock::TipHeight(tip + 1);
    assert_eq!(outcome(&mut bench, &green), SubmitOutcome::Premature { at });
    assert_eq!(bench.submit(&ripe), Ok(()));
    bench.mine(1);
    assert!(bench.confirmed(&ripe));
    assert_eq!(bench.submit(&green), Ok(()));
}

/// Spends a coin with this fee.
fn pay_from(coin: &(OutPoint, TxOut), fee: u64) -> Transaction {
    let rest = coin.1.value.to_sat() - fee;
    sign(spend(&[coin.0], vec![out(rest, miner())]), std::slice::from_ref(&coin.1))
}

#[test]
fn who_pays_more_replaces_and_must_pay_for_all_it_throws_out() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let first = pay_from(&coin, 1_000);
    let kid = child(&first, &[0], 2_000);
    bench.submit(&first).unwrap();
    bench.submit(&kid).unwrap();
    let size = first.vsize() as u64;
    assert_eq!(bench.submit(&pay_from(&coin, 999)), Err(Reject::InsufficientFee));
    let needed = 3_000 + size;
    let short = pay_from(&coin, needed - 1);
    assert_eq!(bench.submit(&short), Err(Reject::InsufficientFee));
    let word = outcome(&mut bench, &short);
    assert_eq!(word, SubmitOutcome::Replaceable { needed: Amount::from_sat(needed) });
    assert_eq!(bench.submit(&pay_from(&coin, needed)), Ok(()));
    assert!(!bench.waits(&first) && !bench.waits(&kid));
}

#[test]
fn a_replacement_adds_no_unconfirmed_coin_and_does_not_eat_itself() {
    let mut bench = Bench::new();
    let coin = bench.coin();
    let first = pay_from(&coin, 1_000);
    let other = bench.pay(vec![out(COIN, miner())], 1_000);
    bench.submit(&first).unwrap();
    bench.submit(&other).unwrap();
    let both = |extra: (OutPoint, TxOut)| {
        let spent = [coin.1.clone(), extra.1];
        sign(spend(&[coin.0, extra.0], vec![out(COIN, miner())]), &spent)
    };
    let from = |tx: &Transaction| (OutPoint::new(tx.compute_txid(), 0), tx.output[0].clone());
    assert_eq!(bench.submit(&both(from(&other))), Err(Reject::ReplacementAddsUnconfirmed));
    assert_eq!(bench.submit(&both(from(&first))), Err(Reject::SpendsConflicting));
}

#[test]
fn no_more_than_a_hundred_are_replaced_at_once() {
    let mut bench = Bench::new();
    let coins: Vec<_> = (0..5).map(|_| bench.coin()).collect();
    for coin in &coins {
        let fan =
            sign(spend(&[coin.0], vec![out(COIN, miner()); 20]), std::slice::from_ref(&coin.1));
        bench.submit(&fan).unwrap();
        for vout in 0..20 {
            bench.submit(&child(&fan, &[vout], 1_000)).unwrap();
        }
    }
    let all = |coins: &[(OutPoint, TxOut)]| {
        let outpoints: Vec<OutPoint> = coins.iter().map(|coin| coin.0).collect();
        let spent: Vec<TxOut> = coins.iter().map(|coin| coin.1.clone()).collect();
        sign(spend(&outpoints, vec![out(COIN / 2, miner())]), &spent)
    };
    assert_eq!(bench.submit(&all(&coins)), Err(Reject::TooManyReplacements));
    assert_eq!(bench.submit(&all(&coins[..4])), Ok(()));
    assert_eq!(bench.chain.mempool().len(), 22);
}

#[test]
fn chains_of_unconfirmed_transactions_are_short() {
    let mut bench = Bench::new();
    let mut last = bench.pay(vec![], 1_000);
    bench.submit(&last).unwrap();
    for _ in 1..25 {
        last = child(&last, &[0], 1_000);
        bench.submit(&last).unwrap();
    }
    assert_eq!(bench.submit(&child(&last, &[0], 1_000)), Err(Reject::TooLongChain));
    bench.mine(1);
    assert!(bench.confirmed(&last));
    let fan = bench.pay(vec![out(COIN, miner()); 30], 5_000);
    bench.submit(&fan).unwrap();
    for vout in 0..24 {
        bench.submit(&child(&fan, &[vout], 1_000)).unwrap();
    }
    assert_eq!(bench.submit(&child(&fan, &[24], 1_000)), Err(Reject::TooLongChain));
}

#[test]
fn a_child_pays_for_its_parent_in_the_template() {
    let mut bench = Bench::new();
    let fillers: Vec<Transaction> = (0..3).map(|_| bench.pay(vec![], 10_000)).collect();
    let parent = bench.pay(vec![out(COIN, miner())], 200);
    let kid = child(&parent, &[0], 100_000);
    for tx in fillers.iter().chain([&parent, &kid]) {
        bench.submit(tx).unwrap();
    }
    bench.mine(1);
    let hash = bench.chain.tip().hash;
    let order: Vec<_> =
        bench.chain.block(hash).unwrap().txdata.iter().map(Transaction::compute_txid).collect();
    assert_eq!(order[1..3], [parent.compute_txid(), kid.compute_txid()]);
    assert_eq!(order.len(), 6);
    assert_eq!(bench.chain.totals().fees_sat, 130_200);
}

#[test]
fn old_transactions_expire_and_a_full_mempool_throws_out_the_poorest() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![], 1_000);
    bench.submit(&tx).unwrap();
    bench.chain.set_now(Some(START + 336 * 3_600 + 1));
    let fresh = bench.pay(vec![], 1_000);
    bench.submit(&fresh).unwrap();
    assert!(!bench.waits(&tx) && bench.waits(&fresh));

    let mut options = options(None);
    options.policy.mempool_size_max = 3_500;
    let chain = Chainstate::open(&options).unwrap();
    let mut bench = Bench::of(chain);
    let cheap = bench.pay(vec![], 500);
    let rest: Vec<Transaction> = (0..6).map(|i| bench.pay(vec![], 2_000 + i)).collect();
    bench.submit(&cheap).unwrap();
    for tx in &rest {
        bench.submit(tx).unwrap();
    }
    assert!(!bench.waits(&cheap));
    assert!(bench.waits(&rest[5]));
    assert_eq!(bench.submit(&cheap), Err(Reject::MempoolMinFee));
    let raised = bench.chain.mempool().min_sat_kvb();
    assert!(raised > 1_000);
    bench.mine(1);
    bench.chain.set_now(Some(START + 12 * 3_600));
    let again = bench.pay(vec![], 300);
    assert_eq!(bench.submit(&again), Ok(()), "the minimum falls with time");
}

#[test]
fn fees_are_unknown_before_there_is_anything_to_learn_from() {
    let mut bench = Bench::new();
    let table = bench.chain.fee_table();
    assert!(table.targets.values().all(Option::is_none));
    assert_eq!(table.floor(), FeeRate::from_sat_per_kwu(250));
    let tx = bench.pay(vec![], 1_000);
    bench.submit(&tx).unwrap();
    let table = bench.chain.fee_table();
    assert_eq!(table.estimate(1), Some(FeeRate::from_sat_per_kwu(250)), "there is room");
    bench.chain.fix_fees([(2, Some(FeeRate::from_sat_per_kwu(9_000))), (6, None)].into());
    assert_eq!(bench.chain.fee_table().estimate(3), Some(FeeRate::from_sat_per_kwu(9_000)));
    assert_eq!(bench.chain.fee_table().estimate(6), None);
}

#[test]
fn what_is_only_tested_changes_nothing() {
    let mut bench = Bench::new();
    let tx = bench.pay(vec![], 1_000);
    assert_eq!(bench.chain.test(&Package::single(tx.clone())), Ok(()));
    assert!(!bench.waits(&tx));
    let error: ChainError = Reject::InsufficientFee.into();
    assert_eq!(error.to_string(), "insufficient fee");
}
