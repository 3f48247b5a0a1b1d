//! Settled HTLCs of every channel, for the day on which a peer shows a state that nobody remembers.
//!
//! The snapshot thread puts them here before it drops them from the state; a breach has them searched, on
//! a thread of its own. Towers read them by the same door.
//!
//! Not here: the file (`store::archive`), what fits (`channel::past`).

use std::io;
use std::path::Path;

use channel::ChainFact;
use channel::past::{PastHtlc, Search};
use store::archive::{Archive, Gaps, Reader};
use store::disk::RealDisk;

use crate::fact::ChannelIndex;
use crate::state::State;

/// The archives of all channels.
#[derive(Clone, Debug)]
pub struct Archives(Archive);

/// How many settled HTLCs of a channel are in its archive.
pub type Archived = Vec<(ChannelIndex, u64)>;

impl Archives {
    /// In this directory, which is made if it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self(Archive::new(RealDisk::open(directory)?)))
    }

    /// Makes everything that was settled since the last snapshot durable here, and drops it from the
    /// state, which may become a snapshot then. What cannot be written stays in the state.
    pub fn take_over(&self, state: &mut State) -> Archived {
        let mut archived = Archived::new();
        for (index, kept) in &mut state.channels {
            let Some(channel) = &mut kept.channel else { continue };
            let Some(of) = channel.state() else { continue };
            let from = of.past.archived();
            let records: Vec<_> = of.past.recent().map(PastHtlc::to_bytes).collect();
            if records.is_empty() {
                continue;
            }
            // What is resolved for good has no past.
            if !of.chain.closed {
                match self.0.append(index.0, from, &records) {
                    Ok(0) => {}
                    Ok(lost) => tracing::error!(
                        channel = index.0,
                        lost,
                        "the archive of settled HTLCs was damaged; if the peer shows a state with those, \
                         not every output can be taken at once"
                    ),
                    Err(error) => {
                        tracing::error!(channel = index.0, %error, "the archive cannot be written");
                        continue;
                    }
                }
            }
            let upto = from.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
            channel.past_archived(upto);
            archived.push((*index, upto));
        }
        archived
    }

    /// Takes away the archives of channels that are over.
    ///
    /// # Errors
    /// Those of the file system; it is tried again after the next snapshot.
    pub fn tidy(&self, state: &State) -> io::Result<()> {
        for channel in self.0.channels()? {
            let kept = state.channels.get(&ChannelIndex(channel));
            let of = kept.and_then(|kept| kept.channel.as_ref()).and_then(channel::Channel::state);
            if of.is_none_or(|of| of.chain.closed) {
                self.0.remove(channel)?;
            }
        }
        Ok(())
    }

    /// The first `upto` settled HTLCs of a channel, oldest first; `channel::past::Past::archived` says how
    /// many there are.
    ///
    /// # Errors
    /// Those of the file system, and an archive of a newer version.
    pub fn read(&self, channel: ChannelIndex, upto: u64) -> io::Result<PastHtlcs> {
        Ok(PastHtlcs(self.0.read(channel.0, upto)?))
    }

    /// Looks through everything. Blocks, some seconds for a million HTLCs.
    pub fn search(&self, channel: ChannelIndex, mut search: Search) -> ChainFact {
        let txid = search.txid();
        match self.read(channel, search.archived()) {
            Ok(mut all) => {
                for htlc in all.by_ref() {
                    search.offer(htlc);
                }
                let Gaps { damaged, missing } = all.gaps();
                if !all.gaps().is_none() {
                    tracing::error!(
                        channel = channel.0, %txid, damaged, missing,
                        "the archive of settled HTLCs has holes; what is there was searched"
                    );
                }
            }
            Err(error) => {
                tracing::error!(
                    channel = channel.0, %txid, %error,
                    "the archive of settled HTLCs cannot be read"
                );
            }
        }
        search.finish()
    }
}

/// Settled HTLCs as they come from the disk.
#[derive(Debug)]
pub struct PastHtlcs(Reader);

impl PastHtlcs {
    /// What had to be left out so far.
    pub const fn gaps(&self) -> Gaps {
        self.0.gaps()
    }
}

impl Iterator for PastHtlcs {
    type Item = PastHtlc;

    fn next(&mut self) -> Option<PastHtlc> {
        self.0.next_record().map(|bytes| PastHtlc::from_bytes(&bytes))
    }
}
