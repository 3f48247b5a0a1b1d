//! The coins on Layer 1.

use bitcoin::{Address, Amount, OutPoint, Txid};
use wire::id::ChannelId;
use wire::units::{BlockHeight, FeeratePerKw};

use super::channel::ChannelRef;
use super::{OrderKey, UnixMillis};

/// The scripts a wallet can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressKind {
    /// Pay to taproot (BIP 86).
    #[default]
    Taproot,
    /// Pay to witness public key hash (BIP 84).
    WitnessKey,
}

/// What the wallet holds. Everything = confirmed + unconfirmed + immature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalletBalance {
    /// Coins in blocks, those that are set aside included.
    pub confirmed: Amount,
    /// Coins of transactions that wait for a block, our own change included.
    pub unconfirmed: Amount,
    /// Block rewards younger than 100 blocks.
    pub immature: Amount,
    /// The part of the above that is kept back to bump the fees of anchor channels.
    pub reserved_for_anchors: Amount,
    /// What should be kept back for that and is not there.
    pub missing_for_anchors: Amount,
    /// The part of the above that is promised to transactions being built.
    pub promised: Amount,
    /// What can be spent now, before the fee of doing so.
    pub spendable: Amount,
}

/// How much to take out of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coins {
    /// This much; the fee comes on top.
    Exactly(Amount),
    /// All that is spendable; the fee comes out of it.
    All,
}

/// Asks for a payment on Layer 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendCoins {
    /// So that it is sent once.
    pub key: Option<OrderKey>,
    /// To whom, checked to be of our network.
    pub address: Address,
    /// How much.
    pub coins: Coins,
    /// How much to give the miners; `None`: our estimate for six blocks.
    pub feerate: Option<FeeratePerKw>,
    /// The user's note: at most 256 bytes.
    pub label: String,
}

/// A payment on Layer 1, handed to the network or only planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentCoins {
    /// The transaction; `None`: it was only planned.
    pub txid: Option<Txid>,
    /// What arrives.
    pub amount: Amount,
    /// What the miners get.
    pub fee: Amount,
    /// The feerate that makes.
    pub feerate: FeeratePerKw,
}

/// How far a fee is to be raised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BumpHow {
    /// By half, or to the estimate for six blocks if that is more.
    #[default]
    Auto,
    /// To this.
    Feerate(FeeratePerKw),
    /// So far that it is in a block of this height at the latest.
    Deadline(BlockHeight),
}

/// Asks for a higher fee. One of the two is named, or both if the words fit both: then it is the channel,
/// if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseFee {
    /// So that it is raised once.
    pub key: Option<OrderKey>,
    /// Whatever this channel waits for.
    pub channel: Option<ChannelRef>,
    /// This transaction.
    pub txid: Option<Txid>,
    /// How far.
    pub how: BumpHow,
}

/// What a fee was raised of, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bumping {
    /// A sweep: it was replaced.
    Sweep,
    /// A commitment: a child of its anchor pays for it.
    Commitment,
    /// A transaction of the wallet: it was replaced.
    Replacement,
    /// A transaction of the wallet, or one that pays it: a child pays for it.
    Child,
}

impl Bumping {
    /// Its number where it is kept.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Sweep => 1,
            Self::Commitment => 2,
            Self::Replacement => 3,
            Self::Child => 4,
        }
    }

    /// From [`Self::number`].
    #[must_use]
    pub const fn of_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sweep),
            2 => Some(Self::Commitment),
            3 => Some(Self::Replacement),
            4 => Some(Self::Child),
            _ => None,
        }
    }
}

/// A raised fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bumped {
    /// The transaction that pays it.
    pub txid: Txid,
    /// What that pays.
    pub fee: Amount,
    /// The same by weight; of a child together with its parent.
    pub feerate: FeeratePerKw,
    /// What it was raised of.
    pub what: Bumping,
}

/// A transaction that touches our wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletTransaction {
    /// Its position in the list: rises by the time it was first seen.
    pub index: u64,
    /// Its id.
    pub txid: Txid,
    /// What came to our addresses, change included.
    pub received: Amount,
    /// What left our addresses, fee and change included.
    pub sent: Amount,
    /// Its fee, if all its inputs are known to us.
    pub fee: Option<Amount>,
    /// The block it is in; `None` while it waits.
    pub height: Option<BlockHeight>,
    /// Blocks on top of it, its own included; 0 while it waits.
    pub confirmations: u32,
    /// When it was first seen.
    pub seen: UnixMillis,
    /// What it was for: `funding`, `close`, `sweep`, or the user's note; may be empty.
    pub label: String,
    /// The channel it opens, closes or sweeps.
    pub channel: Option<ChannelId>,
}

/// What a coin is set aside for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetAside {
    /// A channel that is being opened.
    Channel(ChannelId),
    /// A transaction that is being sent.
    Send,
}

/// A coin of our wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utxo {
    /// Which output.
    pub outpoint: OutPoint,
    /// How much.
    pub amount: Amount,
    /// Its address.
    pub address: Address,
    /// Blocks on top of it, its own included; 0 while it waits.
    pub confirmations: u32,
    /// Whether it is a block reward that is not mature yet.
    pub immature: bool,
    /// What it is set aside for.
    pub set_aside: Option<SetAside>,
}
