//! What towers keep of us so that a store that is an older copy, or lost, is told so: how far every channel
//! is, which sessions there are, and the backup. Sealed, so that a tower reads nothing of it.
//!
//! Its version is in the journal before any tower has it, as a backup's number is. So a version that a
//! tower has and the journal has not proves that the journal is an older copy; and so does a channel that
//! was further than the journal says.
//!
//! Not here: when one is made and what follows from one (`guardian`), who carries it (`keep`).

mod seal;
#[cfg(test)]
mod tests;

pub(super) use seal::{CONTENT_MAX, open, seal};

use std::collections::BTreeMap;

use channel::Channel;
use channel::state::End;
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::id::NodeId;
use wire::units::BlockHeight;

use crate::backup::Backup;
use crate::fact::Text;

/// The most channels whose places are told: those with the most at stake.
const POSITIONS_MAX: usize = 1_000;

/// The most sessions that are named.
const SESSIONS_MAX: usize = 1_000;

/// The most towers that are named: as many as a channel can have, twice.
const TOWERS_MAX: usize = 32;

/// How far a channel is. Both numbers only grow.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The number of our commitment: all before it are revoked.
    pub ours: u64,
    /// How many the peer revoked.
    pub revoked: u64,
}

impl Position {
    /// How far `channel` is; `None` before it is funded, and when all that was known of it is lost.
    pub fn of(channel: &Channel) -> Option<Self> {
        let state = channel.state()?;
        state.fundings.first()?;
        let lost = matches!(state.end, Some(End::Lost | End::Abandoned(_)));
        let position = Self { ours: state.ours, revoked: state.secrets.count() };
        (!lost).then_some(position)
    }

    const fn is_beyond(self, other: Self) -> bool {
        self.ours > other.ours || self.revoked > other.revoked
    }
}

/// A tower, and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Whereabouts {
    /// Its key.
    pub(super) tower: NodeId,
    /// `host:port`.
    pub(super) address: Text,
    /// What it is given.
    pub(super) kit: u8,
}

/// A session at one of those towers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    /// The place of its tower in the list.
    pub(super) tower: u8,
    /// The index of the channel it is for.
    pub(super) channel: u64,
    /// Which session with this tower for this channel: its key follows from it.
    pub(super) number: u32,
}

/// Everything that towers keep for us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Checkpoint {
    /// When it was made, Unix milliseconds.
    pub(super) made_ms: u64,
    /// The height of the chain then.
    pub(super) height: BlockHeight,
    /// How far channels were, by their indices.
    pub(super) positions: BTreeMap<u64, Position>,
    /// Towers.
    pub(super) towers: Vec<Whereabouts>,
    /// Sessions.
    pub(super) sessions: Vec<Known>,
    /// What brings channels home when everything else is gone.
    pub(super) backup: Backup,
}

/// Why a journal is an older copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Older {
    /// There was a newer checkpoint once.
    #[error("version {theirs} was made, and the journal knows {ours}")]
    Version {
        /// The tower's.
        theirs: u64,
        /// The journal's.
        ours: u64,
    },
    /// A channel was further once.
    #[error(
        "channel {channel} was at commitments {} and {}, and the journal has {} and {}",
        .theirs.ours, .theirs.revoked, .ours.ours, .ours.revoked
    )]
    Channel {
        /// Its index.
        channel: u64,
        /// What the tower keeps.
        theirs: Position,
        /// What the journal says.
        ours: Position,
    },
}

impl Checkpoint {
    /// Whether it proves that a journal is an older copy: one that made `version` checkpoints and whose
    /// channels are so far. Channels that it does not name are over, or in the backup.
    pub(super) fn doubt(
        &self,
        kept: u64,
        version: u64,
        positions: &BTreeMap<u64, Position>,
    ) -> Option<Older> {
        let further = self.positions.iter().find_map(|(channel, theirs)| {
            let ours = *positions.get(channel)?;
            let (channel, theirs) = (*channel, *theirs);
            theirs.is_beyond(ours).then_some(Older::Channel { channel, theirs, ours })
        });
        let newer = (kept > version).then_some(Older::Version { theirs: kept, ours: version });
        further.or(newer)
    }

