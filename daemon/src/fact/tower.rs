//! The bodies of facts about towers that watch for us, version 1.
//!
//! What a tower was told is not among them: that follows from the channels. These say which towers there
//! are, how each session was opened, and how far it came.

use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::NodeId;

use super::body::{Text, bodies};

bodies! {
    /// A tower is to watch for us.
    TowerKept {
        /// Its key.
        tower: NodeId,
        /// Where it is: `host:port`.
        address: Text,
        /// What it is given (`watchtower::message::KIT_SEALED`, `KIT_REPLICA`).
        kit: u8,
        /// Since when, Unix milliseconds.
        at_ms: u64,
    }

    /// A session with a tower is about to be opened: from now on its template never changes.
    TowerSession {
        /// The tower.
        tower: NodeId,
        /// The index of the channel it is for.
        channel: u64,
        /// Which session with this tower for this channel, from 0: its key follows from it.
        number: u32,
        /// The kit of the template.
        kit: u8,
        /// The template; empty for a replica, whose template has a key in it and is made anew.
        template: Vec<u8>,
        /// The first row of the channel that is not with the tower yet.
        row: u64,
    }

    /// A session came so far.
    TowerAt {
        /// The tower.
        tower: NodeId,
        /// The index of the channel.
        channel: u64,
        /// Rows of the channel before this one are with the tower.
        row: u64,
        /// Records of that row which are with it, too; for a replica, 1 if secrets are not with it yet.
        skip: u32,
        /// HTLCs that a replica was told of.
        htlcs: u64,
        /// The least number of an HTLC that it was not told of: what the peer offered, what we did.
        next_htlc: (u64, u64),
        /// The range over all records that are acknowledged (`watchtower::proof::mmr::Mmr`).
        range: Vec<u8>,
        /// The tower's newest receipt (`watchtower::proof::receipt::Receipt`), if there is one.
        receipt: Vec<u8>,
    }

    /// A session is over: what the tower had was deleted, or the tower is gone.
    TowerOver {
        /// The tower.
        tower: NodeId,
        /// The index of the channel.
        channel: u64,
    }

    /// A tower broke its word, and is not used any more.
    TowerFaulted {
        /// The tower.
        tower: NodeId,
        /// The proof (`watchtower::proof::check::Evidence`), or nothing if there is none.
        evidence: Vec<u8>,
        /// What happened, for people.
        why: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }
}
