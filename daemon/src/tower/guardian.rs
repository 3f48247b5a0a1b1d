//! Checkpoints, as the task of all towers sees them: when one is made, and what one that comes back tells.
//!
//! Not here: their bytes (`checkpoint`), the way to a tower and back (`keep`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use secp256k1::PublicKey;
use tokio::sync::oneshot;
use wire::id::NodeId;

use super::book::is_drill;
use super::checkpoint::{CONTENT_MAX, Checkpoint, Known, Position, Whereabouts};
use super::keep::{self, Found, Keep, Made};
use super::shown::CheckpointShown;
use super::task::Towers;
use crate::backup;
use crate::channels::directory::Doors;
use crate::clock::now_ms;
use crate::fact::{ChannelIndex, Fact, TowerSession};
use crate::guard;
use crate::seed::Secret32;
use crate::state::State;

/// How long a start waits for towers that may know better than the journal.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kit of a session that was found again: nothing more is told to it.
pub(super) const FOUND: u8 = 0;

/// Whether any tower keeps a checkpoint that proves that the journal is an older copy; asked before
/// anything runs, and for a moment only. Who does not answer in time is asked again later.
pub async fn ask_before_start(state: &State, keys: &Secret32, chain: [u8; 32]) -> Option<String> {
    let positions: BTreeMap<u64, Position> = (state.channels.iter())
        .filter_map(|(index, kept)| Some((index.0, Position::of(kept.channel.as_ref()?)?)))
        .collect();
    if positions.is_empty() {
        return None;
    }
    let asked = state.towers.towers.values().map(|tower| async {
        let key = PublicKey::from_slice(&tower.tower.0).ok()?;
        let found = keep::fetch(tower, &key, keys, chain);
        let (version, checkpoint) = tokio::time::timeout(PATIENCE, found).await.ok()?.ok()??;
        let older = checkpoint.doubt(version, state.towers.checkpoint, &positions)?;
        Some(format!("tower {} keeps a newer checkpoint: {older}", tower.tower))
    });
    join_all(asked).await.into_iter().flatten().next()
}

impl Towers {
    /// How far all channels are.
    fn positions(doors: &Doors) -> BTreeMap<u64, Position> {
        let all = doors.iter();
        all.filter_map(|door| Some((door.index.0, door.glance.borrow().position?))).collect()
    }

    /// A task for every tower that is trusted to keep something.
    pub(super) fn keep_checkpoints(&mut self) {
        let hired: Vec<_> = (self.book.towers.iter())
            .filter(|(tower, _)| !self.book.faulted.contains_key(tower))
            .map(|(_, kept)| kept.clone())
            .collect();
        self.keeping.retain(|tower, keeping| {
            let same = hired.iter().any(|kept| kept.tower == *tower && *kept == keeping.tower);
            if !same {
                keeping.stop.cancel();
            }
            same
        });
        for kept in hired {
            if self.keeping.contains_key(&kept.tower) {
                continue;
            }
            let Ok(key) = PublicKey::from_slice(&kept.tower.0) else { continue };
            let stop = self.tasks.token().child_token();
            let keep = Keep {
                shared: Arc::clone(&self.shared),
                tower: kept.clone(),
                key,
                newest: self.newest.subscribe(),
                connections: self.connections_to(kept.tower),
                stop: stop.clone(),
            };
            self.tasks.detach("tower checkpoints", keep.run());
            let keeping = Keeping { tower: kept.clone(), stop, version: 0, at_ms: 0 };
            self.keeping.insert(kept.tower, keeping);
        }
    }

    /// Makes the next checkpoint, if anything changed since the last and it is time. Not while anything
    /// says that the journal is an older copy: then what it knows must take the place of nothing.
    pub(super) async fn make_checkpoint(&mut self) {
        let now = now_ms();
        let doors = self.shared.directory.doors();
        if self.manner.checkpoint_every_ms == 0 {
            return;
        }
        let due = self.made_ms.saturating_add(self.manner.checkpoint_every_ms) <= now;
        let doubtful = doors.iter().any(|door| door.glance.borrow().quarantined);
        if self.keeping.is_empty() || !due || doubtful || self.ahead.borrow().is_some() {
            return;
        }
        self.made_ms = now;
        let positions = Self::positions(&doors);
        let (reply, answer) = oneshot::channel();
        let asked = self.backup.send(backup::Ask::Newest { reply }).await;
        let answer = if asked.is_ok() { answer.await.ok() } else { None };
        let Some(backup) = answer.flatten() else { return };
        let (towers, sessions) = self.places();
        let height = *self.shared.height.borrow();
        let stakes: BTreeMap<u64, u64> =
            (doors.iter()).map(|door| (door.index.0, door.glance.borrow().ours_sat)).collect();
        let stake = |channel| stakes.get(&channel).copied().unwrap_or(0);
        let checkpoint = Checkpoint { made_ms: now, height, positions, towers, sessions, backup }
            .fitting(CONTENT_MAX, stake);
        if checkpoint.positions.is_empty() && checkpoint.backup.channels.is_empty() {
            return;
        }
        let same = |made: &Option<Arc<Made>>| {
            made.as_ref().is_some_and(|made| made.checkpoint.says_as(&checkpoint))
        };
        if same(&self.newest.borrow()) {
            return;
        }
        let version = self.book.checkpoint.saturating_add(1);
        let lsn = self.keep(Fact::CheckpointMade(version));
        self.newest.send_replace(Some(Arc::new(Made { version, lsn, checkpoint })));
    }

