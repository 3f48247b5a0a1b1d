//! The gates that what peers say goes through.

use std::collections::BTreeSet;

use routing::gossip::{ANNOUNCE_DEPTH, Admitted, Proof, Reject, Weighed};
use wire::id::{ChannelId, NodeId, ShortChannelId};
use wire::message::{ChannelAnnouncement, ChannelUpdate, Message, NodeAnnouncement};

use crate::gossip::early::AHEAD;
use crate::gossip::file::{Entry, Found};
use crate::gossip::shown::{shown_channel, shown_node};
use crate::gossip::{Fresh, Gossip, Heard, Kind, now_secs, verify};
use crate::peers::link::Link;

impl Gossip {
    pub(super) fn admit_channel(
        &mut self,
        announcement: &ChannelAnnouncement,
        found: Found,
        from: Option<NodeId>,
    ) {
        let scid = announcement.short_channel_id;
        if self.book.channel(scid).is_some() {
            return;
        }
        let message = Message::from(announcement.clone());
        let place = self.keep(&[Entry::Channel(found, message.encode_frame())]);
        let place = place.first().copied().unwrap_or_default();
        let funding = (found.funding, found.capacity);
        if self.book.admit_channel(announcement, funding, place, now_secs()) == Admitted::Late {
            return;
        }
        self.change(&shown_channel(announcement, found.capacity));
        let us = self.start.us.node_id();
        let ours = announcement.node_id_1 == us || announcement.node_id_2 == us;
        if ours {
            self.ours.shown.announced.insert(scid);
        }
        match from {
            Some(_) if !ours => {
                self.push_fresh(Fresh { place, kind: Kind::Channel(scid), from });
            }
            // Our own goes out at once even if its other end was first to complete it: our update follows
            // at once, and nobody takes that before the announcement.
            Some(_) | None => self.say_to_all(&message),
        }
    }

    pub(super) fn admit_update(&mut self, update: &ChannelUpdate, from: Option<NodeId>) {
        let message = Message::from(update.clone());
        let place = self.keep(&[Entry::Word(message.encode_frame())]);
        let place = place.first().copied().unwrap_or_default();
        if self.book.admit_update(update, place) == Admitted::Late {
            return;
        }
        self.dead_bytes = self.dead_bytes.saturating_add(place.len.into());
        self.change_policy(update);
        match from {
            None => self.say_to_all(&message),
            Some(_) => {
                self.push_fresh(Fresh { place, kind: Kind::Word(update.timestamp), from });
            }
        }
    }

    pub(super) fn admit_node(&mut self, node: &NodeAnnouncement, from: Option<NodeId>) {
        let message = Message::from(node.clone());
        let place = self.keep(&[Entry::Word(message.encode_frame())]);
        let place = place.first().copied().unwrap_or_default();
        if self.book.admit_node(node, place) == Admitted::Late {
            return;
        }
        self.dead_bytes = self.dead_bytes.saturating_add(place.len.into());
        self.change(&shown_node(node));
        match from {
            None => self.say_to_all(&message),
            Some(_) => self.push_fresh(Fresh { place, kind: Kind::Word(node.timestamp), from }),
        }
    }

    /// What peers said: announcements first, then what builds on them, then the ends of answers.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only gossip comes here")]
    pub(super) async fn hear(&mut self, heard: Vec<Heard>) {
        let mut channels = Vec::new();
        let mut updates = Vec::new();
        let mut nodes = Vec::new();
        let mut rest = Vec::new();
        for Heard { link, message } in heard {
            match message {
                Message::ChannelAnnouncement(announcement) => channels.push((link, *announcement)),
                Message::ChannelUpdate(update) => updates.push((link, *update)),
                Message::NodeAnnouncement(node) => nodes.push((link, *node)),
                other => rest.push((link, other)),
            }
        }
        self.hear_channels(channels).await;
        self.hear_updates(updates).await;
        self.hear_nodes(nodes).await;
        for (link, message) in rest {
            self.hear_question(&link, message);
        }
        self.tell();
    }

    pub(super) async fn hear_channels(&mut self, heard: Vec<(Link, ChannelAnnouncement)>) {
        let mut news = Vec::new();
        let mut claims = Vec::new();
        let mut seen = BTreeSet::new();
        for (link, announcement) in heard {
            match self.book.weigh_channel(&announcement) {
                Weighed::News(proofs) if seen.insert(announcement.short_channel_id) => {
                    claims.push(proofs.to_vec());
                    news.push((link, announcement));
                }
                Weighed::News(_) | Weighed::Known | Weighed::Unknown => {}
                Weighed::Rejected(reject) => rejected(&link, reject),
            }
        }
        // Channels of one block come one after the other, so that it is read once.
        let mut held: Vec<_> = news.into_iter().zip(verify::hold(claims).await).collect();
        held.sort_by_key(|((_, announcement), _)| announcement.short_channel_id);
        for ((link, announcement), holds) in held {
            if !holds {
                forged(&link);
                continue;
            }
            match self.fundings.find(&announcement, self.tip).await {
                Ok(Ok(found)) => {
                    self.admit_channel(&announcement, found, Some(link.node));
                    self.hear_waiting(&announcement).await;
                }
                Ok(Err(reject)) => self.not_funded(link, announcement, reject),
                Err(error) => tracing::debug!(%error, "a funding output cannot be looked up now"),
            }
        }
    }

