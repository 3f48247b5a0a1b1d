//! Settled HTLCs of every channel, for the day on which a peer shows a state that nobody remembers.
//!
//! The snapshot thread puts them here before it drops them from the state; a breach has them searched, on
//! a thread of its own. Towers read them by the same door.
//!
//! Not here: the file (`store::archive`), what fits (`channel::past`).

use std::io;
use std::path::Path;

use channel::past::{PastHtlc, Search};
use channel::{ChainFact, Command};
use store::archive::{Archive, Gaps, Reader};
use store::disk::RealDisk;
use store::rows::{Rows, RowsReader};

use crate::fact::ChannelIndex;
use crate::state::State;

/// The archives of all channels.
#[derive(Clone, Debug)]
pub struct Archives {
    htlcs: Archive,
    rows: Rows,
}

/// What channels may let go of, because it is in the archive.
pub type Archived = Vec<(ChannelIndex, Command)>;

impl Archives {
    /// In this directory, which is made if it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let htlcs = Archive::new(RealDisk::open(directory)?);
        // Beside it, so that a directory holds files of one kind.
        let rows = Rows::new(RealDisk::open(directory.with_file_name("states"))?);
        Ok(Self { htlcs, rows })
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
                match self.htlcs.append(index.0, from, &records) {
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
            archived.push((*index, Command::PastArchived { upto }));
        }
        self.take_over_revoked(state, &mut archived);
        archived
    }

    /// The same for states that the peer revoked.
    fn take_over_revoked(&self, state: &mut State, archived: &mut Archived) {
        for (index, kept) in &mut state.channels {
            let Some(channel) = &mut kept.channel else { continue };
            let Some(log) = channel.state().map(|of| &of.revoked) else { continue };
            let (before, rows) = ((log.archived, log.archived_bytes), log.rows());
            if rows == log.archived {
                continue;
            }
            match self.rows.append(index.0, before, log.recent(log.archived)) {
                Ok(bytes) => {
                    channel.revoked_archived(rows, bytes);
                    archived.push((*index, Command::RevokedArchived { rows, bytes }));
                }
                Err(error) => {
                    tracing::error!(channel = index.0, %error, "revoked states cannot be archived");
                }
            }
        }
    }

    /// The first `rows` revoked states of a channel, in `bytes` bytes; `channel::revoked` says how many
    /// there are.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn revoked(&self, channel: ChannelIndex, rows: u64, bytes: u64) -> io::Result<RowsReader> {
        self.rows.read(channel.0, (rows, bytes))
    }

    /// Takes away the archives of channels that are over.
    ///
    /// # Errors
    /// Those of the file system; it is tried again after the next snapshot.
    pub fn tidy(&self, state: &State) -> io::Result<()> {
        let over = |channel: &u64| {
            let kept = state.channels.get(&ChannelIndex(*channel));
            let of = kept.and_then(|kept| kept.channel.as_ref()).and_then(channel::Channel::state);
            of.is_none_or(|of| of.chain.closed)
        };
        for channel in self.htlcs.channels()?.into_iter().filter(over) {
            self.htlcs.remove(channel)?;
        }
        for channel in self.rows.channels()?.into_iter().filter(over) {
            self.rows.remove(channel)?;
        }
        Ok(())
    }

    /// The first `upto` settled HTLCs of a channel, oldest first; `channel::past::Past::archived` says how
    /// many there are.
    ///
    /// # Errors
    /// Those of the file system, and an archive of a newer version.
    pub fn read(&self, channel: ChannelIndex, upto: u64) -> io::Result<PastHtlcs> {
        Ok(PastHtlcs(self.htlcs.read(channel.0, upto)?))
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
