//! What attempts taught, over restarts: a file that may be lost, and the same for other nodes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use routing::score::{ScoreConfig, Scorer};

use crate::clock::now_ms;
use crate::payments::Payments;
use crate::payments::router::{self, Sight, Wish};
use crate::payments::send::{Plan, Shunned};
use crate::rpc::model::graph::RouteFound;
use crate::rpc::model::payment::PaymentFailure;
use crate::rpc::refusal::Refusal;

/// How often the file is written at most, in milliseconds. What is lost with it is learnt again.
const EVERY_MS: u64 = 60_000;

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
        self.scorer.merge(&theirs);
        self.shelf.note();
        Ok(self.known())
    }

    /// The way that a payment would take now.
    pub(super) fn look(&mut self, plan: &Plan) -> Result<RouteFound, Refusal> {
        let doors = self.directory.doors();
        let graph = self.graph.borrow_and_update().clone();
        self.scorer.follow(&graph);
        let sight = Sight {
            doors: &doors,
            graph: &graph,
            scorer: &self.scorer,
            height: self.tip.borrow().height,
            now_ms: now_ms(),
        };
        let shunned = Shunned::default();
        let wish = Wish {
            plan,
            shunned: &shunned,
            amount: plan.amount,
            fee_limit: plan.fee_limit,
            max_parts: plan.max_parts,
        };
        let found = router::find(
            &wish,
            &sight,
            self.us.node_id(),
            self.attempts.held_by_all(),
            &self.attempts.pending(),
        );
        found.map(|found| router::show(&found, sight.height)).map_err(|missed| {
            let payee = wire::id::NodeId(plan.payee.serialize());
            self.refusal(plan, payee, PaymentFailure::NoRoute, Some(&missed))
        })
    }
}
