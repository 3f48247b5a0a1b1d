//! What we say of ourselves: the updates of our channels, and our own announcement. BOLT 7.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::feature::Features;
use wire::id::{NodeId, ShortChannelId, Signature};
use wire::message::{Address, Addresses, ChannelUpdate, NodeAnnouncement};

use crate::fact::ChannelIndex;
use crate::gossip::Standing;
use crate::identity::Identity;
use crate::peers::link::Link;
use crate::switch::policy::{ForwardPolicies, ForwardPolicy};

/// A channel whose peer is away for so long, in milliseconds, is disabled: a restart of the peer's is not
/// worth two rounds of gossip.
const AWAY_MS: u64 = 1_200_000;

/// Our word is said again when it is so old, in seconds: a week, half of what others forget after.
const REFRESH_SECS: u32 = 604_800;

/// What others need to know of our channels' gossip, without asking.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OwnGossip {
    /// Channels that are announced.
    pub announced: BTreeSet<ShortChannelId>,
    /// Our own last word about each channel.
    pub ours: BTreeMap<ChannelIndex, ChannelUpdate>,
    /// The peer's last word about each: what it asks for forwarding to us.
    pub theirs: BTreeMap<ChannelIndex, ChannelUpdate>,
}

/// How we want to be shown.
#[derive(Clone, Debug)]
pub struct Face {
    /// At most 32 bytes.
    pub alias: String,
    /// What it can do. BOLT 9.
    pub features: Features,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// Where we can be reached.
    pub addresses: Vec<Address>,
}

/// One channel of ours.
#[derive(Debug)]
struct Own {
    standing: Standing,
    link: Option<Link>,
    away_since_ms: Option<u64>,
    policy: ForwardPolicy,
    /// What was said last, and on which connection it went to the peer.
    said: Option<ChannelUpdate>,
    told: Option<u64>,
}

/// An update of ours that is to go out.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) index: ChannelIndex,
    pub(super) update: ChannelUpdate,
    /// The peer alone, on its connection; or everybody, if the channel is announced.
    pub(super) to: Option<Link>,
    pub(super) public: bool,
}

/// All channels of ours.
#[derive(Debug)]
pub(super) struct Ours {
    us: Arc<Identity>,
    chain: [u8; 32],
    face: Face,
    channels: BTreeMap<ChannelIndex, Own>,
    pub(super) shown: OwnGossip,
    node: Option<NodeAnnouncement>,
}

impl Ours {
    pub(super) fn new(us: Arc<Identity>, chain: [u8; 32], face: Face) -> Self {
        let channels = BTreeMap::new();
        Self { us, chain, face, channels, shown: OwnGossip::default(), node: None }
    }

    /// A channel stands so now.
    pub(super) fn stands(
        &mut self,
        standing: Standing,
        link: Option<Link>,
        policy: ForwardPolicy,
        now_ms: u64,
    ) {
        let index = standing.index;
        if standing.over {
            self.forget(index);
            return;
        }
        let away_since_ms = link.is_none().then_some(now_ms);
        match self.channels.get_mut(&index) {
            Some(own) => {
                own.away_since_ms = own.away_since_ms.filter(|_| link.is_none()).or(away_since_ms);
                own.standing = standing;
                own.link = link;
                own.policy = policy;
            }
            None => {
                // What is found offline at the start was so before, for all we know.
                let own = Own { standing, link, away_since_ms, policy, said: None, told: None };
                self.channels.insert(index, own);
            }
        }
    }

    /// What we ask for now.
    pub(super) fn set_policies(&mut self, policies: &ForwardPolicies) {
        for (index, own) in &mut self.channels {
            own.policy = policies.of(*index);
        }
    }

    /// Nothing more is said of it.
    pub(super) fn forget(&mut self, index: ChannelIndex) {
        self.channels.remove(&index);
        self.shown.ours.remove(&index);
        self.shown.theirs.remove(&index);
    }

    /// What the disk had of our words: newer ones must have a later date.
    pub(super) fn said_before(&mut self, index: ChannelIndex, update: &ChannelUpdate) {
        if let Some(own) = self.channels.get_mut(&index)
            && own.said.is_none()
        {
            own.said = Some(update.clone());
            self.shown.ours.insert(index, update.clone());
        }
    }

    /// Whether this is one of our channels, and which.
    pub(super) fn of(&self, scid: ShortChannelId) -> Option<(ChannelIndex, NodeId)> {
        let own = self.channels.values().find(|own| {
            let standing = &own.standing;
            [standing.short_id, standing.our_alias, standing.their_alias].contains(&Some(scid))
        })?;
        Some((own.standing.index, own.standing.node))
    }

    /// The peer's word about one of our channels; whether it is news.
    pub(super) fn hear(&mut self, index: ChannelIndex, update: ChannelUpdate) -> bool {
        let old = self.shown.theirs.get(&index);
        let news = old.is_none_or(|old| old.timestamp < update.timestamp);
        if news {
            self.shown.theirs.insert(index, update);
        }
        news
    }

    /// The places of our announced channels.
    pub(super) fn announced(&self) -> &BTreeSet<ShortChannelId> {
        &self.shown.announced
    }

