//! Forwards as the journal tells them: those under way, the sums of those that ended, the onions that must not
//! come again, and what channels ask for.
//!
//! A fold, and no decision in it. Not here: who writes the facts (`switch`), rows of what ended (`keeper`).

use std::collections::BTreeMap;

use channel::seal::Lsn;
use wire::codec::Long;
use wire::units::BlockHeight;

use crate::fact::{
    ChannelIndex, Fact, ForwardEnd, ForwardEnded, ForwardTaken, ForwardWord, ForwardsBefore,
    OnionTaken, Word,
};
use crate::switch::policy::ForwardPolicies;

/// Names a forward: the index of the channel it came in by, and the peer's id of it there.
pub type Key = (u64, u64);

/// HTLCs that one peer commits to at once are taken in one record, at most 483 a channel.
pub const IN_A_RECORD: u64 = 1 << 16;

/// One forward and its whole story.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forwarded {
    /// Its place in the list: the journal position it was taken at, times [`IN_A_RECORD`], and which of that record.
    pub index: u64,
    /// What it is, and where it went last.
    pub taken: ForwardTaken,
    /// How it ended.
    pub ended: Option<ForwardEnded>,
}

impl Forwarded {
    /// What it leaves here if it is settled, in msat.
    pub fn fee_msat(&self) -> u64 {
        self.taken.amount.to_u64().saturating_sub(self.taken.forwarded.to_u64())
    }
}

/// What all forwards so far add up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// How many were settled.
    pub settled: u64,
    /// How many were not.
    pub failed: u64,
    /// What went out with those that were settled, in msat.
    pub forwarded_msat: u64,
    /// What they left here, in msat.
    pub fees_msat: u64,
}

/// Forwards under way, and the sums of those that ended.
#[derive(Clone, Debug, Default)]
pub struct ForwardBook {
    open: BTreeMap<Key, Forwarded>,
    sums: Sums,
    /// The first place in the list that is free, for as long as the same record is taken in.
    free: u64,
}

impl PartialEq for ForwardBook {
    fn eq(&self, other: &Self) -> bool {
        (&self.open, self.sums) == (&other.open, other.sums)
    }
}

impl Eq for ForwardBook {}

impl ForwardBook {
    /// Puts one back that is under way, at its place in the list.
    pub fn put_back(&mut self, index: u64, taken: ForwardTaken) {
        let key = (taken.channel, taken.htlc);
        self.free = self.free.max(index.saturating_add(1));
        self.open.insert(key, Forwarded { index, taken, ended: None });
    }

    /// Takes a fact in; others than forwards' change nothing. Answers a forward that it changed.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) -> Option<Forwarded> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::ForwardTaken(taken) => {
                let key = (taken.channel, taken.htlc);
                let index = self.free.max(at.0.saturating_mul(IN_A_RECORD));
                let fresh = || Forwarded { index, taken: taken.clone(), ended: None };
                let entry = self.open.entry(key).or_insert_with(fresh);
                if entry.index == index {
                    self.free = index.saturating_add(1);
                }
                // It is in the list since it came, wherever it goes.
                let (height, at_ms) = (entry.taken.height, entry.taken.at_ms);
                entry.taken = ForwardTaken { height, at_ms, ..taken.clone() };
                Some(entry.clone())
            }
            Fact::ForwardEnded(ended) => {
                let mut forward = self.open.remove(&(ended.channel, ended.htlc))?;
                forward.ended = Some(ended.clone());
                let sums = &mut self.sums;
                match ended.end {
                    ForwardEnd::Settled => {
                        let out = forward.taken.forwarded.to_u64();
                        sums.settled = sums.settled.saturating_add(1);
                        sums.forwarded_msat = sums.forwarded_msat.saturating_add(out);
                        sums.fees_msat = sums.fees_msat.saturating_add(forward.fee_msat());
                    }
                    ForwardEnd::SettledHere => {}
                    ForwardEnd::Refused(_)
                    | ForwardEnd::FailedBeyond
                    | ForwardEnd::Malformed(_)
                    | ForwardEnd::TimedOut => sums.failed = sums.failed.saturating_add(1),
                }
                Some(forward)
            }
            Fact::ForwardsBefore(before) => {
                self.sums = Sums {
                    settled: before.settled,
                    failed: before.failed,
                    forwarded_msat: before.forwarded_msat,
                    fees_msat: before.fees_msat,
                };
                None
            }
            _ => None,
        }
    }

    /// One that is under way.
    pub fn get(&self, key: Key) -> Option<&Forwarded> {
        self.open.get(&key)
    }

    /// All that are under way.
    pub fn iter(&self) -> impl Iterator<Item = &Forwarded> {
        self.open.values()
    }

    /// Those under way that came in by one channel.
    pub fn by(&self, channel: ChannelIndex) -> impl Iterator<Item = &Forwarded> {
        self.open.range((channel.0, 0)..=(channel.0, u64::MAX)).map(|(_, forward)| forward)
    }

    /// What ended.
    pub const fn sums(&self) -> Sums {
        self.sums
    }
}

