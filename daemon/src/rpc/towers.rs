//! Service `Towers`.

use api::v1;
use api::v1::towers_server::Towers;
use tonic::{Request, Response, Status};
use watchtower::message::KIT_REPLICA;

use super::parse;
use super::{NodeApi, Rpc};
use crate::tower::{Coverage, Session, Tower};

#[tonic::async_trait]
impl<N: NodeApi> Towers for Rpc<N> {
    async fn add(
        &self,
        request: Request<v1::AddTowerRequest>,
    ) -> Result<Response<v1::AddTowerResponse>, Status> {
        let ask = request.into_inner();
        let tower = parse::node_id("tower_id", &ask.tower_id)?;
        let address = parse::host_and_port(&ask.address)?;
        self.node.add_tower(tower, address, ask.trusted).await?;
        Ok(Response::new(v1::AddTowerResponse {}))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveTowerRequest>,
    ) -> Result<Response<v1::RemoveTowerResponse>, Status> {
        let tower = parse::node_id("tower_id", &request.into_inner().tower_id)?;
        let removed = self.node.remove_tower(tower).await?;
        Ok(Response::new(v1::RemoveTowerResponse { removed }))
    }

    async fn overview(
        &self,
        _: Request<v1::TowersOverviewRequest>,
    ) -> Result<Response<v1::TowersOverviewResponse>, Status> {
        let towers = self.node.list_towers().await?.into_iter().map(show).collect();
        Ok(Response::new(v1::TowersOverviewResponse { towers }))
    }

    async fn coverage(
        &self,
        _: Request<v1::TowerCoverageRequest>,
    ) -> Result<Response<v1::TowerCoverageResponse>, Status> {
        let (channels, copies) = self.node.tower_coverage().await?;
        let at_risk_sat =
            channels.iter().fold(0_u64, |sum, one| sum.saturating_add(one.at_risk_sat));
        Ok(Response::new(v1::TowerCoverageResponse {
            channels: channels.into_iter().map(cover).collect(),
            at_risk_sat,
            copies: u32::try_from(copies).unwrap_or(u32::MAX),
        }))
    }
}

fn show(tower: Tower) -> v1::HiredTower {
    v1::HiredTower {
        tower_id: tower.tower.to_string(),
        address: tower.address,
        trusted: tower.kit == KIT_REPLICA,
        since_ms: tower.since_ms,
        fault: tower.fault,
        sessions: tower.sessions.into_iter().map(session).collect(),
    }
}

fn session(session: Session) -> v1::HiredTowerSession {
    v1::HiredTowerSession {
        channel_id: session.channel.map(|id| id.to_string()).unwrap_or_default(),
        standing: session.standing.word().to_owned(),
        states: session.rows,
        of_states: session.of,
        records: session.records,
        tower_height: session.tower_height,
        expiry_height: session.expiry,
        heard_at_ms: (session.heard_ms > 0).then_some(session.heard_ms),
    }
}

fn cover(coverage: Coverage) -> v1::ChannelCoverage {
    let share = |(tower, states): (wire::id::NodeId, u64)| v1::TowerShare {
        tower_id: tower.to_string(),
        states,
    };
    v1::ChannelCoverage {
        channel_id: coverage.channel.to_string(),
        node_id: coverage.node.to_string(),
        states: coverage.states,
        uncovered_states: coverage.uncovered_states,
        missing_copies: coverage.missing_copies,
        at_risk_sat: coverage.at_risk_sat,
        too_small_sat: coverage.too_small_sat,
        towers: coverage.towers.into_iter().map(share).collect(),
    }
}