    /// All towers, and all sessions with them.
    fn places(&self) -> (Vec<Whereabouts>, Vec<Known>) {
        let towers: Vec<_> = (self.book.towers.values())
            .map(|kept| Whereabouts {
                tower: kept.tower,
                address: kept.address.clone(),
                kit: kept.kit,
            })
            .collect();
        let place = |tower: &NodeId| {
            let at = towers.iter().position(|one| one.tower == *tower)?;
            u8::try_from(at).ok()
        };
        let sessions = (self.book.sessions.iter())
            .filter(|((_, channel), _)| !is_drill(*channel))
            .filter_map(|((tower, channel), kept)| {
                let number = kept.opened.number;
                Some(Known { tower: place(tower)?, channel: *channel, number })
            })
            .collect();
        (towers, sessions)
    }

    /// A tower had this when it was asked first. If it proves that the journal is an older copy, every
    /// channel goes into quarantine before anything else is told to that tower.
    pub(super) async fn found(&mut self, tower: NodeId, found: Found) {
        let Found { version, checkpoint, done } = found;
        let doors = self.shared.directory.doors();
        let positions = Self::positions(&doors);
        if let Some(older) = checkpoint.doubt(version, self.book.checkpoint, &positions) {
            tracing::error!(
                %tower, %older,
                "ALARM: a tower keeps a newer checkpoint, so the journal is an older copy or empty; \
                 no channel signs or broadcasts anything before its peer has shown its numbers"
            );
            guard::doubt_all(&self.shared.directory).await;
            let lsn = self.keep(Fact::CheckpointMade(version));
            if !self.durable(lsn).await {
                return;
            }
        }
        for (channel, number) in checkpoint.sessions_with(tower) {
            if self.book.next_number(tower, channel) <= number {
                tracing::info!(%tower, channel, number, "a session is found again");
                // Its key is never used for another one, and it is deleted when its channel is over.
                let row = 0;
                let template = Vec::new();
                let session = TowerSession { tower, channel, number, kit: FOUND, template, row };
                let _lsn = self.keep(Fact::TowerSession(session));
            }
        }
        let (told, heard) = oneshot::channel();
        let backup = Box::new(checkpoint.backup);
        let ask = backup::Ask::Told { holder: tower, backup, done: told };
        if self.backup.send(ask).await.is_ok() {
            let _stopped = heard.await;
        }
        if let Some(keeping) = self.keeping.get_mut(&tower) {
            (keeping.version, keeping.at_ms) = (version, checkpoint.made_ms);
        }
        let _gone = done.send(());
    }

    /// A tower has the checkpoint of this version.
    pub(super) fn kept(&mut self, tower: NodeId, version: u64) {
        if let Some(keeping) = self.keeping.get_mut(&tower) {
            (keeping.version, keeping.at_ms) = (version, now_ms());
        }
    }

    /// The checkpoint that a tower has.
    pub(super) fn checkpoint_at(&self, tower: NodeId) -> Option<CheckpointShown> {
        let keeping = self.keeping.get(&tower).filter(|keeping| keeping.version > 0)?;
        let newest = self.newest.borrow();
        let doors = self.shared.directory.doors();
        let current = newest.as_ref().is_some_and(|made| {
            made.version == keeping.version
                && made.checkpoint.positions == Self::positions(&doors)
                && made.checkpoint.names(&self.places().1)
        });
        Some(CheckpointShown { version: keeping.version, at_ms: keeping.at_ms, current })
    }

    /// How many sessions with a tower were found again.
    pub(super) fn found_at(&self, tower: NodeId) -> u32 {
        let all = self.book.sessions.iter();
        let found = all.filter(|((of, _), kept)| *of == tower && kept.opened.kit == FOUND);
        u32::try_from(found.count()).unwrap_or(u32::MAX)
    }

    /// Whether a session that was found again may be deleted: its channel is known to have run.
    pub(super) fn has_run(&self, channel: ChannelIndex) -> bool {
        self.seen.contains(&channel)
    }
}

/// The task of one tower, as seen from here.
pub(super) struct Keeping {
    pub(super) tower: crate::fact::TowerKept,
    pub(super) stop: tokio_util::sync::CancellationToken,
    /// The newest checkpoint that the tower has.
    pub(super) version: u64,
    /// Since when.
    pub(super) at_ms: u64,
}
