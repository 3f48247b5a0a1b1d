//! Tasks with names: every one is spawned here, joined at the end, and the first that fails stops the
//! node.

use std::future::Future;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Why the whole node must stop. Restarting it is always safe: the journal knows everything.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// A record could not be made durable.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    /// A queue that the protocol bounds overflowed.
    #[error("queue {0} overflowed its proven bound")]
    Overflow(&'static str),
    /// A task ended that must not.
    #[error("task {0} ended unexpectedly")]
    Ended(&'static str),
    /// What the chain says contradicts what was recorded.
    #[error("chain: {0}")]
    Chain(String),
    /// An invariant of our own is broken.
    #[error("broken invariant: {0}")]
    Invariant(&'static str),
}

/// The tree of tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failure: watch::Sender<Option<Fatal>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            failure: watch::Sender::new(None),
        }
    }
}

impl Tasks {
    /// Starts `work` under `name`. An error from it stops the node; so does a panic.
    #[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
    pub fn spawn(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<(), Fatal>> + Send + 'static,
    ) {
        let tasks = self.clone();
        let work = tokio::spawn(work.instrument(tracing::info_span!("task", name)));
        self.tracker.spawn(async move {
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(fatal)) => tasks.fail(fatal),
                Err(died) if died.is_cancelled() => {}
                Err(_) => tasks.fail(Fatal::Ended(name)),
            }
        });
    }

    /// Starts `work` that nobody waits for: it ends by itself, and its end means nothing.
    pub fn detach(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name, async move {
            work.await;
            Ok(())
        });
    }

    /// Stops the node because of `fatal`; the first reason is kept.
    pub fn fail(&self, fatal: Fatal) {
        if !self.stop.is_cancelled() {
            tracing::error!(%fatal, "stopping");
        }
        self.failure.send_if_modified(|kept| {
            let first = kept.is_none();
            if first {
                *kept = Some(fatal);
            }
            first
        });
        self.stop.cancel();
    }

    /// Asks every task to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves once the node is to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the node is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// A token that is cancelled when the node is to stop.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until all have ended and says why, if it was not asked for.
    pub async fn join(&self) -> Option<Fatal> {
        self.tracker.close();
        self.tracker.wait().await;
        self.failure.borrow().clone()
    }
}
