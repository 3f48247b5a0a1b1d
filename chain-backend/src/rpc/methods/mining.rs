//! Blocks are made here, and the clock is set.

use super::blocks::chain_name;
use crate::backend::ChainBackend;
use crate::builtin::{Reject, Waiting, witness_commitment};
use crate::rpc::error::{DATABASE, RpcError, VERIFY};
use crate::rpc::money::Btc;
use crate::rpc::request::{Args, decoded, wrong_type};
use crate::rpc::{Answer, Node, answer};
use crate::sandbox::{Sandbox, SandboxError};
use bdk_wallet::miniscript::{Descriptor, DescriptorPublicKey};
use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, BlockHash, Network, ScriptBuf, Target, Transaction, Txid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn to_address(node: &Node, args: &Args) -> Answer {
    let blocks = blocks_of(args)?;
    let script = script_of_address(args.text(1, "address")?, node.chain.network())?;
    answer(&node.chain.mine(blocks, script).await?)
}

pub(super) async fn to_descriptor(node: &Node, args: &Args) -> Answer {
    let blocks = blocks_of(args)?;
    let script = script_of_descriptor(args.text(1, "descriptor")?, node.chain.network())?;
    answer(&node.chain.mine(blocks, script).await?)
}

fn blocks_of(args: &Args) -> Result<u32, RpcError> {
    let blocks = u32::try_from(args.number(0, "nblocks")?);
    blocks.map_err(|_| RpcError::parameter("nblocks is out of range"))
}

pub(in crate::rpc) fn script_of_address(
    text: &str,
    network: Network,
) -> Result<ScriptBuf, RpcError> {
    let invalid = || RpcError::not_found("Error: Invalid address");
    let address: Address<_> = text.parse().map_err(|_| invalid())?;
    let address = address.require_network(network).map_err(|_| invalid())?;
    Ok(address.script_pubkey())
}

pub(super) fn script_of_descriptor(text: &str, network: Network) -> Result<ScriptBuf, RpcError> {
    let refused = |error: String| RpcError::not_found(error);
    // `raw(…)` is no descriptor to the library, and `addr(…)` neither.
    let inner = |name: &str| text.split('#').next()?.strip_prefix(name)?.strip_suffix(')');
    if let Some(hex) = inner("raw(") {
        return ScriptBuf::from_hex(hex).map_err(|error| refused(error.to_string()));
    }
    if let Some(address) = inner("addr(") {
        return script_of_address(address, network);
    }
    let descriptor: Descriptor<DescriptorPublicKey> =
        text.parse().map_err(|error| refused(format!("{error}")))?;
    let descriptor =
        descriptor.at_derivation_index(0).map_err(|error| refused(error.to_string()))?;
    Ok(descriptor.script_pubkey())
}

/// One block with just these transactions, which come by name from the mempool or as bytes.
pub(super) async fn block(node: &Node, args: &Args) -> Answer {
    let output = args.text(0, "output")?;
    let script = match script_of_address(output, node.chain.network()) {
        Ok(script) => script,
        Err(_) => script_of_descriptor(output, node.chain.network())
            .map_err(|_| RpcError::not_found("Error: Invalid address or descriptor"))?,
    };
    let mut txs = Vec::new();
    for value in args.array(1, "transactions")? {
        txs.push(named_or_given(node, value).await?);
    }
    let submit = args.flag_or(2, "submit", true)?;
    let made = node.chain.ask(move |chain| chain.block_of(&txs, &script)).await?;
    let made =
        made.map_err(|error| RpcError::new(VERIFY, format!("TestBlockValidity failed: {error}")))?;
    let hash = made.block_hash();
    if !submit {
        return answer(&json!({ "hash": hash, "hex": serialize_hex(&made) }));
    }
    let connected = node.chain.submit_block(made).await;
    connected
        .map_err(|error| RpcError::new(VERIFY, format!("TestBlockValidity failed: {error}")))?;
    answer(&json!({ "hash": hash }))
}

async fn named_or_given(node: &Node, value: &Value) -> Result<Transaction, RpcError> {
    let text = value.as_str().ok_or_else(|| wrong_type("transactions", "string"))?;
    if text.len() == 64 {
        let txid = crate::rpc::request::hash(text, "txid")?;
        let found = node.chain.ask(move |chain| chain.waiting(&txid)).await?;
        let found = found
            .ok_or_else(|| RpcError::not_found(format!("Transaction {text} not in mempool.")))?;
        return Ok(Transaction::clone(&found.tx));
    }
    decoded(
        text,
        &format!("Transaction decode failed for {text}. Make sure the tx has at least one input."),
    )
}

pub(super) async fn info(node: &Node) -> Answer {
    let tip = node.chain.tip().await?;
    let waiting = node.chain.mempool().await?.len();
    let bits = tip.header.bits;
    let (next, challenge) =
        node.chain.ask(move |chain| (chain.next_bits(&tip), chain.challenge())).await?;
    let mut shown = json!({
        "blocks": tip.height,
        "bits": format!("{:08x}", bits.to_consensus()),
        "difficulty": tip.header.difficulty_float(),
        "target": format!("{:064x}", Target::from_compact(bits)),
        "networkhashps": 0,
        "pooledtx": waiting,
        "blockmintxfee": Btc::sat(1),
        "chain": chain_name(node),
        "next": {
            "height": tip.height.saturating_add(1),
            "bits": format!("{:08x}", next.to_consensus()),
            "difficulty": Target::from_compact(next).difficulty_float(),
            "target": format!("{:064x}", Target::from_compact(next)),
        },
        "warnings": [],
    });
    if let (Some(challenge), Some(fields)) = (challenge, shown.as_object_mut()) {
        fields.insert("signet_challenge".to_owned(), json!(challenge.to_hex_string()));
    }
    answer(&shown)
}

