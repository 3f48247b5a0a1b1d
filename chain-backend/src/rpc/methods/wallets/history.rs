//! `gettransaction` and `listtransactions`: what a wallet paid and was paid, an entry for each output.
//!
//! Not here: labels (all are empty), and transactions that lost against others, which are not shown.

use super::{MATURITY, depth};
use crate::backend::ChainBackend;
use crate::rpc::error::RpcError;
use crate::rpc::money::Btc;
use crate::rpc::request::Args;
use crate::rpc::wallet::Loaded;
use crate::rpc::{Answer, Node, answer};
use bdk_wallet::KeychainKind;
use bdk_wallet::chain::ChainPosition;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Amount, BlockHash, Network, Transaction, Txid, Wtxid};
use serde::Serialize;
use std::cmp::Reverse;
use std::sync::Arc;

/// What one transaction is, whichever of its outputs is spoken of.
#[derive(Clone, Serialize)]
struct About {
    confirmations: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    generated: Option<bool>,
    /// Whether its coins are to be had before it is in a block.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blockhash: Option<BlockHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blockheight: Option<u32>,
    /// Unix seconds, as all times here.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocktime: Option<u64>,
    txid: Txid,
    wtxid: Wtxid,
    walletconflicts: [Txid; 0],
    mempoolconflicts: [Txid; 0],
    /// When it was first seen; else when its block was made.
    time: u64,
    timereceived: u64,
    #[serde(rename = "bip125-replaceable")]
    replaceable: &'static str,
}

/// An output that was paid by the wallet, or to it; one that it paid itself is both.
#[derive(Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    category: &'static str,
    /// Below zero for what was paid.
    amount: Btc,
    /// Addresses of the wallet's own have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'static str>,
    vout: u32,
    /// Of what was paid, and below zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<Btc>,
    abandoned: bool,
}

/// An entry among those of other transactions.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    entry: Entry,
    #[serde(flatten)]
    about: About,
}

/// A transaction with all its entries.
#[derive(Serialize)]
struct Shown {
    /// What it changed for the wallet, but for the fee.
    amount: Btc,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<Btc>,
    #[serde(flatten)]
    about: About,
    details: Vec<Entry>,
    hex: String,
}

/// A transaction of a wallet's, as the wallet sees it.
struct Seen {
    tx: Arc<Transaction>,
    about: About,
    /// All that it spends of the wallet's.
    sent: Amount,
    received: Amount,
    /// What the miners had of it, below zero; when the wallet paid.
    fee: Option<i64>,
}

impl Seen {
    fn of(wallet: &Loaded, txid: Txid) -> Option<Self> {
        let found = wallet.bdk.get_tx(txid)?;
        let tx = Arc::clone(&found.tx_node.tx);
        let (sent, received) = wallet.bdk.sent_and_received(&tx);
        let fee = wallet.bdk.calculate_fee(&tx).ok().filter(|_| sent > Amount::ZERO);
        let (anchor, blocktime) = match &found.chain_position {
            ChainPosition::Confirmed { anchor, .. } => {
                (Some(anchor.block_id), Some(anchor.confirmation_time))
            }
            ChainPosition::Unconfirmed { .. } => (None, None),
        };
        let time = found.tx_node.first_seen.or(blocktime).unwrap_or_default();
        let about = About {
            confirmations: depth(&found.chain_position, wallet.bdk.latest_checkpoint().height()),
            generated: tx.is_coinbase().then_some(true),
            trusted: anchor.is_none().then_some(sent > Amount::ZERO),
            blockhash: anchor.map(|block| block.hash),
            blockheight: anchor.map(|block| block.height),
            blocktime,
            txid,
            wtxid: tx.compute_wtxid(),
            walletconflicts: [],
            mempoolconflicts: [],
            time,
            timereceived: time,
            replaceable: if anchor.is_none() && tx.is_explicitly_rbf() { "yes" } else { "no" },
        };
        let fee = fee.map(|fee| signed(fee).saturating_neg());
        Some(Self { tx, about, sent, received, fee })
    }

