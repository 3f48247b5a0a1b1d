//! Service `Wallet`.

use api::v1;
use api::v1::bump_request::How;
use api::v1::send_request::Amount as Asked;
use api::v1::wallet_server::Wallet;
use tonic::{Request, Response, Status};
use wire::units::BlockHeight;

use super::model::page::Listing;
use super::model::wallet::{
    AddressKind, BumpHow, Bumping, Coins, RaiseFee, SendCoins, SentCoins, SetAside, Utxo,
    WalletTransaction,
};
use super::parse::{self, Pager, Paging};
use super::refusal::Refusal;
use super::{NodeApi, Rpc};

/// The longest label, in bytes.
const LABEL_LEN_MAX: usize = 256;

#[tonic::async_trait]
impl<N: NodeApi> Wallet for Rpc<N> {
    async fn new_address(
        &self,
        request: Request<v1::NewAddressRequest>,
    ) -> Result<Response<v1::NewAddressResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Wallet/NewAddress", key, &ask)?;
        let kind = match v1::AddressType::try_from(ask.r#type) {
            Ok(v1::AddressType::Unspecified | v1::AddressType::Taproot) => AddressKind::Taproot,
            Ok(v1::AddressType::WitnessKey) => AddressKind::WitnessKey,
            Err(_) => Err(Refusal::Malformed { field: "type", why: "unknown kind of address" })?,
        };
        let address = self.node.new_address(kind, key).await?;
        Ok(Response::new(v1::NewAddressResponse { address: address.to_string() }))
    }

    async fn balance(
        &self,
        _: Request<v1::BalanceRequest>,
    ) -> Result<Response<v1::BalanceResponse>, Status> {
        let balance = self.node.wallet_balance().await?;
        let set_aside = balance.reserved_for_anchors.checked_add(balance.promised);
        Ok(Response::new(v1::BalanceResponse {
            confirmed_sat: balance.confirmed.to_sat(),
            unconfirmed_sat: balance.unconfirmed.to_sat(),
            reserved_sat: set_aside.map_or(u64::MAX, bitcoin::Amount::to_sat),
            immature_sat: balance.immature.to_sat(),
            spendable_sat: balance.spendable.to_sat(),
            anchor_reserve_sat: balance.reserved_for_anchors.to_sat(),
            anchor_reserve_missing_sat: balance.missing_for_anchors.to_sat(),
        }))
    }

    async fn list_transactions(
        &self,
        request: Request<v1::ListTransactionsRequest>,
    ) -> Result<Response<v1::ListTransactionsResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Wallet/ListTransactions", &paging, &ask)?;
        let listing = self.node.list_transactions(pager.page).await?;
        Ok(Response::new(v1::ListTransactionsResponse {
            transactions: listing.entries.into_iter().map(transaction).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }

    async fn send(
        &self,
        request: Request<v1::SendRequest>,
    ) -> Result<Response<v1::SendResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Wallet/Send", key, &ask)?;
        if ask.label.len() > LABEL_LEN_MAX {
            Err(Refusal::Malformed { field: "label", why: "longer than 256 bytes" })?;
        }
        let coins = match ask.amount {
            Some(Asked::AmountSat(sat)) => Coins::Exactly(parse::some_sat("amount_sat", sat)?),
            Some(Asked::All(true)) => Coins::All,
            Some(Asked::All(false)) | None => Err(Refusal::Missing { field: "amount" })?,
        };
        let order = SendCoins {
            key,
            address: parse::address(&ask.address, self.world.network)?,
            coins,
            feerate: parse::feerate(ask.feerate_sat_per_vb)?,
            label: ask.label,
        };
        let sent = if ask.dry_run {
            self.node.plan_send(order).await?
        } else {
            self.node.send_coins(order).await?
        };
        Ok(Response::new(sent_coins(sent)))
    }

    async fn bump(
        &self,
        request: Request<v1::BumpRequest>,
    ) -> Result<Response<v1::BumpResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Wallet/Bump", key, &ask)?;
        let how = match ask.how {
            None => BumpHow::Auto,
            Some(How::FeerateSatPerVb(rate)) => {
                parse::feerate(Some(rate))?.map_or(BumpHow::Auto, BumpHow::Feerate)
            }
            Some(How::DeadlineHeight(height)) => BumpHow::Deadline(BlockHeight(height)),
        };
        let channel = parse::channel(&ask.target);
        let txid = ask.target.parse().ok();
        if txid.is_none() {
            channel.clone()?;
        }
        let order = RaiseFee { key, channel: channel.ok(), txid, how };
        let bumped = self.node.bump(order).await?;
        Ok(Response::new(v1::BumpResponse {
            txid: bumped.txid.to_string(),
            fee_sat: bumped.fee.to_sat(),
            feerate_sat_per_kw: bumped.feerate.0,
            kind: match bumped.what {
                Bumping::Sweep => v1::BumpKind::Sweep,
                Bumping::Commitment => v1::BumpKind::Commitment,
                Bumping::Replacement => v1::BumpKind::Replacement,
                Bumping::Child => v1::BumpKind::Child,
            }
            .into(),
        }))
    }

    async fn list_unspent(
        &self,
        request: Request<v1::ListUnspentRequest>,
    ) -> Result<Response<v1::ListUnspentResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Wallet/ListUnspent", &paging, &ask)?;
        let rows: Vec<(u64, Utxo)> = (0_u64..).zip(self.node.list_utxos().await?).collect();
        let listing = Listing::cut(rows.into_iter(), pager.page);
        Ok(Response::new(v1::ListUnspentResponse {
            unspent: listing.entries.into_iter().map(unspent).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }
}

fn sent_coins(sent: SentCoins) -> v1::SendResponse {
    v1::SendResponse {
        txid: sent.txid.map(|txid| txid.to_string()).unwrap_or_default(),
        amount_sat: sent.amount.to_sat(),
        fee_sat: sent.fee.to_sat(),
        feerate_sat_per_vb: parse::per_vb(sent.feerate),
    }
}

fn transaction(tx: WalletTransaction) -> v1::Transaction {
    v1::Transaction {
        txid: tx.txid.to_string(),
        received_sat: tx.received.to_sat(),
        sent_sat: tx.sent.to_sat(),
        fee_sat: tx.fee.map(bitcoin::Amount::to_sat),
        block_height: tx.height.map(|height| height.0),
        confirmations: tx.confirmations,
        seen_at_ms: tx.seen.0,
        label: tx.label,
        channel_id: tx.channel.map(|channel| channel.to_string()),
    }
}

fn unspent(coin: Utxo) -> v1::Unspent {
    v1::Unspent {
        outpoint: coin.outpoint.to_string(),
        amount_sat: coin.amount.to_sat(),
        address: coin.address.to_string(),
        confirmations: coin.confirmations,
        immature: coin.immature,
        reserved_for: coin.set_aside.map(|purpose| match purpose {
            SetAside::Channel(channel) => channel.to_string(),
            SetAside::Send => "send".to_owned(),
        }),
    }
}
