//! The network, ways through it and forwards, as a script has them.

use api::v1;
use api::v1::forwards_server::Forwards;
use api::v1::graph_server::Graph;
use tonic::{Request, Response, Status, Streaming};

use super::{Asked, Fake, Messages, not_here};

/// What the node knows of the network.
#[derive(Debug, Clone, Default)]
pub(in crate::command) struct Seen {
    pub(in crate::command) info: v1::GraphInfoResponse,
    pub(in crate::command) nodes: Vec<v1::GraphNode>,
    pub(in crate::command) channels: Vec<v1::GraphChannel>,
    pub(in crate::command) route: v1::FindRouteResponse,
    pub(in crate::command) probed: v1::ProbeRouteResponse,
    pub(in crate::command) scores: Vec<u8>,
    pub(in crate::command) forwards: Vec<v1::Forward>,
}

#[tonic::async_trait]
impl Graph for Fake {
    async fn info(
        &self,
        _: Request<v1::GraphInfoRequest>,
    ) -> Result<Response<v1::GraphInfoResponse>, Status> {
        Ok(Response::new(self.script.graph.info))
    }
    async fn list_nodes(
        &self,
        request: Request<v1::ListGraphNodesRequest>,
    ) -> Result<Response<v1::ListGraphNodesResponse>, Status> {
        let ask = request.into_inner();
        let mut all = self.script.graph.nodes.iter().filter(|one| one.node_id >= ask.page_token);
        let nodes = all.by_ref().take(ask.page_size as usize).cloned().collect();
        let next_page_token = all.next().map_or_else(String::new, |one| one.node_id.clone());
        Ok(Response::new(v1::ListGraphNodesResponse { nodes, next_page_token }))
    }
    async fn list_channels(
        &self,
        request: Request<v1::ListGraphChannelsRequest>,
    ) -> Result<Response<v1::ListGraphChannelsResponse>, Status> {
        let ask = request.into_inner();
        let all = &self.script.graph.channels;
        let mut all = all.iter().filter(|one| one.short_channel_id >= ask.page_token);
        let channels = all.by_ref().take(ask.page_size as usize).cloned().collect();
        let next_page_token =
            all.next().map_or_else(String::new, |one| one.short_channel_id.clone());
        Ok(Response::new(v1::ListGraphChannelsResponse { channels, next_page_token }))
    }
    async fn get_node(
        &self,
        request: Request<v1::GetGraphNodeRequest>,
    ) -> Result<Response<v1::GraphNodeDetail>, Status> {
        let id = request.into_inner().node_id;
        let seen = &self.script.graph;
        let node = seen.nodes.iter().find(|one| one.node_id == id).cloned();
        let ends = |one: &&v1::GraphChannel| one.node1 == id || one.node2 == id;
        let channels = seen.channels.iter().filter(ends).cloned().collect();
        match node {
            Some(node) => Ok(Response::new(v1::GraphNodeDetail { node: Some(node), channels })),
            None => Err(api::reason::Reason::PeerUnknown.into()),
        }
    }
    async fn get_channel(
        &self,
        request: Request<v1::GetGraphChannelRequest>,
    ) -> Result<Response<v1::GraphChannel>, Status> {
        let id = request.into_inner().short_channel_id;
        let found = self.script.graph.channels.iter().find(|one| one.short_channel_id == id);
        found.cloned().map(Response::new).ok_or_else(|| api::reason::Reason::ChannelUnknown.into())
    }
    type SnapshotStream = Messages<v1::GraphChunk>;
    async fn snapshot(
        &self,
        _: Request<v1::GraphSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        not_here()
    }
    async fn find_route(
        &self,
        request: Request<v1::FindRouteRequest>,
    ) -> Result<Response<v1::FindRouteResponse>, Status> {
        self.note(Asked::Route(request.into_inner()));
        Ok(Response::new(self.script.graph.route.clone()))
    }
    async fn probe_route(
        &self,
        request: Request<v1::ProbeRouteRequest>,
    ) -> Result<Response<v1::ProbeRouteResponse>, Status> {
        self.note(Asked::Probe(request.into_inner()));
        Ok(Response::new(self.script.graph.probed.clone()))
    }
    async fn export_scores(
        &self,
        _: Request<v1::ExportScoresRequest>,
    ) -> Result<Response<v1::ExportScoresResponse>, Status> {
        let file = self.script.graph.scores.clone();
        Ok(Response::new(v1::ExportScoresResponse { file, channels: 3 }))
    }
    async fn import_scores(
        &self,
        request: Request<v1::ImportScoresRequest>,
    ) -> Result<Response<v1::ImportScoresResponse>, Status> {
        self.note(Asked::Scores(request.into_inner()));
        Ok(Response::new(v1::ImportScoresResponse { channels: 1_234 }))
    }
}

#[tonic::async_trait]
impl Forwards for Fake {
    async fn list(
        &self,
        request: Request<v1::ListForwardsRequest>,
    ) -> Result<Response<v1::ListForwardsResponse>, Status> {
        let ask = request.into_inner();
        let wanted = |one: &&v1::Forward| ask.states.is_empty() || ask.states.contains(&one.state);
        let forwards = self.script.graph.forwards.iter().filter(wanted).cloned().collect();
        self.note(Asked::Forwards(ask));
        Ok(Response::new(v1::ListForwardsResponse { forwards, next_page_token: String::new() }))
    }
    async fn get_policy(
        &self,
        _: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::ForwardPolicy>, Status> {
        not_here()
    }
    async fn set_policy(
        &self,
        _: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::ForwardPolicy>, Status> {
        not_here()
    }
    type InterceptStream = Messages<v1::HeldForward>;
    async fn intercept(
        &self,
        _: Request<Streaming<v1::InterceptAnswer>>,
    ) -> Result<Response<Self::InterceptStream>, Status> {
        not_here()
    }
}
