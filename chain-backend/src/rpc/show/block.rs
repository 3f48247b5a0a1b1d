//! Blocks and their headers.

use super::tx::TxShown;
use crate::backend::BlockRef;
use crate::builtin::Standing;
use bitcoin::{BlockHash, Target, TxMerkleNode, Txid};
use serde::Serialize;

/// A header, and where it stands.
#[derive(Clone, Debug, Serialize)]
pub(in crate::rpc) struct HeaderShown {
    hash: BlockHash,
    /// −1 when it is not on the best chain.
    pub(in crate::rpc) confirmations: i64,
    height: u32,
    version: i32,
    #[serde(rename = "versionHex")]
    version_hex: String,
    merkleroot: TxMerkleNode,
    time: u32,
    mediantime: u32,
    nonce: u32,
    bits: String,
    target: String,
    difficulty: f64,
    chainwork: String,
    #[serde(rename = "nTx")]
    transactions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    previousblockhash: Option<BlockHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nextblockhash: Option<BlockHash>,
}

/// A block, and where it stands.
#[derive(Clone, Debug, Serialize)]
pub(in crate::rpc) struct BlockShown {
    #[serde(flatten)]
    pub(in crate::rpc) header: HeaderShown,
    pub(in crate::rpc) strippedsize: usize,
    pub(in crate::rpc) size: usize,
    pub(in crate::rpc) weight: u64,
    pub(in crate::rpc) tx: Vec<TxOfBlock>,
}

/// A transaction by name or whole.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(in crate::rpc) enum TxOfBlock {
    Id(Txid),
    Whole(Box<TxShown>),
}

impl HeaderShown {
    pub(in crate::rpc) fn of(standing: &Standing, transactions: usize) -> Self {
        let BlockRef { height, hash, header, mtp } = standing.at;
        let version = header.version.to_consensus();
        Self {
            hash,
            confirmations: standing.confirmations,
            height,
            version,
            version_hex: format!("{version:08x}"),
            merkleroot: header.merkle_root,
            time: header.time,
            mediantime: mtp,
            nonce: header.nonce,
            bits: format!("{:08x}", header.bits.to_consensus()),
            target: format!("{:064x}", Target::from_compact(header.bits)),
            difficulty: header.difficulty_float(),
            chainwork: hex32(&standing.work),
            transactions,
            previousblockhash: (height > 0).then_some(header.prev_blockhash),
            nextblockhash: standing.next,
        }
    }
}

/// Big-endian bytes as hex.
pub(in crate::rpc) fn hex32(bytes: &[u8; 32]) -> String {
    use bitcoin::hex::DisplayHex as _;
    bytes.to_lower_hex_string()
}
