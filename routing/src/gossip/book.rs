//! What is known: which channels and nodes there are, how new the word of each is, and where it lies.
//!
//! The book holds no message, only a [`Place`] for each; its owner keeps the bytes. It says what to
//! believe next and what to forget, and is the same again when it is filled in another order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::OutPoint;
use wire::id::{NodeId, ShortChannelId};
use wire::message::{ChannelAnnouncement, ChannelUpdate, NodeAnnouncement};
use wire::units::{BlockHeight, Sat};

use super::check::{self, Proof, Reject};
use super::{FORGET_BLOCKS, FUTURE_SECS, STALE_SECS};

/// Channels that are known at most: ten times what the network ever had.
const CHANNELS_MAX: usize = 1_000_000;

/// Channels that were refused or closed of which the name is kept, so that they are not looked up again.
const REFUSED_MAX: usize = 65_536;

/// Updates of one direction that may follow one another at once, and seconds that earn one more.
const UPDATES_BURST: u32 = 12;
const UPDATE_EARNED_SECS: u32 = 600;

/// Where a message lies with its keeper.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The first byte.
    pub at: u64,
    /// How many bytes.
    pub len: u32,
}

/// The last word about one direction of a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Update {
    /// Unix seconds.
    pub timestamp: u32,
    /// [`ChannelUpdate::checksum`].
    pub checksum: u32,
    /// Where it lies.
    pub place: Place,
    /// Updates that may follow at once.
    left: u32,
}

/// An announced channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Whose, the lesser id first.
    pub nodes: [NodeId; 2],
    /// Its funding output.
    pub funding: OutPoint,
    /// What that holds.
    pub capacity: Sat,
    /// Where its announcement lies.
    pub announcement: Place,
    /// The last word of each side, in the order of [`Self::nodes`].
    pub updates: [Option<Update>; 2],
    /// The block that spends its funding output.
    pub spent: Option<BlockHeight>,
    /// When it was first believed, Unix seconds.
    pub since: u32,
}

impl Channel {
    /// The newest word about it, by which filters judge its announcement; `None` if there is none yet.
    pub fn newest(&self) -> Option<u32> {
        self.updates.iter().flatten().map(|update| update.timestamp).max()
    }

    /// The older of both sides' words: what decides whether it is stale.
    fn oldest(&self) -> u32 {
        self.updates
            .iter()
            .map(|update| update.map_or(self.since, |update| update.timestamp))
            .min()
            .unwrap_or(self.since)
    }
}

/// A node with at least one channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Node {
    /// How many channels it has.
    pub channels: u32,
    /// When it announced itself last, Unix seconds, and where that lies.
    pub announcement: Option<(u32, Place)>,
}

/// What became of a message at the first gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Weighed<P> {
    /// News, if these signatures hold.
    News(P),
    /// Nothing new.
    Known,
    /// About a channel or node that is not known (any more).
    Unknown,
    /// Not to be believed.
    Rejected(Reject),
}

/// Of a `channel_announcement`.
pub type OfChannel = Weighed<Box<[Proof; 4]>>;
/// Of a `channel_update`.
pub type OfUpdate = Weighed<Proof>;
/// Of a `node_announcement`.
pub type OfNode = Weighed<Proof>;

/// What changed when a message was admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admitted {
    /// It is in the book now.
    New,
    /// It was overtaken on its way: nothing changed.
    Late,
}

/// All that is known of the network.
#[derive(Clone, Debug)]
pub struct Book {
    chain: [u8; 32],
    channels: BTreeMap<ShortChannelId, Channel>,
    by_funding: BTreeMap<OutPoint, ShortChannelId>,
    nodes: BTreeMap<NodeId, Node>,
    spent: BTreeSet<(BlockHeight, ShortChannelId)>,
    refused: BTreeSet<ShortChannelId>,
    refused_order: VecDeque<ShortChannelId>,
}

impl Book {
    /// An empty book about the chain with this genesis hash.
    pub const fn new(chain: [u8; 32]) -> Self {
        Self {
            chain,
            channels: BTreeMap::new(),
            by_funding: BTreeMap::new(),
            nodes: BTreeMap::new(),
            spent: BTreeSet::new(),
            refused: BTreeSet::new(),
            refused_order: VecDeque::new(),
        }
    }

