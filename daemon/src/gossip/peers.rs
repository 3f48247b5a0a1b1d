//! What each peer wants to hear, what it was told, and what we ask it.

use std::collections::BTreeMap;

use routing::gossip::{Book, Filter, Place, Sync};
use wire::feature::Feature;
use wire::id::{NodeId, ShortChannelId};
use wire::units::BlockHeight;

use crate::peers::link::Link;

/// Peers that are asked for everything after a start, one after the other.
const SYNCS: u32 = 3;

/// Peers from which everything that comes is taken.
const LIVE: usize = 5;

/// A peer that does not answer for so long, in milliseconds, is not asked any more.
const PATIENCE_MS: u64 = 60_000;

/// After so long, in milliseconds, one peer is asked for everything again: a day.
const AGAIN_MS: u64 = 86_400_000;

/// How long after something was dropped a peer is asked for it again, in milliseconds: what was too much is over then.
const CALM_MS: u64 = 10_000;

/// What one question may bring, in bytes: 1,000 channels with two updates and two nodes each.
const ANSWER_BYTES: usize = 2 << 20;

/// What the past of a peer that answers no questions may bring, in bytes: the whole network.
const PAST_BYTES: usize = 64 << 20;

/// What a range question may bring, in bytes.
const RANGE_BYTES: usize = 16 << 20;

/// Messages of the past that are told in one turn to one peer, and bytes that may wait to be written
/// before the telling pauses.
const TELL: usize = 256;
const TELL_WAITING: usize = 1 << 20;

/// Answers to questions that wait to be told to one peer.
const ANSWERS_MAX: usize = 200_000;

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Link,
    pub(super) filter: Filter,
    pub(super) sync: Sync,
    asked_ms: u64,
    live: bool,
    /// Where the telling of the past is: channels first, then nodes.
    past: Option<Past>,
    /// What it asked for and did not get yet, and the words after that.
    answers: std::collections::VecDeque<Answer>,
}

#[derive(Clone, Copy, Debug)]
enum Past {
    Channels(Option<ShortChannelId>),
    Nodes(Option<NodeId>),
}

#[derive(Debug)]
pub(super) enum Answer {
    /// A message that lies here.
    Place(Place),
    /// A message made for it.
    Word(Box<wire::message::Message>),
}

impl Peer {
    fn new(link: Link) -> Self {
        Self {
            link,
            filter: Filter::default(),
            sync: Sync::default(),
            asked_ms: 0,
            live: false,
            past: None,
            answers: std::collections::VecDeque::new(),
        }
    }

    /// Whether it understands our questions.
    fn has_queries(&self) -> bool {
        self.link.features.offers(Feature::GossipQueries)
    }

    /// Whether it answers questions about single channels and dates its word: whoever can say that does.
    fn has_extended_queries(&self) -> bool {
        self.link.features.offers(Feature::GossipQueriesEx)
    }

    /// Has it tell all that it knows and all that comes.
    fn ask_for_the_past(&mut self, chain: [u8; 32], now: u32, now_ms: u64) {
        let filter = self.sync.by_filter(chain, now);
        self.asked_ms = now_ms;
        self.live = true;
        self.link.expect(PAST_BYTES);
        self.link.say(&filter);
    }

    /// Puts an answer behind those that wait; `false` when it asks more than anybody needs.
    pub(super) fn answer(&mut self, answer: Answer) -> bool {
        if self.answers.len() >= ANSWERS_MAX {
            return false;
        }
        self.answers.push_back(answer);
        true
    }

    /// It wants to hear what passes `filter`, from its past on.
    pub(super) fn wants(&mut self, filter: Filter, now: u32) {
        self.filter = filter;
        self.past = filter.has_past(now).then_some(Past::Channels(None));
    }

    /// What is to be told it now: answers first, then the past.
    pub(super) fn tell(&mut self, book: &Book) -> Vec<Answer> {
        let mut out = Vec::new();
        if self.link.waiting_bytes() > TELL_WAITING {
            return out;
        }
        while out.len() < TELL
            && let Some(answer) = self.answers.pop_front()
        {
            out.push(answer);
        }
        while out.len() < TELL
            && let Some(past) = self.past
        {
            self.past = self.tell_past(past, book, &mut out);
        }
        out
    }

    /// Whether something waits to be told.
    pub(super) fn has_more(&self) -> bool {
        !self.answers.is_empty() || self.past.is_some()
    }

