//! Who fills the engine: a thread of its own, so that no block waits for it, or the caller where order must be exact.
//!
//! A group is written in slices, since a large batch keeps readers out while it is applied. The first slice says where
//! the engine is going, the last that it is there. What a crash leaves between the two is mended from the blocks
//! (`chainstate::open`): the rows on the way are known, and writing them again changes nothing.

use super::key;
use super::rows::Group;
use super::shelf::Shelf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use store::engine::{Batch, EngineError};

/// How many rows are written at once; few in tests, so that a crash finds many places to be in.
const SLICE_ROWS: usize = if cfg!(test) { 4 } else { 1_024 };
/// Groups and answers on their way.
const QUEUE: usize = 4;

type Answer = Result<(), EngineError>;

/// Fills the engine.
#[derive(Debug)]
pub(super) enum Writer {
    /// At once, before the call returns.
    #[cfg(test)]
    Here { shelf: Box<dyn Shelf>, written: usize },
    /// Behind the caller.
    Thread(Behind),
    /// Nothing more is written.
    Closed,
}

#[derive(Debug)]
pub(super) struct Behind {
    /// `None` once it was told to end.
    groups: Option<SyncSender<Arc<Group>>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<Box<dyn Shelf>>>,
}

impl Behind {
    /// Waits for the end of all it was given.
    fn end(&mut self) -> Option<Box<dyn Shelf>> {
        self.groups = None;
        // A panic there is told by the panic itself.
        self.thread.take()?.join().ok()
    }
}

impl Drop for Behind {
    /// The thread ends first, so that the directory is free again.
    fn drop(&mut self) {
        self.end();
    }
}

impl Writer {
    #[cfg(test)]
    pub(super) fn here(shelf: Box<dyn Shelf>) -> Self {
        Self::Here { shelf, written: 0 }
    }

    pub(super) fn thread(mut shelf: Box<dyn Shelf>) -> std::io::Result<Self> {
        let (groups, inbox) = sync_channel::<Arc<Group>>(QUEUE);
        let (outbox, answers) = sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("chain-index".to_owned()).spawn(move || {
                for group in inbox {
                    let answer = write(&mut *shelf, &group);
                    let failed = answer.is_err();
                    if outbox.send(answer).is_err() || failed {
                        break;
                    }
                }
                shelf
            })?;
        let (groups, thread) = (Some(groups), Some(thread));
        Ok(Self::Thread(Behind { groups, answers, thread }))
    }

    /// Takes a group.
    pub(super) fn take(&mut self, group: Arc<Group>) -> Answer {
        match self {
            #[cfg(test)]
            Self::Here { shelf, written } => {
                write(&mut **shelf, &group)?;
                *written = written.saturating_add(1);
                Ok(())
            }
            // If the thread ended, its last answer says why.
            Self::Thread(behind) => {
                let sent = behind.groups.as_ref().map(|groups| groups.send(group));
                sent.map_or(Err(EngineError::Closed), |_| Ok(()))
            }
            Self::Closed => Err(EngineError::Closed),
        }
    }

    /// Whether the oldest group that was not asked for yet is written; waits for it if told to.
    pub(super) fn written(&mut self, wait: bool) -> Result<bool, EngineError> {
        match self {
            #[cfg(test)]
            Self::Here { written, .. } => {
                let any = *written > 0;
                *written = written.saturating_sub(1);
                Ok(any)
            }
            Self::Thread(behind) if wait => behind
                .answers
                .recv()
                .map_or(Err(EngineError::Closed), |answer| answer.map(|()| true)),
            Self::Thread(behind) => match behind.answers.try_recv() {
                Ok(answer) => answer.map(|()| true),
                Err(TryRecvError::Empty) => Ok(false),
                Err(TryRecvError::Disconnected) => Err(EngineError::Closed),
            },
            Self::Closed => Err(EngineError::Closed),
        }
    }

    /// Ends; everything is durable when it returns.
    pub(super) fn close(&mut self) -> Answer {
        match std::mem::replace(self, Self::Closed) {
            #[cfg(test)]
            Self::Here { mut shelf, .. } => shelf.close(),
            Self::Thread(mut behind) => behind.end().ok_or(EngineError::Closed)?.close(),
            Self::Closed => Err(EngineError::Closed),
        }
    }
}

/// Writes a group in slices.
fn write(shelf: &mut dyn Shelf, group: &Group) -> Answer {
    let mut batch = Batch::new();
    let last = group.changes.len().saturating_sub(1);
    for (number, (key, change)) in group.changes.iter().enumerate() {
        match &change.value {
            Some(value) => batch.put(key.clone(), value.clone())?,
            None => batch.remove(key.clone()),
        }
        let full = number.checked_rem(SLICE_ROWS) == Some(SLICE_ROWS.saturating_sub(1));
        if full && number < last {
            batch.put(key::reached(), group.under_way.clone())?;
            shelf.apply(std::mem::take(&mut batch))?;
            // Readers first.
            std::thread::yield_now();
        }
    }
    batch.put(key::reached(), group.done.clone())?;
    shelf.apply(batch)
}
