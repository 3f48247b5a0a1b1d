//! What is said to peers about blobs, theirs and ours, and when. BOLT 1 § Peer Storage.
//!
//! As a server: whoever has a channel with us may have one blob kept, replaced at most once a minute, and
//! gets it back first thing on every connection. As a client: our newest backup goes to every peer with a
//! channel that offers it, at most once a minute, and never while somebody holds a newer one.

use std::collections::{BTreeMap, BTreeSet};

use wire::feature::Feature;
use wire::id::NodeId;
use wire::message::{PeerStorage, PeerStorageRetrieval};

use super::content::Backup;
use super::shelf::Shelf;
use super::task::Keeper;
use crate::peers::link::Link;

/// How often a blob is replaced at most, ours and a peer's, in milliseconds. BOLT 1: "MAY delay storage to
/// ratelimit peer to no more than one update per minute."
const EVERY_MS: u64 = 60_000;

/// How long a fresh connection is left for the peer to give back what it has, in milliseconds: our blob
/// would replace the proof that our journal is an older copy.
const LISTEN_MS: u64 = 2_000;

/// Peers whose backups of ours are remembered, at most.
const GIVEN_BACK_MAX: usize = 64;

/// A connection.
#[derive(Debug)]
struct Present {
    link: Link,
    since_ms: u64,
}

/// Blobs, theirs and ours.
#[derive(Debug)]
pub(super) struct Traffic {
    shelf: Shelf,
    present: BTreeMap<NodeId, Present>,
    addresses: BTreeMap<NodeId, String>,
    /// Blobs of peers that wait for their minute.
    pending: BTreeMap<NodeId, Vec<u8>>,
    /// When a peer's blob was kept last.
    kept_ms: BTreeMap<NodeId, u64>,
    /// Which backup a peer was given last, and when.
    sent: BTreeMap<NodeId, (u64, u64)>,
    /// What peers gave back.
    given_back: BTreeMap<NodeId, Backup>,
}

impl Traffic {
    pub(super) const fn new(shelf: Shelf) -> Self {
        Self {
            shelf,
            present: BTreeMap::new(),
            addresses: BTreeMap::new(),
            pending: BTreeMap::new(),
            kept_ms: BTreeMap::new(),
            sent: BTreeMap::new(),
            given_back: BTreeMap::new(),
        }
    }

    /// Where a connected peer was reached.
    pub(super) fn address(&self, node: NodeId) -> Option<&str> {
        self.addresses.get(&node).map(String::as_str)
    }

    /// A connection is gone.
    pub(super) fn part(&mut self, node: NodeId, generation: u64) {
        if self.present.get(&node).is_some_and(|peer| peer.link.generation == generation) {
            self.present.remove(&node);
            self.addresses.remove(&node);
        }
    }

    /// All that peers gave back.
    pub(super) fn given_back(&self) -> Option<Backup> {
        Backup::union(self.given_back.values())
    }

    pub(super) fn holders(&self) -> Vec<(NodeId, u64)> {
        self.sent.iter().map(|(node, (counter, _))| (*node, *counter)).collect()
    }

    pub(super) fn kept_for(&self) -> u32 {
        u32::try_from(self.shelf.owners().count()).unwrap_or(u32::MAX)
    }
}

impl Keeper {
    /// A connection stands. BOLT 1: "MUST send `peer_storage_retrieval` again after reconnection, after
    /// exchanging `init` messages."
    pub(super) async fn meet(&mut self, link: Link, address: Option<String>, now_ms: u64) {
        let node = link.node;
        let shelf = self.traffic.shelf.clone();
        let kept = tokio::task::spawn_blocking(move || shelf.get(node)).await;
        // What still waits for its minute is the last that was said.
        let blob = match (self.traffic.pending.get(&node), kept) {
            (Some(blob), _) => Some(blob.clone()),
            (None, Ok(Ok(blob))) => blob,
            (None, Ok(Err(error))) => {
                tracing::error!(%node, %error, "what we keep for a peer cannot be read");
                None
            }
            (None, Err(_)) => None,
        };
        if let Some(blob) = blob {
            link.say(&PeerStorageRetrieval { blob }.into());
        }
        if let Some(address) = address {
            self.moved(node, &address);
            self.traffic.addresses.insert(node, address);
        }
        self.traffic.present.insert(node, Present { link, since_ms: now_ms });
    }

    /// BOLT 1: "if it has an open channel with the sender: - MUST store the message."
    pub(super) async fn asked_to_keep(&mut self, node: NodeId, blob: Vec<u8>, now_ms: u64) {
        if !self.has_channel_with(node) {
            tracing::debug!(%node, "nothing is kept for a peer without a channel");
            return;
        }
        self.traffic.pending.insert(node, blob);
        self.keep_pending(node, now_ms).await;
    }

