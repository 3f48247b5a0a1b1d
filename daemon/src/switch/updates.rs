//! Our own `channel_update`s, for failures that are to carry one. BOLT 4 § Failure Messages.
//!
//! Not here: who makes and signs them; until somebody does, failures go without.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use wire::onion::failure::ChannelUpdateBytes;

use crate::fact::ChannelIndex;

/// The newest `channel_update` of each channel of ours, without its message type.
#[derive(Clone, Debug)]
pub struct OwnUpdates(watch::Sender<Arc<BTreeMap<ChannelIndex, ChannelUpdateBytes>>>);

impl Default for OwnUpdates {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl OwnUpdates {
    /// Makes this one the newest of its channel.
    pub fn publish(&self, channel: ChannelIndex, update: ChannelUpdateBytes) {
        self.0.send_modify(|all| {
            Arc::make_mut(all).insert(channel, update);
        });
    }

    /// Drops that of a channel that is over.
    pub fn remove(&self, channel: ChannelIndex) {
        self.0.send_modify(|all| {
            Arc::make_mut(all).remove(&channel);
        });
    }

    /// The newest of a channel, or empty.
    pub fn of(&self, channel: ChannelIndex) -> ChannelUpdateBytes {
        self.0.borrow().get(&channel).cloned().unwrap_or_default()
    }
}
