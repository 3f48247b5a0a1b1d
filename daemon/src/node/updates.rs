//! Streams of full snapshots: what a follower sees of something that changes.

use futures_util::stream;
use tokio::sync::watch;

use crate::rpc::model::Updates;

/// Every snapshot that was the newest when the follower looked, the first at once, up to and with the one
/// that `is_last` says is the last.
pub(super) fn follow<T: Clone + Send + Sync + 'static>(
    receiver: watch::Receiver<T>,
    is_last: impl Fn(&T) -> bool + Send + 'static,
) -> Updates<T> {
    enum At<T> {
        First(watch::Receiver<T>),
        Next(watch::Receiver<T>),
        End,
    }
    Box::pin(stream::unfold((At::First(receiver), is_last), |(at, is_last)| async move {
        let mut receiver = match at {
            At::First(receiver) => receiver,
            At::Next(mut receiver) => {
                // A sender that is gone has said its last word before it went.
                receiver.changed().await.ok()?;
                receiver
            }
            At::End => return None,
        };
        let shown = receiver.borrow_and_update().clone();
        let next = if is_last(&shown) { At::End } else { At::Next(receiver) };
        Some((Ok(shown), (next, is_last)))
    }))
}
