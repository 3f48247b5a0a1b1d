//! Opening a channel: everything that can be checked before the peer is asked. Spending coins.

use bitcoin::{Amount, ScriptBuf, Txid};
use tokio::sync::watch;
use wire::units::{FeeratePerKw, Msat};

use crate::channels::registry::{self, Opening};
use crate::fact::OrderKept;
use crate::layer1;
use crate::node::handle::{FUNDING_MAX, Handle};
use crate::rpc::model::Started;
use crate::rpc::model::channel::{Channel, ChannelFilter, ChannelPhase, ChannelRef, OpenChannel};
use crate::rpc::model::peer::ConnectPeer;
use crate::rpc::model::wallet::{Coins, SentCoins};
use crate::rpc::node_api::{Answer, NodeApi as _};
use crate::rpc::refusal::Refusal;
use crate::wallet::Spend;

impl Handle {
    pub(super) fn spend(
        &self,
        to: ScriptBuf,
        coins: Coins,
        feerate: Option<FeeratePerKw>,
        more_channels: u32,
    ) -> Spend {
        let open = self.0.directory.doors().iter().count();
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        Spend {
            to,
            coins,
            feerate: feerate.unwrap_or(self.0.feerates.borrow().normal),
            anchor_channels: open.saturating_add(more_channels),
        }
    }

    /// A send that was carried out before, from what the wallet knows of it.
    pub(super) async fn sent_before(&self, made: &str) -> Answer<SentCoins> {
        let txid: Txid = made.parse().map_err(|_| Refusal::NoAnswer)?;
        let found =
            Self::ask(&self.0.wallet, |reply| layer1::Ask::Transaction { txid, reply }).await?;
        let found = found.ok_or(Refusal::NoAnswer)?;
        let fee = found.fee.unwrap_or(Amount::ZERO);
        let net = found.sent.checked_sub(found.received).unwrap_or(Amount::ZERO);
        Ok(SentCoins {
            txid: Some(txid),
            amount: net.checked_sub(fee).unwrap_or(Amount::ZERO),
            fee,
            feerate: FeeratePerKw::FLOOR,
        })
    }

    /// An open that was carried out before.
    pub(super) async fn opened_before(&self, made: &str) -> Answer<Started<Channel>> {
        let index: u64 = made.parse().map_err(|_| Refusal::NoAnswer)?;
        let all = self.list_channels(ChannelFilter { node: None, ended: true }).await?;
        let found = all.into_iter().find(|channel| channel.index == index);
        let found = found.ok_or(Refusal::NoAnswer)?;
        let updates = self.watch_channel(ChannelRef::Id(found.id)).await?;
        Ok(Started { fresh: false, updates })
    }

    /// Checks everything that can be checked before the peer is asked, so that a refusal carries numbers.
    pub(super) async fn open(
        &self,
        order: OpenChannel,
        kept: Option<OrderKept>,
    ) -> Answer<watch::Receiver<Channel>> {
        let node = order.node;
        if node == self.node_id() {
            return Err(Refusal::Ourselves { what: "the peer" });
        }
        let plan = self.plan_open(order.clone()).await?;
        let min = self.0.config.channel.policy.funding_min;
        if plan.capacity < min {
            return Err(Refusal::FundingTooSmall { amount: plan.capacity, min });
        }
        if plan.capacity > FUNDING_MAX {
            return Err(Refusal::FundingTooLarge { amount: plan.capacity, max: FUNDING_MAX });
        }
        let capacity = Msat::from_sat(plan.capacity).unwrap_or(Msat::MAX);
        if order.push > capacity {
            return Err(Refusal::PushTooLarge { push: order.push, max: capacity });
        }
        let connected = self.list_peers().await?;
        if !connected.iter().any(|peer| peer.node == node && peer.connected) {
            let connect = ConnectPeer { node, address: order.address.clone(), timeout_ms: 15_000 };
            self.connect_peer(connect).await?;
        }
        let shutdown = self.destination().await?;
        let opening = Opening {
            node,
            capacity: plan.capacity,
            push: order.push,
            funding_feerate: order.feerate.unwrap_or(self.0.feerates.borrow().normal),
            to_self_delay: order.to_self_delay,
            announce: order.announce,
            kind: order.kind,
            shutdown,
            kept,
        };
        let opening = Box::new(opening);
        Self::ask(&self.0.registry, |reply| registry::Order::Open { opening, reply }).await?
    }
}

pub(super) const fn is_opened(phase: &ChannelPhase) -> bool {
    matches!(phase, ChannelPhase::Open) || is_over(phase)
}

pub(super) const fn is_over(phase: &ChannelPhase) -> bool {
    matches!(phase, ChannelPhase::Closed | ChannelPhase::Failed)
}
