//! The bodies of facts about towers that watch for us, version 1.
//!
//! What a tower was told is not among them: that follows from the channels. These say which towers there
//! are, how each session was opened, and how far it came.

use bitcoin::{OutPoint, Txid};
use wire::codec::{Decode, DecodeError, Encode, Reader};
use wire::id::NodeId;
use wire::units::FeeratePerKw;

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

    /// A drill begins: nothing was spent for it yet, and all of it follows from this and its funding output.
    DrillBegun {
        /// Its name, and the place of its session among those of channels.
        drill: u64,
        /// The tower that is tried.
        tower: NodeId,
        /// All keys of the channel that never was follow from it.
        entropy: [u8; 32],
        /// What the funding output is to hold.
        amount_sat: u64,
        /// What of it is ours without a tower.
        to_remote_sat: u64,
        /// What the commitment pays.
        commitment_feerate: FeeratePerKw,
        /// The delay of the one who seems to cheat, in blocks.
        to_self_delay: u16,
        /// The prices for justice.
        ladder: Vec<FeeratePerKw>,
        /// Where the tower sends everything.
        sweep_script: Vec<u8>,
        /// The idempotency key it was ordered under, empty without.
        word: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A drill's coins leave the wallet.
    DrillFunded {
        /// Which.
        drill: u64,
        /// The output that the breach spends.
        outpoint: OutPoint,
        /// What its transaction paid.
        fee_sat: u64,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A drill's breach may go out from now on.
    DrillStaged {
        /// Which.
        drill: u64,
        /// What the tower signed for its records; empty if it was given up before.
        receipt: Vec<u8>,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A drill is over: its money is home.
    DrillEnded {
        /// Which.
        drill: u64,
        /// What came of it (`crate::tower::Verdict`).
        verdict: u8,
        /// Blocks from that of the breach to that of the answer.
        blocks: u32,
        /// The tower's transaction, all zero if there was none.
        justice: Txid,
        /// What that paid.
        justice_fee_sat: u64,
        /// What the drill cost in all.
        cost_sat: u64,
        /// When, Unix milliseconds.
        at_ms: u64,
    }

    /// A tower was asked for records that it had signed for.
    TowerAudited {
        /// The tower.
        tower: NodeId,
        /// The index of the channel whose session it was.
        channel: u64,
        /// How many records were drawn.
        drawn: u32,
        /// Out of how many.
        of: u32,
        /// What came of it (`crate::tower::AuditEnd`).
        end: u8,
        /// The same for people; empty if all was well.
        why: Text,
        /// When, Unix milliseconds.
        at_ms: u64,
    }
}
