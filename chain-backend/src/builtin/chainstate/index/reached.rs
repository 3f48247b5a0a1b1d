//! How far the index has come: at which block it stands, what the best chain up to there amounts to, and how much of the
//! block files it has seen.

use crate::builtin::storage::{End, Ends};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

/// The layout of all rows. An index of another is made anew.
const VERSION: u8 = 1;

/// Sums over the best chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Transactions in blocks, coinbases not counted.
    pub(crate) payments: u64,
    /// What they paid, satoshi.
    pub(crate) fees_sat: u64,
    /// All coins together, satoshi.
    pub(crate) supply_sat: u64,
    /// How many coins there are.
    pub(crate) coins: u64,
}

/// Where the index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) tip: BlockHash,
    /// Set while rows are being written that lead to this block: then the rows are those of neither.
    pub(crate) towards: Option<BlockHash>,
    /// The block files up to there have their rows.
    pub(crate) ends: Ends,
    pub(crate) sums: Sums,
}

impl Reached {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.tip.to_byte_array());
        bytes.extend(self.towards.unwrap_or(self.tip).to_byte_array());
        for end in [self.ends.blocks, self.ends.undo] {
            bytes.extend(end.file.to_be_bytes());
            bytes.extend(end.offset.to_be_bytes());
        }
        let Sums { payments, fees_sat, supply_sat, coins } = self.sums;
        for sum in [payments, fees_sat, supply_sat, coins] {
            bytes.extend(sum.to_be_bytes());
        }
        bytes
    }

    /// `None` for another layout.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut take_hash = || {
            let (hash, left) = rest.split_first_chunk::<32>()?;
            rest = left;
            Some(BlockHash::from_byte_array(*hash))
        };
        let (tip, towards) = (take_hash()?, take_hash()?);
        let mut take_end = || {
            let (file, left) = rest.split_first_chunk::<4>()?;
            let (offset, left) = left.split_first_chunk::<8>()?;
            rest = left;
            Some(End { file: u32::from_be_bytes(*file), offset: u64::from_be_bytes(*offset) })
        };
        let ends = Ends { blocks: take_end()?, undo: take_end()? };
        let mut take_sum = || {
            let (sum, left) = rest.split_first_chunk::<8>()?;
            rest = left;
            Some(u64::from_be_bytes(*sum))
        };
        let payments = take_sum()?;
        let (fees_sat, supply_sat, coins) = (take_sum()?, take_sum()?, take_sum()?);
        let sums = Sums { payments, fees_sat, supply_sat, coins };
        let towards = Some(towards).filter(|towards| *towards != tip);
        rest.is_empty().then_some(Self { tip, towards, ends, sums })
    }
}
