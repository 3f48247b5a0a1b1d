//! Service `Channels`.

use api::v1;
use api::v1::channels_server::Channels;
use api::v1::open_channel_request::Amount as Asked;
use channel::Kind;
use futures_util::StreamExt as _;
use tonic::{Request, Response, Status};

use super::model::channel::{
    Channel, ChannelFilter, ChannelPhase, CloseChannel, CloseHow, OpenChannel,
};
use super::model::page::Listing;
use super::model::wallet::Coins;
use super::parse::{self, Pager, Paging};
use super::refusal::Refusal;
use super::stream::{Reply, reply, single, until_final};
use super::{NodeApi, Rpc};

mod show;

pub(super) use show::channel;
use show::{closed, open_planned, open_progress, plan_of_close, progress_of_close, state_of};

#[tonic::async_trait]
impl<N: NodeApi> Channels for Rpc<N> {
    type OpenStream = Reply<v1::OpenProgress>;

    async fn open(
        &self,
        request: Request<v1::OpenChannelRequest>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let ask = request.into_inner();
        let dry_run = ask.dry_run;
        let order = open_order(ask)?;
        if dry_run {
            let plan = self.node.plan_open(order).await?;
            return Ok(Response::new(single(open_planned(&plan))));
        }
        let started = self.node.open_channel(order).await?;
        let updates = until_final(started.updates, is_opened, self.world.stop.clone());
        let node = self.node.clone();
        let progress = updates.then(move |update| {
            let node = node.clone();
            async move {
                let channel = update?;
                if channel.phase == ChannelPhase::Failed {
                    let why = channel.why.clone().unwrap_or_default();
                    Err(Refusal::OpenFailed { node: channel.node, why })?;
                }
                let spendable = node.wallet_balance().await?.spendable;
                Ok(open_progress(channel, spendable))
            }
        });
        Ok(Response::new(Box::pin(progress)))
    }

