//! Transactions: found, made, decoded, signed with given keys.

use super::blocks::fee;
use super::mining::script_of_address;
use crate::backend::{ChainBackend, TxWhere};
use crate::rpc::error::{DESERIALIZATION, RpcError, TYPE};
use crate::rpc::money::{self, Btc};
use crate::rpc::request::{Args, decoded, hash, wrong_type};
use crate::rpc::show::script::ScriptShown;
use crate::rpc::show::tx::{MinedShown, TxShown};
use crate::rpc::wallet::{extract, finalize, from_wif};
use crate::rpc::{Answer, Node, answer};
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::FromHex as _;
use bitcoin::script::PushBytesBuf;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, BlockHash, OutPoint, PrivateKey, Psbt, PublicKey, ScriptBuf, Sequence,
    Transaction, TxIn, TxOut, Txid, Witness,
};
use secp256k1::SECP256K1;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn raw(node: &Node, args: &Args) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    let verbosity = args.verbosity(1, 0)?;
    let in_block: Option<BlockHash> = match args.get(2) {
        Some(_) => Some(args.hash(2, "blockhash")?),
        None => None,
    };
    let found = match in_block {
        None => node.chain.tx(txid).await?,
        Some(hash) => in_this_block(node, txid, hash).await?,
    };
    let unknown = || match in_block {
        Some(_) => {
            "No such transaction found in the provided block. Use gettransaction for wallet transactions."
        }
        // LND goes by its beginning.
        None => {
            "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
        }
    };
    let TxWhere { tx, confirmed } = found.ok_or_else(|| RpcError::not_found(unknown()))?;
    if verbosity <= 0 {
        return answer(&serialize_hex(tx.as_ref()));
    }
    let network = node.chain.network();
    let spent = {
        let tx = tx.clone();
        node.chain.ask(move |chain| chain.spent_by(&tx)).await??.unwrap_or_default()
    };
    let prevouts = if verbosity > 1 { spent.as_slice() } else { &[] };
    let mut shown = TxShown::of(&tx, network, prevouts).with_hex(&tx);
    if verbosity > 1 {
        shown.fee = fee(&tx, &spent);
    }
    if let Some((block, _)) = confirmed {
        let standing = super::blocks::standing(node, block.hash).await?;
        let time = block.header.time;
        let confirmations = standing.confirmations.max(0);
        shown.mined =
            Some(MinedShown { blockhash: block.hash, confirmations, time, blocktime: time });
        shown.in_active_chain = in_block.map(|_| standing.confirmations > 0);
    }
    answer(&shown)
}

async fn in_this_block(
    node: &Node,
    txid: Txid,
    hash: BlockHash,
) -> Result<Option<TxWhere>, RpcError> {
    let block = node.chain.block(hash).await;
    let block = block.map_err(|_| RpcError::not_found("Block hash not found"))?;
    let at = super::blocks::standing(node, hash).await?.at;
    let place = (0_u32..).zip(&block.txdata).find(|(_, tx)| tx.compute_txid() == txid);
    Ok(place.map(|(index, tx)| TxWhere { tx: tx.clone().into(), confirmed: Some((at, index)) }))
}

pub(super) fn decode(node: &Node, args: &Args) -> Answer {
    let tx: Transaction = args.decoded(0, "hexstring", "TX decode failed")?;
    answer(&TxShown::of(&tx, node.chain.network(), &[]))
}

#[derive(Serialize)]
struct ScriptDecoded {
    #[serde(flatten)]
    script: ScriptShown,
    p2sh: Address,
    segwit: ScriptShown,
}

pub(super) fn decode_script(node: &Node, args: &Args) -> Answer {
    let failed = || RpcError::new(DESERIALIZATION, "Script decode failed");
    let script = ScriptBuf::from_hex(args.text(0, "hexstring")?).map_err(|_| failed())?;
    let network = node.chain.network();
    answer(&ScriptDecoded {
        p2sh: Address::p2sh(&script, network).map_err(|_| failed())?,
        segwit: ScriptShown::of(&script.to_p2wsh(), network),
        script: ScriptShown::of(&script, network),
    })
}

pub(super) fn validate(node: &Node, args: &Args) -> Answer {
    let text = args.text(0, "address")?;
    let Ok(script) = script_of_address(text, node.chain.network()) else {
        return answer(
            &json!({ "isvalid": false, "error_locations": [], "error": "Invalid or unsupported address" }),
        );
    };
    let program = script.witness_version().map(|version| version.to_num());
    let mut shown = json!({
        "isvalid": true,
        "address": text,
        "scriptPubKey": script.to_hex_string(),
        "isscript": script.is_p2sh() || script.is_p2wsh(),
        "iswitness": program.is_some(),
    });
    if let (Some(version), Some(fields)) = (program, shown.as_object_mut()) {
        fields.insert("witness_version".to_owned(), json!(version));
        let hex = script.to_hex_string();
        fields.insert("witness_program".to_owned(), json!(hex.get(4..).unwrap_or_default()));
    }
    answer(&shown)
}

