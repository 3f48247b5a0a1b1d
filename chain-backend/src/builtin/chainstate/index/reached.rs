//! How far the index has come: at which block it stands, what the best chain up to there amounts to, and how much of the
//! block files it has seen.

use crate::builtin::storage::{End, Ends};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

/// The layout of all rows. An index of a later one is made anew.
const VERSION: u8 = 2;
/// The layout before: without rows of scripts.
const WITHOUT_SCRIPTS: u8 = 1;

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
    /// Set while rows are being written that lead there: then the rows are those of neither.
    pub(crate) towards: Option<Towards>,
    /// The block files up to there have their rows.
    pub(crate) ends: Ends,
    pub(crate) sums: Sums,
    /// The height up to which scripts have their rows; `None` if nobody ever looked one up.
    pub(crate) scripts: Option<u32>,
}

/// Where the index is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Towards {
    pub(crate) tip: BlockHash,
    pub(crate) scripts: Option<u32>,
}

impl Reached {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.tip.to_byte_array());
        let here = Towards { tip: self.tip, scripts: self.scripts };
        let towards = self.towards.unwrap_or(here);
        bytes.extend(towards.tip.to_byte_array());
        for end in [self.ends.blocks, self.ends.undo] {
            bytes.extend(end.file.to_be_bytes());
            bytes.extend(end.offset.to_be_bytes());
        }
        let Sums { payments, fees_sat, supply_sat, coins } = self.sums;
        for sum in [payments, fees_sat, supply_sat, coins] {
            bytes.extend(sum.to_be_bytes());
        }
        for scripts in [self.scripts, towards.scripts] {
            bytes.push(u8::from(scripts.is_some()));
            bytes.extend(scripts.unwrap_or_default().to_be_bytes());
        }
        bytes
    }

    /// `None` for another layout.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        if ![VERSION, WITHOUT_SCRIPTS].contains(version) {
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
        let mut take_scripts = || {
            if *version == WITHOUT_SCRIPTS {
                return Some(None);
            }
            let (known, left) = rest.split_first()?;
            let (height, left) = left.split_first_chunk::<4>()?;
            rest = left;
            Some((*known == 1).then(|| u32::from_be_bytes(*height)))
        };
        let (scripts, then) = (take_scripts()?, take_scripts()?);
        let towards = Towards { tip: towards, scripts: then };
        let towards = Some(towards).filter(|there| *there != Towards { tip, scripts });
        rest.is_empty().then_some(Self { tip, towards, ends, sums, scripts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_so_is_the_layout_of_before() {
        let hash = |byte| BlockHash::from_byte_array([byte; 32]);
        let ends = Ends { blocks: End { file: 3, offset: 9 }, undo: End { file: 1, offset: 7 } };
        let sums = Sums { payments: 1, fees_sat: 2, supply_sat: 3, coins: 4 };
        let reached = Reached { tip: hash(1), towards: None, ends, sums, scripts: None };
        for scripts in [None, Some(0), Some(77)] {
            for towards in [
                None,
                Some(Towards { tip: hash(2), scripts }),
                Some(Towards { tip: hash(1), scripts: Some(5) }),
            ] {
                let reached = Reached { towards, scripts, ..reached };
                let bytes = reached.encode();
                assert_eq!(Reached::decode(&bytes), Some(reached));
                for cut in 0..bytes.len() {
                    assert_eq!(Reached::decode(&bytes[..cut]), None, "{cut}");
                }
            }
        }
        let mut old = Reached { towards: None, ..reached }.encode();
        old.truncate(old.len() - 10);
        old[0] = WITHOUT_SCRIPTS;
        assert_eq!(Reached::decode(&old), Some(reached));
    }
}