    /// One whose blocks we have not seen waits for them; for what else has no funding, nobody looks again.
    fn not_funded(&mut self, link: Link, announcement: ChannelAnnouncement, reject: Reject) {
        let block = announcement.short_channel_id.block().0;
        let deep = block.saturating_add(ANNOUNCE_DEPTH) <= self.tip.saturating_add(1);
        if deep {
            rejected(&link, reject);
            self.book.refuse(announcement.short_channel_id);
        } else if block <= self.tip.saturating_add(AHEAD) {
            self.early.channel(link, announcement);
        }
    }

    /// What the new block made ripe.
    pub(super) async fn hear_early(&mut self) {
        let block = self.tip.saturating_add(1).saturating_sub(ANNOUNCE_DEPTH);
        let ripe = self.early.take_channels(block);
        if !ripe.is_empty() {
            self.hear_channels(ripe).await;
        }
    }

    /// What waited for a channel that is believed now.
    pub(super) async fn hear_waiting(&mut self, announcement: &ChannelAnnouncement) {
        let ends = [announcement.node_id_1, announcement.node_id_2];
        let (updates, nodes) = self.early.take_of(announcement.short_channel_id, ends);
        if !updates.is_empty() {
            self.hear_updates(updates).await;
        }
        if !nodes.is_empty() {
            self.hear_nodes(nodes).await;
        }
    }

    pub(super) async fn hear_updates(&mut self, heard: Vec<(Link, ChannelUpdate)>) {
        let now = now_secs();
        let mut news = Vec::new();
        let mut claims = Vec::new();
        for (link, update) in heard {
            if !self.hear_of_ours(&link, &update) && update.is_private() {
                // Our end of the channel may not be ready yet.
                self.early.update(link, update);
                continue;
            }
            match self.book.weigh_update(&update, now) {
                Weighed::News(proof) => {
                    claims.push(vec![proof]);
                    news.push((link, update));
                }
                Weighed::Known => {}
                Weighed::Unknown => self.early.update(link, update),
                Weighed::Rejected(reject) => rejected(&link, reject),
            }
        }
        for ((link, update), holds) in news.into_iter().zip(verify::hold(claims).await) {
            if !holds {
                forged(&link);
            } else if matches!(self.book.weigh_update(&update, now), Weighed::News(_)) {
                self.admit_update(&update, Some(link.node));
            }
        }
    }

    /// What a peer says of a channel that it has with us; `false` if we know of no such channel.
    fn hear_of_ours(&mut self, link: &Link, update: &ChannelUpdate) -> bool {
        let Some((index, node)) = self.ours.of(update.short_channel_id) else { return false };
        let proof = Proof { digest: update.digest(), signature: update.signature, key: node };
        if node == link.node && proof.holds() {
            self.ours.hear(index, update.clone());
        }
        true
    }

    /// What a peer said of a channel before our end of it was ready.
    pub(super) fn hear_early_of_ours(&mut self, names: [Option<ShortChannelId>; 3]) {
        for name in names.into_iter().flatten() {
            for (link, update) in self.early.take_of_ours(name) {
                self.hear_of_ours(&link, &update);
            }
        }
    }

    pub(super) async fn hear_nodes(&mut self, heard: Vec<(Link, NodeAnnouncement)>) {
        let now = now_secs();
        let mut news = Vec::new();
        let mut claims = Vec::new();
        for (link, node) in heard {
            match self.book.weigh_node(&node, now) {
                Weighed::News(proof) => {
                    claims.push(vec![proof]);
                    news.push((link, node));
                }
                Weighed::Known => {}
                Weighed::Unknown => self.early.node(link, node),
                Weighed::Rejected(reject) => rejected(&link, reject),
            }
        }
        for ((link, node), holds) in news.into_iter().zip(verify::hold(claims).await) {
            if !holds {
                forged(&link);
            } else if matches!(self.book.weigh_node(&node, now), Weighed::News(_)) {
                self.admit_node(&node, Some(link.node));
            }
        }
    }
}

fn rejected(link: &Link, reject: Reject) {
    tracing::debug!(node = %link.node, %reject, "gossip not believed");
}

/// BOLT 7: "SHOULD send a `warning`. MAY close the connection."
fn forged(link: &Link) {
    tracing::info!(node = %link.node, "gossip with a forged signature");
    link.warn_and_close(ChannelId::ALL, "a signature in your gossip does not hold");
}