    fn has_channel_with(&self, node: NodeId) -> bool {
        self.entries.values().any(|entry| entry.node == node)
    }

    async fn keep_pending(&mut self, node: NodeId, now_ms: u64) {
        let traffic = &mut self.traffic;
        let last = traffic.kept_ms.get(&node);
        if last.is_some_and(|last| now_ms < last.saturating_add(EVERY_MS)) {
            return;
        }
        let Some(blob) = traffic.pending.remove(&node) else { return };
        traffic.kept_ms.insert(node, now_ms);
        let mut shelf = traffic.shelf.clone();
        let put = tokio::task::spawn_blocking(move || {
            let put = shelf.put(node, &blob);
            (shelf, put)
        });
        let Ok((shelf, put)) = put.await else { return };
        self.traffic.shelf = shelf;
        match put {
            Ok(true) => {}
            Ok(false) => tracing::warn!(%node, "no room is left to keep something for this peer"),
            Err(error) => tracing::error!(%node, %error, "what a peer gave us is not kept"),
        }
    }

    /// A peer gave something back: our newest backup, an older one, or a newer one than we know of.
    pub(super) fn given_back(&mut self, node: NodeId, blob: &[u8], now_ms: u64) {
        let backup = match self.open(blob) {
            Ok(backup) => backup,
            Err(fault) => {
                tracing::warn!(%node, %fault, "what the peer kept for us is not what we gave it");
                self.traffic.sent.remove(&node);
                return;
            }
        };
        let counter = backup.counter;
        let news = self.is_news(&backup);
        let room = self.traffic.given_back.len() < GIVEN_BACK_MAX;
        if room || self.traffic.given_back.contains_key(&node) {
            self.traffic.given_back.insert(node, backup);
        }
        if news {
            self.fall_behind(Some(node), counter);
        }
        let sent = self.traffic.sent.get(&node).map_or(0, |(_, at_ms)| *at_ms);
        if self.newest.as_ref().is_some_and(|newest| newest.counter == counter) {
            self.traffic.sent.insert(node, (counter, now_ms));
        } else if sent > 0 {
            // It does not have the newest: it is given that again.
            self.traffic.sent.insert(node, (counter, sent));
        }
    }

    /// A tower had a backup of ours, sealed by other means: our newest, an older one, or a newer one than we
    /// know of.
    pub(super) fn told(&mut self, holder: NodeId, backup: Backup) {
        let (counter, news) = (backup.counter, self.is_news(&backup));
        let room = self.traffic.given_back.len() < GIVEN_BACK_MAX;
        if room || self.traffic.given_back.contains_key(&holder) {
            self.traffic.given_back.insert(holder, backup);
        }
        if news {
            self.fall_behind(Some(holder), counter);
        }
    }

    /// Does what is due.
    pub(super) async fn attend(&mut self, now_ms: u64) {
        self.lend(now_ms);
        for node in self.traffic.pending.keys().copied().collect::<Vec<_>>() {
            self.keep_pending(node, now_ms).await;
        }
        let with: BTreeSet<_> = self.entries.values().map(|entry| entry.node).collect();
        let height = *self.height.borrow();
        self.traffic.sent.retain(|node, _| with.contains(node));
        if !self.traffic.shelf.is_untidy(&with, height) {
            return;
        }
        let mut shelf = self.traffic.shelf.clone();
        let tidied = tokio::task::spawn_blocking(move || {
            let tidied = shelf.tidy(&with, height);
            (shelf, tidied)
        });
        let Ok((shelf, tidied)) = tidied.await else { return };
        self.traffic.shelf = shelf;
        let owners: BTreeSet<_> = self.traffic.shelf.owners().collect();
        self.traffic.kept_ms.retain(|node, _| owners.contains(node));
        if let Err(error) = tidied {
            tracing::error!(%error, "what is kept for peers cannot be tidied");
        }
    }

    /// Gives our newest backup to every peer with a channel that offers to keep it and does not have it.
    fn lend(&mut self, now_ms: u64) {
        let Some(newest) = self.newest.clone() else { return };
        if self.ahead.borrow().is_some() {
            return;
        }
        let with: BTreeSet<_> = self.entries.values().map(|entry| entry.node).collect();
        let traffic = &mut self.traffic;
        for (node, peer) in traffic.present.iter().filter(|(node, _)| with.contains(*node)) {
            let offers = peer.link.features.offers(Feature::ProvideStorage);
            let listened = peer.since_ms.saturating_add(LISTEN_MS) <= now_ms;
            let due = traffic.sent.get(node).is_none_or(|(counter, at_ms)| {
                *counter != newest.counter && at_ms.saturating_add(EVERY_MS) <= now_ms
            });
            if offers && listened && due {
                peer.link.say(&PeerStorage { blob: newest.blob.to_vec() }.into());
                traffic.sent.insert(*node, (newest.counter, now_ms));
            }
        }
    }
}
