//! What nodes tell each other about the network (BOLT 7).
//!
//! Gossip is passed on for others, so its points and amounts are kept as raw bytes and numbers: a bad
//! value is its author's fault, never a reason to drop the peer that relayed it. What follows the last
//! known field is kept too, because signatures cover it.
//!
//! Not here: whether an announcement is true (`routing::gossip`).

use bitcoin::hashes::{Hash, sha256d};

use crate::codec::{BigSize, Encode, Rest};
use crate::feature::Features;
use crate::id::{ChannelId, NodeId, ShortChannelId, Signature};
use crate::message::address::Addresses;
use crate::message::array::Encoded;
use crate::units::BlockHeight;

messages! {
    /// One side's signatures for a `channel_announcement`. BOLT 7 § The `announcement_signatures` Message.
    259 "announcement_signatures" => AnnouncementSignatures {
        channel_id: ChannelId,
        short_channel_id: ShortChannelId,
        node_signature: Signature,
        bitcoin_signature: Signature,
    }

    /// Proves that two nodes own a channel. BOLT 7 § The `channel_announcement` Message.
    256 "channel_announcement" => ChannelAnnouncement {
        node_signature_1: Signature,
        node_signature_2: Signature,
        bitcoin_signature_1: Signature,
        bitcoin_signature_2: Signature,
        features: Features,
        chain_hash: [u8; 32],
        short_channel_id: ShortChannelId,
        /// The lesser of the two.
        node_id_1: NodeId,
        node_id_2: NodeId,
        /// The funding key of `node_id_1`; not sorted itself.
        bitcoin_key_1: NodeId,
        bitcoin_key_2: NodeId,
        extension: Rest,
    }

    /// Says how a node wants to be shown and reached. BOLT 7 § The `node_announcement` Message.
    257 "node_announcement" => NodeAnnouncement {
        signature: Signature,
        features: Features,
        timestamp: u32,
        node_id: NodeId,
        rgb_color: [u8; 3],
        /// Claims to be UTF-8 with zeros behind it; [`NodeAnnouncement::alias_text`] is safe to show.
        alias: [u8; 32],
        addresses: Addresses,
        extension: Rest,
    }

    /// What one direction of a channel asks for forwarding. BOLT 7 § The `channel_update` Message.
    258 "channel_update" => ChannelUpdate {
        signature: Signature,
        chain_hash: [u8; 32],
        short_channel_id: ShortChannelId,
        timestamp: u32,
        /// Bit 0 is always set; bit 1 is `dont_forward`.
        message_flags: u8,
        /// Bit 0 is the direction, bit 1 is `disable`.
        channel_flags: u8,
        /// In blocks.
        cltv_expiry_delta: u16,
        htlc_minimum_msat: u64,
        fee_base_msat: u32,
        fee_proportional_millionths: u32,
        htlc_maximum_msat: u64,
        extension: Rest,
    }

    /// Asks for the announcements of these channels. BOLT 7 § Query Messages.
    261 "query_short_channel_ids" => QueryShortChannelIds {
        chain_hash: [u8; 32],
        encoded_short_ids: Encoded<ShortChannelId>,
    } + tlvs {
        /// What is wanted of each channel, in the same order.
        1 => query_flags: Encoded<BigSize>,
    }

    /// All that was asked for has been sent. BOLT 7 § Query Messages.
    262 "reply_short_channel_ids_end" => ReplyShortChannelIdsEnd {
        chain_hash: [u8; 32],
        /// 0: the sender does not follow this chain.
        full_information: u8,
    }

    /// Asks which channels were funded in a range of blocks. BOLT 7 § Query Messages.
    263 "query_channel_range" => QueryChannelRange {
        chain_hash: [u8; 32],
        first_blocknum: BlockHeight,
        number_of_blocks: u32,
    } + tlvs {
        /// Bit 0 asks for timestamps, bit 1 for checksums (record `query_option`).
        1 => query_option_flags: BigSize,
    }

    /// Channels funded in a range of blocks, or in a part of it. BOLT 7 § Query Messages.
    264 "reply_channel_range" => ReplyChannelRange {
        chain_hash: [u8; 32],
        first_blocknum: BlockHeight,
        number_of_blocks: u32,
        /// 1 in the last reply.
        sync_complete: u8,
        encoded_short_ids: Encoded<ShortChannelId>,
    } + tlvs {
        1 => timestamps_tlv: Encoded<ChannelUpdateTimestamps>,
        3 => checksums_tlv: Vec<ChannelUpdateChecksums>,
    }

    /// From here on, relay gossip with these timestamps. BOLT 7 § The `gossip_timestamp_filter` Message.
    265 "gossip_timestamp_filter" => GossipTimestampFilter {
        chain_hash: [u8; 32],
        first_timestamp: u32,
        timestamp_range: u32,
    }
}

subtypes! {
    /// When each side last updated a channel, in Unix seconds; 0 for never.
    ChannelUpdateTimestamps {
        /// Of `node_id_1`.
        timestamp_node_id_1: u32,
        /// Of `node_id_2`.
        timestamp_node_id_2: u32,
    }

    /// What each side's last update says, as [`ChannelUpdate::checksum`]; 0 for none.
    ChannelUpdateChecksums {
        /// Of `node_id_1`.
        checksum_node_id_1: u32,
        /// Of `node_id_2`.
        checksum_node_id_2: u32,
    }
}

impl ChannelAnnouncement {
    /// What all four signatures sign, unknown tail included.
    pub fn digest(&self) -> [u8; 32] {
        // BOLT 7: "double-SHA256 hash `h` of the message, beginning at offset 256, up to the end of
        // the message"
        digest_after(self, 256)
    }
}

impl NodeAnnouncement {
    /// What the signature signs, unknown tail included.
    pub fn digest(&self) -> [u8; 32] {
        digest_after(self, 64)
    }

    /// The alias without its zeros, with everything that could disturb a terminal replaced.
    pub fn alias_text(&self) -> String {
        let end =
            self.alias.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let text = String::from_utf8_lossy(self.alias.get(..end).unwrap_or_default());
        text.chars().map(|c| if is_safe(c) { c } else { '\u{fffd}' }).collect()
    }
}

impl ChannelUpdate {
    /// What the signature signs, unknown tail included.
    pub fn digest(&self) -> [u8; 32] {
        digest_after(self, 64)
    }

    /// Whether this comes from `node_id_2` of the announcement.
    pub const fn is_of_second_node(&self) -> bool {
        self.channel_flags & 1 != 0
    }

    /// Whether the channel does not forward for now.
    pub const fn is_disabled(&self) -> bool {
        self.channel_flags & 2 != 0
    }

    /// Whether this must not be passed on: the channel is not announced.
    pub const fn is_private(&self) -> bool {
        self.message_flags & 2 != 0
    }

    /// The CRC32C of everything but signature and timestamp (BOLT 7 § Query Messages).
    pub fn checksum(&self) -> u32 {
        let body = self.encoded();
        // 64 bytes of signature, then chain hash and short channel id (40), then the timestamp (4).
        let before = body.get(64..104).unwrap_or_default();
        let after = body.get(108..).unwrap_or_default();
        crc32c::crc32c_append(crc32c::crc32c(before), after)
    }
}

fn digest_after(message: &impl Encode, offset: usize) -> [u8; 32] {
    let body = message.encoded();
    sha256d::Hash::hash(body.get(offset..).unwrap_or_default()).to_byte_array()
}

/// Neither a control character nor one that changes the direction of the text around it.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
