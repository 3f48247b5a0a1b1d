//! What Bitcoin Core answers, read. Nothing of it is believed that can be checked: a block must have its hash, a
//! transaction its name.

use crate::backend::{BackendError, BlockRef, FeeTable};
use crate::polled::sound::{self, nonsense};
use crate::rpc::read_amount;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, FeeRate, ScriptBuf, Transaction, TxMerkleNode, TxOut,
    Txid,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// How many outputs of a transaction are asked for to find its block.
pub(super) const OUTPUTS_LOOKED_AT: u32 = 8;

type Read<T> = Result<T, BackendError>;

pub(super) fn hash<T: FromStr>(value: &Value) -> Read<T> {
    let text = value.as_str().ok_or(nonsense("a hash that is no text"))?;
    text.parse().map_err(|_| nonsense("a hash that is none"))
}

fn number(value: &Value, field: &str) -> Read<u32> {
    let number = value.get(field).and_then(Value::as_u64);
    number.and_then(|number| u32::try_from(number).ok()).ok_or(nonsense("a number that is none"))
}

fn text<'a>(value: &'a Value, field: &str) -> Read<&'a str> {
    value.get(field).and_then(Value::as_str).ok_or(nonsense("text that is missing"))
}

/// A header with its place, and whether it is on the best chain.
pub(super) fn header(value: &Value, expected: BlockHash) -> Read<(BlockRef, bool)> {
    let version = value.get("version").and_then(Value::as_i64).and_then(|v| i32::try_from(v).ok());
    let bits = u32::from_str_radix(text(value, "bits")?, 16)
        .map_err(|_| nonsense("bits that are none"))?;
    let merkle_root = value.get("merkleroot").ok_or(nonsense("a header without a merkle root"))?;
    let height = number(value, "height")?;
    let prev_blockhash = match value.get("previousblockhash") {
        Some(previous) => hash(previous)?,
        None if height == 0 => BlockHash::all_zeros(),
        None => return Err(nonsense("a header without a predecessor")),
    };
    let header = Header {
        version: Version::from_consensus(version.ok_or(nonsense("a version that is none"))?),
        prev_blockhash,
        merkle_root: hash::<TxMerkleNode>(merkle_root)?,
        time: number(value, "time")?,
        bits: CompactTarget::from_consensus(bits),
        nonce: number(value, "nonce")?,
    };
    sound::header(&header, expected)?;
    let at = BlockRef { height, hash: expected, header, mtp: number(value, "mediantime")? };
    let confirmations = value.get("confirmations").and_then(Value::as_i64);
    Ok((at, confirmations.is_some_and(|depth| depth > 0)))
}

pub(super) fn block(value: &Value, expected: BlockHash) -> Read<Block> {
    let hex = value.as_str().ok_or(nonsense("a block that is no text"))?;
    let block: Block = deserialize_hex(hex).map_err(|_| nonsense("a block that is none"))?;
    sound::block(&block, expected)?;
    Ok(block)
}

pub(super) fn transaction(value: &Value, expected: Txid) -> Read<(Transaction, Option<BlockHash>)> {
    let tx: Transaction =
        deserialize_hex(text(value, "hex")?).map_err(|_| nonsense("a transaction that is none"))?;
    if tx.compute_txid() != expected {
        return Err(nonsense("a transaction with another name"));
    }
    let block = value.get("blockhash").filter(|block| block.as_str() != Some(""));
    Ok((tx, block.map(hash).transpose()?))
}

/// What `gettxout` answers.
pub(super) struct CoinSeen {
    pub(super) best: BlockHash,
    pub(super) confirmations: u32,
    pub(super) output: TxOut,
    pub(super) coinbase: bool,
}

pub(super) fn coin(value: &Value) -> Read<CoinSeen> {
    let script = value.get("scriptPubKey").ok_or(nonsense("a coin without a script"))?;
    let script =
        ScriptBuf::from_hex(text(script, "hex")?).map_err(|_| nonsense("a script that is none"))?;
    let amount =
        value.get("value").and_then(read_amount).ok_or(nonsense("an amount that is none"))?;
    Ok(CoinSeen {
        best: hash(value.get("bestblock").ok_or(nonsense("a coin without a block"))?)?,
        confirmations: number(value, "confirmations")?,
        output: TxOut { value: Amount::from_sat(amount), script_pubkey: script },
        coinbase: value.get("coinbase").and_then(Value::as_bool).unwrap_or_default(),
    })
}

/// A feerate in bitcoin per 1000 virtual bytes.
pub(super) fn feerate(value: &Value) -> Read<FeeRate> {
    // An average may have more decimals than there are satoshis.
    let sat_kvb = read_amount(value).or_else(|| rounded(value));
    let sat_kvb = sat_kvb.ok_or(nonsense("a feerate that is none"))?;
    Ok(FeeRate::from_sat_per_kwu(sat_kvb.div_ceil(4)))
}

/// Cut to eight decimals.
fn rounded(value: &Value) -> Option<u64> {
    let text = value.as_number()?.to_string();
    let (whole, part) = text.split_once('.')?;
    let part: String = part.chars().take(8).collect();
    read_amount(&Value::String(format!("{whole}.{part}")))
}

/// What a transaction of the mempool pays.
pub(super) fn fee(entry: &Value) -> Read<Amount> {
    let fee = entry.get("fees").and_then(|fees| fees.get("base")).and_then(read_amount);
    fee.map(Amount::from_sat).ok_or(nonsense("a fee that is none"))
}

/// What the mempool takes; no estimates yet.
pub(super) fn floors(value: &Value) -> Read<FeeTable> {
    let rate = |field: &str| {
        value.get(field).ok_or(nonsense("a feerate that is missing")).and_then(feerate)
    };
    let relay_min = rate("minrelaytxfee")?;
    let mempool_min = rate("mempoolminfee")?;
    // Before Core 24 it is not told here.
    let incremental = value.get("incrementalrelayfee").map_or(Ok(relay_min), feerate)?;
    Ok(FeeTable { targets: BTreeMap::new(), mempool_min, relay_min, incremental })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_feerate_is_read_to_the_last_satoshi_and_never_as_less() {
        let rate = |value: Value| feerate(&value).unwrap().to_sat_per_kwu();
        assert_eq!(rate(json!(0.00001)), 250);
        assert_eq!(rate(json!(0.00001001)), 251);
        assert_eq!(rate(json!(0.000_123_456_789)), 3_087);
        assert!(feerate(&json!("much")).is_err() && feerate(&json!(-1.0)).is_err());
    }

    #[test]
    fn what_core_says_of_a_block_is_checked_against_its_hash() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let header_of = |time: u32| {
            json!({
                "version": 1, "bits": "207fffff", "merkleroot": genesis.header.merkle_root,
                "height": 0, "time": time, "nonce": 2, "mediantime": 1_296_688_602, "confirmations": 1,
            })
        };
        let hash = genesis.block_hash();
        let (at, active) = header(&header_of(genesis.header.time), hash).unwrap();
        assert!(active && at.hash == hash && at.header == genesis.header);
        assert!(header(&header_of(1), hash).is_err());
        let hex = bitcoin::consensus::encode::serialize_hex(&genesis);
        assert!(block(&json!(hex), hash).is_ok());
        assert!(block(&json!(hex), BlockHash::all_zeros()).is_err());
        assert!(block(&json!("00"), hash).is_err() && block(&json!(1), hash).is_err());
    }
}