/// Onions that were taken, until they are of no use. BOLT 4 § Onion Decryption.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Onions(BTreeMap<[u8; 16], OnionTaken>);

impl Onions {
    /// Takes a fact in; others than forwards' change nothing.
    pub fn apply(&mut self, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::ForwardTaken(taken) if taken.held || taken.out.is_some() => {
                self.0.entry(taken.onion).or_insert_with(|| OnionTaken {
                    onion: taken.onion,
                    channel: taken.channel,
                    htlc: taken.htlc,
                    until: taken.outgoing_expiry,
                });
            }
            Fact::ForwardsBefore(before) => {
                self.0.extend(before.onions.0.iter().map(|taken| (taken.onion, taken.clone())));
            }
            _ => {}
        }
    }

    /// Whether this onion came before, with another HTLC.
    pub fn came_before(&self, onion: [u8; 16], key: Key) -> bool {
        self.0.get(&onion).is_some_and(|taken| (taken.channel, taken.htlc) != key)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops those that nobody would forward any more, because what they ask for has expired.
    pub fn forget(&mut self, height: BlockHeight) {
        self.0.retain(|_, taken| taken.until > height);
    }
}

/// What programs said of HTLCs that they held, for as long as these are there: whoever gave his word is not asked again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Words(BTreeMap<Key, ForwardWord>);

impl Words {
    /// Takes a fact in; others than words change nothing.
    pub fn apply(&mut self, fact: &Fact) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::ForwardWord(word) => {
                self.0.insert((word.channel, word.htlc), word.clone());
            }
            Fact::ChannelGone(channel) => self.retain(|(of, _)| of != channel.0),
            _ => {}
        }
    }

    /// What was said of one.
    pub fn get(&self, key: Key) -> Option<Word> {
        self.0.get(&key).map(|word| word.word)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ForwardWord> {
        self.0.values()
    }

    /// Its HTLC is gone.
    pub fn remove(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// Keeps those whose HTLC is still there.
    pub fn retain(&mut self, mut there: impl FnMut(Key) -> bool) {
        self.0.retain(|key, _| there(*key));
    }
}

/// All that the journal says of forwarding.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Forwards {
    /// Forwards.
    pub book: ForwardBook,
    /// Onions.
    pub onions: Onions,
    /// What programs said.
    pub words: Words,
    /// What channels ask for.
    pub policies: ForwardPolicies,
}

impl Forwards {
    /// Takes a fact in; others than forwards' change nothing. Answers a forward that it changed.
    pub fn apply(&mut self, at: Lsn, fact: &Fact) -> Option<Forwarded> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a fold over its own facts alone")]
        match fact {
            Fact::PolicySet(set) => self.policies.set(set.clone()),
            Fact::ChannelGone(channel) => self.policies.remove(*channel),
            _ => {}
        }
        self.onions.apply(fact);
        self.words.apply(fact);
        self.book.apply(at, fact)
    }

    /// What has no other fact to be told by.
    pub fn before(&self) -> ForwardsBefore {
        let sums = self.book.sums;
        ForwardsBefore {
            settled: sums.settled,
            failed: sums.failed,
            forwarded_msat: sums.forwarded_msat,
            fees_msat: sums.fees_msat,
            onions: Long(self.onions.0.values().cloned().collect()),
        }
    }
}
