//! Service `Graph`.

use api::v1;
use api::v1::graph_server::Graph;
use futures_util::stream;
use routing::graph::{ChannelView, NodeView, Policy, Snapshot};
use tonic::{Request, Response, Status};
use wire::id::{NodeId, ShortChannelId};

use super::model::graph::{
    FindRoute, PartFound, ProbeOutcome, Probed, ProbedPart, RouteFound, Target,
};
use super::parse;
use super::refusal::{Noun, Refusal};
use super::stream::Reply;
use super::{NodeApi, Rpc};

/// How many a page has unless the request says otherwise.
const PAGE: u32 = 100;
/// How many a page has at most, and a chunk of a snapshot.
const PAGE_MAX: u32 = 1_000;
/// How long a probe may take unless the request says otherwise, and at most, in seconds.
const PROBE_S: u32 = 60;
const PROBE_S_MAX: u32 = 600;

#[tonic::async_trait]
impl<N: NodeApi> Graph for Rpc<N> {
    async fn info(
        &self,
        _: Request<v1::GraphInfoRequest>,
    ) -> Result<Response<v1::GraphInfoResponse>, Status> {
        let graph = self.node.graph();
        Ok(Response::new(v1::GraphInfoResponse {
            nodes: wide(graph.node_count()),
            channels: wide(graph.channel_count()),
            capacity_sat: graph.capacity().to_sat(),
            generation: graph.generation(),
            memory_bytes: wide(graph.memory_bytes()),
        }))
    }

    async fn list_nodes(
        &self,
        request: Request<v1::ListGraphNodesRequest>,
    ) -> Result<Response<v1::ListGraphNodesResponse>, Status> {
        let ask = request.into_inner();
        let from = match ask.page_token.as_str() {
            "" => NodeId([0; 33]),
            token => parse::node_id("page_token", token)?,
        };
        let size = page_size(ask.page_size, ask.order)?;
        let graph = self.node.graph();
        let mut nodes = graph.nodes_from(from);
        let page = nodes.by_ref().take(size).map(|one| node(&one)).collect();
        let next_page_token = nodes.next().map_or_else(String::new, |next| next.id.to_string());
        Ok(Response::new(v1::ListGraphNodesResponse { nodes: page, next_page_token }))
    }

