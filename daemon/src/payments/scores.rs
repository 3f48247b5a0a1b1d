//! What attempts taught, over restarts: a file that may be lost, and the same for other nodes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routing::score::{ScoreConfig, Scorer};
use wire::units::Msat;

use crate::clock::now_ms;
use crate::payments::Payments;
use crate::payments::lesson::Where;
use crate::rpc::refusal::Refusal;

/// How often the file is written at most, in milliseconds. What is lost with it is learnt again.
const EVERY_MS: u64 = 60_000;

/// How much that arrived waits to be learnt at most.
const ARRIVED_MAX: usize = 1_024;

/// An amount that went from one end of a channel to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) at: Where,
    pub(super) amount: Msat,
    pub(super) at_secs: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Shelf {
    path: PathBuf,
    written_ms: u64,
    changed: bool,
}

impl Shelf {
    /// The file at `path`, and what it says; nothing if it cannot be read.
    pub(super) fn open(path: PathBuf) -> (Self, Scorer) {
        let config = ScoreConfig::default();
        let read = fs::read(&path).ok();
        let known = read.and_then(|bytes| {
            let read = Scorer::decode(&bytes, config);
            read.inspect_err(|error| tracing::warn!(%error, "scores begin anew")).ok()
        });
        let shelf = Self { path, written_ms: now_ms(), changed: false };
        (shelf, known.unwrap_or_else(|| Scorer::new(config)))
    }

    /// Something was learnt.
    pub(super) const fn note(&mut self) {
        self.changed = true;
    }

    /// Writes what is new, if it is time or `now`.
    pub(super) fn keep(&mut self, scorer: &Scorer, now: bool) {
        let at = now_ms();
        let due = now || at.saturating_sub(self.written_ms) >= EVERY_MS;
        if !self.changed || !due {
            return;
        }
        self.changed = false;
        self.written_ms = at;
        if let Err(error) = write(&self.path, &scorer.encode()) {
            tracing::warn!(%error, "what payments taught cannot be kept");
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, bytes)?;
    fs::rename(&aside, path)
}

impl Payments {
    /// Of how many channels something is known.
    pub(super) fn known(&self) -> u64 {
        u64::try_from(self.scorer.len()).unwrap_or(u64::MAX)
    }

    /// Takes over what another has learnt, where it is newer.
    pub(super) fn take_scores(&mut self, bytes: &[u8]) -> Result<u64, Refusal> {
        let theirs = Scorer::decode(bytes, *self.scorer.config())
            .map_err(|_| Refusal::Malformed { field: "scores", why: "not what a node exported" })?;
        Arc::make_mut(&mut self.scorer).merge(&theirs);
        self.shelf.note();
        Ok(self.known())
    }

    /// Learns what arrived, if that needs no copy: no search runs, or too much waits.
    pub(super) fn catch_up(&mut self) {
        let waits = !self.arrived.is_empty();
        let alone = Arc::get_mut(&mut self.scorer).is_some();
        if waits && (alone || self.arrived.len() >= ARRIVED_MAX) {
            self.learn_arrived();
        }
    }

    /// Learns what arrived.
    pub(super) fn learn_arrived(&mut self) {
        if self.arrived.is_empty() {
            return;
        }
        self.shelf.note();
        let scorer = Arc::make_mut(&mut self.scorer);
        for Arrived { at, amount, at_secs } in self.arrived.drain(..) {
            scorer.settled(at.channel, at.direction, amount, at_secs);
        }
    }
}
