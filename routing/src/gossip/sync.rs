//! How a peer is asked for what we do not know: which channels there are, then those that are news, then
//! everything that comes. BOLT 7 § Query Messages.
//!
//! One question at a time is under way with each peer, and what a peer may make us remember is bounded.

use std::collections::VecDeque;

use wire::codec::BigSize;
use wire::id::ShortChannelId;
use wire::message::{
    ChannelUpdateChecksums, ChannelUpdateTimestamps, Encoded, GossipTimestampFilter, Message,
    QueryChannelRange, QueryShortChannelIds, ReplyChannelRange, ReplyShortChannelIdsEnd,
};
use wire::units::BlockHeight;

use super::book::{Book, Channel, Update};
use super::query::{EVERYTHING, updates};

/// Channels that are asked for in one message.
pub const SCIDS_A_QUERY: usize = 1_000;

/// Channels that one peer may name.
const SCIDS_MAX: usize = 1_000_000;

/// Replies to one `query_channel_range`.
const REPLIES_MAX: u32 = 20_000;

/// What a peer did wrong in answering.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SyncFault {
    /// An answer to no question.
    #[error("an answer to no question")]
    Unasked,
    /// Ids that are not ascending, or outside the range of the reply.
    #[error("channel ids that are not ascending")]
    Order,
    /// Timestamps or checksums for another number of channels.
    #[error("not one timestamp and checksum for each channel")]
    Count,
    /// More channels than there can be.
    #[error("more channels than there can be")]
    TooMany,
}

/// How far we are with one peer.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    stage: Stage,
    todo: VecDeque<(ShortChannelId, u64)>,
    named: usize,
    replies: u32,
    last: Option<ShortChannelId>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    /// Nothing was asked.
    #[default]
    Quiet,
    /// Which channels there are.
    Range,
    /// Those that are news.
    Fetch,
    /// Everything that comes.
    Live,
}

impl Sync {
    /// Begins: which channels are there from `first` on? `None` while a question is under way.
    pub fn begin(&mut self, chain: [u8; 32], first: BlockHeight) -> Option<Message> {
        if matches!(self.stage, Stage::Range | Stage::Fetch) {
            return None;
        }
        *self = Self { stage: Stage::Range, ..Self::default() };
        let query = QueryChannelRange {
            chain_hash: chain,
            first_blocknum: first,
            number_of_blocks: u32::MAX.saturating_sub(first.0),
            query_option_flags: Some(BigSize(3)),
        };
        Some(query.into())
    }

    /// Asks for the past without questions, for peers that answer none about single channels (LDK) or do
    /// not say how new their word is: a filter that begins before all that counts.
    ///
    /// It has to be the first filter that the peer hears: LDK looks at no other.
    pub fn by_filter(&mut self, chain: [u8; 32], now: u32) -> Message {
        *self = Self { stage: Stage::Live, ..Self::default() };
        from(chain, now.saturating_sub(super::STALE_SECS))
    }

