//! Who reads this chain and how far each has come for good, so that no block is dropped that somebody still needs.
//!
//! A reader says so with every block. The file beside the blocks is written anew only when that matters: a reader that it
//! has further behind keeps more blocks than it needs, never fewer.

use crate::builtin::chainstate::ChainError;
use crate::builtin::storage::{Storage, StorageError};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file with the readers that are kept.
const FILE: &str = "readers";
/// Its first line; files of before have none, and no times.
const VERSION: &str = "readers 2";
/// A reader's name, letters.
const NAME_MAX: usize = 64;
const READERS_MAX: usize = 256;
/// A reader that says nothing for so long is not kept any more, seconds.
const KEPT_S: u32 = 30 * 24 * 3_600;
/// The file may be so many blocks, or seconds, behind.
const BEHIND_BLOCKS: u32 = 72;
const BEHIND_S: u32 = 24 * 3_600;

/// What a reader said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderPlace {
    /// The last block that it will never ask for again.
    pub height: u32,
    /// When it said so, Unix seconds.
    pub said_s: u32,
}

/// All readers.
#[derive(Debug, Default)]
pub(super) struct Readers {
    known: BTreeMap<String, ReaderPlace>,
    /// The same as the file has them.
    saved: BTreeMap<String, ReaderPlace>,
}

impl Readers {
    /// As the file has them.
    pub(super) fn open(storage: &Storage, now: u32) -> Result<Self, StorageError> {
        let known = read(&storage.get(FILE)?, now);
        let damaged = || StorageError::Damaged { path: PathBuf::from(FILE), offset: 0 };
        let known = known.ok_or_else(damaged)?;
        Ok(Self { saved: known.clone(), known })
    }

    pub(super) const fn all(&self) -> &BTreeMap<String, ReaderPlace> {
        &self.known
    }

    /// The reader that is furthest behind, and the last block it has.
    pub(super) fn last(&self) -> Option<(&str, u32)> {
        let last = self.known.iter().min_by_key(|(_, place)| place.height);
        last.map(|(name, place)| (name.as_str(), place.height))
    }

    /// A reader says how far it has come.
    pub(super) fn say(
        &mut self,
        name: &str,
        height: u32,
        now: u32,
        storage: &mut Storage,
    ) -> Result<(), ChainError> {
        if self.known.len() >= READERS_MAX {
            self.expire(now);
        }
        let full = !self.known.contains_key(name) && self.known.len() >= READERS_MAX;
        let named = !name.is_empty() && !name.chars().any(char::is_control);
        if full || !named || name.chars().count() > NAME_MAX {
            return Err(ChainError::ReaderName(NAME_MAX, READERS_MAX));
        }
        let place = ReaderPlace { height, said_s: now };
        self.known.insert(name.to_owned(), place);
        let near = self.saved.get(name).is_some_and(|saved| {
            saved.height <= height
                && height.abs_diff(saved.height) < BEHIND_BLOCKS
                && now.abs_diff(saved.said_s) < BEHIND_S
        });
        if near { Ok(()) } else { Ok(self.save(storage)?) }
    }

    /// Answers whether it was known.
    pub(super) fn forget(
        &mut self,
        name: &str,
        storage: &mut Storage,
    ) -> Result<bool, StorageError> {
        let known = self.known.remove(name).is_some();
        if known {
            self.save(storage)?;
        }
        Ok(known)
    }

    /// Lets those go that have said nothing for long.
    pub(super) fn expire(&mut self, now: u32) {
        self.known.retain(|name, place| {
            let stays = now.saturating_sub(place.said_s) <= KEPT_S;
            if !stays {
                let height = place.height;
                tracing::warn!(
                    name,
                    height,
                    "a reader says nothing any more: no block is kept for it"
                );
            }
            stays
        });
    }

    fn save(&mut self, storage: &mut Storage) -> Result<(), StorageError> {
        let mut text = format!("{VERSION}\n");
        for (name, ReaderPlace { height, said_s }) in &self.known {
            text.push_str(&format!("{height} {said_s} {name}\n"));
        }
        storage.put(FILE, &mut std::iter::once(Ok(text.into_bytes())))?;
        self.saved.clone_from(&self.known);
        Ok(())
    }
}

/// One reader a line: the last block it has, when it said so, and its name.
fn read(bytes: &[u8], now: u32) -> Option<BTreeMap<String, ReaderPlace>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (timed, text) = match text.strip_prefix(VERSION) {
        Some(rest) => (true, rest.strip_prefix('\n')?),
        None => (false, text),
    };
    let reader = |line: &str| {
        let (height, rest) = line.split_once(' ')?;
        let (said_s, name) = if timed {
            let (said_s, name) = rest.split_once(' ')?;
            (said_s.parse().ok()?, name)
        } else {
            (now, rest)
        };
        Some((name.to_owned(), ReaderPlace { height: height.parse().ok()?, said_s }))
    };
    text.lines().map(reader).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_come_back_as_they_were_saved_and_those_of_before_begin_anew() {
        let mut storage = Storage::memory();
        let mut readers = Readers::default();
        readers.say("the one with spaces", 7, 1_000, &mut storage).unwrap();
        readers.say("bob", 9, 2_000, &mut storage).unwrap();
        let file = "readers 2\n9 2000 bob\n7 1000 the one with spaces\n";
        assert_eq!(read(file.as_bytes(), 5), Some(readers.saved));
        let old = read(b"12 alice\n3 5 bob\n", 77).unwrap();
        assert_eq!(old.get("alice"), Some(&ReaderPlace { height: 12, said_s: 77 }));
        assert_eq!(old.get("5 bob"), Some(&ReaderPlace { height: 3, said_s: 77 }));
        for damaged in ["readers 2", "readers 2\n1 2", "x y z", "1"] {
            assert_eq!(read(damaged.as_bytes(), 5), None, "{damaged}");
        }
        assert_eq!(read(b"", 5), Some(BTreeMap::new()));
    }

    #[test]
    fn the_file_is_written_when_a_reader_is_new_goes_back_or_came_far() {
        let mut storage = Storage::memory();
        let mut readers = Readers::default();
        let mut say = |height, now| {
            readers.say("a", height, now, &mut storage).unwrap();
            readers.saved.get("a").map(|place| (place.height, place.said_s))
        };
        assert_eq!(say(100, 0), Some((100, 0)));
        assert_eq!(say(171, 9), Some((100, 0)));
        assert_eq!(say(172, 9), Some((172, 9)));
        assert_eq!(say(171, 10), Some((171, 10)), "it goes back");
        assert_eq!(say(171, 10 + BEHIND_S), Some((171, 10 + BEHIND_S)));
    }

    #[test]
    fn who_says_nothing_for_thirty_days_is_not_kept() {
        let mut storage = Storage::memory();
        let mut readers = Readers::default();
        readers.say("gone", 1, 1_000, &mut storage).unwrap();
        readers.say("here", 50, 1_000, &mut storage).unwrap();
        readers.say("here", 51, 1_000 + KEPT_S, &mut storage).unwrap();
        readers.expire(1_000 + KEPT_S);
        assert_eq!(readers.last(), Some(("gone", 1)));
        readers.expire(1_001 + KEPT_S);
        assert_eq!(readers.last(), Some(("here", 51)));
        // A clock that goes back throws nobody out.
        readers.expire(0);
        assert_eq!(readers.all().len(), 1);
    }
}