pub(super) fn create(node: &Node, args: &Args) -> Answer {
    let lock_time = u32::try_from(args.number_or(2, "locktime", 0)?);
    let lock_time =
        lock_time.map_err(|_| RpcError::parameter("Invalid parameter, locktime out of range"))?;
    let replaceable = args.flag_or(3, "replaceable", true)?;
    let version =
        i32::try_from(args.number_or(4, "version", 2)?).ok().filter(|v| (1..=3).contains(v));
    let version = version
        .ok_or_else(|| RpcError::parameter("Invalid parameter, version out of range(1~3)"))?;
    let sequence = match (replaceable, lock_time > 0) {
        (true, _) => Sequence::ENABLE_RBF_NO_LOCKTIME,
        (false, true) => Sequence::ENABLE_LOCKTIME_NO_RBF,
        (false, false) => Sequence::MAX,
    };
    let input = args.array(0, "inputs")?.iter().map(|value| input_of(value, sequence));
    let tx = Transaction {
        version: Version(version),
        lock_time: LockTime::from_consensus(lock_time),
        input: input.collect::<Result<_, _>>()?,
        output: outputs_of(args.need(1, "outputs")?, node)?,
    };
    answer(&serialize_hex(&tx))
}

fn input_of(value: &Value, sequence: Sequence) -> Result<TxIn, RpcError> {
    let previous_output = outpoint_of(value)?;
    let given = value.get("sequence").and_then(Value::as_u64).map(u32::try_from).transpose();
    let given = given
        .map_err(|_| RpcError::parameter("Invalid parameter, sequence number is out of range"))?;
    let sequence = given.map_or(sequence, Sequence::from_consensus);
    Ok(TxIn { previous_output, script_sig: ScriptBuf::new(), sequence, witness: Witness::new() })
}

pub(in crate::rpc) fn outpoint_of(value: &Value) -> Result<OutPoint, RpcError> {
    let txid = value.get("txid").and_then(Value::as_str);
    let txid = txid.ok_or_else(|| RpcError::parameter("Invalid parameter, missing txid key"))?;
    let vout = value.get("vout").and_then(Value::as_u64).and_then(|vout| u32::try_from(vout).ok());
    let vout = vout.ok_or_else(|| RpcError::parameter("Invalid parameter, missing vout key"))?;
    Ok(OutPoint { txid: hash(txid, "txid")?, vout })
}

/// Outputs as an object, or as an array of objects, address (or `data`) to amount (or hex).
pub(in crate::rpc) fn outputs_of(value: &Value, node: &Node) -> Result<Vec<TxOut>, RpcError> {
    let objects: Vec<&Value> = match value {
        Value::Array(objects) => objects.iter().collect(),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            vec![value]
        }
    };
    let mut outputs = Vec::new();
    for object in objects {
        let object = object.as_object().ok_or_else(|| wrong_type("outputs", "object"))?;
        for (to, amount) in object {
            outputs.push(output_of(to, amount, node)?);
        }
    }
    Ok(outputs)
}

fn output_of(to: &str, amount: &Value, node: &Node) -> Result<TxOut, RpcError> {
    if to != "data" {
        let value = Amount::from_sat(money::read(amount)?);
        let invalid = |_| RpcError::not_found(format!("Invalid Bitcoin address: {to}"));
        let script_pubkey = script_of_address(to, node.chain.network()).map_err(invalid)?;
        return Ok(TxOut { value, script_pubkey });
    }
    let data = amount.as_str().and_then(|hex| Vec::from_hex(hex).ok());
    let data = data.and_then(|data| PushBytesBuf::try_from(data).ok());
    let data = data.ok_or_else(|| RpcError::parameter("Data must be hexadecimal string"))?;
    Ok(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return(data) })
}

fn psbt_of(value: &str) -> Result<Psbt, RpcError> {
    value
        .parse()
        .map_err(|error| RpcError::new(DESERIALIZATION, format!("TX decode failed {error}")))
}

pub(super) fn combine(args: &Args) -> Answer {
    let mut sum: Option<Psbt> = None;
    for value in args.array(0, "txs")? {
        let psbt = psbt_of(value.as_str().ok_or_else(|| wrong_type("txs", "string"))?)?;
        match &mut sum {
            None => sum = Some(psbt),
            Some(sum) => {
                sum.combine(psbt).map_err(|error| RpcError::parameter(error.to_string()))?
            }
        }
    }
    let sum = sum.ok_or_else(|| RpcError::parameter("Parameter 'txs' cannot be empty"))?;
    answer(&sum.to_string())
}

pub(super) fn finalize_psbt(args: &Args) -> Answer {
    let mut psbt = psbt_of(args.text(0, "psbt")?)?;
    let complete = finalize(&mut psbt);
    if complete && args.flag_or(1, "extract", true)? {
        return answer(&json!({ "hex": serialize_hex(&extract(psbt)), "complete": true }));
    }
    answer(&json!({ "psbt": psbt.to_string(), "complete": complete }))
}