/// What the next block would be (BIP 22, BIP 23, BIP 145), as far as miners of a sandbox need it.
pub(super) async fn template(node: &Node, args: &Args) -> Answer {
    let rules = args.get(0).and_then(|request| request.get("rules")).and_then(Value::as_array);
    let knows = |rule: &str| rules.is_some_and(|rules| rules.iter().any(|known| known == rule));
    let challenge = node.chain.ask(|chain| chain.challenge()).await?;
    let needed: &[&str] = if challenge.is_some() { &["segwit", "signet"] } else { &["segwit"] };
    if let Some(rule) = needed.iter().find(|rule| !knows(rule)) {
        return Err(RpcError::parameter(format!(
            "getblocktemplate must be called with the {rule} rule set (call with {{\"rules\": {}}})",
            json!(needed)
        )));
    }
    let tip = node.chain.tip().await?;
    let asked = node.chain.ask(move |chain| {
        let template = chain.template();
        let waiting: Vec<Option<Waiting>> =
            template.txs.iter().map(|tx| chain.waiting(&tx.compute_txid())).collect();
        (template, waiting, chain.now(), chain.next_bits(&tip), chain.mempool().arrivals())
    });
    let (template, waiting, now, bits, arrivals) = asked.await?;
    let places: BTreeMap<Txid, u32> =
        template.txs.iter().map(|tx| tx.compute_txid()).zip(1..).collect();
    let txs: Vec<Value> = (template.txs.iter().zip(waiting))
        .map(|(tx, waiting)| {
            let parents =
                tx.input.iter().filter_map(|input| places.get(&input.previous_output.txid));
            let depends: BTreeSet<&u32> = parents.collect();
            json!({
                "data": serialize_hex(tx.as_ref()),
                "txid": tx.compute_txid(),
                "hash": tx.compute_wtxid(),
                "depends": depends,
                "fee": waiting.as_ref().map_or(0, |waiting| waiting.fee.to_sat()),
                "sigops": waiting.map_or(0, |waiting| waiting.sigop_cost),
                "weight": tx.weight().to_wu(),
            })
        })
        .collect();
    let height = tip.height.saturating_add(1);
    let value = node.chain.ask(move |chain| chain.subsidy_sat(height)).await?;
    let floor = tip.mtp.saturating_add(1);
    let mut shown = json!({
        "capabilities": ["proposal"],
        "version": 0x2000_0000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": tip.hash,
        "transactions": txs,
        "coinbaseaux": {},
        "coinbasevalue": value.saturating_add(template.fees_sat),
        "longpollid": format!("{}{arrivals}", tip.hash),
        "target": format!("{:064x}", Target::from_compact(bits)),
        "mintime": floor,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80_000,
        "sizelimit": 4_000_000,
        "weightlimit": 4_000_000,
        "curtime": now.max(floor),
        "bits": format!("{:08x}", bits.to_consensus()),
        "height": height,
        "default_witness_commitment": witness_commitment(&template.txs).to_hex_string(),
    });
    if let (Some(challenge), Some(fields)) = (challenge, shown.as_object_mut()) {
        fields.insert("rules".to_owned(), json!(["csv", "!segwit", "taproot", "!signet"]));
        fields.insert("signet_challenge".to_owned(), json!(challenge.to_hex_string()));
    }
    answer(&shown)
}

/// Nothing when the block was taken, else the word for what is wrong with it (BIP 22).
pub(super) async fn submit(node: &Node, args: &Args) -> Answer {
    let block: bitcoin::Block = args.decoded(0, "hexdata", "Block decode failed")?;
    match node.chain.submit_block(block).await {
        Ok(true) => answer(&()),
        Ok(false) => answer("inconclusive"),
        Err(SandboxError::Refused(word)) => answer(&word),
        Err(error @ SandboxError::Unavailable(_)) => Err(error.into()),
    }
}

/// A header alone is checked and not kept: a block brings its own.
pub(super) async fn submit_header(node: &Node, args: &Args) -> Answer {
    let header: Header = args.decoded(0, "hexdata", "Block header decode failed")?;
    let parent: BlockHash = header.prev_blockhash;
    match node.chain.ask(move |chain| chain.check_lone_header(&header)).await? {
        Ok(()) => answer(&()),
        Err(Reject::PrevBlockNotFound) => {
            Err(RpcError::new(VERIFY, format!("Must submit previous header ({parent}) first")))
        }
        Err(word) => Err(RpcError::new(VERIFY, word.to_string())),
    }
}

/// As if this block had come before all others with as much work.
pub(super) async fn prefer(node: &Node, args: &Args) -> Answer {
    let hash = args.hash(0, "blockhash")?;
    super::blocks::standing(node, hash).await?;
    let preferred = node.chain.ask(move |chain| chain.prefer(hash)).await?;
    preferred.map_err(|error| RpcError::new(DATABASE, error.to_string()))?;
    answer(&())
}

pub(super) async fn judge(node: &Node, args: &Args, invalid: bool) -> Answer {
    let hash = args.hash(0, "blockhash")?;
    super::blocks::standing(node, hash).await?;
    if invalid {
        node.chain.invalidate(hash).await?;
    } else {
        node.chain.reconsider(hash).await?;
    }
    answer(&())
}

/// Stops the clock at a time, Unix seconds; zero lets it run again.
pub(super) async fn set_time(node: &Node, args: &Args) -> Answer {
    let time = u32::try_from(args.number(0, "timestamp")?);
    let time =
        time.map_err(|_| RpcError::parameter("Mocktime must be in the range [0, 4294967295]"))?;
    node.chain.set_now((time > 0).then_some(time)).await?;
    answer(&())
}
