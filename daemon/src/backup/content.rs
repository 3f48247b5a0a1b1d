//! What a backup says: of every channel, what it takes to find it, to ask its peer, and to take our
//! balance.

use bitcoin::{Amount, OutPoint};
use channel::Channel;
use channel::clock::Side;
use channel::fact::Restored;
use channel::keys::ChannelBasepoints;
use channel::{Kind, Params, Terms};
use wire::codec::{Decode, DecodeError, Encode, Long, Reader};
use wire::id::{ChannelId, NodeId};
use wire::units::{BlockHeight, FeeratePerKw, Msat};

use crate::channels::view::Meta;
use crate::fact::{ChannelBorn, Text};

/// A backup, open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backup {
    /// Rises with every backup of a node, also across a restore.
    pub counter: u64,
    /// When it was made, Unix milliseconds.
    pub made_ms: u64,
    /// Whose it is.
    pub node: NodeId,
    /// How many channels the node had. More than are named where room was short.
    pub all: u32,
    /// The channels, in order of their index.
    pub channels: Vec<Entry>,
}

/// One channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its lasting number: its keys follow from that and the seed.
    pub index: u64,
    /// With whom.
    pub node: NodeId,
    /// Where the peer was reached last, `host:port`; empty if it always called us.
    pub address: Text,
    /// Where the coins are.
    pub funding: OutPoint,
    /// What it holds.
    pub capacity: Amount,
    /// The height at which it was created.
    pub created: BlockHeight,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// Whether we funded it.
    pub funder: bool,
    /// Whether it is announced.
    pub announce: bool,
    /// Blocks we wait for our money on our own commitment.
    pub our_delay: u16,
    /// Blocks the peer waits for its.
    pub their_delay: u16,
    /// The peer's public keys.
    pub their_keys: ChannelBasepoints,
}

macro_rules! fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( self.$field.encode(out); )*
            }
        }

        impl Decode for $name {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $( $field: Decode::decode(r)?, )* })
            }
        }
    };
}

fields! { Entry {
    index, node, address, funding, capacity, created, created_ms, funder, announce, our_delay,
    their_delay, their_keys,
} }

impl Encode for Backup {
    fn encode(&self, out: &mut Vec<u8>) {
        self.counter.encode(out);
        self.made_ms.encode(out);
        self.node.encode(out);
        self.all.encode(out);
        Long(self.channels.clone()).encode(out);
    }
}

impl Decode for Backup {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            counter: Decode::decode(r)?,
            made_ms: Decode::decode(r)?,
            node: Decode::decode(r)?,
            all: Decode::decode(r)?,
            channels: Long::decode(r)?.0,
        })
    }
}

impl Backup {
    /// The same with as many channels as fit `size` bytes, those that hold most first.
    #[must_use]
    pub fn fitting(&self, size: usize) -> Self {
        let mut by_worth: Vec<&Entry> = self.channels.iter().collect();
        by_worth.sort_by_key(|entry| (std::cmp::Reverse(entry.capacity), entry.index));
        let mut room = size.saturating_sub(Self { channels: Vec::new(), ..*self }.encoded().len());
        let mut channels = Vec::new();
        for entry in by_worth {
            if let Some(left) = room.checked_sub(entry.encoded().len()) {
                room = left;
                channels.push(entry.clone());
            }
        }
        channels.sort_by_key(|entry| entry.index);
        Self { channels, ..*self }
    }

    /// All channels that any of these name, as of the newest. `None` without any.
    pub fn union<'a>(backups: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut newest_first: Vec<&Self> = backups.into_iter().collect();
        newest_first.sort_by_key(|backup| std::cmp::Reverse(backup.counter));
        let mut all = (*newest_first.first()?).clone();
        for backup in newest_first {
            for entry in &backup.channels {
                if !all.channels.iter().any(|known| known.funding == entry.funding) {
                    all.channels.push(entry.clone());
                }
            }
        }
        all.channels.sort_by_key(|entry| entry.index);
        Some(all)
    }

    /// The lowest index for which it is certain that no channel of before had it: so many channels are not
    /// opened between two backups. Keys follow from it, and keys are never used twice.
    #[must_use]
    pub fn free_index(&self) -> u64 {
        const LEAP: u64 = 1 << 16;
        let highest = self.channels.iter().map(|entry| entry.index).max();
        highest.unwrap_or(0).saturating_add(LEAP)
    }
}

impl Entry {
    /// Of a channel at start, from its birth. `None` for one that is not funded, or over.
    #[must_use]
    pub fn of(born: &ChannelBorn, channel: &Channel, address: &str) -> Option<Self> {
        let state = channel.state()?;
        let funding = state.fundings.first()?;
        if channel.is_over() {
            return None;
        }
        let terms = &state.terms;
        Some(Self {
            index: born.index,
            node: born.node,
            address: address.into(),
            funding: funding.outpoint,
            capacity: funding.value,
            created: state.created,
            created_ms: born.created_ms,
            funder: terms.funder == Side::Us,
            announce: born.announce,
            our_delay: terms.them.to_self_delay,
            their_delay: terms.us.to_self_delay,
            their_keys: terms.their_keys,
        })
    }

    /// Of a channel that runs.
    #[must_use]
    pub fn running(meta: &Meta, channel: &Channel) -> Option<Self> {
        let born = ChannelBorn {
            index: meta.index,
            node: meta.node,
            created_ms: meta.created_ms,
            announce: meta.announce,
            funder: false,
        };
        Self::of(&born, channel, "")
    }

    /// The channel's name.
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        let index = u16::try_from(self.funding.vout).unwrap_or(u16::MAX);
        ChannelId::v1(&self.funding.txid, index)
    }

    /// How the channel was born.
    #[must_use]
    pub const fn born(&self) -> ChannelBorn {
        ChannelBorn {
            index: self.index,
            node: self.node,
            created_ms: self.created_ms,
            announce: self.announce,
            funder: self.funder,
        }
    }

    /// What the channel is restored from. `our_keys` follow from the seed and its index; what is swept goes
    /// to `home`, a script of the wallet's.
    #[must_use]
    pub fn restored(&self, our_keys: ChannelBasepoints, home: bitcoin::ScriptBuf) -> Restored {
        let params = Params::for_capacity(self.capacity);
        let terms = Terms {
            funder: if self.funder { Side::Us } else { Side::Them },
            announce: self.announce,
            kind: Kind::default(),
            capacity: self.capacity,
            push: Msat::ZERO,
            first_feerate: FeeratePerKw::FLOOR,
            minimum_depth: 1,
            us: Params { to_self_delay: self.their_delay, ..params },
            them: Params { to_self_delay: self.our_delay, ..params },
            our_keys,
            their_keys: self.their_keys,
            our_upfront_shutdown: None,
            their_upfront_shutdown: None,
            shutdown_script: home,
            alias: None,
        };
        Restored { terms, funding: self.funding, created: self.created }
    }
}
