//! Service `Backup`.

use api::v1;
use api::v1::backup_server::Backup;
use tonic::{Request, Response, Status};

use super::model::backup::{BackupChannel, BackupSource, RestoreBackup};
use super::parse;
use super::refusal::Refusal;
use super::{NodeApi, Rpc};

#[tonic::async_trait]
impl<N: NodeApi> Backup for Rpc<N> {
    async fn show(
        &self,
        _: Request<v1::ShowBackupRequest>,
    ) -> Result<Response<v1::ShowBackupResponse>, Status> {
        let status = self.node.backup_status().await?;
        let second = status.second.map(|path| path.display().to_string());
        let holder = |(node, counter): (wire::id::NodeId, u64)| v1::BackupHolder {
            node_id: node.to_string(),
            counter,
        };
        Ok(Response::new(v1::ShowBackupResponse {
            counter: status.counter,
            made_at_ms: (status.made_ms > 0).then_some(status.made_ms),
            channels: status.channels,
            path: status.path.display().to_string(),
            problem: status.problem.unwrap_or_default(),
            second_path: second.unwrap_or_default(),
            second_problem: status.second_problem.unwrap_or_default(),
            holders: status.holders.into_iter().map(holder).collect(),
            kept_for_peers: status.kept_for,
            newer_counter: status.ahead.map(|ahead| ahead.counter),
        }))
    }

    async fn export(
        &self,
        _: Request<v1::ExportBackupRequest>,
    ) -> Result<Response<v1::ExportBackupResponse>, Status> {
        let file = self.node.export_backup().await?;
        Ok(Response::new(v1::ExportBackupResponse { file }))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<v1::VerifyBackupResponse>, Status> {
        let file = request.into_inner().file;
        let source = if file.is_empty() { BackupSource::Peers } else { BackupSource::File(file) };
        let content = self.node.verify_backup(source).await?;
        Ok(Response::new(v1::VerifyBackupResponse {
            counter: content.counter,
            made_at_ms: content.made_ms,
            channels_then: content.all,
            channels: content.channels.into_iter().map(channel).collect(),
            current: content.missing.is_empty(),
            missing_channel_ids: content.missing.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<v1::RestoreBackupResponse>, Status> {
        let mut ask = request.into_inner();
        let key = core::mem::take(&mut ask.idempotency_key);
        let key = parse::order_key("Backup/Restore", key, &ask)?;
        let source = match (ask.file.is_empty(), ask.from_peers) {
            (false, false) => BackupSource::File(ask.file),
            (true, true) => BackupSource::Peers,
            (true, false) => return Err(Refusal::Missing { field: "file" }.into()),
            (false, true) => {
                let why = "give a file or from_peers, not both";
                return Err(Refusal::Malformed { field: "from_peers", why }.into());
            }
        };
        let done = self.node.restore_backup(RestoreBackup { key, source }).await?;
        Ok(Response::new(v1::RestoreBackupResponse {
            counter: done.counter,
            restored: done.restored.into_iter().map(channel).collect(),
            known: done.known,
        }))
    }
}

fn channel(channel: BackupChannel) -> v1::BackupChannel {
    v1::BackupChannel {
        channel_id: channel.id.to_string(),
        node_id: channel.node.to_string(),
        address: channel.address,
        funding_outpoint: channel.funding.to_string(),
        capacity_sat: channel.capacity.to_sat(),
        known: channel.known,
    }
}
