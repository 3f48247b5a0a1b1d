//! Policy: what the mempool takes of what consensus allows. The figures are those that every Bitcoin Core
//! from 29.0 to 31 accepts, so that a transaction taken here is taken there.
//! Not here: replacement, packages, limits (`mempool`).

pub(crate) mod script;
pub(crate) mod standard;

/// Whose rules a mempool follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What every Bitcoin Core from 29.0 to 31 takes.
    #[default]
    Strict,
    /// Bitcoin Core 29.0.
    V29,
    /// Bitcoin Core 30.
    V30,
    /// Bitcoin Core 31: clusters and feerate diagrams.
    V31,
}

impl Profile {
    /// The one of this name: `strict`, `core29`, `core30` or `core31`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Strict, Self::V29, Self::V30, Self::V31].into_iter().find(|one| one.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::V29 => "core29",
            Self::V30 => "core30",
            Self::V31 => "core31",
        }
    }

    /// The major version of Bitcoin Core that it takes after.
    pub(crate) const fn core(self) -> u32 {
        match self {
            Self::V29 => 29,
            // Those that take what all take are the newest that everybody knows.
            Self::Strict | Self::V30 => 30,
            Self::V31 => 31,
        }
    }
}

/// The figures and rules of a mempool. Rates are satoshi per 1000 virtual bytes, as Bitcoin Core states
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose rules these are, or come from.
    pub profile: Profile,
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
    /// The most virtual bytes of either, and of a cluster.
    pub chain_vsize_max: u64,
    /// Whether one small child more than the limit of descendants may come in.
    pub carve_out: bool,
    /// Transactions in the mempool that may hang together.
    pub cluster_max: usize,
    /// The most transactions one replacement throws out.
    pub replaced_max: usize,
    /// The most clusters one replacement conflicts with.
    pub replaced_clusters_max: usize,
    /// Whether a replacement must beat the feerate of each it conflicts with and may spend no unconfirmed
    /// coin that those did not (to Core 30).
    pub replace_each: bool,
    /// Whether a replacement must leave miners better off at every block size (from Core 31).
    pub replace_diagram: bool,
    /// Whether any parent may lean on its child for the relay minimum, not version 3 alone (from Core 31).
    pub any_parent_free: bool,
    /// The most bytes of data outputs, scripts included.
    pub data_bytes_max: usize,
    /// How many data outputs there may be.
    pub data_outputs_max: usize,
    /// The most signature operations that the old way of counting finds in what is executed (BIP 54).
    pub legacy_sigops_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(Profile::Strict)
    }
}

impl Policy {
    /// The rules of a profile.
    pub const fn of(profile: Profile) -> Self {
        let strict = Self {
            profile,
            min_relay_sat_kvb: 1_000,
            incremental_sat_kvb: 1_000,
            mempool_size_max: 300_000_000,
            expiry_s: 336 * 3_600,
            ancestors_max: 25,
            descendants_max: 25,
            chain_vsize_max: 101_000,
            carve_out: false,
            cluster_max: 64,
            replaced_max: 100,
            replaced_clusters_max: 100,
            replace_each: true,
            replace_diagram: true,
            any_parent_free: false,
            data_bytes_max: 83,
            data_outputs_max: 1,
            legacy_sigops_max: 2_500,
        };
        let v30 = Self {
            min_relay_sat_kvb: 100,
            incremental_sat_kvb: 100,
            carve_out: true,
            cluster_max: usize::MAX,
            replaced_clusters_max: usize::MAX,
            replace_diagram: false,
            data_bytes_max: 100_000,
            data_outputs_max: usize::MAX,
            ..strict
        };
        match profile {
            Profile::Strict => strict,
            Profile::V29 => Self {
                min_relay_sat_kvb: 1_000,
                incremental_sat_kvb: 1_000,
                data_bytes_max: 83,
                data_outputs_max: 1,
                legacy_sigops_max: usize::MAX,
                ..v30
            },
            Profile::V30 => v30,
            Profile::V31 => Self {
                ancestors_max: usize::MAX,
                descendants_max: usize::MAX,
                carve_out: false,
                cluster_max: 64,
                replaced_max: usize::MAX,
                replaced_clusters_max: 100,
                replace_each: false,
                replace_diagram: true,
                any_parent_free: true,
                ..v30
            },
        }
    }
}

/// What a size costs at a rate, satoshi, rounded up.
pub(crate) fn fee_at(rate_sat_kvb: u64, vsize: u64) -> u64 {
    rate_sat_kvb.saturating_mul(vsize).div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_known_by_their_names() {
        for profile in [Profile::Strict, Profile::V29, Profile::V30, Profile::V31] {
            assert_eq!(Profile::named(profile.name()), Some(profile));
            assert_eq!(Policy::of(profile).profile, profile);
        }
        assert_eq!(Profile::named("core28"), None);
    }
}
