//! Valid blocks damaged at random: each is refused and changes nothing, or is a block like any other. What the
//! kernel says of the same blocks is compared by `tests/kernel-oracle`. `VIADUCT_SEEDS` says how many.

use super::consensus::{next, rooted, sealed, work};
use super::harness::{Bench, COIN, Luck, child, miner, out, seeds};
use crate::builtin::chainstate::BlockOutcome;
use bitcoin::absolute::LockTime;
use bitcoin::block::Version as BlockVersion;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Block, ScriptBuf, Sequence, Transaction, Witness};

fn damage_header(block: &mut Block, mtp: u32, luck: &mut Luck) {
    if luck.one_in(2) {
        block.header.time = mtp - 2 + luck.below(5) as u32;
    } else {
        let versions = [i32::MIN, -1, 0, 1, 2, 3, 4, 5, 0x2000_0000];
        block.header.version = BlockVersion::from_consensus(versions[luck.below(versions.len())]);
    }
}

fn damage_list(block: &mut Block, luck: &mut Luck) {
    let count = block.txdata.len();
    let (one, other) = (luck.below(count), luck.below(count));
    match luck.below(3) {
        0 => block.txdata.swap(one, other),
        1 => block.txdata.push(block.txdata[one].clone()),
        _ => drop(block.txdata.remove(one)),
    }
}

fn damage_coinbase(coinbase: &mut Transaction, luck: &mut Luck) {
    match luck.below(5) {
        0 => coinbase.output[0].value += Amount::from_sat(1),
        1 => coinbase.output[0].value -= Amount::from_sat(luck.below(2_000) as u64),
        2 => {
            let mut script = coinbase.input[0].script_sig.to_bytes();
            let place = luck.below(script.len());
            script[place] = luck.below(256) as u8;
            coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
        }
        3 => coinbase.input[0].witness = Witness::from_slice(&[vec![0; 31 + luck.below(3)]]),
        _ => {
            // Around what a block may have: each counts four times.
            let checks = 19_995 + luck.below(8);
            let script = ScriptBuf::from_bytes([vec![0x6a], vec![0xac; checks]].concat());
            coinbase.output.insert(0, out(0, script));
        }
    }
}

fn damage_tx(tx: &mut Transaction, height: u32, luck: &mut Luck) {
    match luck.below(7) {
        0 => tx.output[0].value += Amount::from_sat(1),
        1 => {
            tx.lock_time = LockTime::from_consensus(height - 2 + luck.below(4) as u32);
            tx.input[0].sequence = Sequence::ZERO;
        }
        2 => tx.input[0].sequence = Sequence(luck.below(3) as u32 | (luck.below(2) as u32) << 22),
        3 => {
            let mut items = tx.input[0].witness.to_vec();
            let place = luck.below(items[0].len());
            items[0][place] ^= 1 << luck.below(8);
            tx.input[0].witness = Witness::from_slice(&items);
        }
        4 => tx.version = Version(luck.below(4) as i32),
        5 => tx.input[0].previous_output.vout = luck.below(3) as u32,
        _ => tx.input.push(tx.input[0].clone()),
    }
}

#[test]
fn a_damaged_block_changes_nothing_or_is_a_block_like_any_other() {
    let mut bench = Bench::new();
    let mut luck = Luck::new(4);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..seeds() / 10 {
        let parent = bench.pay(vec![out(COIN, miner())], 1_000);
        let kid = child(&parent, &[0], 1_000);
        let valid = next(&bench, &[parent, kid], 2_000);
        for _ in 0..5 {
            let (tip, mut block) = (bench.chain.tip(), valid.clone());
            match luck.below(4) {
                0 => damage_header(&mut block, tip.mtp, &mut luck),
                1 => damage_list(&mut block, &mut luck),
                2 => damage_coinbase(&mut block.txdata[0], &mut luck),
                _ => {
                    let place = 1 + luck.below(2);
                    damage_tx(&mut block.txdata[place], tip.height, &mut luck);
                }
            }
            let block = match luck.below(4) {
                0 => work(block),
                1 => rooted(block),
                _ if block.txdata.is_empty() => work(block),
                _ => sealed(block),
            };
            match bench.chain.submit_block(block) {
                Ok(BlockOutcome::Connected) => taken += 1,
                Ok(BlockOutcome::Aside) => assert_eq!(bench.chain.tip(), tip),
                Err(_) => {
                    refused += 1;
                    assert_eq!(bench.chain.tip(), tip);
                }
            }
            bench.chain.check();
        }
        // It stands beside those that were taken, or is the next.
        let _ = bench.chain.submit_block(valid);
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 0 && refused > 0);
}