    /// Every update that is to go out now.
    pub(super) fn due(&mut self, now: u32, now_ms: u64) -> Vec<Due> {
        let mut all = Vec::new();
        let second = |node: NodeId, us: NodeId| us > node;
        for own in self.channels.values_mut() {
            let public =
                own.standing.short_id.is_some_and(|scid| self.shown.announced.contains(&scid));
            // BOLT 7: for a channel that is not announced, "an alias it has received from the peer, or
            // the real channel `short_channel_id`".
            let scid = if public {
                own.standing.short_id
            } else {
                let place = own.standing.short_id.filter(|_| !own.standing.alias_only);
                own.standing.their_alias.or(place)
            };
            let Some(scid) = scid else { continue };
            let away =
                own.away_since_ms.is_some_and(|since| now_ms.saturating_sub(since) > AWAY_MS);
            let disabled = away || !own.policy.enabled;
            let side = u8::from(second(own.standing.node, self.us.node_id()));
            let unsigned = ChannelUpdate {
                signature: Signature([0; 64]),
                chain_hash: self.chain,
                short_channel_id: scid,
                timestamp: 0,
                message_flags: if public { 1 } else { 3 },
                channel_flags: side | u8::from(disabled) << 1,
                cltv_expiry_delta: own.policy.cltv_delta,
                htlc_minimum_msat: own
                    .standing
                    .htlc_minimum
                    .to_u64()
                    .max(own.policy.htlc_min.to_u64())
                    .min(own.standing.htlc_maximum_msat),
                fee_base_msat: own.policy.base_msat,
                fee_proportional_millionths: own.policy.ppm,
                htlc_maximum_msat: own.standing.htlc_maximum_msat.min(own.policy.htlc_max.to_u64()),
                extension: wire::codec::Rest::default(),
            };
            let old = own.said.as_ref();
            let same = old.is_some_and(|old| {
                old.checksum() == unsigned.checksum()
                    && now.saturating_sub(old.timestamp) < REFRESH_SECS
            });
            let generation = own.link.as_ref().map(|link| link.generation);
            let update = if same {
                // BOLT 7: the peer needs it on each connection when nobody else can tell it.
                match old {
                    Some(old) if own.told != generation && generation.is_some() && !public => {
                        old.clone()
                    }
                    Some(_) | None => continue,
                }
            } else {
                let after = old.map_or(0, |old| old.timestamp.saturating_add(1));
                let mut update = unsigned;
                update.timestamp = now.max(after);
                update.signature = self.us.sign_gossip(update.digest());
                update
            };
            own.told = generation;
            own.said = Some(update.clone());
            self.shown.ours.insert(own.standing.index, update.clone());
            let index = own.standing.index;
            all.push(Due { index, update, to: own.link.clone(), public });
        }
        all
    }

    /// An update of ours under each name that a sender may have for the channel, its own first.
    pub(super) fn under_all_names(
        &self,
        index: ChannelIndex,
        update: &ChannelUpdate,
    ) -> Vec<ChannelUpdate> {
        let mut all = vec![update.clone()];
        let Some(own) = self.channels.get(&index) else { return all };
        let standing = &own.standing;
        let place = standing.short_id.filter(|_| !standing.alias_only);
        for name in standing.our_alias.into_iter().chain(place) {
            if all.iter().all(|other| other.short_channel_id != name) {
                let mut other = ChannelUpdate { short_channel_id: name, ..update.clone() };
                other.signature = self.us.sign_gossip(other.digest());
                all.push(other);
            }
        }
        all
    }

    /// Our own announcement, if it is to go out now.
    pub(super) fn node_due(&mut self, now: u32) -> Option<NodeAnnouncement> {
        // A node without an announced channel is ignored by everybody. BOLT 7.
        if self.shown.announced.is_empty() {
            return None;
        }
        let mut alias = [0; 32];
        for (to, from) in alias.iter_mut().zip(self.face.alias.bytes()) {
            *to = from;
        }
        let old = self.node.as_ref();
        let mut node = NodeAnnouncement {
            signature: Signature([0; 64]),
            features: self.face.features.clone(),
            timestamp: old.map_or(0, |old| old.timestamp),
            node_id: self.us.node_id(),
            rgb_color: self.face.color,
            alias,
            addresses: Addresses::new(self.face.addresses.clone()),
            extension: wire::codec::Rest::default(),
        };
        let fresh = old.is_some_and(|old| now.saturating_sub(old.timestamp) < REFRESH_SECS);
        let same = fresh && old.is_some_and(|old| old.digest() == node.digest());
        if same {
            return None;
        }
        node.timestamp = now.max(node.timestamp.saturating_add(1));
        node.signature = self.us.sign_gossip(node.digest());
        self.node = Some(node.clone());
        Some(node)
    }

    /// What the disk had of our own announcement.
    pub(super) fn node_said_before(&mut self, node: &NodeAnnouncement) {
        if self.node.as_ref().is_none_or(|old| old.timestamp < node.timestamp) {
            self.node = Some(node.clone());
        }
    }
}
