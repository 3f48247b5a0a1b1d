//! What is said: our own at once, answers, the past, and what others said at each flush.

use std::sync::Arc;

use routing::gossip::{Filter, range_replies, wanted};
use wire::id::ChannelId;
use wire::message::{Message, ReplyShortChannelIdsEnd};

use crate::clock::now_ms;
use crate::gossip::peers::Answer;
use crate::gossip::{FRESH_MAX, Fresh, Gossip, Kind, now_secs};
use crate::peers::link::Link;

impl Gossip {
    /// Says what is due of our own, at once and to everybody. BOLT 7: "SHOULD send gossip messages as it
    /// generates them regardless of `timestamp`."
    pub(super) fn speak(&mut self) {
        let policies = Arc::clone(&self.start.policies.borrow());
        self.ours.set_policies(&policies);
        let now = now_secs();
        for due in self.ours.due(now, now_ms()) {
            let update = due.update;
            self.start.updates.publish(due.index, &self.ours.under_all_names(due.index, &update));
            if due.public {
                self.admit_update(&update, None);
            } else if let Some(link) = due.to {
                link.say(&update.into());
            }
        }
        if let Some(node) = self.ours.node_due(now) {
            self.admit_node(&node, None);
        }
        self.start.own.send_if_modified(|shown| {
            let changed = **shown != self.ours.shown;
            if changed {
                *shown = Arc::new(self.ours.shown.clone());
            }
            changed
        });
    }

    /// Tells answers, and the past to those who asked for it.
    pub(super) fn tell(&mut self) {
        let mut file = self.file.as_mut();
        for peer in self.peers.iter().filter(|peer| peer.has_more()) {
            for answer in peer.tell(&self.book) {
                match answer {
                    Answer::Word(message) => peer.link.say(&message),
                    Answer::Place(place) => {
                        let frame = file.as_mut().and_then(|file| file.read(place).ok());
                        if let Some(frame) = frame.filter(|frame| !frame.is_empty()) {
                            peer.link.say_frame(frame);
                        }
                    }
                }
            }
        }
    }

    /// Tells on what others said since the last time, to those whose filter lets it through.
    pub(super) fn flush(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        for one in fresh {
            let timestamp = match one.kind {
                Kind::Word(timestamp) => timestamp,
                Kind::Channel(scid) => {
                    match self.book.channel(scid).and_then(routing::gossip::Channel::newest) {
                        Some(newest) => newest,
                        // It is told with its first update.
                        None => {
                            if self.book.channel(scid).is_some() && self.fresh.len() < FRESH_MAX {
                                self.fresh.push(one);
                            }
                            continue;
                        }
                    }
                }
            };
            let Some(frame) = self.file.as_mut().and_then(|file| file.read(one.place).ok()) else {
                continue;
            };
            for peer in self.peers.iter() {
                if Some(peer.link.node) != one.from && peer.filter.lets(timestamp) {
                    peer.link.say_frame(frame.clone());
                }
            }
        }
    }

    pub(super) fn push_fresh(&mut self, fresh: Fresh) {
        if self.fresh.len() < FRESH_MAX {
            self.fresh.push(fresh);
        }
    }

    /// Ours goes to everybody at once.
    pub(super) fn say_to_all(&mut self, message: &Message) {
        let frame = message.encode_frame();
        for peer in self.peers.iter() {
            peer.link.say_frame(frame.clone());
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest was sorted out before")]
    pub(super) fn hear_question(&mut self, link: &Link, message: Message) {
        let now = now_secs();
        let Some(peer) = self.peers.get(link) else { return };
        let next = match message {
            Message::QueryChannelRange(query) => {
                let replies = range_replies(&self.book, &query).into_iter();
                let fits = replies
                    .map(|reply| Answer::Word(Box::new(reply.into())))
                    .all(|answer| peer.answer(answer));
                if !fits {
                    link.cut();
                }
                return;
            }
            Message::QueryShortChannelIds(query) => {
                let chain_hash = query.chain_hash;
                let places = wanted(&self.book, &query).into_iter().map(Answer::Place);
                let full_information = u8::from(chain_hash == *self.book.chain());
                let end = ReplyShortChannelIdsEnd { chain_hash, full_information };
                let end = Answer::Word(Box::new(end.into()));
                if !places.chain([end]).all(|answer| peer.answer(answer)) {
                    link.cut();
                }
                return;
            }
            Message::GossipTimestampFilter(filter) => {
                if filter.chain_hash == self.start.chain {
                    peer.wants(Filter::of(&filter), now);
                }
                return;
            }
            Message::ReplyChannelRange(reply) => peer.sync.on_range(&self.book, &reply, now),
            Message::ReplyShortChannelIdsEnd(end) => {
                peer.sync.on_end(&self.book, &end, now).map(Some)
            }
            _ => return,
        };
        match next {
            Ok(Some(question)) => peer.question(&question, now_ms()),
            Ok(None) => {}
            Err(fault) => {
                tracing::debug!(node = %link.node, %fault, "gossip");
                link.warn_and_close(ChannelId::ALL, &fault.to_string());
            }
        }
    }
}
