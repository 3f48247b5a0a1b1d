//! The coin set: looked through for scripts, and summed up.

use super::mining::script_of_descriptor;
use crate::backend::ChainBackend;
use crate::builtin::Coin;
use crate::rpc::error::{RpcError, TYPE};
use crate::rpc::money::Btc;
use crate::rpc::request::{Args, wrong_type};
use crate::rpc::{Answer, Node, answer};
use bdk_wallet::miniscript::descriptor::checksum::desc_checksum;
use bdk_wallet::miniscript::{Descriptor, DescriptorPublicKey};
use bitcoin::consensus::encode::{Encodable, serialize};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{BlockHash, Network, OutPoint, ScriptBuf, Txid};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Scripts of a descriptor with a range, unless it is told.
const RANGE: u32 = 1_000;
/// The most scripts one scan looks for.
const SCRIPTS_MAX: usize = 20_000;
/// The most coins one scan tells.
const COINS_MAX: usize = 100_000;

#[derive(Serialize)]
struct Found {
    success: bool,
    txouts: u64,
    height: u32,
    bestblock: BlockHash,
    unspents: Vec<Unspent>,
    total_amount: Btc,
}

#[derive(Serialize)]
struct Unspent {
    txid: Txid,
    vout: u32,
    #[serde(rename = "scriptPubKey")]
    script: String,
    desc: String,
    amount: Btc,
    coinbase: bool,
    height: u32,
    blockhash: Option<BlockHash>,
    confirmations: u32,
}

pub(super) async fn scan(node: &Node, args: &Args) -> Answer {
    match args.text(0, "action")? {
        "start" => {}
        // A scan is over before it is answered.
        "status" => return answer(&()),
        "abort" => return answer(&false),
        other => return Err(RpcError::parameter(format!("Invalid action '{other}'"))),
    }
    if args.get(1).is_none() {
        return Err(RpcError::misc("scanobjects argument is required for the start action"));
    }
    let mut wanted: BTreeMap<ScriptBuf, String> = BTreeMap::new();
    for object in args.array(1, "scanobjects")? {
        wanted.extend(scripts_of(object, node.chain.network())?);
        if wanted.len() > SCRIPTS_MAX {
            return Err(RpcError::parameter("Range is too large"));
        }
    }
    let found = node.chain.ask(move |chain| {
        let tip = chain.tip();
        let mut all = 0_u64;
        let mut coins: Vec<(OutPoint, Coin, Option<BlockHash>)> = Vec::new();
        chain.visit_coins(&mut |outpoint, coin| {
            all = all.saturating_add(1);
            if wanted.contains_key(&coin.output.script_pubkey) && coins.len() < COINS_MAX {
                let hash = chain.header_at(coin.height).map(|block| block.hash);
                coins.push((*outpoint, coin.clone(), hash));
            }
        });
        (tip, all, coins, wanted)
    });
    let (tip, txouts, mut coins, wanted) = found.await?;
    coins.sort_unstable_by_key(|(outpoint, ..)| *outpoint);
    let total = coins
        .iter()
        .fold(0_u64, |sum, (_, coin, _)| sum.saturating_add(coin.output.value.to_sat()));
    let unspents = coins.into_iter().map(|(OutPoint { txid, vout }, coin, blockhash)| Unspent {
        txid,
        vout,
        desc: wanted.get(&coin.output.script_pubkey).cloned().unwrap_or_default(),
        script: coin.output.script_pubkey.to_hex_string(),
        amount: Btc::sat(coin.output.value.to_sat()),
        coinbase: coin.coinbase,
        height: coin.height,
        blockhash,
        confirmations: tip.height.saturating_sub(coin.height).saturating_add(1),
    });
    answer(&Found {
        success: true,
        txouts,
        height: tip.height,
        bestblock: tip.hash,
        unspents: unspents.collect(),
        total_amount: Btc::sat(total),
    })
}

