//! The commitment dance as one clock. BOLT 2 § Normal Operation.
//!
//! Whatever an update changes and whoever proposes it, it lives through the same moments: the proposer
//! signs it into the peer's commitment, the peer revokes the one before, the peer signs it into the
//! proposer's commitment, the proposer revokes the one before. Everything the protocol asks about an
//! update ("is it in this transaction?", "may it be forgotten?", "is it final?") is a question to its
//! clock.
//!
//! Not here: what an update changes (`ledger`).

use std::ops::Not;

/// One end of the channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// This node.
    Us,
    /// The peer.
    Them,
}

impl Not for Side {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Us => Self::Them,
            Self::Them => Self::Us,
        }
    }
}

/// A move that carries updates on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// This side sent `commitment_signed`: the other side holds a new transaction.
    Signed(Side),
    /// This side sent `revoke_and_ack`: it gave up its old transaction.
    Revoked(Side),
}

/// How far an update has come, in the order of BOLT 2 § Normal Operation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Moment {
    /// Said, and signed by nobody: a lost connection forgets it.
    Proposed,
    /// In the newest transaction of the proposer's peer.
    SignedByProposer,
    /// The peer revoked its transaction without it.
    AckedByPeer,
    /// In the newest transaction of the proposer.
    SignedByPeer,
    /// The proposer revoked its transaction without it: nobody can undo it any more.
    Irrevocable,
}

impl Moment {
    /// The number that stands for the moment in records.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Proposed => 0,
            Self::SignedByProposer => 1,
            Self::AckedByPeer => 2,
            Self::SignedByPeer => 3,
            Self::Irrevocable => 4,
        }
    }

    /// The moment a record's number stands for.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Proposed),
            1 => Some(Self::SignedByProposer),
            2 => Some(Self::AckedByPeer),
            3 => Some(Self::SignedByPeer),
            4 => Some(Self::Irrevocable),
            _ => None,
        }
    }
}

/// The age of one update.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clock {
    proposer: Side,
    moment: Moment,
}

impl Clock {
    /// An update that was only said.
    pub const fn new(proposer: Side) -> Self {
        Self { proposer, moment: Moment::Proposed }
    }

    /// A clock as a record has it.
    pub(crate) const fn at(proposer: Side, moment: Moment) -> Self {
        Self { proposer, moment }
    }

    /// Who proposed the update.
    pub const fn proposer(self) -> Side {
        self.proposer
    }

    /// How far it has come.
    pub const fn moment(self) -> Moment {
        self.moment
    }

    /// Carries the update on if this is the turn it waits for.
    pub fn tick(&mut self, turn: Turn) {
        *self = self.after(turn);
    }

    /// The clock as `turn` leaves it.
    #[must_use]
    pub fn after(self, turn: Turn) -> Self {
        let (proposer, peer) = (self.proposer, !self.proposer);
        let moment = match (self.moment, turn) {
            (Moment::Proposed, Turn::Signed(by)) if by == proposer => Moment::SignedByProposer,
            (Moment::SignedByProposer, Turn::Revoked(by)) if by == peer => Moment::AckedByPeer,
            (Moment::AckedByPeer, Turn::Signed(by)) if by == peer => Moment::SignedByPeer,
            (Moment::SignedByPeer, Turn::Revoked(by)) if by == proposer => Moment::Irrevocable,
            (unmoved, Turn::Signed(_) | Turn::Revoked(_)) => unmoved,
        };
        Self { proposer, moment }
    }

    /// Whether `turn` would carry it on.
    pub fn awaits(self, turn: Turn) -> bool {
        self.after(turn) != self
    }

    /// Whether the newest commitment transaction of `owner` has this update in it.
    pub fn shown_to(self, owner: Side) -> bool {
        let from =
            if owner == self.proposer { Moment::SignedByPeer } else { Moment::SignedByProposer };
        self.moment >= from
    }

    /// Whether it was said and signed by nobody.
    pub fn is_proposed(self) -> bool {
        self.moment == Moment::Proposed
    }

    /// Whether no broadcast by anyone can undo it.
    pub fn is_irrevocable(self) -> bool {
        self.moment == Moment::Irrevocable
    }
}

#[cfg(test)]
mod tests;
