//! Who runs which channel: the one map from names to doors.
//!
//! A channel puts itself in before anything under its name can come back, so a reader that hears a
//! name always finds the door. Holders read a snapshot; nobody waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use channel::Command;
use tokio::sync::watch;
use wire::id::{ChannelId, NodeId, ShortChannelId};
use wire::message::Message;
use wire::units::Msat;

use crate::channels::task::{Ask, ChainNews};
use crate::edge::{Back, Forward};
use crate::fact::ChannelIndex;
use crate::payments::sent::Sent;
use crate::rpc::model::payment::Payment;
use crate::tower::Position;

/// A message and the connection it came by.
#[derive(Debug)]
pub struct Heard {
    /// [`crate::peers::link::Link::generation`].
    pub generation: u64,
    /// What was said.
    pub message: Message,
}

/// What others may want to know at every moment, without asking.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Glance {
    /// Whether an HTLC can be offered now.
    pub usable: bool,
    /// The most that can be sent now.
    pub can_send: Msat,
    /// The least that can be sent now.
    pub least: Msat,
    /// Its place in the chain.
    pub short_id: Option<ShortChannelId>,
    /// Whether no HTLC will ever be offered over it again.
    pub closing: bool,
    /// Whether it is on its way to Layer 1 without the peer, or there.
    pub broken: bool,
    /// HTLCs that the peer lets us have in flight.
    pub slots: u16,
    /// What the peer lets us have in flight, in msat.
    pub in_flight_max_msat: u64,
    /// What we asked the peer to call it: payers of invoices may name it so.
    pub alias: Option<ShortChannelId>,
    /// Whether payers may name it so only.
    pub alias_only: bool,
    /// How many states the peer has revoked.
    pub revoked: u64,
    /// Changes when what is in flight does, for towers (`tower::Now::mark`).
    pub in_flight: (u64, usize),
    /// What we own in it, in whole satoshis.
    pub ours_sat: u64,
    /// How far it is, as checkpoints tell it.
    pub position: Option<Position>,
    /// Whether its data may be an older copy.
    pub quarantined: bool,
}

impl Glance {
    /// What it is called, and whether payers may call it that.
    fn names(&self) -> impl Iterator<Item = (ShortChannelId, bool)> + use<> {
        let place = self.short_id.map(|place| (place, !self.alias_only));
        place.into_iter().chain(self.alias.map(|alias| (alias, true)))
    }
}

/// How to reach the task of a channel.
#[derive(Clone, Debug)]
pub struct Door {
    /// Which channel.
    pub index: ChannelIndex,
    /// With whom.
    pub node: NodeId,
    /// Its present id: temporary until it is funded.
    pub id: ChannelId,
    /// What the peer says.
    pub messages: Forward<Heard>,
    /// What payments and the switch decide about HTLCs; bounded by the HTLCs there can be.
    pub commands: Back<Vec<Command>>,
    /// What users want.
    pub asks: Forward<Ask>,
    /// What happens on Layer 1.
    pub chain: Forward<ChainNews>,
    /// How it stands.
    pub glance: watch::Receiver<Glance>,
}

/// All doors at one moment.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    by_index: BTreeMap<ChannelIndex, Door>,
    by_id: BTreeMap<(NodeId, ChannelId), ChannelIndex>,
    /// Places in the chain and aliases, and whether payers may use them.
    by_name: BTreeMap<ShortChannelId, (ChannelIndex, bool)>,
}

impl Doors {
    /// By the name the peer uses. Names of other peers' channels are not found.
    pub fn heard_by(&self, node: NodeId, id: ChannelId) -> Option<&Door> {
        self.by_id.get(&(node, id)).and_then(|index| self.by_index.get(index))
    }

    /// By index.
    pub fn get(&self, index: ChannelIndex) -> Option<&Door> {
        self.by_index.get(&index)
    }

    /// By id, whoever the peer is.
    pub fn with_id(&self, id: ChannelId) -> Option<&Door> {
        self.by_index.values().find(|door| door.id == id)
    }

