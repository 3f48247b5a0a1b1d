//! The sandbox: a chain that we mine ourselves, where nothing can be lost.

use bitcoin::{Address, Amount, BlockHash, Txid};
use wire::units::BlockHeight;

use super::OrderKey;
use super::channel::ChannelRef;

/// Asks for blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mine {
    /// So that they are made once.
    pub key: Option<OrderKey>,
    /// How many: 1 to 1000.
    pub blocks: u32,
    /// Who gets the subsidy; `None`: the faucet.
    pub to: Option<Address>,
}

/// Blocks that were mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    /// The height after it.
    pub height: BlockHeight,
    /// The blocks, lowest first.
    pub hashes: Vec<BlockHash>,
}

/// Asks for play money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faucet {
    /// So that it is given once.
    pub key: Option<OrderKey>,
    /// To whom.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}

/// Play money that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poured {
    /// The transaction.
    pub txid: Txid,
    /// The block it is in.
    pub height: BlockHeight,
}

/// The built-in chain as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Height of the best block.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
    /// Transactions that wait for a block.
    pub mempool: u32,
    /// Transactions of the best chain, block rewards not counted.
    pub transactions: u64,
    /// All fees they paid.
    pub fees: Amount,
    /// All coins that exist.
    pub supply: Amount,
}

/// Asks for a reorganisation: the last `depth` blocks are replaced by `depth + 1` others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reorg {
    /// So that it happens once.
    pub key: Option<OrderKey>,
    /// How many blocks go: 1 to 100.
    pub depth: u32,
    /// Whether all their transactions stay out and wait again.
    pub empty: bool,
    /// Transactions that stay out.
    pub without: Vec<Txid>,
    /// Whether those wait again; else they are gone.
    pub keep_waiting: bool,
}

/// A feerate in satoshi per virtual byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeerateVb(pub u32);

/// A transaction that makes another expensive to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The child.
    pub txid: Txid,
    /// What it pays.
    pub fee: Amount,
    /// Its virtual bytes.
    pub vsize: u64,
}

/// Asks this node to cheat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cheat {
    /// With which channel.
    pub channel: ChannelRef,
    /// With which of its commitments, 0 for the first.
    pub state: u64,
}

/// It cheats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cheating {
    /// The revoked commitment, in the mempool now.
    pub txid: Txid,
    /// What it gives this node, HTLCs not counted.
    pub ours: Amount,
    /// What this node had before it cheated.
    pub honest: Amount,
    /// HTLCs on it.
    pub htlcs: u32,
    /// Blocks the peer has to punish it.
    pub to_self_delay: u16,
}
