//! The state as bytes: what a snapshot file holds. Version 1.
//!
//! Sections in a fixed order, each behind its length. Facts that can be said again are written as facts,
//! so that they need no second layout; only channels have a form of their own.

use channel::Channel;
use channel::record::RecordError;
use channel::seal::Lsn;
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};

use crate::fact::{
    ChannelBorn, ChannelIndex, Fact, FactError, ForceCloseSet, FundingTrusted, facts,
};
use crate::state::rows::{decode_asked, decode_sent, encode_asked, encode_sent};
use crate::state::{Kept, State};
use crate::why::Story;

const VERSION: u8 = 1;

/// Why bytes are not a snapshot that this version reads.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Written by a newer version: this one must not run on it.
    #[error("version {0} is newer than this program")]
    Version(u8),
    /// The layout is broken.
    #[error(transparent)]
    Layout(#[from] DecodeError),
    /// A fact in it is broken.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// A payment or an invoice in it is broken.
    #[error(transparent)]
    Row(#[from] crate::state::rows::RowError),
    /// A channel in it is broken.
    #[error("channel {index}: {source}")]
    Channel {
        /// Which.
        index: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// The wallet in it is broken.
    #[error(transparent)]
    Wallet(#[from] crate::wallet::RecordError),
}

impl State {
    /// Everything, for a snapshot file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.next_channel.encode(&mut out);
        let channels: Vec<_> = self
            .channels
            .values()
            .map(|kept| {
                let mut one = Vec::new();
                kept.born.encode(&mut one);
                let state = kept.channel.as_ref().map(Channel::encode_snapshot);
                Long(state.unwrap_or_default()).encode(&mut one);
                Long(one)
            })
            .collect();
        Long(channels).encode(&mut out);
        Long(self.wallet.snapshot()).encode(&mut out);
        let sent: Vec<_> = self.sent.iter().map(|sent| Long(encode_sent(sent))).collect();
        Long(sent).encode(&mut out);
        let asked: Vec<_> = self.asked.iter().map(|asked| Long(encode_asked(asked))).collect();
        Long(asked).encode(&mut out);
        let mut rest = Vec::new();
        for (place, kept) in self.peers.values() {
            put(&mut rest, *place, &Fact::PeerKept(kept.clone()));
        }
        for kept in self.orders.values() {
            put(&mut rest, 0, &Fact::OrderKept(kept.clone()));
        }
        for made in self.intents.values() {
            put(&mut rest, 0, &Fact::IntentMade(made.clone()));
        }
        put(&mut rest, 0, &Fact::ForwardsBefore(self.forwards.before()));
        for set in self.forwards.policies.iter() {
            put(&mut rest, 0, &Fact::PolicySet(set.clone()));
        }
        for forward in self.forwards.book.iter() {
            put(&mut rest, forward.index, &Fact::ForwardTaken(forward.taken.clone()));
        }
        for word in self.forwards.words.iter() {
            put(&mut rest, 0, &Fact::ForwardWord(word.clone()));
        }
        if self.backup > 0 {
            put(&mut rest, 0, &Fact::BackupMade(self.backup));
        }
        for made in self.sweeps.values() {
            put(&mut rest, 0, &Fact::SweepMade(made.clone()));
        }
        if let Some(cursor) = &self.chain_at {
            put(&mut rest, 0, &Fact::ChainAt(cursor.clone()));
        }
        for story in self.stories.iter() {
            let mut bytes = Vec::new();
            story.encode(&mut bytes);
            put(&mut rest, 0, &Fact::StoryKept(bytes));
        }
        for fact in self.towers.facts() {
            put(&mut rest, 0, &fact);
        }
        for (node, policy) in &self.force_close {
            let set = ForceCloseSet { node: *node, policy: Some(*policy) };
            put(&mut rest, 0, &Fact::ForceCloseSet(set));
        }
        for node in &self.trusted {
            let set = FundingTrusted { node: *node, trusted: true };
            put(&mut rest, 0, &Fact::FundingTrusted(set));
        }
        Long(rest).encode(&mut out);
        out
    }

    /// Reads [`Self::encode`].
    ///
    /// # Errors
    /// [`SnapshotError`]; the file's checksum was right, so this is a newer version or a bug.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut r = Reader::new(bytes);
        let [version] = r.array()?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let mut state = Self { next_channel: u64::decode(&mut r)?, ..Self::default() };
        for one in Long::<Long<u8>>::decode(&mut r)?.0 {
            let kept = decode_channel(&one.0)?;
            state.channels.insert(ChannelIndex(kept.born.index), kept);
        }
        state.wallet.apply(&Long::<u8>::decode(&mut r)?.0)?;
        for one in Long::<Long<u8>>::decode(&mut r)?.0 {
            state.sent.put(decode_sent(&one.0)?);
        }
        for one in Long::<Long<u8>>::decode(&mut r)?.0 {
            state.asked.put(decode_asked(&one.0)?);
        }
        let rest = Long::<Long<u8>>::decode(&mut r)?.0;
        r.end()?;
        for one in rest {
            state.take_back(&one.0)?;
        }
        Ok(state)
    }

    fn take_back(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut r = Reader::new(bytes);
        let place = Lsn(u64::decode(&mut r)?);
        for fact in facts(r.rest())? {
            #[expect(clippy::wildcard_enum_match_arm, reason = "only these are written")]
            match fact {
                Fact::PeerKept(kept) => {
                    self.peers.insert(kept.node, (place.0, kept));
                }
                Fact::OrderKept(kept) => {
                    self.orders.insert(kept.word.0.clone(), kept);
                }
                tower @ (Fact::TowerKept(_)
                | Fact::TowerSession(_)
                | Fact::TowerAt(_)
                | Fact::TowerOver(_)
                | Fact::TowerFaulted(_)
                | Fact::DrillBegun(_)
                | Fact::DrillFunded(_)
                | Fact::DrillStaged(_)
                | Fact::DrillEnded(_)
                | Fact::TowerAudited(_)
                | Fact::CheckpointMade(_)) => self.towers.apply(&tower),
                Fact::IntentMade(made) => {
                    self.intents.insert(made.txid(), made);
                }
                Fact::ChainAt(cursor) => {
                    self.stories.see_chain(&cursor);
                    self.chain_at = Some(cursor);
                }
                Fact::BackupMade(counter) => self.backup = counter,
                Fact::StoryKept(bytes) => {
                    let mut r = Reader::new(&bytes);
                    self.stories.put(Story::decode(&mut r)?);
                    r.end()?;
                }
                Fact::ForceCloseSet(ForceCloseSet { node, policy: Some(policy) }) => {
                    self.force_close.insert(node, policy);
                }
                Fact::FundingTrusted(FundingTrusted { node, trusted: true }) => {
                    self.trusted.insert(node);
                }
                Fact::ForwardsBefore(_) | Fact::PolicySet(_) | Fact::ForwardWord(_) => {
                    self.forwards.apply(place, &fact);
                }
                Fact::ForwardTaken(taken) => {
                    self.forwards.onions.apply(&Fact::ForwardTaken(taken.clone()));
                    self.forwards.book.put_back(place.0, taken);
                }
                Fact::SweepMade(made) => {
                    self.sweeps.insert(made.txid, made);
                }
                _ => return Err(DecodeError::NotCanonical.into()),
            }
        }
        Ok(())
    }
}

fn put(out: &mut Vec<Long<u8>>, place: u64, fact: &Fact) {
    let mut one = Vec::new();
    place.encode(&mut one);
    fact.encode(&mut one);
    out.push(Long(one));
}

fn decode_channel(bytes: &[u8]) -> Result<Kept, SnapshotError> {
    let mut r = Reader::new(bytes);
    let born = ChannelBorn::decode(&mut r)?;
    let state = Long::<u8>::decode(&mut r)?.0;
    r.end()?;
    let channel = if state.is_empty() {
        None
    } else {
        let index = born.index;
        let channel = Channel::decode_snapshot(&state);
        Some(channel.map_err(|source| SnapshotError::Channel { index, source })?)
    };
    Ok(Kept { born, channel })
}
