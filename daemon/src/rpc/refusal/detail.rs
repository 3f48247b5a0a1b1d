//! The parts that refusals are made of: which noun, which fault, how much is missing.

use bitcoin::Amount;
use wire::units::FeeratePerKw;

/// A thing that is looked up by an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A peer, by its node id.
    Peer,
    /// A channel, by its channel id or short channel id.
    Channel,
    /// A payment we sent, by its payment hash.
    Payment,
    /// An invoice we made, by its payment hash.
    Invoice,
    /// A tower that watches for us, by its key.
    Tower,
}

impl Noun {
    /// The word for it, lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Channel => "channel",
            Self::Payment => "payment",
            Self::Invoice => "invoice",
            Self::Tower => "tower",
        }
    }
}

/// Why a connection to a peer could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No address is known for it.
    NoAddress,
    /// The name does not resolve.
    NameUnknown,
    /// The other machine said no.
    ConnectionRefused,
    /// Nobody answered in time.
    TimedOut,
    /// Somebody answered who does not hold the key of that node id (BOLT 8).
    WrongKey,
    /// The `init` messages do not agree: a feature one side demands the other lacks (BOLT 1).
    Incompatible,
    /// The connection broke while it was made.
    Broken,
}

impl Unreachable {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NoAddress => "no address is known for it",
            Self::NameUnknown => "its host name does not resolve",
            Self::ConnectionRefused => "its machine refused the connection",
            Self::TimedOut => "it did not answer in time",
            Self::WrongKey => "who answers there holds another key",
            Self::Incompatible => "one of us demands a feature that the other lacks",
            Self::Broken => "the connection broke during the handshake",
        }
    }
}

/// What the node is busy with when it cannot serve yet, or any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// Reading the journal.
    Starting,
    /// Catching up with Layer 1.
    Syncing,
    /// Restored from a backup: waits to hear from its peers before it signs anything.
    Quarantined,
    /// On its way down.
    Stopping,
}

impl Unready {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Starting => "still starting",
            Self::Syncing => "still catching up with the chain",
            Self::Quarantined => "restored from a backup and waiting for its peers",
            Self::Stopping => "stopping",
        }
    }
}

/// The coins of the wallet when they do not suffice, sorted by what can be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// What the transaction needs, its fee included.
    pub need: Amount,
    /// What may be spent on it now.
    pub spendable: Amount,
    /// Kept back to bump the fee of anchor channels (BOLT 3, anchor outputs).
    pub reserved_for_anchors: Amount,
    /// Promised to transactions that are being built.
    pub promised: Amount,
    /// Ours, but in no block yet and not of our own making.
    pub unconfirmed: Amount,
    /// Mined by us, less than 100 blocks ago.
    pub immature: Amount,
}

impl Shortage {
    /// How much is missing; never zero in a real shortage.
    #[must_use]
    pub fn missing(&self) -> Amount {
        self.need.checked_sub(self.spendable).unwrap_or(Amount::ZERO)
    }
}

impl core::fmt::Display for Shortage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "need {} more: {} needed with the fee, {} spendable",
            Grouped(self.missing()),
            Grouped(self.need),
            Grouped(self.spendable)
        )?;
        for (amount, what) in [
            (self.reserved_for_anchors, "reserved for anchor channels"),
            (self.promised, "promised to transactions under way"),
            (self.unconfirmed, "unconfirmed"),
            (self.immature, "freshly mined and immature"),
        ] {
            if amount > Amount::ZERO {
                write!(f, ", {} {what}", Grouped(amount))?;
            }
        }
        Ok(())
    }
}

/// An amount as people read it: `12 340 sat`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub Amount);

impl core::fmt::Display for Grouped {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let digits = self.0.to_sat().to_string();
        for (at, digit) in digits.chars().enumerate() {
            let left = digits.len().saturating_sub(at);
            if at > 0 && left.checked_rem(3) == Some(0) {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(" sat")
    }
}

/// Why a fee was not raised, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BumpNo {
    /// No transaction of ours has that name.
    #[error("it is no transaction of this wallet; name one of `wallet transactions`, or a channel")]
    Unknown,
    /// It is done.
    #[error("it is in a block already; there is nothing to do")]
    Mined,
    /// The channel waits for no transaction.
    #[error("it waits for no transaction; see `channels show`")]
    NothingWaits,
    /// What was asked is no more than it pays.
    #[error("it pays as much already; name a higher feerate with --feerate")]
    PaysAsMuch,
    /// What was asked is too little for a replacement.
    #[error("a replacement must pay {needed} at least; name a higher feerate with --feerate")]
    PaysTooLittle {
        /// What would do.
        needed: Amount,
    },
    /// The deadline has passed.
    #[error("that block is there already; name a later one, or a feerate")]
    Past,
    /// More than the settings allow.
    #[error("settings allow {} sat per 1000 weight at most (chain.feerate_max_sat_per_kw)", .max.0)]
    AboveMax {
        /// The most.
        max: FeeratePerKw,
    },
    /// It would cost more than it is about.
    #[error("it would cost {cost}, which is more than it is about; wait until fees fall")]
    TooDear {
        /// What it would cost.
        cost: Amount,
    },
    /// The wallet has too little.
    #[error("the wallet needs {missing} more in confirmed coins; send it some")]
    Short {
        /// How much.
        missing: Amount,
    },
    /// No output of it is ours to spend, and it cannot be replaced.
    #[error("it has no output of this wallet that a child could spend; wait for a block")]
    NoOutput,
    /// The mempool does not take it.
    #[error("the network does not take it ({why}); what waits stays as it is")]
    Refused {
        /// Its words.
        why: String,
    },
}
