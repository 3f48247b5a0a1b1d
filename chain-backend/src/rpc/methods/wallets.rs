//! Wallet methods.

mod history;
mod send;

use super::mempool::hand_in;
use super::mining::script_of_address;
use super::transactions::{btc, outpoint_of, outputs_of, prevouts, psbt_with, signed, tx_of};
use crate::backend::ChainBackend;
use crate::rpc::error::{INSUFFICIENT_FUNDS, METHOD_NOT_FOUND, RpcError, WALLET};
use crate::rpc::money::{self, Btc};
use crate::rpc::request::Args;
use crate::rpc::wallet::{Loaded, extract, finalize};
use crate::rpc::{Answer, Node, answer};
use bdk_wallet::chain::ChainPosition;
use bdk_wallet::error::CreateTxError;
use bdk_wallet::{KeychainKind, LocalOutput, TxOrdering};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Amount, FeeRate, OutPoint, Psbt, ScriptBuf, Transaction, Txid};
use serde::Serialize;
use serde_json::{Value, json};

/// What transactions of these wallets pay when nobody knows better, satoshi per virtual byte.
const FALLBACK: FeeRate = FeeRate::from_sat_per_kwu(500);

/// Blocks on a coinbase, its own among them, that do not make it ripe.
const MATURITY: u32 = 100;

/// Answers a wallet's method.
pub(super) async fn call(node: &Node, wallet: Option<&str>, method: &str, args: &Args) -> Answer {
    match method {
        "createwallet" => {
            let name = args.text(0, "wallet_name")?.to_owned();
            node.wallets.create(name.clone()).await?;
            answer(&json!({ "name": name }))
        }
        "loadwallet" => {
            let name = args.text(0, "filename")?.to_owned();
            node.wallets.load(name.clone()).await?;
            answer(&json!({ "name": name }))
        }
        "unloadwallet" => {
            let name = args.get(0).and_then(Value::as_str).or(wallet).unwrap_or_default();
            node.wallets.unload(name.to_owned()).await?;
            answer(&json!({}))
        }
        "listwallets" => answer(&node.wallets.list().await?),
        "getnewaddress" => new_address(node, wallet, KeychainKind::External).await,
        "getrawchangeaddress" => new_address(node, wallet, KeychainKind::Internal).await,
        "getaddressinfo" => address_info(node, wallet, args).await,
        "getbalance" => balance(node, wallet).await,
        "getbalances" => balances(node, wallet).await,
        "getwalletinfo" => info(node, wallet).await,
        "listunspent" => unspent(node, wallet, args).await,
        "lockunspent" => lock(node, wallet, args).await,
        "gettransaction" => history::one(node, wallet, args).await,
        "listtransactions" => history::list(node, wallet, args).await,
        "send" => send::send(node, wallet, args).await,
        "sendtoaddress" => send(node, wallet, args).await,
        "sendmany" => send_many(node, wallet, args).await,
        "fundrawtransaction" => fund(node, wallet, args).await,
        "signrawtransactionwithwallet" => sign(node, wallet, args).await,
        "walletprocesspsbt" => process(node, wallet, args).await,
        _ => Err(RpcError::new(METHOD_NOT_FOUND, "Method not found")),
    }
}

async fn new_address(node: &Node, wallet: Option<&str>, keychain: KeychainKind) -> Answer {
    let address = node.wallets.with(wallet, move |wallet| {
        let address = wallet.bdk.reveal_next_address(keychain).address;
        wallet.save()?;
        Ok(address)
    });
    answer(&address.await?)
}

async fn address_info(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let text = args.text(0, "address")?.to_owned();
    let script = script_of_address(&text, node.chain.network())?;
    let of = script.clone();
    let place = node.wallets.with(wallet, move |wallet| Ok(wallet.bdk.derivation_of_spk(of)));
    let place = place.await?;
    answer(&json!({
        "address": text,
        "scriptPubKey": script.to_hex_string(),
        "ismine": place.is_some(),
        "iswatchonly": false,
        "solvable": place.is_some(),
        "isscript": script.is_p2sh() || script.is_p2wsh(),
        "iswitness": script.is_witness_program(),
        "ischange": place.is_some_and(|(keychain, _)| keychain == KeychainKind::Internal),
        "labels": [],
    }))
}

async fn balance(node: &Node, wallet: Option<&str>) -> Answer {
    let balance = node.wallets.with(wallet, |wallet| Ok(Mine::of(wallet))).await?;
    answer(&balance.trusted)
}

#[derive(Serialize)]
struct Balances {
    mine: Mine,
}

#[derive(Serialize)]
struct Mine {
    trusted: Btc,
    untrusted_pending: Btc,
    immature: Btc,
}

