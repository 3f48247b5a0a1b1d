//! What an Esplora server answers, read. Nothing of it is believed that can be checked.

use crate::backend::{BackendError, BlockId, BlockRef};
use crate::polled::sound;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, FeeRate, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness, transaction,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

pub(super) use crate::polled::sound::nonsense;

/// The longest wait that an estimate is kept for, blocks.
const TARGET_MAX: u16 = 1_008;
/// More than anybody ever paid, satoshi for a virtual byte.
const RATE_MAX: f64 = 1_000_000.0;

type Read<T> = Result<T, BackendError>;

pub(super) fn hash<T: FromStr>(text: &str) -> Read<T> {
    text.parse().map_err(|_| nonsense("a hash that is none"))
}

fn field<'a>(value: &'a Value, name: &str) -> Read<&'a Value> {
    value.get(name).filter(|field| !field.is_null()).ok_or(nonsense("a field that is missing"))
}

fn text<'a>(value: &'a Value, name: &str) -> Read<&'a str> {
    field(value, name)?.as_str().ok_or(nonsense("text that is none"))
}

fn number(value: &Value, name: &str) -> Read<u32> {
    let number = field(value, name)?.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or(nonsense("a number that is none"))
}

fn sat(value: &Value, name: &str) -> Read<Amount> {
    let sat = field(value, name)?.as_u64().map(Amount::from_sat);
    sat.filter(|sat| *sat <= Amount::MAX_MONEY).ok_or(nonsense("an amount that is none"))
}

/// Some servers show it with its sign, some without.
fn version(value: &Value) -> Read<i32> {
    let version = field(value, "version")?.as_i64().ok_or(nonsense("a version that is none"))?;
    let unsigned = || u32::try_from(version).ok().map(|v| i32::from_ne_bytes(v.to_ne_bytes()));
    i32::try_from(version).ok().or_else(unsigned).ok_or(nonsense("a version that is none"))
}

/// A block by its header, which must have that name.
pub(super) fn place(value: &Value, expected: BlockHash) -> Read<BlockRef> {
    let height = number(value, "height")?;
    let prev_blockhash = match value.get("previousblockhash").and_then(Value::as_str) {
        Some(previous) => hash(previous)?,
        None if height == 0 => BlockHash::all_zeros(),
        None => return Err(nonsense("a header without a predecessor")),
    };
    let header = Header {
        version: Version::from_consensus(version(value)?),
        prev_blockhash,
        merkle_root: hash::<TxMerkleNode>(text(value, "merkle_root")?)?,
        time: number(value, "timestamp")?,
        bits: CompactTarget::from_consensus(number(value, "bits")?),
        nonce: number(value, "nonce")?,
    };
    sound::header(&header, expected)?;
    Ok(BlockRef { height, hash: expected, header, mtp: number(value, "mediantime")? })
}

pub(super) fn block(bytes: &[u8], expected: BlockHash) -> Read<Block> {
    let block: Block = deserialize(bytes).map_err(|_| nonsense("a block that is none"))?;
    sound::block(&block, expected)?;
    Ok(block)
}

pub(super) fn transaction(bytes: &[u8], expected: Txid) -> Read<Transaction> {
    let tx: Transaction = deserialize(bytes).map_err(|_| nonsense("a transaction that is none"))?;
    named(tx, expected)
}

fn named(tx: Transaction, expected: Txid) -> Read<Transaction> {
    if tx.compute_txid() == expected {
        Ok(tx)
    } else {
        Err(nonsense("a transaction with another name"))
    }
}

/// Where a transaction is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) block: Option<BlockId>,
}

impl Status {
    pub(super) fn read(value: &Value) -> Read<Self> {
        let confirmed = field(value, "confirmed")?.as_bool();
        match confirmed.ok_or(nonsense("a status that is none"))? {
            false => Ok(Self { block: None }),
            true => {
                let hash = hash(text(value, "block_hash")?)?;
                Ok(Self { block: Some(BlockId { height: number(value, "block_height")?, hash }) })
            }
        }
    }
}

