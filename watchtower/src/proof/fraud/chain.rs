//! That a transaction is in a block, and blocks follow one another, without the blocks.

use bitcoin::block::Header;
use bitcoin::consensus::Params;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256d};
use bitcoin::{Block, BlockHash, Network, Target, Transaction, TxMerkleNode, Work};
use thiserror::Error;

/// Networks whose first block is known.
const NETWORKS: [Network; 5] =
    [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest];

/// Blocks between two changes of the difficulty.
const RETARGET_BLOCKS: u32 = 2_016;

/// Levels of a block's tree: a block has fewer than 2^17 transactions.
const DEPTH_MAX: usize = 17;

/// What is wrong with headers or a place in them.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ChainError {
    /// A chain that this build does not know.
    #[error("no known chain begins with this block")]
    UnknownChain,
    /// No header at all.
    #[error("there are no headers")]
    Empty,
    /// A header does not name the one before it.
    #[error("the header at height {0} does not follow the one before it")]
    Unlinked(u32),
    /// A header whose hash is too large for its own or for any target.
    #[error("the header at height {0} shows too little work")]
    Work(u32),
    /// A header whose difficulty cannot follow the one before it.
    #[error("the header at height {0} changes the difficulty against the rules")]
    Difficulty(u32),
    /// A height beyond the headers.
    #[error("there is no header at height {0}")]
    Height(u32),
    /// The path does not lead to the root in the header.
    #[error("the transaction is not in the block at height {0}")]
    NotInBlock(u32),
    /// 64 bytes could be two hashes of a block's tree instead.
    #[error("a transaction of 64 bytes proves nothing")]
    Ambiguous,
}

/// Block headers in a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Headers {
    /// The height of the first.
    pub first_height: u32,
    /// They.
    pub headers: Vec<Header>,
}

/// The network whose first block this is.
pub(super) fn network(chain: BlockHash) -> Option<Network> {
    NETWORKS
        .into_iter()
        .find(|network| bitcoin::constants::genesis_block(network).block_hash() == chain)
}

impl Headers {
    /// The header at `height`, if it is among them.
    pub fn at(&self, height: u32) -> Option<&Header> {
        let place = height.checked_sub(self.first_height)?;
        self.headers.get(usize::try_from(place).ok()?)
    }

    /// Checks that each follows the one before with enough work, and adds the work up.
    ///
    /// On Bitcoin's main network the rules of difficulty hold, too; elsewhere blocks of least difficulty are
    /// allowed, and the sum says how little they prove.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify(&self, network: Network) -> Result<Work, ChainError> {
        let params = Params::new(network);
        let first = self.headers.first().ok_or(ChainError::Empty)?;
        check_work(first, self.first_height, &params)?;
        let mut work = first.work();
        for (height, (before, header)) in
            (self.first_height..).zip(self.headers.iter().zip(self.headers.iter().skip(1)))
        {
            let height = height.saturating_add(1);
            if header.prev_blockhash != before.block_hash() {
                return Err(ChainError::Unlinked(height));
            }
            check_work(header, height, &params)?;
            if network == Network::Bitcoin {
                check_difficulty(before, header, height, &params)?;
            }
            work = add(work, header.work());
        }
        Ok(work)
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "work that was really done is far from 2^256")]
fn add(one: Work, other: Work) -> Work {
    one + other
}

fn check_work(header: &Header, height: u32, params: &Params) -> Result<(), ChainError> {
    let target = header.target();
    let enough = target <= params.max_attainable_target && header.validate_pow(target).is_ok();
    if enough { Ok(()) } else { Err(ChainError::Work(height)) }
}

fn check_difficulty(
    before: &Header,
    header: &Header,
    height: u32,
    params: &Params,
) -> Result<(), ChainError> {
    let (old, new): (Target, Target) = (before.target(), header.target());
    let allowed = if height.checked_rem(RETARGET_BLOCKS) == Some(0) {
        new >= old.min_transition_threshold() && new <= old.max_transition_threshold(params)
    } else {
        header.bits == before.bits
    };
    if allowed { Ok(()) } else { Err(ChainError::Difficulty(height)) }
}

/// A transaction and its path into a block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mined {
    /// The transaction.
    pub tx: Transaction,
    /// The height of its block.
    pub height: u32,
    /// Its place in the block.
    pub index: u32,
    /// The other half at each level of the block's tree, from below.
    pub siblings: Vec<[u8; 32]>,
}

impl Mined {
    /// The transaction at `index` of `block`, with its path. `None` if there is none.
    pub fn new(block: &Block, height: u32, index: u32) -> Option<Self> {
        let tx = block.txdata.get(usize::try_from(index).ok()?)?.clone();
        let mut row: Vec<[u8; 32]> =
            block.txdata.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
        let mut place = usize::try_from(index).ok()?;
        let mut siblings = Vec::new();
        while row.len() > 1 {
            // The last of an odd row stands beside itself.
            let sibling = row.get(place ^ 1).or_else(|| row.get(place))?;
            siblings.push(*sibling);
            row = row
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => join(left, right),
                    [only] => join(only, only),
                    _ => [0; 32],
                })
                .collect();
            place >>= 1;
        }
        Some(Self { tx, height, index, siblings })
    }

    /// Checks that it is in the block of the headers that it says.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify(&self, headers: &Headers) -> Result<(), ChainError> {
        let header = headers.at(self.height).ok_or(ChainError::Height(self.height))?;
        let missing = ChainError::NotInBlock(self.height);
        let levels = self.siblings.len();
        let beyond = u64::from(self.index).checked_shr(u32::try_from(levels).unwrap_or(64));
        if levels > DEPTH_MAX || beyond.unwrap_or(0) != 0 {
            return Err(missing);
        }
        if self.tx.base_size() == 64 {
            return Err(ChainError::Ambiguous);
        }
        let mut node = self.tx.compute_txid().to_byte_array();
        for (level, sibling) in (0_u32..).zip(&self.siblings) {
            let right = self.index.checked_shr(level).is_some_and(|place| place & 1 == 1);
            node = if right { join(sibling, &node) } else { join(&node, sibling) };
        }
        if TxMerkleNode::from_byte_array(node) == header.merkle_root {
            Ok(())
        } else {
            Err(missing)
        }
    }
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    engine.input(left);
    engine.input(right);
    sha256d::Hash::from_engine(engine).to_byte_array()
}
