//! What is said of towers: to users, and to whoever decides by it.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint, Txid};
use wire::id::{ChannelId, NodeId};

use crate::rpc::model::OrderKey;

/// What follows when revoked states are with no tower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnLag {
    /// Nothing.
    Ignore,
    /// A line in the log.
    Warn,
    /// The same, and nothing of others goes over the channel until a tower has caught up.
    StopForwarding,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It was not reached yet.
    Connecting,
    /// It has all that there is.
    Covered,
    /// It lacks some, and they are on their way.
    CatchingUp,
    /// It does not answer.
    Unreachable,
    /// It is full, or the session has expired.
    Refused,
    /// It knows more than our journal.
    Stale,
}

impl Standing {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Covered => "covered",
            Self::CatchingUp => "catching up",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Stale => "knows more than our journal",
        }
    }
}

/// A tower.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tower {
    /// Its key.
    pub tower: NodeId,
    /// Where it is.
    pub address: String,
    /// What it is given.
    pub kit: u8,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// How it broke its word, if it did.
    pub fault: Option<String>,
    /// A session for each channel that is with it.
    pub sessions: Vec<Session>,
    /// Sessions that a checkpoint named and that the journal had lost: the tower watches on, and is told
    /// nothing more in them.
    pub found_sessions: u32,
    /// Drills that run, and the last that are over.
    pub drills: Vec<Drill>,
    /// The last audit of each session.
    pub audits: Vec<Audit>,
    /// The newest checkpoint that it has, if any since the start.
    pub checkpoint: Option<CheckpointShown>,
}

/// A channel at a tower.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// The channel, as long as it runs.
    pub channel: Option<ChannelId>,
    /// How it stands.
    pub standing: Standing,
    /// Revoked states that it has.
    pub rows: u64,
    /// Of how many, when it was last heard.
    pub of: u64,
    /// Records that it signed for.
    pub records: u32,
    /// Its height when it signed last.
    pub tower_height: u32,
    /// The height up to which the session lives.
    pub expiry: u32,
    /// When it was last heard, Unix milliseconds, 0 if not since the start.
    pub heard_ms: u64,
}

/// A channel, in the eyes of whoever may be robbed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Coverage {
    /// Its lasting number.
    pub index: u64,
    /// Its id.
    pub channel: ChannelId,
    /// With whom.
    pub node: NodeId,
    /// States that the peer revoked.
    pub states: u64,
    /// Of those, with no tower.
    pub uncovered_states: u64,
    /// Of those, with fewer towers than are wanted.
    pub missing_copies: u64,
    /// What could be lost at most while they are uncovered, in sat.
    pub at_risk_sat: u64,
    /// What in the newest record was too small to be covered, in sat.
    pub too_small_sat: u64,
    /// Its towers, and how many states each has.
    pub towers: Vec<(NodeId, u64)>,
}

/// A checkpoint at a tower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CheckpointShown {
    /// Its version.
    pub version: u64,
    /// Since when the tower has it, Unix milliseconds.
    pub at_ms: u64,
    /// Whether it says how far everything is now.
    pub current: bool,
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditEnd {
    /// The tower has what it was asked for.
    Passed,
    /// It does not, and had signed for it.
    Failed,
    /// Nothing can be said: it did not answer, or we cannot make the records again.
    Unknown,
}

impl AuditEnd {
    /// For the journal; never reused.
    pub const fn number(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Unknown => 2,
        }
    }

    /// What [`AuditEnd::number`] stands for.
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::Passed,
            1 => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// An audit of one session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// The channel, as long as it runs.
    pub channel: Option<ChannelId>,
    /// Records that were drawn.
    pub drawn: u32,
    /// Out of so many.
    pub of: u32,
    /// How it ended.
    pub end: AuditEnd,
    /// The same for people; empty if all was well.
    pub why: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

/// What a drill shows of a tower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It answered in time.
    Passed,
    /// It signed for the record and let the breach stand.
    Failed,
    /// It answered, but later than it should.
    Late,
    /// It took no record, so nothing was tried.
    Unreachable,
    /// The drill never had any money.
    Abandoned,
}

impl Verdict {
    /// For the journal; never reused.
    pub const fn number(self) -> u8 {
        match self {
            Self::Passed => 1,
            Self::Failed => 2,
            Self::Late => 3,
            Self::Unreachable => 4,
            Self::Abandoned => 5,
        }
    }

    /// What [`Verdict::number`] stands for.
    pub const fn of(number: u8) -> Self {
        match number {
            1 => Self::Passed,
            2 => Self::Failed,
            3 => Self::Late,
            4 => Self::Unreachable,
            _ => Self::Abandoned,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether the tower cannot be relied on any more.
    pub const fn convicts(self) -> bool {
        matches!(self, Self::Failed | Self::Late)
    }
}

/// What a user wants to see of a tower.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DrillTower {
    /// The idempotency key.
    pub key: Option<OrderKey>,
    /// The tower.
    pub tower: NodeId,
    /// What the channel that never was holds, if not what is usual.
    pub amount: Option<Amount>,
}

/// How far a drill is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DrillStage {
    /// Its coins are being chosen.
    Funding,
    /// Its funding waits for this many more blocks.
    Confirming(u32),
    /// The tower is told its records.
    Uploading,
    /// The breach is out and in no block yet.
    Breached,
    /// The tower has so many blocks left.
    Waiting(u32),
    /// What is left is brought home.
    Homing,
    /// Everything is home.
    Over,
}

impl DrillStage {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Funding => "funding",
            Self::Confirming(_) => "confirming",
            Self::Uploading => "uploading",
            Self::Breached => "breached",
            Self::Waiting(_) => "waiting",
            Self::Homing => "homing",
            Self::Over => "over",
        }
    }

    /// Blocks that it waits for, at least, where that can be said.
    pub const fn blocks(self) -> Option<u32> {
        match self {
            Self::Confirming(blocks) | Self::Waiting(blocks) => Some(blocks),
            Self::Funding | Self::Uploading | Self::Breached | Self::Homing | Self::Over => None,
        }
    }
}

/// A drill.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drill {
    /// Its name.
    pub id: u64,
    /// The tower that is tried.
    pub tower: NodeId,
    /// What its funding holds, in sat.
    pub amount_sat: u64,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// How far it is.
    pub stage: DrillStage,
    /// Its funding output.
    pub funding: Option<OutPoint>,
    /// The revoked commitment.
    pub breach: Option<Txid>,
    /// The block of that.
    pub breach_height: Option<u32>,
    /// The tower's transaction, in a block.
    pub justice: Option<Txid>,
    /// Blocks from the breach's to that.
    pub blocks: Option<u32>,
    /// What that paid, in sat.
    pub justice_fee_sat: Option<u64>,
    /// What it shows of the tower, once that is known.
    pub verdict: Option<Verdict>,
    /// What it cost in all, once everything is home.
    pub cost_sat: Option<u64>,
    /// The file that convicts the tower, if there is one.
    pub proof: Option<PathBuf>,
    /// What went wrong last, for people.
    pub trouble: Option<String>,
}
