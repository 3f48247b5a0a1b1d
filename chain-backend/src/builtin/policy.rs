//! Policy: what the mempool takes of what consensus allows. The figures are those that every Bitcoin Core
//! from 29.0 to 31 accepts, so that a transaction taken here is taken there.
//! Not here: replacement, packages, limits (`mempool`).

pub(crate) mod script;
pub(crate) mod standard;

/// The figures of a mempool. Rates are satoshi per 1000 virtual bytes, as Bitcoin Core states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The least a transaction pays.
    pub min_relay_sat_kvb: u64,
    /// The least a replacement pays on top for its own size.
    pub incremental_sat_kvb: u64,
    /// A mempool larger than this throws out what pays least, bytes.
    pub mempool_size_max: u64,
    /// What waits longer goes, seconds.
    pub expiry_s: u32,
    /// Transactions in the mempool that one may stand on, itself included.
    pub ancestors_max: usize,
    /// Transactions in the mempool that may stand on one, itself included.
    pub descendants_max: usize,
    /// The most virtual bytes of either.
    pub chain_vsize_max: u64,
    /// Transactions in the mempool that may hang together.
    pub cluster_max: usize,
    /// The most transactions one replacement throws out.
    pub replaced_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_relay_sat_kvb: 1_000,
            incremental_sat_kvb: 1_000,
            mempool_size_max: 300_000_000,
            expiry_s: 336 * 3_600,
            ancestors_max: 25,
            descendants_max: 25,
            chain_vsize_max: 101_000,
            cluster_max: 64,
            replaced_max: 100,
        }
    }
}

/// What a size costs at a rate, satoshi, rounded up.
pub(crate) fn fee_at(rate_sat_kvb: u64, vsize: u64) -> u64 {
    rate_sat_kvb.saturating_mul(vsize).div_ceil(1_000)
}