/// Height of the block, place in it, and the hashes beside the way to its merkle root.
pub(super) fn proof(value: &Value) -> Read<(u32, u32, Vec<Txid>)> {
    Ok((number(value, "block_height")?, number(value, "pos")?, txids(field(value, "merkle")?)?))
}

pub(super) fn txids(value: &Value) -> Read<Vec<Txid>> {
    let list = value.as_array().ok_or(nonsense("a list that is none"))?;
    let one = |one: &Value| hash(one.as_str().ok_or(nonsense("a hash that is no text"))?);
    list.iter().map(one).collect()
}

/// Who is said to spend an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outspend {
    pub(super) txid: Txid,
    pub(super) vin: u32,
    pub(super) confirmed: bool,
}

impl Outspend {
    /// Nothing when nobody does.
    pub(super) fn read(value: &Value) -> Read<Option<Self>> {
        let spent = field(value, "spent")?.as_bool();
        if !spent.ok_or(nonsense("a spend that is none"))? {
            return Ok(None);
        }
        let status = Status::read(field(value, "status")?)?;
        let (txid, vin) = (hash(text(value, "txid")?)?, number(value, "vin")?);
        Ok(Some(Self { txid, vin, confirmed: status.block.is_some() }))
    }

    pub(super) fn read_all(value: &Value) -> Read<Vec<Self>> {
        let list = value.as_array().ok_or(nonsense("a list that is none"))?;
        list.iter().filter_map(|one| Self::read(one).transpose()).collect()
    }
}

fn bytes(hex: &str) -> Read<Vec<u8>> {
    Vec::from_hex(hex).map_err(|_| nonsense("hex that is none"))
}

fn input(value: &Value) -> Read<TxIn> {
    let witness = match value.get("witness").and_then(Value::as_array) {
        None => Witness::new(),
        Some(items) => {
            let item = |item: &Value| bytes(item.as_str().ok_or(nonsense("hex that is none"))?);
            Witness::from_slice(&items.iter().map(item).collect::<Read<Vec<_>>>()?)
        }
    };
    Ok(TxIn {
        previous_output: OutPoint {
            txid: hash(text(value, "txid")?)?,
            vout: number(value, "vout")?,
        },
        script_sig: ScriptBuf::from_bytes(bytes(text(value, "scriptsig")?)?),
        sequence: Sequence(number(value, "sequence")?),
        witness,
    })
}

fn output(value: &Value) -> Read<TxOut> {
    let script_pubkey = ScriptBuf::from_bytes(bytes(text(value, "scriptpubkey")?)?);
    Ok(TxOut { value: sat(value, "value")?, script_pubkey })
}

fn list<T>(value: &Value, name: &str, one: impl Fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    let list = field(value, name)?.as_array().ok_or(nonsense("a list that is none"))?;
    list.iter().map(one).collect()
}

/// A transaction as JSON, which must have that name, what it is said to pay, and where it is.
pub(super) fn entry(value: &Value, expected: Txid) -> Read<(Transaction, Amount, Status)> {
    let tx = Transaction {
        version: transaction::Version(version(value)?),
        lock_time: LockTime::from_consensus(number(value, "locktime")?),
        input: list(value, "vin", input)?,
        output: list(value, "vout", output)?,
    };
    Ok((named(tx, expected)?, sat(value, "fee")?, Status::read(field(value, "status")?)?))
}

/// Estimates by target. What is no feerate is not there.
#[expect(clippy::float_arithmetic, reason = "satoshi for a virtual byte as the server writes it")]
pub(super) fn estimates(value: &Value) -> Read<BTreeMap<u16, Option<FeeRate>>> {
    let told = value.as_object().ok_or(nonsense("fee estimates that are none"))?;
    let one = |(target, rate): (&String, &Value)| {
        let target = target.parse().ok().filter(|target| (1..=TARGET_MAX).contains(target))?;
        let per_vb = rate.as_f64().filter(|rate| *rate > 0.0 && *rate <= RATE_MAX)?;
        // To the third decimal, as it is written; then never less.
        let thousandths: u64 = format!("{:.0}", per_vb * 1_000.0).parse().ok()?;
        Some((target, Some(FeeRate::from_sat_per_kwu(thousandths.div_ceil(4)))))
    };
    Ok(told.iter().filter_map(one).collect())
}