impl Mine {
    /// As Bitcoin Core counts: a coinbase is ripe a block later than where it may be spent first.
    fn of(wallet: &Loaded) -> Self {
        let tip = wallet.bdk.latest_checkpoint().height();
        let (mut trusted, mut pending, mut immature) = (0_u64, 0_u64, 0_u64);
        for coin in wallet.bdk.list_unspent() {
            let pot = if is_immature(wallet, &coin, tip) {
                &mut immature
            } else if is_safe(&coin) {
                &mut trusted
            } else {
                &mut pending
            };
            *pot = pot.saturating_add(coin.txout.value.to_sat());
        }
        let (trusted, untrusted_pending) = (Btc::sat(trusted), Btc::sat(pending));
        Self { trusted, untrusted_pending, immature: Btc::sat(immature) }
    }
}

/// In a block, or change of our own.
fn is_safe(coin: &LocalOutput) -> bool {
    coin.chain_position.is_confirmed() || coin.keychain == KeychainKind::Internal
}

async fn balances(node: &Node, wallet: Option<&str>) -> Answer {
    let mine = node.wallets.with(wallet, |wallet| Ok(Mine::of(wallet))).await?;
    answer(&Balances { mine })
}

#[derive(Serialize)]
struct Info {
    walletname: String,
    walletversion: u32,
    format: &'static str,
    balance: Btc,
    unconfirmed_balance: Btc,
    immature_balance: Btc,
    txcount: usize,
    keypoolsize: u32,
    keypoolsize_hd_internal: u32,
    paytxfee: Btc,
    private_keys_enabled: bool,
    avoid_reuse: bool,
    scanning: bool,
    descriptors: bool,
    external_signer: bool,
    blank: bool,
    flags: [&'static str; 1],
}

async fn info(node: &Node, wallet: Option<&str>) -> Answer {
    let info = node.wallets.with(wallet, |wallet| {
        let mine = Mine::of(wallet);
        Ok(Info {
            walletname: wallet.name.clone(),
            walletversion: 169_900,
            format: "sqlite",
            balance: mine.trusted,
            unconfirmed_balance: mine.untrusted_pending,
            immature_balance: mine.immature,
            txcount: wallet.bdk.transactions().count(),
            keypoolsize: 1_000,
            keypoolsize_hd_internal: 1_000,
            paytxfee: Btc(0),
            private_keys_enabled: true,
            avoid_reuse: false,
            scanning: false,
            descriptors: true,
            external_signer: false,
            blank: false,
            flags: ["descriptor_wallet"],
        })
    });
    answer(&info.await?)
}

#[derive(Serialize)]
struct Unspent {
    txid: Txid,
    vout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(rename = "scriptPubKey")]
    script: String,
    amount: Btc,
    confirmations: u32,
    spendable: bool,
    solvable: bool,
    safe: bool,
}

async fn unspent(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let (min, max) = (args.number_or(0, "minconf", 1)?, args.number_or(1, "maxconf", 9_999_999)?);
    let network = node.chain.network();
    let found = node.wallets.with(wallet, move |wallet| {
        let tip = wallet.bdk.latest_checkpoint().height();
        let locked: Vec<OutPoint> = wallet.bdk.list_locked_outpoints().collect();
        let coins = wallet.bdk.list_unspent().filter(|coin| !locked.contains(&coin.outpoint));
        let coins = coins.filter(|coin| !is_immature(wallet, coin, tip));
        let shown = coins.map(|coin| Unspent {
            txid: coin.outpoint.txid,
            vout: coin.outpoint.vout,
            address: Address::from_script(&coin.txout.script_pubkey, network).ok(),
            script: coin.txout.script_pubkey.to_hex_string(),
            amount: btc(coin.txout.value),
            confirmations: depth(&coin.chain_position, tip),
            spendable: true,
            solvable: true,
            safe: is_safe(&coin),
        });
        Ok(shown
            .filter(|coin| (min..=max).contains(&i64::from(coin.confirmations)))
            .collect::<Vec<_>>())
    });
    answer(&found.await?)
}

/// A coinbase that no block may spend yet.
fn is_immature(wallet: &Loaded, coin: &LocalOutput, tip: u32) -> bool {
    let tx = wallet.bdk.get_tx(coin.outpoint.txid);
    let is_coinbase = tx.is_some_and(|tx| tx.tx_node.tx.is_coinbase());
    is_coinbase && depth(&coin.chain_position, tip) <= MATURITY
}

fn depth<A: bdk_wallet::chain::Anchor>(position: &ChainPosition<A>, tip: u32) -> u32 {
    let height = position.confirmation_height_upper_bound();
    height.map_or(0, |height| tip.saturating_sub(height).saturating_add(1))
}

