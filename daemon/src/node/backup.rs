//! What users ask about the backup: a few words to its task and to the registry.

use std::collections::BTreeSet;

use wire::id::ChannelId;

use super::Handle;
use super::handle::Turn;
use crate::backup::{self, Backup, Entry, Status};
use crate::channels::registry;
use crate::fact::OrderKept;
use crate::guard;
use crate::peers;
use crate::rpc::model::backup::{
    BackupChannel, BackupContent, BackupRestored, BackupSource, RestoreBackup,
};
use crate::rpc::node_api::Answer;
use crate::rpc::refusal::Refusal;

impl Handle {
    pub(super) async fn status_of_backup(&self) -> Answer<Status> {
        Self::ask(&self.0.backup, |reply| backup::Ask::Show { reply }).await
    }

    pub(super) async fn newest_backup(&self) -> Answer<Vec<u8>> {
        let exported = Self::ask(&self.0.backup, |reply| backup::Ask::Export { reply }).await?;
        exported.map_err(|fault| Refusal::BadBackup { fault })
    }

    async fn open_backup(&self, source: BackupSource) -> Answer<Backup> {
        let file = match source {
            BackupSource::File(bytes) => Some(bytes),
            BackupSource::Peers => None,
        };
        let opened = Self::ask(&self.0.backup, |reply| backup::Ask::Open { file, reply }).await?;
        opened.map_err(|fault| Refusal::BadBackup { fault })
    }

    pub(super) async fn content_of_backup(&self, source: BackupSource) -> Answer<BackupContent> {
        let backup = self.open_backup(source).await?;
        let named: BTreeSet<_> = backup.channels.iter().map(Entry::channel_id).collect();
        let running: BTreeSet<_> = (self.running().await.iter())
            .filter(|channel| channel.funding.is_some())
            .map(|channel| channel.id)
            .collect();
        let mut known = running.clone();
        known.extend(self.ended().await?.iter().map(|channel| channel.id));
        Ok(BackupContent {
            counter: backup.counter,
            made_ms: backup.made_ms,
            all: backup.all,
            channels: backup.channels.iter().map(|entry| shown(entry, &known)).collect(),
            missing: running.difference(&named).copied().collect(),
        })
    }

    /// Restoring is idempotent by itself: what is known is left alone.
    pub(super) async fn take_backup(&self, order: RestoreBackup) -> Answer<BackupRestored> {
        let RestoreBackup { key, source } = order;
        let kept = match self.turn(key).await? {
            Turn::Go(kept) => kept,
            Turn::Done(_) => None,
        };
        let outcome = self.restore_channels(source, kept.clone()).await;
        self.settle(kept, &outcome, |done| done.counter.to_string()).await;
        outcome
    }

    async fn restore_channels(
        &self,
        source: BackupSource,
        kept: Option<OrderKept>,
    ) -> Answer<BackupRestored> {
        let backup = self.open_backup(source).await?;
        // What is newer than the journal knows proves that the channels it has are older copies, too. That
        // is durable before the journal knows the number.
        if backup.counter > self.status_of_backup().await?.counter {
            guard::doubt_all(&self.0.directory).await;
        }
        let kept =
            kept.map(|kept| OrderKept { made: backup.counter.to_string().as_str().into(), ..kept });
        let taken = Box::new(backup.clone());
        Self::ask(&self.0.backup, |reply| backup::Ask::Take { backup: taken, kept, reply }).await?;
        let order = Box::new(backup.clone());
        let made =
            Self::ask(&self.0.registry, |reply| registry::Order::Restore { backup: order, reply })
                .await?;
        let made: BTreeSet<_> = made.into_iter().collect();
        let (restored, known): (Vec<_>, Vec<_>) =
            backup.channels.iter().partition(|entry| made.contains(&entry.channel_id()));
        for entry in &restored {
            self.call(entry).await?;
        }
        let none = BTreeSet::new();
        Ok(BackupRestored {
            counter: backup.counter,
            restored: restored.into_iter().map(|entry| shown(entry, &none)).collect(),
            known: u32::try_from(known.len()).unwrap_or(u32::MAX),
        })
    }

    /// Calls a peer where it was reached last, from now on again and again, restarts or not: the restored channel
    /// needs the peer to close it.
    async fn call(&self, entry: &Entry) -> Answer<()> {
        if entry.address.0.is_empty() {
            return Ok(());
        }
        let (node, address) = (entry.node, entry.address.0.clone());
        Self::ask(&self.0.peers, |reply| peers::Ask::Keep { node, address, reply }).await?
    }
}

fn shown(entry: &Entry, known: &BTreeSet<ChannelId>) -> BackupChannel {
    let id = entry.channel_id();
    BackupChannel {
        id,
        node: entry.node,
        address: entry.address.0.clone(),
        funding: entry.funding,
        capacity: entry.capacity,
        known: known.contains(&id),
    }
}
