//! The only two kinds of queue between tasks, both bounded.
//!
//! [`Forward`] edges may wait, and all of them point down the task tree; [`Back`] edges never wait.
//! That is the whole argument against deadlock: a circle of tasks cannot all be waiting, because one
//! side of every circle is a back edge.

use tokio::sync::mpsc;

/// The receiving end of either kind.
pub type Inbox<T> = mpsc::Receiver<T>;

/// A queue that makes its sender wait when it is full.
#[derive(Debug)]
pub struct Forward<T>(mpsc::Sender<T>);

/// A queue that never makes its sender wait. What bounds it is the protocol, so a full one is a bug.
#[derive(Debug)]
pub struct Back<T>(mpsc::Sender<T>);

/// Why something was not delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EdgeError {
    /// The receiver has ended.
    #[error("the receiving task has ended")]
    Closed,
    /// The queue is at its bound.
    #[error("the queue is full")]
    Full,
}

/// Makes a forward edge for `bound` items.
pub fn forward<T>(bound: usize) -> (Forward<T>, Inbox<T>) {
    let (tx, rx) = mpsc::channel(bound);
    (Forward(tx), rx)
}

/// Makes a back edge for `bound` items.
pub fn back<T>(bound: usize) -> (Back<T>, Inbox<T>) {
    let (tx, rx) = mpsc::channel(bound);
    (Back(tx), rx)
}

impl<T> Clone for Forward<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Back<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Forward<T> {
    /// Delivers, waiting for room.
    ///
    /// # Errors
    /// [`EdgeError::Closed`] if the receiver has ended.
    pub async fn send(&self, item: T) -> Result<(), EdgeError> {
        self.0.send(item).await.map_err(|_| EdgeError::Closed)
    }

    /// Delivers now or not at all.
    ///
    /// # Errors
    /// [`EdgeError::Full`] or [`EdgeError::Closed`].
    pub fn try_send(&self, item: T) -> Result<(), EdgeError> {
        self.0.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EdgeError::Full,
            mpsc::error::TrySendError::Closed(_) => EdgeError::Closed,
        })
    }

    /// Whether the receiver has ended.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Whether both ends lead to the same queue.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl<T> Back<T> {
    /// Delivers at once.
    ///
    /// # Errors
    /// [`EdgeError::Full`] means that the bound's argument was wrong; the caller stops the node or
    /// drops the peer. [`EdgeError::Closed`] is normal while the node stops.
    pub fn send(&self, item: T) -> Result<(), EdgeError> {
        self.0.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EdgeError::Full,
            mpsc::error::TrySendError::Closed(_) => EdgeError::Closed,
        })
    }

    /// Whether the receiver has ended.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
