//! Which gossip a peer wants. BOLT 7 § The `gossip_timestamp_filter` Message.

use wire::message::GossipTimestampFilter;

/// A span of timestamps; the default lets nothing through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    first: u32,
    range: u32,
}

impl Filter {
    /// What a peer asked for; the last word counts.
    pub const fn of(message: &GossipTimestampFilter) -> Self {
        Self { first: message.first_timestamp, range: message.timestamp_range }
    }

    /// Whether it lets a message with this timestamp through.
    pub const fn lets(self, timestamp: u32) -> bool {
        // BOLT 7: "whose `timestamp` is greater or equal to `first_timestamp`, and less than
        // `first_timestamp` plus `timestamp_range`"
        match timestamp.checked_sub(self.first) {
            Some(after) => after < self.range,
            None => false,
        }
    }

    /// Whether it lets anything through that is `now` or older: then there is a past to be told.
    pub const fn has_past(self, now: u32) -> bool {
        self.range > 0 && self.first <= now
    }
}