    /// The sessions that it names with this tower: channel and number.
    pub(super) fn sessions_with(&self, tower: NodeId) -> impl Iterator<Item = (u64, u32)> {
        self.sessions.iter().filter_map(move |known| {
            let at = self.towers.get(usize::from(known.tower))?;
            (at.tower == tower).then_some((known.channel, known.number))
        })
    }

    /// Whether another one says the same, whenever it was made.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        let place = |one: &Self| (one.positions.clone(), one.towers.clone(), one.sessions.clone());
        place(self) == place(other) && self.backup.channels == other.backup.channels
    }

    /// Whether it has all the sessions that it has room for.
    pub(super) fn names(&self, sessions: &[Known]) -> bool {
        self.sessions.len() >= SESSIONS_MAX
            || sessions.iter().all(|one| self.sessions.contains(one))
    }

    /// The same, so short that it fits `size` bytes: what has the most at stake stays.
    #[must_use]
    pub(super) fn fitting(mut self, size: usize, stake: impl Fn(u64) -> u64) -> Self {
        self.towers.truncate(TOWERS_MAX);
        let towers = self.towers.len();
        self.sessions.retain(|known| usize::from(known.tower) < towers);
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.sort_by_key(|known| std::cmp::Reverse(stake(known.channel)));
            self.sessions.truncate(SESSIONS_MAX);
        }
        if self.positions.len() > POSITIONS_MAX {
            let mut all: Vec<_> = self.positions.into_iter().collect();
            all.sort_by_key(|(channel, _)| std::cmp::Reverse(stake(*channel)));
            self.positions = all.into_iter().take(POSITIONS_MAX).collect();
        }
        let empty = Backup { channels: Vec::new(), ..self.backup };
        let backup = std::mem::replace(&mut self.backup, empty);
        let room = size.saturating_sub(self.encoded().len());
        // Its fields around the channels are counted twice: that much more room than is needed.
        self.backup = backup.fitting(room);
        self
    }
}

impl Encode for Checkpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        self.made_ms.encode(out);
        self.height.encode(out);
        let rows = self.positions.iter().map(|(channel, at)| Row(*channel, *at)).collect();
        Long(rows).encode(out);
        Long(self.towers.clone()).encode(out);
        Long(self.sessions.clone()).encode(out);
        self.backup.encode(out);
    }
}

impl Decode for Checkpoint {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (made_ms, height) = (u64::decode(r)?, BlockHeight::decode(r)?);
        let rows = Long::<Row>::decode(r)?.0;
        Ok(Self {
            made_ms,
            height,
            positions: rows.into_iter().map(|row| (row.0, row.1)).collect(),
            towers: Long::decode(r)?.0,
            sessions: Long::decode(r)?.0,
            backup: Backup::decode(r)?,
        })
    }
}

/// A channel's index and place.
struct Row(u64, Position);

impl Encode for Row {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.ours.encode(out);
        self.1.revoked.encode(out);
    }
}

impl Decode for Row {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let channel = u64::decode(r)?;
        Ok(Self(channel, Position { ours: u64::decode(r)?, revoked: u64::decode(r)? }))
    }
}

impl Encode for Whereabouts {
    fn encode(&self, out: &mut Vec<u8>) {
        self.tower.encode(out);
        self.address.encode(out);
        self.kit.encode(out);
    }
}

impl Decode for Whereabouts {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { tower: NodeId::decode(r)?, address: Text::decode(r)?, kit: u8::decode(r)? })
    }
}

impl Encode for Known {
    fn encode(&self, out: &mut Vec<u8>) {
        self.tower.encode(out);
        self.channel.encode(out);
        self.number.encode(out);
    }
}

impl Decode for Known {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { tower: u8::decode(r)?, channel: u64::decode(r)?, number: u32::decode(r)? })
    }
}