    /// Whether everything was asked for that this peer has.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Whether a question is under way.
    pub const fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Range | Stage::Fetch)
    }

    /// A part of the answer to [`Self::begin`]; what to say next, if it was the last.
    ///
    /// # Errors
    /// [`SyncFault`]: nothing more is to be asked of this peer.
    pub fn on_range(
        &mut self,
        book: &Book,
        reply: &ReplyChannelRange,
        now: u32,
    ) -> Result<Option<Message>, SyncFault> {
        if self.stage != Stage::Range {
            return Err(SyncFault::Unasked);
        }
        let scids = &reply.encoded_short_ids.0;
        let timestamps = reply.timestamps_tlv.as_ref().map(|all| all.0.as_slice());
        let checksums = reply.checksums_tlv.as_deref();
        let short = |len: Option<usize>| len.is_some_and(|len| len != scids.len());
        if short(timestamps.map(<[_]>::len)) || short(checksums.map(<[_]>::len)) {
            return Err(SyncFault::Count);
        }
        self.replies = self.replies.saturating_add(1);
        self.named = self.named.saturating_add(scids.len());
        if self.named > SCIDS_MAX || self.replies > REPLIES_MAX {
            return Err(SyncFault::TooMany);
        }
        for (at, scid) in scids.iter().enumerate() {
            // BOLT 7: "MUST ... `short_channel_id`s ... in ascending order".
            if self.last.is_some_and(|last| last >= *scid) {
                return Err(SyncFault::Order);
            }
            self.last = Some(*scid);
            let stamps = timestamps.and_then(|all| all.get(at));
            let sums = checksums.and_then(|all| all.get(at));
            let flags = flags(book.channel(*scid), stamps, sums, now);
            if flags != 0 {
                self.todo.push_back((*scid, flags));
            }
        }
        if reply.sync_complete == 0 {
            return Ok(None);
        }
        self.stage = Stage::Fetch;
        Ok(Some(self.next(book, now)))
    }

    /// The peer sent all that one question asked for; what to say next.
    ///
    /// # Errors
    /// [`SyncFault::Unasked`].
    pub fn on_end(
        &mut self,
        book: &Book,
        _end: &ReplyShortChannelIdsEnd,
        now: u32,
    ) -> Result<Message, SyncFault> {
        if self.stage != Stage::Fetch {
            return Err(SyncFault::Unasked);
        }
        Ok(self.next(book, now))
    }

    /// The next channels, or the wish to hear what comes. What another peer sent meanwhile is not asked
    /// for again.
    fn next(&mut self, book: &Book, now: u32) -> Message {
        let chain_hash = *book.chain();
        let mut scids = Vec::new();
        let mut flags = Vec::new();
        while scids.len() < SCIDS_A_QUERY
            && let Some((scid, flag)) = self.todo.pop_front()
        {
            let whole = flag == EVERYTHING;
            if whole && book.channel(scid).is_some_and(|known| known.newest().is_some()) {
                continue;
            }
            scids.push(scid);
            flags.push(BigSize(flag));
        }
        if scids.is_empty() {
            self.stage = Stage::Live;
            return live(chain_hash, now);
        }
        let query = QueryShortChannelIds {
            chain_hash,
            encoded_short_ids: Encoded(scids),
            query_flags: Some(Encoded(flags)),
        };
        query.into()
    }
}

/// The wish to hear everything that comes from about now on: clocks differ, and gossip takes its time.
pub fn live(chain_hash: [u8; 32], now: u32) -> Message {
    from(chain_hash, now.saturating_sub(3_600))
}

fn from(chain_hash: [u8; 32], first_timestamp: u32) -> Message {
    let timestamp_range = u32::MAX.saturating_sub(first_timestamp);
    GossipTimestampFilter { chain_hash, first_timestamp, timestamp_range }.into()
}

/// What to ask of a channel of which the peer has this to say.
fn flags(
    known: Option<&Channel>,
    stamps: Option<&ChannelUpdateTimestamps>,
    sums: Option<&ChannelUpdateChecksums>,
    now: u32,
) -> u64 {
    let Some(known) = known else {
        // What nobody spoke of for two weeks would be pruned at once.
        let newest = stamps.map(|all| all.timestamp_node_id_1.max(all.timestamp_node_id_2));
        let stale = newest
            .is_some_and(|newest| newest != 0 && now.saturating_sub(newest) > super::STALE_SECS);
        return if stale { 0 } else { EVERYTHING };
    };
    if known.spent.is_some() {
        return 0;
    }
    let [first, second] = known.updates.map(Option::unwrap_or_default);
    let differs = |ours: Update, stamp: u32, sum: Option<u32>| {
        let newer = stamp > ours.timestamp;
        // The same again, only later, matters when ours grows old.
        let same = sum == Some(ours.checksum);
        let ageing = now.saturating_sub(ours.timestamp) > super::STALE_SECS / 2;
        newer && (!same || ageing)
    };
    match stamps {
        Some(stamps) => updates(
            differs(first, stamps.timestamp_node_id_1, sums.map(|sums| sums.checksum_node_id_1)),
            differs(second, stamps.timestamp_node_id_2, sums.map(|sums| sums.checksum_node_id_2)),
        ),
        // It does not say how new its word is: only what we lack is worth a question.
        None => {
            let [first, second] = known.updates.map(|update| update.is_none());
            updates(first, second)
        }
    }
}
