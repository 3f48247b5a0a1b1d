//! Service `Node`.

use api::v1;
use api::v1::node_server::Node;
use routing::graph::Snapshot;
use tonic::{Request, Response, Status};
use wire::feature::{Feature, Features};

use super::graph::alias;
use super::model::node::{Health, HealthPart};
use super::model::page::Listing;
use super::model::peer::{ConnectPeer, DisconnectPeer, Peer, PeerPolicyChange};
use super::parse::{self, Pager, Paging};
use super::refusal::Refusal;
use super::{NodeApi, Rpc};
use crate::policy;

/// How long a call waits for a connection when it does not say, in milliseconds.
const CONNECT_MS: u32 = 15_000;

/// What this API can do beyond the first version.
const API_FEATURES: &[&str] = &[];

/// How many feature bits of a peer are shown; it may have sent half a million.
const FEATURES_SHOWN: usize = 512;

#[tonic::async_trait]
impl<N: NodeApi> Node for Rpc<N> {
    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        let info = self.node.info().await?;
        Ok(Response::new(v1::InfoResponse {
            node_id: info.node.to_string(),
            alias: info.alias,
            version: info.version.to_owned(),
            network: self.world.network.name().to_owned(),
            block_height: info.tip.height.0,
            block_hash: info.tip.hash.to_string(),
            synced_to_chain: info.synced,
            addresses: info.addresses,
            peers_connected: info.peers,
            channels_open: info.channels_open,
            channels_opening: info.channels_opening,
            channels_quarantined: info.channels_quarantined,
            channels_closing: info.channels_closing,
            features: features(&info.features),
            api_features: API_FEATURES.iter().map(|name| (*name).to_owned()).collect(),
            started_at_ms: info.started.0,
            forwarded_count: info.forwarded.settled,
            forwarded_msat: info.forwarded.forwarded_msat,
            forward_fees_msat: info.forwarded.fees_msat,
            event_seq: info.last_event,
            block_made_at_ms: u64::from(info.tip.header_time).saturating_mul(1_000),
        }))
    }

    async fn health(
        &self,
        _: Request<v1::HealthRequest>,
    ) -> Result<Response<v1::HealthResponse>, Status> {
        let parts = self.node.health().await?;
        let worst = parts.iter().map(|part| part.state).max().unwrap_or(Health::Ok);
        let parts = parts.into_iter().map(health_part).collect();
        Ok(Response::new(v1::HealthResponse { state: health_state(worst), parts }))
    }

    async fn stop(
        &self,
        _: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.node.stop().await?;
        Ok(Response::new(v1::StopResponse {}))
    }

    async fn connect_peer(
        &self,
        request: Request<v1::ConnectPeerRequest>,
    ) -> Result<Response<v1::ConnectPeerResponse>, Status> {
        let ask = request.into_inner();
        let order = ConnectPeer {
            node: parse::node_id("node_id", &ask.node_id)?,
            address: parse::host(ask.address)?,
            timeout_ms: ask.timeout_ms.unwrap_or(CONNECT_MS),
        };
        let connected = self.node.connect_peer(order).await?;
        Ok(Response::new(v1::ConnectPeerResponse {
            peer: Some(peer(connected.peer, &self.node.graph())),
            already_connected: connected.before,
        }))
    }

    async fn disconnect_peer(
        &self,
        request: Request<v1::DisconnectPeerRequest>,
    ) -> Result<Response<v1::DisconnectPeerResponse>, Status> {
        let ask = request.into_inner();
        let node = parse::node_id("node_id", &ask.node_id)?;
        self.node.disconnect_peer(DisconnectPeer { node, force: ask.force }).await?;
        Ok(Response::new(v1::DisconnectPeerResponse {}))
    }

    async fn set_peer_policy(
        &self,
        request: Request<v1::SetPeerPolicyRequest>,
    ) -> Result<Response<v1::SetPeerPolicyResponse>, Status> {
        let ask = request.into_inner();
        let node = parse::node_id("node_id", &ask.node_id)?;
        let why = "not automatic, when-money-at-risk or ask";
        let wrong = Refusal::Malformed { field: "force_close", why };
        let wish = ask.force_close.map(|word| policy::of_word(&word).ok_or(wrong)).transpose()?;
        // Whoever speaks of the other alone leaves this one as it is.
        let force_close = (wish.is_some() || ask.trust_funding.is_none()).then_some(wish);
        let change = PeerPolicyChange { force_close, trust_funding: ask.trust_funding };
        let now = self.node.set_peer_policy(node, change).await?;
        Ok(Response::new(v1::SetPeerPolicyResponse {
            force_close: policy::word(now.force_close).to_owned(),
            own: now.own,
            trust_funding: now.trust_funding,
        }))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let mut ask = request.into_inner();
        let paging = Paging {
            size: core::mem::take(&mut ask.page_size),
            token: core::mem::take(&mut ask.page_token),
            order: ask.order,
        };
        let pager = Pager::new("Node/ListPeers", &paging, &ask)?;
        let rows = self.node.list_peers().await?.into_iter();
        let rows: Vec<(u64, Peer)> = rows
            .filter(|peer| peer.connected || !ask.connected_only)
            .map(|peer| (peer.index, peer))
            .collect();
        let listing = Listing::cut(rows.into_iter(), pager.page);
        let graph = self.node.graph();
        Ok(Response::new(v1::ListPeersResponse {
            peers: listing.entries.into_iter().map(|one| peer(one, &graph)).collect(),
            next_page_token: pager.token(listing.next),
        }))
    }
}

/// A peer for the client.
pub(super) fn peer(mut peer: Peer, graph: &Snapshot) -> v1::Peer {
    if peer.alias.is_empty() {
        peer.alias = alias(graph, peer.node);
    }
    v1::Peer {
        node_id: peer.node.to_string(),
        alias: peer.alias,
        address: peer.address,
        connected: peer.connected,
        inbound: peer.inbound,
        features: peer.features.as_ref().map(features).unwrap_or_default(),
        channels: peer.channels,
        ping_ms: peer.ping_ms,
        connected_at_ms: peer.connected_at.map(|at| at.0),
        last_error: peer.last_error,
        force_close: peer.force_close.map(|own| policy::word(own).to_owned()),
        trust_funding: peer.trust_funding,
    }
}

/// Feature bits with their names.
pub(super) fn features(features: &Features) -> Vec<v1::Feature> {
    let bits = features.bits().take(FEATURES_SHOWN);
    bits.map(|bit| v1::Feature {
        bit,
        name: Feature::of_bit(bit).map_or("unknown", Feature::name).to_owned(),
    })
    .collect()
}

fn health_part(part: HealthPart) -> v1::HealthPart {
    v1::HealthPart {
        name: part.name.to_owned(),
        state: health_state(part.state),
        detail: part.detail,
        remedy: part.remedy.to_owned(),
    }
}

fn health_state(state: Health) -> i32 {
    match state {
        Health::Ok => v1::HealthState::Ok,
        Health::Degraded => v1::HealthState::Degraded,
        Health::Failed => v1::HealthState::Failed,
    }
    .into()
}