/// What an incomplete transaction spends: coins of the chain and the mempool, and what the caller adds.
pub(in crate::rpc) async fn prevouts(
    node: &Node,
    tx: &Transaction,
    given: Option<&Value>,
) -> Result<BTreeMap<OutPoint, (TxOut, Option<ScriptBuf>)>, RpcError> {
    let mut found = BTreeMap::new();
    for input in &tx.input {
        if let Some(there) = node.chain.txout(input.previous_output).await? {
            found.insert(input.previous_output, (there.output, None));
        }
    }
    for value in given.and_then(Value::as_array).into_iter().flatten() {
        let outpoint = outpoint_of(value)?;
        let script = |name: &str| {
            let hex = value.get(name).and_then(Value::as_str);
            hex.map(ScriptBuf::from_hex).transpose()
        };
        let bad = |_| RpcError::new(DESERIALIZATION, "prevtxs: a script is not hex");
        let script_pubkey = script("scriptPubKey").map_err(bad)?;
        let script_pubkey =
            script_pubkey.ok_or_else(|| RpcError::new(TYPE, "Missing scriptPubKey"))?;
        let inner = script("witnessScript").map_err(bad)?;
        let value = match value.get("amount") {
            Some(amount) => Amount::from_sat(money::read(amount)?),
            None => {
                found.get(&outpoint).map_or(Amount::ZERO, |(output, _): &(TxOut, _)| output.value)
            }
        };
        found.insert(outpoint, (TxOut { value, script_pubkey }, inner));
    }
    Ok(found)
}

/// A PSBT of a transaction and what it spends; the witnesses it has already stay.
pub(in crate::rpc) fn psbt_with(
    tx: Transaction,
    spent: &BTreeMap<OutPoint, (TxOut, Option<ScriptBuf>)>,
) -> Result<Psbt, RpcError> {
    let mut bare = tx.clone();
    for input in &mut bare.input {
        input.script_sig = ScriptBuf::new();
        input.witness = Witness::new();
    }
    let refused = |error: bitcoin::psbt::Error| RpcError::new(DESERIALIZATION, error.to_string());
    let mut psbt = Psbt::from_unsigned_tx(bare).map_err(refused)?;
    for (input, old) in psbt.inputs.iter_mut().zip(tx.input) {
        if let Some((output, inner)) = spent.get(&old.previous_output) {
            input.witness_utxo = Some(output.clone());
            input.witness_script.clone_from(inner);
        }
        if !old.witness.is_empty() {
            input.final_script_witness = Some(old.witness);
        }
        if !old.script_sig.is_empty() {
            input.final_script_sig = Some(old.script_sig);
        }
    }
    Ok(psbt)
}

/// What `signrawtransactionwith…` answer.
pub(in crate::rpc) fn signed(mut psbt: Psbt) -> Answer {
    let complete = finalize(&mut psbt);
    let open: Vec<Value> = psbt
        .inputs
        .iter()
        .zip(&psbt.unsigned_tx.input)
        .filter(|(input, _)| {
            input.final_script_witness.is_none() && input.final_script_sig.is_none()
        })
        .map(|(_, input)| {
            json!({
                "txid": input.previous_output.txid,
                "vout": input.previous_output.vout,
                "witness": [],
                "scriptSig": "",
                "sequence": input.sequence.to_consensus_u32(),
                "error": "Unable to sign input, invalid stack size (possibly missing key)",
            })
        })
        .collect();
    let hex = serialize_hex(&extract(psbt));
    if complete {
        answer(&json!({ "hex": hex, "complete": true }))
    } else {
        answer(&json!({ "hex": hex, "complete": false, "errors": open }))
    }
}

pub(super) async fn sign_with_keys(node: &Node, args: &Args) -> Answer {
    let tx: Transaction = args.decoded(0, "hexstring", "TX decode failed")?;
    let invalid = || RpcError::not_found("Invalid private key");
    let keys: Vec<PrivateKey> = (args.array(1, "privkeys")?.iter())
        .map(|value| value.as_str().and_then(from_wif).ok_or_else(invalid))
        .collect::<Result<_, _>>()?;
    let spent = prevouts(node, &tx, args.get(2)).await?;
    let mut psbt = psbt_with(tx, &spent)?;
    let by_key: BTreeMap<PublicKey, PrivateKey> =
        keys.into_iter().map(|key| (key.public_key(SECP256K1), key)).collect();
    // Inputs of other keys stay open, and are told.
    let _ = psbt.sign(&by_key, SECP256K1);
    signed(psbt)
}

/// Reads a transaction in hex.
pub(in crate::rpc) fn tx_of(hex: &str) -> Result<Transaction, RpcError> {
    decoded(hex, "TX decode failed. Make sure the tx has at least one input.")
}

/// An amount as it is shown.
pub(in crate::rpc) fn btc(amount: Amount) -> Btc {
    Btc::sat(amount.to_sat())
}
