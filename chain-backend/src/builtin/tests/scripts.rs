//! What scripts got and gave, as looking through all blocks tells it; also after pruning.

use super::crash::Machine;
use super::harness::{Bench, COIN, child, miner, out};
use crate::builtin::chainstate::{Chainstate, ScriptHash, ScriptSums, script_hash};
use crate::builtin::utxo::spendable;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use std::collections::{BTreeMap, BTreeSet};
use store::disk::{Entries, Loss};

/// What a look through all blocks finds of each script: sums, transactions in their order, coins.
#[derive(Debug, Default, PartialEq)]
struct Told {
    sums: ScriptSums,
    txs: Vec<Txid>,
    coins: BTreeMap<OutPoint, u64>,
}

fn look_through(chain: &mut Chainstate) -> BTreeMap<ScriptHash, Told> {
    let mut all: BTreeMap<ScriptHash, Told> = BTreeMap::new();
    let mut outputs = BTreeMap::new();
    for height in 1..=chain.tip().height {
        let hash = chain.header_at(height).unwrap().hash;
        let block = chain.block(hash).unwrap();
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            let mut touched = BTreeSet::new();
            for (vout, output) in (0..).zip(&tx.output).filter(|(_, output)| spendable(output)) {
                let script = script_hash(&output.script_pubkey);
                let told = all.entry(script).or_default();
                let sat = output.value.to_sat();
                told.sums.funded += 1;
                told.sums.funded_sat += sat;
                told.coins.insert(OutPoint { txid, vout }, sat);
                outputs.insert(OutPoint { txid, vout }, (script, sat));
                touched.insert(script);
            }
            for input in tx.input.iter().filter(|_| !tx.is_coinbase()) {
                let (script, sat) = outputs[&input.previous_output];
                let told = all.get_mut(&script).unwrap();
                told.sums.spent += 1;
                told.sums.spent_sat += sat;
                told.coins.remove(&input.previous_output);
                touched.insert(script);
            }
            for script in touched {
                let told = all.get_mut(&script).unwrap();
                told.sums.txs += 1;
                told.txs.push(txid);
            }
        }
    }
    all
}

fn compare(chain: &mut Chainstate) {
    let expected = look_through(chain);
    assert!(expected.len() > 1);
    for (script, told) in expected {
        assert_eq!(chain.script_sums(script).unwrap().0, told.sums);
        // Page by page, the newest first.
        let (mut txs, mut after) = (Vec::new(), None);
        loop {
            let page = chain.script_history(script, after, 7).unwrap();
            let page: Vec<Txid> = page.iter().map(|whole| whole.tx.compute_txid()).collect();
            let Some(last) = page.last() else { break };
            after = Some(*last);
            txs.extend(page);
        }
        txs.reverse();
        assert_eq!(txs, told.txs);
        let count = told.coins.len();
        let coins = chain.script_unspent(script, count).unwrap().expect("not too many");
        let coins: BTreeMap<_, _> = coins.iter().map(|coin| (coin.outpoint, coin.sat)).collect();
        assert_eq!(coins, told.coins);
        assert!(count == 0 || chain.script_unspent(script, count - 1).unwrap().is_none());
    }
}

fn script(byte: u8) -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, 0x75, 0x50 | (byte & 0xf)]).to_p2wsh()
}

/// Payments to and from several scripts, also within one block, and blocks that are taken back.
fn lively(bench: &mut Bench) {
    for round in 0..6 {
        let to = script(round % 3);
        let tx = bench.pay(vec![out(COIN, to.clone()), out(COIN, miner()), out(5_000, to)], 1_000);
        bench.submit(&tx).unwrap();
        bench.submit(&child(&tx, &[1], 1_000)).unwrap();
        bench.mine(2);
        if round == 2 {
            bench.chain.reorg(3, &BTreeSet::from([tx.compute_txid()]), &miner()).unwrap();
        }
        if round == 4 {
            bench.chain.invalidate(bench.chain.tip().hash).unwrap();
            bench.mine(1);
        }
    }
    bench.mine(1);
    assert_eq!(bench.chain.mempool().len(), 0);
}

#[test]
fn scripts_have_what_all_blocks_tell_of_them_whenever_they_are_asked_for_first() {
    for (cache_bytes, from_the_start) in [(0, false), (0, true), (50_000, true)] {
        let mut machine = Machine::new(Entries::Ext4, cache_bytes);
        machine.options.scripts = from_the_start;
        let (mut bench, ear) = machine.start().unwrap();
        assert_eq!(bench.chain.scripts_reach().is_some(), from_the_start);
        lively(&mut bench);
        compare(&mut bench.chain);
        lively(&mut bench);
        compare(&mut bench.chain);
        drop(bench);
        // They are there again after a crash, and follow.
        let machine = machine.killed(&ear, 3);
        let (mut bench, _ear) = machine.start().unwrap();
        compare(&mut bench.chain);
        bench.mine(3);
        compare(&mut bench.chain);
    }
}

#[test]
fn a_pruned_chain_has_scripts_that_were_asked_for_before_also_when_the_index_is_lost() {
    let mut machine = Machine::new(Entries::Ext4, 100_000);
    (machine.options.prune, machine.options.file_bytes_max) = (true, 10_000);
    let (mut bench, ear) = machine.start().unwrap();
    lively(&mut bench);
    let expected = look_through(&mut bench.chain);
    bench.mine(600);
    let first = bench.chain.header_at(1).unwrap().hash;
    assert!(bench.chain.block(first).is_err(), "it was pruned");
    drop(bench);
    for image in [machine.killed(&ear, 0), machine.cut_while_open(1, Loss::Drop)] {
        let (mut chain, _ear) = image.open().unwrap();
        for (script, told) in expected.iter().filter(|(of, _)| **of != script_hash(&miner())) {
            assert_eq!(chain.script_sums(*script).unwrap().0, told.sums);
        }
        assert_eq!(chain.scripts_reach(), Some(chain.tip().height));
    }
}

#[test]
fn a_chain_that_was_pruned_before_anybody_asked_says_so() {
    let mut machine = Machine::new(Entries::Ext4, 100_000);
    (machine.options.prune, machine.options.file_bytes_max) = (true, 10_000);
    machine.options.scripts = false;
    let (mut bench, _ear) = machine.start().unwrap();
    bench.mine(600);
    let refused = bench.chain.script_sums(script_hash(&miner())).unwrap_err().to_string();
    assert!(refused.contains("pruned before anybody asked"), "{refused}");
    // One that somebody has begun to ask for keeps its blocks.
    let mut machine = Machine::new(Entries::Ext4, 100_000);
    (machine.options.prune, machine.options.file_bytes_max) = (true, 10_000);
    machine.options.scripts = false;
    let (mut bench, _ear) = machine.start().unwrap();
    bench.chain.follow_scripts(2).unwrap();
    bench.mine(600);
    let words = bench.chain.prune(200).unwrap_err().to_string();
    assert!(words.contains("to look up scripts"), "{words}");
    while !bench.chain.follow_scripts(100).unwrap() {}
    bench.chain.prune(200).unwrap();
    assert_eq!(bench.chain.script_sums(script_hash(&miner())).unwrap().0.funded, 710);
}
