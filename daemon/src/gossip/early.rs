//! Gossip that came too early: of a channel whose last confirmation we have not seen yet, or before the
//! announcement that it builds on.
//!
//! Blocks and gossip reach nodes by different ways. What is a little ahead of us waits here, a bounded
//! amount of it, and is looked at again when its time has come.

use std::collections::BTreeMap;

use wire::id::{NodeId, ShortChannelId};
use wire::message::{ChannelAnnouncement, ChannelUpdate, NodeAnnouncement};

use crate::peers::link::Link;

/// Messages of each kind that may wait.
const WAITING_MAX: usize = 2_048;

/// How many blocks ahead of us an announcement may be. BOLT 7 asks for six confirmations; peers are asked
/// again for what is further off.
pub(super) const AHEAD: u32 = 12;

/// What waited for a channel: updates of it and announcements of its ends, with who said them.
type Waited = (Vec<(Link, ChannelUpdate)>, Vec<(Link, NodeAnnouncement)>);

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Early {
    channels: BTreeMap<ShortChannelId, (Link, ChannelAnnouncement)>,
    updates: BTreeMap<(ShortChannelId, bool), (Link, ChannelUpdate)>,
    nodes: BTreeMap<NodeId, (Link, NodeAnnouncement)>,
}

impl Early {
    /// An announcement waits for blocks. What lies furthest ahead gives way when there is no room.
    pub(super) fn channel(&mut self, link: Link, announcement: ChannelAnnouncement) {
        self.channels.insert(announcement.short_channel_id, (link, announcement));
        if self.channels.len() > WAITING_MAX {
            self.channels.pop_last();
        }
    }

    /// An update waits for its channel.
    pub(super) fn update(&mut self, link: Link, update: ChannelUpdate) {
        let name = (update.short_channel_id, update.is_of_second_node());
        let newer = self.updates.get(&name).is_none_or(|(_, old)| old.timestamp < update.timestamp);
        if newer {
            self.updates.insert(name, (link, update));
        }
        if self.updates.len() > WAITING_MAX {
            self.updates.pop_first();
        }
    }

    /// A node waits for its first channel.
    pub(super) fn node(&mut self, link: Link, node: NodeAnnouncement) {
        let id = node.node_id;
        let newer = self.nodes.get(&id).is_none_or(|(_, old)| old.timestamp < node.timestamp);
        if newer {
            self.nodes.insert(id, (link, node));
        }
        if self.nodes.len() > WAITING_MAX {
            self.nodes.pop_first();
        }
    }

    /// Announcements of channels funded in this block or before.
    pub(super) fn take_channels(&mut self, block: u32) -> Vec<(Link, ChannelAnnouncement)> {
        let due = |scid: &ShortChannelId| scid.block().0 <= block;
        let scids: Vec<_> = self.channels.keys().copied().take_while(due).collect();
        scids.iter().filter_map(|scid| self.channels.remove(scid)).collect()
    }

    /// What was said of a channel by a peer that has it with us, before our end was ready. Not every peer
    /// sets `dont_forward` (LDK does not); what is not private may be of an announced channel and stays.
    pub(super) fn take_of_ours(&mut self, scid: ShortChannelId) -> Vec<(Link, ChannelUpdate)> {
        let mut all = Vec::new();
        for name in [(scid, false), (scid, true)] {
            let Some((link, update)) = self.updates.get(&name) else { continue };
            all.push((link.clone(), update.clone()));
            if update.is_private() {
                self.updates.remove(&name);
            }
        }
        all
    }

    /// What waited for this channel and its ends.
    pub(super) fn take_of(&mut self, scid: ShortChannelId, nodes: [NodeId; 2]) -> Waited {
        let updates =
            [false, true].into_iter().filter_map(|side| self.updates.remove(&(scid, side)));
        let updates = updates.collect();
        (updates, nodes.into_iter().filter_map(|node| self.nodes.remove(&node)).collect())
    }
}
