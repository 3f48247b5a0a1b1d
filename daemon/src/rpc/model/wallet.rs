//! The coins on Layer 1.

use bitcoin::{Address, Amount, OutPoint, Txid};
use wire::id::ChannelId;
use wire::units::{BlockHeight, FeeratePerKw};

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
