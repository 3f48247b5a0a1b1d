//! Service `Towers`.

use api::v1;
use api::v1::towers_server::Towers;
use tonic::{Request, Response, Status};
use watchtower::message::KIT_REPLICA;

use super::parse;
use super::stream::{Reply, reply, until_final};
use super::{NodeApi, Rpc};
use crate::rpc::refusal::Refusal;
use crate::tower::{Audit, Coverage, Drill, DrillTower, Session, Tower};

/// Records that an audit draws of each session if nobody says: one that lost one in a hundred is found by 19
/// of 20.
const DRAWS: u32 = 300;

/// The most that it draws.
const DRAWS_MAX: u32 = 1_024;

/// The most that a drill may hold, in sat.
const DRILL_MAX_SAT: u64 = 100_000_000;

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

    type DrillStream = Reply<v1::TowerDrill>;

    async fn drill(
        &self,
        request: Request<v1::DrillTowerRequest>,
    ) -> Result<Response<Self::DrillStream>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Towers/Drill", key, &ask)?;
        if let Some(given) = ask.amount_sat.filter(|sat| *sat > DRILL_MAX_SAT) {
            let (field, min, max) = ("amount_sat", 0, DRILL_MAX_SAT);
            return Err(Refusal::OutOfRange { field, given, min, max, unit: "sat" }.into());
        }
        let order = DrillTower {
            key,
            tower: parse::node_id("tower_id", &ask.tower_id)?,
            amount: ask.amount_sat.map(bitcoin::Amount::from_sat),
        };
        let updates = self.node.drill_tower(order).await?;
        let is_final = |drill: &Drill| drill.verdict.is_some();
        let updates = until_final(updates, is_final, self.world.stop.clone());
        Ok(Response::new(reply(updates, drill)))
    }

    async fn audit(
        &self,
        request: Request<v1::AuditTowerRequest>,
    ) -> Result<Response<v1::AuditTowerResponse>, Status> {
        let ask = request.into_inner();
        let tower = parse::node_id("tower_id", &ask.tower_id)?;
        let draws = if ask.draws == 0 { DRAWS } else { ask.draws };
        if draws > DRAWS_MAX {
            let (field, given) = ("draws", u64::from(draws));
            let (min, max) = (1, u64::from(DRAWS_MAX));
            return Err(Refusal::OutOfRange { field, given, min, max, unit: "records" }.into());
        }
        let draws = usize::try_from(draws).unwrap_or(usize::MAX);
        let audits = self.node.audit_tower(tower, draws).await?;
        let audits = audits.into_iter().map(audit).collect();
        Ok(Response::new(v1::AuditTowerResponse { audits }))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveTowerRequest>,
    ) -> Result<Response<v1::ProveTowerResponse>, Status> {
        let ask = request.into_inner();
        let tower = parse::node_id("tower_id", &ask.tower_id)?;
        let channel = parse::channel(&ask.channel_id)?;
        Ok(Response::new(match self.node.prove_tower(tower, channel).await? {
            Ok(file) => v1::ProveTowerResponse { file, why: String::new() },
            Err(why) => v1::ProveTowerResponse { file: Vec::new(), why: why.to_string() },
        }))
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
        found_sessions: tower.found_sessions,
        drills: tower.drills.into_iter().map(drill).collect(),
        audits: tower.audits.into_iter().map(audit).collect(),
        checkpoint: tower.checkpoint.map(|kept| v1::TowerCheckpoint {
            version: kept.version,
            at_ms: kept.at_ms,
            current: kept.current,
        }),
    }
}

fn audit(audit: Audit) -> v1::TowerAudit {
    v1::TowerAudit {
        channel_id: audit.channel.map(|id| id.to_string()).unwrap_or_default(),
        drawn: audit.drawn,
        of: audit.of,
        result: audit.end.word().to_owned(),
        why: audit.why,
        at_ms: audit.at_ms,
    }
}

fn drill(drill: Drill) -> v1::TowerDrill {
    v1::TowerDrill {
        drill_id: format!("{:016x}", drill.id),
        tower_id: drill.tower.to_string(),
        amount_sat: drill.amount_sat,
        since_ms: drill.since_ms,
        stage: drill.stage.word().to_owned(),
        blocks_left: drill.stage.blocks(),
        funding_outpoint: drill.funding.map(|outpoint| outpoint.to_string()),
        breach_txid: drill.breach.map(|txid| txid.to_string()),
        breach_height: drill.breach_height,
        justice_txid: drill.justice.map(|txid| txid.to_string()),
        blocks: drill.blocks,
        justice_fee_sat: drill.justice_fee_sat,
        verdict: drill.verdict.map(|verdict| verdict.word().to_owned()),
        cost_sat: drill.cost_sat,
        proof_path: drill.proof.map(|path| path.display().to_string()),
        trouble: drill.trouble,
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
