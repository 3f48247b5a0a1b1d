//! The sandbox: a chain that we mine ourselves, where nothing can be lost.

use bitcoin::{Address, Amount, BlockHash, Txid};
use wire::units::BlockHeight;

use super::OrderKey;

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
    /// Whether their transactions stay out (`true`) or are mined again.
    pub empty: bool,
}
