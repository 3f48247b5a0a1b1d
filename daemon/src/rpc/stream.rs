//! Streams of snapshots on their way to a client: they end with the final one, and when the server
//! stops.

use core::pin::Pin;

use futures_util::{Stream, StreamExt as _, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::model::Updates;
use super::refusal::{Refusal, Unready};

/// What a streaming call answers.
pub(super) type Reply<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Passes updates on until one is final or is a refusal, or `stop` is cancelled.
pub(super) fn until_final<T: Send + 'static>(
    updates: Updates<T>,
    is_final: impl Fn(&T) -> bool + Send + 'static,
    stop: CancellationToken,
) -> Updates<T> {
    let state = Some((updates, is_final, stop));
    Box::pin(stream::unfold(state, |state| async move {
        let (mut updates, is_final, stop) = state?;
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => Some(Err(Refusal::NotReady { state: Unready::Stopping })),
            next = updates.next() => next,
        };
        match next? {
            Ok(update) if !is_final(&update) => Some((Ok(update), Some((updates, is_final, stop)))),
            last => Some((last, None)),
        }
    }))
}

/// Translates updates for the client.
pub(super) fn reply<T: 'static, U: Send + 'static>(
    updates: Updates<T>,
    show: impl Fn(T) -> U + Send + 'static,
) -> Reply<U> {
    Box::pin(updates.map(move |update| update.map(&show).map_err(Status::from)))
}

/// A reply of one message.
pub(super) fn single<U: Send + 'static>(message: U) -> Reply<U> {
    Box::pin(stream::once(future::ready(Ok(message))))
}