    /// By place in the chain, or by alias, whatever the channel is.
    pub fn with_short_id(&self, id: ShortChannelId) -> Option<&Door> {
        let (index, _) = self.by_name.get(&id)?;
        self.by_index.get(index)
    }

    /// The channel that a payer means: one whose place in the chain is nobody's business is found by its
    /// alias alone.
    pub fn named_by_payer(&self, id: ShortChannelId) -> Option<&Door> {
        // BOLT 2: "if `channel_type` has `option_scid_alias` set: - MUST NOT allow incoming HTLCs to this
        // channel using the real `short_channel_id`"
        let (index, told) = self.by_name.get(&id)?;
        told.then(|| self.by_index.get(index)).flatten()
    }

    fn name(&mut self, index: ChannelIndex, glance: &Glance) {
        self.by_name.retain(|_, (named, _)| *named != index);
        for (name, told) in glance.names() {
            self.by_name.entry(name).or_insert((index, told));
        }
    }

    /// All channels with a peer.
    pub fn of(&self, node: NodeId) -> impl Iterator<Item = &Door> {
        self.by_index.values().filter(move |door| door.node == node)
    }

    /// A payment as users see it, with the names of channels that still run.
    pub fn show(&self, sent: &Sent) -> Payment {
        sent.show(|index| {
            let door = self.get(ChannelIndex(index));
            (door.map(|door| door.id), door.and_then(|door| door.glance.borrow().short_id))
        })
    }

    /// All channels, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Door> {
        self.by_index.values()
    }
}

/// The map itself.
#[derive(Clone, Debug)]
pub struct Directory(watch::Sender<Arc<Doors>>);

impl Default for Directory {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl Directory {
    /// The doors now.
    pub fn doors(&self) -> Arc<Doors> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts a channel in.
    pub fn insert(&self, door: Door) {
        self.0.send_modify(|doors| {
            let doors = Arc::make_mut(doors);
            doors.by_id.insert((door.node, door.id), door.index);
            let glance = *door.glance.borrow();
            doors.name(door.index, &glance);
            doors.by_index.insert(door.index, door);
        });
    }

    /// Gives a channel its lasting id. It still answers to the temporary one: a message may be under
    /// way.
    pub fn rename(&self, index: ChannelIndex, id: ChannelId) {
        self.0.send_modify(|doors| {
            let doors = Arc::make_mut(doors);
            if let Some(door) = doors.by_index.get_mut(&index) {
                door.id = id;
                doors.by_id.insert((door.node, id), index);
            }
        });
    }

    /// A channel is called what its glance says from now on.
    pub fn name(&self, index: ChannelIndex, glance: &Glance) {
        self.0.send_modify(|doors| {
            if doors.by_index.contains_key(&index) {
                Arc::make_mut(doors).name(index, glance);
            }
        });
    }

    /// Lets a channel hear what is said under the id it is about to get, and says whether it may: no two
    /// channels have the same funding output, whoever the peers are.
    pub fn claim(&self, index: ChannelIndex, id: ChannelId) -> bool {
        let mut free = false;
        self.0.send_if_modified(|doors| {
            let other = |((_, taken), named): (&(NodeId, ChannelId), &ChannelIndex)| {
                *taken == id && *named != index
            };
            free = !doors.by_id.iter().any(other);
            if !free {
                return false;
            }
            let doors = Arc::make_mut(doors);
            if let Some(node) = doors.by_index.get(&index).map(|door| door.node) {
                doors.by_id.insert((node, id), index);
            }
            true
        });
        free
    }

    /// Takes a channel out.
    pub fn remove(&self, index: ChannelIndex) {
        self.0.send_modify(|doors| {
            let doors = Arc::make_mut(doors);
            doors.by_index.remove(&index);
            doors.by_id.retain(|_, named| *named != index);
            doors.by_name.retain(|_, (named, _)| *named != index);
        });
    }

    /// Whether a peer already uses this id with us, as temporary or lasting one.
    pub fn is_taken(&self, id: ChannelId) -> bool {
        self.0.borrow().by_id.range(..).any(|((_, taken), _)| *taken == id)
    }

    /// To hear of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Doors>> {
        self.0.subscribe()
    }
}