async fn lock(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let unlock = args.need(0, "unlock")?.as_bool().unwrap_or(false);
    let outpoints = match args.get(1) {
        Some(_) => {
            args.array(1, "transactions")?.iter().map(outpoint_of).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let done = node.wallets.with(wallet, move |wallet| {
        let all: Vec<OutPoint> = wallet.bdk.list_locked_outpoints().collect();
        match (unlock, outpoints.is_empty()) {
            (true, true) => {
                all.into_iter().for_each(|outpoint| wallet.bdk.unlock_outpoint(outpoint))
            }
            (true, false) => {
                outpoints.into_iter().for_each(|outpoint| wallet.bdk.unlock_outpoint(outpoint))
            }
            (false, _) => {
                outpoints.into_iter().for_each(|outpoint| wallet.bdk.lock_outpoint(outpoint))
            }
        }
        Ok(true)
    });
    answer(&done.await?)
}

/// What a transaction is to pay: as asked, as estimated, or the least.
async fn feerate(node: &Node, asked: Option<&Value>) -> Result<FeeRate, RpcError> {
    // In satoshi per virtual byte here, other than anywhere else.
    if let Some(rate) = asked.and_then(Value::as_u64) {
        return FeeRate::from_sat_per_vb(rate)
            .ok_or_else(|| RpcError::parameter("Fee rate out of range"));
    }
    let fees = node.chain.fees().await?;
    Ok(fees.estimate(6).unwrap_or(FALLBACK).max(fees.floor()))
}

async fn send(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let script = script_of_address(args.text(0, "address")?, node.chain.network());
    let script = script.map_err(|_| RpcError::not_found("Invalid address"))?;
    let amount = Amount::from_sat(money::read(args.need(1, "amount")?)?);
    let from_amount = args.flag_or(4, "subtractfeefromamount", false)?;
    let rate = feerate(node, args.get(9)).await?;
    pay(node, wallet, vec![(script, amount)], from_amount, rate).await
}

async fn send_many(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let outputs = outputs_of(args.need(1, "amounts")?, node)?;
    let outputs = outputs.into_iter().map(|output| (output.script_pubkey, output.value)).collect();
    let rate = feerate(node, args.get(8)).await?;
    pay(node, wallet, outputs, false, rate).await
}

async fn pay(
    node: &Node,
    wallet: Option<&str>,
    outputs: Vec<(ScriptBuf, Amount)>,
    from_amount: bool,
    rate: FeeRate,
) -> Answer {
    let tx = node.wallets.with(wallet, move |wallet| {
        let psbt = if from_amount {
            take_fee(wallet, outputs, rate)?
        } else {
            build(wallet, &outputs, rate)?
        };
        let tx = sign_own(wallet, psbt)?;
        wallet.save()?;
        Ok(tx)
    });
    let tx = tx.await?;
    let txid = tx.compute_txid();
    hand_in(node, tx, None).await?;
    answer(&txid)
}

/// Coins for these outputs, confirmed or our own change, and change.
fn build(
    wallet: &mut Loaded,
    outputs: &[(ScriptBuf, Amount)],
    rate: FeeRate,
) -> Result<Psbt, RpcError> {
    let mut builder = wallet.bdk.build_tx();
    builder.ordering(TxOrdering::Untouched).fee_rate(rate);
    for (script, amount) in outputs {
        builder.add_recipient(script.clone(), *amount);
    }
    builder.finish().map_err(refused)
}

/// The fee comes out of the first output.
fn take_fee(
    wallet: &mut Loaded,
    mut outputs: Vec<(ScriptBuf, Amount)>,
    rate: FeeRate,
) -> Result<Psbt, RpcError> {
    let available = wallet.bdk.balance().trusted_spendable();
    let all = outputs
        .iter()
        .fold(Amount::ZERO, |sum, (_, amount)| sum.checked_add(*amount).unwrap_or(sum));
    if let ([(script, _)], true) = (outputs.as_slice(), all == available) {
        let mut builder = wallet.bdk.build_tx();
        builder.drain_wallet().drain_to(script.clone()).fee_rate(rate);
        return builder.finish().map_err(refused);
    }
    // The fee hangs on the coins, and they on the amount: a first try tells it.
    let enough = Amount::from_sat(1_000);
    let first = outputs.first().map_or(Amount::ZERO, |(_, amount)| *amount);
    let least = first.checked_sub(enough).unwrap_or(first);
    if let Some((_, amount)) = outputs.first_mut() {
        *amount = least;
    }
    let fee = build(wallet, &outputs, rate)?
        .fee()
        .map_err(|error| RpcError::new(WALLET, error.to_string()))?;
    let rest = first.checked_sub(fee).ok_or_else(|| {
        RpcError::new(INSUFFICIENT_FUNDS, "The transaction amount is too small to pay the fee")
    })?;
    if let Some((_, amount)) = outputs.first_mut() {
        *amount = rest;
    }
    build(wallet, &outputs, rate)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other one is told in its own words")]
fn refused(error: CreateTxError) -> RpcError {
    match error {
        CreateTxError::CoinSelection(_) => RpcError::new(INSUFFICIENT_FUNDS, "Insufficient funds"),
        CreateTxError::OutputBelowDustLimit(_) => {
            RpcError::new(INSUFFICIENT_FUNDS, "Transaction amount too small")
        }
        other => RpcError::new(WALLET, other.to_string()),
    }
}

fn sign_own(wallet: &Loaded, mut psbt: Psbt) -> Result<Transaction, RpcError> {
    wallet.keys.sign(&mut psbt);
    if finalize(&mut psbt) {
        Ok(extract(psbt))
    } else {
        Err(RpcError::new(WALLET, "Signing transaction failed"))
    }
}

/// Adds coins and change to a transaction that has neither.
async fn fund(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let tx = tx_of(args.text(0, "hexstring")?)?;
    let options = args.get(1);
    let asked = options.and_then(|options| options.get("fee_rate"));
    let rate = match options.and_then(|options| options.get("feeRate")) {
        // This one is in bitcoin per 1000 virtual bytes.
        Some(btc_kvb) => FeeRate::from_sat_per_kwu(money::read(btc_kvb)?.div_ceil(4)),
        None => feerate(node, asked).await?,
    };
    let funded = node.wallets.with(wallet, move |wallet| {
        let mut builder = wallet.bdk.build_tx();
        builder.ordering(TxOrdering::Untouched).fee_rate(rate).version(tx.version.0);
        builder.nlocktime(tx.lock_time);
        for input in &tx.input {
            let added = builder.add_utxo(input.previous_output).map(drop);
            added.map_err(|error| RpcError::new(WALLET, error.to_string()))?;
        }
        for output in &tx.output {
            builder.add_recipient(output.script_pubkey.clone(), output.value);
        }
        let psbt = builder.finish().map_err(refused)?;
        wallet.save()?;
        let fee = psbt.fee().map_err(|error| RpcError::new(WALLET, error.to_string()))?;
        let asked = tx.output.len();
        let has_change = psbt.unsigned_tx.output.len() > asked;
        let change = if has_change { i64::try_from(asked).unwrap_or(-1) } else { -1 };
        Ok(Funded { hex: serialize_hex(&psbt.unsigned_tx), fee: btc(fee), changepos: change })
    });
    answer(&funded.await?)
}

#[derive(Serialize)]
struct Funded {
    hex: String,
    fee: Btc,
    changepos: i64,
}

async fn sign(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let tx = tx_of(args.text(0, "hexstring")?)?;
    let spent = prevouts(node, &tx, args.get(1)).await?;
    let psbt = psbt_with(tx, &spent)?;
    signed(own_signatures(node, wallet, psbt).await?)
}

/// Adds where the wallet's keys are, and its signatures.
async fn own_signatures(
    node: &Node,
    wallet: Option<&str>,
    mut psbt: Psbt,
) -> Result<Psbt, RpcError> {
    let signed = node.wallets.with(wallet, move |wallet| {
        for input in &mut psbt.inputs {
            let script = input.witness_utxo.as_ref().map(|output| output.script_pubkey.clone());
            let place = script.and_then(|script| wallet.bdk.derivation_of_spk(script));
            let Some((keychain, index)) = place else { continue };
            let descriptor = wallet.bdk.public_descriptor(keychain).at_derivation_index(index);
            if let Ok(descriptor) = descriptor {
                use bdk_wallet::miniscript::psbt::PsbtInputExt as _;
                // It is the script's own.
                let _ = input.update_with_descriptor_unchecked(&descriptor);
            }
        }
        wallet.keys.sign(&mut psbt);
        Ok(psbt)
    });
    signed.await
}

async fn process(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let psbt: Psbt = args.text(0, "psbt")?.parse().map_err(|error| {
        RpcError::new(crate::rpc::error::DESERIALIZATION, format!("TX decode failed {error}"))
    })?;
    let mut psbt = psbt;
    for place in 0..psbt.inputs.len() {
        let Some(input) = psbt.unsigned_tx.input.get(place) else { continue };
        let found = node.chain.txout(input.previous_output).await?;
        if let (Some(known), Some(found)) = (psbt.inputs.get_mut(place), found) {
            known.witness_utxo.get_or_insert(found.output);
        }
    }
    if args.flag_or(1, "sign", true)? {
        psbt = own_signatures(node, wallet, psbt).await?;
    }
    let complete = args.flag_or(4, "finalize", true)? && finalize(&mut psbt);
    if complete {
        let hex = serialize_hex(&extract(psbt.clone()));
        return answer(&json!({ "psbt": psbt.to_string(), "complete": true, "hex": hex }));
    }
    answer(&json!({ "psbt": psbt.to_string(), "complete": false }))
}
