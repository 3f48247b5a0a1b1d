//! Channels of which only a backup is left are made again: each asks its peer to close.
//!
//! Not here: what they do then (`channel`), what a backup keeps (`crate::backup`).

use std::collections::BTreeSet;

use channel::signer::{Memory, Signer as _};
use channel::{Channel, Env};
use wire::id::ChannelId;

use super::{Making, Registry};
use crate::backup::{Backup, FromChannel};
use crate::channels::view::Meta;
use crate::fact::ChannelIndex;
use crate::tasks::Fatal;

impl Registry {
    /// Runs every channel of the backup that is not known, and says which.
    ///
    /// A known one stays as it is: what the journal says of it is more than a backup can.
    pub(super) async fn restore_lost(&mut self, backup: &Backup) -> Result<Vec<ChannelId>, Fatal> {
        self.mark()?;
        self.next = self.next.max(backup.free_index());
        let doors = self.common.directory.doors();
        let mut known: BTreeSet<_> = doors.iter().map(|door| door.id).collect();
        known.extend(self.over.values().map(|view| view.id));
        let mut restored = Vec::new();
        for entry in &backup.channels {
            let (index, id) = (ChannelIndex(entry.index), entry.channel_id());
            if known.contains(&id) {
                continue;
            }
            if doors.get(index).is_some() || self.over.contains_key(&index) {
                // Its keys would be another one's: that is another store's backup.
                tracing::error!(index = index.0, %id, "ALARM: not restored: its index is in use");
                continue;
            }
            // Nothing may ever be signed for it but a sweep.
            let memory = Memory { revealed: u64::MAX, signed_theirs: u64::MAX, broadcast: None };
            let signer = self.signer(index, memory)?;
            let our_keys = *signer.basepoints();
            let Some(home) = self.spare_script().await else { return Ok(restored) };
            self.spare = None;
            let restored_from = entry.restored(our_keys, home);
            let born = entry.born();
            let mut meta = Meta::of(&born);
            meta.temporary_id = id;
            meta.capacity = entry.capacity;
            let making = Making { index, id, meta, born: Some(born), kept: None, signer };
            let begin = |env: &Env<'_>| Channel::lost(restored_from, env);
            match self.run(making, begin) {
                Ok(()) => {
                    let told = FromChannel::Open(Box::new(entry.clone()));
                    if self.common.backup.send(told).is_err() {
                        tracing::debug!(%id, "the backup has ended");
                    }
                    restored.push(id);
                }
                Err(error) => tracing::error!(%error, %id, "ALARM: not restored"),
            }
        }
        Ok(restored)
    }
}