    fn is_immature(&self) -> bool {
        self.tx.is_coinbase() && self.about.confirmations <= MATURITY
    }

    /// What it changed, but for the fee; nothing while its coins are too young.
    fn net(&self) -> Btc {
        let received = if self.is_immature() { 0 } else { signed(self.received) };
        let net = received.saturating_sub(signed(self.sent));
        Btc(net.saturating_sub(self.fee.unwrap_or_default()))
    }

    /// What was paid and then what was received; change is neither.
    fn entries(&self, wallet: &Loaded, network: Network) -> Vec<Entry> {
        let (mut paid, mut had) = (Vec::new(), Vec::new());
        for (vout, output) in (0_u32..).zip(&self.tx.output) {
            let script = &output.script_pubkey;
            let keychain =
                wallet.bdk.derivation_of_spk(script.clone()).map(|(keychain, _)| keychain);
            let entry = |category, amount, fee| Entry {
                address: Address::from_script(script, network).ok(),
                category,
                amount: Btc(amount),
                label: keychain.map(|_| ""),
                vout,
                fee,
                abandoned: false,
            };
            let amount = signed(output.value);
            let is_change = keychain == Some(KeychainKind::Internal);
            let was_paid = self.sent > Amount::ZERO;
            if was_paid && !is_change {
                paid.push(entry("send", amount.saturating_neg(), self.fee.map(Btc)));
            }
            if keychain.is_some() && !(was_paid && is_change) {
                had.push(entry(self.received_as(), amount, None));
            }
        }
        paid.append(&mut had);
        paid
    }

    fn received_as(&self) -> &'static str {
        match (self.tx.is_coinbase(), self.is_immature()) {
            (false, _) => "receive",
            (true, true) => "immature",
            (true, false) => "generate",
        }
    }
}

fn signed(amount: Amount) -> i64 {
    i64::try_from(amount.to_sat()).unwrap_or(i64::MAX)
}

pub(super) async fn one(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let txid: Txid = args.hash(0, "txid")?;
    let network = node.chain.network();
    let found = node.wallets.with(wallet, move |wallet| {
        let seen = Seen::of(wallet, txid)
            .ok_or_else(|| RpcError::not_found("Invalid or non-wallet transaction id"))?;
        Ok(Shown {
            amount: seen.net(),
            fee: seen.fee.map(Btc),
            details: seen.entries(wallet, network),
            hex: serialize_hex(seen.tx.as_ref()),
            about: seen.about,
        })
    });
    answer(&found.await?)
}

pub(super) async fn list(node: &Node, wallet: Option<&str>, args: &Args) -> Answer {
    let count = usize::try_from(args.number_or(1, "count", 10)?);
    let count = count.map_err(|_| RpcError::parameter("Negative count"))?;
    let skip = usize::try_from(args.number_or(2, "skip", 0)?);
    let skip = skip.map_err(|_| RpcError::parameter("Negative from"))?;
    let network = node.chain.network();
    let found = node.wallets.with(wallet, move |wallet| {
        let mut seen: Vec<Seen> =
            wallet.bdk.transactions().filter_map(|tx| Seen::of(wallet, tx.tx_node.txid)).collect();
        // The newest last, as Bitcoin Core lists them.
        seen.sort_by_key(|seen| {
            let About { confirmations, time, txid, .. } = seen.about;
            (Reverse(confirmations), time, seen.tx.is_coinbase(), txid)
        });
        // Only what is asked for is made: from the end.
        let mut newest_first = Vec::new();
        for seen in seen.iter().rev() {
            if newest_first.len() >= count.saturating_add(skip) {
                break;
            }
            let entries = seen.entries(wallet, network).into_iter();
            newest_first.extend(entries.map(|entry| Listed { entry, about: seen.about.clone() }));
        }
        let mut asked: Vec<Listed> = newest_first.into_iter().skip(skip).take(count).collect();
        asked.reverse();
        Ok(asked)
    });
    answer(&found.await?)
}
