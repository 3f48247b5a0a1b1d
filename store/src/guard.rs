//! How far a journal has come, noted outside of its directory: whoever puts an old copy of the journal
//! back is found out, because the note is ahead.
//!
//! The note holds the node, the epoch and a record that was durable. It is a lower bound: it may be behind
//! the journal by what was written since, never ahead of it. Two slots are written in turn, each with its
//! own checksum and one sync that changes data only, so a note can be renewed many times a second and a
//! power cut leaves the one before.
//!
//! Not here: what follows from a journal that is behind (the daemon).

use std::io;

use crate::disk::{self, Disk, DiskFile, RealDisk, read_all};
use crate::envelope;
use crate::fields::Fields;

const KIND: u16 = 0x4755;
const VERSION: u16 = 1;
/// An identity key, compressed.
const NODE_ID_BYTES: usize = 33;
/// Where the slots begin: in blocks of their own.
const SLOTS: [u64; 2] = [0, 4_096];
/// The bytes of a slot that are used.
const SLOT_BYTES: usize = envelope::HEADER_BYTES + NODE_ID_BYTES + 24;

/// A place in a journal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// The epoch that wrote.
    pub epoch: u64,
    /// A record that was durable.
    pub seq: u64,
}

/// What the note says at start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Noted {
    /// There is none.
    Nothing,
    /// It is damaged: neither slot can be read.
    Damaged,
    /// The journal had come so far at least.
    Mark(Mark),
}

/// Why a journal may not be what it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// Nobody noted how far it had come.
    #[error("there is no note of how far the journal had come")]
    Nothing,
    /// The note cannot be read.
    #[error("the note of how far the journal had come is damaged")]
    Damaged,
    /// It had come further.
    #[error(
        "the journal ends with record {} of epoch {}, but record {} of epoch {} was durable once",
        journal.seq, journal.epoch, noted.seq, noted.epoch
    )]
    Behind {
        /// Where it ends.
        journal: Mark,
        /// Where it was.
        noted: Mark,
    },
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// It guards another node's journal.
    #[error("the guard {0} is that of another node; check the seed and the data directory")]
    OtherNode(String),
    /// Written by a newer version of this program.
    #[error("the guard {name} has version {version}, newer than this program")]
    Newer {
        /// The file.
        name: String,
        /// Its version.
        version: u16,
    },
    /// The disk failed.
    #[error("the guard {name}: {source}")]
    Disk {
        /// The file.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Noted {
    /// Whether a journal that ends at `journal` may be an older copy. Its `epoch` is the newest that ever
    /// opened it, before the one that is being opened now.
    pub const fn doubt(self, journal: Mark) -> Option<Doubt> {
        match self {
            Self::Nothing => Some(Doubt::Nothing),
            Self::Damaged => Some(Doubt::Damaged),
            Self::Mark(noted) if journal.epoch < noted.epoch || journal.seq < noted.seq => {
                Some(Doubt::Behind { journal, noted })
            }
            Self::Mark(_) => None,
        }
    }

    /// The newest epoch that is known of: the next one must be above it, so that no copy from before can
    /// ever pass for what is written from now on.
    pub const fn epoch(self) -> u64 {
        match self {
            Self::Mark(mark) => mark.epoch,
            Self::Nothing | Self::Damaged => 0,
        }
    }
}

/// The note, open for writing.
#[derive(Debug)]
pub struct Guard<D: Disk = RealDisk> {
    disk: D,
    name: String,
    node_id: [u8; NODE_ID_BYTES],
    file: Option<D::File>,
    turn: u64,
    noted: Noted,
}

impl<D: Disk> Guard<D> {
    /// Reads the note in the file `name`; changes nothing.
    pub fn read(disk: D, name: &str, node_id: [u8; NODE_ID_BYTES]) -> Result<Self, GuardError> {
        let failed = |source| GuardError::Disk { name: name.to_owned(), source };
        let mut guard = Self {
            disk,
            name: name.to_owned(),
            node_id,
            file: None,
            turn: 0,
            noted: Noted::Nothing,
        };
        if !guard.disk.exists(name).map_err(failed)? {
            return Ok(guard);
        }
        guard.noted = Noted::Damaged;
        let bytes = read_all(&guard.disk, name).map_err(failed)?;
        for at in SLOTS {
            if let Some(slot) = guard.slot(&bytes, at)?
                && slot.turn >= guard.turn
            {
                guard.turn = slot.turn;
                guard.noted = Noted::Mark(slot.mark);
            }
        }
        Ok(guard)
    }

    /// What the note said when it was read, or was made to say since.
    pub const fn noted(&self) -> Noted {
        self.noted
    }

    /// Notes, durably, that the journal has come to `mark`. That must be durable already.
    pub fn note(&mut self, mark: Mark) -> Result<(), GuardError> {
        let turn = self.turn.saturating_add(1);
        let done = match &self.file {
            None => self.make(turn, mark),
            Some(_) => self.renew(turn, mark),
        };
        if let Err(source) = done {
            // What the file holds now is unknown; the next try makes it anew.
            self.file = None;
            return Err(GuardError::Disk { name: self.name.clone(), source });
        }
        (self.turn, self.noted) = (turn, Noted::Mark(mark));
        Ok(())
    }

    /// Writes a whole file aside and puts it in place.
    fn make(&mut self, turn: u64, mark: Mark) -> io::Result<()> {
        let bytes = self.encode(turn, mark)?;
        let [_, second] = SLOTS;
        let gap = usize::try_from(second).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let zeros = vec![0; gap.saturating_sub(bytes.len())];
        disk::put(&self.disk, &self.name, &[&bytes, &zeros, &bytes])?;
        self.file = Some(self.disk.open(&self.name)?);
        Ok(())
    }

    /// Writes the older of the two slots.
    fn renew(&mut self, turn: u64, mark: Mark) -> io::Result<()> {
        let bytes = self.encode(turn, mark)?;
        let [first, second] = SLOTS;
        let at = if turn.is_multiple_of(2) { first } else { second };
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_at(at, &bytes)?;
        file.sync_data()
    }

    fn encode(&self, turn: u64, mark: Mark) -> io::Result<Vec<u8>> {
        let mut payload = Vec::with_capacity(SLOT_BYTES);
        payload.extend_from_slice(&self.node_id);
        for field in [turn, mark.epoch, mark.seq] {
            payload.extend_from_slice(&field.to_le_bytes());
        }
        envelope::seal(KIND, VERSION, &payload).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
    }

    /// The slot at this place, if it is whole.
    fn slot(&self, bytes: &[u8], at: u64) -> Result<Option<Slot>, GuardError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let slot = bytes.get(at..).and_then(|rest| rest.get(..SLOT_BYTES));
        let Some(Ok((version, payload))) = slot.map(|slot| envelope::open(slot, KIND)) else {
            return Ok(None);
        };
        if version > VERSION {
            return Err(GuardError::Newer { name: self.name.clone(), version });
        }
        let mut fields = Fields::new(payload);
        let Some(owner) = fields.array::<NODE_ID_BYTES>() else { return Ok(None) };
        if owner != self.node_id {
            return Err(GuardError::OtherNode(self.name.clone()));
        }
        let (Some(turn), Some(epoch), Some(seq)) = (fields.u64(), fields.u64(), fields.u64())
        else {
            return Ok(None);
        };
        Ok(Some(Slot { turn, mark: Mark { epoch, seq } }))
    }
}

struct Slot {
    turn: u64,
    mark: Mark,
}

#[cfg(test)]
mod tests;
