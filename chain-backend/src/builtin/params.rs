//! The parameters and genesis block of the chain. Bitcoin's regtest: halving every 150 blocks, no
//! retarget, every rule from the first block on.

use bitcoin::constants::genesis_block;
use bitcoin::{Block, CompactTarget, Network, Target};

/// How many blocks a coinbase waits before it can be spent.
pub(crate) const COINBASE_MATURITY: u32 = 100;
/// The most a block may weigh, weight units.
pub(crate) const BLOCK_WEIGHT_MAX: u64 = 4_000_000;
/// The most signature operation cost a block may have.
pub(crate) const BLOCK_SIGOPS_MAX: usize = 80_000;
/// How far a block's time may be ahead of now, seconds.
pub(crate) const FUTURE_MAX_S: u32 = 7_200;
/// All the money there will ever be, satoshi.
pub(crate) const MONEY_MAX: u64 = 2_100_000_000_000_000;
/// The subsidy of the first blocks, satoshi.
const SUBSIDY_FIRST: u64 = 5_000_000_000;

/// A chain's constants.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Marks each frame in the block files.
    pub(crate) magic: [u8; 4],
    /// The difficulty of every block.
    pub(crate) bits: CompactTarget,
    /// Blocks between halvings.
    pub(crate) halving_interval: u32,
    pub(crate) genesis: Block,
}

impl Params {
    pub(crate) fn regtest() -> Self {
        Self {
            magic: [0xfa, 0xbf, 0xb5, 0xda],
            bits: CompactTarget::from_consensus(0x207f_ffff),
            halving_interval: 150,
            genesis: genesis_block(Network::Regtest),
        }
    }

    /// The target every block hash must stay under.
    pub(crate) fn target(&self) -> Target {
        Target::from_compact(self.bits)
    }

    /// New coins of the block at `height`, satoshi.
    pub(crate) fn subsidy_sat(&self, height: u32) -> u64 {
        let halvings = height.checked_div(self.halving_interval).unwrap_or(0);
        SUBSIDY_FIRST.checked_shr(halvings).unwrap_or(0)
    }
}
