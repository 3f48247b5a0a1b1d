//! Every block that a test hands to a chain, with what the chain made of it, for Bitcoin Core's kernel to judge
//! again (`tests/kernel-oracle`). Written where `VIADUCT_BLOCK_LOG` names a directory (tests).

use super::{BlockOutcome, ChainError, Chainstate};
use bitcoin::Block;
use bitcoin::consensus::encode::{serialize, serialize_hex};
use bitcoin::hashes::{Hash, sha256};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file of one chain.
#[derive(Debug, Default)]
pub(super) enum Record {
    #[default]
    New,
    Open(File),
    /// Nobody asked, or what happened since cannot be told in blocks.
    Closed,
}

impl Record {
    fn open() -> Option<File> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = PathBuf::from(std::env::var_os("VIADUCT_BLOCK_LOG")?);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}.blocks", std::process::id());
        Some(File::create(dir.join(name)).unwrap())
    }
}

impl Chainstate {
    /// One line: what became of the block, the tip, the coins, the block.
    pub(super) fn record(&mut self, block: &Block, outcome: &Result<BlockOutcome, ChainError>) {
        if matches!(self.record, Record::New) {
            let first = block.header.prev_blockhash == self.params.genesis.block_hash();
            let regtest = self.params.magic == [0xfa, 0xbf, 0xb5, 0xda];
            let file = if first && regtest { Record::open() } else { None };
            self.record = file.map_or(Record::Closed, Record::Open);
        }
        if let Record::Open(mut file) = std::mem::take(&mut self.record) {
            let word = match outcome {
                Ok(BlockOutcome::Connected) => "connected".to_owned(),
                Ok(BlockOutcome::Aside) => "aside".to_owned(),
                Err(error) => error.to_string(),
            };
            let (tip, coins) = (self.tree.tip(), self.coins_hash());
            let (height, hash) = (tip.height, tip.hash);
            let block = serialize_hex(block);
            writeln!(file, "{word}\t{height}\t{hash}\t{coins}\t{block}").unwrap();
            self.record = Record::Open(file);
        } else {
            self.record = Record::Closed;
        }
    }

    /// A human moves the tip: blocks alone do not tell that.
    pub(super) fn end_record(&mut self) {
        self.record = Record::Closed;
    }

    /// All coins in any order: the bits of their hashes added without carry.
    fn coins_hash(&self) -> sha256::Hash {
        let mut sum = [0_u8; 32];
        self.index.visit_coins(&mut |outpoint, coin| {
            let mut bytes = serialize(outpoint);
            bytes.extend(coin.height.to_le_bytes());
            bytes.push(u8::from(coin.coinbase));
            bytes.extend(serialize(&coin.output));
            let hash = sha256::Hash::hash(&bytes).to_byte_array();
            sum.iter_mut().zip(hash).for_each(|(sum, byte)| *sum ^= byte);
        });
        sha256::Hash::from_byte_array(sum)
    }
}