    async fn list(
        &self,
        request: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Channels/List", &paging, &ask)?;
        let node = peer(ask.node_id)?;
        let mut states = Vec::new();
        for state in ask.states {
            let known = v1::ChannelState::try_from(state);
            let why = "unknown state";
            states.push(known.map_err(|_| Refusal::Malformed { field: "states", why })?);
        }
        let ended = states.contains(&v1::ChannelState::Closed);
        let rows = self.node.list_channels(ChannelFilter { node, ended }).await?;
        let rows: Vec<(u64, Channel)> = rows
            .into_iter()
            .filter(|channel| states.is_empty() || states.contains(&state_of(channel)))
            .map(|channel| (channel.index, channel))
            .collect();
        let listing = Listing::cut(rows.into_iter(), pager.page);
        Ok(Response::new(v1::ListChannelsResponse {
            channels: listing.entries.into_iter().map(channel).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        let which = parse::channel(&request.into_inner().channel_id)?;
        Ok(Response::new(channel(self.node.channel(which).await?)))
    }

    type CloseStream = Reply<v1::CloseProgress>;

    async fn close(
        &self,
        request: Request<v1::CloseChannelRequest>,
    ) -> Result<Response<Self::CloseStream>, Status> {
        let ask = request.into_inner();
        let dry_run = ask.dry_run;
        let order = self.close_order(ask)?;
        if dry_run {
            let found = self.node.channel(order.channel).await?;
            let plan = self.node.plan_close(order).await?;
            return Ok(Response::new(single(plan_of_close(&found, plan))));
        }
        let started = self.node.close_channel(order).await?;
        let updates = until_final(started.updates, is_ended, self.world.stop.clone());
        Ok(Response::new(reply(updates, |channel| progress_of_close(&channel))))
    }

    async fn lift_quarantine(
        &self,
        request: Request<v1::LiftQuarantineRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        let ask = request.into_inner();
        if !ask.i_may_lose_everything_in_it {
            let field = "i_may_lose_everything_in_it";
            return Err(Refusal::Missing { field }.into());
        }
        let lifted = self.node.lift_quarantine(parse::channel(&ask.channel_id)?).await?;
        Ok(Response::new(channel(lifted)))
    }

    async fn list_closed(
        &self,
        request: Request<v1::ListClosedRequest>,
    ) -> Result<Response<v1::ListClosedResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Channels/ListClosed", &paging, &ask)?;
        let filter = ChannelFilter { node: peer(ask.node_id)?, ended: true };
        let mut ended = self.node.list_channels(filter).await?;
        ended.retain(is_ended);
        let at = |channel: &Channel| channel.closing.as_ref().and_then(|closing| closing.closed);
        ended.sort_by_key(|channel| (at(channel), channel.index));
        // Closed channels only ever come at the end, so a position stays right.
        let rows: Vec<(u64, Channel)> = (0_u64..).zip(ended).collect();
        let listing = Listing::cut(rows.into_iter(), pager.page);
        Ok(Response::new(v1::ListClosedResponse {
            channels: listing.entries.into_iter().map(closed).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }
}

impl<N: NodeApi> Rpc<N> {
    fn close_order(&self, mut ask: v1::CloseChannelRequest) -> Result<CloseChannel, Refusal> {
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Channels/Close", key, &ask)?;
        let to = ask.address.map(|text| parse::address(&text, self.world.network)).transpose()?;
        let feerate = parse::feerate(ask.feerate_sat_per_vb)?;
        let how = match (ask.force, to) {
            (false, to) => {
                CloseHow::Cooperative { to: to.map(|address| address.script_pubkey()), feerate }
            }
            (true, None) if feerate.is_none() => CloseHow::Force,
            (true, Some(_)) => {
                let why = "a forced close pays our own wallet";
                return Err(Refusal::Malformed { field: "address", why });
            }
            (true, None) => {
                let why = "the fee of a forced close is fixed in the commitment already";
                return Err(Refusal::Malformed { field: "feerate_sat_per_vb", why });
            }
        };
        Ok(CloseChannel { key, channel: parse::channel(&ask.channel_id)?, how })
    }
}

fn open_order(mut ask: v1::OpenChannelRequest) -> Result<OpenChannel, Refusal> {
    let key = core::mem::take(&mut ask.idempotency_key);
    let key = parse::order_key("Channels/Open", key, &ask)?;
    let coins = match ask.amount {
        Some(Asked::AmountSat(sat)) => Coins::Exactly(parse::some_sat("amount_sat", sat)?),
        Some(Asked::All(true)) => Coins::All,
        Some(Asked::All(false)) | None => return Err(Refusal::Missing { field: "amount" }),
    };
    let delay = ask.to_self_delay_blocks.map(|blocks| {
        let field = "to_self_delay_blocks";
        let blocks = parse::within(field, u64::from(blocks), 1, 2_016, "blocks")?;
        u16::try_from(blocks).map_err(|_| Refusal::Malformed { field, why: "too large" })
    });
    if ask.announce && ask.scid_alias {
        let why = "a channel that only its aliases name cannot be announced";
        return Err(Refusal::Malformed { field: "scid_alias", why });
    }
    Ok(OpenChannel {
        key,
        node: parse::node_id("node_id", &ask.node_id)?,
        address: parse::host(ask.address)?,
        coins,
        push: parse::msat("push_msat", ask.push_msat.unwrap_or(0))?,
        feerate: parse::feerate(ask.feerate_sat_per_vb)?,
        to_self_delay: delay.transpose()?,
        announce: ask.announce,
        kind: Kind { scid_alias: ask.scid_alias, zero_conf: ask.zero_conf },
    })
}

fn peer(node_id: Option<String>) -> Result<Option<wire::id::NodeId>, Refusal> {
    node_id.map(|text| parse::node_id("node_id", &text)).transpose()
}

/// Whether the opening is over, well or not.
const fn is_opened(channel: &Channel) -> bool {
    match channel.phase {
        ChannelPhase::Negotiating
        | ChannelPhase::Negotiated
        | ChannelPhase::AwaitingDepth
        | ChannelPhase::AwaitingPeer => false,
        ChannelPhase::Open
        | ChannelPhase::ShuttingDown
        | ChannelPhase::Closing
        | ChannelPhase::Closed
        | ChannelPhase::Failed => true,
    }
}

/// Whether nothing is left to do.
const fn is_ended(channel: &Channel) -> bool {
    matches!(channel.phase, ChannelPhase::Closed | ChannelPhase::Failed)
}
