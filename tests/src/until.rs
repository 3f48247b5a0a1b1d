//! Waiting for what another task, thread or process does: bounded, and telling what was awaited.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test waits for one thing. Generous, because a machine may run many tests at once; a test
/// that passes never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);

/// Looks again and again until `look` finds something; answers it.
///
/// # Panics
/// After [`PATIENCE`], with `what` was awaited and what `account` has to tell.
pub async fn until<T>(
    what: &str,
    account: impl Fn() -> String,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    until_async(what, account, || std::future::ready(look())).await
}

/// [`until`] for a look that is itself a question to somebody.
///
/// # Panics
/// As [`until`].
pub async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    account: impl Fn() -> String,
    mut look: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}\n{}", account());
        tokio::time::sleep(PAUSE).await;
    }
}
