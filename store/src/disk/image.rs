//! What a power cut leaves of the files of a [`super::MemoryDisk`].

use std::collections::BTreeMap;

/// When a directory entry becomes durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entries {
    /// As ext4: any sync that commits metadata commits all earlier changes, in their order.
    Ext4,
    /// As POSIX promises: only `sync_dir` does, and unsynced changes survive one by one.
    Posix,
}

/// What happens to writes that were not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// All of them are lost.
    Drop,
    /// Pieces of 512 bytes or 4 KiB survive, in no order.
    Pieces,
    /// The first of them survive, the last of those torn at 512 bytes.
    Prefix,
    /// All survive, but no file is longer than at its last sync.
    Size,
}

impl Loss {
    /// Every kind, for tests that go through them.
    pub const ALL: [Self; 4] = [Self::Drop, Self::Pieces, Self::Prefix, Self::Size];
}

/// A file: what the disk has, and what it was only told.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What readers see.
    pub(super) live: Vec<u8>,
    /// What survives.
    pub(super) durable: Vec<u8>,
    /// What was written or cut off since the last sync, in order.
    pub(super) pending: Vec<Told>,
}

/// What the disk was told of a file.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// These bytes stand there.
    Write(usize, Vec<u8>),
    /// It ends there.
    Cut(usize),
}

impl Told {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => put(content, *offset, bytes),
            Self::Cut(length) => content.truncate(*length),
        }
    }
}

impl Inode {
    /// Makes every write durable. Says whether the length changed, which is metadata.
    pub(super) fn sync(&mut self) -> bool {
        let before = self.durable.len();
        for told in std::mem::take(&mut self.pending) {
            told.apply(&mut self.durable);
        }
        self.durable.len() != before
    }

    /// Shows a write to readers, and keeps it in mind.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        self.pending.push(Told::Write(offset, bytes.to_vec()));
    }

    /// Shows readers a shorter file, and keeps that in mind.
    pub(super) fn cut(&mut self, length: usize) {
        self.live.truncate(length);
        self.pending.push(Told::Cut(length));
    }

    /// The content after a power cut.
    pub(super) fn survivor(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        match loss {
            Loss::Drop => {}
            Loss::Size => {
                self.pending.iter().for_each(|told| told.apply(&mut content));
                content.truncate(self.durable.len());
            }
            Loss::Pieces => {
                let unit = if dice.chance(50) { 512 } else { 4_096 };
                let percent = [10, 50, 90].get(dice.below(3)).copied().unwrap_or(50);
                for told in &self.pending {
                    match told {
                        Told::Write(offset, bytes) => {
                            for (at, piece) in pieces(*offset, bytes, unit) {
                                if dice.chance(percent) {
                                    put(&mut content, at, piece);
                                }
                            }
                        }
                        Told::Cut(length) if dice.chance(percent) => content.truncate(*length),
                        Told::Cut(_) => {}
                    }
                }
            }
            Loss::Prefix => {
                let whole = dice.below(self.pending.len().saturating_add(1));
                self.pending.iter().take(whole).for_each(|told| told.apply(&mut content));
                if let Some(Told::Write(offset, bytes)) = self.pending.get(whole) {
                    let torn = dice.below(bytes.len().div_ceil(512).saturating_add(1));
                    for (at, piece) in pieces(*offset, bytes, 512).take(torn) {
                        put(&mut content, at, piece);
                    }
                }
            }
        }
        content
    }
}

/// A change of the directory that was not synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A name was given to a file, and taken from this other name of it.
    Link { name: String, inode: u64, from: Option<String> },
    /// A name was taken away.
    Unlink { name: String },
}

impl Change {
    /// Applies the change to a directory.
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { name, inode, from } => {
                if let Some(from) = from {
                    names.remove(from);
                }
                names.insert(name.clone(), *inode);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
        }
    }

    /// Applies those that survive a power cut.
    pub(super) fn survivors(
        changes: &[Self],
        names: &mut BTreeMap<String, u64>,
        (entries, loss): (Entries, Loss),
        dice: &mut Dice,
    ) {
        match (entries, loss) {
            (_, Loss::Drop) => {}
            (_, Loss::Size) => changes.iter().for_each(|change| change.apply(names)),
            (Entries::Ext4, Loss::Pieces | Loss::Prefix) => {
                let kept = dice.below(changes.len().saturating_add(1));
                changes.iter().take(kept).for_each(|change| change.apply(names));
            }
            (Entries::Posix, Loss::Pieces | Loss::Prefix) => {
                for change in changes {
                    if dice.chance(50) {
                        change.apply(names);
                    }
                }
            }
        }
    }
}

/// Writes `bytes` at `offset`, with zeros before it if the content is shorter.
fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// Cuts a write at the borders of the disk's units.
fn pieces(offset: usize, bytes: &[u8], unit: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let count = unit.saturating_sub(at.checked_rem(unit)?).clamp(1, rest.len());
        let (piece, left) = rest.split_at_checked(count)?;
        let start = at;
        at = at.saturating_add(count);
        rest = left;
        Some((start, piece))
    })
}

/// Numbers from a seed (SplitMix64): the same seed, the same misfortune.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Starts the sequence of this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.roll().checked_rem(bound).unwrap_or(0)).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
