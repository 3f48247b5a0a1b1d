//! The coins of the kernel's best chain, from its blocks and what it says they spent. The kernel shows no
//! coin that nobody spent, so the set is made from the blocks, and each coin spent is compared with what the
//! kernel remembers of it.

use crate::judge::Judge;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Block, OutPoint, TxOut};
use bitcoinkernel::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;

struct Coin {
    output: TxOut,
    height: u32,
    coinbase: bool,
}

/// How many there are, and the hashes of all added without carry.
pub fn of(judge: &Judge) -> Result<(usize, String), Box<dyn Error>> {
    let mut coins: BTreeMap<OutPoint, Coin> = BTreeMap::new();
    let chain = judge.chain.active_chain();
    for height in 1..=judge.tip().0 {
        let entry = chain.at_height(usize::try_from(height)?).ok_or("a gap in the chain")?;
        let block: Block = deserialize(&judge.chain.read_block_data(&entry)?.consensus_encode()?)?;
        let undo = judge.chain.read_spent_outputs(&entry)?;
        for (place, tx) in block.txdata.iter().enumerate() {
            if !tx.is_coinbase() {
                let spent = undo.transaction_spent_outputs(place - 1)?;
                for (number, input) in tx.input.iter().enumerate() {
                    let coin = coins.remove(&input.previous_output).ok_or("a coin from nowhere")?;
                    let theirs = spent.coin(number)?;
                    let output = theirs.output();
                    let same = theirs.confirmation_height() == coin.height
                        && theirs.is_coinbase() == coin.coinbase
                        && u64::try_from(output.value())? == coin.output.value.to_sat()
                        && output.script_pubkey().to_bytes()
                            == coin.output.script_pubkey.as_bytes();
                    if !same {
                        return Err(format!("{} is another coin", input.previous_output).into());
                    }
                }
            }
            let txid = tx.compute_txid();
            for (vout, output) in (0..).zip(&tx.output) {
                let script = &output.script_pubkey;
                if !script.is_op_return() && script.len() <= 10_000 {
                    let coinbase = tx.is_coinbase();
                    let coin = Coin { output: output.clone(), height, coinbase };
                    coins.insert(OutPoint::new(txid, vout), coin);
                }
            }
        }
    }
    let mut sum = [0_u8; 32];
    for (outpoint, coin) in &coins {
        let mut bytes = serialize(outpoint);
        bytes.extend(coin.height.to_le_bytes());
        bytes.push(u8::from(coin.coinbase));
        bytes.extend(serialize(&coin.output));
        let hash = sha256::Hash::hash(&bytes).to_byte_array();
        sum.iter_mut().zip(hash).for_each(|(sum, byte)| *sum ^= byte);
    }
    Ok((coins.len(), sha256::Hash::from_byte_array(sum).to_string()))
}
