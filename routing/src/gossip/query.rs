//! Answers to a peer that asks what we know. BOLT 7 § Query Messages.

use std::collections::BTreeSet;

use wire::id::{NodeId, ShortChannelId};
use wire::message::{
    ChannelUpdateChecksums, ChannelUpdateTimestamps, Encoded, QueryChannelRange,
    QueryShortChannelIds, ReplyChannelRange,
};
use wire::units::BlockHeight;

use super::book::{Book, Channel, Place};

/// Channels in one `reply_channel_range`: with timestamps and checksums 24 bytes each, below 65,535.
pub const SCIDS_A_REPLY: usize = 2_500;

/// Bits of `query_flags`.
const ANNOUNCEMENT: u64 = 1;
const UPDATE_1: u64 = 1 << 1;
const UPDATE_2: u64 = 1 << 2;
const NODE_1: u64 = 1 << 3;
const NODE_2: u64 = 1 << 4;

/// Everything about a channel.
pub(super) const EVERYTHING: u64 = ANNOUNCEMENT | UPDATE_1 | UPDATE_2 | NODE_1 | NODE_2;

/// What brings the updates of `node_id_1` and `node_id_2`.
pub(super) const fn updates(of_first: bool, of_second: bool) -> u64 {
    let first = if of_first { UPDATE_1 } else { 0 };
    let second = if of_second { UPDATE_2 } else { 0 };
    first | second
}

/// Where the messages lie that a query asks for, in the order in which they must be sent.
pub type Wanted = Vec<Place>;

/// What is known of the channels in a range of blocks, in as many replies as it takes.
pub fn range_replies(book: &Book, query: &QueryChannelRange) -> Vec<ReplyChannelRange> {
    let chain_hash = query.chain_hash;
    let first = query.first_blocknum;
    let end = u64::from(first.0).saturating_add(query.number_of_blocks.into());
    let empty = |first: BlockHeight, end: u64| ReplyChannelRange {
        chain_hash,
        first_blocknum: first,
        number_of_blocks: u32::try_from(end.saturating_sub(first.0.into())).unwrap_or(u32::MAX),
        sync_complete: 0,
        encoded_short_ids: Encoded(Vec::new()),
        timestamps_tlv: None,
        checksums_tlv: None,
    };
    let known: Vec<_> = if *book.chain() == chain_hash {
        (book.from_block(first)).take_while(|(scid, _)| u64::from(scid.block().0) < end).collect()
    } else {
        Vec::new()
    };
    let flags = query.query_option_flags.map_or(0, |flags| flags.0);
    let mut replies: Vec<ReplyChannelRange> = Vec::new();
    let mut from = first;
    let mut chunks = known.chunks(SCIDS_A_REPLY).peekable();
    while let Some(chunk) = chunks.next() {
        let next = chunks.peek().and_then(|chunk| chunk.first()).map(|(scid, _)| scid.block());
        let last = chunk.last().map_or(from, |(scid, _)| scid.block());
        // A reply ends with the block of its last channel, the last one with the range that was asked for.
        let ends = if next.is_some() { u64::from(last.0).saturating_add(1) } else { end };
        let mut reply = empty(from, ends);
        fill(&mut reply, chunk, flags);
        replies.push(reply);
        // A block may be split between replies. BOLT 7.
        from = if next == Some(last) { last } else { last.saturating_add(1) };
    }
    if replies.is_empty() {
        replies.push(empty(first, end));
    }
    // BOLT 7: "MUST set `sync_complete` to `false` if this is not the final `reply_channel_range`."
    if let Some(last) = replies.last_mut() {
        last.sync_complete = 1;
    }
    replies
}

fn fill(reply: &mut ReplyChannelRange, chunk: &[(ShortChannelId, &Channel)], flags: u64) {
    let [first, second] = [0, 1].map(|side| {
        move |channel: &Channel| channel.updates.get(side).copied().flatten().unwrap_or_default()
    });
    reply.encoded_short_ids = Encoded(chunk.iter().map(|(scid, _)| *scid).collect());
    if flags & 1 != 0 {
        let timestamps = chunk.iter().map(|(_, channel)| ChannelUpdateTimestamps {
            timestamp_node_id_1: first(channel).timestamp,
            timestamp_node_id_2: second(channel).timestamp,
        });
        reply.timestamps_tlv = Some(Encoded(timestamps.collect()));
    }
    if flags & 2 != 0 {
        let checksums = chunk.iter().map(|(_, channel)| ChannelUpdateChecksums {
            checksum_node_id_1: first(channel).checksum,
            checksum_node_id_2: second(channel).checksum,
        });
        reply.checksums_tlv = Some(checksums.collect());
    }
}

/// What a peer wants to have of some channels; those we do not know are left out.
pub fn wanted(book: &Book, query: &QueryShortChannelIds) -> Wanted {
    let mut places = Vec::new();
    let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
    let flags = query.query_flags.as_ref().map(|flags| &flags.0);
    for (at, scid) in query.encoded_short_ids.0.iter().enumerate() {
        let Some(channel) = book.channel(*scid).filter(|channel| channel.spent.is_none()) else {
            continue;
        };
        // BOLT 7: "If `query_flags` ... does not [exist]: MUST respond" with everything.
        let flags = flags.map_or(EVERYTHING, |flags| flags.get(at).map_or(0, |flag| flag.0));
        if flags & ANNOUNCEMENT != 0 {
            places.push(channel.announcement);
        }
        let [one, two] = channel.updates;
        let one = one.filter(|_| flags & UPDATE_1 != 0);
        let two = two.filter(|_| flags & UPDATE_2 != 0);
        places.extend(one.into_iter().chain(two).map(|update| update.place));
        let [node_1, node_2] = channel.nodes;
        if flags & NODE_1 != 0 {
            nodes.insert(node_1);
        }
        if flags & NODE_2 != 0 {
            nodes.insert(node_2);
        }
    }
    // BOLT 7: "MUST follow ... with any `node_announcement`s", once each.
    let nodes = nodes.into_iter().filter_map(|node| book.node(node)?.announcement);
    places.extend(nodes.map(|(_, place)| place));
    places
}
