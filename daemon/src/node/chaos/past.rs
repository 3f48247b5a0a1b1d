//! A channel as it was, out of the journal: every fact of it is there, with the peer's signatures.

use std::path::PathBuf;

use channel::clock::Side;
use channel::fact::Removal;
use channel::record::RecordError;
use channel::state::State;
use channel::{Channel, Fact as Of};
use store::disk::RealDisk;
use store::journal::{Beside, JournalError, oldest_snapshot};

use crate::fact::{ChannelIndex, Fact, FactError, facts};
use crate::state::{self, StateError};

/// Why there is no such past.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPast {
    /// It is the newest, or newer.
    #[error(
        "state {asked} is not revoked: the newest state of this channel is {newest}, and one below \
         that is needed{}",
        if *.newest == 0 { "; make a payment first" } else { "" }
    )]
    NotRevoked { asked: u64, newest: u64 },
    /// Its facts are folded into a snapshot.
    #[error("state {asked} is not kept any more: states {first} to {last} are there")]
    Forgotten { asked: u64, first: u64, last: u64 },
    #[error("the journal has no such channel")]
    Unknown,
    #[error("the journal cannot be read beside its writer: {0}")]
    Journal(#[from] JournalError),
    #[error("the journal's directory cannot be opened: {0}")]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Fact(#[from] FactError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The channel when its commitment `number` was the newest, with all that a thief would know besides.
/// Blocks; reads the journal up to the record `upto`, which must be durable.
pub(super) fn find(
    journal: PathBuf,
    index: ChannelIndex,
    number: u64,
    upto: u64,
) -> Result<Channel, NoPast> {
    let disk = RealDisk::open(journal)?;
    let snapshot = oldest_snapshot(&disk)?;
    let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
    let mut fold = Fold { number, first: None, channel: None, then: None, later: Vec::new() };
    if let Some(snapshot) = snapshot {
        let mut state = state::State::decode(&snapshot.payload).map_err(StateError::from)?;
        fold.channel = state.channels.remove(&index).and_then(|kept| kept.channel);
        fold.first = fold.ours();
    }
    let mut reader = Beside::start(disk, after, upto)?;
    while let Some(record) = reader.next_record()? {
        for fact in facts(record.payload)? {
            fold.take(index, fact)?;
        }
    }
    fold.finish()
}

struct Fold {
    number: u64,
    /// The oldest state that was read.
    first: Option<u64>,
    channel: Option<Channel>,
    /// The channel right before the next commitment came.
    then: Option<Vec<u8>>,
    /// What happened afterwards.
    later: Vec<Of>,
}

impl Fold {
    fn ours(&self) -> Option<u64> {
        self.channel.as_ref().and_then(Channel::state).map(|state| state.ours)
    }

    fn take(&mut self, index: ChannelIndex, fact: Fact) -> Result<(), NoPast> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about other things")]
        match fact {
            Fact::Channel { index: of, record } if of == index => match &self.channel {
                None => {
                    self.channel = Some(Channel::restore(&record)?);
                    self.first = self.ours();
                }
                Some(_) => {
                    for fact in channel::record::facts(&record)? {
                        self.turn(fact)?;
                    }
                }
            },
            Fact::ChannelRolledBack { index: of, state } if of == index => {
                self.channel = Some(Channel::decode_snapshot(&state)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn turn(&mut self, fact: Of) -> Result<(), NoPast> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        let is_last = channel.state().is_some_and(|state| state.ours == self.number);
        if is_last && matches!(fact, Of::TheySigned(_)) {
            self.then = Some(channel.encode_snapshot());
        }
        if self.then.is_some() {
            self.later.push(fact.clone());
        }
        Ok(channel.apply(fact)?)
    }

    fn finish(self) -> Result<Channel, NoPast> {
        let newest = self.ours().ok_or(NoPast::Unknown)?;
        let asked = self.number;
        if asked >= newest {
            return Err(NoPast::NotRevoked { asked, newest });
        }
        let first = self.first.unwrap_or(0);
        let last = newest.saturating_sub(1);
        let then = self.then.ok_or(NoPast::Forgotten { asked, first, last })?;
        let mut channel = Channel::decode_snapshot(&then)?;
        for fact in self.later {
            if channel.state().is_some_and(|state| helps(state, &fact)) {
                channel.apply(fact)?;
            }
        }
        Ok(channel)
    }
}

/// Whether a thief keeps this in mind when it goes back: where the funding is, and preimages with which
/// HTLCs of the old commitment can be taken.
fn helps(state: &State, fact: &Of) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all else is forgotten on purpose")]
    match fact {
        Of::FundingConfirmed { .. } | Of::FundingUnconfirmed => true,
        Of::WeRemove { htlc, removal: Removal::Fulfill { .. } } => (state.ledger)
            .htlc(Side::Them, *htlc)
            .is_some_and(|htlc| htlc.clock.is_irrevocable() && htlc.removal.is_none()),
        _ => false,
    }
}
