//! Messages of gossip as the graph takes them.

use routing::graph::{ChannelAnnounced, Direction, GraphUpdate, NodeAnnounced, Policy};
use wire::message::{ChannelAnnouncement, ChannelUpdate, NodeAnnouncement};
use wire::units::{CltvDelta, Msat, Sat};

pub(super) fn shown_channel(announcement: &ChannelAnnouncement, capacity: Sat) -> GraphUpdate {
    GraphUpdate::ChannelAnnounced(ChannelAnnounced {
        scid: announcement.short_channel_id,
        nodes: [announcement.node_id_1, announcement.node_id_2],
        capacity: Some(capacity),
        features: announcement.features.clone(),
    })
}

pub(super) fn shown_policy(update: &ChannelUpdate) -> Option<GraphUpdate> {
    Some(GraphUpdate::ChannelUpdated {
        scid: update.short_channel_id,
        direction: Direction::from_bit(update.is_of_second_node()),
        policy: Policy {
            timestamp: update.timestamp,
            enabled: !update.is_disabled(),
            cltv_expiry_delta: CltvDelta(update.cltv_expiry_delta),
            htlc_minimum: Msat::new(update.htlc_minimum_msat)?,
            htlc_maximum: Msat::new(update.htlc_maximum_msat)?,
            fee_base_msat: update.fee_base_msat,
            fee_proportional_millionths: update.fee_proportional_millionths,
        },
    })
}

pub(super) fn shown_node(node: &NodeAnnouncement) -> GraphUpdate {
    GraphUpdate::NodeAnnounced(NodeAnnounced {
        id: node.node_id,
        timestamp: node.timestamp,
        features: node.features.clone(),
        alias: node.alias,
        color: node.rgb_color,
    })
}
