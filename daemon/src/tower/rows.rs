//! Rows of one channel in order, wherever they lie: in the archive, or with the channel's task.

use channel::keys::CommitmentKeys;
use channel::revoked::{FULL_EVERY, RowReader};
use channel::signer::revealed_point;
use channel::tx::{Commitment, CommitmentSpec, RevokedSecret};
use tokio::sync::oneshot;

use super::Revoked;
use crate::archive::Archives;
use crate::channels::directory::Directory;
use crate::channels::task::Ask;
use crate::fact::ChannelIndex;

/// Rows that are read from the archive at once.
const CHUNK: u64 = 256;

/// Why rows cannot be had now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRows {
    /// The channel is over, or has nothing to tell.
    Over,
    /// The archive does not have what it should.
    Lost,
}

/// A place among the rows.
#[derive(Debug)]
pub(super) struct Cursor {
    channel: ChannelIndex,
    directory: Directory,
    archives: Archives,
    reader: RowReader,
    /// The row that `reader` reads next.
    next: u64,
    /// The rows below are only read on the way.
    from: u64,
    /// What the channel said last.
    pub(super) told: Option<Box<Revoked>>,
}

/// A revoked state.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its place among the rows.
    pub(super) number: u64,
    /// What its commitment divided; `None` if that is lost.
    pub(super) spec: Option<CommitmentSpec>,
}

impl Cursor {
    /// At row `from`.
    pub(super) fn new(
        channel: ChannelIndex,
        directory: Directory,
        archives: Archives,
        from: u64,
    ) -> Self {
        let mut cursor = Self {
            channel,
            directory,
            archives,
            reader: RowReader::default(),
            next: 0,
            from,
            told: None,
        };
        cursor.seek(from);
        cursor
    }

    /// Goes to row `from`: reading begins at the last row before it that says everything.
    pub(super) fn seek(&mut self, from: u64) {
        self.reader = RowReader::default();
        self.next = from.saturating_sub(from.checked_rem(FULL_EVERY).unwrap_or(0));
        self.from = from;
    }

    /// Asks the channel how it stands.
    pub(super) async fn ask(&mut self) -> Result<&Revoked, NoRows> {
        let door = self.directory.doors().get(self.channel).cloned().ok_or(NoRows::Over)?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Revoked { from: self.next, reply };
        door.asks.send(ask).await.map_err(|_| NoRows::Over)?;
        let told = answer.await.ok().flatten().ok_or(NoRows::Over)?;
        Ok(self.told.insert(told))
    }

    /// The next rows, as many as are there and fit one chunk; none if all were read.
    pub(super) async fn read(&mut self) -> Result<Vec<Row>, NoRows> {
        let next = self.next;
        let told = self.ask().await?;
        let (archived, bytes) = told.archived;
        let raw = if next < archived {
            let (archives, channel) = (self.archives.clone(), self.channel);
            let read = move || -> Option<Vec<Vec<u8>>> {
                let mut reader = archives.revoked(channel, archived, bytes).ok()?;
                while reader.next_number() < next {
                    reader.next_row()?;
                }
                let mut rows = Vec::new();
                while u64::try_from(rows.len()).is_ok_and(|have| have < CHUNK)
                    && let Some(row) = reader.next_row()
                {
                    rows.push(row);
                }
                Some(rows)
            };
            let rows = tokio::task::spawn_blocking(read).await.ok().flatten();
            rows.filter(|rows| !rows.is_empty()).ok_or(NoRows::Lost)?
        } else {
            told.rows.clone()
        };
        let mut rows = Vec::with_capacity(raw.len());
        for row in raw {
            let number = self.next;
            self.next = self.next.saturating_add(1);
            let spec = self.reader.next_row(&row).ok().cloned();
            if number >= self.from {
                rows.push(Row { number, spec });
            }
        }
        // What was only read on the way is no answer.
        if rows.is_empty() && self.next < self.from {
            Box::pin(self.read()).await
        } else {
            Ok(rows)
        }
    }

    /// The row that is read next.
    pub(super) const fn next_row(&self) -> u64 {
        self.next
    }

    /// The rows from here on that should be in the archive are lost: goes on with the first that the channel itself has.
    pub(super) fn skip_lost(&mut self) -> u64 {
        let archived = self.told.as_ref().map_or(0, |told| told.archived.0);
        let lost = archived.saturating_sub(self.next);
        self.next = archived;
        self.from = self.from.max(archived);
        self.reader = RowReader::default();
        lost
    }
}

impl Revoked {
    /// The peer's commitment of this row, and the secret that opens it. `None` if nothing can be computed.
    pub(super) fn commitment(&self, row: &Row) -> Option<(Commitment, RevokedSecret)> {
        let number = self.first.checked_add(row.number)?;
        let secret = self.secrets.secret(number)?;
        let point = revealed_point(&secret)?;
        let keys = CommitmentKeys::derive(&self.theirs, &self.ours, &point).ok()?;
        let commitment = Commitment::build(&self.terms, &keys, number, row.spec.as_ref()?).ok()?;
        Some((commitment, RevokedSecret(secret)))
    }
}