    fn tell_past(&self, past: Past, book: &Book, out: &mut Vec<Answer>) -> Option<Past> {
        match past {
            Past::Channels(after) => {
                let mut last = after;
                for (scid, channel) in book.after(after).take(TELL) {
                    last = Some(scid);
                    let wanted = channel.updates.iter().flatten();
                    let wanted: Vec<_> =
                        wanted.filter(|update| self.filter.lets(update.timestamp)).collect();
                    // BOLT 7: "If a `channel_announcement` has no corresponding `channel_update`s: MUST
                    // NOT send the `channel_announcement`."
                    if !wanted.is_empty() {
                        out.push(Answer::Place(channel.announcement));
                        out.extend(wanted.into_iter().map(|update| Answer::Place(update.place)));
                    }
                    if out.len() >= TELL {
                        return Some(Past::Channels(last));
                    }
                }
                let more = last != after && book.after(last).next().is_some();
                Some(if more { Past::Channels(last) } else { Past::Nodes(None) })
            }
            Past::Nodes(after) => {
                let mut last = after;
                for (id, node) in book.nodes_after(after).take(TELL) {
                    last = Some(id);
                    if let Some((timestamp, place)) = node.announcement
                        && self.filter.lets(timestamp)
                    {
                        out.push(Answer::Place(place));
                    }
                    if out.len() >= TELL {
                        break;
                    }
                }
                (last != after).then_some(Past::Nodes(last))
            }
        }
    }
}

/// All peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<NodeId, Peer>,
    synced: u32,
    synced_ms: u64,
    /// When gossip was dropped last, if nobody was asked for it again.
    lost_ms: Option<u64>,
}

impl Peers {
    pub(super) fn up(&mut self, link: Link) {
        self.all.insert(link.node, Peer::new(link));
    }

    pub(super) fn down(&mut self, node: NodeId, generation: u64) {
        if self.all.get(&node).is_some_and(|peer| peer.link.generation == generation) {
            self.all.remove(&node);
        }
    }

    /// The peer of a connection that still stands.
    pub(super) fn get(&mut self, link: &Link) -> Option<&mut Peer> {
        self.all.get_mut(&link.node).filter(|peer| peer.link.generation == link.generation)
    }

    pub(super) fn iter(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.all.values_mut()
    }

    /// Asks whom it is time to ask.
    pub(super) fn ask(&mut self, book: &Book, now: u32, now_ms: u64) {
        let mut live = self.all.values().filter(|peer| peer.live).count();
        let asking = self.all.values_mut().any(|peer| {
            // A peer that keeps us waiting is asked no more questions.
            let slow = peer.sync.is_asking() && now_ms.saturating_sub(peer.asked_ms) > PATIENCE_MS;
            if slow {
                tracing::debug!(node = %peer.link.node, "does not answer about gossip");
                peer.ask_for_the_past(*book.chain(), now, now_ms);
            }
            peer.sync.is_asking()
        });
        if self.all.values().filter(|peer| peer.link.has_lost()).count() > 0 {
            self.lost_ms = Some(now_ms);
        }
        let lost = self.lost_ms.is_some_and(|at| now_ms.saturating_sub(at) >= CALM_MS);
        let due = lost || self.synced < SYNCS || now_ms.saturating_sub(self.synced_ms) > AGAIN_MS;
        if due && !asking {
            // Whoever answers questions tells again what was dropped; who does not tells it once.
            let next = self.all.values_mut().find(|peer| {
                let fresh = !peer.sync.is_done() && peer.asked_ms == 0;
                peer.has_queries() && (fresh || (lost && peer.has_extended_queries()))
            });
            if let Some(peer) = next {
                self.lost_ms = None;
                self.synced = self.synced.saturating_add(1);
                self.synced_ms = now_ms;
                if !peer.has_extended_queries() {
                    return peer.ask_for_the_past(*book.chain(), now, now_ms);
                }
                let Some(question) = peer.sync.begin(*book.chain(), BlockHeight(0)) else { return };
                peer.asked_ms = now_ms;
                peer.live = true;
                peer.link.expect(RANGE_BYTES);
                return peer.link.say(&question);
            }
        }
        for peer in self.all.values_mut() {
            if live >= LIVE {
                break;
            }
            if peer.has_queries() && !peer.live && !due {
                peer.live = true;
                live = live.saturating_add(1);
                peer.link.say(&routing::gossip::live(*book.chain(), now));
            }
        }
    }
}

impl Peer {
    /// Says the next question.
    pub(super) fn question(&mut self, question: &wire::message::Message, now_ms: u64) {
        self.asked_ms = now_ms;
        self.link.expect(ANSWER_BYTES);
        self.link.say(question);
    }
}

#[cfg(test)]
mod tests;
