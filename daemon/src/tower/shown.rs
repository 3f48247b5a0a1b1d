//! What is said of towers: to users, and to whoever decides by it.

use wire::id::{ChannelId, NodeId};

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
