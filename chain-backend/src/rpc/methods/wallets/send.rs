//! `send`: pays outputs, or makes the transaction for others to look at.

use super::{build, feerate, own_signatures};
use crate::rpc::error::{RpcError, WALLET};
use crate::rpc::methods::mempool::hand_in;
use crate::rpc::methods::transactions::{outpoint_of, outputs_of};
use crate::rpc::money;
use crate::rpc::request::Args;
use crate::rpc::wallet::{Loaded, extract, finalize};
use crate::rpc::{Answer, Node, answer};
use bdk_wallet::TxOrdering;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, ScriptBuf, TxOut};
use serde_json::{Value, json};

pub(super) async fn send(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let outputs = outputs_of(args.need(0, "outputs")?, node)?;
    let no_options = Value::Null;
    let options = args.get(4).unwrap_or(&no_options);
    let flag = |name: &str, or: bool| options.get(name).and_then(Value::as_bool).unwrap_or(or);
    let inputs = match options.get("inputs").and_then(Value::as_array) {
        Some(inputs) => inputs.iter().map(outpoint_of).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    // In satoshi per virtual byte, or (by its old name) in bitcoin per 1000 of them.
    let rate = match options.get("feeRate") {
        Some(btc_kvb) => FeeRate::from_sat_per_kwu(money::read(btc_kvb)?.div_ceil(4)),
        None => feerate(node, args.get(3).or_else(|| options.get("fee_rate"))).await?,
    };
    let (as_psbt, kept_back) = (flag("psbt", false), !flag("add_to_wallet", true));
    let made = node.wallets.with(wallet, move |wallet| {
        let psbt = if inputs.is_empty() {
            let outputs: Vec<(ScriptBuf, Amount)> =
                outputs.into_iter().map(|output| (output.script_pubkey, output.value)).collect();
            build(wallet, &outputs, rate)?
        } else {
            with_inputs(wallet, &inputs, &outputs, rate)?
        };
        wallet.save()?;
        Ok(psbt)
    });
    let mut psbt = own_signatures(node, wallet, made.await?).await?;
    let complete = finalize(&mut psbt);
    if as_psbt || !complete {
        return answer(&json!({ "complete": complete, "psbt": psbt.to_string() }));
    }
    let tx = extract(psbt.clone());
    let (txid, hex) = (tx.compute_txid(), serialize_hex(&tx));
    if kept_back {
        return answer(
            &json!({ "complete": true, "txid": txid, "hex": hex, "psbt": psbt.to_string() }),
        );
    }
    hand_in(node, tx, None).await?;
    answer(&json!({ "complete": true, "txid": txid }))
}

/// These coins and no others but what is missing.
fn with_inputs(
    wallet: &mut Loaded,
    inputs: &[OutPoint],
    outputs: &[TxOut],
    rate: FeeRate,
) -> Result<Psbt, RpcError> {
    let mut builder = wallet.bdk.build_tx();
    builder.ordering(TxOrdering::Untouched).fee_rate(rate);
    for outpoint in inputs {
        let added = builder.add_utxo(*outpoint).map(drop);
        added.map_err(|error| RpcError::new(WALLET, error.to_string()))?;
    }
    for output in outputs {
        builder.add_recipient(output.script_pubkey.clone(), output.value);
    }
    builder.finish().map_err(super::refused)
}