    async fn list_channels(
        &self,
        request: Request<v1::ListGraphChannelsRequest>,
    ) -> Result<Response<v1::ListGraphChannelsResponse>, Status> {
        let ask = request.into_inner();
        let from = match ask.page_token.as_str() {
            "" => ShortChannelId::from_u64(0),
            token => scid("page_token", token)?,
        };
        let size = page_size(ask.page_size, ask.order)?;
        let graph = self.node.graph();
        let mut channels = graph.channels_from(from);
        let page = channels.by_ref().take(size).map(|one| channel(&one)).collect();
        let next_page_token =
            channels.next().map_or_else(String::new, |next| next.scid.to_string());
        Ok(Response::new(v1::ListGraphChannelsResponse { channels: page, next_page_token }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetGraphNodeRequest>,
    ) -> Result<Response<v1::GraphNodeDetail>, Status> {
        let text = request.into_inner().node_id;
        let id = parse::node_id("node_id", &text)?;
        let graph = self.node.graph();
        let found = graph.node(id).ok_or(Refusal::NotFound { kind: Noun::Peer, id: text })?;
        let most = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        Ok(Response::new(v1::GraphNodeDetail {
            node: Some(node(&found)),
            channels: graph.channels_of(id).take(most).map(|one| channel(&one)).collect(),
        }))
    }

    async fn get_channel(
        &self,
        request: Request<v1::GetGraphChannelRequest>,
    ) -> Result<Response<v1::GraphChannel>, Status> {
        let text = request.into_inner().short_channel_id;
        let id = scid("short_channel_id", &text)?;
        let graph = self.node.graph();
        let found = graph.channel(id);
        let found = found.ok_or(Refusal::NotFound { kind: Noun::Channel, id: text })?;
        Ok(Response::new(channel(&found)))
    }

    type SnapshotStream = Reply<v1::GraphChunk>;

    async fn snapshot(
        &self,
        _: Request<v1::GraphSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let graph = self.node.graph();
        let chunks =
            stream::unfold((graph, Some(Place::Nodes(NodeId([0; 33])))), |state| async move {
                let (graph, place) = state;
                let (chunk, next) = chunk(&graph, place?);
                Some((Ok(chunk), (graph, next)))
            });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn find_route(
        &self,
        request: Request<v1::FindRouteRequest>,
    ) -> Result<Response<v1::FindRouteResponse>, Status> {
        let found = self.node.find_route(wish(request.into_inner())?).await?;
        Ok(Response::new(route(&found, &self.node.graph())))
    }

    async fn probe_route(
        &self,
        request: Request<v1::ProbeRouteRequest>,
    ) -> Result<Response<v1::ProbeRouteResponse>, Status> {
        let ask = request.into_inner();
        let route = ask.route.ok_or(Refusal::Missing { field: "route" })?;
        let patience_s = match ask.timeout_s {
            0 => PROBE_S,
            asked if asked > PROBE_S_MAX => {
                return Err(Refusal::Malformed { field: "timeout_s", why: "more than 600" }.into());
            }
            asked => asked,
        };
        let found = self.node.probe_route(wish(route)?, patience_s).await?;
        Ok(Response::new(probed(&found, &self.node.graph())))
    }

    async fn export_scores(
        &self,
        _: Request<v1::ExportScoresRequest>,
    ) -> Result<Response<v1::ExportScoresResponse>, Status> {
        let (file, channels) = self.node.scores().await?;
        Ok(Response::new(v1::ExportScoresResponse { file, channels }))
    }

    async fn import_scores(
        &self,
        request: Request<v1::ImportScoresRequest>,
    ) -> Result<Response<v1::ImportScoresResponse>, Status> {
        let channels = self.node.merge_scores(request.into_inner().file).await?;
        Ok(Response::new(v1::ImportScoresResponse { channels }))
    }
}

/// What is looked for.
fn wish(ask: v1::FindRouteRequest) -> Result<FindRoute, Refusal> {
    let target = match parse::node_id("destination", ask.destination.trim()) {
        Ok(node) => Target::Node(node),
        Err(_) if ask.destination.is_empty() => {
            return Err(Refusal::Missing { field: "destination" });
        }
        Err(_) => Target::Invoice(ask.destination),
    };
    let amount = ask.amount_msat.map(|raw| parse::some_msat("amount_msat", raw)).transpose()?;
    let max_fee = ask.fee_limit_msat.map(|raw| parse::msat("fee_limit_msat", raw)).transpose()?;
    let max_parts = (ask.max_parts > 0).then(|| u16::try_from(ask.max_parts).unwrap_or(u16::MAX));
    Ok(FindRoute { target, amount, max_fee, max_parts })
}

/// Where a snapshot goes on.
#[derive(Clone, Copy, Debug)]
enum Place {
    Nodes(NodeId),
    Channels(ShortChannelId),
}

fn chunk(graph: &Snapshot, place: Place) -> (v1::GraphChunk, Option<Place>) {
    let most = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let mut chunk = v1::GraphChunk::default();
    let next = match place {
        Place::Nodes(from) => {
            let mut nodes = graph.nodes_from(from);
            chunk.nodes = nodes.by_ref().take(most).map(|one| node(&one)).collect();
            let next = nodes.next().map(|next| Place::Nodes(next.id));
            next.or(Some(Place::Channels(ShortChannelId::from_u64(0))))
        }
        Place::Channels(from) => {
            let mut channels = graph.channels_from(from);
            chunk.channels = channels.by_ref().take(most).map(|one| channel(&one)).collect();
            channels.next().map(|next| Place::Channels(next.scid))
        }
    };
    (chunk, next)
}

fn page_size(asked: u32, order: i32) -> Result<usize, Refusal> {
    if v1::Order::try_from(order) == Ok(v1::Order::NewestFirst) {
        return Err(Refusal::Malformed { field: "order", why: "ids rise here" });
    }
    match asked {
        0 => Ok(usize::try_from(PAGE).unwrap_or(usize::MAX)),
        asked if asked > PAGE_MAX => {
            Err(Refusal::Malformed { field: "page_size", why: "more than 1000" })
        }
        asked => Ok(usize::try_from(asked).unwrap_or(usize::MAX)),
    }
}

fn scid(field: &'static str, text: &str) -> Result<ShortChannelId, Refusal> {
    text.parse().map_err(|_| Refusal::Malformed { field, why: "no short channel id" })
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What a node calls itself, with everything that could disturb a terminal replaced; empty if it said nothing.
pub(crate) fn alias(graph: &Snapshot, id: NodeId) -> String {
    graph.node(id).map_or_else(String::new, |node| alias_text(&node))
}

fn alias_text(node: &NodeView<'_>) -> String {
    let Some(alias) = node.alias else { return String::new() };
    let end = alias.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let text = String::from_utf8_lossy(alias.get(..end).unwrap_or_default());
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn node(view: &NodeView<'_>) -> v1::GraphNode {
    let color = view.color.map(|[red, green, blue]| format!("#{red:02x}{green:02x}{blue:02x}"));
    v1::GraphNode {
        node_id: view.id.to_string(),
        alias: alias_text(view),
        color: color.unwrap_or_default(),
        channels: u32::try_from(view.channels).unwrap_or(u32::MAX),
        announced_at_s: view.timestamp.unwrap_or(0),
    }
}

fn channel(view: &ChannelView<'_>) -> v1::GraphChannel {
    let [one, two] = view.nodes;
    let [first, second] = view.policies;
    v1::GraphChannel {
        short_channel_id: view.scid.to_string(),
        node1: one.to_string(),
        node2: two.to_string(),
        capacity_sat: view.capacity.map(wire::units::Sat::to_sat),
        policy1: first.map(policy),
        policy2: second.map(policy),
    }
}

fn policy(policy: &Policy) -> v1::GraphPolicy {
    v1::GraphPolicy {
        enabled: policy.enabled,
        fee_base_msat: policy.fee_base_msat.into(),
        fee_ppm: policy.fee_proportional_millionths,
        cltv_delta: policy.cltv_expiry_delta.to_u16().into(),
        htlc_min_msat: policy.htlc_minimum.to_u64(),
        htlc_max_msat: policy.htlc_maximum.to_u64(),
        updated_at_s: policy.timestamp,
    }
}

fn route(found: &RouteFound, graph: &Snapshot) -> v1::FindRouteResponse {
    let delivered = found.parts.iter().map(|part| part.delivered.to_u64());
    v1::FindRouteResponse {
        amount_msat: delivered.fold(0, u64::saturating_add),
        fee_msat: found.fee.to_u64(),
        probability_ppm: millionths(found.probability),
        parts: found.parts.iter().map(|one| part(one, graph)).collect(),
    }
}

fn part(part: &PartFound, graph: &Snapshot) -> v1::RoutePart {
    let sent = part.hops.first().map_or(0, |hop| hop.amount.to_u64());
    let hops = part.hops.iter().map(|hop| v1::RouteHop {
        node_id: hop.node.to_string(),
        alias: alias(graph, hop.node),
        short_channel_id: hop.channel.to_string(),
        amount_msat: hop.amount.to_u64(),
        fee_msat: hop.fee.to_u64(),
        cltv_delta: hop.cltv_delta,
        probability_ppm: millionths(hop.probability),
    });
    v1::RoutePart {
        amount_msat: part.delivered.to_u64(),
        fee_msat: sent.saturating_sub(part.delivered.to_u64()),
        cltv_delta: part.cltv_delta,
        probability_ppm: millionths(part.probability),
        hops: hops.collect(),
    }
}

fn probed(found: &Probed, graph: &Snapshot) -> v1::ProbeRouteResponse {
    let one = |probed: &ProbedPart| {
        let (outcome, hops_passed, words) = match &probed.outcome {
            Some(ProbeOutcome::Reached) => {
                let hops = u32::try_from(probed.part.hops.len()).unwrap_or(u32::MAX);
                (v1::ProbeOutcome::Reached, hops, String::new())
            }
            Some(ProbeOutcome::Failed { hops, words }) => {
                (v1::ProbeOutcome::Failed, *hops, words.clone())
            }
            Some(ProbeOutcome::Unreadable { words }) => {
                (v1::ProbeOutcome::Unreadable, 0, words.clone())
            }
            None => (v1::ProbeOutcome::Pending, 0, String::new()),
        };
        v1::ProbedPart {
            part: Some(part(&probed.part, graph)),
            outcome: outcome.into(),
            hops_passed,
            words,
            took_ms: probed.took_ms,
        }
    };
    v1::ProbeRouteResponse {
        reached_msat: found.reached.to_u64(),
        fee_msat: found.fee.to_u64(),
        parts: found.parts.iter().map(one).collect(),
        missed: found.missed.clone().unwrap_or_default(),
    }
}

/// A share of one in millionths.
fn millionths(share: f64) -> u32 {
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_arithmetic,
        reason = "between 0 and a million"
    )]
    let millionths = (share.clamp(0.0, 1.0) * 1e6).round() as u32;
    millionths
}
