//! Transactions.

use super::script::{ScriptShown, ScriptSigShown};
use crate::rpc::money::Btc;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, Network, Transaction, TxIn, TxOut, Txid, Wtxid};
use serde::Serialize;

/// A transaction, and where it is.
#[derive(Clone, Debug, Serialize)]
pub(in crate::rpc) struct TxShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rpc) in_active_chain: Option<bool>,
    txid: Txid,
    hash: Wtxid,
    version: i32,
    size: usize,
    vsize: usize,
    weight: u64,
    locktime: u32,
    vin: Vec<InputShown>,
    vout: Vec<OutputShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rpc) fee: Option<Btc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rpc) hex: Option<String>,
    #[serde(flatten)]
    pub(in crate::rpc) mined: Option<MinedShown>,
}

/// The block a transaction is in.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::rpc) struct MinedShown {
    pub(in crate::rpc) blockhash: BlockHash,
    pub(in crate::rpc) confirmations: i64,
    pub(in crate::rpc) time: u32,
    pub(in crate::rpc) blocktime: u32,
}

#[derive(Clone, Debug, Serialize)]
struct InputShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    coinbase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<Txid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vout: Option<u32>,
    #[serde(rename = "scriptSig", skip_serializing_if = "Option::is_none")]
    script_sig: Option<ScriptSigShown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    txinwitness: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prevout: Option<PrevoutShown>,
    sequence: u32,
}

/// What an input spends.
#[derive(Clone, Debug, Serialize)]
struct PrevoutShown {
    value: Btc,
    #[serde(rename = "scriptPubKey")]
    script: ScriptShown,
}

#[derive(Clone, Debug, Serialize)]
struct OutputShown {
    value: Btc,
    n: u32,
    #[serde(rename = "scriptPubKey")]
    script: ScriptShown,
}

impl TxShown {
    /// `spent` are the outputs that its inputs spend, in their order, where they are to be shown.
    pub(in crate::rpc) fn of(tx: &Transaction, network: Network, spent: &[TxOut]) -> Self {
        let vin = (0_usize..).zip(&tx.input);
        let vin = vin.map(|(place, input)| InputShown::of(tx, input, spent.get(place), network));
        let vout = (0_u32..).zip(&tx.output).map(|(n, output)| OutputShown {
            value: Btc::sat(output.value.to_sat()),
            n,
            script: ScriptShown::of(&output.script_pubkey, network),
        });
        Self {
            in_active_chain: None,
            txid: tx.compute_txid(),
            hash: tx.compute_wtxid(),
            version: tx.version.0,
            size: tx.total_size(),
            vsize: tx.vsize(),
            weight: tx.weight().to_wu(),
            locktime: tx.lock_time.to_consensus_u32(),
            vin: vin.collect(),
            vout: vout.collect(),
            fee: None,
            hex: None,
            mined: None,
        }
    }

    /// With its bytes.
    pub(in crate::rpc) fn with_hex(mut self, tx: &Transaction) -> Self {
        self.hex = Some(serialize_hex(tx));
        self
    }
}

impl InputShown {
    fn of(tx: &Transaction, input: &TxIn, spent: Option<&TxOut>, network: Network) -> Self {
        let is_coinbase = tx.is_coinbase();
        let outpoint = (!is_coinbase).then_some(input.previous_output);
        Self {
            coinbase: is_coinbase.then(|| input.script_sig.to_hex_string()),
            txid: outpoint.map(|outpoint| outpoint.txid),
            vout: outpoint.map(|outpoint| outpoint.vout),
            script_sig: (!is_coinbase).then(|| ScriptSigShown::of(&input.script_sig)),
            txinwitness: input.witness.iter().map(DisplayHex::to_lower_hex_string).collect(),
            prevout: spent.map(|output| PrevoutShown {
                value: Btc::sat(output.value.to_sat()),
                script: ScriptShown::of(&output.script_pubkey, network),
            }),
            sequence: input.sequence.to_consensus_u32(),
        }
    }
}
