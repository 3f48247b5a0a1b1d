//! The parameters and genesis block of the chain. Bitcoin's regtest: halving every 150 blocks, no
//! retarget, every rule from the first block on. A signet: work as on signet, and a signature in each block.

use crate::backend::BlockRef;
use crate::builtin::signet::{Rules, Signet};
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

/// Blocks after which a signet asks how long they took.
const RETARGET_BLOCKS: u32 = 2_016;

/// A chain's constants.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) network: Network,
    /// Marks each frame in the block files.
    pub(crate) magic: [u8; 4],
    /// The least difficulty of any block.
    pub(crate) bits: CompactTarget,
    /// Blocks between halvings.
    pub(crate) halving_interval: u32,
    pub(crate) genesis: Block,
    /// Whether the difficulty follows the time that blocks take.
    retargets: bool,
    /// Who may make blocks, where not everybody may.
    pub(crate) signet: Option<Signet>,
}

impl Params {
    pub(crate) fn of(rules: &Rules) -> Self {
        match rules {
            Rules::Regtest => Self::regtest(),
            Rules::Signet(signet) => Self::signet(signet),
        }
    }

    pub(crate) fn regtest() -> Self {
        Self {
            network: Network::Regtest,
            magic: [0xfa, 0xbf, 0xb5, 0xda],
            bits: CompactTarget::from_consensus(0x207f_ffff),
            halving_interval: 150,
            genesis: genesis_block(Network::Regtest),
            retargets: false,
            signet: None,
        }
    }

    fn signet(signet: &Signet) -> Self {
        Self {
            network: Network::Signet,
            magic: signet.magic(),
            bits: signet.easier.unwrap_or_else(|| CompactTarget::from_consensus(0x1e03_77ae)),
            halving_interval: 210_000,
            genesis: genesis_block(Network::Signet),
            retargets: signet.easier.is_none(),
            signet: Some(signet.clone()),
        }
    }

    /// The difficulty of the block on `previous`; `at` answers blocks of its branch by height.
    pub(crate) fn next_bits(
        &self,
        previous: &BlockRef,
        at: impl FnOnce(u32) -> Option<BlockRef>,
    ) -> CompactTarget {
        let next = previous.height.saturating_add(1);
        if !self.retargets {
            return self.bits;
        }
        if !next.is_multiple_of(RETARGET_BLOCKS) {
            return previous.header.bits;
        }
        let Some(first) = at(next.saturating_sub(RETARGET_BLOCKS)) else { return self.bits };
        let time = previous.header.time.saturating_sub(first.header.time);
        let params = bitcoin::consensus::Params::new(self.network);
        CompactTarget::from_next_work_required(previous.header.bits, time.into(), params)
    }

    /// The target that no block's may be above.
    pub(crate) fn target(&self) -> Target {
        Target::from_compact(self.bits)
    }

    /// New coins of the block at `height`, satoshi.
    pub(crate) fn subsidy_sat(&self, height: u32) -> u64 {
        let halvings = height.checked_div(self.halving_interval).unwrap_or(0);
        SUBSIDY_FIRST.checked_shr(halvings).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::ScriptBuf;

    fn block(height: u32, time: u32, bits: u32) -> BlockRef {
        let mut header = genesis_block(Network::Signet).header;
        (header.time, header.bits) = (time, CompactTarget::from_consensus(bits));
        BlockRef { height, hash: header.block_hash(), header, mtp: time }
    }

    #[test]
    fn a_signets_work_follows_the_time_of_its_blocks_every_two_weeks() {
        let signet = Signet::new(ScriptBuf::from_bytes(vec![0x51]), None).unwrap();
        let params = Params::of(&Rules::Signet(signet));
        let next = |height, took: u32, bits| {
            let last = block(height, 2_000_000_000 + took, bits);
            let next = params.next_bits(&last, |height| Some(block(height, 2_000_000_000, bits)));
            next.to_consensus()
        };
        let weeks_2 = 14 * 86_400;
        assert_eq!(next(7, 1, 0x1e03_77ae), 0x1e03_77ae, "within a period nothing changes");
        assert_eq!(next(2_015, weeks_2, 0x1d01_0000), 0x1d01_0000);
        assert_eq!(next(2_015, weeks_2 / 2, 0x1d01_0000), 0x1d00_8000);
        assert_eq!(next(2_015, 1, 0x1d01_0000), 0x1c40_0000, "at most four times harder");
        assert_eq!(next(2_015, weeks_2 * 9, 0x1e03_77ae), 0x1e03_77ae, "never below the least");
        assert_eq!(
            Params::regtest().next_bits(&block(2_015, 1, 1), |_| None).to_consensus(),
            0x207f_ffff
        );
    }
}