/// The scripts of a descriptor, alone or as `{"desc": …, "range": …}`, each with what describes it.
fn scripts_of(object: &Value, network: Network) -> Result<Vec<(ScriptBuf, String)>, RpcError> {
    let invalid = || RpcError::new(TYPE, "Scan object needs to be either a string or an object");
    let (text, range) = match object {
        Value::String(text) => (text.as_str(), (0, RANGE)),
        Value::Object(fields) => {
            let text = fields.get("desc").and_then(Value::as_str);
            let text = text.ok_or_else(|| {
                RpcError::parameter("Descriptor needs to be provided in scan object")
            })?;
            (text, fields.get("range").map_or(Ok((0, RANGE)), range_of)?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(invalid()),
    };
    let described = |text: String| {
        let plain = text.split('#').next().unwrap_or_default().to_owned();
        let checksum = desc_checksum(&plain).unwrap_or_default();
        format!("{plain}#{checksum}")
    };
    let Some(descriptor) = text.parse::<Descriptor<DescriptorPublicKey>>().ok() else {
        // An address or a script; else it says what is wrong with the descriptor.
        return Ok(vec![(script_of_descriptor(text, network)?, described(text.to_owned()))]);
    };
    let (first, last) = if descriptor.has_wildcard() { range } else { (0, 0) };
    let one = |index| {
        let derived = descriptor.at_derivation_index(index);
        let derived = derived.map_err(|error| RpcError::not_found(error.to_string()))?;
        Ok((derived.script_pubkey(), described(derived.to_string())))
    };
    (first..=last).map(one).collect()
}

/// `end`, or `[begin, end]`.
fn range_of(value: &Value) -> Result<(u32, u32), RpcError> {
    let number = |value: &Value| {
        let number = value.as_i64().ok_or_else(|| wrong_type("range", "number"))?;
        u32::try_from(number).map_err(|_| RpcError::parameter("End of range is too high"))
    };
    let (first, last) = match value.as_array().map(Vec::as_slice) {
        None => (0, number(value)?),
        Some([first, last]) => (number(first)?, number(last)?),
        Some(_) => {
            return Err(RpcError::parameter("Range must have exactly two elements"));
        }
    };
    let length = last.checked_sub(first).ok_or_else(|| {
        RpcError::parameter("Range specified as [begin,end] must not have begin after end")
    })?;
    if usize::try_from(length).map_or(true, |length| length >= SCRIPTS_MAX) {
        return Err(RpcError::parameter("Range is too large"));
    }
    Ok((first, last))
}

#[derive(Serialize)]
struct CoinSet {
    height: u32,
    bestblock: BlockHash,
    txouts: u64,
    bogosize: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_serialized_3: Option<sha256d::Hash>,
    total_amount: Btc,
    transactions: usize,
    disk_size: u64,
}

/// Sums over the coin set, and its hash.
pub(super) async fn txout_set(node: &Node, args: &Args) -> Answer {
    let kind = args.get(0).map_or(Ok("hash_serialized_3"), |_| args.text(0, "hash_type"))?;
    let hashed = match kind {
        "hash_serialized_3" => true,
        "none" => false,
        other => {
            return Err(RpcError::parameter(format!("'{other}' is not a valid hash_type")));
        }
    };
    if args.get(1).is_some() {
        return Err(RpcError::parameter("Querying specific block heights requires coinstatsindex"));
    }
    let shown = node.chain.ask(move |chain| {
        let tip = chain.tip();
        let mut sums = Sums::default();
        chain.visit_coins(&mut |outpoint, coin| sums.count(outpoint, coin, hashed));
        CoinSet {
            height: tip.height,
            bestblock: tip.hash,
            txouts: sums.count,
            bogosize: sums.bogosize,
            total_amount: Btc::sat(sums.total_sat),
            transactions: sums.txids.len(),
            disk_size: 0,
            hash_serialized_3: hashed.then(|| sums.hash()),
        }
    });
    answer(&shown.await?)
}

#[derive(Default)]
struct Sums {
    count: u64,
    bogosize: u64,
    total_sat: u64,
    txids: BTreeSet<Txid>,
    /// By txid as it lies in memory, and number.
    rows: BTreeMap<([u8; 32], u32), Vec<u8>>,
}

impl Sums {
    fn count(&mut self, outpoint: &OutPoint, coin: &Coin, hashed: bool) {
        let script = u64::try_from(coin.output.script_pubkey.len()).unwrap_or(u64::MAX);
        self.count = self.count.saturating_add(1);
        // What Bitcoin Core counts for a coin, whatever it really takes.
        self.bogosize = self.bogosize.saturating_add(50).saturating_add(script);
        self.total_sat = self.total_sat.saturating_add(coin.output.value.to_sat());
        self.txids.insert(outpoint.txid);
        if hashed {
            let mut bytes = serialize(outpoint);
            let height = coin.height.saturating_mul(2) | u32::from(coin.coinbase);
            bytes.extend(height.to_le_bytes());
            // Writing to memory cannot fail.
            let _ = coin.output.consensus_encode(&mut bytes);
            self.rows.insert((outpoint.txid.to_byte_array(), outpoint.vout), bytes);
        }
    }

    fn hash(&self) -> sha256d::Hash {
        let mut engine = sha256d::Hash::engine();
        self.rows.values().for_each(|row| engine.input(row));
        sha256d::Hash::from_engine(engine)
    }
}
