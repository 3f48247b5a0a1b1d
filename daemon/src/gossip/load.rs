//! What the disk had, and writing it anew.

use std::collections::BTreeMap;

use routing::gossip::{Admitted, Book, Place};
use routing::graph::{Graph, GraphUpdate};
use wire::id::{NodeId, ShortChannelId};
use wire::message::{ChannelUpdate, Message, NodeAnnouncement};

use crate::gossip::file::{Entry, Found, GossipFile};
use crate::gossip::shown::{shown_channel, shown_node, shown_policy};
use crate::gossip::{Gossip, REWRITE_BYTES, now_secs};

/// What is read at the start.
struct Loaded {
    book: Book,
    graph: Graph,
    file: Option<GossipFile>,
    live_bytes: u64,
    updates: Vec<ChannelUpdate>,
    node: Option<NodeAnnouncement>,
}

impl Gossip {
    /// Reads the file, on a thread of its own. A node whose disk cannot be read has no gossip kept.
    pub(super) async fn load(&mut self) {
        let (path, chain, us) =
            (self.start.path.clone(), self.start.chain, self.start.us.node_id());
        let loaded = tokio::task::spawn_blocking(move || load(&path, chain, us)).await;
        let Ok(loaded) = loaded else { return };
        if loaded.file.is_none() {
            tracing::warn!("gossip cannot be kept on disk; it is asked of peers after each start");
        }
        let len = loaded.file.as_ref().map_or(0, GossipFile::len);
        self.dead_bytes = len.saturating_sub(loaded.live_bytes);
        self.book = loaded.book;
        self.graph = loaded.graph;
        self.file = loaded.file;
        self.graph_changed = true;
        for update in loaded.updates {
            self.own_before(&update);
        }
        if let Some(node) = loaded.node {
            self.ours.node_said_before(&node);
        }
        let (channels, nodes) = self.book.len();
        tracing::info!(channels, nodes, "gossip loaded");
        self.compact();
        self.announced_before();
        self.show();
    }

    /// Those of our channels whose announcement is known already.
    pub(super) fn announced_before(&mut self) {
        let us = self.start.us.node_id();
        let announced = self.book.channels().filter(|(_, channel)| channel.nodes.contains(&us));
        self.ours.shown.announced = announced.map(|(scid, _)| scid).collect();
    }

    pub(super) fn own_before(&mut self, update: &ChannelUpdate) {
        if let Some((index, _)) = self.ours.of(update.short_channel_id) {
            self.ours.said_before(index, update);
        }
    }

    pub(super) fn compact(&mut self) {
        // Places that wait to be told must not move.
        if self.peers.iter().any(|peer| peer.has_more()) {
            return;
        }
        let Some(file) = self.file.as_mut() else { return };
        if file.len() < REWRITE_BYTES || self.dead_bytes.saturating_mul(2) < file.len() {
            return;
        }
        let found: BTreeMap<Place, Found> = (self.book.all_channels())
            .map(|channel| {
                let found = Found { funding: channel.funding, capacity: channel.capacity };
                (channel.announcement, found)
            })
            .collect();
        let places: Vec<_> = self.book.places().collect();
        let entries = places.into_iter().map(|place| (place, found.get(&place).copied()));
        match file.rewrite(entries) {
            Ok(moved) => {
                let moved: BTreeMap<_, _> = moved.into_iter().collect();
                self.book.relocate(|place| moved.get(&place).copied().unwrap_or(place));
                // What waits to be told lies elsewhere now.
                for fresh in &mut self.fresh {
                    fresh.place = moved.get(&fresh.place).copied().unwrap_or(fresh.place);
                }
                self.dead_bytes = 0;
            }
            Err(error) => tracing::warn!(%error, "gossip cannot be written anew"),
        }
    }

    /// What we said of a channel of ours before a restart.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else lies there")]
    pub(super) fn our_update(&mut self, scid: ShortChannelId) -> Option<ChannelUpdate> {
        let channel = self.book.channel(scid)?;
        let us = self.start.us.node_id();
        let side = channel.nodes.iter().position(|node| *node == us)?;
        let place = channel.updates.get(side).copied().flatten()?.place;
        match self.read(place)? {
            Message::ChannelUpdate(update) => Some(*update),
            _ => None,
        }
    }
}

/// Reads the file into a book and a graph. Its messages were believed before.
fn load(path: &std::path::Path, chain: [u8; 32], us: NodeId) -> Loaded {
    let mut book = Book::new(chain);
    let mut graph = Graph::new();
    let mut ours = BTreeMap::new();
    let mut our_node = None;
    let opened = GossipFile::open(path, chain, |entry, place| {
        let (found, frame) = match entry {
            Entry::Gone(scid) => {
                book.remove(scid);
                let _known = graph.apply(&GraphUpdate::ChannelRemoved(scid));
                return;
            }
            Entry::Channel(found, frame) => (Some(found), frame),
            Entry::Word(frame) => (None, frame),
        };
        let Ok(Some(message)) = Message::decode_frame(&frame) else { return };
        let update = match (message, found) {
            (Message::ChannelAnnouncement(announcement), Some(found)) => {
                let funding = (found.funding, found.capacity);
                book.admit_channel(&announcement, funding, place, now_secs());
                Some(shown_channel(&announcement, found.capacity))
            }
            (Message::ChannelUpdate(update), None) => {
                let admitted = book.admit_update(&update, place) == Admitted::New;
                let by_us = (book.channel(update.short_channel_id)).is_some_and(|channel| {
                    channel.nodes.get(usize::from(update.is_of_second_node())) == Some(&us)
                });
                let shown = shown_policy(&update).filter(|_| admitted);
                if admitted && by_us {
                    ours.insert(update.short_channel_id, *update);
                }
                shown
            }
            (Message::NodeAnnouncement(node), None) => {
                let admitted = book.admit_node(&node, place) == Admitted::New;
                let shown = Some(shown_node(&node)).filter(|_| admitted);
                if admitted && node.node_id == us {
                    our_node = Some(*node);
                }
                shown
            }
            _ => None,
        };
        if let Some(update) = update {
            let _known = graph.apply(&update);
        }
    });
    let file = opened.inspect_err(|error| tracing::warn!(%error, "gossip file")).ok();
    let live_bytes = book.places().map(|place| u64::from(place.len).saturating_add(9)).sum();
    Loaded { book, graph, file, live_bytes, updates: ours.into_values().collect(), node: our_node }
}