    /// The genesis hash of its chain.
    pub const fn chain(&self) -> &[u8; 32] {
        &self.chain
    }

    /// A channel.
    pub fn channel(&self, scid: ShortChannelId) -> Option<&Channel> {
        self.channels.get(&scid)
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(&node)
    }

    /// How many channels and nodes there are.
    pub fn len(&self) -> (usize, usize) {
        (self.channels.len(), self.nodes.len())
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// All channels whose funding output is not spent, in order.
    pub fn channels(&self) -> impl Iterator<Item = (ShortChannelId, &Channel)> {
        self.from_block(BlockHeight(0))
    }

    /// The same from a block on.
    pub fn from_block(
        &self,
        first: BlockHeight,
    ) -> impl Iterator<Item = (ShortChannelId, &Channel)> {
        let first =
            ShortChannelId::from_parts(first, 0, 0).unwrap_or(ShortChannelId::from_u64(u64::MAX));
        self.channels
            .range(first..)
            .filter(|(_, channel)| channel.spent.is_none())
            .map(|(scid, channel)| (*scid, channel))
    }

    /// The channels behind `scid`, or all: how a long telling goes on where it was.
    pub fn after(
        &self,
        scid: Option<ShortChannelId>,
    ) -> impl Iterator<Item = (ShortChannelId, &Channel)> {
        let from = scid.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.channels
            .range((from, std::ops::Bound::Unbounded))
            .filter(|(_, channel)| channel.spent.is_none())
            .map(|(scid, channel)| (*scid, channel))
    }

    /// All channels, those whose funding output is spent among them.
    pub fn all_channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// The nodes behind `node`, or all, in order of their ids.
    pub fn nodes_after(&self, node: Option<NodeId>) -> impl Iterator<Item = (NodeId, &Node)> {
        let from = node.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.nodes.range((from, std::ops::Bound::Unbounded)).map(|(id, node)| (*id, node))
    }

    /// The first gate of a `channel_announcement`.
    pub fn weigh_channel(&self, announcement: &ChannelAnnouncement) -> OfChannel {
        let proofs = match check::channel(announcement, &self.chain) {
            Ok(proofs) => proofs,
            Err(reject) => return Weighed::Rejected(reject),
        };
        let scid = announcement.short_channel_id;
        if self.channels.contains_key(&scid) {
            return Weighed::Known;
        }
        if self.refused.contains(&scid) {
            return Weighed::Unknown;
        }
        if self.channels.len() >= CHANNELS_MAX {
            return Weighed::Rejected(Reject::Full);
        }
        Weighed::News(Box::new(proofs))
    }

    /// The last gate: all four signatures hold, and Layer 1 has the funding output, unspent and deep
    /// enough, with the script of [`check::funding_script`]. `now` in Unix seconds.
    pub fn admit_channel(
        &mut self,
        announcement: &ChannelAnnouncement,
        (funding, capacity): (OutPoint, Sat),
        place: Place,
        now: u32,
    ) -> Admitted {
        let scid = announcement.short_channel_id;
        if self.channels.contains_key(&scid) {
            return Admitted::Late;
        }
        let nodes = [announcement.node_id_1, announcement.node_id_2];
        for node in nodes {
            let node = self.nodes.entry(node).or_default();
            node.channels = node.channels.saturating_add(1);
        }
        self.by_funding.insert(funding, scid);
        let channel = Channel {
            nodes,
            funding,
            capacity,
            announcement: place,
            updates: [None, None],
            spent: None,
            since: now,
        };
        self.channels.insert(scid, channel);
        Admitted::New
    }

    /// Nobody needs to look at this channel again.
    pub fn refuse(&mut self, scid: ShortChannelId) {
        if self.refused.insert(scid) {
            self.refused_order.push_back(scid);
        }
        while self.refused_order.len() > REFUSED_MAX {
            if let Some(oldest) = self.refused_order.pop_front() {
                self.refused.remove(&oldest);
            }
        }
    }

    /// The first gate of a `channel_update`, `now` in Unix seconds.
    pub fn weigh_update(&self, update: &ChannelUpdate, now: u32) -> OfUpdate {
        if update.chain_hash != self.chain {
            return Weighed::Rejected(Reject::WrongChain);
        }
        // With the bit `dont_forward` it is for the peer alone, and never passed on. BOLT 7.
        if update.is_private() {
            return Weighed::Rejected(Reject::Private);
        }
        let Some(channel) = self.channels.get(&update.short_channel_id) else {
            return Weighed::Unknown;
        };
        // Nothing more is said of a channel whose funding output is spent.
        if channel.spent.is_some() {
            return Weighed::Unknown;
        }
        let side = usize::from(update.is_of_second_node());
        let old = channel.updates.get(side).copied().flatten();
        // BOLT 7: "if the `timestamp` is NOT greater than that of the last-received `channel_update` for
        // this `short_channel_id` AND for `node_id`: SHOULD ignore the message."
        if old.is_some_and(|old| update.timestamp <= old.timestamp) {
            return Weighed::Known;
        }
        // BOLT 7: "if the `timestamp` is unreasonably far in the future: MAY discard"
        if update.timestamp > now.saturating_add(FUTURE_SECS) {
            return Weighed::Rejected(Reject::Future);
        }
        if now.saturating_sub(update.timestamp) > STALE_SECS {
            return Weighed::Rejected(Reject::Old);
        }
        let capacity_msat = channel.capacity.to_sat().saturating_mul(1_000);
        // BOLT 7: "if `htlc_maximum_msat` is greater than channel capacity ... SHOULD ignore this channel
        // during route considerations."
        if update.htlc_maximum_msat > capacity_msat
            || update.htlc_minimum_msat > update.htlc_maximum_msat
        {
            return Weighed::Rejected(Reject::Amounts);
        }
        if old.is_some_and(|old| allowance(&old, update.timestamp) == 0) {
            return Weighed::Rejected(Reject::TooMany);
        }
        let author = channel.nodes.get(side).copied().unwrap_or(NodeId([0; 33]));
        Weighed::News(check::update(update, author))
    }

    /// The last gate: the signature holds.
    pub fn admit_update(&mut self, update: &ChannelUpdate, place: Place) -> Admitted {
        let side = usize::from(update.is_of_second_node());
        let slot = (self.channels.get_mut(&update.short_channel_id))
            .and_then(|channel| channel.updates.get_mut(side));
        let Some(slot) = slot else { return Admitted::Late };
        if slot.is_some_and(|old| update.timestamp <= old.timestamp) {
            return Admitted::Late;
        }
        let left = slot.map_or(UPDATES_BURST, |old| allowance(&old, update.timestamp));
        *slot = Some(Update {
            timestamp: update.timestamp,
            checksum: update.checksum(),
            place,
            left: left.saturating_sub(1),
        });
        Admitted::New
    }

    /// The first gate of a `node_announcement`, `now` in Unix seconds.
    pub fn weigh_node(&self, node: &NodeAnnouncement, now: u32) -> OfNode {
        // BOLT 7: "if `node_id` is NOT previously known from a `channel_announcement` message, OR if
        // `timestamp` is NOT greater than the last-received `node_announcement` from this `node_id`:
        // SHOULD ignore the message."
        let Some(known) = self.nodes.get(&node.node_id) else { return Weighed::Unknown };
        if known.announcement.is_some_and(|(last, _)| node.timestamp <= last) {
            return Weighed::Known;
        }
        if node.timestamp > now.saturating_add(FUTURE_SECS) {
            return Weighed::Rejected(Reject::Future);
        }
        Weighed::News(check::node(node))
    }

    /// The last gate: the signature holds.
    pub fn admit_node(&mut self, node: &NodeAnnouncement, place: Place) -> Admitted {
        let Some(known) = self.nodes.get_mut(&node.node_id) else { return Admitted::Late };
        if known.announcement.is_some_and(|(last, _)| node.timestamp <= last) {
            return Admitted::Late;
        }
        known.announcement = Some((node.timestamp, place));
        Admitted::New
    }

    /// A block spends an output: which channel that ends, if any.
    pub fn spend(&mut self, outpoint: &OutPoint, height: BlockHeight) -> Option<ShortChannelId> {
        let scid = *self.by_funding.get(outpoint)?;
        let channel = self.channels.get_mut(&scid)?;
        channel.spent = Some(height);
        self.spent.insert((height, scid));
        Some(scid)
    }

    /// A reorganisation took all blocks above `fork`: which channels are alive again, and which are not
    /// there any more because their funding was in one of those blocks.
    pub fn reorganised(&mut self, fork: BlockHeight) -> (Vec<ShortChannelId>, Vec<ShortChannelId>) {
        let first = (fork.saturating_add(1), ShortChannelId::from_u64(0));
        let back: Vec<_> = self.spent.split_off(&first).into_iter().map(|(_, scid)| scid).collect();
        for scid in &back {
            if let Some(channel) = self.channels.get_mut(scid) {
                channel.spent = None;
            }
        }
        let gone: Vec<_> = ShortChannelId::from_parts(fork.saturating_add(1), 0, 0)
            .map(|first| self.channels.range(first..).map(|(scid, _)| *scid).collect())
            .unwrap_or_default();
        gone.iter().for_each(|scid| self.remove(*scid));
        (back.into_iter().filter(|scid| !gone.contains(scid)).collect(), gone)
    }

    /// What is forgotten at this height: channels whose funding output was spent long enough ago.
    pub fn forget_spent(&mut self, height: BlockHeight) -> Vec<ShortChannelId> {
        // BOLT 7: "once its funding output has been spent OR reorganized out: SHOULD forget a channel
        // after a 72-block delay."
        let young = height.saturating_sub(FORGET_BLOCKS).saturating_add(1);
        let keep = self.spent.split_off(&(young, ShortChannelId::from_u64(0)));
        let over = std::mem::replace(&mut self.spent, keep);
        let over: Vec<_> = over.into_iter().map(|(_, scid)| scid).collect();
        for scid in &over {
            self.remove(*scid);
            self.refuse(*scid);
        }
        over
    }

    /// What is forgotten at this time, Unix seconds: channels of which one side was silent for too long.
    /// Those in `ours` stay.
    pub fn prune(&mut self, now: u32, ours: &BTreeSet<ShortChannelId>) -> Vec<ShortChannelId> {
        // BOLT 7: "if the `timestamp` of the latest `channel_update` in either direction is older than
        // two weeks (1209600 seconds): MAY prune the channel."
        let stale: Vec<_> = (self.channels.iter())
            .filter(|(scid, channel)| {
                now.saturating_sub(channel.oldest()) > STALE_SECS && !ours.contains(scid)
            })
            .map(|(scid, _)| *scid)
            .collect();
        stale.iter().for_each(|scid| self.remove(*scid));
        stale
    }

    /// Takes a channel out, and its nodes with their last one.
    pub fn remove(&mut self, scid: ShortChannelId) {
        let Some(channel) = self.channels.remove(&scid) else { return };
        self.by_funding.remove(&channel.funding);
        if let Some(height) = channel.spent {
            self.spent.remove(&(height, scid));
        }
        for id in channel.nodes {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.channels = node.channels.saturating_sub(1);
                if node.channels == 0 {
                    self.nodes.remove(&id);
                }
            }
        }
    }

    /// Every message that the book stands on, in an order in which it can be read again.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let channels = self.channels.values().flat_map(|channel| {
            let updates = channel.updates.iter().flatten().map(|update| update.place);
            std::iter::once(channel.announcement).chain(updates)
        });
        let nodes = self.nodes.values().filter_map(|node| Some(node.announcement?.1));
        channels.chain(nodes)
    }

    /// The bytes have moved: `moved` says where each message lies now.
    pub fn relocate(&mut self, moved: impl Fn(Place) -> Place) {
        for channel in self.channels.values_mut() {
            channel.announcement = moved(channel.announcement);
            for update in channel.updates.iter_mut().flatten() {
                update.place = moved(update.place);
            }
        }
        for node in self.nodes.values_mut() {
            if let Some((_, place)) = &mut node.announcement {
                *place = moved(*place);
            }
        }
    }
}

/// How many updates may follow `old` at `now`.
const fn allowance(old: &Update, now: u32) -> u32 {
    let earned = now.saturating_sub(old.timestamp) / UPDATE_EARNED_SECS;
    let left = old.left.saturating_add(earned);
    if left > UPDATES_BURST { UPDATES_BURST } else { left }
}
