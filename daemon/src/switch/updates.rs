//! Our own `channel_update`s, for failures that are to carry one. BOLT 4 § Failure Messages.
//!
//! Not here: who makes and signs them; until somebody does, failures go without.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use wire::codec::Encode as _;
use wire::id::ShortChannelId;
use wire::message::ChannelUpdate;
use wire::onion::failure::ChannelUpdateBytes;

use crate::fact::ChannelIndex;

/// What a channel of ours says under each of its names, without the message type.
type Named = BTreeMap<ShortChannelId, ChannelUpdateBytes>;

/// The newest `channel_update`s of each channel of ours.
#[derive(Clone, Debug)]
pub struct OwnUpdates(watch::Sender<Arc<BTreeMap<ChannelIndex, Named>>>);

impl Default for OwnUpdates {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl OwnUpdates {
    /// Makes these the newest of their channel, each under the name that is in it.
    pub fn publish(&self, channel: ChannelIndex, updates: &[ChannelUpdate]) {
        let bytes = |update: &ChannelUpdate| {
            (update.short_channel_id, ChannelUpdateBytes(update.encoded()))
        };
        let named = updates.iter().map(bytes).collect();
        self.0.send_modify(|all| {
            Arc::make_mut(all).insert(channel, named);
        });
    }

    /// Drops that of a channel that is over.
    pub fn remove(&self, channel: ChannelIndex) {
        self.0.send_modify(|all| {
            Arc::make_mut(all).remove(&channel);
        });
    }

    /// The newest of a channel under the name that a sender used for it, or empty: another name would be
    /// news to that sender.
    pub fn of(&self, channel: ChannelIndex, name: ShortChannelId) -> ChannelUpdateBytes {
        let all = self.0.borrow();
        all.get(&channel).and_then(|named| named.get(&name)).cloned().unwrap_or_default()
    }
}
