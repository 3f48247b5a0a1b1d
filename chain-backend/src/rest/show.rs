//! Blocks, transactions and outputs as Esplora shows them. Amounts are in satoshi.

use crate::backend::BlockRef;
use crate::builtin::{ScriptSums, Whole};
use bitcoin::hex::DisplayHex as _;
use bitcoin::script::Instruction;
use bitcoin::{
    Address, Block, BlockHash, Network, Script, ScriptBuf, Transaction, TxIn, TxMerkleNode, TxOut,
    Txid,
};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct BlockShown {
    id: BlockHash,
    height: u32,
    version: i32,
    timestamp: u32,
    tx_count: usize,
    size: usize,
    weight: u64,
    merkle_root: TxMerkleNode,
    previousblockhash: Option<BlockHash>,
    mediantime: u32,
    nonce: u32,
    bits: u32,
    difficulty: f64,
}

impl BlockShown {
    pub(super) fn of(at: &BlockRef, block: &Block) -> Self {
        let header = &at.header;
        Self {
            id: at.hash,
            height: at.height,
            version: header.version.to_consensus(),
            timestamp: header.time,
            tx_count: block.txdata.len(),
            size: block.total_size(),
            weight: block.weight().to_wu(),
            merkle_root: header.merkle_root,
            previousblockhash: (at.height > 0).then_some(header.prev_blockhash),
            mediantime: at.mtp,
            nonce: header.nonce,
            bits: header.bits.to_consensus(),
            difficulty: header.difficulty_float(),
        }
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Status {
    confirmed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_hash: Option<BlockHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_time: Option<u32>,
}

impl Status {
    pub(super) fn of(block: Option<&BlockRef>) -> Self {
        Self {
            confirmed: block.is_some(),
            block_height: block.map(|block| block.height),
            block_hash: block.map(|block| block.hash),
            block_time: block.map(|block| block.header.time),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TxShown {
    txid: Txid,
    version: i32,
    locktime: u32,
    vin: Vec<InputShown>,
    vout: Vec<OutputShown>,
    size: usize,
    weight: u64,
    fee: u64,
    status: Status,
}

#[derive(Debug, Serialize)]
struct InputShown {
    txid: Txid,
    vout: u32,
    prevout: Option<OutputShown>,
    scriptsig: ScriptBuf,
    scriptsig_asm: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witness: Vec<String>,
    is_coinbase: bool,
    sequence: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_redeemscript_asm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_witnessscript_asm: Option<String>,
}

#[derive(Debug, Serialize)]
struct OutputShown {
    scriptpubkey: ScriptBuf,
    scriptpubkey_asm: String,
    scriptpubkey_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scriptpubkey_address: Option<String>,
    value: u64,
}

/// What a transaction pays: what it spends less what it makes; a coinbase nothing.
pub(super) fn fee_sat(tx: &Transaction, spent: &[TxOut]) -> u64 {
    let sum = |outputs: &[TxOut]| {
        outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
    };
    sum(spent).saturating_sub(sum(&tx.output))
}

impl TxShown {
    pub(super) fn of(whole: &Whole, network: Network) -> Self {
        let Whole { tx, block, spent } = whole;
        let is_coinbase = tx.is_coinbase();
        let spends = spent.iter().map(Some).chain(std::iter::repeat(None));
        let vin = tx.input.iter().zip(spends);
        Self {
            txid: tx.compute_txid(),
            version: tx.version.0,
            locktime: tx.lock_time.to_consensus_u32(),
            vin: vin.map(|(i, spent)| InputShown::of(i, spent, is_coinbase, network)).collect(),
            vout: tx.output.iter().map(|output| OutputShown::of(output, network)).collect(),
            size: tx.total_size(),
            weight: tx.weight().to_wu(),
            fee: fee_sat(tx, spent),
            status: Status::of(block.as_ref()),
        }
    }
}

impl InputShown {
    fn of(input: &TxIn, spent: Option<&TxOut>, is_coinbase: bool, network: Network) -> Self {
        let (redeem, witness) = spent.map_or((None, None), |spent| inner(input, spent));
        Self {
            txid: input.previous_output.txid,
            vout: input.previous_output.vout,
            prevout: spent.map(|output| OutputShown::of(output, network)),
            scriptsig: input.script_sig.clone(),
            scriptsig_asm: input.script_sig.to_asm_string(),
            witness: input.witness.iter().map(|item| item.to_lower_hex_string()).collect(),
            is_coinbase,
            sequence: input.sequence.to_consensus_u32(),
            inner_redeemscript_asm: redeem.map(|script| script.to_asm_string()),
            inner_witnessscript_asm: witness.map(|script| script.to_asm_string()),
        }
    }
}

/// The scripts that an input shows because its output holds their hash: the redeem script, the witness script.
fn inner(input: &TxIn, spent: &TxOut) -> (Option<ScriptBuf>, Option<ScriptBuf>) {
    let script = &spent.script_pubkey;
    let redeem = script.is_p2sh().then(|| match input.script_sig.instructions().last() {
        Some(Ok(Instruction::PushBytes(bytes))) => {
            Some(ScriptBuf::from_bytes(bytes.as_bytes().to_vec()))
        }
        Some(Ok(Instruction::Op(_)) | Err(_)) | None => None,
    });
    let redeem = redeem.flatten();
    let is_wsh = script.is_p2wsh() || redeem.as_ref().is_some_and(|script| script.is_p2wsh());
    let shown = if is_wsh {
        input.witness.last().map(|item| ScriptBuf::from_bytes(item.to_vec()))
    } else if script.is_p2tr() {
        input.witness.taproot_leaf_script().map(|leaf| leaf.script.to_owned())
    } else {
        None
    };
    (redeem, shown)
}

impl OutputShown {
    fn of(output: &TxOut, network: Network) -> Self {
        let script = &output.script_pubkey;
        let address = Address::from_script(script, network).ok();
        Self {
            scriptpubkey: script.clone(),
            scriptpubkey_asm: script.to_asm_string(),
            scriptpubkey_type: kind(script),
            scriptpubkey_address: address.map(|address| address.to_string()),
            value: output.value.to_sat(),
        }
    }
}

/// Pay to anchor (BIP 433): `OP_1 <4e73>`.
const ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];

/// Esplora's name for what a script is.
fn kind(script: &Script) -> &'static str {
    if script.is_empty() {
        "empty"
    } else if script.is_op_return() {
        "op_return"
    } else if script.is_p2pk() {
        "p2pk"
    } else if script.is_p2pkh() {
        "p2pkh"
    } else if script.is_p2sh() {
        "p2sh"
    } else if script.is_p2wpkh() {
        "v0_p2wpkh"
    } else if script.is_p2wsh() {
        "v0_p2wsh"
    } else if script.is_p2tr() {
        "v1_p2tr"
    } else if script.as_bytes() == ANCHOR {
        "anchor"
    } else {
        "unknown"
    }
}

/// What a script got and gave.
#[derive(Debug, Serialize)]
pub(super) struct SumsShown {
    tx_count: u64,
    funded_txo_count: u64,
    funded_txo_sum: u64,
    spent_txo_count: u64,
    spent_txo_sum: u64,
}

impl From<ScriptSums> for SumsShown {
    fn from(sums: ScriptSums) -> Self {
        Self {
            tx_count: sums.txs,
            funded_txo_count: sums.funded,
            funded_txo_sum: sums.funded_sat,
            spent_txo_count: sums.spent,
            spent_txo_sum: sums.spent_sat,
        }
    }
}
